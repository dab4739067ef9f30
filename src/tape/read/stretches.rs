//! A file in stretches of whole lines, each shared out among the cores: reading a tape is parsing, and parsing is the processor's.
//!
//! A stretch is in memory, and the file is not: it may be larger, packed, or a pipe.

use std::io::{self, Read};
use std::thread;

/// Bytes that are read at a time where all of a file is of use at once.
pub(in crate::tape) const STRETCH: u64 = if cfg!(test) { 512 } else { 8 << 20 };
/// Bytes that are read at a time where what was read is taken in on one core: the others would only fill the memory.
pub(in crate::tape) const READ_ON: u64 = if cfg!(test) { 512 } else { 1 << 20 };
/// A part of them that is smaller is gone through sooner than a thread is started.
const SMALLEST_PART: usize = if cfg!(test) { 64 } else { 512 << 10 };

pub(in crate::tape) struct LineStretches<R> {
    reader: R,
    /// Bytes that are read at a time.
    stretch: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were given out the last time.
    given: usize,
    is_over: bool,
    error: Option<io::Error>,
}

impl<R: Read> LineStretches<R> {
    pub(in crate::tape) fn new(reader: R, stretch: u64) -> Self {
        Self { reader, stretch, buffer: Vec::new(), given: 0, is_over: false, error: None }
    }

    /// The next lines, of which the last of all may have no end; `None` behind it.
    ///
    /// # Errors
    /// Where the file cannot be read further, once. What could be read was returned before.
    pub(in crate::tape) fn read_next(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.drain(..std::mem::take(&mut self.given));
        while !self.is_over {
            let before = self.buffer.len();
            match (&mut self.reader).take(self.stretch).read_to_end(&mut self.buffer) {
                Ok(0) => self.is_over = true,
                Ok(_) => {
                    if let Some(end) = memchr::memrchr(b'\n', &self.buffer[before..]) {
                        self.given = before + end + 1;
                        return Ok(Some(&self.buffer[..self.given]));
                    }
                }
                Err(error) => {
                    (self.is_over, self.error) = (true, Some(error));
                    // A line that cannot be read to its end is none.
                    self.buffer.truncate(memchr::memrchr(b'\n', &self.buffer).map_or(0, |end| end + 1));
                }
            }
        }
        self.given = self.buffer.len();
        match self.error.take_if(|_| self.given == 0) {
            Some(error) => Err(error),
            None => Ok(Some(&self.buffer[..]).filter(|rest| !rest.is_empty())),
        }
    }
}

/// Does the same to parts of some lines, as many as there are cores; what came of each, in order.
pub(in crate::tape) fn on_all_cores<T: Send>(lines: &[u8], work: impl Fn(&[u8]) -> T + Sync) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let size = lines.len().div_ceil(cores).max(SMALLEST_PART);
    let (mut rest, mut parts) = (lines, Vec::new());
    while !rest.is_empty() {
        let end = rest.get(size..).and_then(|after| memchr::memchr(b'\n', after));
        let (part, after) = rest.split_at(end.map_or(rest.len(), |end| size + end + 1));
        parts.push(part);
        rest = after;
    }
    thread::scope(|scope| {
        let Some((first, others)) = parts.split_first() else { return Vec::new() };
        let others: Vec<_> = others.iter().map(|part| scope.spawn(|| work(part))).collect();
        let first = work(first);
        let others = others.into_iter().map(|part| part.join().expect("reading never panics"));
        std::iter::once(first).chain(others).collect()
    })
}
