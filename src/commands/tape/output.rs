//! What is made of a tape and may be larger than memory: to stdout, or to a file that is whole or as it was. How far it is, on stderr.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::ExitError;
use crate::tape::TapeOutputError;

const BAR: &str = "{bar:30} {msg}: {percent} %";

/// Shown on a terminal only.
pub(super) fn progress(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(BAR).expect("the template is a constant"));
    bar.set_message(doing);
    bar
}

/// Work that goes on to its end.
pub(super) fn watch(bar: &ProgressBar) -> impl Fn(u64, u64) -> bool {
    |done, length| {
        bar.set_length(length);
        bar.set_position(done);
        true
    }
}

/// Writes to a file, or to stdout; `what`: what is written, for people.
pub(super) fn write_out(
    out: Option<&Path>,
    what: &str,
    write: impl FnOnce(&mut dyn Write) -> Result<(), TapeOutputError>,
) -> Result<(), ExitError> {
    let Some(path) = out else { return write_stdout(write) };
    let cannot = || format!("cannot write {what}{}", path.display());
    match write_file(path, write) {
        Err(TapeOutputError::Tape(error)) => Err(ExitError::usage(error)),
        Err(TapeOutputError::Out(error)) => Err(error).with_context(cannot).map_err(Into::into),
        Ok(()) => Ok(()),
    }
}

fn write_stdout(write: impl FnOnce(&mut dyn Write) -> Result<(), TapeOutputError>) -> Result<(), ExitError> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| Ok(out.flush()?)) {
        // A reader such as `head` has read enough.
        Err(TapeOutputError::Out(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(TapeOutputError::Out(error)) => Err(error.into()),
        Err(TapeOutputError::Tape(error)) => Err(ExitError::usage(error)),
        Ok(()) => Ok(()),
    }
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), TapeOutputError>,
) -> Result<(), TapeOutputError> {
    // Of a link, what it leads to is written.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let before = path.metadata().ok();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let is_special = before.as_ref().is_some_and(|it| !it.is_file());
    let Ok(file) = (if is_special { Err(ErrorKind::Unsupported.into()) } else { File::create_new(&beside) }) else {
        // A device, or a directory in which nothing may be made.
        return write_into(File::create(&path)?, write);
    };
    let permissions = before.map_or(Ok(()), |it| file.set_permissions(it.permissions()));
    let written = permissions.map_err(Into::into).and_then(|()| write_into(file, write));
    written.and_then(|()| Ok(std::fs::rename(&beside, &path)?)).inspect_err(|_| {
        let _ = std::fs::remove_file(&beside);
    })
}

fn write_into(
    file: File,
    write: impl FnOnce(&mut dyn Write) -> Result<(), TapeOutputError>,
) -> Result<(), TapeOutputError> {
    let mut out = BufWriter::with_capacity(1 << 18, file);
    write(&mut out)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_as_it_was_where_it_cannot_be_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&path, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let broken = write_file(&link, |out| {
            out.write_all(&[b'x'; 1 << 20])?;
            Err(io::Error::other("no more").into())
        });
        assert!(matches!(broken, Err(TapeOutputError::Out(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        write_file(&link, |out| Ok(out.write_all(b"after")?)).unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), link.is_symlink()), ("after", true));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "nothing is left beside it");
    }
}
