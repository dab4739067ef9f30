//! `tapline replay --interactive`: a recorded session played to a message, and from there on in the hands of the operator or a client.
//!
//! It is a tapline like any other, in front of a fresh server, in which one session has begun as the tape does: the screen edits and
//! sends there, and a client goes on with it by its session id. What it records is a branch: its header names the parent, and where.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use super::observe::{observe, start_core};
use super::setup::{control_settings, redact_rules, tape_dir};
use crate::app::Settings;
use crate::cli::{ControlArgs, WatchArgs};
use crate::config::Config;
use crate::config::options::{ControlOptions, WatchOptions};
use crate::control::short_name;
use crate::envelope::{Author, Seq, Via};
use crate::event::{Landmark, Level, LogLine, Origin, ReplayEvent, StepVerdict};
use crate::exit::{ExitError, print_stderr};
use crate::headers::SESSION;
use crate::proxy::front::routes::MountSpec;
use crate::tape::TapeParent;
use crate::tape::play::{PlayOptions, PlayableTape, play};
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
    pub(super) control: ControlArgs,
}

/// Plays to the message, and shows the session until it is told to stop.
///
/// # Errors
/// Where the core does not start, or the server does not come so far.
pub(super) async fn run(fork: ForkJob, config: &Config) -> Result<ExitCode, ExitError> {
    let watch = WatchArgs { tapes: fork.record.clone(), ..WatchArgs::default() };
    let watching = WatchOptions::of(watch, &config.keys);
    let dir = tape_dir(&watching)?;
    let parent = fork.tape.header.clone();
    let name = short_name(&fork.target.label());
    let settings = Settings {
        control: control_settings(ControlOptions::of(fork.control, &config.keys), &name, false),
        tapes: dir.clone().filter(|_| watching.record),
        redact: redact_rules(&watching, config)?,
        tape_library: dir,
        ..Settings::serving(vec![MountSpec::sole(fork.target)])
    };
    let core = start_core(settings).await?;
    let table = core.mounts().default().context("the one upstream is the default")?.table().clone();
    let connection = table.open(Via::Http, Origin::Replay, Some(Author::Tapline))?;
    let session = connection.session.id();
    if let Some(seq) = fork.until.or(fork.tape.last()) {
        core.journal().branch(session, TapeParent { session: parent.session, seq });
    }
    let options = PlayOptions { keeps_session: true, ..fork.options };
    let mut outcome = ForkOutcome::default();
    play(fork.tape, Arc::new(connection.clone()), options, |event| outcome.hear(event), CancellationToken::new()).await;
    let at = outcome.last.map_or_else(String::new, |seq| format!(" at {seq}"));
    let minted = table.bind(&connection, &HeaderMap::new(), &HeaderMap::new(), Ipv4Addr::LOCALHOST.into());
    let text = outcome.text(&core.url().replace("<name>", "mcp"), minted.as_deref());
    let branched = format!("branched off session {}{at}", parent.session.short());
    // On the tape, too: what was played ends there, and what is new begins.
    core.journal().log(LogLine::new(Level::Info, "fork", branched).of(session).as_landmark(Landmark::Seam));
    print_stderr(&format!("tapline: {text}"));
    let branch = connection.session.info().tape.clone();
    // A session ends, and its tape with it, when all who hold it have let go.
    drop(connection);
    let status = observe(core, watching).await;
    if let Some(path) = branch.filter(|path| path.exists()) {
        print_stderr(&format!("tapline: the branch is {}", path.display()));
    }
    status
}

/// How far the tape was played.
#[derive(Default)]
struct ForkOutcome {
    last: Option<Seq>,
    failed: usize,
    why: Option<String>,
}

impl ForkOutcome {
    fn hear(&mut self, event: ReplayEvent) {
        match event {
            ReplayEvent::Step(step) => {
                self.failed += usize::from(step.verdict == StepVerdict::Fail);
                if step.verdict != StepVerdict::Skip {
                    self.last = self.last.max(Some(step.seq));
                }
            }
            ReplayEvent::Failed { why } => self.why = Some(why),
            ReplayEvent::Started { .. } | ReplayEvent::Finished(_) => {}
        }
    }

    fn text(&self, url: &str, id: Option<&str>) -> String {
        let mut text = match (&self.why, self.last) {
            (Some(why), _) => format!("nothing was played: {why}"),
            (None, None) => "nothing was played".to_owned(),
            (None, Some(last)) => format!("played to {last}; the session waits at {url}"),
        };
        if self.failed > 0 {
            text.push_str(&format!(", and {} replies differ from the tape", self.failed));
        }
        if let Some(id) = id {
            text.push_str(&format!(": a client goes on with it by `{SESSION}: {id}`"));
        }
        text
    }
}
