//! What files were before they were wrapped: for each a copy, and a record of what tapline made of it.
//!
//! Everything is readable by the user alone, as configurations hold keys. The copy is the file, byte for byte, so that
//! it can be put back by hand.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use serde::{Deserialize, Serialize};

use super::edit::OriginalServer;
use super::file::{FileError, write_whole};

/// The directory of backups.
#[derive(Clone, Debug)]
pub struct BackupStore {
    dir: PathBuf,
}

/// A wrapped file and the way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The file before.
    pub original: String,
    pub record: BackupRecord,
}

/// What is kept beside the copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// The file, behind all links.
    pub file: String,
    /// What tapline is called in it.
    pub programs: Vec<String>,
    /// What tapline wrote: as long as the file still reads so, the copy is the exact way back.
    pub wrapped: String,
    pub servers: Vec<OriginalServer>,
}

impl BackupStore {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// In the user's data directory; `None` without a home directory.
    pub fn of_user() -> Option<Self> {
        let base = etcetera::choose_base_strategy().ok()?;
        Some(Self::new(base.data_dir().join("tapline").join("wrapped")))
    }

    /// The backup of a file, if there is one.
    pub fn load(&self, real: &Path) -> Result<Option<Backup>, FileError> {
        let path = self.record_path(real);
        let Some(text) = read(&path)? else { return Ok(None) };
        let Some(original) = read(&self.copy_path(real))? else { return Ok(None) };
        let record: BackupRecord =
            serde_json::from_str(&text).map_err(|error| FileError::io("read", &path)(error.into()))?;
        // Another file whose name hashes alike: as good as none, and never to be mistaken for it.
        Ok((record.file == real.to_string_lossy()).then_some(Backup { original, record }))
    }

    /// Keeps a backup; gives the path of the copy.
    pub fn save(&self, real: &Path, backup: &Backup) -> Result<PathBuf, FileError> {
        let (copy, record) = (self.copy_path(real), self.record_path(real));
        create_private_dir(&self.dir).map_err(FileError::io("create", &self.dir))?;
        write_whole(&copy, backup.original.as_bytes(), None).map_err(FileError::io("write", &copy))?;
        let json = serde_json::to_string_pretty(&backup.record)
            .map_err(|error| FileError::io("write", &record)(error.into()))?;
        write_whole(&record, json.as_bytes(), None).map_err(FileError::io("write", &record))?;
        Ok(copy)
    }

    /// Forgets a file. What is not there is forgotten already.
    pub fn remove(&self, real: &Path) {
        for path in [self.record_path(real), self.copy_path(real)] {
            drop(std::fs::remove_file(path));
        }
    }

    /// All files that have a backup.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let records = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let texts = records.filter_map(|path| std::fs::read(path).ok());
        let mut files: Vec<_> = texts
            .filter_map(|text| serde_json::from_slice::<BackupRecord>(&text).ok())
            .map(|record| PathBuf::from(record.file))
            .collect();
        files.sort();
        files
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

fn read(path: &Path) -> Result<Option<String>, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
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

    #[test]
    fn backup_is_read_back_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let store = BackupStore::new(dir.path().join("data/wrapped"));
        let real = Path::new("/home/me/.cursor/mcp é.json");
        assert_eq!(store.load(real).unwrap(), None);
        assert!(store.files().is_empty());
        let was = OriginalServer {
            path: vec!["mcpServers".to_owned(), "a".to_owned()],
            no_args: true,
            ..OriginalServer::default()
        };
        let (file, programs, wrapped) = (real.to_str().unwrap().to_owned(), vec!["/t".to_owned()], "{}".to_owned());
        let record = BackupRecord { file, programs, wrapped, servers: vec![was] };
        let backup = Backup { original: "\u{feff}{ }\r\n".to_owned(), record };
        let copy = store.save(real, &backup).unwrap();
        assert_eq!(std::fs::read(&copy).unwrap(), backup.original.as_bytes());
        assert_eq!(store.load(real).unwrap(), Some(backup));
        assert_eq!(store.files(), [real]);
        for entry in std::fs::read_dir(dir.path().join("data/wrapped")).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(dir.path().join("data/wrapped").metadata().unwrap().permissions().mode() & 0o777, 0o700);
        store.remove(real);
        assert_eq!(store.load(real).unwrap(), None);
    }

    #[test]
    fn broken_backup_is_an_error_and_no_absence() {
        let dir = tempfile::tempdir().unwrap();
        let store = BackupStore::new(dir.path().to_owned());
        let real = Path::new("/c.json");
        std::fs::write(store.record_path(real), "{").unwrap();
        std::fs::write(store.copy_path(real), "{}").unwrap();
        assert!(store.load(real).unwrap_err().to_string().contains("cannot read"));
    }
}
