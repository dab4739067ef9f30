//! Everything that is wrong with a tape, with the line: read once, line by line, in bounded memory.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::seal::{LineSums, is_seal};
use super::signature::{SIGNATURE, SealVerifier};
use crate::envelope::{Envelope, Seq};
use crate::message::{Kind, members_of};
use crate::tape::format::{Mark, TapeError, TapeHeader};
use crate::tape::read::{ReadWatch, TapeBytes, TapeEntry, TapeReader, check_is_file};
use crate::text::counted_are;

/// So many findings are told one by one.
const TOLD: usize = 100;
/// After so many lines a watch is told: some hundred times a second.
const TOLD_EACH: u64 = 1 << 10;
/// So many numbers of messages are remembered, to see one come again.
const REMEMBERED: usize = 64 << 10;
/// The most, in microseconds, that a message that is not held takes until it is recorded.
const MOMENT: u64 = 1_000_000;

/// What came of looking through a tape.
#[derive(Debug)]
pub struct Verification {
    pub header: TapeHeader,
    pub messages: u64,
    pub findings: Vec<TapeFault>,
    /// Findings beyond those that are told.
    pub untold: u64,
    /// Whether the last seal holds; `None` where there is none.
    pub sealed: Option<bool>,
    /// Lines that came behind the last seal.
    pub behind_seal: u64,
    /// The signatures behind the last seal, with the public keys in them.
    pub signed_by: Vec<String>,
    /// Why the session ended, where the tape says so.
    pub end: Option<String>,
}

impl Verification {
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, line: Option<u64>, why: impl Into<String>) {
        if self.findings.len() < TOLD {
            self.findings.push(TapeFault { line, why: why.into() });
        } else {
            self.untold += 1;
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapeFault {
    /// From 1, as an editor counts.
    pub line: Option<u64>,
    pub why: String,
}

impl fmt::Display for TapeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Looks through a tape.
///
/// # Errors
/// Where it cannot be read at all, is no tape, or is one of a newer format.
pub fn verify(path: &Path, verifier: Option<&SealVerifier>, watch: &ReadWatch<'_>) -> Result<Verification, TapeError> {
    check_is_file(path)?;
    let unread = |source| TapeError::unread(path, source);
    let entries = TapeReader::open(path)?;
    let place = entries.place_in_file().map_err(unread)?;
    let mut found = Verification {
        header: entries.header().clone(),
        messages: 0,
        findings: Vec::new(),
        untold: 0,
        sealed: None,
        behind_seal: 0,
        signed_by: Vec::new(),
        end: None,
    };
    let mut numbers = SeenNumbers::default();
    let mut missing = false;
    for (line, entry) in entries.lines() {
        if line.is_multiple_of(TOLD_EACH) {
            place.tell(watch, 0, 2);
        }
        match entry {
            TapeEntry::Message { envelope, .. } => {
                found.messages += 1;
                check_message(&envelope, line, &mut numbers, missing, &mut found);
            }
            TapeEntry::Mark(Mark::Gap { messages, .. }) => {
                missing = true;
                let missing = counted_are(messages, "message");
                found.find(Some(line), missing + " missing here, and passed unrecorded");
            }
            TapeEntry::Mark(Mark::End { reason, .. }) => found.end = Some(reason),
            TapeEntry::Mark(_) => {}
            TapeEntry::Problem(problem) => found.find(Some(problem.line), problem.why),
            TapeEntry::Torn => found.find(Some(line), "it is torn, as after a crash: what stands before it is whole"),
        }
    }
    check_lines(path, verifier, &mut found, watch).map_err(unread)?;
    Ok(found)
}

fn check_message(envelope: &Envelope, line: u64, numbers: &mut SeenNumbers, missing: bool, found: &mut Verification) {
    let seq = envelope.seq;
    if !numbers.insert(seq) {
        found.find(Some(line), format!("message {seq} stands here a second time"));
    }
    if let Some(reply) = numbers.answered.remove(&seq) {
        found.find(
            Some(line),
            format!("message {seq} stands behind its answer, line {reply}: lines were put in another order"),
        );
    }
    // A message that is not held is on the tape at once: those of several connections overtake each other by no more than a moment.
    if envelope.held.is_none() {
        let (latest, when) = numbers.latest;
        if found.header.imported.is_none() && seq < latest && when.saturating_sub(envelope.at) > MOMENT {
            let text =
                format!("message {seq} stands behind {latest}, which came later: lines were put in another order");
            found.find(Some(line), text);
        }
        numbers.latest = numbers.latest.max((seq, envelope.at));
    }
    let Some(to) = envelope.reply_to.as_ref().filter(|to| !numbers.has(to.seq)) else { return };
    if !missing && to.seq >= numbers.first {
        found.find(Some(line), format!("it answers {}, which does not stand before it", to.seq));
    } else if numbers.answered.len() < REMEMBERED {
        numbers.answered.insert(to.seq, line);
    }
}

/// The sums of seals, and whether the head of a line says what its message says: both need the text of the lines.
/// With a key, the last seal must be signed by it.
fn check_lines(
    path: &Path,
    verifier: Option<&SealVerifier>,
    found: &mut Verification,
    watch: &ReadWatch<'_>,
) -> std::io::Result<()> {
    let bytes = TapeBytes::open(path)?;
    let place = bytes.place()?;
    let mut reader = BufReader::new(bytes);
    let mut sums = LineSums::default();
    let (mut line, mut number) = (Vec::new(), 0_u64);
    let (mut last, mut is_signed) = (None, false);
    // What cannot be read further was found by the first reading.
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        number += 1;
        if number.is_multiple_of(TOLD_EACH) {
            place.tell(watch, 1, 2);
        }
        if is_seal(&line)
            && let Ok(Mark::Seal(seal)) = serde_json::from_slice(&line)
        {
            let broken = sums.broken(&seal);
            (found.sealed, found.behind_seal) = (Some(broken.is_none()), 0);
            if let Some(why) = broken {
                found.find(None, why);
            }
            found.signed_by.clear();
            (last, is_signed) = (Some(seal), false);
        } else if line.starts_with(SIGNATURE)
            && let (Ok(Mark::Signature(signature)), Some(seal)) = (serde_json::from_slice(&line), &last)
        {
            is_signed |= verifier.is_some_and(|verifier| verifier.has_signed(seal, &signature));
            found.signed_by.push(signature.key);
        } else {
            found.behind_seal += 1;
            if let Some(why) = head_differs(&line) {
                found.find(Some(number), why);
            }
        }
        sums.line(&line);
        line.clear();
    }
    if verifier.is_some() && !(is_signed && found.behind_seal == 0) {
        found.find(None, "it is not signed with this key, or lines came since: it may have been changed on purpose");
    }
    Ok(())
}

/// Why the head of a line is not that of its message: one of them was edited.
fn head_differs(line: &[u8]) -> Option<String> {
    let members = members_of(std::str::from_utf8(line).ok()?).ok()?;
    let get = |key: &str| members.iter().rev().find(|(known, _)| known == key).map(|(_, value)| *value);
    let text = |value: Option<&str>| value.and_then(|it| serde_json::from_str::<String>(it).ok());
    let message = crate::message::Message::new(get("msg")?.to_owned());
    let kind = text(get("kind"));
    if kind.as_deref().is_some_and(|kind| kind != message.kind().word()) {
        return Some(format!("`kind` says {}, the message is {}", kind.unwrap_or_default(), message.kind().word()));
    }
    let method = text(get("method"));
    if matches!(message.kind(), Kind::Request | Kind::Notification) && method.as_deref() != message.method() {
        let said = method.unwrap_or_default();
        return Some(format!("`method` says {said}, the message says {}", message.method().unwrap_or_default()));
    }
    None
}

/// The numbers of the last messages.
#[derive(Default)]
struct SeenNumbers {
    known: HashSet<Seq>,
    order: VecDeque<Seq>,
    /// What was before may have been forgotten, or recorded elsewhere.
    first: Seq,
    /// The last of those that were not held, and when that came, in microseconds from the start.
    latest: (Seq, u64),
    /// What was answered and did not stand before its answer, with the line of that.
    answered: HashMap<Seq, u64>,
}

impl SeenNumbers {
    fn insert(&mut self, seq: Seq) -> bool {
        if self.order.is_empty() {
            self.first = seq;
        }
        if !self.known.insert(seq) {
            return false;
        }
        self.order.push_back(seq);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
            self.first = self.first.max(Seq(oldest.0 + 1));
        }
        true
    }

    fn has(&self, seq: Seq) -> bool {
        self.known.contains(&seq)
    }
}
