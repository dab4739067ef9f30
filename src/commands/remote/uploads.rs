//! Sends what is recorded, tape after tape as they are closed, on a thread of its own.

use std::path::PathBuf;
use std::thread::JoinHandle;

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::place::StorePlace;
use super::send::{Placing, send};
use crate::exit::{ExitError, print_stderr};
use crate::tape;
use crate::tape::record::tell_closed;

/// A tape is to be sent, or nothing more is recorded.
enum UploadJob {
    Send(PathBuf),
    Finish,
}

/// What is to be sent, and the thread that does it.
pub(super) struct Uploads {
    jobs: Sender<UploadJob>,
    thread: JoinHandle<Vec<(PathBuf, anyhow::Error)>>,
    to: String,
}

impl Uploads {
    /// Has recorded to a directory of files what was to be recorded to a store, and sends it there.
    ///
    /// # Errors
    /// Where the store cannot be reached by what is known of it, or there is no place for files.
    pub(super) fn instead_of(recorded: &mut Option<PathBuf>) -> Result<Self, ExitError> {
        let mut to = recorded.as_deref().unwrap_or(std::path::Path::new("")).to_string_lossy().into_owned();
        if !to.ends_with('/') {
            to.push('/');
        }
        // What is wrong with it is said now, and not when the first tape is closed.
        StorePlace::of(&to).map_err(ExitError::usage)?;
        *recorded = Some(tape::default_dir().map_err(ExitError::usage)?);
        let (jobs, waiting) = unbounded();
        let place = to.clone();
        let thread = std::thread::Builder::new()
            .name("uploads".to_owned())
            .spawn(move || send_all(&waiting, &place))
            .context("no thread to send tapes on")?;
        let closed = jobs.clone();
        if !tell_closed(move |tape| drop(closed.send(UploadJob::Send(tape.to_owned())))) {
            return Err(anyhow!("tapes are sent to one place").into());
        }
        Ok(Self { jobs, thread, to })
    }

    /// Waits until all is sent, and says what was not, and where it is.
    pub(super) fn finish(self) {
        let _ = self.jobs.send(UploadJob::Finish);
        for (tape, error) in self.thread.join().unwrap_or_default() {
            let (tape, to) = (tape.display(), &self.to);
            print_stderr(&format!(
                "tapline: {tape} could not be sent, and stays: {error:#}; `tapline tape upload {tape} --to {to}` sends it"
            ));
        }
    }
}

/// Sends each tape; returns those that were not taken.
fn send_all(jobs: &Receiver<UploadJob>, to: &str) -> Vec<(PathBuf, anyhow::Error)> {
    let mut left = Vec::new();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime to send tapes in");
            return left;
        }
    };
    while let Ok(UploadJob::Send(tape)) = jobs.recv() {
        // What is there under that name is the same tape: a session that goes on after a restart is closed again, and longer then.
        match runtime.block_on(send(&tape, to, Placing::Over)) {
            Ok(url) => tracing::info!(tape = %tape.display(), url, "tape sent"),
            Err(error) => {
                tracing::warn!(tape = %tape.display(), error = format!("{error:#}"), "tape not sent");
                left.push((tape, error));
            }
        }
    }
    left
}
