//! Files that are written whole or not at all.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file of which readers see all or nothing: with the owner and the permissions of the one it replaces, or for
/// the user alone. A file that has other names besides is written in place, as they would else keep what it was; its whole
/// text is on the disk before, and what it was is in the backup.
///
/// # Errors
/// Where it cannot be written; then it is as it was.
pub fn write_whole(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{MARK}{}", uuid::Uuid::new_v4().simple()));
    let in_place = like.is_some_and(has_other_names);
    let written = fill(&temporary, bytes, like)
        .and_then(|()| if in_place { overwrite(path, bytes) } else { std::fs::rename(&temporary, path) });
    if written.is_err() || in_place {
        // It may never have come to be; the error that counts is the first.
        let _ = std::fs::remove_file(&temporary);
    }
    written
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
