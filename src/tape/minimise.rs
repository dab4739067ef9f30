//! The least of a tape that still fails, by delta debugging: first whole messages go, then parts of those that are left.
//!
//! Whether something fails is for the caller to say, by playing it. How a session begins and what answers the server's requests are never
//! taken out: without them there is no session to fail.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::Tape;
use super::play::TapeSelection;
use crate::envelope::{Direction, Envelope, Seq};
use crate::json::splice::{JsonPointer, PatchStep, patch};
use crate::mcp::{meta, method};
use crate::message::Message;

/// The least that still fails.
#[derive(Debug)]
pub struct TapeReduction {
    pub tape: Tape,
    /// The messages that are left, and why.
    pub kept: Vec<KeptMessage>,
    /// Messages and parts of messages that are gone.
    pub gone: (usize, usize),
    /// How often something was played.
    pub runs: usize,
}

/// A message that was not taken out.
#[derive(Debug, PartialEq, Eq)]
pub struct KeptMessage {
    pub seq: Seq,
    pub subject: String,
    pub why: &'static str,
}

const NEEDED: &str = "without it, it does not fail";
const UNTRIED: &str = "not tried without it: no more runs";

/// Makes a tape as small as may be with so many runs. `None` where the whole does not fail.
pub async fn minimise<F: Future<Output = bool>>(
    tape: &Tape,
    most_runs: usize,
    fails: impl FnMut(Tape) -> F,
) -> Option<TapeReduction> {
    let mut search = TapeSearch { tape: tape.clone(), fails, left: most_runs };
    let all = search.removable();
    if !search.try_with(&all).await {
        return None;
    }
    let kept = search.fewest(all.clone()).await;
    let was_searched = search.left > 0;
    search.tape = search.with(&kept);
    let parts = search.smallest_messages(&kept).await;
    let why = if was_searched { NEEDED } else { UNTRIED };
    Some(TapeReduction {
        kept: search.describe(&kept, why),
        gone: (all.len() - kept.len(), parts),
        runs: most_runs - search.left,
        tape: search.tape,
    })
}

struct TapeSearch<P> {
    tape: Tape,
    fails: P,
    /// How often something may still be played.
    left: usize,
}

impl<F: Future<Output = bool>, P: FnMut(Tape) -> F> TapeSearch<P> {
    /// The messages of the client's that may be taken out.
    fn removable(&self) -> Vec<Seq> {
        let is_removable = |it: &&Arc<Envelope>| {
            let begins = matches!(it.method(), Some(method::INITIALIZE | method::INITIALIZED));
            it.direction == Direction::ToServer && !it.kind().is_reply() && !begins
        };
        self.tape.envelopes.iter().filter(is_removable).map(|it| it.seq).collect()
    }

    /// The tape with only these of them.
    fn with(&self, kept: &[Seq]) -> Tape {
        let part =
            TapeSelection { only: Some(kept.iter().copied().collect::<HashSet<_>>()), ..TapeSelection::default() };
        // A session of which nothing else is left need not begin.
        let left = self.tape.envelopes.iter().filter(|it| kept.contains(&it.seq));
        let sessions: HashSet<_> = left.map(|it| it.session).collect();
        let is_left = |it: &&Arc<Envelope>| sessions.is_empty() || sessions.contains(&it.session);
        let envelopes = self.tape.envelopes.iter().filter(is_left).filter(|it| part.has(it)).cloned().collect();
        Tape { envelopes, ..self.tape.clone() }
    }

    async fn try_with(&mut self, kept: &[Seq]) -> bool {
        let tape = self.with(kept);
        self.try_tape(tape).await
    }

    async fn try_tape(&mut self, tape: Tape) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        (self.fails)(tape).await
    }

    /// As few as still fail (Zeller and Hildebrandt, 2002: ddmin, of complements only).
    async fn fewest(&mut self, mut kept: Vec<Seq>) -> Vec<Seq> {
        let mut parts = 2;
        while !kept.is_empty() && self.left > 0 {
            parts = parts.min(kept.len());
            let size = kept.len().div_ceil(parts);
            let mut smaller = None;
            for start in (0..kept.len()).step_by(size) {
                let end = (start + size).min(kept.len());
                let rest = [&kept[..start], &kept[end..]].concat();
                if self.try_with(&rest).await {
                    smaller = Some(rest);
                    break;
                }
            }
            match smaller {
                Some(rest) => (kept, parts) = (rest, parts.saturating_sub(1).max(2)),
                None if parts >= kept.len() => break,
                None => parts *= 2,
            }
        }
        kept
    }

    /// Takes out of the messages what is not needed. Returns how many parts that were.
    async fn smallest_messages(&mut self, kept: &[Seq]) -> usize {
        let mut gone = 0;
        for seq in kept {
            let Some(at) = self.tape.envelopes.iter().position(|it| it.seq == *seq) else { continue };
            // Of what is gone, nothing inside is tried.
            let mut tried = HashSet::new();
            while let Some(path) = parts_of(&self.tape.envelopes[at].message).into_iter().find(|it| !tried.contains(it))
            {
                let smaller = without(&self.tape.envelopes[at], &path);
                tried.insert(path);
                let Some(smaller) = smaller else { continue };
                let mut tape = self.tape.clone();
                tape.envelopes[at] = Arc::new(smaller);
                if self.try_tape(tape.clone()).await {
                    self.tape = tape;
                    gone += 1;
                }
                if self.left == 0 {
                    return gone;
                }
            }
        }
        gone
    }

    fn describe(&self, kept: &[Seq], why: &'static str) -> Vec<KeptMessage> {
        let found =
            self.tape.envelopes.iter().filter(|it| kept.contains(&it.seq) && it.direction == Direction::ToServer);
        let subject = |it: &Envelope| {
            let method = it.method().unwrap_or("no JSON-RPC");
            it.name().map_or_else(|| method.to_owned(), |name| format!("{method} {name}"))
        };
        found.map(|it| KeptMessage { seq: it.seq, subject: subject(it), why }).collect()
    }
}

/// Where the parts of a message's parameters stand, the outer before the inner; without those that make it what it is.
fn parts_of(message: &Message) -> Vec<String> {
    fn collect(value: &Value, place: &str, depth: usize, parts: &mut Vec<String>) {
        let mut each = |key: &str, child: &Value| {
            let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
            let is_identity = depth == 0 && (matches!(key, "name" | "uri" | "arguments") || key == meta::META);
            if !is_identity {
                parts.push(place.clone());
            }
            if key != meta::META {
                collect(child, &place, depth + 1, parts);
            }
        };
        match value {
            Value::Object(members) => members.iter().for_each(|(key, child)| each(key, child)),
            Value::Array(items) => {
                items.iter().enumerate().rev().for_each(|(index, child)| each(&index.to_string(), child));
            }
            _ => {}
        }
    }
    let mut parts = Vec::new();
    if let Some(params) = message.member("params").and_then(|params| serde_json::from_str(params).ok()) {
        collect(&params, "/params", 0, &mut parts);
    }
    parts
}

fn without(envelope: &Envelope, path: &str) -> Option<Envelope> {
    let text = std::str::from_utf8(envelope.message.raw()).ok()?;
    let smaller = patch(text, &[PatchStep::Remove { path: JsonPointer::read(path).ok()? }]).ok()?;
    Some(Envelope { message: Message::new(smaller), original: None, ..envelope.clone() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tape(messages: &[&str]) -> Tape {
        let mut text =
            serde_json::to_string(&crate::tape::TapeHeader::of(&crate::tape::record::tests::session())).unwrap();
        for (at, message) in messages.iter().enumerate() {
            let seq = at + 1;
            text += &format!("\n{{\"seq\":{seq},\"at\":{at},\"dir\":\"c2s\",\"via\":\"stdio\",\"msg\":{message}}}");
        }
        Tape::read_from(Path::new("x.tape.jsonl"), text.as_bytes()).unwrap()
    }

    fn said(tape: &Tape) -> Vec<String> {
        tape.envelopes.iter().map(|it| String::from_utf8(it.message.raw().to_vec()).unwrap()).collect()
    }

    const INITIALIZE: &str = r#"{"id":0,"method":"initialize"}"#;

    /// Twenty calls, of which the 4th and the 17th together fail, if the latter has its `b`.
    fn calls() -> Vec<String> {
        let call = |n: usize| {
            format!(
                r#"{{"id":{n},"method":"tools/call","params":{{"name":"t{n}","arguments":{{"a":[1,2],"b":{{"c":true,"d":0}}}}}}}}"#
            )
        };
        std::iter::once(INITIALIZE.to_owned()).chain((1..=20).map(call)).collect()
    }

    fn fails(tape: &Tape) -> bool {
        let said = said(tape);
        said.iter().any(|it| it.contains("\"t4\""))
            && said.iter().any(|it| it.contains("\"t17\"") && it.contains("\"d\":0"))
    }

    async fn minimal(most_runs: usize) -> Option<TapeReduction> {
        let all = calls();
        let tape = tape(&all.iter().map(String::as_str).collect::<Vec<_>>());
        minimise(&tape, most_runs, |tape| std::future::ready(fails(&tape))).await
    }

    #[tokio::test]
    async fn minimise_leaves_what_fails_and_says_why() {
        let found = minimal(500).await.unwrap();
        assert_eq!(
            said(&found.tape),
            [
                INITIALIZE,
                r#"{"id":4,"method":"tools/call","params":{"name":"t4","arguments":{}}}"#,
                r#"{"id":17,"method":"tools/call","params":{"name":"t17","arguments":{"b":{"d":0}}}}"#,
            ]
        );
        assert_eq!(found.gone.0, 18);
        assert!(found.kept.iter().all(|it| it.why == NEEDED) && found.runs < 150, "{found:?}");
    }

    #[tokio::test]
    async fn minimise_leaves_no_session_of_which_nothing_is_needed() {
        let [first, other] = [INITIALIZE, r#"{"id":0,"method":"initialize","params":{}}"#];
        let mut all = tape(&[first, other, r#"{"id":1,"method":"a"}"#, r#"{"id":1,"method":"b"}"#]);
        let id = crate::envelope::SessionId::random();
        for at in [1, 3] {
            all.envelopes[at] = Arc::new(Envelope { session: id, ..(*all.envelopes[at]).clone() });
        }
        let fails = |tape: Tape| std::future::ready(said(&tape).iter().any(|it| it.contains("\"b\"")));
        let found = minimise(&all, 99, fails).await.unwrap();
        assert_eq!(said(&found.tape), [other, r#"{"id":1,"method":"b"}"#]);
    }

    #[tokio::test]
    async fn minimise_keeps_within_its_runs_and_leaves_what_does_not_fail() {
        let found = minimal(6).await.unwrap();
        assert!(fails(&found.tape) && found.runs == 6 && found.kept.iter().all(|it| it.why == UNTRIED), "{found:?}");
        let fine = tape(&[INITIALIZE]);
        assert!(minimise(&fine, 9, |_| std::future::ready(false)).await.is_none());
    }
}
