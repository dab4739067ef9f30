//! Over many tapes by the filter language, at the speed of reading: a line that cannot match is not parsed.
//!
//! What every match must have in its line is taken from the filter where that is plain (a word without signs of a pattern); all else
//! is asked of the parsed message. Tapes are shared out among the cores, one at a time; what is found goes out at once. Lines are
//! read through a large buffer and not from mapped memory: mapping a file is unsafe, as another program may cut it, and this crate has no
//! unsafe code.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use memchr::memmem::Finder;

use crate::envelope::Envelope;
use crate::event::{Session, Timestamp};
use crate::filter::Filter;
use crate::tape::read::{TapeBytes, TapeEntry, TapeReader};
use crate::tape::{Tape, TapeContext};

/// What is found waits for who shows it, up to so much.
const WAITING: usize = 1024;
const BUFFER: usize = 1 << 20;

/// What a search comes upon.
pub enum SearchEvent {
    Found {
        tape: PathBuf,
        line: u64,
        session: Box<Session>,
        envelope: Box<Envelope>,
    },
    /// A tape that cannot be read, or not to its end.
    Trouble {
        tape: PathBuf,
        why: String,
    },
    /// A tape was gone through; how large it is on the disk.
    Done {
        bytes: u64,
    },
}

/// Searches tapes on as many threads as there are cores. Dropping the receiver ends it.
pub fn search(tapes: Vec<PathBuf>, filter: Filter) -> Receiver<SearchEvent> {
    let (found, events) = bounded(WAITING);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(tapes.len()).max(1);
    thread::spawn(move || {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(tape) = tapes.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut send = |event| {
                            let is_heard = found.send(event).is_ok();
                            stop.fetch_or(!is_heard, Ordering::Relaxed);
                            is_heard
                        };
                        if stop.load(Ordering::Relaxed) || !search_tape(tape, &filter, &mut send) {
                            return;
                        }
                    }
                });
            }
        });
    });
    events
}

/// Goes through one tape; `false` where the receiver was dropped.
fn search_tape(path: &Path, filter: &Filter, send: &mut dyn FnMut(SearchEvent) -> bool) -> bool {
    let trouble = |why: String| SearchEvent::Trouble { tape: path.to_owned(), why };
    let found = match TapeContext::is_needed(filter) {
        true => search_whole(path, filter, send),
        false => search_lines(path, filter, send),
    };
    let is_heard = match found {
        Ok(is_heard) => is_heard,
        Err(why) => send(trouble(why)),
    };
    is_heard && send(SearchEvent::Done { bytes: std::fs::metadata(path).map_or(0, |it| it.len()) })
}

/// Asks every message, with all that the tape knows.
fn search_whole(path: &Path, filter: &Filter, send: &mut dyn FnMut(SearchEvent) -> bool) -> Result<bool, String> {
    let tape = Tape::read(path).map_err(|error| error.to_string())?;
    let context = TapeContext::of(&tape, Timestamp::now());
    let reader = TapeReader::open(path).map_err(|error| error.to_string())?;
    let session = reader.header().session(None);
    for (line, entry) in reader.lines() {
        if let TapeEntry::Message { envelope, .. } = entry
            && filter.matches_in(&envelope, &context)
            && !send(SearchEvent::Found { tape: path.to_owned(), line, session: Box::new(session.clone()), envelope })
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Parses those lines alone that may match.
fn search_lines(path: &Path, filter: &Filter, send: &mut dyn FnMut(SearchEvent) -> bool) -> Result<bool, String> {
    let header = TapeReader::open(path).map_err(|error| error.to_string())?.header().clone();
    // Who speaks may be known by a later mark only.
    let session = header.session(None);
    let context = TapeContext::of_session(session.clone(), Timestamp::now());
    let needle = filter.literal().map(str::to_ascii_lowercase);
    let needle = needle.as_deref().map(|word| LowerFinder::new(word.as_bytes()));
    let mut reader = BufReader::with_capacity(BUFFER, TapeBytes::open(path).map_err(|error| error.to_string())?);
    let (mut line, mut number, mut known) = (Vec::new(), 0_u64, Default::default());
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(true),
            Ok(_) => number += 1,
            Err(error) => return Err(format!("line {}: the file cannot be read further: {error}", number + 1)),
        }
        if number == 1 || needle.as_ref().is_some_and(|needle| !needle.is_in(&line)) || line.starts_with(b"{\"mark\"") {
            continue;
        }
        let Some(text) = std::str::from_utf8(&line).ok() else { continue };
        let Ok((envelope, _)) = Envelope::read_json_among(text.trim_end(), header.session, &mut known) else {
            continue;
        };
        if filter.matches_in(&envelope, &context) {
            let (tape, session, envelope) = (path.to_owned(), Box::new(session.clone()), Box::new(envelope));
            if !send(SearchEvent::Found { tape, line: number, session, envelope }) {
                return Ok(false);
            }
        }
    }
}

/// Looks for a word in any case, without making a copy of what it looks in.
struct LowerFinder<'w> {
    word: &'w [u8],
    whole: Finder<'w>,
    /// How the word may be hidden: behind an escape, or in base64.
    hidden: [Finder<'static>; 3],
}

impl<'w> LowerFinder<'w> {
    fn new(word: &'w [u8]) -> Self {
        Self {
            word,
            whole: Finder::new(word),
            hidden: [Finder::new(r"\u"), Finder::new(r"\/"), Finder::new("\"b64\":")],
        }
    }

    /// Whether the line may have it. Beyond ASCII, letters of another alphabet may be the same in another case.
    fn is_in(&self, line: &[u8]) -> bool {
        self.whole.find(line).is_some()
            || self.is_in_other_letters(line)
            || !line.is_ascii()
            || self.hidden.iter().any(|it| it.find(line).is_some())
    }

    fn is_in_other_letters(&self, line: &[u8]) -> bool {
        // The rarest letter of it, by how seldom it is in English and in JSON.
        const RARE: &[u8] = b"jqxzwkvfybhgmpuclodrsnaite";
        let rarest = self
            .word
            .iter()
            .enumerate()
            .min_by_key(|(_, byte)| RARE.iter().position(|it| it == *byte).unwrap_or(RARE.len()));
        let Some((offset, byte)) = rarest.filter(|(_, byte)| byte.is_ascii_alphabetic()) else { return false };
        memchr::memchr2_iter(*byte, byte.to_ascii_uppercase(), line).any(|at| {
            let start = at.checked_sub(offset);
            start.is_some_and(|start| {
                line.get(start..start + self.word.len()).is_some_and(|it| it.eq_ignore_ascii_case(self.word))
            })
        })
    }
}
