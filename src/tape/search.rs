//! Over many tapes by the filter language, at the speed of reading: a line that cannot match is not parsed.
//!
//! What every match must have in its line is taken from the filter where that is plain (a word without signs of a pattern); all else
//! is asked of the parsed message. Tapes are shared out among the cores, and so are the lines of a large one; what is found goes out
//! at once, in the order of its tape. Lines are read a stretch at a time and not from mapped memory: mapping a file is unsafe, as
//! another program may cut it, and this crate has no unsafe code.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use crate::envelope::{Envelope, HeaderCache};
use crate::event::{Session, Timestamp};
use crate::filter::{Filter, NeededWord};
use crate::tape::TapeContext;
use crate::tape::format::{MARK, MESSAGE, TapeError};
use crate::tape::read::{
    Problem, STRETCH, TapeEntry, TapeReader, check_is_file, on_all_cores, read_line, read_no_further, troubles,
};

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
    /// A tape that cannot be read at all, and why: that names it.
    Unread {
        why: String,
    },
    /// Lines of a tape that cannot be read: what is on them may be what was looked for.
    Damaged {
        tape: PathBuf,
        lines: DamagedLines,
    },
    /// So many more bytes on the disk were gone through, of whichever tape.
    Read {
        bytes: u64,
    },
}

/// Lines that cannot be read: how many, and why not the first.
#[derive(Debug, Default)]
pub struct DamagedLines {
    count: u64,
    first: Option<Problem>,
    /// The last line is cut short.
    is_torn: bool,
}

impl DamagedLines {
    fn add(&mut self, problem: Problem) {
        self.count += 1;
        self.first.get_or_insert(problem);
    }

    /// Takes in those of what follows `before` lines.
    fn append(&mut self, later: Self, before: u64) {
        self.count += later.count;
        let first = later.first.map(|it| Problem { line: before + it.line, ..it });
        self.first = self.first.take().or(first);
        self.is_torn |= later.is_torn;
    }

    fn is_none(&self) -> bool {
        self.count == 0 && !self.is_torn
    }
}

impl fmt::Display for DamagedLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = self.first.iter().cloned().collect();
        f.write_str(&troubles(&problems, 0, self.is_torn).join("; "))?;
        match self.count {
            0 | 1 => Ok(()),
            count => write!(f, "; {count} lines cannot be read, this is the first"),
        }
    }
}

/// Searches tapes on as many threads as there are cores. Dropping the receiver ends it, also within a tape where nothing is found.
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
    let (mut damaged, mut read) = (DamagedLines::default(), 0);
    let found = match TapeContext::is_needed(filter) {
        true => search_whole(path, filter, &mut damaged, send),
        false => search_lines(path, filter, &mut damaged, &mut read, send),
    };
    let is_heard = found.unwrap_or_else(|error| send(SearchEvent::Unread { why: error.to_string() }));
    let is_heard =
        is_heard && (damaged.is_none() || send(SearchEvent::Damaged { tape: path.to_owned(), lines: damaged }));
    let length = std::fs::metadata(path).map_or(0, |it| it.len());
    is_heard && send(SearchEvent::Read { bytes: length.saturating_sub(read) })
}

/// Asks every message, with all that the tape knows.
fn search_whole(
    path: &Path,
    filter: &Filter,
    damaged: &mut DamagedLines,
    send: &mut dyn FnMut(SearchEvent) -> bool,
) -> Result<bool, TapeError> {
    check_is_file(path)?;
    let context = TapeContext::read(path, Some(filter), Timestamp::now())?;
    let reader = TapeReader::open(path)?;
    let session = reader.header().session(None);
    for (line, entry) in reader.lines() {
        match entry {
            TapeEntry::Message { envelope, .. } if filter.matches_in(&envelope, &context) => {
                let (tape, session) = (path.to_owned(), Box::new(session.clone()));
                if !send(SearchEvent::Found { tape, line, session, envelope }) {
                    return Ok(false);
                }
            }
            TapeEntry::Message { .. } | TapeEntry::Mark(_) => {}
            TapeEntry::Problem(problem) => damaged.add(problem),
            TapeEntry::Torn => damaged.is_torn = true,
        }
    }
    Ok(true)
}

/// Parses those lines alone that may match. `read`: how far it is, in bytes on the disk.
fn search_lines(
    path: &Path,
    filter: &Filter,
    damaged: &mut DamagedLines,
    read: &mut u64,
    send: &mut dyn FnMut(SearchEvent) -> bool,
) -> Result<bool, TapeError> {
    let entries = TapeReader::open(path)?;
    // Who speaks may be known by a later mark only.
    let session = entries.header().session(None);
    let (word, now) = (filter.needed_word(), Timestamp::now());
    let scan = LineScan { word, filter, session: &session, now };
    let place = entries.place_in_file().map_err(|error| TapeError::unread(path, error))?;
    let mut stretches = entries.into_stretches(STRETCH);
    let mut before = 1;
    loop {
        let lines = match stretches.read_next() {
            Ok(Some(lines)) => lines,
            Ok(None) => return Ok(true),
            Err(error) => {
                damaged.add(Problem { line: before + 1, why: read_no_further(&error) });
                return Ok(true);
            }
        };
        for part in on_all_cores(lines, |part| scan.scan(part)) {
            for (line, envelope) in part.found {
                let (tape, session) = (path.to_owned(), Box::new(session.clone()));
                if !send(SearchEvent::Found { tape, line: before + line, session, envelope: Box::new(envelope) }) {
                    return Ok(false);
                }
            }
            damaged.append(part.damaged, before);
            before += part.lines;
        }
        // A tape may be larger than anyone waits for: how far it is, and whether anybody listens still.
        let bytes = place.bytes().saturating_sub(*read);
        *read += bytes;
        if !send(SearchEvent::Read { bytes }) {
            return Ok(false);
        }
    }
}

/// What is asked of the lines of one tape.
struct LineScan<'s> {
    /// What every match has on its line, where that is known.
    word: Option<NeededWord>,
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
    damaged: DamagedLines,
}

impl LineScan<'_> {
    fn scan(&self, lines: &[u8]) -> ScannedPart {
        let is_anywhere = |lines: &[u8]| self.word.as_ref().is_none_or(|word| word.may_be_in(lines));
        let (mut part, mut known) = (ScannedPart::default(), HeaderCache::default());
        let (context, is_here) = (TapeContext::of_session(self.session.clone(), self.now), is_anywhere(lines));
        let mut rest = lines;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, behind) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            rest = behind;
            part.lines += 1;
            let line = if end.is_some() { &line[..line.len() - 1] } else { line };
            if has_form_of_entry(line) && !(is_here && is_anywhere(line)) {
                continue;
            }
            match read_line(line, self.session.id, &mut known) {
                Ok(TapeEntry::Message { envelope, .. }) if self.filter.matches_in(&envelope, &context) => {
                    part.found.push((part.lines, *envelope));
                }
                Ok(_) => {}
                Err(_) if line.iter().all(u8::is_ascii_whitespace) => {}
                Err(_) if end.is_none() => part.damaged.is_torn = true,
                Err(why) => part.damaged.add(Problem { line: part.lines, why }),
            }
        }
        part
    }
}

/// Whether a line begins and ends as the messages and marks that we write do; such a one is read only where it may match.
fn has_form_of_entry(line: &[u8]) -> bool {
    (line.starts_with(MESSAGE) || line.starts_with(MARK)) && line.ends_with(b"}")
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
            SearchEvent::Unread { why } => panic!("{why}"),
            SearchEvent::Damaged { lines, .. } => panic!("{lines}"),
            SearchEvent::Read { .. } => None,
        };
        events.into_iter().filter_map(line).collect()
    }

    #[test]
    fn search_of_a_long_tape_says_how_far_it_is_and_ends_where_nobody_listens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tape.jsonl");
        let line = r#"{"seq":1,"at":1,"dir":"s2c","via":"stdio","msg":{"jsonrpc":"2.0","id":1,"result":{}}}"#;
        // More than is read ahead.
        std::fs::write(&path, format!("{HEADER}\n{}", format!("{line}\n").repeat(20_000))).unwrap();
        let filter = Filter::parse("~b nowhere").unwrap();
        let mut told = Vec::new();
        let is_heard = search_tape(&path, &filter, &mut |event| {
            let SearchEvent::Read { bytes } = event else { panic!("there is nothing to find") };
            told.push(bytes);
            true
        });
        assert!(is_heard && told.iter().filter(|bytes| **bytes > 0).count() > 2, "{told:?}");
        assert_eq!(told.iter().sum::<u64>(), std::fs::metadata(&path).unwrap().len());
        let mut events = 0;
        assert!(!search_tape(&path, &filter, &mut |_| {
            events += 1;
            false
        }));
        assert!(events == 1 && told.len() > 1, "it ends with the first stretch: {events}");
    }

    fn result(text: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"text":"{text}"}}}}"#)
    }

    #[test]
    fn search_finds_what_the_filter_matches_wherever_it_stands() {
        let texts = ["Needle", "nothing", r"n\u0065edle", "\u{212a}elvin", r"a\/needle", "x", "needles", "\u{17f}un"];
        let mut bodies: Vec<_> = (0..200).map(|at| result(texts[at % texts.len()])).collect();
        bodies.insert(100, result(&"long ".repeat(1_000)));
        // What a row says of it stands on no line.
        bodies.insert(150, r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.to_owned());
        for query in [
            "batch",
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
