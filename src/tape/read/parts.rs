//! A large tape in parts, one a core: reading a tape is parsing, and parsing is the processor's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::{BUFFER, Entries, Entry, Gap, Problem};
use crate::envelope::{Envelope, HeaderCache};
use crate::tape::{Header, Mark, PeerMark};

/// A part smaller than this is read sooner than a thread is started.
const SMALLEST: u64 = if cfg!(test) { 64 } else { 4 << 20 };

/// More parts than this only wait for the memory.
const MOST: usize = 4;

/// What some lines of a tape say.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) envelopes: Vec<Arc<Envelope>>,
    pub(super) gaps: Vec<Gap>,
    /// With the line counted from the start of the part.
    pub(super) problems: Vec<Problem>,
    pub(super) peers: Vec<PeerMark>,
    pub(super) torn: bool,
    pub(super) end: Option<String>,
    pub(super) lines: u64,
}

impl Part {
    pub(super) fn of<R: BufRead>(mut entries: Entries<R>) -> Self {
        let mut part = Self::default();
        let before = entries.line;
        for entry in &mut entries {
            match entry {
                Entry::Message { envelope, .. } => part.envelopes.push(Arc::new(*envelope)),
                Entry::Mark(Mark::Gap { at, messages }) => part.gaps.push(Gap { at, messages }),
                Entry::Mark(Mark::Peer(peer)) => part.peers.push(peer),
                Entry::Mark(Mark::End { reason, .. }) => part.end = Some(reason),
                Entry::Mark(Mark::Log { .. } | Mark::Seam { .. } | Mark::Attempt { .. } | Mark::Unknown) => {}
                Entry::Problem(problem) => part.problems.push(problem),
                Entry::Torn => part.torn = true,
            }
        }
        part.lines = entries.line - before;
        part
    }
}

/// Reads the rest of a tape of which the header was read.
pub(super) fn read(path: &Path, entries: Entries<BufReader<File>>) -> io::Result<Vec<Part>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let cores = thread::available_parallelism().map_or(1, usize::from).min(MOST) as u64;
    let count = cores.min(length / SMALLEST);
    if count < 2 {
        return Ok(vec![Part::of(entries)]);
    }
    let header = entries.header().clone();
    let first = entries.buffer.len() as u64;
    let starts = (0..count).map(|part| match part {
        0 => Ok(first),
        _ => start_of_line(&mut file, (part * (length / count)).max(first)),
    });
    let mut bounds = starts.collect::<io::Result<Vec<_>>>()?;
    bounds.push(length);
    thread::scope(|scope| {
        let bounds = bounds.windows(2).enumerate();
        let threads: Vec<_> = bounds
            .map(|(index, bounds)| {
                let (start, end, header) = (bounds[0], bounds[1], header.clone());
                // The header is line 1 of the first part.
                scope.spawn(move || read_part(path, start, end, header, u64::from(index == 0)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("reading never panics")).collect()
    })
}

fn read_part(path: &Path, start: u64, end: u64, header: Header, line: u64) -> io::Result<Part> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let reader = BufReader::with_capacity(BUFFER, file.take(end.saturating_sub(start)));
    let entries = Entries { reader, header, line, buffer: Vec::new(), known: HeaderCache::default(), broken: false };
    let mut part = Part::of(entries);
    part.lines += line;
    Ok(part)
}

/// The first line that begins at or after `offset`.
fn start_of_line(file: &mut File, offset: u64) -> io::Result<u64> {
    // One byte before: a line may begin right at `offset`.
    let from = offset.saturating_sub(1);
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file);
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(from + skipped);
        }
        if let Some(end) = memchr::memchr(b'\n', buffer) {
            return Ok(from + skipped + end as u64 + 1);
        }
        let length = buffer.len();
        skipped += length as u64;
        reader.consume(length);
    }
}
