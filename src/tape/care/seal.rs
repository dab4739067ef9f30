//! Seals: the last line of a closed tape has sums over all lines before it.
//!
//! Nothing is summed while messages pass: the file is read once more when its session ends, which for most tapes is a matter of
//! microseconds, and for large ones is left to `tapline tape pack`. SHA-256 over all bytes says whether anything was changed, and
//! three bytes a line which line it was. A seal proves no more than that: a person who changes a tape on purpose can renew its seal, by
//! taking it away and `tapline tape pack`. Nobody renews it by mistake: whatever else rewrites a tape leaves one that does not hold.

use std::io::{self, BufRead, BufReader, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};

use crate::tape::format::{Mark, TapeSeal};
use crate::tape::read::TapeBytes;

/// Bytes of the sum of one line.
const SHORT: usize = 3;
/// So many short sums has a seal at most.
const MOST_SUMS: usize = 16 << 10;
/// Larger tapes are not sealed by the recorder, which has other sessions to write.
const LARGEST: u64 = 16 << 20;

/// The sums of the lines so far.
pub struct LineSums {
    whole: Context,
    short: Vec<u8>,
    lines: u64,
}

impl Default for LineSums {
    fn default() -> Self {
        Self { whole: Context::new(&SHA256), short: Vec::new(), lines: 0 }
    }
}

impl LineSums {
    /// Takes in a line with its end.
    pub fn line(&mut self, line: &[u8]) {
        self.whole.update(line);
        self.short.extend_from_slice(&digest(&SHA256, line).as_ref()[..SHORT]);
        self.lines += 1;
    }

    /// The seal of the lines so far.
    pub fn seal(&self) -> TapeSeal {
        let lines = usize::try_from(self.lines).unwrap_or(usize::MAX);
        let block = lines.div_ceil(MOST_SUMS).max(1);
        TapeSeal {
            lines: self.lines,
            sha256: hex(self.whole.clone().finish().as_ref()),
            block: block as u64,
            sums: STANDARD.encode(self.blocks(block)),
        }
    }

    fn blocks(&self, block: usize) -> Vec<u8> {
        let chunks = self.short.chunks(block.saturating_mul(SHORT).max(SHORT));
        chunks
            .flat_map(|chunk| match chunk.len() {
                SHORT => chunk.to_vec(),
                _ => digest(&SHA256, chunk).as_ref()[..SHORT].to_vec(),
            })
            .collect()
    }

    /// What is not as the seal says; `None` where all is.
    pub fn broken(&self, seal: &TapeSeal) -> Option<String> {
        if seal.lines == self.lines && seal.sha256 == hex(self.whole.clone().finish().as_ref()) {
            return None;
        }
        let block = usize::try_from(seal.block).unwrap_or(1).max(1);
        let sealed = STANDARD.decode(&seal.sums).unwrap_or_default();
        let now = self.blocks(block);
        let pairs = || sealed.chunks(SHORT).zip(now.chunks(SHORT));
        let first = pairs().position(|(sealed, now)| sealed != now).unwrap_or(sealed.len().min(now.len()) / SHORT);
        let from = first as u64 * seal.block.max(1) + 1;
        let to = from + seal.block.max(1) - 1;
        let place = if from == to { format!("line {from}") } else { format!("lines {from} to {to}") };
        Some(match (self.lines).cmp(&seal.lines) {
            std::cmp::Ordering::Less => {
                format!("{place}: {} taken out since it was sealed", were(seal.lines - self.lines))
            }
            std::cmp::Ordering::Greater => {
                format!("{place}: {} put in since it was sealed", were(self.lines - seal.lines))
            }
            std::cmp::Ordering::Equal => {
                let others = pairs().filter(|(sealed, now)| sealed != now).count().saturating_sub(1);
                let others = match others {
                    0 => String::new(),
                    1 => ", and another was".to_owned(),
                    others => format!(", and {others} others were"),
                };
                format!("{place} was changed since it was sealed{others}")
            }
        })
    }
}

fn were(lines: u64) -> String {
    if lines == 1 { "a line was".to_owned() } else { format!("{lines} lines were") }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a line of a tape is a seal.
pub(super) fn is_seal(line: &[u8]) -> bool {
    line.starts_with(br#"{"mark":"seal""#)
}

/// Whether the seals of a tape hold, as far as it can be read; also where it has none.
///
/// # Errors
/// Where it cannot be opened.
pub(super) fn seals_hold(path: &Path) -> io::Result<bool> {
    let (mut reader, mut sums) = (BufReader::with_capacity(1 << 18, TapeBytes::open(path)?), LineSums::default());
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        if is_seal(&line)
            && let Ok(Mark::Seal(seal)) = serde_json::from_slice(&line)
            && sums.broken(&seal).is_some()
        {
            return Ok(false);
        }
        sums.line(&line);
        line.clear();
    }
    Ok(true)
}

/// Seals a tape that has just been closed, unless it is large.
///
/// # Errors
/// Where the file cannot be read or written.
pub(in crate::tape) fn seal_closed(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.len() > LARGEST {
        return Ok(());
    }
    let mut sums = LineSums::default();
    let mut reader = BufReader::new(TapeBytes::open(path)?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        sums.line(&line);
        line.clear();
    }
    let mut text = serde_json::to_vec(&Mark::Seal(sums.seal()))?;
    text.push(b'\n');
    std::fs::OpenOptions::new().append(true).open(path)?.write_all(&text)
}
