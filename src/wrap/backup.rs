//! What files were before they were wrapped: for each a copy, and a record of what tapline made of it.
//!
//! Everything is readable by the user alone, as configurations hold keys. The copy is the file, byte for byte, so that
//! it can be put back by hand. It is trusted only where length and hash are those that were kept of it, and so is the record:
//! what a disk or a hand did to them must not get into the user's configuration.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::edit::OriginalServer;
use super::file::{FileError, remove_all_temporaries};
use crate::files::write_whole;

/// The directory of backups.
#[derive(Clone, Debug)]
pub struct BackupStore {
    dir: PathBuf,
}

/// A wrapped file and the way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The text of the file before it was wrapped.
    pub original: String,
    pub record: BackupRecord,
}

/// What is kept beside the copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// The file, behind all links.
    pub file: String,
    /// What tapline is called in it.
    pub programs: Vec<String>,
    /// What tapline wrote: as long as the file still reads so, the copy is the exact way back.
    pub wrapped: String,
    pub servers: Vec<OriginalServer>,
}

/// What the store has of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptBackup {
    Nothing,
    Whole(Backup),
    /// It is not what was kept. Of the record, what can be believed.
    Broken {
        record: BackupRecord,
        why: &'static str,
    },
}

/// A record as it stands on the disk, with what it and the copy are checked by.
#[derive(Serialize, Deserialize)]
struct SealedRecord {
    copy_length: usize,
    copy_sha256: String,
    record_sha256: String,
    record: BackupRecord,
}

impl SealedRecord {
    fn new(backup: &Backup) -> Self {
        let Backup { original, record } = backup;
        Self {
            copy_length: original.len(),
            copy_sha256: sha256(original.as_bytes()),
            record_sha256: sha256_of(record),
            record: record.clone(),
        }
    }

    /// What is wrong with the copy.
    fn mistrust(&self, copy: Option<&[u8]>) -> Option<&'static str> {
        match copy {
            None => Some("it is gone"),
            Some(copy) if copy.len() != self.copy_length => Some("its length is another"),
            Some(copy) if sha256(copy) != self.copy_sha256 => Some("its content is another"),
            Some(_) => None,
        }
    }
}

fn sha256_of(record: &BackupRecord) -> String {
    // A record is made of texts and lists: there is nothing in it that JSON could not hold.
    sha256(&serde_json::to_vec(record).unwrap_or_default())
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A lock: while it is held, no other process reads, edits or backs up a configuration file.
#[derive(Debug)]
pub struct StoreLock(#[expect(dead_code, reason = "it is unlocked when it is closed")] File);

impl BackupStore {
    /// Keeps all other taplines out, from before a file is read until what was made of it is written and kept. What a run that
    /// was killed left in the store is removed.
    ///
    /// # Errors
    /// Where another has it, at once: it may be waiting for a person.
    pub fn lock(&self) -> Result<StoreLock, FileError> {
        let path = self.dir.with_extension("lock");
        let parent = path.parent().unwrap_or(&path);
        create_private_dir(parent).map_err(FileError::io("create", parent))?;
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(FileError::io("lock", &path))?;
        match file.try_lock() {
            Ok(()) => {
                remove_all_temporaries(&self.dir);
                Ok(StoreLock(file))
            }
            Err(TryLockError::WouldBlock) => Err(FileError::Busy),
            Err(TryLockError::Error(error)) => Err(FileError::io("lock", &path)(error)),
        }
    }

    /// The backups that are kept in `dir`, which need not exist yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// In the user's data directory; `None` without a home directory.
    pub fn of_user() -> Option<Self> {
        let base = etcetera::choose_base_strategy().ok()?;
        Some(Self::new(base.data_dir().join("tapline").join("wrapped")))
    }

    /// The backup of a file, if there is one, and whether it is what was kept.
    pub fn load(&self, real: &Path) -> Result<KeptBackup, FileError> {
        let Some(json) = read(&self.record_path(real))? else { return Ok(KeptBackup::Nothing) };
        let file = real.to_string_lossy();
        let Ok(sealed) = serde_json::from_slice::<SealedRecord>(&json) else {
            let record = BackupRecord { file: file.into_owned(), ..BackupRecord::default() };
            return Ok(KeptBackup::Broken { record, why: "its record cannot be read" });
        };
        if sealed.record.file != file {
            // Another file whose name hashes alike: as good as none, and never to be mistaken for it.
            return Ok(KeptBackup::Nothing);
        }
        if sha256_of(&sealed.record) != sealed.record_sha256 {
            // What tapline is called helps to find it, and can do no harm.
            let record = BackupRecord { servers: Vec::new(), wrapped: String::new(), ..sealed.record };
            return Ok(KeptBackup::Broken { record, why: "its record was changed" });
        }
        let copy = read(&self.copy_path(real))?;
        if let Some(why) = sealed.mistrust(copy.as_deref()) {
            return Ok(KeptBackup::Broken { record: sealed.record, why });
        }
        Ok(match String::from_utf8(copy.unwrap_or_default()) {
            Ok(original) => KeptBackup::Whole(Backup { original, record: sealed.record }),
            Err(_) => KeptBackup::Broken { record: sealed.record, why: "it is not text" },
        })
    }

    /// Keeps a backup; gives the path of the copy.
    pub fn save(&self, real: &Path, backup: &Backup) -> Result<PathBuf, FileError> {
        let (copy, record) = (self.copy_path(real), self.record_path(real));
        create_private_dir(&self.dir).map_err(FileError::io("create", &self.dir))?;
        write_whole(&copy, backup.original.as_bytes(), None).map_err(FileError::io("write", &copy))?;
        let json = serde_json::to_string_pretty(&SealedRecord::new(backup))
            .map_err(|error| FileError::io("write", &record)(error.into()))?;
        write_whole(&record, json.as_bytes(), None).map_err(FileError::io("write", &record))?;
        Ok(copy)
    }

    /// Forgets a file. What is not there is forgotten already.
    pub fn remove(&self, real: &Path) {
        for path in [self.record_path(real), self.copy_path(real)] {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Forgets a file. A copy whose content is not what was backed up stays on disk for the user.
    pub fn remove_record(&self, real: &Path) {
        let _ = std::fs::remove_file(self.record_path(real));
    }

    /// All files that have a backup; and the records that do not say whose they are.
    pub fn files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let (mut files, mut unreadable) = (Vec::new(), Vec::new());
        for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            let record = std::fs::read(&path).ok().and_then(|json| serde_json::from_slice::<SealedRecord>(&json).ok());
            match record {
                Some(sealed) => files.push(PathBuf::from(sealed.record.file)),
                None => unreadable.push(path),
            }
        }
        files.sort();
        unreadable.sort();
        (files, unreadable)
    }

    /// The copy of a file that may be unreadable by now.
    pub fn copy_of(&self, path: &Path) -> Option<PathBuf> {
        let copy = self.copy_path(&path.canonicalize().ok()?);
        copy.exists().then_some(copy)
    }

    /// Where the copy of a file is kept.
    pub fn copy_path(&self, real: &Path) -> PathBuf {
        self.dir.join(format!("{}.original", key(real)))
    }

    fn record_path(&self, real: &Path) -> PathBuf {
        self.dir.join(format!("{}.json", key(real)))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// A file name for a path: its last part to recognise it by, and a hash (FNV-1a, the same for ever) to tell it apart.
fn key(path: &Path) -> String {
    let hash = path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().take(40).map(plain).collect();
    format!("{name}-{hash:016x}")
}

#[cfg(unix)]
fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn backup(real: &Path) -> Backup {
        let was = OriginalServer {
            path: vec!["mcpServers".to_owned(), "a".to_owned()],
            no_args: true,
            ..OriginalServer::default()
        };
        let (file, programs, wrapped) = (real.to_str().unwrap().to_owned(), vec!["/t".to_owned()], "{}".to_owned());
        let record = BackupRecord { file, programs, wrapped, servers: vec![was] };
        Backup { original: "\u{feff}{ }\r\n".to_owned(), record }
    }

    #[test]
    fn backup_comes_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = BackupStore::new(dir.path().join("data/wrapped"));
        let real = Path::new("/home/me/.cursor/mcp é.json");
        assert_eq!(store.load(real).unwrap(), KeptBackup::Nothing);
        assert_eq!(store.files(), (vec![], vec![]));
        let backup = backup(real);
        let copy = store.save(real, &backup).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), backup.original.as_bytes());
        assert_eq!(store.load(real).unwrap(), KeptBackup::Whole(backup));
        assert_eq!(store.files(), (vec![real.to_owned()], vec![]));
        for entry in std::fs::read_dir(dir.path().join("data/wrapped")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(dir.path().join("data/wrapped").metadata().unwrap().permissions().mode() & 0o777, 0o700);
        store.remove(real);
        assert_eq!(store.load(real).unwrap(), KeptBackup::Nothing);
    }

    #[test]
    fn backup_that_is_not_what_was_kept_is_broken() {
        let dir = tempfile::tempdir().unwrap();
        let store = BackupStore::new(dir.path().to_owned());
        let real = Path::new("/c.json");
        let whole = backup(real);
        let nameless = BackupRecord { file: "/c.json".to_owned(), ..BackupRecord::default() };
        let unsure = BackupRecord { programs: whole.record.programs.clone(), ..nameless.clone() };
        for (copy, record, believed, why) in [
            (Some("\u{feff}{ }\r"), None, whole.record.clone(), "its length is another"),
            (Some("\u{feff}{-}\r\n"), None, whole.record.clone(), "its content is another"),
            (None, None, whole.record.clone(), "it is gone"),
            (Some("\u{feff}{ }\r\n"), Some(("no_args", "no_argz")), unsure, "its record was changed"),
            (Some("\u{feff}{ }\r\n"), Some(("{", "")), nameless.clone(), "its record cannot be read"),
            (Some("\u{feff}{ }\r\n"), Some(("copy_length", "copy")), nameless, "its record cannot be read"),
        ] {
            store.save(real, &whole).unwrap();
            match copy {
                Some(copy) => std::fs::write(store.copy_path(real), copy).unwrap(),
                None => std::fs::remove_file(store.copy_path(real)).unwrap(),
            }
            if let Some((from, to)) = record {
                let path = store.record_path(real);
                let text = std::fs::read_to_string(&path).unwrap().replacen(from, to, 1);
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(store.load(real).unwrap(), KeptBackup::Broken { record: believed, why });
        }
        assert_eq!(store.files(), (vec![], vec![store.record_path(real)]));
    }

    #[test]
    fn lock_keeps_others_out_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let store = BackupStore::new(dir.path().join("data/wrapped"));
        let held = store.lock().unwrap();
        assert!(matches!(store.lock(), Err(FileError::Busy)));
        drop(held);
        store.lock().unwrap();
    }
}
