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
pub mod minimise;
pub mod mock;
pub mod name;
pub mod play;
pub mod read;
pub mod record;
pub mod redact;
pub mod report;
pub mod search;
pub(crate) mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{Event, Level, LogLine};

pub use context::TapeContext;
pub use format::{FORMAT, Mark, PeerMark, TapeError, TapeHeader, TapeParent, TapePeers};
pub use name::{PACKED, SUFFIX, default_dir, file_name};
pub use read::{Tape, catalogue, catalogue_knowing, is_tape_name, last_seq};

/// A tape of more messages is shown at once, and not judged before that.
const MOST_JUDGED: usize = 20_000;

/// Returns a tape as the event that shows it on a screen, or a log line that says why it cannot be read.
pub fn opened(path: PathBuf) -> Event {
    match Tape::read(&path) {
        Ok(tape) => {
            let problems = tape.troubles();
            let session = Arc::new(tape.session());
            let found = if tape.envelopes.len() > MOST_JUDGED { Vec::new() } else { tape.findings() };
            Event::TapeOpened { path, session, envelopes: tape.envelopes, problems, found }
        }
        Err(error) => Event::Log(LogLine::new(Level::Error, "tape", error.to_string())),
    }
}
