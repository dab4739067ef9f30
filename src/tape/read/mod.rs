//! Reads tapes, whole ([`Tape::read`]), once with their messages left where they stand ([`StoredTape`]), line by line ([`TapeReader`]) or
//! by their outside only ([`catalogue()`]).
//!
//! A tape that was cut or damaged is read as far as it goes: what cannot be read is a [`Problem`], never an error.

mod annotations;
mod catalogue;
mod chunks;
mod head;
mod on_disk;
mod packed;
mod stretches;
mod tail;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

pub(crate) use self::annotations::read_annotations;
pub use self::catalogue::{Catalogue, catalogue, is_tape_name, tape_files};
pub(super) use self::chunks::{TapeChunk, TapeChunks};
pub(super) use self::head::MessageHead;
pub(super) use self::on_disk::TapeFile;
pub use self::on_disk::{ReadWatch, StoredTape};
pub use self::packed::{ReadPlace, TapeBytes, check_is_file, is_packed};
pub(super) use self::packed::{is_broken, read_no_further};
pub(super) use self::stretches::{LineStretches, READ_ON, STRETCH, on_all_cores};
pub use self::tail::last_seq;
use super::format::{FORMAT, MARK, MESSAGE, Mark, TapeAnnotations, TapeError, TapeHeader};
use crate::envelope::{Envelope, HeaderCache, Seq, SessionId, Unknown, without_place};
use crate::event::TapeSeam;
use crate::text::{counted, counted_are};

const BUFFER: usize = 256 << 10;

/// A whole tape in memory: a short one, as no command takes one in so.
#[derive(Clone, Debug)]
pub struct Tape {
    pub path: PathBuf,
    /// With everything that later marks know of the peers.
    pub header: TapeHeader,
    /// In the order they passed.
    pub envelopes: Vec<Arc<Envelope>>,
    pub gaps: Vec<Gap>,
    pub hang_ups: Vec<HangUp>,
    /// The last message before each place where a fresh process was told all again.
    pub rewinds: Vec<Seq>,
    pub seams: Vec<TapeSeam>,
    /// What people noted of its messages.
    pub(crate) annotations: TapeAnnotations,
    /// Lines that could not be read.
    pub problems: Problems,
    /// Whether the last line is cut short, as after a crash.
    pub torn: bool,
    /// Why the session ended; `None` where the tape does not say.
    pub end: Option<String>,
    /// Lines that were read.
    pub(super) lines: u64,
}

/// Messages that passed and are not on the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Microseconds from the start of the session to the moment it was noticed.
    pub at: u64,
    pub messages: u64,
}

/// A request whose client hung up before it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HangUp {
    /// Microseconds from the start of the session.
    pub at: u64,
    pub seq: Seq,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1 as an editor counts.
    pub line: u64,
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Lines that could not be read: the first of them, and how many others. There may be as many as lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    named: Vec<Problem>,
    unnamed: u64,
}

/// So many are named.
const MOST_NAMED: usize = 100;

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        if self.named.len() < MOST_NAMED {
            self.named.push(problem);
        } else {
            self.unnamed += 1;
        }
    }

    /// Takes in those of what follows `before` lines.
    fn append(&mut self, later: Self, before: u64) {
        later.named.into_iter().for_each(|it| self.push(Problem { line: before + it.line, ..it }));
        self.unnamed += later.unnamed;
    }
}

impl Deref for Problems {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.named
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut all = Self::default();
        problems.into_iter().for_each(|problem| all.push(problem));
        all
    }
}

impl<const N: usize> PartialEq<[Problem; N]> for Problems {
    fn eq(&self, other: &[Problem; N]) -> bool {
        self.unnamed == 0 && self.named == other
    }
}

impl Tape {
    /// Reads a tape file.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn read(path: &Path) -> Result<Self, TapeError> {
        Ok(Self::read_chunks(path, TapeReader::open(path)?))
    }

    /// Reads a tape from anywhere; `path` is what it is called.
    ///
    /// # Errors
    /// Where the first line cannot be read, is no header, or is one of a newer format.
    pub fn read_from(path: &Path, reader: impl BufRead) -> Result<Self, TapeError> {
        Ok(Self::read_chunks(path, TapeReader::new(path, reader)?))
    }

    fn read_chunks<R: BufRead>(path: &Path, entries: TapeReader<R>) -> Self {
        let mut tape = Self::begun(path, entries.header().clone());
        let mut chunks = TapeChunks::of(entries, STRETCH);
        while let Some(read) = chunks.read_next() {
            read.into_iter().for_each(|chunk| tape.add(chunk));
        }
        tape
    }

    /// A tape of which no more than the header was read.
    pub(crate) fn begun(path: &Path, header: TapeHeader) -> Self {
        Self {
            path: path.to_owned(),
            header,
            envelopes: Vec::new(),
            gaps: Vec::new(),
            hang_ups: Vec::new(),
            rewinds: Vec::new(),
            seams: Vec::new(),
            annotations: TapeAnnotations::default(),
            problems: Problems::default(),
            torn: false,
            end: None,
            lines: 1,
        }
    }

    /// Takes in what follows.
    fn add(&mut self, chunk: TapeChunk<Arc<Envelope>>) {
        let envelopes = self.add_all_but_messages(chunk);
        self.envelopes.extend(envelopes);
    }

    /// Takes in what follows but its messages, which it returns.
    pub(super) fn add_all_but_messages<M>(&mut self, chunk: TapeChunk<M>) -> Vec<M> {
        let lines = self.lines;
        self.gaps.extend(chunk.gaps);
        self.hang_ups.extend(chunk.hang_ups);
        self.rewinds.extend(chunk.rewinds);
        self.seams.extend(chunk.seams);
        self.problems.append(chunk.problems, lines);
        chunk.peers.into_iter().for_each(|peer| self.header.peers.learn(peer.peers));
        chunk.annotations.into_iter().for_each(|noted| self.annotations.put(noted));
        self.torn |= chunk.torn;
        self.end = chunk.end.or(self.end.take());
        self.lines += chunk.lines;
        chunk.messages
    }

    /// Whether a fresh process was being brought to where the session was: what then was injected or withheld was only said again.
    pub(crate) fn is_told_again(&self, seq: Seq) -> bool {
        let is_behind = |after: &Seq| {
            let end = self.seams.iter().map(|seam| seam.after).find(|end| end > after);
            *after < seq && end.is_none_or(|end| seq <= end)
        };
        self.rewinds.iter().any(is_behind)
    }

    /// Everything that is not as it should be, for people.
    pub fn troubles(&self) -> Vec<String> {
        let missing = self.gaps.iter().map(|gap| gap.messages).sum();
        troubles(&self.problems, missing, self.torn)
    }
}

/// One line of a tape after the header.
#[derive(Debug)]
pub enum TapeEntry {
    /// With the members that this version does not know.
    Message {
        envelope: Box<Envelope>,
        unknown: Unknown,
    },
    Mark(Mark),
    Problem(Problem),
    /// The last line is cut short; nothing follows.
    Torn,
}

/// The lines of a tape, one at a time.
#[derive(Debug)]
pub struct TapeReader<R> {
    reader: R,
    header: TapeHeader,
    line: u64,
    buffer: Vec<u8>,
    /// Where the line in the buffer stands, and where the next one begins, in bytes.
    place: std::ops::Range<u64>,
    known: HeaderCache,
    /// Whether the file gave up.
    broken: bool,
}

impl TapeReader<BufReader<TapeBytes>> {
    /// Opens a tape file, plain or packed, and reads its header.
    ///
    /// # Errors
    /// Where the file cannot be read, is no tape, or is one of a newer format.
    pub fn open(path: &Path) -> Result<Self, TapeError> {
        let bytes = TapeBytes::open(path).map_err(|source| TapeError::unread(path, source))?;
        Self::new(path, BufReader::with_capacity(BUFFER, bytes))
    }

    /// How far it is read.
    ///
    /// # Errors
    /// As of [`TapeBytes::place`].
    pub fn place_in_file(&self) -> std::io::Result<ReadPlace> {
        self.reader.get_ref().place()
    }
}

impl<'l> TapeReader<&'l [u8]> {
    /// Lines from the middle of a tape, which begin at that byte; they are counted from 1.
    fn of_lines(lines: &'l [u8], header: TapeHeader, start: u64) -> Self {
        let (buffer, known) = (Vec::new(), HeaderCache::default());
        Self { reader: lines, header, line: 0, buffer, place: start..start, known, broken: false }
    }
}

impl<R: BufRead> TapeReader<R> {
    /// Reads the header; `path` is what the tape is called.
    ///
    /// # Errors
    /// Where the first line cannot be read, is no header, or is one of a newer format.
    pub fn new(path: &Path, mut reader: R) -> Result<Self, TapeError> {
        let mut buffer = Vec::new();
        reader.read_until(b'\n', &mut buffer).map_err(|error| TapeError::unread_at_all(path, error))?;
        let header = read_header(path, &buffer)?;
        let place = 0..buffer.len() as u64;
        Ok(Self { reader, header, line: 1, buffer, place, known: HeaderCache::default(), broken: false })
    }

    /// The first line of the tape.
    pub fn header(&self) -> &TapeHeader {
        &self.header
    }

    /// The line of the last entry in the file, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Where the line of the last entry stands, in bytes.
    pub(super) fn place(&self) -> std::ops::Range<u64> {
        self.place.clone()
    }

    /// The next line without its end; `None` after the last. The flag is whether it is whole.
    fn next_line(&mut self) -> Option<Result<bool, Problem>> {
        if self.broken {
            return None;
        }
        self.buffer.clear();
        let read = self.reader.read_until(b'\n', &mut self.buffer);
        self.line += u64::from(!matches!(read, Ok(0)));
        self.place = self.place.end..self.place.end + self.buffer.len() as u64;
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(self.buffer.pop_if(|last| *last == b'\n').is_some())),
            Err(error) => {
                self.broken = true;
                Some(Err(self.problem(read_no_further(&error))))
            }
        }
    }

    /// The entries, each with the number of its line.
    pub fn lines(mut self) -> impl Iterator<Item = (u64, TapeEntry)> {
        std::iter::from_fn(move || self.next().map(|entry| (self.line, entry)))
    }

    /// The next entry that is not taken as the text of its line.
    pub(super) fn next_with(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> Option<TapeEntry> {
        loop {
            let whole = match self.next_line()? {
                Ok(whole) => whole,
                Err(problem) => return Some(TapeEntry::Problem(problem)),
            };
            if self.buffer.iter().all(u8::is_ascii_whitespace) || (whole && take(&self.buffer)) {
                continue;
            }
            return Some(match read_line(&self.buffer, self.header.session, &mut self.known) {
                Ok(entry) => entry,
                // A last line without an end may be whole all the same; it is torn only where it cannot be read.
                Err(_) if !whole => TapeEntry::Torn,
                Err(why) => TapeEntry::Problem(self.problem(why)),
            });
        }
    }

    /// What follows the header, by many lines at a time.
    pub(super) fn into_stretches(self, stretch: u64) -> LineStretches<R> {
        LineStretches::new(self.reader, stretch)
    }

    fn problem(&self, why: impl Into<String>) -> Problem {
        Problem { line: self.line, why: why.into() }
    }
}

impl<R: BufRead> Iterator for TapeReader<R> {
    type Item = TapeEntry;

    fn next(&mut self) -> Option<TapeEntry> {
        self.next_with(|_| false)
    }
}

pub(super) fn read_line(line: &[u8], session: SessionId, known: &mut HeaderCache) -> Result<TapeEntry, String> {
    let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    if !line.starts_with(MESSAGE) {
        match serde_json::from_str::<Mark>(text) {
            Ok(mark) => return Ok(TapeEntry::Mark(mark)),
            Err(error) if line.starts_with(MARK) => return Err(without_place(&error)),
            // A message, then, whose members another program wrote in another order.
            Err(_) => {}
        }
    }
    let (envelope, unknown) = Envelope::read_json_among(text, session, known)?;
    Ok(TapeEntry::Message { envelope: Box::new(envelope), unknown })
}

fn read_header(path: &Path, line: &[u8]) -> Result<TapeHeader, TapeError> {
    /// What every format, also a newer one, has in its header.
    #[derive(Deserialize)]
    struct AnyHeader {
        tapline: u32,
        #[serde(default)]
        version: String,
    }
    // Some editors begin a file with a byte order mark.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let not_a_tape = |why: String| TapeError::NotATape { path: path.to_owned(), why };
    if line.is_empty() {
        return Err(not_a_tape("it is empty".to_owned()));
    }
    let Ok(AnyHeader { tapline: format, version }) = serde_json::from_slice(line) else {
        return Err(not_a_tape("its first line is not a tapline header".to_owned()));
    };
    if format > FORMAT {
        return Err(TapeError::NewerFormat { path: path.to_owned(), format, version });
    }
    serde_json::from_slice(line).map_err(|error| not_a_tape(format!("its header cannot be read: {error}")))
}

/// Everything that is not as it should be, for people.
pub(crate) fn troubles(problems: &Problems, missing: u64, torn: bool) -> Vec<String> {
    let mut troubles: Vec<_> = problems.iter().map(ToString::to_string).collect();
    if problems.unnamed > 0 {
        troubles.push(format!("{} more cannot be read", counted(problems.unnamed, "line")));
    }
    if missing > 0 {
        troubles.push(format!("{} missing", counted_are(missing, "message")));
    }
    if torn {
        troubles.push("the last line is torn, as after a crash".to_owned());
    }
    troubles
}
