//! One tape while it is being made: what is on the disk, what waits, what was lost.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{Disk, FileIdentity, Sink, write_counted};
use crate::envelope::{Envelope, HeaderTexts, PendingLines};
use crate::event::{Annotation, Session, TapeParent, Timestamp};
use crate::tape::format::{AnnotationMark, MESSAGE, Mark, PeerMark, TapeHeader, TapePeers};
use crate::tape::redact::{RedactRules, Redactor, line_without_secrets};

/// Bytes of what people noted that wait for a disk.
const MOST_NOTED: usize = 1 << 20;

/// One session's tape while it is being made.
pub(super) struct Recording {
    pub(super) session: Arc<Session>,
    pub(super) path: Arc<Path>,
    pub(super) sink: Option<Box<dyn Sink>>,
    pub(super) parent: Option<TapeParent>,
    /// Takes secrets out of messages, from the first that may have one on.
    redactor: Option<Box<Redactor>>,
    /// Whole lines that wait for a flush.
    pub(super) pending: PendingLines,
    /// What was noted of messages and is not in the file yet, as lines.
    annotations: Vec<u8>,
    /// When something was noted last.
    noted_at: u64,
    /// How many messages the pending lines hold.
    messages: u64,
    /// Length of the file up to its last whole line; zero before the header.
    good: u64,
    /// The file that we have opened, whether or not it is open now.
    identity: Option<FileIdentity>,
    /// Messages in the file.
    written: u64,
    /// Messages that passed and are not in the file, and that no gap mark tells of yet.
    pub(super) lost: u64,
    /// Whether the file went on without us knowing what it says of the peers.
    peers_due: bool,
    pub(super) dirty: bool,
    pub(super) failing: bool,
    /// When the file was last looked at, while it is open.
    looked: Option<Instant>,
    /// What another program did to the file since this was last taken, and how many messages are missing by it.
    pub(super) meddled: Option<(TapeInterference, u64)>,
}

/// What another program may do to a tape that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TapeInterference {
    /// The file is no longer where it was.
    Removed,
    /// The file is shorter than it was.
    Cut,
}

impl Recording {
    pub(super) fn new(session: &Session, path: Arc<Path>) -> Self {
        Self {
            session: Arc::new(session.clone()),
            path,
            sink: None,
            parent: None,
            redactor: None,
            pending: PendingLines::default(),
            annotations: Vec::new(),
            noted_at: 0,
            messages: 0,
            good: 0,
            identity: None,
            written: 0,
            lost: 0,
            peers_due: false,
            dirty: false,
            failing: false,
            looked: None,
            meddled: None,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.good > 0
    }

    pub(super) fn now(&self) -> u64 {
        Timestamp::now().0.saturating_sub(self.session.started.0)
    }

    /// Takes a message into the lines that wait, without its secrets where there are rules for that.
    pub(super) fn append(&mut self, envelope: &Envelope, headers: &mut HeaderTexts, rules: Option<&RedactRules>) {
        match rules.and_then(|rules| line_without_secrets(&mut self.redactor, rules, envelope)) {
            Some(line) => {
                self.pending.text.extend_from_slice(line.as_bytes());
                self.pending.text.push(b'\n');
            }
            None => envelope.write_line(headers, &mut self.pending),
        }
        self.messages += 1;
    }

    pub(super) fn mark(&mut self, mark: &Mark) {
        push_line(mark, &mut self.pending.text);
    }

    pub(super) fn mark_without_secrets(&mut self, mark: &Mark, rules: Option<&RedactRules>) {
        let line = self.line_of(mark, rules);
        self.pending.text.extend(line);
    }

    fn line_of(&mut self, mark: &Mark, rules: Option<&RedactRules>) -> Vec<u8> {
        let mut line = Vec::new();
        push_line(mark, &mut line);
        let redactor = rules.map(|rules| self.redactor.get_or_insert_with(|| Box::new(Redactor::new(rules.clone()))));
        let redacted = redactor.and_then(|redactor| redactor.line(std::str::from_utf8(&line).ok()?));
        redacted.map_or(line, String::into_bytes)
    }

    /// Takes in what was noted of a message, without its secrets where there are rules for that. The latest counts, also where the
    /// clock was set back.
    pub(super) fn annotate(&mut self, noted: &Annotation, rules: Option<&RedactRules>) {
        self.noted_at = self.now().max(self.noted_at);
        let mark = Mark::Annotation(AnnotationMark { at: self.noted_at, seq: noted.seq, mark: noted.mark.clone() });
        let line = self.line_of(&mark, rules);
        if self.annotations.len() + line.len() <= MOST_NOTED {
            self.annotations.extend(line);
        }
    }

    pub(super) fn peers(&self) -> TapePeers {
        TapePeers::of(&self.session)
    }

    pub(super) fn peer_mark(&self) -> Mark {
        Mark::Peer(PeerMark { at: self.now(), peers: self.peers() })
    }

    /// Writes what is pending; what could not be written is gone then, and counted.
    /// `look`: how long an open file is trusted to have its name still. That it was not cut is checked before each write.
    pub(super) fn write(&mut self, disk: &dyn Disk, rules: Option<&RedactRules>, look: Duration) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let messages = std::mem::take(&mut self.messages);
        let (kept, result) = self.try_write(disk, &pending, rules, look);
        let lost = if result.is_ok() { 0 } else { count_messages(&flat(&pending)[kept..]) };
        self.written += messages - lost;
        self.lost += lost;
        if result.is_err() {
            // What is on the disk now is looked at again before the next write.
            self.sink = None;
            self.peers_due = true;
        }
        self.pending = pending;
        self.pending.clear();
        result
    }

    /// How many bytes of `pending` are on the disk in whole lines, and why not all.
    fn try_write(
        &mut self,
        disk: &dyn Disk,
        pending: &PendingLines,
        rules: Option<&RedactRules>,
        look: Duration,
    ) -> (usize, io::Result<()>) {
        if let Err(error) = self.make_ready(disk, look) {
            return (0, Err(error));
        }
        if let (_, Err(error)) = self.write_lines(&self.preface(rules)) {
            return (0, Err(error));
        }
        self.lost = 0;
        self.peers_due = false;
        let mut annotations = PendingLines::default();
        annotations.text = std::mem::take(&mut self.annotations);
        if let (_, Err(error)) = self.write_lines(&annotations) {
            self.annotations = annotations.text;
            return (0, Err(error));
        }
        self.write_lines(pending)
    }

    /// Opens the file where it is not open, and makes sure that it ends with the last whole line.
    fn make_ready(&mut self, disk: &dyn Disk, look: Duration) -> io::Result<()> {
        if self.sink.is_none() || self.looked.is_none_or(|at| at.elapsed() >= look) {
            self.looked = Some(Instant::now());
            if self.identity.is_some() && disk.identity(&self.path)? != self.identity {
                self.begin_again();
            }
        }
        if self.sink.as_ref().is_none_or(|sink| sink.length().is_ok_and(|length| length < self.good)) {
            self.sink = None;
            self.reopen(disk)?;
        }
        Ok(())
    }

    /// The tape was removed or moved away: what was on it is missing from the one that begins now.
    fn begin_again(&mut self) {
        let missing = std::mem::take(&mut self.written);
        self.lost += missing;
        self.meddled = self.has_begun().then_some((TapeInterference::Removed, missing));
        (self.sink, self.identity, self.good) = (None, None, 0);
    }

    fn reopen(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let mut sink = disk.open(&self.path)?;
        if self.identity.is_none() {
            sink.end_torn_line()?;
        }
        let length = sink.length()?;
        if self.identity.is_none() {
            // Where there is something, the session was recorded before tapline was restarted.
            self.peers_due = length > 0;
            self.good = length;
        } else if length < self.good {
            // It was cut: what is left stays, and the rest is missing.
            let left = sink.whole_lines()?;
            sink.cut(left.bytes)?;
            self.good = left.bytes;
            let missing = self.written.saturating_sub(left.messages);
            self.lost += missing;
            self.written -= missing;
            (self.peers_due, self.meddled) = (true, Some((TapeInterference::Cut, missing)));
        } else if length > self.good {
            sink.cut(self.good)?;
        }
        self.identity = Some(sink.identity()?);
        self.sink = Some(sink);
        Ok(())
    }

    /// What has to stand before the next message: the header, or after trouble what is missing.
    fn preface(&self, rules: Option<&RedactRules>) -> PendingLines {
        let mut preface = PendingLines::default();
        let lines = &mut preface.text;
        if !self.has_begun() {
            push_line(&TapeHeader { parent: self.parent, ..header(&self.session, rules) }, lines);
        } else if self.peers_due {
            push_line(&self.peer_mark(), lines);
        }
        if self.lost > 0 {
            push_line(&Mark::Gap { at: self.now(), messages: self.lost }, lines);
        }
        preface
    }

    /// How many bytes are on the disk in whole lines, and why not all.
    fn write_lines(&mut self, lines: &PendingLines) -> (usize, io::Result<()>) {
        if lines.text.is_empty() {
            return (0, Ok(()));
        }
        let sink = self.sink.as_mut().expect("made ready before");
        let (written, result) = write_counted(&mut **sink, lines);
        let whole = match result {
            Ok(()) => written,
            Err(_) => memchr::memrchr(b'\n', &flat(lines)[..written]).map_or(0, |end| end + 1),
        };
        self.good += whole as u64;
        if written > whole {
            // Where this fails as well, the partial line is cut off when the file is opened again.
            let _ = sink.cut(self.good);
        }
        (whole, result)
    }
}

/// The first line of a tape; `rules`: what is taken out of its messages.
fn header(session: &Session, rules: Option<&RedactRules>) -> TapeHeader {
    let mut header = TapeHeader::of(session);
    match rules {
        Some(rules) => header.redaction.extend(std::iter::once("bodies".to_owned()).chain(rules.words())),
        None => header.unredacted = true,
    }
    header
}

fn flat(lines: &PendingLines) -> Vec<u8> {
    lines.pieces().flatten().copied().collect()
}

fn push_line<T: serde::Serialize>(line: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, line).expect("a vector takes everything, and all keys are strings");
    out.push(b'\n');
}

fn count_messages(lines: &[u8]) -> u64 {
    lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.starts_with(MESSAGE)).count() as u64
}
