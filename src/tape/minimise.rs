//! The least of a tape that still fails, by delta debugging: first whole messages go, then parts of those that are left.
//!
//! Whether something fails is for the caller to say, by playing it. How a session begins and what answers the server's requests are never
//! taken out: without them there is no session to fail.
//!
//! The tape stays on the disk: of a message no more is in memory than what tells whether it is played, and where it stands.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::care::LineSums;
use super::format::{Mark, TapeError, TapeOutputError};
use super::play::{PlayableTape, PlayedMessage, TapeSelection};
use super::read::{ReadWatch, STRETCH, StoredTape};
use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::json::splice::{JsonPointer, PatchStep, patch};
use crate::mcp::meta;
use crate::message::Message;

/// The least that still fails.
#[derive(Debug)]
pub struct TapeReduction {
    pub tape: ReducedTape,
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
const BEGINS: &str = "that is how a session begins";
const ANSWERS: &str = "it answers what the server may ask";

/// A tape of which messages, and parts of them, are to be taken out.
#[derive(Debug)]
pub struct ReducibleTape {
    stored: StoredTape,
    messages: Vec<ReducibleMessage>,
}

#[derive(Debug)]
struct ReducibleMessage {
    about: PlayedMessage,
    line: Range<u64>,
}

impl ReducibleMessage {
    /// Whether it is the client's, and may be taken out.
    fn is_removable(&self) -> bool {
        let PlayedMessage { direction, kind, begins, .. } = self.about;
        direction == Direction::ToServer && !kind.is_reply() && !begins
    }
}

impl ReducibleTape {
    /// Goes through a tape file; `None` where that was stopped.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn read(path: &Path, watch: &ReadWatch<'_>) -> Result<Option<Self>, TapeError> {
        let mut messages = Vec::new();
        let keep = |envelope: Envelope, line| Some(ReducibleMessage { about: PlayedMessage::of(&envelope), line });
        let stored = StoredTape::read(path, STRETCH, watch, &keep, |message| messages.push(message))?;
        Ok(stored.map(|stored| Self { stored, messages }))
    }

    /// Everything that is not as it should be, for people.
    pub fn troubles(&self) -> Vec<String> {
        self.stored.troubles()
    }
}

/// A tape without what was taken out of it.
#[derive(Clone, Debug)]
pub struct ReducedTape {
    whole: Arc<ReducibleTape>,
    /// Those of the client's messages that are left.
    kept: Arc<HashSet<Seq>>,
    /// Those of them of which parts are gone.
    smaller: HashMap<Seq, Message>,
}

impl ReducedTape {
    fn new(whole: &Arc<ReducibleTape>, kept: &[Seq]) -> Self {
        Self { whole: whole.clone(), kept: Arc::new(kept.iter().copied().collect()), smaller: HashMap::new() }
    }

    /// As the player needs it.
    ///
    /// # Errors
    /// Where the file was changed since.
    pub fn playable(&self) -> Result<PlayableTape, TapeError> {
        PlayableTape::of_stored(&self.whole.stored, self.messages())
    }

    /// Its messages; with the place of its line, one that is as it stands there.
    fn messages(&self) -> impl Iterator<Item = Result<(Option<Range<u64>>, Envelope), TapeError>> {
        let part = TapeSelection { only: Some((*self.kept).clone()), ..TapeSelection::default() };
        let all = &self.whole.messages;
        // A session of which nothing else is left need not begin.
        let left = all.iter().filter(|it| self.kept.contains(&it.about.seq));
        let sessions: HashSet<SessionId> = left.map(|it| it.about.session).collect();
        let is_left = move |it: &&ReducibleMessage| {
            (sessions.is_empty() || sessions.contains(&it.about.session)) && part.has_like(&it.about)
        };
        all.iter().filter(is_left).map(|it| {
            let envelope = self.whole.stored.envelope(&it.line)?;
            Ok(match self.smaller.get(&it.about.seq) {
                Some(message) => (None, Envelope { message: message.clone(), original: None, ..envelope }),
                None => (Some(it.line.clone()), envelope),
            })
        })
    }

    /// The client's messages, as they are now.
    fn of_client(&self) -> impl Iterator<Item = Result<Envelope, TapeError>> {
        let is_of_client = |it: &Envelope| it.direction == Direction::ToServer;
        self.messages()
            .map(|it| it.map(|(_, envelope)| envelope))
            .filter(move |it| it.as_ref().map_or(true, is_of_client))
    }

    /// Writes it as a tape of its own, with what was marked between its messages.
    ///
    /// # Errors
    /// Where it cannot be written, or the tape was changed since it was read.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), TapeOutputError> {
        let about = &self.whole.stored.about;
        let mut lines = SummedLines { out, sums: LineSums::default() };
        lines.write(&about.header)?;
        let mut hang_ups = about.hang_ups.iter().filter(|it| self.kept.contains(&it.seq)).peekable();
        let (mut rewinds, mut seams) = (about.rewinds.iter().peekable(), about.seams.iter().peekable());
        let mut at = 0;
        for message in self.messages() {
            let (_, envelope) = message?;
            at = envelope.at;
            while let Some(seam) = seams.next_if(|seam| seam.after < envelope.seq) {
                let (after, text) = (Some(seam.after), seam.text.clone());
                let is_rewind = rewinds.next_if(|rewind| **rewind == seam.after).is_some();
                lines.write(&if is_rewind {
                    Mark::Rewind { at, after, text }
                } else {
                    Mark::Seam { at, after, text }
                })?;
            }
            while let Some(hang_up) = hang_ups.next_if(|it| it.at < at) {
                lines.write(&Mark::HangUp { at: hang_up.at, seq: hang_up.seq })?;
            }
            let mut line = Vec::new();
            envelope.write_json(about.header.session_field(envelope.session), &mut line);
            lines.line(line)?;
        }
        for hang_up in hang_ups {
            at = at.max(hang_up.at);
            lines.write(&Mark::HangUp { at: hang_up.at, seq: hang_up.seq })?;
        }
        lines.write(&Mark::End { at, reason: "minimised".to_owned(), session: None })?;
        let seal = lines.sums.seal();
        lines.write(&Mark::Seal(seal))
    }
}

/// Lines of a tape that is written.
struct SummedLines<'o> {
    out: &'o mut dyn Write,
    sums: LineSums,
}

impl SummedLines<'_> {
    fn write(&mut self, value: &impl Serialize) -> Result<(), TapeOutputError> {
        self.line(serde_json::to_vec(value).map_err(io::Error::from)?)
    }

    fn line(&mut self, mut line: Vec<u8>) -> Result<(), TapeOutputError> {
        line.push(b'\n');
        self.sums.line(&line);
        Ok(self.out.write_all(&line)?)
    }
}

/// Makes a tape as small as may be with so many runs. `None` where the whole does not fail.
///
/// # Errors
/// Where the tape cannot be read again.
pub async fn minimise<F: Future<Output = Result<bool, TapeError>>>(
    tape: ReducibleTape,
    most_runs: usize,
    fails: impl FnMut(ReducedTape) -> F,
) -> Result<Option<TapeReduction>, TapeError> {
    let all: Vec<_> = tape.messages.iter().filter(|it| it.is_removable()).map(|it| it.about.seq).collect();
    let mut search = TapeSearch { whole: Arc::new(tape), fails, left: most_runs };
    if !search.try_with(&all).await? {
        return Ok(None);
    }
    let kept = search.fewest(all.clone()).await?;
    let why = if search.left > 0 { NEEDED } else { UNTRIED };
    let mut tape = ReducedTape::new(&search.whole, &kept);
    let parts = search.smallest_messages(&mut tape).await?;
    Ok(Some(TapeReduction {
        kept: described(&tape, why)?,
        gone: (all.len() - kept.len(), parts),
        runs: most_runs - search.left,
        tape,
    }))
}

struct TapeSearch<P> {
    whole: Arc<ReducibleTape>,
    fails: P,
    /// How often something may still be played.
    left: usize,
}

impl<F: Future<Output = Result<bool, TapeError>>, P: FnMut(ReducedTape) -> F> TapeSearch<P> {
    /// Tries the tape with only these of the client's messages.
    async fn try_with(&mut self, kept: &[Seq]) -> Result<bool, TapeError> {
        let tape = ReducedTape::new(&self.whole, kept);
        self.try_tape(tape).await
    }

    async fn try_tape(&mut self, tape: ReducedTape) -> Result<bool, TapeError> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        (self.fails)(tape).await
    }

    /// As few as still fail (Zeller and Hildebrandt, 2002: ddmin, of complements only).
    async fn fewest(&mut self, mut kept: Vec<Seq>) -> Result<Vec<Seq>, TapeError> {
        let mut parts = 2;
        while !kept.is_empty() && self.left > 0 {
            parts = parts.min(kept.len());
            let size = kept.len().div_ceil(parts);
            let mut smaller = None;
            for start in (0..kept.len()).step_by(size) {
                let end = (start + size).min(kept.len());
                let rest = [&kept[..start], &kept[end..]].concat();
                if self.try_with(&rest).await? {
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
        Ok(kept)
    }

    /// Takes out of the messages what is not needed. Returns how many parts that were.
    async fn smallest_messages(&mut self, tape: &mut ReducedTape) -> Result<usize, TapeError> {
        let mut gone = 0;
        let whole = tape.clone();
        for envelope in whole.of_client() {
            let Envelope { seq, mut message, .. } = envelope?;
            if self.left == 0 {
                break;
            }
            if !whole.kept.contains(&seq) {
                continue;
            }
            // Of what is gone, nothing inside is tried.
            let mut tried = HashSet::new();
            while let Some(path) = parts_of(&message).into_iter().find(|it| !tried.contains(it)) {
                let smaller = without(&message, &path);
                tried.insert(path);
                let Some(smaller) = smaller else { continue };
                let mut less = tape.clone();
                less.smaller.insert(seq, smaller.clone());
                if self.try_tape(less.clone()).await? {
                    (*tape, message) = (less, smaller);
                    gone += 1;
                }
                if self.left == 0 {
                    break;
                }
            }
        }
        Ok(gone)
    }
}

fn described(tape: &ReducedTape, why: &'static str) -> Result<Vec<KeptMessage>, TapeError> {
    let subject = |it: &Envelope| {
        let method = it.method().unwrap_or("no JSON-RPC");
        it.name().map_or_else(|| method.to_owned(), |name| format!("{method} {name}"))
    };
    let why = |it: &Envelope| match it.kind().is_reply() {
        true => ANSWERS,
        false if tape.kept.contains(&it.seq) => why,
        false => BEGINS,
    };
    tape.of_client().map(|it| it.map(|it| KeptMessage { seq: it.seq, subject: subject(&it), why: why(&it) })).collect()
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

fn without(message: &Message, path: &str) -> Option<Message> {
    let text = std::str::from_utf8(message.raw()).ok()?;
    let smaller = patch(text, &[PatchStep::Remove { path: JsonPointer::read(path).ok()? }]).ok()?;
    Some(Message::new(smaller))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tape of these lines, of which each may end with more than a message.
    fn tape_of(lines: &[String]) -> ReducibleTape {
        let mut text =
            serde_json::to_string(&crate::tape::TapeHeader::of(&crate::tape::record::tests::session())).unwrap();
        lines.iter().for_each(|line| text += &format!("\n{line}"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        ReducibleTape::read(file.path(), &|_, _| true).unwrap().unwrap()
    }

    fn line(at: usize, rest: &str) -> String {
        format!(r#"{{"seq":{},"at":{at},"dir":"c2s","via":"stdio",{rest}}}"#, at + 1)
    }

    fn tape(messages: &[&str]) -> ReducibleTape {
        let lines = messages.iter().enumerate().map(|(at, message)| line(at, &format!(r#""msg":{message}"#)));
        tape_of(&lines.collect::<Vec<_>>())
    }

    fn said(tape: &ReducedTape) -> Vec<String> {
        let text = |it: Envelope| String::from_utf8(it.message.raw().to_vec()).unwrap();
        tape.messages().map(|it| text(it.unwrap().1)).collect()
    }

    fn written(tape: &ReducedTape) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        tape.write(&mut file).unwrap();
        file
    }

    fn ready(fails: bool) -> std::future::Ready<Result<bool, TapeError>> {
        std::future::ready(Ok(fails))
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

    fn fails(tape: &ReducedTape) -> bool {
        let said = said(tape);
        said.iter().any(|it| it.contains("\"t4\""))
            && said.iter().any(|it| it.contains("\"t17\"") && it.contains("\"d\":0"))
    }

    async fn minimal(most_runs: usize) -> Option<TapeReduction> {
        let all = calls();
        let tape = tape(&all.iter().map(String::as_str).collect::<Vec<_>>());
        minimise(tape, most_runs, |tape| ready(fails(&tape))).await.unwrap()
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
        let why: Vec<_> = found.kept.iter().map(|it| it.why).collect();
        assert!(why == [BEGINS, NEEDED, NEEDED] && found.runs < 150, "{found:?}");
    }

    #[tokio::test]
    async fn minimise_leaves_no_session_of_which_nothing_is_needed() {
        let [first, other] = [INITIALIZE, r#"{"id":0,"method":"initialize","params":{}}"#];
        let messages = [first, other, r#"{"id":1,"method":"a"}"#, r#"{"id":1,"method":"b"}"#];
        let id = serde_json::to_string(&SessionId::random()).unwrap();
        let lines = messages.iter().enumerate().map(|(at, message)| match at % 2 {
            0 => line(at, &format!(r#""msg":{message}"#)),
            _ => line(at, &format!(r#""session":{id},"msg":{message}"#)),
        });
        let fails = |tape: ReducedTape| ready(said(&tape).iter().any(|it| it.contains("\"b\"")));
        let found = minimise(tape_of(&lines.collect::<Vec<_>>()), 99, fails).await.unwrap().unwrap();
        assert_eq!(said(&found.tape), [other, r#"{"id":1,"method":"b"}"#]);
    }

    #[tokio::test]
    async fn minimise_writes_a_tape_of_what_is_left_and_of_what_was_marked() {
        let call =
            |at, id| line(at, &format!(r#""msg":{{"id":{id},"method":"tools/call","params":{{"name":"t{id}"}}}}"#));
        let lines = [
            line(0, &format!(r#""msg":{INITIALIZE}"#)),
            call(1, 1),
            r#"{"mark":"hangup","at":2,"seq":2}"#.to_owned(),
            call(3, 2),
            r#"{"mark":"seam","at":4,"after":4,"text":"another process"}"#.to_owned(),
            call(5, 3),
            r#"{"mark":"hangup","at":6,"seq":6}"#.to_owned(),
        ];
        let fails = |tape: ReducedTape| ready(said(&tape).iter().any(|it| it.contains("t3")));
        let found = minimise(tape_of(&lines), 99, fails).await.unwrap().unwrap();
        let file = written(&found.tape);
        let text = std::fs::read_to_string(&file).unwrap();
        let rest: Vec<_> = text.lines().skip(1).collect();
        assert!(
            matches!(rest[..], [begins, seam, call, hang_up, end, seal]
            if begins.contains("initialize") && seam.contains("another process") && call.contains("t3") && hang_up == lines[6]
                && end.contains("minimised") && seal.contains("sha256")),
            "{text}"
        );
        assert!(crate::tape::care::verify(file.path(), None, &|_, _| true).unwrap().is_sound(), "{text}");
    }

    #[tokio::test]
    async fn minimise_keeps_within_its_runs_and_leaves_what_does_not_fail() {
        let found = minimal(6).await.unwrap();
        assert!(
            fails(&found.tape) && found.runs == 6 && found.kept.iter().skip(1).all(|it| it.why == UNTRIED),
            "{found:?}"
        );
        let fine = tape(&[INITIALIZE]);
        assert!(minimise(fine, 9, |_| ready(false)).await.unwrap().is_none());
    }
}
