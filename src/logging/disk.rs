//! Where the log is written: to a file of the user's, which only grows, or a file a day in a directory of our own.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use tracing_appender::rolling::{RollingFileAppender, Rotation};

use super::send_to_screens;
use crate::event::Level;

/// Days of which the lines are kept, today among them.
const KEPT: usize = 8;

/// What the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlace {
    /// A file, a device or a pipe; tapline does not rotate it.
    File(PathBuf),
    /// A directory for nothing else: tracing-appender, which rotates there, takes what has a name like its own files for old ones.
    Directory(PathBuf),
}

impl LogPlace {
    pub(super) fn open(&self) -> anyhow::Result<LogDisk> {
        let writer: Box<dyn Write + Send> = match self {
            Self::File(path) => Box::new(File::options().append(true).create(true).mode(0o600).open(path)?),
            Self::Directory(path) => {
                // What stands in a log is for the user alone.
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                let daily = RollingFileAppender::builder().rotation(Rotation::DAILY).max_log_files(KEPT);
                Box::new(daily.filename_prefix("tapline").filename_suffix("log").build(path)?)
            }
        };
        Ok(LogDisk { place: self.clone(), writer, failing: false })
    }

    pub(super) fn path(&self) -> &PathBuf {
        let (Self::File(path) | Self::Directory(path)) = self;
        path
    }
}

/// Writes, and never fails: a full disk is said once, and the lines of that time are lost.
pub(super) struct LogDisk {
    place: LogPlace,
    writer: Box<dyn Write + Send>,
    /// Whether writing has failed, and was reported, since it last worked.
    failing: bool,
}

impl Write for LogDisk {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.writer.write_all(line);
        let (failed, path) = (std::mem::replace(&mut self.failing, written.is_err()), self.place.path().display());
        match written {
            Err(error) if !failed => {
                send_to_screens(
                    Level::Error,
                    format!("the log {path} cannot be written: {error}; its lines are lost until it can"),
                );
            }
            Ok(()) if failed => send_to_screens(Level::Info, format!("the log {path} is written again")),
            _ => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_no_failure() {
        let mut log = LogPlace::File("/dev/full".into()).open().unwrap();
        log.write_all(b"lost\n").unwrap();
        assert!(log.failing);
    }

    #[test]
    fn directory_keeps_eight_files_and_whatever_else_stands_there() {
        let dir = tempfile::TempDir::new().unwrap();
        for day in 1..=20 {
            std::fs::write(dir.path().join(format!("tapline.2026-03-{day:02}.log")), "old\n").unwrap();
        }
        std::fs::write(dir.path().join("notes"), "").unwrap();
        LogPlace::Directory(dir.path().to_owned()).open().unwrap().write_all(b"new\n").unwrap();
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let (logs, others): (Vec<_>, Vec<_>) = names.partition(|name| name.to_str().unwrap().starts_with("tapline."));
        assert_eq!((logs.len(), others.len()), (KEPT, 1), "{logs:?}");
    }
}
