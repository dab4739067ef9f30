//! `tapline tape minimise`: a tape is played, again and again, with less of it, as long as a message still matches.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;

use super::setup::target;
use super::tape::find;
use crate::app::replays;
use crate::cli::{TapeMinimiseArgs, TargetArgs};
use crate::config::Config;
use crate::config::options::named_server;
use crate::envelope::SessionId;
use crate::event::{Event, Feed, FeedReader, Speed};
use crate::exit::{ExitError, print_stderr};
use crate::filter::Filter;
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::{Journal, JournalThread};
use crate::proxy::sessions::SessionTable;
use crate::proxy::{Proxy, Stop};
use crate::tape::minimise::{TapeReduction, minimise};
use crate::tape::play::{PlayOptions, PlayableTape, play};
use crate::tape::{SUFFIX, Tape};
use crate::upstream::pool::{self, Restart};
use crate::upstream::retry::Retry;

/// How long a reply may take: what hangs is not waited for again and again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events of one run that may wait to be looked at.
const EVENTS: usize = 1 << 16;

/// Writes the least of a tape that still fails, and says why each message is in it.
///
/// # Errors
/// Where the tape or the filter cannot be read, or the server cannot be started.
pub(super) async fn run(
    args: TapeMinimiseArgs,
    tapes: Option<&PathBuf>,
    config: &Config,
) -> Result<ExitCode, ExitError> {
    let TapeMinimiseArgs { tape, fails, most_runs, out, target: server } = args;
    let (path, runs) = (find(&tape, tapes, &config.keys)?, most_runs.get());
    let filter = Filter::parse(&fails).context("`--fails`").map_err(ExitError::usage)?;
    let tape = Tape::read(&path).map_err(ExitError::usage)?;
    for trouble in tape.troubles() {
        print_stderr(&format!("tapline: {}: {trouble}", path.display()));
    }
    let out = out.unwrap_or_else(|| beside(&path));
    let runner = Arc::new(MinimiseRunner::start(server, config)?);
    let fails = |tape: Tape| {
        let (runner, filter) = (runner.clone(), filter.clone());
        async move { runner.fails(&tape, &filter).await }
    };
    let found = minimise(&tape, runs, fails).await;
    let Some(found) = found else {
        let text = format!("no message matches `{filter}` when the whole tape is played: there is nothing to minimise");
        return Err(anyhow!(text).into());
    };
    write_tape(&found.tape, &out).with_context(|| format!("cannot write {}", out.display()))?;
    report(&found, runs, &out);
    Ok(ExitCode::SUCCESS)
}

fn report(found: &TapeReduction, runs: usize, out: &Path) {
    for kept in &found.kept {
        print_stderr(&format!("tapline: {} {} is kept: {}", kept.seq, kept.subject, kept.why));
    }
    let (messages, parts) = found.gone;
    let ended = if found.runs >= runs { "; `--most-runs` allows more" } else { "" };
    print_stderr(&format!(
        "tapline: {}: {messages} messages and {parts} parts of messages are gone, in {} runs{ended}",
        out.display(),
        found.runs
    ));
}

fn beside(tape: &Path) -> PathBuf {
    let name = tape.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.strip_suffix(SUFFIX).unwrap_or(&name);
    tape.with_file_name(format!("{stem}-minimal{SUFFIX}"))
}

fn write_tape(tape: &Tape, out: &Path) -> std::io::Result<()> {
    let mut lines = serde_json::to_vec(&tape.header)?;
    lines.push(b'\n');
    for envelope in &tape.envelopes {
        envelope.write_json(tape.header.session_field(envelope.session), &mut lines);
        lines.push(b'\n');
    }
    File::create(out)?.write_all(&lines)
}

/// Plays tapes, each at a fresh server, and looks at what passes.
struct MinimiseRunner {
    table: Arc<SessionTable>,
    events: FeedReader,
    _journal: JournalThread,
}

impl MinimiseRunner {
    fn start(server: TargetArgs, config: &Config) -> Result<Self, ExitError> {
        let server = named_server(server, config).map_err(ExitError::usage)?;
        let never = pool::Settings { restart: Restart::Never, ..pool::Settings::default() };
        let (journal, thread) = Journal::start(None);
        let (feed, events) = Feed::bounded(EVENTS);
        journal.subscribe(feed);
        let proxy = Proxy::new(Chain::default(), Gate::default(), journal, Stop::default(), Retry::none());
        Ok(Self { table: SessionTable::new(proxy, target(server, &never)?), events, _journal: thread })
    }

    async fn fails(&self, tape: &Tape, filter: &Filter) -> bool {
        let mut opened = Vec::new();
        let connect = replays::connect(&self.table, |session| opened.push(session));
        let options = PlayOptions { speed: Speed::Max, patience: PATIENCE, ..PlayOptions::default() };
        play(PlayableTape::from(tape), connect, options, |_| {}, CancellationToken::new()).await;
        self.has_match(opened, filter).await
    }

    /// Whether a message of these sessions matched, which have ended.
    async fn has_match(&self, mut sessions: Vec<SessionId>, filter: &Filter) -> bool {
        let events = self.events.events.clone();
        let filter = filter.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let mut found = false;
            while !sessions.is_empty()
                && let Ok(event) = events.recv_timeout(PATIENCE)
            {
                match event {
                    Event::Passed(envelope) if sessions.contains(&envelope.session) => {
                        found |= filter.matches(&envelope);
                    }
                    Event::SessionClosed { session: closed, .. } => sessions.retain(|it| *it != closed),
                    _ => {}
                }
            }
            found
        });
        looked.await.unwrap_or(false)
    }
}
