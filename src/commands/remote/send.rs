//! Sends a closed tape: a small one at once, a large one part by part. How far that came stands in a file beside the tape, so that what
//! broke off goes on where it was, in another process, too.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use object_store::multipart::{MultipartStore, PartId};
use object_store::{ObjectStoreExt as _, PutMode, PutPayload};
use serde::{Deserialize, Serialize};

use super::failure::{is_given_up, told};
use super::place::{KnownStore, StorePlace};
use crate::cli::TapeUploadArgs;
use crate::commands::help::print;
use crate::exit::ExitError;
use crate::text::sanitize;

/// S3 wants at least 5 MiB of all parts but the last, and at most 10,000 of them.
const PART: u64 = 8 << 20;
const MOST_PARTS: u64 = 10_000;
/// What the file beside a tape is called that says how far it was sent.
const BESIDE: &str = "upload";

/// How far a tape was sent.
#[derive(Serialize, Deserialize)]
struct UploadProgress {
    /// Where to.
    url: String,
    /// What the store knows it by.
    id: String,
    /// Of the file: where it changed, all begins anew.
    length: u64,
    part: u64,
    /// What the store calls the parts that it has.
    parts: Vec<String>,
}

/// What becomes of an object that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placing {
    /// It stays, and nothing is sent.
    New,
    Over,
}

/// Sends a tape, and returns where to. `to`: the place of all tapes, where it ends with a slash, else of this one.
///
/// # Errors
/// Where the store does not take it, or has it already; the tape is still there.
pub(super) async fn send(tape: &Path, to: &str, placing: Placing) -> anyhow::Result<String> {
    let name = tape.file_name().unwrap_or_default().to_string_lossy();
    let url = if to.ends_with('/') { format!("{to}{name}") } else { to.to_owned() };
    let place = StorePlace::of(&url)?;
    let file = File::open(tape).with_context(|| format!("cannot read {}", tape.display()))?;
    let length = file.metadata()?.len();
    send_file(&place, tape, &file, length, placing).await.map_err(|error| told(error, &place))?;
    Ok(place.shown(&place.path))
}

async fn send_file(place: &StorePlace, tape: &Path, file: &File, length: u64, placing: Placing) -> anyhow::Result<()> {
    // Said before anything is sent; the store itself has the last word where it knows of such a condition.
    if placing == Placing::New {
        check_free(place).await?;
    }
    match place.store.parts() {
        Some(store) if length > PART => in_parts(store, place, tape, file, length, placing).await?,
        _ if length > PART && matches!(place.store, KnownStore::Http(_)) => {
            let shown = place.shown(&place.path);
            bail!("{shown}: a tape of {length} bytes is too large for a store that takes no parts")
        }
        _ => {
            let whole = read(file, 0, length)?;
            put(place, whole.into(), placing).await?;
        }
    }
    Ok(())
}

/// # Errors
/// Where something is there. Who may only write is not told, and sends.
async fn check_free(place: &StorePlace) -> anyhow::Result<()> {
    place.store.objects().head(&place.path).await.map_or(Ok(()), |_| Err(occupied(place)))
}

fn occupied(place: &StorePlace) -> anyhow::Error {
    anyhow!("{} is there already; `--overwrite` replaces it", place.shown(&place.path))
}

async fn put(place: &StorePlace, whole: PutPayload, placing: Placing) -> anyhow::Result<()> {
    let (store, path) = (place.store.objects(), &place.path);
    if placing == Placing::New {
        match store.put_opts(path, whole.clone(), PutMode::Create.into()).await {
            // Nobody knows of what comes between looking and writing there.
            Err(object_store::Error::NotImplemented { .. }) => {}
            Err(object_store::Error::AlreadyExists { .. }) => return Err(occupied(place)),
            put => return Ok(put.map(drop)?),
        }
    }
    store.put(path, whole).await?;
    Ok(())
}

fn read(file: &File, from: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

async fn in_parts(
    store: &dyn MultipartStore,
    place: &StorePlace,
    tape: &Path,
    file: &File,
    length: u64,
    placing: Placing,
) -> anyhow::Result<()> {
    let beside = beside(tape);
    if let Some(mut progress) = resumable(&beside, place, length) {
        let sent = progress.go_on(store, place, file, &beside, placing).await;
        let is_over = !sent.as_ref().is_err_and(is_given_up);
        if is_over {
            return sent;
        }
        // Stores forget an upload after some days: it begins anew.
        let _ = std::fs::remove_file(&beside);
    }
    let id = store.create_multipart(&place.path).await?;
    let part = PART.max(length.div_ceil(MOST_PARTS));
    let mut progress = UploadProgress { url: place.shown(&place.path), id, length, part, parts: Vec::new() };
    progress.keep(&beside)?;
    progress.go_on(store, place, file, &beside, placing).await
}

fn beside(tape: &Path) -> PathBuf {
    let mut name = tape.as_os_str().to_owned();
    name.push(".");
    name.push(BESIDE);
    PathBuf::from(name)
}

/// What an earlier upload of the same file to the same place has left.
fn resumable(beside: &Path, place: &StorePlace, length: u64) -> Option<UploadProgress> {
    let text = std::fs::read_to_string(beside).ok()?;
    let progress: UploadProgress = serde_json::from_str(&text).ok()?;
    (progress.url == place.shown(&place.path) && progress.length == length && progress.part > 0).then_some(progress)
}

impl UploadProgress {
    fn keep(&self, beside: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string(self)?;
        std::fs::write(beside, text).with_context(|| format!("cannot write {}", beside.display()))
    }

    async fn go_on(
        &mut self,
        store: &dyn MultipartStore,
        place: &StorePlace,
        file: &File,
        beside: &Path,
        placing: Placing,
    ) -> anyhow::Result<()> {
        let path = &place.path;
        loop {
            let from = self.parts.len() as u64 * self.part;
            if from >= self.length {
                break;
            }
            let bytes = read(file, from, self.part.min(self.length - from))?;
            let sent = store.put_part(path, &self.id, self.parts.len(), PutPayload::from(bytes)).await?;
            self.parts.push(sent.content_id);
            self.keep(beside)?;
        }
        // The last step of an upload in parts takes no condition: it is looked at once more.
        if placing == Placing::New {
            check_free(place).await?;
        }
        let parts = self.parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
        store.complete_multipart(path, &self.id, parts).await?;
        let _ = std::fs::remove_file(beside);
        Ok(())
    }
}

/// Runs `tapline tape upload` to its end.
pub(in crate::commands) fn upload(args: &TapeUploadArgs, tapes: &[PathBuf]) -> Result<ExitCode, ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let mut said = String::new();
    let placing = if args.overwrite { Placing::Over } else { Placing::New };
    for tape in tapes {
        let url = runtime
            .block_on(send(tape, &args.to, placing))
            .with_context(|| format!("cannot send {}", tape.display()))?;
        said.push_str(&format!("{}  sent to {}\n", sanitize(&tape.display().to_string()), sanitize(&url)));
    }
    print(&said)
}
