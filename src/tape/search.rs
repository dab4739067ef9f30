//! Over many tapes by the filter language, at the speed of reading: a line that cannot match is not parsed.
//!
//! What every match must have in its line is taken from the filter where that is plain (a word without signs of a pattern); all else
//! is asked of the parsed message. Tapes are shared out among the cores, and so are the lines of a large one; what is found goes out
//! at once, in the order of its tape. Lines are read a stretch at a time and not from mapped memory: mapping a file is unsafe, as
//! another program may cut it, and this crate has no unsafe code.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use crate::envelope::{Envelope, HeaderCache};
use crate::event::{Session, Timestamp};
use crate::filter::Filter;
use crate::tape::read::{LineStretches, STRETCH, TapeBytes, TapeEntry, TapeReader, on_all_cores, read_no_further};
use crate::tape::{Tape, TapeContext};

/// What is found waits for who shows it, up to so much.
const WAITING: usize = 1024;

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
    let (word, now) = (filter.literal().and_then(WordOnLine::of), Timestamp::now());
    let scan = LineScan { word, filter, session: &session, now };
    let mut stretches = LineStretches::new(TapeBytes::open(path).map_err(|error| error.to_string())?, STRETCH);
    let mut before = 0;
    loop {
        let lines = match stretches.read_next() {
            Ok(Some(lines)) => lines,
            Ok(None) => return Ok(true),
            Err(error) => return Err(format!("line {}: {}", before + 1, read_no_further(&error))),
        };
        for part in on_all_cores(lines, |part| scan.scan(part)) {
            for (line, envelope) in part.found {
                let (tape, session) = (path.to_owned(), Box::new(session.clone()));
                if !send(SearchEvent::Found { tape, line: before + line, session, envelope: Box::new(envelope) }) {
                    return Ok(false);
                }
            }
            before += part.lines;
        }
    }
}

/// What is asked of the lines of one tape.
struct LineScan<'s> {
    /// What every match has on its line, where that is known.
    word: Option<WordOnLine>,
    filter: &'s Filter,
    session: &'s Session,
    now: Timestamp,
}

/// What some lines that follow each other had.
#[derive(Default)]
struct ScannedPart {
    lines: u64,
    /// Each with its line, from 1 at the first line of the part.
    found: Vec<(u64, Envelope)>,
}

impl LineScan<'_> {
    fn scan(&self, lines: &[u8]) -> ScannedPart {
        if self.word.as_ref().is_some_and(|word| !word.may_be_in(lines)) {
            return ScannedPart { lines: memchr::memchr_iter(b'\n', lines).count() as u64, found: Vec::new() };
        }
        let (mut part, mut known) = (ScannedPart::default(), HeaderCache::default());
        let context = TapeContext::of_session(self.session.clone(), self.now);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            part.lines += 1;
            if self.word.as_ref().is_some_and(|word| !word.may_be_in(line)) {
                continue;
            }
            // The header and marks are no messages, and are not read as such.
            let message = std::str::from_utf8(line)
                .ok()
                .and_then(|line| Envelope::read_json_among(line.trim_end(), self.session.id, &mut known).ok());
            if let Some((envelope, _)) = message.filter(|(envelope, _)| self.filter.matches_in(envelope, &context)) {
                part.found.push((part.lines, envelope));
            }
        }
        part
    }
}

/// Looks for a word in any case in JSON text as it is written.
struct WordOnLine {
    /// Letters of other alphabets that are the same in another case are found by it.
    word: Regex,
    /// How the word may be hidden: behind an escape, or in base64.
    hidden: [Finder<'static>; 3],
}

impl WordOnLine {
    /// Of a word that has signs in it that are escaped in JSON, its longest part that has none.
    fn of(word: &str) -> Option<Self> {
        let parts = word.split(|c: char| matches!(c, '"' | '\\') || c.is_control());
        let word = parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty())?;
        let word = RegexBuilder::new(&regex::escape(word)).case_insensitive(true).build().ok()?;
        Some(Self { word, hidden: [Finder::new(r"\u"), Finder::new(r"\/"), Finder::new("\"b64\":")] })
    }

    fn may_be_in(&self, lines: &[u8]) -> bool {
        self.word.is_match(lines) || self.hidden.iter().any(|it| it.find(lines).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::tape::format::TapeHeader;

    const HEADER: &str = r#"{"tapline":1,"version":"0.1.0","session":"01a22356-5322-7562-99ce-6298888a2daa","upstream":"echo","via":"stdio","started":0}"#;

    /// The lines on which a filter finds something, in a tape that is scanned in many stretches and parts.
    fn lines(bodies: &[String], query: &str) -> Vec<u64> {
        let mut tape = format!("{HEADER}\n");
        for (seq, body) in bodies.iter().enumerate() {
            writeln!(tape, r#"{{"seq":{seq},"at":{seq},"dir":"s2c","via":"stdio","msg":{body}}}"#).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tape.jsonl");
        std::fs::write(&path, tape).unwrap();
        let events = search(vec![path], Filter::parse(query).unwrap());
        let line = |event| match event {
            SearchEvent::Found { line, .. } => Some(line),
            SearchEvent::Trouble { why, .. } => panic!("{why}"),
            SearchEvent::Done { .. } => None,
        };
        events.into_iter().filter_map(line).collect()
    }

    fn result(text: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{text}"}}}}"#)
    }

    #[test]
    fn search_finds_what_the_filter_matches_wherever_it_stands() {
        let texts = ["Needle", "nothing", r"n\u0065edle", "\u{212a}elvin", r"a\/needle", "x", "needles", "\u{17f}un"];
        let mut bodies: Vec<_> = (0..200).map(|at| result(texts[at % texts.len()])).collect();
        bodies.insert(100, result(&"long ".repeat(1_000)));
        for query in [
            "needle",
            "~b needle",
            "~b kelvin",
            "~b sun",
            "~b a/needle",
            "~b 'text\":\"needle'",
            "~j .result.text=needles",
            "~j .result.text*=needle",
            "~j .result.text^=Need",
            "~j .result.text",
            "~j .result..text=x",
            "~j .result.absent",
            "~j .id=1",
            "~j .id=1.0",
            "!~b needle",
        ] {
            let filter = Filter::parse(query).unwrap();
            let expected = bodies.iter().zip(2..).filter(|(body, _)| {
                let line = format!(r#"{{"seq":1,"at":1,"dir":"s2c","via":"stdio","msg":{body}}}"#);
                let session = serde_json::from_str::<TapeHeader>(HEADER).unwrap().session;
                filter.matches(&Envelope::read_json(&line, session).unwrap().0)
            });
            let expected: Vec<u64> = expected.map(|(_, line)| line).collect();
            assert_eq!(lines(&bodies, query), expected, "{query}");
        }
    }
}
