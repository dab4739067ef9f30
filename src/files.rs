//! Files that are written whole or not at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Writes a file of which readers see all or nothing: with the owner and the permissions of the one it replaces, or for
/// the user alone. A file that has other names besides is written in place, as they would else keep what it was; its whole
/// text is on the disk before, and what it was is in the backup.
///
/// # Errors
/// Where it cannot be written; then it is as it was.
pub fn write_whole(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let temporary = name_beside(path);
    let in_place = like.is_some_and(has_other_names);
    let written = fill(&temporary, bytes, like)
        .and_then(|()| if in_place { overwrite(path, bytes) } else { std::fs::rename(&temporary, path) });
    if written.is_err() || in_place {
        // It may never have come to be; the error that counts is the first.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// A file that is being written, which may take long: it has no name until it is whole, so that nothing is left of it where tapline is
/// interrupted or killed. Where a file system knows no files without names, it has one beside its place.
#[derive(Debug)]
pub struct DraftFile {
    file: File,
    /// The name that it has meanwhile.
    named: Option<PathBuf>,
    /// Where it is to be.
    place: PathBuf,
}

impl DraftFile {
    /// # Errors
    /// Where nothing can be written there.
    pub fn of(place: &Path, mode: u32) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let place = place.to_owned();
        if let Some(file) = nameless(&place, mode) {
            return Ok(Self { file, named: None, place });
        }
        let name = name_beside(&place);
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&name)?;
        Ok(Self { file, named: Some(name), place })
    }

    /// To write to.
    ///
    /// # Errors
    /// Where the process has too many files open.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts it in its place, whatever is there.
    ///
    /// # Errors
    /// Where that cannot be: then nothing is left of it.
    pub fn replace(mut self) -> io::Result<()> {
        std::fs::rename(self.name()?, &self.place)?;
        self.named = None;
        Ok(())
    }

    /// Puts it in a place of the same directory where nothing is.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where something is there.
    pub fn put(&mut self, place: &Path) -> io::Result<()> {
        rename_new(&self.name()?, place)?;
        self.named = None;
        Ok(())
    }

    fn name(&mut self) -> io::Result<PathBuf> {
        if let Some(name) = &self.named {
            return Ok(name.clone());
        }
        let name = name_beside(&self.place);
        link(&self.file, &name)?;
        Ok(self.named.insert(name).clone())
    }
}

impl Drop for DraftFile {
    fn drop(&mut self) {
        if let Some(name) = &self.named {
            let _ = std::fs::remove_file(name);
        }
    }
}

fn name_beside(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!(".{name}.{MARK}{}", uuid::Uuid::new_v4().simple()))
}

/// Where the descriptors of this process have names, by which a file without one is given one.
#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";

#[cfg(target_os = "linux")]
fn nameless(place: &Path, mode: u32) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};
    if !Path::new(DESCRIPTORS).is_dir() {
        return None;
    }
    let dir = place.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    open(dir, flags, Mode::from_raw_mode(mode)).ok().map(Into::into)
}

#[cfg(target_os = "linux")]
fn link(file: &File, name: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let descriptor = format!("{DESCRIPTORS}/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, descriptor, CWD, name, rustix::fs::AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Path, _: u32) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Renames a file, in one step, where nothing has the name: also where that was seen to be so before, as it may have come meanwhile.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where something has it.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system that knows no such step.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_err() => std::fs::rename(from, to),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(io::ErrorKind::AlreadyExists.into()),
        renamed => Ok(renamed?),
    }
}

/// What the names of temporary files have between that of their file and 32 digits.
pub const MARK: &str = "tapline-";

fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

#[cfg(unix)]
fn has_other_names(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.nlink() > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

fn fill(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mut file = create(path)?;
    file.write_all(bytes)?;
    if let Some(like) = like {
        keep_owner(path, like);
        file.set_permissions(like.permissions())?;
    }
    file.sync_all()
}

#[cfg(unix)]
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Run as root, a user's file stays the user's. Anyone else may only replace what is theirs.
#[cfg(unix)]
fn keep_owner(path: &Path, like: &Metadata) {
    use std::os::unix::fs::MetadataExt as _;
    let _ = std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &Path, _: &Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_has_no_name_until_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (place, other) = (dir.path().join("a"), dir.path().join("b"));
        let names = || std::fs::read_dir(&dir).unwrap().count();
        let draft = |text: &str| {
            let draft = DraftFile::of(&place, 0o600).unwrap();
            draft.file().unwrap().write_all(text.as_bytes()).unwrap();
            draft
        };
        let mut new = draft("new");
        #[cfg(target_os = "linux")]
        assert_eq!(names(), 0, "who is killed now leaves nothing");
        new.put(&place).unwrap();
        drop(new);
        assert_eq!((names(), std::fs::read_to_string(&place).unwrap().as_str()), (1, "new"));
        // Something has come there: it takes another name, or goes with its draft.
        let mut late = draft("late");
        assert_eq!(late.put(&place).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        late.put(&other).unwrap();
        drop(late);
        assert_eq!((names(), std::fs::read_to_string(&other).unwrap().as_str()), (2, "late"));
        let mut left = draft("left");
        assert!(left.put(&place).is_err());
        drop(left);
        draft("over").replace().unwrap();
        assert_eq!((names(), std::fs::read_to_string(&place).unwrap().as_str()), (2, "over"));
    }
}
