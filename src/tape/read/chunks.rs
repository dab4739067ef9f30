//! A large tape in chunks, one a core: reading a tape is parsing, and parsing is the processor's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::packed::TapeBytes;
use super::{BUFFER, Gap, Problem, TapeEntry, TapeReader};
use crate::envelope::{Envelope, HeaderCache};
use crate::tape::format::{Mark, PeerMark, TapeHeader};

/// A chunk smaller than this is read sooner than a thread is started.
const SMALLEST: u64 = if cfg!(test) { 64 } else { 4 << 20 };

/// More chunks than this only wait for the memory.
const MOST: usize = 4;

/// What some lines of a tape say.
#[derive(Debug, Default)]
pub(super) struct TapeChunk {
    pub(super) envelopes: Vec<Arc<Envelope>>,
    pub(super) gaps: Vec<Gap>,
    /// What could not be read, with lines counted from the start of the chunk.
    pub(super) problems: Vec<Problem>,
    pub(super) peers: Vec<PeerMark>,
    pub(super) torn: bool,
    pub(super) end: Option<String>,
    pub(super) lines: u64,
}

impl TapeChunk {
    pub(super) fn of<R: BufRead>(mut entries: TapeReader<R>) -> Self {
        let mut chunk = Self::default();
        let before = entries.line;
        for entry in &mut entries {
            match entry {
                TapeEntry::Message { envelope, .. } => chunk.envelopes.push(Arc::new(*envelope)),
                TapeEntry::Mark(Mark::Gap { at, messages }) => chunk.gaps.push(Gap { at, messages }),
                TapeEntry::Mark(Mark::Peer(peer)) => chunk.peers.push(peer),
                TapeEntry::Mark(Mark::End { reason, .. }) => chunk.end = Some(reason),
                TapeEntry::Mark(_) => {}
                TapeEntry::Problem(problem) => chunk.problems.push(problem),
                TapeEntry::Torn => chunk.torn = true,
            }
        }
        chunk.lines = entries.line - before;
        chunk
    }
}

/// Reads the rest of a tape of which the header was read.
pub(super) fn read(path: &Path, entries: TapeReader<BufReader<TapeBytes>>) -> io::Result<Vec<TapeChunk>> {
    if !entries.reader.get_ref().is_plain() {
        return Ok(vec![TapeChunk::of(entries)]);
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let cores = thread::available_parallelism().map_or(1, usize::from).min(MOST) as u64;
    let count = cores.min(length / SMALLEST);
    if count < 2 {
        return Ok(vec![TapeChunk::of(entries)]);
    }
    let header = entries.header().clone();
    let first = entries.buffer.len() as u64;
    let starts = (0..count).map(|chunk| match chunk {
        0 => Ok(first),
        _ => start_of_line(&mut file, (chunk * (length / count)).max(first)),
    });
    let mut bounds = starts.collect::<io::Result<Vec<_>>>()?;
    bounds.push(length);
    thread::scope(|scope| {
        let bounds = bounds.windows(2).enumerate();
        let threads: Vec<_> = bounds
            .map(|(index, bounds)| {
                let (start, end, header) = (bounds[0], bounds[1], header.clone());
                // The header is line 1 of the first chunk.
                scope.spawn(move || read_chunk(path, start, end, header, u64::from(index == 0)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("reading never panics")).collect()
    })
}

fn read_chunk(path: &Path, start: u64, end: u64, header: TapeHeader, line: u64) -> io::Result<TapeChunk> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let reader = BufReader::with_capacity(BUFFER, file.take(end.saturating_sub(start)));
    let (buffer, known) = (Vec::new(), HeaderCache::default());
    let entries = TapeReader { reader, header, line, buffer, place: start..start, known, broken: false };
    let mut chunk = TapeChunk::of(entries);
    chunk.lines += line;
    Ok(chunk)
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
