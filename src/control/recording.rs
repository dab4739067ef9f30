//! Who records to a file now: the running taplines are asked, since a tape without an end may as well be what a killed one left.

use std::path::Path;
use std::time::Duration;

use super::client::{ClientError, Remote};
use super::registry::{Registry, RegistryEntry};
use crate::tape::care::TapeSummary;
use crate::text::sanitize;

/// How long a tapline may take to say what it records.
const PATIENCE: Duration = Duration::from_secs(2);

/// The tapline of this user, other than this process, that records to this tape, or may: it does not say. It is waited for, so this is no
/// place for a task of a runtime.
pub fn recorder_elsewhere(tape: &Path) -> Option<RegistryEntry> {
    let running = Registry::of_user().list();
    let mut others = running.into_iter().filter(|it| it.pid != std::process::id()).peekable();
    others.peek()?;
    // Where no core runs, nothing has chosen it yet.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tape = tape.canonicalize().unwrap_or_else(|_| tape.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    others.find(|it| runtime.block_on(records(it, &tape)).unwrap_or_else(|| is_open(&tape)))
}

/// `None` where it does not say.
async fn records(entry: &RegistryEntry, tape: &Path) -> Option<bool> {
    let remote = Remote::of(entry).ok()?;
    match tokio::time::timeout(PATIENCE, remote.records(tape)).await.ok()? {
        Ok(records) => Some(records),
        // It has just gone.
        Err(ClientError::Unreachable { .. }) => Some(false),
        Err(_) => None,
    }
}

/// Whether it has no end. One that cannot be read is no tape.
fn is_open(tape: &Path) -> bool {
    TapeSummary::of(tape).is_ok_and(|it| it.end.is_none())
}

impl RegistryEntry {
    /// Which tapline this is, in words: its name, its process, and where it is entered.
    pub fn words(&self) -> String {
        sanitize(&format!("tapline `{}` (process {}, {})", self.name, self.pid, self.front)).into_owned()
    }
}
