//! The least of a tape that still fails, by delta debugging: first whole messages go, then parts of those that are left, and then what
//! is not needed without those parts.
//!
//! Whether something fails is for the caller to say, by playing it. How a session begins and what answers the server's requests are never
//! taken out: without them there is no session to fail.
//!
//! The tape stays on the disk: of a message no more is in memory than what tells whether it is played, and where it stands, in some
//! twenty bytes.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::care::LineSums;
use super::format::{Mark, TapeError, TapeOutputError};
use super::play::{PlayableTape, PlayedPart};
use super::read::{ReadWatch, STRETCH, StoredTape};
use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::event::TapeSeam;
use crate::json::splice::{JsonPointer, PatchStep, patch};
use crate::mcp::meta;
use crate::message::{Kind, Message};

/// The least that still fails.
#[derive(Debug)]
pub struct TapeReduction {
    pub tape: ReducedTape,
    /// The first of the messages that are left, and why: where it is more than [`MOST_TOLD`], they were not tried, as a rule.
    pub kept: Vec<KeptMessage>,
    /// How many others are left.
    pub untold: usize,
    /// Messages and parts of messages that are gone.
    pub gone: (usize, usize),
    /// How often something was played.
    pub runs: usize,
}

/// So many of the messages that are left are told.
pub const MOST_TOLD: usize = 100;

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
    /// How many sessions it has.
    sessions: u32,
}

/// A message, by where it stands.
#[derive(Debug)]
struct ReducibleMessage {
    at: u64,
    length: u32,
    /// Whose it is, of the sessions of the tape.
    session: u32,
    stays: Stays,
}

/// When a message stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    Always,
    Never,
    /// With this message of the client, which may be itself.
    With(u32),
}

impl ReducibleMessage {
    fn line(&self) -> Range<u64> {
        self.at..self.at + u64::from(self.length)
    }
}

/// What is known of a tape while it is gone through.
#[derive(Default)]
struct TapeIndex {
    messages: Vec<ReducibleMessage>,
    sessions: HashMap<SessionId, u32>,
    /// Messages of the client without a reply so far.
    open: HashMap<Seq, u32>,
}

impl TapeIndex {
    fn add(&mut self, message: IndexedMessage) {
        let IndexedMessage { seq, session, part, waits, line } = message;
        let place = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        let next = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        let stays = match part {
            PlayedPart::Beginning | PlayedPart::Answer | PlayedPart::Question | PlayedPart::Reply(None) => {
                Stays::Always
            }
            // A second reply says nothing more.
            PlayedPart::Reply(Some(to)) => self.open.remove(&to).map_or(Stays::Never, Stays::With),
            PlayedPart::News => Stays::Never,
            PlayedPart::Said => Stays::With(place),
        };
        self.open.extend(waits.then_some((seq, place)));
        let session = *self.sessions.entry(session).or_insert(next);
        let length = u32::try_from(line.end - line.start).unwrap_or(u32::MAX);
        self.messages.push(ReducibleMessage { at: line.start, length, session, stays });
    }
}

struct IndexedMessage {
    seq: Seq,
    session: SessionId,
    part: PlayedPart,
    /// It may get a reply.
    waits: bool,
    line: Range<u64>,
}

impl IndexedMessage {
    fn of(envelope: &Envelope, line: Range<u64>) -> Self {
        let (part, kind) = (PlayedPart::of(envelope), envelope.kind());
        let waits = part == PlayedPart::Said && kind != Kind::Notification;
        Self { seq: envelope.seq, session: envelope.session, part, waits, line }
    }
}

impl ReducibleTape {
    /// Goes through a tape file; `None` where that was stopped.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn read(path: &Path, watch: &ReadWatch<'_>) -> Result<Option<Self>, TapeError> {
        let mut index = TapeIndex::default();
        let keep = |envelope: Envelope, line| Some(IndexedMessage::of(&envelope, line));
        let stored = StoredTape::read(path, STRETCH, watch, &keep, |message| index.add(message))?;
        let sessions = u32::try_from(index.sessions.len()).unwrap_or(u32::MAX);
        Ok(stored.map(|stored| Self { stored, messages: index.messages, sessions }))
    }

    /// The client's messages that may be taken out.
    fn removable(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.messages).filter(|(at, it)| it.stays == Stays::With(*at)).map(|(at, _)| at)
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
    /// Of each message of the tape, whether it is one of the client's that are left.
    kept: Arc<[bool]>,
    /// Those of them of which parts are gone.
    smaller: HashMap<u32, Message>,
}

/// A message that is left.
struct LeftMessage {
    /// Which it is, on the tape.
    place: u32,
    /// Its line, where it is as it stands there.
    line: Option<Range<u64>>,
    envelope: Envelope,
}

impl ReducedTape {
    fn new(whole: &Arc<ReducibleTape>, kept: &[u32]) -> Self {
        let mut is_kept = vec![false; whole.messages.len()];
        kept.iter().for_each(|place| is_kept[*place as usize] = true);
        Self { whole: whole.clone(), kept: is_kept.into(), smaller: HashMap::new() }
    }

    /// With only these of the client's messages.
    fn of_only(&self, kept: &[u32]) -> Self {
        Self { smaller: self.smaller.clone(), ..Self::new(&self.whole, kept) }
    }

    /// As the player needs it.
    ///
    /// # Errors
    /// Where the file was changed since.
    pub fn playable(&self) -> Result<PlayableTape, TapeError> {
        let messages = self.messages().map(|left| left.map(|left| (left.line, left.envelope)));
        PlayableTape::of_stored(&self.whole.stored, messages)
    }

    fn is_kept(&self, place: u32) -> bool {
        self.kept[place as usize]
    }

    /// Its messages.
    fn messages(&self) -> impl Iterator<Item = Result<LeftMessage, TapeError>> {
        let all = &self.whole.messages;
        // A session of which nothing else is left need not begin.
        let mut has_any = vec![false; self.whole.sessions as usize];
        let left = all.iter().zip(&*self.kept).filter(|(_, is_kept)| **is_kept);
        left.for_each(|(it, _)| has_any[it.session as usize] = true);
        let is_empty = !has_any.contains(&true);
        let stays = move |message: &ReducibleMessage| match message.stays {
            Stays::Always => is_empty || has_any[message.session as usize],
            Stays::Never => false,
            Stays::With(place) => self.is_kept(place),
        };
        (0..).zip(all).filter(move |(_, it)| stays(it)).map(|(place, it)| {
            let envelope = self.whole.stored.envelope(&it.line())?;
            Ok(match self.smaller.get(&place) {
                Some(message) => {
                    let envelope = Envelope { message: message.clone(), original: None, ..envelope };
                    LeftMessage { place, line: None, envelope }
                }
                None => LeftMessage { place, line: Some(it.line()), envelope },
            })
        })
    }

    /// The client's messages, as they are now.
    fn of_client(&self) -> impl Iterator<Item = Result<LeftMessage, TapeError>> {
        let is_of_client = |it: &LeftMessage| it.envelope.direction == Direction::ToServer;
        self.messages().filter(move |it| it.as_ref().map_or(true, is_of_client))
    }

    /// Writes it as a tape of its own, with what was marked between its messages.
    ///
    /// # Errors
    /// Where it cannot be written, or the tape was changed since it was read.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), TapeOutputError> {
        let about = &self.whole.stored.about;
        let mut lines = SummedLines { out, sums: LineSums::default() };
        lines.write(&about.header)?;
        let hung_up: HashSet<Seq> = about.hang_ups.iter().map(|it| it.seq).collect();
        let (mut hang_ups, mut kept) = (about.hang_ups.iter().peekable(), HashSet::new());
        let (mut rewinds, mut seams) = (about.rewinds.iter().peekable(), about.seams.iter().peekable());
        let mut at = 0;
        for message in self.messages() {
            let LeftMessage { place, envelope, .. } = message?;
            at = envelope.at;
            kept.extend(Some(envelope.seq).filter(|seq| self.is_kept(place) && hung_up.contains(seq)));
            while let Some(seam) = seams.next_if(|seam| seam.after < envelope.seq) {
                let is_rewind = rewinds.next_if(|rewind| **rewind == seam.after).is_some();
                lines.write(&seam_mark(seam, is_rewind, at))?;
            }
            for hang_up in std::iter::from_fn(|| hang_ups.next_if(|it| it.at < at)).filter(|it| kept.contains(&it.seq))
            {
                lines.write(&Mark::HangUp { at: hang_up.at, seq: hang_up.seq })?;
            }
            let mut line = Vec::new();
            envelope.write_json(about.header.session_field(envelope.session), &mut line);
            lines.line(line)?;
        }
        for hang_up in hang_ups.filter(|it| kept.contains(&it.seq)) {
            at = at.max(hang_up.at);
            lines.write(&Mark::HangUp { at: hang_up.at, seq: hang_up.seq })?;
        }
        lines.write(&Mark::End { at, reason: "minimised".to_owned(), session: None })?;
        let seal = lines.sums.seal();
        lines.write(&Mark::Seal(seal))
    }
}

fn seam_mark(seam: &TapeSeam, is_rewind: bool, at: u64) -> Mark {
    let (after, text) = (Some(seam.after), seam.text.clone());
    if is_rewind { Mark::Rewind { at, after, text } } else { Mark::Seam { at, after, text } }
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
    let mut kept: Vec<_> = tape.removable().collect();
    let messages = kept.len();
    let mut tape = ReducedTape::new(&Arc::new(tape), &kept);
    let mut search = TapeSearch { fails, left: most_runs };
    if !search.fails(&tape).await? {
        return Ok(None);
    }
    search.fewest(&mut tape, &mut kept).await?;
    let why = if search.left > 0 { NEEDED } else { UNTRIED };
    let mut parts = 0;
    loop {
        let (gone, before) = (search.smallest_messages(&mut tape).await?, kept.len());
        parts += gone;
        if gone > 0 {
            search.fewest(&mut tape, &mut kept).await?;
        }
        if kept.len() == before {
            break;
        }
    }
    let (told, untold) = described(&tape, why)?;
    Ok(Some(TapeReduction {
        kept: told,
        untold,
        gone: (messages - kept.len(), parts),
        runs: most_runs - search.left,
        tape,
    }))
}

struct TapeSearch<P> {
    fails: P,
    /// How often something may still be played.
    left: usize,
}

impl<F: Future<Output = Result<bool, TapeError>>, P: FnMut(ReducedTape) -> F> TapeSearch<P> {
    async fn fails(&mut self, tape: &ReducedTape) -> Result<bool, TapeError> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        (self.fails)(tape.clone()).await
    }

    /// Leaves as few messages of the client's, which are these, as still fail (Zeller and Hildebrandt, 2002: ddmin, of complements only).
    async fn fewest(&mut self, tape: &mut ReducedTape, kept: &mut Vec<u32>) -> Result<(), TapeError> {
        let mut parts = 2;
        while !kept.is_empty() && self.left > 0 {
            parts = parts.min(kept.len());
            let size = kept.len().div_ceil(parts);
            let mut smaller = None;
            for start in (0..kept.len()).step_by(size) {
                let end = (start + size).min(kept.len());
                let rest = [&kept[..start], &kept[end..]].concat();
                let fewer = tape.of_only(&rest);
                if self.fails(&fewer).await? {
                    *tape = fewer;
                    smaller = Some(rest);
                    break;
                }
            }
            match smaller {
                Some(rest) => (*kept, parts) = (rest, parts.saturating_sub(1).max(2)),
                None if parts >= kept.len() => break,
                None => parts *= 2,
            }
        }
        Ok(())
    }

    /// Takes out of the messages what is not needed. Returns how many parts that were.
    async fn smallest_messages(&mut self, tape: &mut ReducedTape) -> Result<usize, TapeError> {
        let mut gone = 0;
        let whole = tape.clone();
        for left in whole.of_client() {
            let LeftMessage { place, envelope: Envelope { mut message, .. }, .. } = left?;
            if self.left == 0 {
                break;
            }
            if !whole.is_kept(place) {
                continue;
            }
            // Of what is gone, nothing inside is tried.
            let mut tried = HashSet::new();
            while let Some(path) = parts_of(&message).into_iter().find(|it| !tried.contains(it)) {
                let smaller = without(&message, &path);
                tried.insert(path);
                let Some(smaller) = smaller else { continue };
                let mut less = tape.clone();
                less.smaller.insert(place, smaller.clone());
                if self.fails(&less).await? {
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

/// The first messages of the client's that are left, with why, and how many others are.
fn described(tape: &ReducedTape, why: &'static str) -> Result<(Vec<KeptMessage>, usize), TapeError> {
    let subject = |it: &Envelope| {
        let method = it.method().unwrap_or("no JSON-RPC");
        it.name().map_or_else(|| method.to_owned(), |name| format!("{method} {name}"))
    };
    let why = |it: &LeftMessage| match it.envelope.kind().is_reply() {
        true => ANSWERS,
        false if tape.is_kept(it.place) => why,
        false => BEGINS,
    };
    let (mut told, mut untold) = (Vec::new(), 0);
    for left in tape.of_client() {
        let left = left?;
        if told.len() < MOST_TOLD {
            let (seq, subject) = (left.envelope.seq, subject(&left.envelope));
            told.push(KeptMessage { seq, subject, why: why(&left) });
        } else {
            untold += 1;
        }
    }
    Ok((told, untold))
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
        tape.messages().map(|it| text(it.unwrap().envelope)).collect()
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

    /// What its second call needs is another before it; without its argument it fails by itself.
    #[tokio::test]
    async fn minimise_leaves_no_message_that_is_not_needed_without_parts_of_others() {
        let call = |id: usize| {
            format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"t{id}","arguments":{{"a":1}}}}}}"#)
        };
        let fails = |tape: ReducedTape| {
            let said = said(&tape);
            let last = said.iter().find(|it| it.contains("\"t2\""));
            ready(last.is_some_and(|last| !last.contains("\"a\"") || said.iter().any(|it| it.contains("\"t1\""))))
        };
        let found = minimise(tape(&[INITIALIZE, &call(1), &call(2)]), 99, fails).await.unwrap().unwrap();
        let least = r#"{"id":2,"method":"tools/call","params":{"name":"t2","arguments":{}}}"#;
        assert_eq!((said(&found.tape), found.gone.0), (vec![INITIALIZE.to_owned(), least.to_owned()], 1));
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
