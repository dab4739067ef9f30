//! The files that the screen writes into the working directory: new ones always, for their owner only, as messages may hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::host::{ExportedFile, TapeWriter};
use crate::event::TapeForm;
use crate::ui::model::tapes_screen::tape_title;

/// A file that was not there, for its owner only.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file of this name, or one near it where there is one already.
pub(super) fn new_file(stem: &str, ending: &str) -> io::Result<(PathBuf, File)> {
    let more = (2..1000).map(|number| PathBuf::from(format!("{stem}-{number}.{ending}")));
    for path in std::iter::once(PathBuf::from(format!("{stem}.{ending}"))).chain(more) {
        match private(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (path, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A tape that is being written in another form. Dropping it leaves that, and no part of a file.
pub(super) struct TapeExport {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TapeExport {
    pub(super) fn start(
        write: TapeWriter,
        tape: PathBuf,
        form: TapeForm,
        tell: impl FnOnce(Result<ExportedFile, String>) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let named = std::thread::Builder::new().name("export".to_owned());
        let thread = named.spawn(move || {
            let (stem, ending) = form.file_name(&tape_title(&tape));
            tell(written_as(write, (&stem, ending), &tape, form, &stopped));
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for TapeExport {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn written_as(
    write: TapeWriter,
    (stem, ending): (&str, &str),
    tape: &Path,
    form: TapeForm,
    stop: &AtomicBool,
) -> Result<ExportedFile, String> {
    let (file, out) = new_file(stem, ending).map_err(|error| error.to_string())?;
    let mut out = BufWriter::new(out);
    let done = write(tape, form, &|_, _| !stop.load(Ordering::Relaxed), &mut out);
    let done = done.and_then(|troubles| {
        let out = out.into_inner().map_err(|error| error.to_string())?;
        let bytes = out.metadata().map_err(|error| error.to_string())?.len();
        Ok(ExportedFile { file: file.clone(), bytes, troubles })
    });
    done.inspect_err(|_| {
        let _ = std::fs::remove_file(&file);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tape_is_written_to_a_new_file_and_leaves_none_where_that_fails() {
        let dir = tempfile::tempdir().unwrap();
        let stem = dir.path().join("demo").display().to_string();
        let tape = PathBuf::from(format!("{stem}.tape.jsonl"));
        let at =
            |form: TapeForm, write: TapeWriter| written_as(write, (&stem, "har"), &tape, form, &AtomicBool::new(false));
        let good: TapeWriter = |_, _, _, out| {
            out.write_all(b"whole").map_err(|error| error.to_string())?;
            Ok(vec!["torn".to_owned()])
        };
        for file in ["demo.har", "demo-2.har"] {
            let file = dir.path().join(file);
            let expected = ExportedFile { file: file.clone(), bytes: 5, troubles: vec!["torn".to_owned()] };
            assert_eq!(at(TapeForm::Har, good), Ok(expected));
            assert_eq!(std::fs::read(file).unwrap(), b"whole");
        }
        let bad: TapeWriter = |_, _, _, out| {
            let _ = out.write_all(b"half");
            Err("no".to_owned())
        };
        assert_eq!(at(TapeForm::Har, bad), Err("no".to_owned()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
