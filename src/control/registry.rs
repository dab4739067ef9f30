//! Which taplines run: one file a process, in a directory that only its user can enter.
//!
//! A tapline holds a lock on its file for as long as it lives. The system gives the lock up however the process ends,
//! so a file without a lock is the trace of a tapline that was killed, also where its process id belongs to another
//! process by now; the next reader removes it.
//!
//! A client starts a server with next to no environment, so a tapline started by an editor may not know the
//! `XDG_RUNTIME_DIR` of the terminal next to it: one writes to the first place that is there, one looks at them all.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::ControlToken;
use crate::event::Timestamp;

/// Where taplines publish themselves, and nowhere else; for tests and unusual homes.
const OVERRIDE: &str = "TAPLINE_RUNTIME_DIR";
const SUFFIX: &str = ".json";

/// What a running tapline tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryEntry {
    pub pid: u32,
    pub started: Timestamp,
    /// The address at which the tapline is watched and commanded.
    pub control: SocketAddr,
    pub token: ControlToken,
    pub name: String,
    /// Where clients come in: a URL, or `stdio`.
    pub front: String,
    /// Where it goes: a URL or a command line.
    pub upstream: String,
    pub version: String,
}

/// Why a tapline cannot be found by others.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("no directory to publish in; `XDG_RUNTIME_DIR` may name one")]
    NoPlace,
    #[error("{} is not a directory that only this user can enter", .0.display())]
    NotOurs(PathBuf),
    #[error("cannot write to {}: {why}", path.display())]
    Write { path: PathBuf, why: io::Error },
}

/// The places where taplines of this user publish themselves.
#[derive(Clone, Debug)]
pub struct Registry {
    places: Vec<PathBuf>,
}

/// A published entry; dropping it withdraws it.
#[derive(Debug)]
pub struct Published {
    path: PathBuf,
    /// Locked: the sign of life.
    file: File,
}

impl Registry {
    /// The registry in this directory, which need not exist yet.
    pub fn at(place: impl Into<PathBuf>) -> Self {
        Self { places: vec![place.into()] }
    }

    /// Returns the registry that the environment names: `TAPLINE_RUNTIME_DIR`, else the usual runtime directories of this user.
    pub fn of_user() -> Self {
        if let Some(place) = std::env::var_os(OVERRIDE).filter(|place| !place.is_empty()) {
            return Self::at(place);
        }
        let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self { places: places(named, getuid().as_raw()) }
    }

    /// The directory that a tapline would publish itself in; it is made where it is not there.
    ///
    /// # Errors
    /// As of [`Self::publish`].
    pub fn place(&self) -> Result<PathBuf, RegistryError> {
        let mut failure = RegistryError::NoPlace;
        for (at, place) in self.places.iter().enumerate() {
            match prepare(place) {
                Ok(()) => return Ok(place.clone()),
                Err(error) if at == 0 => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Makes an entry visible, whole and at once.
    ///
    /// # Errors
    /// Where no place can be written to; the error is that of the first.
    pub fn publish(&self, entry: &RegistryEntry) -> Result<Published, RegistryError> {
        let mut failure = RegistryError::NoPlace;
        for (at, place) in self.places.iter().enumerate() {
            match publish_in(place, entry) {
                Ok(published) => return Ok(published),
                Err(error) if at == 0 => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// All taplines that run, oldest first. Removes what those left behind that were killed.
    pub fn list(&self) -> Vec<RegistryEntry> {
        let mut entries: Vec<RegistryEntry> = self.files().filter_map(|path| read(&path)).collect();
        entries.sort_by_key(|entry| (entry.started, entry.pid));
        entries
    }

    /// Removes an entry whose control address refused the connection: its tapline is gone, whatever the file says.
    pub fn forget(&self, entry: &RegistryEntry) {
        for path in self.files() {
            if let Ok(file) = File::open(&path)
                && serde_json::from_reader(&file).ok().as_ref() == Some(entry)
            {
                remove(&path, &file);
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let places = self.places.iter().filter(|place| is_private_dir(place));
        let files = places.filter_map(|place| std::fs::read_dir(place).ok()).flatten().filter_map(Result::ok);
        files.map(|file| file.path()).filter(|path| path.to_string_lossy().ends_with(SUFFIX))
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        remove(&self.path, &self.file);
    }
}

/// Where to write, and where to look, best first.
fn places(named: Option<PathBuf>, user: u32) -> Vec<PathBuf> {
    let usual = PathBuf::from(format!("/run/user/{user}"));
    // That of another user comes along with `sudo -E` and the like.
    let is_ours = |dir: &PathBuf| dir.is_absolute() && dir.metadata().is_ok_and(|known| known.uid() == user);
    let runtime = named.into_iter().chain([usual]).filter(is_ours).map(|dir| dir.join("tapline"));
    let temporary = if cfg!(target_os = "macos") { std::env::temp_dir() } else { PathBuf::from("/tmp") };
    let mut places: Vec<_> = runtime.chain([temporary.join(format!("tapline-{user}"))]).collect();
    places.dedup();
    places
}

fn publish_in(place: &Path, entry: &RegistryEntry) -> Result<Published, RegistryError> {
    prepare(place)?;
    let path = place.join(format!("{}{SUFFIX}", entry.pid));
    let failed = |why| RegistryError::Write { path: path.clone(), why };
    // Locked before it is visible: it is never taken for that of a dead process.
    let draft = place.join(format!("{}.draft", entry.pid));
    let _ = std::fs::remove_file(&draft);
    let written = write(&draft, entry).and_then(|file| std::fs::rename(&draft, &path).map(|()| file));
    match written {
        Ok(file) => Ok(Published { path, file }),
        Err(error) => {
            let _ = std::fs::remove_file(&draft);
            Err(failed(error))
        }
    }
}

/// Makes the directory, where it is not there.
fn prepare(place: &Path) -> Result<(), RegistryError> {
    let failed = |why| RegistryError::Write { path: place.to_owned(), why };
    DirBuilder::new().recursive(true).mode(0o700).create(place).map_err(failed)?;
    if is_private_dir(place) { Ok(()) } else { Err(RegistryError::NotOurs(place.to_owned())) }
}

fn write(draft: &Path, entry: &RegistryEntry) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    match file.try_lock() {
        Ok(()) => {}
        // A file system without locks: what remains is to ask for the process.
        Err(TryLockError::Error(error)) => tracing::debug!(%error, "no lock on the registry file"),
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
    }
    file.write_all(&serde_json::to_vec(entry)?)?;
    Ok(file)
}

/// The entry of a tapline that lives. Files that others could have written, or read, are not looked at.
fn read(path: &Path) -> Option<RegistryEntry> {
    let known = path.symlink_metadata().ok()?;
    if !known.is_file() || !is_private(&known) {
        return None;
    }
    let file = File::open(path).ok()?;
    let lock = file.try_lock_shared();
    let entry: Option<RegistryEntry> = serde_json::from_reader(&file).ok();
    let alive = match lock {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => entry.as_ref().is_some_and(|entry| process_lives(entry.pid)),
    };
    if !alive {
        remove(path, &file);
    }
    entry.filter(|_| alive)
}

/// Removes the file that was opened, unless another stands in its place by now.
fn remove(path: &Path, file: &File) {
    let same = |one: &Metadata, other: &Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    if let (Ok(there), Ok(ours)) = (path.symlink_metadata(), file.metadata())
        && same(&there, &ours)
    {
        let _ = std::fs::remove_file(path);
    }
}

fn process_lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn is_private_dir(dir: &Path) -> bool {
    dir.symlink_metadata().is_ok_and(|known| known.is_dir() && is_private(&known))
}

fn is_private(known: &Metadata) -> bool {
    known.uid() == getuid().as_raw() && known.mode() & 0o077 == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn entry(pid: u32) -> RegistryEntry {
        RegistryEntry {
            pid,
            started: Timestamp(u64::from(pid)),
            control: ([127, 0, 0, 1], 1).into(),
            token: ControlToken::given("secret"),
            name: "weather".to_owned(),
            front: "stdio".to_owned(),
            upstream: "python weather.py".to_owned(),
            version: "0".to_owned(),
        }
    }

    fn registry() -> (tempfile::TempDir, PathBuf, Registry) {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("run").join("tapline");
        (dir, place.clone(), Registry::at(place))
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn registry_entry_is_listed_while_published() {
        let (_dir, place, registry) = registry();
        assert_eq!(registry.list(), []);
        let (second, first) = (registry.publish(&entry(2)).unwrap(), registry.publish(&entry(1)).unwrap());
        assert_eq!(registry.list(), [entry(1), entry(2)]);
        assert_eq!((mode(&place), mode(&place.join("1.json"))), (0o700, 0o600));
        drop(first);
        assert_eq!(registry.list(), [entry(2)]);
        drop(second);
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
    }

    #[test]
    fn registry_removes_entries_of_killed_taplines() {
        let (_dir, place, registry) = registry();
        // Its process id may be in use again: here, our own.
        let stale = place.join(format!("{}.json", std::process::id()));
        let living = registry.publish(&entry(std::process::id() + 1)).unwrap();
        std::fs::write(&stale, serde_json::to_vec(&entry(std::process::id())).unwrap()).unwrap();
        std::fs::set_permissions(&stale, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(registry.list(), [entry(std::process::id() + 1)]);
        assert!(!stale.exists());
        drop(living);
    }

    #[test]
    fn registry_distrusts_files_others_can_reach() {
        let (_dir, place, registry) = registry();
        let published = registry.publish(&entry(1)).unwrap();
        let loosened =
            |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        loosened(&place.join("1.json"), 0o640);
        assert_eq!(registry.list(), []);
        assert!(place.join("1.json").exists(), "what is not ours is not touched");
        loosened(&place.join("1.json"), 0o600);
        loosened(&place, 0o755);
        assert_eq!(registry.list(), []);
        assert!(matches!(registry.publish(&entry(2)), Err(RegistryError::NotOurs(_))));
        drop(published);
    }

    #[test]
    fn registry_places_need_no_environment() {
        let (dir, user) = (tempfile::tempdir().unwrap(), getuid().as_raw());
        let without = places(None, user);
        assert_eq!(without.last().unwrap().file_name().unwrap(), format!("tapline-{user}").as_str());
        let with = places(Some(dir.path().to_owned()), user);
        assert_eq!(with[0], dir.path().join("tapline"));
        assert_eq!(with[1..], without, "whoever has it looks where the others write");
        for not_ours in [PathBuf::from("relative"), dir.path().join("missing")] {
            assert_eq!(places(Some(not_ours), user), without);
        }
        assert_eq!(places(Some(dir.path().to_owned()), user + 1).len(), 1, "of another user");
    }

    #[test]
    fn registry_entry_of_a_reused_process_id_is_replaced() {
        let (_dir, _place, registry) = registry();
        let before = registry.publish(&entry(1)).unwrap();
        let after = registry.publish(&RegistryEntry { name: "again".to_owned(), ..entry(1) }).unwrap();
        drop(before);
        assert_eq!(registry.list().iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["again"]);
        drop(after);
    }
}
