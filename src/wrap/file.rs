//! Reading a configuration file and putting another in its place, whole or not at all.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::doc::ConfigSyntaxError;
use crate::files::{MARK, write_whole};

/// Why a file could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    #[error("there is no file `{}`", .0.display())]
    Missing(PathBuf),
    #[error("`{}` is not a file", .0.display())]
    NoFile(PathBuf),
    #[error("{}: {why}; nothing was changed", .path.display())]
    Unreadable { path: PathBuf, why: ConfigSyntaxError },
    #[error("`{}` is read-only; nothing was changed", .0.display())]
    ReadOnly(PathBuf),
    #[error("`{}` was changed by someone else just now; nothing was changed, try again", .0.display())]
    Changed(PathBuf),
    #[error("another `tapline wrap` or `unwrap` is at work; nothing was changed, try again when it is done")]
    Busy,
    #[error("cannot {doing} `{}`: {why}", .path.display())]
    Io { doing: &'static str, path: PathBuf, why: io::Error },
}

impl FileError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |why| Self::Io { doing, path, why }
    }
}

/// A configuration file as it was read.
#[derive(Debug)]
pub struct FileSnapshot {
    /// The file itself, behind all links.
    pub real: PathBuf,
    pub text: String,
    metadata: Metadata,
}

impl FileSnapshot {
    /// Reads a client's configuration, with what is needed to write it back unnoticed.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let real = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
            _ => FileError::io("find", path)(error),
        })?;
        let metadata = real.metadata().map_err(FileError::io("read", path))?;
        if !metadata.is_file() {
            return Err(FileError::NoFile(path.to_owned()));
        }
        let bytes = std::fs::read(&real).map_err(FileError::io("read", path))?;
        let text = String::from_utf8(bytes).map_err(|error| not_utf8(path, &error))?;
        Ok(Self { real, text, metadata })
    }

    /// A file that was made read-only is meant to stay, even where its directory would let us replace it.
    pub fn check_writable(&self) -> Result<(), FileError> {
        let readonly = self.metadata.permissions().readonly();
        if readonly { Err(FileError::ReadOnly(self.real.clone())) } else { Ok(()) }
    }

    /// Puts `text` in the file's place. What another program wrote since the file was read is not overwritten.
    pub fn replace(&self, text: &str) -> Result<(), FileError> {
        self.check_writable()?;
        let now = std::fs::read(&self.real).map_err(FileError::io("read", &self.real))?;
        if now != self.text.as_bytes() {
            return Err(FileError::Changed(self.real.clone()));
        }
        write_whole(&self.real, text.as_bytes(), Some(&self.metadata)).map_err(FileError::io("write", &self.real))
    }
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> FileError {
    let valid = error.utf8_error().valid_up_to();
    let before = String::from_utf8_lossy(&error.as_bytes()[..valid]);
    FileError::Unreadable { path: path.to_owned(), why: ConfigSyntaxError::at(&before, valid, "the text is not UTF-8") }
}

/// Removes what a run that was killed left behind while it wrote this file. Only under the lock, while no other run writes it.
pub(super) fn remove_temporaries(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    sweep(path.parent().unwrap_or(path), |of| of == name);
}

/// Removes all such files from a directory of ours.
pub(super) fn remove_all_temporaries(dir: &Path) {
    sweep(dir, |_| true);
}

fn sweep(dir: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(temporary_of).is_some_and(&is_ours) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The name of the file that a temporary one was to become.
fn temporary_of(name: &str) -> Option<&str> {
    let (of, digits) = name.strip_prefix('.')?.rsplit_once('.')?;
    let digits = digits.strip_prefix(MARK)?;
    (digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit())).then_some(of)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn write_keeps_links_and_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("link.json"));
        std::fs::write(&real, "{}").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", &link).unwrap();
        FileSnapshot::read(&link).unwrap().replace("{\"a\": 1}").unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "{\"a\": 1}");
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(names(dir.path()), ["link.json", "real.json"]);
    }

    #[test]
    fn write_whole_keeps_the_other_names_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one.json"), dir.path().join("other.json"));
        std::fs::write(&one, "{\"longer\": 1}").unwrap();
        std::fs::hard_link(&one, &other).unwrap();
        for text in ["{}", "{\"much longer than before\": 1}"] {
            FileSnapshot::read(&one).unwrap().replace(text).unwrap();
            assert_eq!(std::fs::read_to_string(&other).unwrap(), text);
        }
        assert_eq!(names(dir.path()), ["one.json", "other.json"]);
    }

    #[test]
    fn temporaries_of_a_killed_run_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let digits = "0123456789abcdef0123456789abcdef";
        let left = format!(".c.json.tapline-{digits}");
        let others = [
            format!(".c.json.{digits}"),
            ".c.json.tapline-0".to_owned(),
            format!(".d.json.tapline-{digits}"),
            "c.json".to_owned(),
            format!("c.json.tapline-{digits}"),
        ];
        for name in others.iter().chain([&left]) {
            std::fs::write(dir.path().join(name), "secret").unwrap();
        }
        remove_temporaries(&dir.path().join("c.json"));
        assert_eq!(names(dir.path()), others);
        remove_all_temporaries(dir.path());
        assert_eq!(names(dir.path()), [&others[0], &others[1], "c.json", &others[4]]);
    }

    #[test]
    fn write_spares_what_someone_else_wrote_or_protects() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, "{}").unwrap();
        let config = FileSnapshot::read(&path).unwrap();
        std::fs::write(&path, "{ }").unwrap();
        assert!(matches!(config.replace("new"), Err(FileError::Changed(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(matches!(FileSnapshot::read(&path).unwrap().replace("new"), Err(FileError::ReadOnly(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ }");
        assert_eq!(names(dir.path()), ["c.json"]);
    }

    #[test]
    fn read_of_no_text_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        std::fs::write(&path, b"{\n \"\xc3\xa9\xff\"}").unwrap();
        let error = FileSnapshot::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2, column 4: the text is not UTF-8"), "{error}");
        assert!(matches!(FileSnapshot::read(dir.path()), Err(FileError::NoFile(_))));
        assert!(matches!(FileSnapshot::read(&dir.path().join("none")), Err(FileError::Missing(_))));
    }
}
