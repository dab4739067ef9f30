//! A configuration file together with what is kept of it.

use super::backup::{Backup, BackupRecord, BackupStore, KeptBackup};
use super::clients::ConfigFile;
use super::doc::ConfigSyntaxError;
use super::edit::{self, ConfigEdit, EditSource, KnownServers, ListedServer, OriginalServer, WrapChoice};
use super::file::{FileError, FileSnapshot, remove_temporaries};

/// A file, read and understood.
pub struct OpenedConfig<'f> {
    pub file: &'f ConfigFile,
    pub config: FileSnapshot,
    pub kept: KeptBackup,
    /// What tapline is called in it.
    taplines: Vec<String>,
    pub servers: Vec<ListedServer>,
}

impl<'f> OpenedConfig<'f> {
    /// Reads a file and what is kept of it. `tapline` is what tapline is called today.
    pub fn new(file: &'f ConfigFile, store: &BackupStore, tapline: &str) -> Result<Self, FileError> {
        let config = FileSnapshot::read(&file.path)?;
        let kept = store.load(&config.real)?;
        let mut taplines = record(&kept).map_or_else(Vec::new, |record| record.programs.clone());
        if !taplines.iter().any(|known| known == tapline) {
            taplines.push(tapline.to_owned());
        }
        let mut opened = Self { file, config, kept, taplines, servers: Vec::new() };
        opened.servers = edit::servers(opened.source()).map_err(|why| opened.unreadable(why))?;
        Ok(opened)
    }

    /// Reads a file that is to be edited, under the lock; what a run that was killed left beside it is removed.
    pub fn to_edit(file: &'f ConfigFile, store: &BackupStore, tapline: &str) -> Result<Self, FileError> {
        let opened = Self::new(file, store, tapline)?;
        remove_temporaries(&opened.config.real);
        Ok(opened)
    }

    /// Why the backup cannot be used, where there is one that cannot.
    pub fn broken_backup(&self) -> Option<&'static str> {
        match self.kept {
            KeptBackup::Broken { why, .. } => Some(why),
            KeptBackup::Nothing | KeptBackup::Whole(_) => None,
        }
    }

    fn whole_backup(&self) -> Option<&Backup> {
        match &self.kept {
            KeptBackup::Whole(backup) => Some(backup),
            KeptBackup::Nothing | KeptBackup::Broken { .. } => None,
        }
    }

    fn unreadable(&self, why: ConfigSyntaxError) -> FileError {
        FileError::Unreadable { path: self.file.path.clone(), why }
    }

    /// The file with tapline in front of servers.
    pub fn wrapped(&self, choice: WrapChoice<'_>) -> Result<ConfigEdit, FileError> {
        edit::wrap(self.source(), choice).map_err(|why| self.unreadable(why))
    }

    fn source(&self) -> EditSource<'_> {
        let ConfigFile { format, containers, .. } = *self.file;
        EditSource { text: &self.config.text, format, containers, taplines: &self.taplines }
    }

    /// What is known of its servers from before they were wrapped.
    fn was(&self) -> &[OriginalServer] {
        record(&self.kept).map_or(&[], |record| &record.servers)
    }

    /// The text of the backup, as long as the file was not edited since.
    fn untouched(&self) -> Option<&str> {
        let backup = self.whole_backup()?;
        (backup.record.wrapped == self.config.text).then_some(&backup.original)
    }

    /// Whether the file is as it was before `wrap`: the edit was undone by other means.
    pub fn is_as_before(&self) -> bool {
        self.whole_backup().is_some_and(|backup| backup.original == self.config.text)
    }

    /// The file as it would be had nothing been wrapped.
    fn original(&self) -> String {
        let unwrapped = || edit::unwrap(self.source(), &[], self.was()).map(|edit| edit.text);
        self.untouched().map_or_else(|| unwrapped().unwrap_or_else(|_| self.config.text.clone()), str::to_owned)
    }

    /// The file without tapline in front of the named servers, or of any.
    pub fn unwrapped(&self, names: &[String]) -> Result<ConfigEdit, FileError> {
        let wrapped = self.wrapped_in(&self.config.text);
        let all = names.is_empty() || wrapped.iter().all(|was| names.iter().any(|name| name == was.name()));
        match self.untouched() {
            Some(original) if all => {
                Ok(ConfigEdit { text: original.to_owned(), changed: wrapped, skipped: Vec::new() })
            }
            _ => edit::unwrap(self.source(), names, self.was()).map_err(|why| self.unreadable(why)),
        }
    }

    /// A backup to go with a new text.
    pub fn backup_for(&self, text: &str, servers: Vec<OriginalServer>) -> Backup {
        let file = self.config.real.to_string_lossy().into_owned();
        let record = BackupRecord { file, programs: self.taplines.clone(), wrapped: text.to_owned(), servers };
        Backup { original: self.original(), record }
    }

    /// The servers that go through tapline in an edited text.
    pub fn wrapped_in(&self, text: &str) -> Vec<OriginalServer> {
        let servers = edit::servers(EditSource { text, ..self.source() }).unwrap_or_default();
        let (wrapped, known) = (servers.into_iter().filter(|server| server.wrapped), KnownServers::new(self.was()));
        wrapped.map(|server| known.at(&server.path)).collect()
    }
}

/// The record of a backup, as far as it can be believed.
fn record(kept: &KeptBackup) -> Option<&BackupRecord> {
    match kept {
        KeptBackup::Nothing => None,
        KeptBackup::Whole(backup) => Some(&backup.record),
        KeptBackup::Broken { record, .. } => Some(record),
    }
}
