//! `tapline replay`: a tape's client at a server, with a progress bar on stderr and the report on stdout.

use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use http::HeaderMap;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::setup::target;
use crate::cli::{ColorArg, ReplayArgs, ReportFormat};
use crate::config::upstreams::UpstreamServer;
use crate::envelope::Author;
use crate::event::{Origin, ReplayEvent, ReplaySummary, Speed, StepVerdict};
use crate::exit::{ExitError, print_stderr};
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::json::PathPattern;
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::screen::Signals;
use crate::tape::TapeError;
use crate::tape::compare::Rules;
use crate::tape::play::{PlayOptions, PlayableTape, play};
use crate::tape::report::{Colour, ReportForm, ReportStream};
use crate::upstream::Upstream;
use crate::upstream::pool::{self, Restart};
use crate::upstream::retry::Retry;
use crate::upstream::target::Target;

/// How the bars look: of the tape, and of its steps.
const READING: &str = "{bar:30} reading the tape: {percent} %";
const PLAYING: &str = "{bar:30} {pos}/{len}  {msg}  {elapsed} left {eta}";

pub(super) async fn run(args: ReplayArgs, color: ColorArg) -> Result<ExitCode, ExitError> {
    let tape = read_tape(&args.tape).map_err(ExitError::usage)?;
    for problem in &tape.troubles {
        print_stderr(&format!("tapline: {}: {problem}", args.tape.display()));
    }
    let given = args.target.header_files.iter().flat_map(|file| &file.0).chain(&args.target.headers);
    let headers = given.cloned().collect();
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
        color,
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

/// Reads what is to be played; a long tape says on a terminal how far that is.
fn read_tape(path: &Path) -> Result<PlayableTape, TapeError> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(READING).expect("the template is a constant"));
    let tape = PlayableTape::open_reporting(path, |read, length| {
        bar.set_length(length);
        bar.set_position(read);
    });
    bar.finish_and_clear();
    tape
}

/// What is played, at what, and how it is judged.
struct ReplayJob {
    tape: PlayableTape,
    target: Target,
    speed: Speed,
    ignore: Vec<PathPattern>,
    headers: HeaderMap,
    format: ReportFormat,
    /// Where the report goes; stdout if `None`.
    out: Option<PathBuf>,
    color: ColorArg,
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
    let mut run = ReplayProgress::begin(replay.format, replay.out, replay.color)?;
    let options = PlayOptions {
        speed: replay.speed,
        rules: Rules { ignore: replay.ignore, ..Rules::default() },
        headers: replay.headers,
        ..PlayOptions::default()
    };
    let upstream: Arc<dyn Upstream> = Arc::new(connection);
    let path = replay.tape.path.clone();
    let summary = play(replay.tape, upstream, options, |event| run.on_event(event, &bar), stop).await;
    bar.finish_and_clear();
    table.close(session, "the replay ended").await;
    let _ = tokio::task::spawn_blocking(move || journal_thread.finish()).await;
    if let Some(why) = &run.failed {
        anyhow::bail!("{}: {why}", path.display());
    }
    run.end(&summary)?;
    Ok(if summary.failed == 0 && summary.passed > 0 { ReplayVerdict::Passed } else { ReplayVerdict::Failed })
}

/// What was heard of the player so far, and the report of it.
struct ReplayProgress {
    report: ReportStream,
    out: Box<dyn Write + Send>,
    /// Where the report goes, for people.
    place: String,
    /// Why the report could not be written.
    unwritten: Option<std::io::Error>,
    failures: usize,
    failed: Option<String>,
}

impl ReplayProgress {
    /// Opens what the report is written to.
    fn begin(format: ReportFormat, out: Option<PathBuf>, color: ColorArg) -> anyhow::Result<Self> {
        let coloured = color.is_wanted(out.is_none() && std::io::stdout().is_terminal());
        let form = match format {
            ReportFormat::Text => ReportForm::Text(if coloured { Colour::Ansi } else { Colour::Plain }),
            ReportFormat::Json => ReportForm::Json,
            ReportFormat::Junit => ReportForm::Junit,
        };
        let (out, place): (Box<dyn Write + Send>, _) = match out {
            Some(path) => {
                let place = format!(" to {}", path.display());
                (Box::new(File::create(path).with_context(|| format!("cannot write the report{place}"))?), place)
            }
            None => (Box::new(std::io::stdout()), String::new()),
        };
        Ok(Self { report: ReportStream::new(form), out, place, unwritten: None, failures: 0, failed: None })
    }

    fn on_event(&mut self, event: ReplayEvent, bar: &ProgressBar) {
        match event {
            ReplayEvent::Started { steps, .. } => {
                bar.set_style(ProgressStyle::with_template(PLAYING).expect("the template is a constant"));
                bar.set_length(steps as u64);
            }
            ReplayEvent::Step(step) => {
                self.failures += usize::from(step.verdict == StepVerdict::Fail);
                let text = self.report.step(step);
                if !text.is_empty() {
                    bar.suspend(|| self.write(&text));
                }
                bar.inc(1);
                bar.set_message(format!("fail {}", self.failures));
            }
            ReplayEvent::Failed { why } => self.failed = Some(why),
            ReplayEvent::Finished(_) => {}
        }
    }

    fn write(&mut self, text: &str) {
        if self.unwritten.is_none() {
            self.unwritten = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).err();
        }
    }

    fn end(mut self, summary: &ReplaySummary) -> anyhow::Result<()> {
        let last = std::mem::replace(&mut self.report, ReportStream::new(ReportForm::Json)).end(summary);
        self.write(&last);
        match self.unwritten {
            Some(error) => Err(error).with_context(|| format!("cannot write the report{}", self.place)),
            None => Ok(()),
        }
    }
}
