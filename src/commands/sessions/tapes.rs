//! Removing tapes of sessions. A database says where they are, and may say anything: what is removed is a tape, of that very session, in
//! the directory of tapes, and no link to one.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::SessionsError;
use crate::config::keys::ConfigKeys;
use crate::config::options::tapes_dir;
use crate::envelope::SessionId;
use crate::store::Record;
use crate::tape::{SUFFIX, read::TapeReader};

/// What became of tapes.
#[derive(Debug, Default)]
pub(super) struct RemovedTapes {
    pub(super) count: usize,
    /// Those that stay, each with the reason.
    pub(super) stay: Vec<String>,
}

/// Where tapes are: the directory that is given, else that which is recorded to.
pub(super) fn dir(given: Option<&PathBuf>, keys: &ConfigKeys) -> Result<PathBuf, SessionsError> {
    tapes_dir(given, keys).map_err(SessionsError::NoTapes)
}

/// Removes the tapes of these sessions.
pub(super) fn remove(records: &[&Record], dir: &Path) -> RemovedTapes {
    let mut removed = RemovedTapes::default();
    for record in records {
        let Some(path) = record.session.tape.as_ref() else { continue };
        match remove_one(path, record.session.id, dir) {
            Ok(()) => removed.count += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(why) => removed.stay.push(format!("{}: {why}", path.display())),
        }
    }
    removed
}

fn remove_one(path: &Path, session: SessionId, dir: &Path) -> io::Result<()> {
    let not_removed = |why: String| Err(io::Error::other(why));
    if !path.symlink_metadata()?.is_file() {
        return not_removed("it is not a file".to_owned());
    }
    let parent = path.parent().map(Path::canonicalize).transpose()?;
    if parent.as_ref() != Some(&dir.canonicalize()?) {
        return not_removed(format!("it is not in {}; `--tapes=DIR` takes another directory", dir.display()));
    }
    let is_named_so = path.to_string_lossy().ends_with(SUFFIX);
    match TapeReader::open(path) {
        Ok(tape) if is_named_so && tape.header().session == session => std::fs::remove_file(path),
        _ => not_removed("it is not the tape of this session".to_owned()),
    }
}
