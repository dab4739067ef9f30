//! `tapline tape minimise`: a tape is played, again and again, with less of it, as long as a message still matches.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use crossbeam_channel::{Receiver, never, select};
use tokio_util::sync::CancellationToken;

use super::output::{check_new, progress, watch, write_new};
use super::setup::played_target;
use super::tape::find;
use crate::app::replays;
use crate::cli::{TapeMinimiseArgs, TargetArgs};
use crate::config::Config;
use crate::config::options::named_server;
use crate::envelope::{Envelope, SessionId};
use crate::event::{Event, Feed, FeedReader, ReplayEvent, Speed};
use crate::exit::{ExitError, print_stderr};
use crate::filter::{self, Filter};
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::{Journal, JournalThread};
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::tape::minimise::{ReducedTape, ReducibleTape, TapeReduction, minimise};
use crate::tape::play::{PlayOptions, play};
use crate::tape::{PACKED, SUFFIX, TapeError};
use crate::text::counted;
use crate::upstream::retry::Retry;

/// How long the end of a session may take to be told that was hung up on.
const GOODBYE: Duration = Duration::from_secs(10);
/// Events of one run that may wait to be looked at.
const EVENTS: usize = 1 << 16;
/// Characters of an error by which it is known again.
const MOST_SAID: usize = 200;

/// Writes the least of a tape that still fails, and says why each message is in it.
///
/// # Errors
/// Where the tape or the filter cannot be read, or the server cannot be started.
pub(super) async fn run(
    args: TapeMinimiseArgs,
    tapes: Option<&PathBuf>,
    config: &Config,
) -> Result<ExitCode, ExitError> {
    let TapeMinimiseArgs { tape, fails, crashes, most_runs, timeout, out, target: server } = args;
    let (path, runs) = (find(&tape, tapes, config)?, most_runs.get());
    let filter = fails.as_deref().map(Filter::parse).transpose().context("`--fails`").map_err(ExitError::usage)?;
    let failure = Failure { filter, crashes };
    let out = out.unwrap_or_else(|| beside(&path));
    check_new(&out, &[&path])?;
    let bar = progress("reading the tape");
    let tape = ReducibleTape::read(&path, &watch(&bar)).map_err(ExitError::usage)?.expect("nothing stops it");
    bar.finish_and_clear();
    for trouble in tape.troubles() {
        print_stderr(&format!("tapline: {}: {trouble}", path.display()));
    }
    let runner = Arc::new(MinimiseRunner::start(server, failure, timeout, config)?);
    let bar = progress("of the runs that may be");
    bar.set_length(runs as u64);
    let fails = |tape: ReducedTape| {
        let runner = runner.clone();
        bar.inc(1);
        async move { runner.fails(&tape).await }
    };
    let found = minimise(tape, runs, fails).await;
    bar.finish_and_clear();
    let found = found.map_err(ExitError::usage)?;
    let Some(found) = found else { return Err(anyhow!(runner.nothing_failed()).into()) };
    let place = write_new(&out, |out| found.tape.write(out))?;
    report(&found, runs, &place);
    let is_elsewhere = place != out;
    if is_elsewhere {
        let (out, place) = (out.display(), place.display());
        print_stderr(&format!(
            "tapline: {out} has come to be there meanwhile, and stays; what was found is in {place}"
        ));
    }
    Ok(ExitCode::from(u8::from(is_elsewhere)))
}

fn report(found: &TapeReduction, runs: usize, out: &Path) {
    let lines = found.kept.iter().map(|kept| format!("tapline: {} {} is kept: {}", kept.seq, kept.subject, kept.why));
    print_stderr(&lines.collect::<Vec<_>>().join("\n"));
    if found.untold > 0 {
        print_stderr(&format!("tapline: and {} more", counted(found.untold, "message")));
    }
    let (messages, parts) = found.gone;
    let parts = if parts == 1 { "1 part".to_owned() } else { format!("{parts} parts") };
    let ended = if found.runs >= runs { "; `--most-runs` allows more" } else { "" };
    print_stderr(&format!(
        "tapline: {}: {} and {parts} of messages are gone, in {}{ended}",
        out.display(),
        counted(messages, "message"),
        counted(found.runs, "run")
    ));
}

fn beside(tape: &Path) -> PathBuf {
    let name = tape.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(PACKED).unwrap_or(&name);
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    tape.with_file_name(format!("{stem}-minimal{SUFFIX}"))
}

/// What is looked for.
struct Failure {
    /// A message that matches.
    filter: Option<Filter>,
    /// That the server is lost.
    crashes: bool,
}

/// Plays tapes, each at a fresh server, and looks at what passes.
struct MinimiseRunner {
    failure: Failure,
    /// How messages that match failed when the whole tape was played.
    failures_of_whole: OnceLock<HashSet<Option<String>>>,
    /// Why the server was lost when the whole tape was played, where it was.
    lost_of_whole: OnceLock<Option<String>>,
    table: Arc<SessionTable>,
    events: FeedReader,
    /// How long a reply may take: what hangs is not waited for again and again.
    patience: Duration,
    _journal: JournalThread,
}

impl MinimiseRunner {
    fn start(server: TargetArgs, failure: Failure, patience: Duration, config: &Config) -> Result<Self, ExitError> {
        let server = named_server(server, config).map_err(ExitError::usage)?;
        let (journal, thread) = Journal::start(None);
        let (feed, events) = Feed::bounded(EVENTS);
        journal.subscribe(feed);
        let proxy = Proxy::new(Chain::default(), Gate::default(), journal, Stop::default(), Retry::none());
        let table = SessionTable::new(proxy, played_target(server)?);
        Ok(Self {
            failure,
            failures_of_whole: OnceLock::new(),
            lost_of_whole: OnceLock::new(),
            table,
            events,
            patience,
            _journal: thread,
        })
    }

    /// Why there is nothing to minimise.
    fn nothing_failed(&self) -> String {
        let what = match &self.failure.filter {
            Some(filter) => format!("no message matches `{filter}`"),
            None => "the server is not lost".to_owned(),
        };
        let lost = self.lost_of_whole.get().and_then(Option::as_ref);
        let lost = lost
            .map_or(String::new(), |why| format!("; the server was lost: {why} (`--crashes` looks for what it takes)"));
        format!("{what} when the whole tape is played: there is nothing to minimise{lost}")
    }

    /// Whether it fails when that is played.
    async fn fails(&self, tape: &ReducedTape) -> Result<bool, TapeError> {
        let tape = tape.playable()?;
        let mut opened = HashSet::new();
        let (over, is_over) = crossbeam_channel::bounded(1);
        let events = self.events.events.clone();
        let filter = self.failure.filter.clone();
        let looking = tokio::task::spawn_blocking(move || failures(&events, &is_over, filter.as_ref()));
        let connect = replays::connect(&self.table, |session| {
            opened.insert(session);
        });
        let options = PlayOptions { speed: Speed::Max, patience: self.patience, ..PlayOptions::default() };
        let mut lost = None;
        let report = |event| match event {
            ReplayEvent::Finished(summary) => lost = summary.lost,
            ReplayEvent::Failed { why } => lost = Some(why),
            _ => {}
        };
        play(tape, connect, options, report, CancellationToken::new()).await;
        let _ = over.send(opened);
        let is_lost = self.failure.crashes && lost.is_some();
        // The whole tape is what is played first.
        let _ = self.lost_of_whole.set(lost);
        let failures = looking.await.unwrap_or_default();
        let of_whole = self.failures_of_whole.get_or_init(|| failures.clone());
        Ok(!failures.is_disjoint(of_whole) || is_lost)
    }
}

/// How a message failed: what it says that is no number and no quoted text; `None` where it is no error. A call without an argument
/// fails, too, and not as it did.
fn failure(envelope: &Envelope) -> Option<String> {
    let text = filter::error_texts(&envelope.message).into_iter().next()?;
    let mut quote = None;
    let is_said = |character: &char| match quote {
        Some(open) => {
            quote = (open != *character).then_some(open);
            false
        }
        None => {
            quote = Some(*character).filter(|it| matches!(it, '"' | '\'' | '`'));
            quote.is_none() && !character.is_ascii_digit()
        }
    };
    let said: String = text.lines().next()?.chars().filter(is_said).take(MOST_SAID).collect();
    let (method, name) = (envelope.method().unwrap_or_default(), envelope.name().unwrap_or_default());
    Some(format!("{method} {name} {said}"))
}

/// How those fail that match of all messages that pass until these sessions have ended, of which is told when all was played. All of
/// them are looked at as they come: no more than [`EVENTS`] wait.
fn failures(
    events: &Receiver<Event>,
    over: &Receiver<HashSet<SessionId>>,
    filter: Option<&Filter>,
) -> HashSet<Option<String>> {
    let (mut found, mut closed, mut opened) = (HashSet::new(), HashSet::new(), None);
    let mut over = over.clone();
    loop {
        if opened.as_ref().is_some_and(|opened: &HashSet<_>| opened.is_subset(&closed)) {
            return found;
        }
        select! {
            recv(events) -> event => match event {
                Ok(Event::Passed(envelope)) => {
                    if filter.is_some_and(|filter| filter.matches(&envelope)) {
                        found.insert(failure(&envelope));
                    }
                }
                Ok(Event::SessionClosed { session, .. }) => {
                    closed.insert(session);
                }
                Ok(_) => {}
                Err(_) => return found,
            },
            recv(over) -> all => match all {
                Ok(all) => (opened, over) = (Some(all), never()),
                // Nobody waits for what is found any more.
                Err(_) => return found,
            },
            default(GOODBYE) => if opened.is_some() { return found },
        }
    }
}
