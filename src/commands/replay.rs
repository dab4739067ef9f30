//! `tapline replay`: a tape's clients at a server, with a progress bar on stderr and the report on stdout.

use std::io::{ErrorKind, IsTerminal as _, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::fork::{self, ForkJob};
use super::load::{LoadFigures, LoadPlan, play_many};
use super::output::{OutFile, check_apart, check_is_closed};
use super::setup::{played_target, redact_rules};
use super::tape::find_each;
use crate::app::replays;
use crate::cli::{ColorArg, ControlArgs, MatchArg, ReplayArgs, ReplayReportArg};
use crate::config::Config;
use crate::config::options::named_server;
use crate::envelope::Seq;
use crate::event::{ReplayEvent, ReplaySummary, StepVerdict, Timestamp};
use crate::exit::{ExitError, print_stderr};
use crate::filter::Filter;
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::json::PathPattern;
use crate::proxy::session::policy::SessionPolicy;
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::screen::Signals;
use crate::tape::accept::{AcceptedValues, LiveReply, accept};
use crate::tape::compare::{Rules, Volatile};
use crate::tape::play::{OnFailure, PlayOptions, PlayableTape, SeqSet, StepGate, TapeSelection, play};
use crate::tape::read::check_is_file;
use crate::tape::record::Recorder;
use crate::tape::redact::RedactRules;
use crate::tape::report::{Colour, ReportForm, ReportStream};
use crate::tape::{TapeContext, TapeError, last_seq};
use crate::text::sanitize;
use crate::upstream::retry::Retry;
use crate::upstream::target::Target;

/// How the bars look: of the tape, and of its steps.
const READING: &str = "{bar:30} reading the tape: {percent} %";
const PLAYING: &str = "{bar:30} {pos}/{len}  {msg}  {elapsed} left {eta}";

pub(super) async fn run(args: ReplayArgs, config: Config) -> Result<ExitCode, ExitError> {
    if let Some(fails) = &args.minimise {
        let text =
            format!("`--minimise` has a verb of its own: `tapline tape minimise TAPE --fails '{fails}' -- COMMAND`");
        return Err(ExitError::usage(anyhow::anyhow!(text)));
    }
    if args.interactive && args.tapes.len() > 1 {
        return Err(ExitError::usage(anyhow::anyhow!(
            "`--interactive` hands over the session of one tape: give that one"
        )));
    }
    let interactive = args.interactive;
    let (replay, target) = ReplayJob::of(args, &config)?;
    if interactive {
        return hand_over(replay, target?, &config).await;
    }
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let playing = play_tapes(replay, target, stop.clone());
    tokio::pin!(playing);
    tokio::select! {
        status = &mut playing => status,
        signal = signals.next() => {
            // The sessions are ended in order, and what was played is reported.
            stop.cancel();
            playing.await?;
            Ok(ExitCode::from(signal.status()))
        }
    }
}

/// Tapes that are played together; as a rule one.
struct TapeGroup {
    paths: Vec<PathBuf>,
}

impl TapeGroup {
    /// Reads what is to be played, and says what is not as it should be.
    fn read(&self, ReplayJob { part, filter, options, .. }: &ReplayJob) -> Result<PlayableTape, ExitError> {
        let filter = filter.as_ref();
        let part = TapeSelection { only: self.chosen(filter)?, ..part.clone() };
        let mut tape = read_tapes(&self.paths, &part).map_err(ExitError::usage)?;
        tape.troubles.extend(self.unnamed(&options.rules.only)?);
        for problem in &tape.troubles {
            // Of several, each names its tape.
            let name = if self.paths.len() == 1 { format!("{}: ", self.name()) } else { String::new() };
            print_stderr(&format!("tapline: {name}{problem}"));
        }
        Ok(tape)
    }

    /// What the filter picks.
    fn chosen(&self, filter: Option<&Filter>) -> Result<Option<SeqSet>, ExitError> {
        let Some(filter) = filter else { return Ok(None) };
        let mut only = Vec::new();
        for path in &self.paths {
            let tape = TapeContext::read(path, Some(filter), Timestamp::now()).map_err(ExitError::usage)?;
            // Of a reply, its request is what can be played.
            let played = tape.messages().filter(|envelope| filter.matches_in(envelope, &tape));
            only.extend(played.map(|it| it.reply_to.as_ref().map_or(it.seq, |to| to.seq)));
        }
        if only.is_empty() {
            let text = format!("{}: `--filter`: no message of the tape matches `{filter}`", self.name());
            return Err(ExitError::usage(anyhow::anyhow!(text)));
        }
        Ok(Some(only.into_iter().collect()))
    }

    /// What is to be said of each path of `--only` that no reply has: where it was mistyped, every step would pass.
    fn unnamed(&self, only: &[PathPattern]) -> Result<Vec<String>, ExitError> {
        let mut unnamed = Vec::new();
        for pattern in only {
            let text = pattern.to_string();
            // A first key may stand without its dot here, and not in a filter.
            let dot = if text.starts_with(['.', '[']) { "" } else { "." };
            let Ok(has_it) = Filter::parse(&format!("~j {dot}{text}")) else { continue };
            if !self.has_reply(&has_it)? {
                unnamed.push(format!(
                    "`--only {pattern}`: no reply on the tape has it; it counts only where the server has it now"
                ));
            }
        }
        Ok(unnamed)
    }

    /// Whether a reply on the tapes matches; of a pipe, which is read once, that is not known.
    fn has_reply(&self, filter: &Filter) -> Result<bool, ExitError> {
        for path in self.paths.iter().filter(|path| check_is_file(path).is_ok()) {
            let tape = TapeContext::read(path, Some(filter), Timestamp::now()).map_err(ExitError::usage)?;
            if tape.messages().any(|envelope| envelope.reply_to.is_some() && filter.matches(&envelope)) {
                return Ok(true);
            }
        }
        Ok(!self.paths.iter().all(|path| check_is_file(path).is_ok()))
    }

    fn name(&self) -> String {
        let names: Vec<_> = self.paths.iter().map(|path| path.display().to_string()).collect();
        names.join(" and ")
    }
}

/// Reads what is to be played; a long tape says on a terminal how far that is.
fn read_tapes(paths: &[PathBuf], part: &TapeSelection) -> Result<PlayableTape, TapeError> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(READING).expect("the template is a constant"));
    let tape = PlayableTape::open_together(paths, part, &|read, length| {
        bar.set_length(length);
        bar.set_position(read);
        true
    });
    bar.finish_and_clear();
    Ok(tape?.expect("nothing stops it"))
}

/// What is played, at what, and how it is judged.
struct ReplayJob {
    /// One after the other.
    tapes: Vec<TapeGroup>,
    part: TapeSelection,
    filter: Option<Filter>,
    options: PlayOptions,
    /// Is told what waits to go next.
    announce: Option<mpsc::UnboundedSender<String>>,
    /// How many times it is played, where that is not once.
    load: Option<LoadPlan>,
    /// Whether the tape takes over what differs.
    update: bool,
    /// Where what is played is recorded; nowhere if `None`.
    record: Option<PathBuf>,
    /// What is taken out of that, and whether anything is not.
    redact: Option<RedactRules>,
    no_redact: bool,
    format: ReplayReportArg,
    out: ReportPlace,
    color: ColorArg,
    /// Where a session that is handed over can be watched.
    control: ControlArgs,
}

impl ReplayJob {
    /// With its server, or why that can be none: whoever reads the report is to find that in it.
    ///
    /// # Errors
    /// Where the arguments cannot be.
    fn of(args: ReplayArgs, config: &Config) -> Result<(Self, Result<Target, ExitError>), ExitError> {
        let tapes = find_each(&args.tapes, None, config)?;
        let color = config.keys.color.unwrap_or_default();
        let given = args.target.header_files.iter().flat_map(|file| &file.0).chain(&args.target.headers);
        let headers = given.cloned().collect();
        let filter = args.filter.as_deref().map(Filter::parse).transpose().context("`--filter`");
        let server = named_server(args.target, config).map_err(ExitError::usage)?;
        let load = load_plan(args.repeat, args.parallel);
        if load.is_some() && matches!(args.report, ReplayReportArg::Junit | ReplayReportArg::Html) {
            let text = "`--repeat` and `--parallel` end with a table of times: `--report text` or `--report json`";
            return Err(ExitError::usage(anyhow::anyhow!(text)));
        }
        if args.update {
            tapes.iter().try_for_each(|tape| check_is_closed(tape)).map_err(anyhow::Error::msg)?;
        }
        if let Some(out) = &args.out {
            check_apart(out, &tapes.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        }
        let groups = if args.together { vec![tapes] } else { tapes.into_iter().map(|it| vec![it]).collect() };
        let stepping = args.step.then(step_by_enter);
        let job = Self {
            tapes: groups.into_iter().map(|paths| TapeGroup { paths }).collect(),
            part: TapeSelection { from: args.from.map(Seq), until: args.until.map(Seq), only: None },
            filter: filter.map_err(ExitError::usage)?,
            options: PlayOptions {
                speed: args.speed,
                rules: Rules { ignore: args.ignore, only: args.only, volatile: volatile(args.matching), clocks: None },
                headers,
                on_failure: if args.fail_fast { OnFailure::Stop } else { OnFailure::GoOn },
                steps: stepping.as_ref().map(|(gate, _)| gate.clone()),
                patience: args.timeout,
                ..PlayOptions::default()
            },
            announce: stepping.map(|(_, announce)| announce),
            load,
            update: args.update,
            record: args.record,
            redact: redact_rules(args.no_redact, config)?,
            no_redact: args.no_redact,
            format: args.report,
            out: ReportPlace::of(args.out).map_err(ExitError::usage)?,
            color,
            control: args.control,
        };
        Ok((job, played_target(server)))
    }
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplayVerdict {
    Passed,
    Failed,
}

impl From<ReplayVerdict> for ExitCode {
    fn from(verdict: ReplayVerdict) -> Self {
        match verdict {
            ReplayVerdict::Passed => Self::SUCCESS,
            ReplayVerdict::Failed => Self::FAILURE,
        }
    }
}

/// Plays to the message, and hands the session over.
async fn hand_over(mut replay: ReplayJob, target: Target, config: &Config) -> Result<ExitCode, ExitError> {
    let tapes = std::mem::take(&mut replay.tapes);
    let group = tapes.first().context("no tape").map_err(ExitError::usage)?;
    let tape = group.read(&replay)?;
    let ReplayJob { part, options, record, no_redact, control, .. } = replay;
    let last = group.paths.first().and_then(|path| last_seq(path));
    if let Some((until, last)) = part.until.zip(last).filter(|(until, last)| until > last) {
        let text = format!("{}: `--until {}`: the last message of the tape is {last}", group.name(), until.0);
        return Err(ExitError::usage(anyhow::anyhow!(text)));
    }
    fork::run(ForkJob { tape, target, options, until: part.until, record, no_redact, control }, config).await
}

/// Plays to the end, or until `stop`, and writes the report. Of several tapes, one that cannot be played is said, and the others are played.
///
/// # Errors
/// Where the report cannot be written, the one tape not be played, or there is no server.
async fn play_tapes(
    mut replay: ReplayJob,
    target: Result<Target, ExitError>,
    stop: CancellationToken,
) -> Result<ExitCode, ExitError> {
    let groups = std::mem::take(&mut replay.tapes);
    let only = || match &groups[..] {
        [only] => only.read(&replay).map(Some),
        _ => Ok(None),
    };
    let (target, only) = match target.and_then(|target| Ok((target, only()?))) {
        Ok(found) => found,
        Err(error) => {
            // A terminal has it as the last line; whoever reads the report would find an old one, or none.
            if replay.format != ReplayReportArg::Text && replay.load.is_none() {
                ReplayProgress::begin(replay.format, replay.out, replay.color).end_failed(&error.text())?;
            }
            return Err(error);
        }
    };
    let recorder = replay.record.clone().map(|dir| Recorder::new(dir).redacting(replay.redact.clone()));
    let (journal, journal_thread) = Journal::start(recorder);
    let policy = SessionPolicy { tapes: replay.record.clone(), ..SessionPolicy::default() };
    let (chain, gate) = (Chain::default(), Gate::default());
    let proxy = Proxy::with_policy(chain, gate, journal, Stop::default(), Retry::none(), policy);
    let table = SessionTable::new(proxy, target);
    let status = match (replay.load, only) {
        (Some(plan), only) => play_load(replay, plan, groups, only, &table, &stop).await,
        (None, Some(tape)) => play_only(replay, tape, &table, stop).await,
        (None, None) => play_each(replay, groups, &table, stop).await,
    };
    let unrecorded = tokio::task::spawn_blocking(move || journal_thread.finish()).await.ok().flatten();
    match unrecorded {
        Some(why) if status.is_ok() => {
            Err(anyhow::anyhow!("`--record`: not all of the replay is on its new tape: {why}").into())
        }
        _ => status,
    }
}

async fn play_load(
    replay: ReplayJob,
    plan: LoadPlan,
    groups: Vec<TapeGroup>,
    only: Option<PlayableTape>,
    table: &Arc<SessionTable>,
    stop: &CancellationToken,
) -> Result<ExitCode, ExitError> {
    let is_json = replay.format == ReplayReportArg::Json;
    if let Some(tape) = only {
        let figures = play_many(&tape, table, &replay.options, plan, stop).await?;
        write_load(replay.out, &if is_json { figures.json() } else { figures.text() })?;
        return Ok(verdict_of(figures.is_good() && !tape.is_damaged).into());
    }
    let (mut all, mut each, mut text, mut status) = (LoadFigures::new(), Vec::new(), String::new(), ExitCode::SUCCESS);
    for group in groups {
        let figures = match group.read(&replay) {
            Ok(tape) => play_many(&tape, table, &replay.options, plan, stop).await.map_err(ExitError::from),
            Err(error) => Err(error),
        };
        match figures {
            Ok(figures) => {
                status = worse(status, verdict_of(figures.is_good()).into());
                text.push_str(&format!("{}\n{}\n", sanitize(&group.name()), figures.text()));
                each.push((group.name(), figures.value()));
                all.add(figures);
            }
            Err(error) => {
                let why = error.text();
                status = worse(status, error.report());
                text.push_str(&format!("{}\nnot played: {}\n", sanitize(&group.name()), sanitize(&why)));
                each.push((group.name(), serde_json::json!({ "error": why })));
            }
        }
    }
    write_load(replay.out, &if is_json { all.json_with(each) } else { format!("{text}all tapes\n{}", all.text()) })?;
    Ok(status)
}

fn write_load(ReportPlace { mut out, name, .. }: ReportPlace, text: &str) -> anyhow::Result<()> {
    match out.write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.with_context(|| format!("cannot write the report{name}")),
    }
}

fn verdict_of(is_good: bool) -> ReplayVerdict {
    if is_good { ReplayVerdict::Passed } else { ReplayVerdict::Failed }
}

/// What says most of how several tapes ended: that one could not be read, or that one failed.
fn worse(one: ExitCode, other: ExitCode) -> ExitCode {
    const RANKS: [u8; 3] = [0, 1, 2];
    let rank = |code: ExitCode| RANKS.into_iter().find(|rank| ExitCode::from(*rank) == code);
    if rank(one) >= rank(other) { one } else { other }
}

async fn play_only(
    mut replay: ReplayJob,
    tape: PlayableTape,
    table: &Arc<SessionTable>,
    stop: CancellationToken,
) -> Result<ExitCode, ExitError> {
    let out = std::mem::take(&mut replay.out);
    let mut run = ReplayProgress::begin(replay.format, out, replay.color);
    run.report.warn(&tape.troubles);
    match play_once(&replay, tape, &mut run, table, stop).await {
        Ok((summary, verdict)) => {
            let last = run.report().end(&summary);
            run.end(&last)?;
            Ok(verdict.into())
        }
        Err(error) => {
            if replay.format != ReplayReportArg::Text {
                run.end_failed(&format!("{error:#}"))?;
            }
            Err(error.into())
        }
    }
}

async fn play_each(
    mut replay: ReplayJob,
    groups: Vec<TapeGroup>,
    table: &Arc<SessionTable>,
    stop: CancellationToken,
) -> Result<ExitCode, ExitError> {
    let out = std::mem::take(&mut replay.out);
    let mut run = ReplayProgress::begin(replay.format, out, replay.color);
    let (mut total, mut status) = (ReplaySummary::default(), ExitCode::SUCCESS);
    for group in groups {
        if stop.is_cancelled() || total.failed > 0 && replay.options.on_failure == OnFailure::Stop {
            break;
        }
        let tape = match group.read(&replay) {
            Ok(tape) => tape,
            Err(error) => {
                run.begin_tape(&group.name());
                run.report.fail(&error.text());
                run.end_tape(&ReplaySummary::default());
                status = worse(status, error.report());
                continue;
            }
        };
        run.begin_tape(&group.name());
        run.report.warn(&tape.troubles);
        match play_once(&replay, tape, &mut run, table, stop.clone()).await {
            Ok((summary, verdict)) => {
                run.end_tape(&summary);
                total.add(&summary);
                status = worse(status, verdict.into());
            }
            Err(error) => {
                let error = ExitError::from(error);
                run.report.fail(&error.text());
                run.end_tape(&ReplaySummary::default());
                status = worse(status, error.report());
            }
        }
    }
    let last = run.report().end_tapes(&total);
    run.end(&last)?;
    Ok(status)
}

/// Plays what is to be played together.
///
/// # Errors
/// Where nothing could be played.
async fn play_once(
    replay: &ReplayJob,
    tape: PlayableTape,
    run: &mut ReplayProgress,
    table: &Arc<SessionTable>,
    stop: CancellationToken,
) -> anyhow::Result<(ReplaySummary, ReplayVerdict)> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let (replies, mut replied) = mpsc::unbounded_channel();
    let options = PlayOptions { replies: replay.update.then_some(replies), ..replay.options.clone() };
    let (path, is_damaged) = (tape.path.clone(), tape.is_damaged);
    let connect = replays::connect(table, |_| ());
    let announce = replay.announce.clone();
    let report = |event| {
        if let (ReplayEvent::Waiting(wait), Some(announce)) = (&event, &announce) {
            let _ = announce.send(wait.next.clone());
        }
        run.on_event(event, &bar);
    };
    let summary = play(tape, connect, options, report, stop).await;
    bar.finish_and_clear();
    if let Some(why) = run.failed.take() {
        anyhow::bail!("{}: {why}", path.display());
    }
    if replay.update {
        let replies: Vec<_> = std::iter::from_fn(|| replied.try_recv().ok()).collect();
        let verdict = update(&path, &replies, &summary)?;
        return Ok((summary, verdict));
    }
    let verdict = if is_damaged { of_damaged(&path, &summary) } else { verdict_of(is_good(&summary)) };
    Ok((summary, verdict))
}

fn is_good(summary: &ReplaySummary) -> bool {
    summary.failed == 0 && summary.passed > 0
}

/// What stands on lines that cannot be read is not tested.
fn of_damaged(path: &Path, summary: &ReplaySummary) -> ReplayVerdict {
    if is_good(summary) {
        let path = path.display();
        print_stderr(&format!(
            "tapline: {path}: what is on the lines that cannot be read was not played: it has not passed"
        ));
    }
    ReplayVerdict::Failed
}

/// Has the tape take over what differs. What could not be compared at all stays a failure.
fn update(path: &Path, replies: &[LiveReply], summary: &ReplaySummary) -> Result<ReplayVerdict, TapeError> {
    let AcceptedValues { values, left } = accept(path, replies)?;
    let count = if values == 1 { "1 value is".to_owned() } else { format!("{values} values are") };
    print_stderr(&format!("tapline: {}: {count} as the server has them now", path.display()));
    for place in &left {
        print_stderr(&format!("tapline: {}: {place} could not be taken over", path.display()));
    }
    Ok(verdict_of(left.is_empty() && replies.len() >= summary.failed))
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
fn step_by_enter() -> (StepGate, mpsc::UnboundedSender<String>) {
    let (announce, mut announced) = mpsc::unbounded_channel::<String>();
    let go = Arc::new(Semaphore::new(0));
    let gate = StepGate { go: go.clone(), is_for_each: true };
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
    (gate, announce)
}

/// Where a report goes.
struct ReportPlace {
    out: Box<dyn Write + Send>,
    /// For people: where to, if that is not stdout.
    name: String,
    is_terminal: bool,
}

impl Default for ReportPlace {
    fn default() -> Self {
        Self { out: Box::new(std::io::stdout()), name: String::new(), is_terminal: std::io::stdout().is_terminal() }
    }
}

impl ReportPlace {
    /// A file, or stdout. A file is as it was until there is something to write: a replay may take long, and not begin.
    fn of(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = file else { return Ok(Self::default()) };
        let name = format!(" to {}", path.display());
        let file = OutFile::open(&path).with_context(|| format!("cannot write the report{name}"))?;
        Ok(Self { out: Box::new(file), name, is_terminal: false })
    }
}

/// What was heard of the player so far, and the report of it.
struct ReplayProgress {
    report: ReportStream,
    place: ReportPlace,
    /// Why the report could not be written.
    unwritten: Option<std::io::Error>,
    failures: usize,
    failed: Option<String>,
}

impl ReplayProgress {
    fn begin(format: ReplayReportArg, place: ReportPlace, color: ColorArg) -> Self {
        let colour = if color.is_wanted(place.is_terminal) { Colour::Ansi } else { Colour::Plain };
        let report = match format {
            ReplayReportArg::Text => ReportStream::new(ReportForm::Text(colour)),
            ReplayReportArg::Json => ReportStream::new(ReportForm::Json),
            ReplayReportArg::Junit => ReportStream::new(ReportForm::Junit),
            ReplayReportArg::Html => ReportStream::page(),
        };
        Self { report, place, unwritten: None, failures: 0, failed: None }
    }

    fn on_event(&mut self, event: ReplayEvent, bar: &ProgressBar) {
        match event {
            ReplayEvent::Started { steps, .. } => {
                self.failures = 0;
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
            ReplayEvent::Reading { .. }
            | ReplayEvent::Waiting(_)
            | ReplayEvent::Finished(_)
            | ReplayEvent::Accepted { .. } => {}
        }
    }

    fn write(&mut self, text: &str) {
        if self.unwritten.is_none() && !text.is_empty() {
            let out = &mut self.place.out;
            self.unwritten = out.write_all(text.as_bytes()).and_then(|()| out.flush()).err();
        }
    }

    fn begin_tape(&mut self, name: &str) {
        let text = self.report.begin_tape(name);
        self.write(&text);
    }

    fn end_tape(&mut self, summary: &ReplaySummary) {
        let text = self.report.end_tape(summary);
        self.write(&text);
    }

    /// The report so far; nothing is added to it after.
    fn report(&mut self) -> ReportStream {
        std::mem::replace(&mut self.report, ReportStream::new(ReportForm::Json))
    }

    /// Ends the report of one tape that could not be played, or not to its end.
    fn end_failed(mut self, why: &str) -> anyhow::Result<()> {
        self.report.fail(why);
        let last = self.report().end(&ReplaySummary::default());
        self.end(&last)
    }

    fn end(mut self, last: &str) -> anyhow::Result<()> {
        self.write(last);
        match self.unwritten {
            // A reader such as `head` has read enough; what was found is the status.
            Some(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            Some(error) => Err(error).with_context(|| format!("cannot write the report{}", self.place.name)),
            None => Ok(()),
        }
    }
}
