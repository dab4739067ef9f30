//! The end of a tape, without what stands before it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::envelope::Seq;
use crate::tape::format::MESSAGE;

/// How much of the end is read. Messages may pass out of order where they were held: the highest number of many counts.
const WINDOW: u64 = if cfg!(test) { 256 } else { 256 << 10 };

/// Returns the highest number among the last messages of a tape; `None` where it has none, or cannot be read.
pub fn last_seq(path: &Path) -> Option<Seq> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut window = WINDOW;
    loop {
        let start = length.saturating_sub(window);
        let found = highest(&read_from(&mut file, start).ok()?, start == 0);
        if found.is_some() || start == 0 {
            return found;
        }
        // One message may be larger than the window.
        window = window.saturating_mul(8);
    }
}

fn read_from(file: &mut File, start: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The highest number in some lines; `whole` is whether the bytes begin with a line, not within one.
fn highest(bytes: &[u8], whole: bool) -> Option<Seq> {
    let lines = bytes.split(|byte| *byte == b'\n').skip(usize::from(!whole));
    lines.filter_map(number).max()
}

fn number(line: &[u8]) -> Option<Seq> {
    let rest = line.strip_prefix(MESSAGE)?;
    // A number that the end of the file tore is none.
    let digits = &rest[..rest.iter().position(|byte| !byte.is_ascii_digit())?];
    std::str::from_utf8(digits).ok()?.parse().ok().map(Seq)
}
