//! The file system as the recorder sees it.
//!
//! A tape belongs to the user, who may do anything with it while it is written: so a file is known by what it is and not by its name.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, BufReader, IoSlice, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

use crate::envelope::PendingLines;
use crate::tape::format::MESSAGE;

/// Where tapes go; the other implementor is a disk that fails, in the tests.
pub(super) trait Disk: Send {
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens for appending, made where it is not there.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
    /// Which file has that name now, if one has.
    fn identity(&self, path: &Path) -> io::Result<Option<FileIdentity>>;
    /// Whether files are where their paths say, for others, too.
    fn is_real(&self) -> bool {
        false
    }
}

/// What tells a file from all others that are there, whatever their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

/// What a file has in whole lines from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WholeLines {
    pub(super) bytes: u64,
    pub(super) messages: u64,
}

pub(super) trait Sink: Write + Send {
    /// Returns the length of the file in bytes.
    fn length(&self) -> io::Result<u64>;
    fn identity(&self) -> io::Result<FileIdentity>;
    /// Ends a line that a crash tore.
    fn end_torn_line(&mut self) -> io::Result<()>;
    /// Reads the file through.
    fn whole_lines(&mut self) -> io::Result<WholeLines>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

pub(super) struct RealDisk;

/// A tape that is being written.
///
/// What was written goes from the page cache once it is on the device. Left there, a recording of gigabytes would push out what the
/// person's compiler and editor have in it; and each of its pages would be one that nobody has used for long, which on a virtual
/// machine costs three times as much to fill as one that was let go just before.
struct WrittenTape {
    file: File,
    /// Bytes written since some were let go.
    kept: u64,
}

/// After so many bytes it is looked at what can be let go.
const LET_GO_EACH: u64 = 16 << 20;

/// How far back that is looked at. What is on the device goes; what is not yet, which is the newest, the system begins to write, and
/// it goes the next time.
const LET_GO_WITHIN: u64 = 128 << 20;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir(path.parent().unwrap_or(Path::new(".")))?;
                options.open(path)?
            }
            opened => opened?,
        };
        Ok(Box::new(WrittenTape { file, kept: 0 }))
    }

    fn identity(&self, path: &Path) -> io::Result<Option<FileIdentity>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(FileIdentity::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_real(&self) -> bool {
        true
    }
}

impl FileIdentity {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self::default()
    }
}

/// A torn message keeps its line, for the reader to report; a torn header is nothing, and goes.
fn end_torn_line(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(());
    }
    let mut start = vec![0; usize::try_from(length.min(1 << 16)).expect("at most 64 KiB")];
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut start)?;
    if start.contains(&b'\n') { file.write_all(b"\n") } else { file.set_len(0) }
}

impl Write for WrittenTape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.file.write_vectored(pieces)?;
        self.kept += written as u64;
        if self.kept >= LET_GO_EACH {
            self.kept = 0;
            let_go(&self.file);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nothing is lost where it cannot be done.
#[cfg(target_os = "linux")]
fn let_go(file: &File) {
    use rustix::fs::{Advice, fadvise};

    let from = file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(LET_GO_WITHIN));
    let _ = fadvise(file, from, std::num::NonZeroU64::new(LET_GO_WITHIN), Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn let_go(_: &File) {}

impl Sink for WrittenTape {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity::of(&self.file.metadata()?))
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        end_torn_line(&mut self.file)
    }

    fn whole_lines(&mut self) -> io::Result<WholeLines> {
        self.file.seek(SeekFrom::Start(0))?;
        count_whole_lines(BufReader::new(&mut self.file))
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}

/// Ends before the first line that is none of ours: one that was cut, with what was written behind the cut.
fn count_whole_lines(mut reader: impl io::BufRead) -> io::Result<WholeLines> {
    let (mut whole, mut line) = (WholeLines::default(), Vec::new());
    while reader.read_until(b'\n', &mut line)? > 0 {
        if !line.ends_with(b"\n") || serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_err() {
            break;
        }
        whole.bytes += line.len() as u64;
        whole.messages += u64::from(line.starts_with(MESSAGE));
        line.clear();
    }
    Ok(whole)
}

/// How many bytes were taken, and why not all.
pub(super) fn write_counted(sink: &mut dyn Sink, lines: &PendingLines) -> (usize, io::Result<()>) {
    let mut pieces: Vec<_> = lines.pieces().map(IoSlice::new).collect();
    let (mut written, mut rest) = (0, &mut pieces[..]);
    while !rest.is_empty() {
        match sink.write_vectored(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                written += count;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}
