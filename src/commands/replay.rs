//! `tapline replay`: a tape's client at a server, with a progress bar on stderr and the report on stdout.

use std::collections::HashSet;
use std::fs::File;
use std::io::{IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::fork::{self, ForkJob};
use super::load::{LoadPlan, play_many};
use super::setup::target;
use crate::cli::{ColorArg, MatchArg, ReplayArgs, ReportFormat};
use crate::config::Config;
use crate::config::upstreams::UpstreamServer;
use crate::envelope::{Author, Seq};
use crate::event::{Origin, ReplayEvent, ReplaySummary, StepVerdict, Timestamp};
use crate::exit::{ExitError, print_stderr};
use crate::filter::Filter;
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::proxy::session::policy::SessionPolicy;
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::screen::Signals;
use crate::tape::accept::{AcceptedValues, LiveReply, accept};
use crate::tape::compare::{Rules, Volatile};
use crate::tape::play::{OnFailure, PlayOptions, PlayableTape, StepGate, TapeSelection, play};
use crate::tape::record::Recorder;
use crate::tape::report::{Colour, ReportForm, ReportStream};
use crate::tape::{Tape, TapeError};
use crate::upstream::Upstream;
use crate::upstream::pool::{self, Restart};
use crate::upstream::retry::Retry;
use crate::upstream::target::Target;

/// How the bars look: of the tape, and of its steps.
const READING: &str = "{bar:30} reading the tape: {percent} %";
const PLAYING: &str = "{bar:30} {pos}/{len}  {msg}  {elapsed} left {eta}";

pub(super) async fn run(args: ReplayArgs, config: Config) -> Result<ExitCode, ExitError> {
    let color = config.keys.color.unwrap_or_default();
    if let Some(fails) = &args.minimise {
        let text =
            format!("`--minimise` has a verb of its own: `tapline tape minimise TAPE --fails '{fails}' -- COMMAND`");
        return Err(ExitError::usage(anyhow::anyhow!(text)));
    }
    let part = selection(&args)?;
    let tape = read_tape(&args.tape, &part).map_err(ExitError::usage)?;
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
        options: PlayOptions {
            speed: args.speed,
            rules: Rules { ignore: args.ignore, only: args.only, volatile: volatile(args.matching), clocks: None },
            headers,
            on_failure: if args.fail_fast { OnFailure::Stop } else { OnFailure::GoOn },
            steps: args.step.then(step_by_enter),
            ..PlayOptions::default()
        },
        load: load_plan(args.repeat, args.parallel),
        update: args.update,
        record: args.record,
        format: args.report,
        out: args.out,
        color,
    };
    if args.interactive {
        let ReplayJob { tape, target, options, record, .. } = replay;
        let (until, control) = (args.until.map(Seq), args.control);
        return fork::run(ForkJob { tape, target, options, until, record, control }, &config).await;
    }
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
fn read_tape(path: &Path, part: &TapeSelection) -> Result<PlayableTape, TapeError> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(READING).expect("the template is a constant"));
    let tape = PlayableTape::open_part(path, part, |read, length| {
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
    options: PlayOptions,
    /// How many times it is played, where that is not once.
    load: Option<LoadPlan>,
    /// Whether the tape takes over what differs.
    update: bool,
    /// Where what is played is recorded; nowhere if `None`.
    record: Option<PathBuf>,
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
    let (journal, journal_thread) = Journal::start(replay.record.clone().map(Recorder::new));
    let policy = SessionPolicy { tapes: replay.record.clone(), ..SessionPolicy::default() };
    let (chain, gate) = (Chain::default(), Gate::default());
    let proxy = Proxy::with_policy(chain, gate, journal, Stop::default(), Retry::none(), policy);
    let table = SessionTable::new(proxy, replay.target.clone());
    let verdict = match replay.load {
        Some(plan) => play_load(replay, plan, &table, &stop).await,
        None => play_once(replay, &table, stop).await,
    };
    let _ = tokio::task::spawn_blocking(move || journal_thread.finish()).await;
    verdict
}

async fn play_load(
    replay: ReplayJob,
    plan: LoadPlan,
    table: &Arc<SessionTable>,
    stop: &CancellationToken,
) -> anyhow::Result<ReplayVerdict> {
    let figures = play_many(&replay.tape, table, &replay.options, plan, stop).await?;
    let text = if replay.format == ReportFormat::Json { figures.json() } else { figures.text() };
    let (mut out, place) = report_place(replay.out)?;
    out.write_all(text.as_bytes()).with_context(|| format!("cannot write the report{place}"))?;
    Ok(if figures.is_good() { ReplayVerdict::Passed } else { ReplayVerdict::Failed })
}

async fn play_once(
    replay: ReplayJob,
    table: &Arc<SessionTable>,
    stop: CancellationToken,
) -> anyhow::Result<ReplayVerdict> {
    let connection = table.open(crate::envelope::Via::Http, Origin::Replay, Some(Author::Tapline))?;
    let session = connection.session.clone();
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let mut run = ReplayProgress::begin(replay.format, replay.out, replay.color)?;
    let (replies, mut replied) = mpsc::unbounded_channel();
    let options = PlayOptions { replies: replay.update.then_some(replies), ..replay.options };
    let upstream: Arc<dyn Upstream> = Arc::new(connection);
    let path = replay.tape.path.clone();
    let summary = play(replay.tape, upstream, options, |event| run.on_event(event, &bar), stop).await;
    bar.finish_and_clear();
    table.close(session.id(), "the replay ended").await;
    if let Some(why) = &run.failed {
        anyhow::bail!("{}: {why}", path.display());
    }
    run.end(&summary)?;
    if replay.update {
        let replies: Vec<_> = std::iter::from_fn(|| replied.try_recv().ok()).collect();
        return Ok(update(&path, &replies, &summary)?);
    }
    Ok(if summary.failed == 0 && summary.passed > 0 { ReplayVerdict::Passed } else { ReplayVerdict::Failed })
}

/// Has the tape take over what differs. What could not be compared at all stays a failure.
fn update(path: &Path, replies: &[LiveReply], summary: &ReplaySummary) -> Result<ReplayVerdict, TapeError> {
    let AcceptedValues { values, left } = accept(path, replies)?;
    let count = if values == 1 { "1 value is".to_owned() } else { format!("{values} values are") };
    print_stderr(&format!("tapline: {}: {count} as the server has them now", path.display()));
    for place in &left {
        print_stderr(&format!("tapline: {}: {place} could not be taken over", path.display()));
    }
    let is_settled = left.is_empty() && replies.len() >= summary.failed;
    Ok(if is_settled { ReplayVerdict::Passed } else { ReplayVerdict::Failed })
}

/// What the arguments pick of the tape.
fn selection(args: &ReplayArgs) -> Result<TapeSelection, ExitError> {
    let part = TapeSelection { from: args.from.map(Seq), until: args.until.map(Seq), only: None };
    let Some(filter) = &args.filter else { return Ok(part) };
    let filter = Filter::parse(filter).context("`--filter`").map_err(ExitError::usage)?;
    let tape = Tape::read(&args.tape).map_err(ExitError::usage)?;
    // Of a reply, its request is what can be played.
    let played = tape.matching(&filter, Timestamp::now()).map(|it| it.reply_to.as_ref().map_or(it.seq, |to| to.seq));
    let only: HashSet<_> = played.collect();
    if only.is_empty() {
        return Err(ExitError::usage(anyhow::anyhow!("`--filter`: no message of the tape matches `{filter}`")));
    }
    Ok(TapeSelection { only: Some(only), ..part })
}

fn volatile(matching: MatchArg) -> Volatile {
    match matching {
        MatchArg::Normal => Volatile::Normalised,
        MatchArg::Exact => Volatile::Exact,
        MatchArg::Shape => Volatile::Shape,
    }
}

fn load_plan(repeat: Option<NonZeroUsize>, parallel: Option<NonZeroUsize>) -> Option<LoadPlan> {
    let times = |count: Option<NonZeroUsize>| count.map_or(1, NonZeroUsize::get);
    (repeat.is_some() || parallel.is_some()).then(|| LoadPlan { repeat: times(repeat), parallel: times(parallel) })
}

/// Lets a message go with each line of stdin; all that are left when that ends.
fn step_by_enter() -> StepGate {
    let (announce, mut announced) = mpsc::unbounded_channel::<String>();
    let go = Arc::new(Semaphore::new(0));
    let gate = StepGate { announce, go: go.clone() };
    // A read of stdin cannot be taken back: it has a thread of its own, which ends with the process.
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lines();
        while let Some(next) = announced.blocking_recv() {
            print_stderr(&format!("tapline: next is {next}; enter sends it"));
            match lines.next() {
                Some(Ok(_)) => go.add_permits(1),
                Some(Err(_)) | None => break,
            }
        }
        go.close();
    });
    gate
}

/// Where a report goes, and that place for people.
fn report_place(out: Option<PathBuf>) -> anyhow::Result<(Box<dyn Write + Send>, String)> {
    match out {
        Some(path) => {
            let place = format!(" to {}", path.display());
            let file = File::create(path).with_context(|| format!("cannot write the report{place}"))?;
            Ok((Box::new(file), place))
        }
        None => Ok((Box::new(std::io::stdout()), String::new())),
    }
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
        let (out, place) = report_place(out)?;
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
