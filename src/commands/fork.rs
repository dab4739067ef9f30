//! `tapline replay --interactive`: a recorded session played to a message, and from there on in the hands of the operator or a client.
//!
//! It is a tapline like any other, in front of a fresh server, in which one session has begun as the tape does: the screen edits and
//! sends there, and a client goes on with it by its session id. What it records is a branch: its header names the parent, and where.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::observe::{observe, start_core};
use super::setup::{control_settings, redact_rules, tape_dir};
use crate::app::Settings;
use crate::app::fork::{BranchJob, branch};
use crate::cli::{ControlArgs, WatchArgs};
use crate::config::Config;
use crate::config::options::{ControlOptions, WatchOptions};
use crate::control::short_name;
use crate::envelope::Seq;
use crate::exit::{ExitError, print_stderr};
use crate::proxy::front::routes::MountSpec;
use crate::screen::until_down;
use crate::tape::play::{PlayOptions, PlayableTape};
use crate::upstream::target::Target;

/// A branch that is to be made.
pub(super) struct ForkJob {
    pub(super) tape: PlayableTape,
    pub(super) target: Target,
    pub(super) options: PlayOptions,
    /// The last message that both have, where it is not the tape's last.
    pub(super) until: Option<Seq>,
    /// Where the branch is recorded, where it is not the usual place.
    pub(super) record: Option<PathBuf>,
    pub(super) no_redact: bool,
    pub(super) control: ControlArgs,
}

/// Plays to the message, and shows the session until it is told to stop.
///
/// # Errors
/// Where the core does not start, or the server does not come so far.
pub(super) async fn run(fork: ForkJob, config: &Config) -> Result<ExitCode, ExitError> {
    let watch = WatchArgs { tapes: fork.record.clone(), no_redact: fork.no_redact, ..WatchArgs::default() };
    let watching = WatchOptions::of(watch, &config.keys);
    let dir = tape_dir(&watching)?;
    let name = short_name(&fork.target.label());
    let settings = Settings {
        control: control_settings(ControlOptions::of(fork.control, &config.keys), &name, false),
        tapes: dir.clone().filter(|_| watching.record),
        redact: redact_rules(watching.no_redact, config)?,
        tape_library: dir,
        ..Settings::serving(vec![MountSpec::sole(fork.target)])
    };
    let (core, mut signals) = start_core(settings).await?;
    let table = core.mounts().default().context("the one upstream is the default")?.table().clone();
    let url = Some(core.url().to_owned());
    let job = BranchJob { tape: fork.tape, until: fork.until, options: fork.options, url };
    let playing = branch(&table, core.journal(), job, CancellationToken::new(), |_| ());
    let played = tokio::select! {
        branch = playing => branch,
        signal = signals.next() => {
            until_down(core, watching.on_quit, &mut signals).await;
            return Ok(ExitCode::from(signal.status()));
        }
    };
    let branch = played?;
    let path = branch.connection.session.info().tape.clone();
    // A session ends, and its tape with it, when all who hold it have let go.
    drop(branch);
    let status = observe(core, signals, watching).await;
    if let Some(path) = path.filter(|path| path.exists()) {
        print_stderr(&format!("tapline: the branch is {}", path.display()));
    }
    status
}
