//! How long a client waits for a reply until it gives up, and how much of that is left while a message is held.
//!
//! A client never says how long it waits. What is known: what the SDKs do (measured against each of them), and what a client of
//! that name did before. The TypeScript SDK gives up 60 s after it sent its request, whatever comes meanwhile; where nothing is
//! known of a client, that is the guess, as most clients are made with it.

use std::collections::HashMap;

use crate::envelope::{Envelope, Outcome, Via};
use crate::mcp::method::DISCOVER;
use crate::message::Message;

const SECOND: u64 = 1_000_000;
const TYPESCRIPT: u64 = 60 * SECOND;
/// The Python SDK ends a session in which nothing came for so long.
const PYTHON: u64 = 300 * SECOND;
/// The Python SDK's wait for the answer to its very first message, after which it speaks an older revision.
const PYTHON_DISCOVER: u64 = 10 * SECOND;
/// A client that hangs up sooner does not hang up because of a timeout.
const SHORTEST: u64 = 5 * SECOND;

/// How long a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Known(u64),
    /// So long it waited before.
    Learned(u64),
    /// Nothing is known of the client.
    Guessed(u64),
    Endless,
}

/// How long the client of a held message has waited for it, in microseconds, and how long it will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientClock {
    pub(crate) waited: u64,
    pub(crate) patience: Patience,
}

/// How near the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockState {
    Early,
    /// More than half is over, or all of what is no promise.
    Late,
    /// A sixth is left, or nothing.
    Last,
}

/// How long clients waited that gave up, by their names.
#[derive(Default)]
pub(crate) struct KnownClients(HashMap<String, u64>);

impl KnownClients {
    /// A client hung up on what was held: the longest wait is the one that it gave up for.
    pub(crate) fn learn(&mut self, client: &str, waited: u64) {
        if waited >= SHORTEST {
            self.learn_timeout(client, waited);
        }
    }

    /// A client said that its time was out, however short that is.
    pub(crate) fn learn_timeout(&mut self, client: &str, waited: u64) {
        if !client.is_empty() {
            let known = self.0.entry(client.to_owned()).or_default();
            *known = waited.max(*known);
        }
    }

    pub(crate) fn patience(&self, client: &str, via: Via, method: Option<&str>) -> Patience {
        match (client, self.0.get(client)) {
            ("mcp" | "fastmcp", _) if method == Some(DISCOVER) => Patience::Known(PYTHON_DISCOVER),
            (_, Some(learned)) => Patience::Learned(*learned),
            // What the SDKs call their clients that have no name of their own. What ends is the reading of an HTTP response.
            ("mcp" | "fastmcp", None) if via != Via::Stdio => Patience::Known(PYTHON),
            ("mcp" | "fastmcp" | "rmcp", None) => Patience::Endless,
            _ => Patience::Guessed(TYPESCRIPT),
        }
    }
}

impl ClientClock {
    /// How long it will still wait; `None`: for ever.
    pub(crate) fn left(self) -> Option<u64> {
        let (Patience::Known(all) | Patience::Learned(all) | Patience::Guessed(all)) = self.patience else {
            return None;
        };
        Some(all.saturating_sub(self.waited))
    }

    pub(crate) fn is_guess(self) -> bool {
        matches!(self.patience, Patience::Guessed(_))
    }

    /// That a client gave up once promises nothing of the next time, as a guess does not.
    fn is_unsure(self) -> bool {
        matches!(self.patience, Patience::Learned(_) | Patience::Guessed(_))
    }

    /// The time is over, and the client still waits.
    pub(crate) fn was_wrong(self) -> bool {
        self.left() == Some(0) && self.is_unsure()
    }

    pub(crate) fn state(self) -> ClockState {
        let Some(left) = self.left() else { return ClockState::Early };
        let all = left + self.waited;
        match left {
            0 if self.was_wrong() => ClockState::Late,
            left if left * 6 <= all => ClockState::Last,
            left if left * 2 <= all => ClockState::Late,
            _ => ClockState::Early,
        }
    }

    /// `~42s`: a guess is marked as one.
    pub(crate) fn left_words(self) -> String {
        match self.left() {
            None => String::new(),
            // It would have hung up if that were true, unless it forgets to.
            Some(0) if self.was_wrong() => "over?".to_owned(),
            Some(0) => "over".to_owned(),
            Some(left) => {
                let seconds = left.div_ceil(SECOND);
                let mark = if self.is_guess() { "~" } else { "" };
                if seconds < 100 { format!("{mark}{seconds}s") } else { format!("{mark}{}m", seconds / 60) }
            }
        }
    }
}

/// Whether a client that takes a request back says that it has waited for too long. The SDKs have `Request timed out` in their reasons.
pub(crate) fn says_timeout(notice: &Message) -> bool {
    let reason = notice.at(&["params", "reason"]).map(str::to_ascii_lowercase).unwrap_or_default();
    ["timed out", "timeout"].iter().any(|word| reason.contains(word))
}

/// How long the client had waited that gave up this message; `None` where it did not.
pub(crate) fn gave_up_after(envelope: &Envelope, asked: Option<u64>) -> Option<u64> {
    let held = envelope.held.filter(|_| envelope.outcome == Outcome::Abandoned)?;
    let before = asked.map_or(0, |asked| envelope.at.saturating_sub(asked));
    Some(before + held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_known_learned_or_guessed() {
        let mut clients = KnownClients::default();
        assert_eq!(clients.patience("mcp", Via::Http, None), Patience::Known(PYTHON));
        assert_eq!(clients.patience("mcp", Via::Http, Some(DISCOVER)), Patience::Known(PYTHON_DISCOVER));
        assert_eq!(clients.patience("fastmcp", Via::Http, None), Patience::Known(PYTHON));
        assert_eq!(clients.patience("fastmcp", Via::Http, Some(DISCOVER)), Patience::Known(PYTHON_DISCOVER));
        assert_eq!(clients.patience("mcp", Via::Stdio, None), Patience::Endless);
        assert_eq!(clients.patience("rmcp", Via::Http, None), Patience::Endless);
        assert_eq!(clients.patience("ide", Via::Http, None), Patience::Guessed(TYPESCRIPT));
        for waited in [30 * SECOND, 2 * SECOND, 12 * SECOND] {
            clients.learn("ide", waited);
        }
        assert_eq!(clients.patience("ide", Via::Http, None), Patience::Learned(30 * SECOND));
        clients.learn("hasty", 2 * SECOND);
        assert_eq!(clients.patience("hasty", Via::Http, None), Patience::Guessed(TYPESCRIPT), "it may be its person");
        clients.learn_timeout("hasty", 2 * SECOND);
        assert_eq!(clients.patience("hasty", Via::Http, None), Patience::Learned(2 * SECOND));
    }

    #[test]
    fn clock_turns_late_at_half_and_last_at_a_sixth() {
        let clock = |waited: u64| ClientClock { waited, patience: Patience::Guessed(TYPESCRIPT) };
        let words = |seconds: u64| (clock(seconds * SECOND).left_words(), clock(seconds * SECOND).state());
        assert_eq!(words(29), ("~31s".to_owned(), ClockState::Early));
        assert_eq!(words(30), ("~30s".to_owned(), ClockState::Late));
        assert_eq!(words(50), ("~10s".to_owned(), ClockState::Last));
        assert_eq!(words(60), ("over?".to_owned(), ClockState::Late));
        let of = |patience| ClientClock { waited: 70 * SECOND, patience };
        let known = of(Patience::Known(TYPESCRIPT));
        assert_eq!((known.left_words(), known.state()), ("over".to_owned(), ClockState::Last));
        let learned = of(Patience::Learned(TYPESCRIPT));
        assert_eq!((learned.left_words(), learned.state()), ("over?".to_owned(), ClockState::Late));
        let learned = of(Patience::Learned(80 * SECOND));
        assert_eq!((learned.left_words(), learned.state()), ("10s".to_owned(), ClockState::Last));
        let endless = ClientClock { waited: 900 * SECOND, patience: Patience::Endless };
        assert_eq!((endless.left_words(), endless.state()), (String::new(), ClockState::Early));
    }
}
