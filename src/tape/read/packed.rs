//! Tapes as they lie on the disk: plain, or packed by zstd. Which it is, the first bytes say, not the name.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use uuid::Uuid;

use super::BUFFER;

/// How every zstd frame begins (RFC 8878 §3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The bytes of a tape file, unpacked where it is packed.
pub enum TapeBytes {
    Plain(File),
    Packed(Box<zstd::stream::read::Decoder<'static, BufReader<File>>>),
}

impl TapeBytes {
    /// # Errors
    /// Where the file cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if is_packed(&mut file)? {
            return Ok(Self::Packed(Box::new(zstd::stream::read::Decoder::new(file)?)));
        }
        Ok(Self::Plain(file))
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl Read for TapeBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(decoder) => decoder.read(buffer),
        }
    }
}

impl std::fmt::Debug for TapeBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_plain() { "Plain" } else { "Packed" })
    }
}

/// Looks at the first bytes, and goes back to the start.
fn is_packed(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        // A pipe cannot be gone back in.
        return Ok(false);
    }
    let mut first = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(first == MAGIC)
}

/// Opens a tape so that any place of it can be read: a packed one as a plain file that has no name and is gone with us.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let mut bytes = match TapeBytes::open(path)? {
        TapeBytes::Plain(file) => return Ok(file),
        packed @ TapeBytes::Packed(_) => BufReader::with_capacity(BUFFER, packed),
    };
    let place = std::env::temp_dir().join(format!("tapline-{}", Uuid::new_v4()));
    let mut plain = File::options().read(true).write(true).create_new(true).mode(0o600).open(&place)?;
    std::fs::remove_file(&place)?;
    io::copy(&mut bytes, &mut plain)?;
    Ok(plain)
}
