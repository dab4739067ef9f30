//! Tapes: recordings of sessions, one session a file.
//!
//! A tape is JSON Lines, append-only, readable while it is written. Line 1 is the [`TapeHeader`]; every further line is one
//! envelope ([`Envelope::write_json`](crate::envelope::Envelope::write_json)) or a [`Mark`]. The header is written with
//! the first message, before peers and protocol are known: what becomes known later is a mark, so that no byte on disk
//! ever changes. Unknown marks are skipped and unknown members kept: an older tapline reads a newer minor format.
//!
//! - [`record`] writes, and survives a disk that does not;
//! - [`read`] reads, and survives a file that was cut or damaged;
//! - [`care`] looks after tapes that are closed: verifies, seals, packs, rewrites;
//! - [`redact`] takes secrets out of messages;
//! - [`compare`] says how one reply differs from another;
//! - [`diff`] says how one tape differs from another;
//! - [`export`] writes them for other tools, [`import`] makes them of what others recorded, [`search`] goes over many of them;
//! - [`mock`] is the server of a tape, for a live client;
//! - [`play`] plays the client of a tape at a live server; [`report`] renders what came of it.

pub mod accept;
pub mod care;
pub mod compare;
mod context;
pub mod diff;
pub mod export;
pub mod format;
pub mod import;
mod json_items;
pub mod minimise;
pub mod mock;
pub mod name;
mod page;
pub mod play;
pub mod read;
pub mod record;
pub mod redact;
pub mod report;
pub mod search;
pub(crate) mod tokens;

use std::path::Path;
use std::sync::Arc;

use self::read::{READ_ON, TapeChunks, TapeReader};
use crate::event::{Event, Level, LogLine, ReadAhead, TapeEnd, TapePart};

pub use context::TapeContext;
pub use format::{FORMAT, Mark, PeerMark, TapeError, TapeHeader, TapeOutputError, TapePeers};
pub use name::{PACKED, SUFFIX, default_dir, file_name};
pub use read::{Catalogue, Tape, catalogue, is_tape_name, last_seq, tape_files};

/// A tape of more messages is shown at once, and not judged before that.
const MOST_JUDGED: usize = 20_000;

/// Messages that are shown at a time: a screen takes them in between two keys.
const AT_A_TIME: usize = 2_048;
/// So many times that are read ahead of a screen: enough that none waits for the other.
pub const READ_AHEAD: usize = 8;

/// Reads a tape for a screen: it is told of the first messages while the rest is read, or why it cannot be. Not more than `ahead` parts
/// of it are around at a time.
pub fn open(path: &Path, ahead: usize, mut tell: impl FnMut(Event)) {
    let entries = match TapeReader::open(path) {
        Ok(entries) => entries,
        Err(error) => return tell(Event::Log(LogLine::new(Level::Error, "tape", error.to_string()))),
    };
    let mut tape = Tape::begun(path, entries.header().clone());
    let mut chunks = TapeChunks::of(entries, READ_ON);
    let mut ahead = ReadAhead::of(ahead);
    let (mut messages, mut is_opened) = (0, false);
    while let Some(read) = chunks.read_next() {
        for chunk in read {
            let envelopes = tape.add_all_but_messages(chunk);
            messages += envelopes.len();
            for some in envelopes.chunks(AT_A_TIME) {
                let (path, part) = (path.to_owned(), ahead.part(some.to_vec()));
                tell(match std::mem::replace(&mut is_opened, true) {
                    false => Event::TapeOpened { path, session: Arc::new(tape.session()), part },
                    true => Event::TapeRead { path, part, end: None },
                });
            }
            tape.envelopes.extend(envelopes);
            tape.envelopes.truncate(if messages > MOST_JUDGED { 0 } else { MOST_JUDGED });
        }
    }
    let (path, session) = (path.to_owned(), Arc::new(tape.session()));
    if !is_opened {
        tell(Event::TapeOpened { path: path.clone(), session: session.clone(), part: TapePart::default() });
    }
    let (problems, found) = (tape.troubles(), tape.findings());
    let annotations = tape.annotations();
    let end = TapeEnd { session, messages: messages as u64, problems, found, seams: tape.seams, annotations };
    tell(Event::TapeRead { path, part: TapePart::default(), end: Some(Box::new(end)) });
}
