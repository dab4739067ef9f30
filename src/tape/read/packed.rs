//! Tapes as they lie on the disk: plain, or packed by zstd. Which it is, the first bytes say, not the name.
//!
//! A packed file that was cut is given as far as its blocks are whole: see [`PackedBytes`].

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use uuid::Uuid;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

use super::{BUFFER, ReadWatch};
use crate::tape::format::TapeError;

/// How every zstd frame begins (RFC 8878 §3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The bytes of a tape file, unpacked where it is packed.
pub enum TapeBytes {
    Plain(File),
    Packed(Box<PackedBytes>),
}

impl TapeBytes {
    /// # Errors
    /// Where the file cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if is_file_packed(&mut file)? {
            return Ok(Self::Packed(Box::new(PackedBytes::of(file)?)));
        }
        Ok(Self::Plain(file))
    }

    /// # Errors
    /// Where the process has too many files open.
    pub fn place(&self) -> io::Result<ReadPlace> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Packed(packed) => packed.file.get_ref(),
        };
        Ok(ReadPlace { file: file.try_clone()?, length: file.metadata()?.len() })
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

/// How far a file is that somebody reads, for a watch.
pub struct ReadPlace {
    /// The same one: its place is that of the other.
    file: File,
    length: u64,
}

impl ReadPlace {
    /// Tells how far it is, read for the first, second and so on of so many times.
    pub fn tell(&self, watch: &ReadWatch<'_>, time: u64, times: u64) {
        watch(time * self.length + self.bytes(), times * self.length);
    }

    /// Bytes of the file that were read; none of a pipe.
    pub fn bytes(&self) -> u64 {
        (&self.file).stream_position().unwrap_or_default().min(self.length)
    }
}

impl Read for TapeBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Packed(packed) => packed.read(buffer),
        }
    }
}

/// What a packed file has, block by block: zstd is given one at a time, since of several it gives none out where one is not whole.
pub struct PackedBytes {
    file: BufReader<File>,
    decoder: Decoder<'static>,
    /// Bytes up to the end of the block that comes next; none behind the last of a frame.
    wanted: usize,
}

impl PackedBytes {
    fn of(file: File) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(BUFFER, file), decoder: Decoder::new()?, wanted: MAGIC.len() })
    }
}

impl Read for PackedBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.file.fill_buf()?;
            let is_over = input.is_empty();
            if buffer.is_empty() || (is_over && self.wanted == 0) {
                return Ok(0);
            }
            // One frame may stand behind another.
            let mut input = InBuffer::around(&input[..input.len().min(self.wanted.max(MAGIC.len()))]);
            let mut output = OutBuffer::around(&mut *buffer);
            self.wanted = self.decoder.run(&mut input, &mut output).map_err(|error| damaged(&error))?;
            let (taken, given) = (input.pos(), output.pos());
            self.file.consume(taken);
            match given {
                0 if is_over => return Err(cut()),
                0 => {}
                given => return Ok(given),
            }
        }
    }
}

fn damaged(error: &io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the packed file is damaged here: {error}"))
}

fn cut() -> io::Error {
    let why = "the packed file is cut here, as where a copy broke off; what stands before it is whole";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

/// Whether it is the packed file that ends too early, or is not what it was.
pub(in crate::tape) fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// Why a tape cannot be read further, for people.
pub(in crate::tape) fn read_no_further(error: &io::Error) -> String {
    if is_broken(error) { error.to_string() } else { format!("the file cannot be read further: {error}") }
}

impl std::fmt::Debug for TapeBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_plain() { "Plain" } else { "Packed" })
    }
}

/// Whether a file that begins so is packed.
pub fn is_packed(first: &[u8]) -> bool {
    first.starts_with(&MAGIC)
}

/// Looks at the first bytes, and goes back to the start.
fn is_file_packed(file: &mut File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        // A pipe cannot be gone back in.
        return Ok(false);
    }
    let mut first = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut first)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(is_packed(&first))
}

/// Whether a tape can be read more than once.
///
/// # Errors
/// It is a pipe, of which nobody says what has passed.
pub fn check_is_file(path: &Path) -> Result<(), TapeError> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            let error = io::Error::other("it is a pipe, and has to be read more than once; write it to a file first");
            Err(TapeError::CannotRead { path: path.to_owned(), error })
        }
        _ => Ok(()),
    }
}

/// Opens a tape so that any place of it can be read: one that is packed, or comes from a pipe, as a plain file that has no name and is
/// gone with us.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let mut bytes = match TapeBytes::open(path)? {
        TapeBytes::Plain(file) if file.metadata()?.is_file() => return Ok(file),
        bytes => BufReader::with_capacity(BUFFER, bytes),
    };
    let place = std::env::temp_dir().join(format!("tapline-{}", Uuid::new_v4()));
    let mut plain = File::options().read(true).write(true).create_new(true).mode(0o600).open(&place)?;
    std::fs::remove_file(&place)?;
    match io::copy(&mut bytes, &mut plain) {
        // Whoever reads its lines says so.
        Err(error) if !is_broken(&error) => Err(error),
        _ => Ok(plain),
    }
}
