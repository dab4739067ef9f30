//! The file system as the recorder sees it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::Path;

/// Where tapes go; the other implementor is a disk that fails, in the tests.
pub(super) trait Disk: Send {
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Opens for appending, made where it is not there; a line that a crash tore is ended.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
}

pub(super) trait Sink: Write + Send {
    /// Returns the length of the file in bytes; zero for a file that was removed.
    fn length(&self) -> io::Result<u64>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

pub(super) struct RealDisk;

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
        let mut file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_dir(path.parent().unwrap_or(Path::new(".")))?;
                options.open(path)?
            }
            opened => opened?,
        };
        end_torn_line(&mut file)?;
        Ok(Box::new(file))
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

impl Sink for File {
    fn length(&self) -> io::Result<u64> {
        let metadata = self.metadata()?;
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::nlink(&metadata) == 0 {
            return Ok(0);
        }
        Ok(metadata.len())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// How many bytes were taken, and why not all.
pub(super) fn write_counted(sink: &mut dyn Sink, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}
