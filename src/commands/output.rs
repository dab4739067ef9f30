//! What is made of a tape and may be larger than memory: to stdout, or to a file that is whole or as it was. How far it is, on stderr.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::control::recorder_elsewhere;
use crate::control::registry::RegistryEntry;
use crate::exit::ExitError;
use crate::files::DraftFile;
use crate::tape::care::check_free;
use crate::tape::read::TapeReader;
use crate::tape::{SUFFIX, TapeError, TapeOutputError};

const BAR: &str = "{bar:30} {msg}: {percent} %";

/// Shown on a terminal only.
pub(in crate::commands) fn progress(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(BAR).expect("the template is a constant"));
    bar.set_message(doing);
    bar
}

/// Work that goes on to its end.
pub(in crate::commands) fn watch(bar: &ProgressBar) -> impl Fn(u64, u64) -> bool {
    |done, length| {
        bar.set_length(length);
        bar.set_position(done);
        true
    }
}

/// Whether a file can be written, tried before anything is done for it; what is there stays. `what`: what is written, for people;
/// `read`: the tapes that it is made of.
///
/// # Errors
/// Where it cannot be, or is one of those: a mistake in how tapline was called.
pub(in crate::commands) fn check_out(out: Option<&Path>, what: &str, read: &[&Path]) -> Result<(), ExitError> {
    let Some(path) = out else { return Ok(()) };
    check_apart(path, read)?;
    OutFile::open(path).map(drop).with_context(|| cannot_write(what, path)).map_err(ExitError::usage)
}

/// Whether a file is no tape: what is written is none, and a tape that it took the place of would be lost.
///
/// # Errors
/// Where it is one: a mistake in how tapline was called.
pub(in crate::commands) fn check_apart(out: &Path, read: &[&Path]) -> Result<(), ExitError> {
    check_unread(out, read)?;
    if is_tape(out) {
        let text = format!("{} is a tape, and would be lost; take another name", out.display());
        return Err(ExitError::usage(anyhow::anyhow!(text)));
    }
    Ok(())
}

/// Whether that is a tape, by what it begins with. What is behind a pipe can be looked at once, and is none.
pub(in crate::commands) fn is_tape(path: &Path) -> bool {
    path.is_file() && matches!(TapeReader::open(path), Ok(_) | Err(TapeError::NewerFormat { .. }))
}

/// Whether a file is none of the tapes that are read, by whatever name or link, and none that a tapline records to.
fn check_unread(out: &Path, read: &[&Path]) -> Result<(), ExitError> {
    if read.iter().any(|tape| is_same_file(out, tape)) {
        let text = format!("{} is the tape that is read, and would be lost; take another name", out.display());
        return Err(ExitError::usage(anyhow::anyhow!(text)));
    }
    if let Some(recorder) = Some(out).filter(|out| out.is_file()).and_then(recorder_of) {
        let text = format!("{}: {} records to it; take another name", out.display(), recorder.words());
        return Err(ExitError::usage(anyhow::anyhow!(text)));
    }
    Ok(())
}

/// Which tapline records to a tape: asked on a thread of its own, as a task of a runtime must not wait for the answer.
fn recorder_of(tape: &Path) -> Option<RegistryEntry> {
    std::thread::scope(|scope| scope.spawn(|| recorder_elsewhere(tape)).join().ok().flatten())
}

/// Whether a tape may be changed.
///
/// # Errors
/// Where a tapline records to it, which goes on to what is no longer there, or between what is written meanwhile: in words.
pub(in crate::commands) fn check_is_closed(path: &Path) -> Result<(), String> {
    match recorder_of(path) {
        Some(entry) => Err(format!("{}: {} records to it; end that session first", path.display(), entry.words())),
        None => Ok(()),
    }
}

/// Whether two paths lead to one file that is there.
pub(in crate::commands) fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().ok().map(|it| (it.dev(), it.ino()));
    identity(one).is_some_and(|file| identity(other) == Some(file))
}

/// As [`check_out`], of a tape, which is never written over something; [`make_dir`] makes its directory.
///
/// # Errors
/// As of [`check_out`]; and where something is there, of the work.
pub(in crate::commands) fn check_new(path: &Path, read: &[&Path]) -> Result<(), ExitError> {
    check_unread(path, read)?;
    check_free(path)?;
    // Of what is missing, the first is what is made first.
    let is_missing = |it: &&Path| it.parent().is_none_or(|dir| dir.as_os_str().is_empty() || dir.exists());
    let first = path.ancestors().find(is_missing).unwrap_or(path);
    OutFile::open(first).map(drop).with_context(|| cannot_write("", path)).map_err(ExitError::usage)
}

/// Makes the directory of a file that is to be new.
pub(in crate::commands) fn make_dir(path: &Path) -> anyhow::Result<()> {
    let Some(dir) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

fn cannot_write(what: &str, path: &Path) -> String {
    format!("cannot write {what}{}", path.display())
}

/// A file that is what it was until something is written to it; one that was not there before goes again, where nothing is.
#[derive(Debug)]
pub(in crate::commands) struct OutFile {
    /// `None` where it is a device or a pipe, and was only looked at: those may wait to be opened until somebody reads them.
    file: Option<File>,
    path: PathBuf,
    is_new: bool,
    is_begun: bool,
}

impl OutFile {
    /// # Errors
    /// Where it cannot be written.
    pub(in crate::commands) fn open(path: &Path) -> io::Result<Self> {
        let before = path.metadata();
        if before.as_ref().is_ok_and(Metadata::is_dir) {
            return Err(ErrorKind::IsADirectory.into());
        }
        let is_special = before.as_ref().is_ok_and(|it| !it.is_file());
        let open = || File::options().write(true).create(true).truncate(false).open(path);
        let file = (!is_special).then(open).transpose()?;
        Ok(Self { file, path: path.to_owned(), is_new: before.is_err(), is_begun: false })
    }

    fn begun(&mut self) -> io::Result<&mut File> {
        if !std::mem::replace(&mut self.is_begun, true)
            && let Some(file) = &self.file
        {
            file.set_len(0)?;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(File::options().write(true).open(&self.path)?)),
        }
    }
}

impl Write for OutFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().filter(|_| self.is_begun).map_or(Ok(()), File::flush)
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        if self.is_new && !self.is_begun {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes a tape that is to be new, and returns where it is: what has come to stand there meanwhile is not written over, and what took
/// long to find is not lost either, but stands beside it.
pub(in crate::commands) fn write_new(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), TapeOutputError>,
) -> Result<PathBuf, ExitError> {
    if path.exists() && check_free(path).is_ok() {
        // A device, or a pipe.
        return write_out(Some(path), "", write).map(|()| path.to_owned());
    }
    make_dir(path)?;
    let cannot = || cannot_write("", path);
    let mut draft = DraftFile::of(path, 0o600).with_context(cannot)?;
    match write_into(draft.file().with_context(cannot)?, write) {
        Err(TapeOutputError::Tape(error)) => return Err(ExitError::usage(error)),
        Err(TapeOutputError::Out(error)) => return Err(error).with_context(cannot).map_err(Into::into),
        Ok(()) => {}
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.strip_suffix(SUFFIX).unwrap_or(&name);
    let others = (2..).map(|number| path.with_file_name(format!("{stem}-{number}{SUFFIX}")));
    for place in std::iter::once(path.to_owned()).chain(others) {
        match draft.put(&place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            put => return Ok(put.with_context(|| cannot_write("", &place)).map(|()| place)?),
        }
    }
    unreachable!("there is no end of names")
}

/// Writes to a file, or to stdout; `what`: what is written, for people.
pub(in crate::commands) fn write_out(
    out: Option<&Path>,
    what: &str,
    write: impl FnOnce(&mut dyn Write) -> Result<(), TapeOutputError>,
) -> Result<(), ExitError> {
    let Some(path) = out else { return write_stdout(write) };
    let cannot = || cannot_write(what, path);
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
    let is_special = before.as_ref().is_some_and(|it| !it.is_file());
    let draft = (!is_special).then(|| DraftFile::of(&path, 0o666).ok()).flatten();
    let Some(draft) = draft else {
        // A device, or a directory in which nothing may be made.
        return write_into(File::create(&path)?, write);
    };
    let file = draft.file()?;
    before.map_or(Ok(()), |it| file.set_permissions(it.permissions()))?;
    write_into(file, write)?;
    Ok(draft.replace()?)
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
    fn file_is_as_it_was_until_something_is_written_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (there, new) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&there, "before, and long").unwrap();
        for path in [&there, &new] {
            assert!(check_out(Some(path), "", &[]).is_ok());
        }
        assert_eq!((std::fs::read_to_string(&there).unwrap().as_str(), new.exists()), ("before, and long", false));
        for path in [&there, &new] {
            let mut out = OutFile::open(path).unwrap();
            out.write_all(b"now").unwrap();
            out.write_all(b"!").unwrap();
            drop(out);
            assert_eq!(std::fs::read_to_string(path).unwrap(), "now!");
        }
        assert!(check_out(Some(dir.path()), "", &[]).is_err() && check_out(Some(&there.join("x")), "", &[]).is_err());
        assert!(check_out(Some(Path::new("/dev/null")), "", &[]).is_ok());
        let below = |path: &Path| check_new(&path.join("new/deep/file"), &[]);
        assert!(below(dir.path()).is_ok() && below(&there).is_err() && check_new(&there, &[]).is_err());
        assert!(check_new(dir.path(), &[]).is_err() && check_new(Path::new("/dev/null"), &[]).is_ok());
        assert!(!dir.path().join("new").exists(), "nothing is left of a try");
    }

    #[test]
    fn file_that_is_new_stands_beside_what_has_come_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/a.tape.jsonl");
        let there = |path: &Path| std::fs::read_to_string(path).unwrap();
        let found = |path: &Path, text: &str| {
            write_new(path, |out| Ok(out.write_all(text.as_bytes())?)).ok().expect("it is written")
        };
        assert_eq!((found(&path, "first"), there(&path).as_str()), (path.clone(), "first"));
        for (name, text) in [("a-2.tape.jsonl", "second"), ("a-3.tape.jsonl", "third")] {
            let place = found(&path, text);
            assert_eq!((&place, there(&place).as_str()), (&path.with_file_name(name), text));
        }
        assert_eq!(there(&path), "first");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 3, "nothing else is left");
        assert_eq!(found(Path::new("/dev/null"), "x"), Path::new("/dev/null"));
    }

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
