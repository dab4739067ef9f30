//! Sending again what got no answer: only what cannot have arrived, or may arrive twice; after pauses that grow, and not for
//! long.
//!
//! Decides and waits. What is sent, and where each attempt is logged, is the caller's.
//!
//! The error decides. `Unreachable`: nothing left, so anything may go again. `NoAnswer`: the connection broke before
//! the head of the answer, so only what changes nothing may (`ping`, lists, `server/discover`). `BrokenOff`: the answer
//! had begun, so nothing may.

use std::time::Duration;

use backon::BackoffBuilder as _;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::UpstreamError;
use crate::mcp::semantics;
use crate::message::Message;
use crate::net::backoff::jittered;
use crate::text;

/// Further attempts at the most: more is a loop, not patience.
const MOST: u32 = 20;

/// `[retry]` as it is written in a file of settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Further attempts after the first; 0: none.
    pub attempts: u32,
    /// The first pause. Each is twice the one before, and longer by chance, by up to as much again.
    #[serde(deserialize_with = "text::written_duration")]
    pub first: Duration,
    /// What has failed for so long in all is not sent again.
    #[serde(deserialize_with = "text::written_duration")]
    pub longest: Duration,
}

impl Default for Section {
    fn default() -> Self {
        Self { attempts: 3, first: Duration::from_millis(100), longest: Duration::from_secs(2) }
    }
}

/// When something is sent again.
#[derive(Clone, Debug)]
pub struct Retry(Section);

/// Sending something for the second time, or a later one.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// The number of the attempt, from 2.
    number: u32,
    most: u32,
    /// Why the one before came to nothing.
    error: &'a UpstreamError,
}

impl std::fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { number, most, error } = self;
        write!(f, "attempt {number} of {most}: {error}")
    }
}

impl Retry {
    /// # Errors
    /// Where a value makes no sense, as a text for the author of the configuration.
    pub fn new(section: Section) -> Result<Self, String> {
        if section.attempts > MOST {
            return Err(format!("`attempts` is {}: {MOST} is the most", section.attempts));
        }
        if section.attempts > 0 && (section.first.is_zero() || section.longest < section.first) {
            return Err("`first` must be above zero, and `longest` not below it".to_owned());
        }
        Ok(Self(section))
    }

    /// Nothing is sent twice.
    pub fn none() -> Self {
        Self(Section { attempts: 0, ..Section::default() })
    }

    /// Whether anything may be sent twice.
    pub fn is_on(&self) -> bool {
        self.0.attempts > 0
    }

    /// Sends again, after this error, for as long as `may` lets it and an answer does not come. `began`: when it was sent first.
    /// Nothing more is begun once `stop` is cancelled. Dropping the future stops it at once.
    ///
    /// # Errors
    /// The last error, where all attempts came to nothing.
    pub async fn again<T, F: Future<Output = Result<T, UpstreamError>>>(
        &self,
        mut error: UpstreamError,
        began: Instant,
        stop: &CancellationToken,
        may: impl Fn(&UpstreamError) -> bool,
        mut send: impl FnMut(Attempt<'_>) -> F,
    ) -> Result<T, UpstreamError> {
        for (number, pause) in (2..).zip(self.pauses()) {
            if !may(&error) || began.elapsed() + pause > self.0.longest {
                break;
            }
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            match send(Attempt { number, most: self.0.attempts + 1, error: &error }).await {
                Err(another) => error = another,
                answered => return answered,
            }
        }
        Err(error)
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> {
        jittered(self.0.first, None, usize::try_from(self.0.attempts).unwrap_or_default()).build()
    }
}

/// Whether a message that came to this end may be sent again.
pub fn may_resend(message: &Message, error: &UpstreamError) -> bool {
    match error {
        // Nothing was sent.
        UpstreamError::Unreachable { .. } => true,
        // It may have arrived: only what changes nothing.
        UpstreamError::NoAnswer { .. } => semantics::is_repeatable(message),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::secret::Label;

    fn unreachable() -> UpstreamError {
        UpstreamError::Unreachable { upstream: Label::of_command(["x"]), why: "refused".to_owned() }
    }

    fn no_answer() -> UpstreamError {
        UpstreamError::NoAnswer { upstream: Label::of_command(["x"]), why: "reset".to_owned() }
    }

    fn request(method: &str) -> Message {
        Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#))
    }

    #[test]
    fn may_resend_spares_what_may_have_run() {
        for (method, twice) in [
            ("ping", true),
            ("tools/list", true),
            ("resources/templates/list", true),
            ("server/discover", true),
            ("tools/call", false),
            ("initialize", false),
            ("resources/subscribe", false),
            ("sampling/createMessage", false),
            ("list", false),
        ] {
            assert!(may_resend(&request(method), &unreachable()), "{method}");
            assert_eq!(may_resend(&request(method), &no_answer()), twice, "{method}");
        }
        let broken = UpstreamError::BrokenOff { upstream: Label::of_command(["x"]), why: "reset".to_owned() };
        assert!(!may_resend(&request("ping"), &broken), "the answer had begun");
        let batch = Message::new(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#);
        assert!(may_resend(&batch, &unreachable()) && !may_resend(&batch, &no_answer()));
        let notification = Message::new(r#"{"jsonrpc":"2.0","method":"x/list"}"#);
        assert!(!may_resend(&notification, &no_answer()));
    }

    /// Sends until it works, at the nth attempt; gives what was told and how it ended.
    async fn run(section: Section, works_at: usize) -> (Vec<String>, Result<(), UpstreamError>) {
        let told = RefCell::new(Vec::new());
        let retry = Retry::new(section).expect("it makes sense");
        let (stop, began) = (CancellationToken::new(), Instant::now());
        let send = |attempt: Attempt<'_>| {
            told.borrow_mut().push(attempt.to_string());
            let works = told.borrow().len() + 1 == works_at;
            std::future::ready(if works { Ok(()) } else { Err(unreachable()) })
        };
        let ended = retry.again(unreachable(), began, &stop, |_| true, send).await;
        (told.into_inner(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn retry_counts_attempts_and_ends() {
        let (told, ended) = run(Section::default(), 3).await;
        assert_eq!(told, ["attempt 2 of 4: cannot reach x: refused", "attempt 3 of 4: cannot reach x: refused"]);
        assert!(ended.is_ok());
        let began = Instant::now();
        let (told, ended) = run(Section::default(), 9).await;
        assert_eq!((told.len(), ended.is_err()), (3, true));
        assert!(began.elapsed() <= Section::default().longest);
        let (told, _) = run(Section { attempts: 0, ..Section::default() }, 2).await;
        assert!(told.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn retry_ends_after_the_longest_time() {
        let (retry, began) = (Retry::new(Section::default()).expect("it makes sense"), Instant::now());
        tokio::time::advance(Duration::from_secs(10)).await;
        let send = |_: Attempt<'_>| std::future::ready(Ok(()));
        assert!(retry.again(unreachable(), began, &CancellationToken::new(), |_| true, send).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn retry_begins_nothing_after_stop() {
        let stop = CancellationToken::new();
        stop.cancel();
        let send = |_: Attempt<'_>| std::future::ready(Ok(()));
        let retry = Retry::new(Section::default()).expect("it makes sense");
        assert!(retry.again(unreachable(), Instant::now(), &stop, |_| true, send).await.is_err());
    }

    #[test]
    fn retry_pauses_have_jitter_and_are_never_shorter() {
        let retry = Retry::new(Section { attempts: 4, ..Section::default() }).expect("it makes sense");
        for (pause, least) in retry.pauses().zip([100, 200, 400, 800].map(Duration::from_millis)) {
            assert!((least..=2 * least).contains(&pause), "{pause:?}");
        }
    }

    #[test]
    fn retry_section_that_cannot_be_is_an_error() {
        let read = |text: &str| toml::from_str::<Section>(text).map_err(|error| error.to_string()).and_then(Retry::new);
        assert!(read("attempts = 0\nfirst = '0s'").is_ok());
        assert!(read("first = '250ms'\nlongest = '5s'").is_ok());
        for (text, why) in [
            ("attempts = 21", "20 is the most"),
            ("first = '0s'", "above zero"),
            ("first = '3s'", "not below it"),
            ("longest = 'soon'", "soon"),
            ("tries = 3", "unknown field"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
