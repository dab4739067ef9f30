//! Tapes fetched into files, piece by piece, for as long as a command reads them.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use object_store::ObjectStoreExt as _;
use object_store::path::Path as ObjectPath;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::failure::told;
use super::place::StorePlace;
use crate::exit::ExitError;
use crate::screen::Signals;
use crate::tape::is_tape_name;

/// How the bar looks.
const FETCHING: &str = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}";

/// A directory of fetched tapes; it is gone with this, and when a signal ends tapline.
pub(super) struct FetchedTapes {
    dir: PathBuf,
    runtime: Runtime,
    ends_in_order: Arc<AtomicBool>,
}

impl FetchedTapes {
    pub(super) fn new() -> Result<Self, ExitError> {
        let dir = std::env::temp_dir().join(format!("tapline-{}", Uuid::new_v4()));
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o700).create(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let ends_in_order = Arc::<AtomicBool>::default();
        let fetched = Self { dir, runtime: runtime()?, ends_in_order };
        remove_on_signal(fetched.dir.clone(), fetched.ends_in_order.clone())?;
        Ok(fetched)
    }

    /// From here on signals are the command's, which ends in order.
    pub(super) fn leave_signals(&self) {
        self.ends_in_order.store(true, Ordering::Relaxed);
    }

    /// Fetches one tape.
    ///
    /// # Errors
    /// Where the store does not give it.
    pub(super) fn one(&self, url: &Path) -> Result<PathBuf, ExitError> {
        let place = StorePlace::of(&url.to_string_lossy()).map_err(ExitError::usage)?;
        self.fetch(&place, &place.path)
    }

    /// Fetches one tape, or all below a URL that ends with a slash.
    ///
    /// # Errors
    /// Where the store does not give them, or there is none.
    pub(super) fn all(&self, url: &Path) -> Result<Vec<PathBuf>, ExitError> {
        let text = url.to_string_lossy();
        if !text.ends_with('/') {
            return Ok(vec![self.one(url)?]);
        }
        let place = StorePlace::of(&text).map_err(ExitError::usage)?;
        let shown = place.shown(&place.path);
        let listed = self.runtime.block_on(place.store.objects().list(Some(&place.path)).collect::<Vec<_>>());
        let listed: Result<Vec<_>, _> = listed.into_iter().collect();
        let cannot = |error: object_store::Error| {
            ExitError::usage(told(anyhow!(error), &place).context(format!("cannot list {shown}")))
        };
        let listed = listed.map_err(cannot)?;
        let mut found: Vec<_> = listed.into_iter().map(|it| it.location).collect();
        found.retain(|path| is_tape_name(Path::new(path.filename().unwrap_or_default())));
        found.sort();
        if found.is_empty() {
            return Err(ExitError::usage(anyhow!("there is no tape below {shown}")));
        }
        found.iter().map(|path| self.fetch(&place, path)).collect()
    }

    /// Into a file whose path tells where the tape lies: it is what reports name.
    fn fetch(&self, place: &StorePlace, path: &ObjectPath) -> Result<PathBuf, ExitError> {
        let (url, store) = (&place.url, place.url.host_str().unwrap_or_default());
        let store = url.port().map_or_else(|| store.to_owned(), |port| format!("{store}:{port}"));
        let file = self.dir.join(url.scheme()).join(store).join(path.as_ref());
        // Given twice.
        if file.exists() {
            return Ok(file);
        }
        let dir = file.parent().unwrap_or(&self.dir);
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let fetched = self.runtime.block_on(fetch(place, path, &file));
        let cannot = || format!("cannot fetch {}", place.shown(path));
        fetched.map_err(|error| ExitError::usage(told(error, place).context(cannot())))?;
        Ok(file)
    }
}

fn runtime() -> Result<Runtime, ExitError> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?)
}

/// Ends tapline as a signal alone would, and leaves nothing behind.
#[expect(
    clippy::exit,
    reason = "nobody else listens to the signal: a command that reads files ends by it wherever it is"
)]
fn remove_on_signal(dir: PathBuf, ends_in_order: Arc<AtomicBool>) -> Result<(), ExitError> {
    let runtime = runtime()?;
    // Before there is anything to be removed.
    let mut signals = runtime.block_on(async { Signals::new() }).context("no signals")?;
    std::thread::spawn(move || {
        let signal = runtime.block_on(signals.next());
        if !ends_in_order.load(Ordering::Relaxed) {
            let _ = std::fs::remove_dir_all(&dir);
            std::process::exit(signal.status().into());
        }
    });
    Ok(())
}

impl Drop for FetchedTapes {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "fetched tapes were left");
        }
    }
}

async fn fetch(place: &StorePlace, path: &ObjectPath, file: &Path) -> anyhow::Result<()> {
    let got = place.store.objects().get(path).await?;
    let bar = ProgressBar::with_draw_target(Some(got.meta.size), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(FETCHING).expect("the template is a constant"));
    bar.set_message(path.to_string());
    let mut written = std::fs::File::options().write(true).create_new(true).mode(0o600).open(file)?;
    let mut pieces = got.into_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        written.write_all(&piece)?;
        bar.inc(piece.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}
