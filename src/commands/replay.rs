//! `tapline replay`: a tape's client at a server, with a progress bar on stderr and the report on stdout.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use http::HeaderMap;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::setup::target;
use crate::cli::{ReplayArgs, ReportFormat};
use crate::config::upstreams::UpstreamServer;
use crate::envelope::Author;
use crate::event::{Origin, ReplayEvent, ReplaySummary, Speed, StepReport, StepVerdict};
use crate::exit::{ExitError, say};
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::json::PathPattern;
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::screen::Signals;
use crate::tape::Tape;
use crate::tape::compare::Rules;
use crate::tape::play::{PlayOptions, play};
use crate::tape::report::{self, Colour};
use crate::upstream::Upstream;
use crate::upstream::pool::{self, Restart};
use crate::upstream::retry::Retry;
use crate::upstream::target::Target;

pub(super) async fn run(args: ReplayArgs) -> Result<ExitCode, ExitError> {
    let tape = Tape::read(&args.tape).map_err(ExitError::usage)?;
    for problem in tape.troubles() {
        say(&format!("tapline: {}: {problem}", args.tape.display()));
    }
    let headers = args.target.headers.iter().cloned().collect();
    // A crash is what a replay is to find.
    let never = pool::Settings { restart: Restart::Never, ..pool::Settings::default() };
    let replay = ReplayJob {
        tape,
        target: target(
            UpstreamServer::given(args.target).context("neither a URL nor a command").map_err(ExitError::usage)?,
            &never,
        )?,
        headers,
        speed: args.speed,
        ignore: args.ignore,
        format: args.report,
        out: args.out,
    };
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let playing = play_tape(replay, stop.clone());
    tokio::pin!(playing);
    tokio::select! {
        verdict = &mut playing => Ok(match verdict? {
            ReplayVerdict::Passed => ExitCode::SUCCESS,
            ReplayVerdict::Failed => ExitCode::FAILURE,
        }),
        signal = signals.next() => {
            // The session is ended in order, and what was played is reported.
            stop.cancel();
            playing.await?;
            Ok(ExitCode::from(signal.status()))
        }
    }
}

/// What is played, at what, and how it is judged.
struct ReplayJob {
    tape: Tape,
    target: Target,
    speed: Speed,
    ignore: Vec<PathPattern>,
    headers: HeaderMap,
    format: ReportFormat,
    /// Where the report goes; stdout if `None`.
    out: Option<PathBuf>,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplayVerdict {
    Passed,
    Failed,
}

/// Plays to the end, or until `stop`, and writes the report.
///
/// # Errors
/// Where the server cannot be started, or the report cannot be written.
async fn play_tape(replay: ReplayJob, stop: CancellationToken) -> anyhow::Result<ReplayVerdict> {
    let (journal, journal_thread) = Journal::start(None);
    let proxy = Proxy::new(Chain::default(), Gate::default(), journal, Stop::default(), Retry::none());
    let table = SessionTable::new(proxy, replay.target);
    let connection = table.open(crate::envelope::Via::Http, Origin::Replay, Some(Author::Tapline))?;
    let session = connection.session.id();

    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let mut run = ReplayProgress::default();
    let options = PlayOptions {
        speed: replay.speed,
        rules: Rules { ignore: replay.ignore, ..Rules::default() },
        headers: replay.headers,
        ..PlayOptions::default()
    };
    let upstream: Arc<dyn Upstream> = Arc::new(connection);
    let summary = play(&replay.tape, upstream, options, |event| run.hear(event, &bar), stop).await;
    bar.finish_and_clear();
    table.close(session, "the replay ended").await;
    let _ = tokio::task::spawn_blocking(move || journal_thread.finish()).await;
    if let Some(why) = run.failed {
        anyhow::bail!("{}: {why}", replay.tape.path.display());
    }
    write_report(&run.steps, &summary, replay.format, replay.out)?;
    Ok(if summary.failed == 0 && summary.passed > 0 { ReplayVerdict::Passed } else { ReplayVerdict::Failed })
}

/// What was heard of the player so far.
#[derive(Default)]
struct ReplayProgress {
    steps: Vec<StepReport>,
    failures: usize,
    failed: Option<String>,
}

impl ReplayProgress {
    fn hear(&mut self, event: ReplayEvent, bar: &ProgressBar) {
        match event {
            ReplayEvent::Started { steps, .. } => {
                let style = "{bar:30} {pos}/{len}  {msg}  {elapsed} left {eta}";
                bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
                bar.set_length(steps as u64);
            }
            ReplayEvent::Step(step) => {
                self.failures += usize::from(step.verdict == StepVerdict::Fail);
                bar.inc(1);
                bar.set_message(format!("fail {}", self.failures));
                self.steps.push(step);
            }
            ReplayEvent::Failed { why } => self.failed = Some(why),
            ReplayEvent::Finished(_) => {}
        }
    }
}

fn write_report(
    steps: &[StepReport],
    summary: &ReplaySummary,
    format: ReportFormat,
    out: Option<PathBuf>,
) -> anyhow::Result<()> {
    let coloured = out.is_none() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let colour = if coloured { Colour::Ansi } else { Colour::Plain };
    let text = match format {
        ReportFormat::Text => report::text(steps, summary, colour),
        ReportFormat::Json => report::json(steps, summary),
        ReportFormat::Junit => report::junit(steps, summary),
    };
    match out {
        Some(path) => {
            std::fs::write(&path, text).with_context(|| format!("cannot write the report to {}", path.display()))
        }
        None => std::io::stdout().write_all(text.as_bytes()).context("cannot write the report"),
    }
}
