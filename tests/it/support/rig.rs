//! A running core, with a record of everything it told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tapline::app::{Core, Settings};
use tapline::children::guardian::Guardian;
use tapline::envelope::{Direction, Envelope, Outcome, SessionId};
use tapline::event::{Command, Decision, Event, Feed, Held, Holding, Landmark, Level, LogLine, OnQuit, Then, Ticket};
use tapline::upstream::http::HttpUpstream;
use tapline::upstream::pool::{self, Pool};
use tapline::upstream::sse::SseUpstream;
use tapline::upstream::stdio::CommandLine;
use tapline::upstream::target::Target;
use tokio::sync::watch;

use super::{Client, DEADLINE};

pub(crate) struct Rig {
    core: Core,
    log: watch::Receiver<Vec<Event>>,
}

impl Rig {
    /// In front of a URL, recording nothing.
    pub(crate) async fn before(url: &str) -> Self {
        Self::start(settings(url)).await
    }

    /// In front of a URL of the HTTP+SSE transport, recording nothing.
    pub(crate) async fn before_events(url: &str) -> Self {
        // As in `settings`.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self::start(Settings::new(Target::Events(SseUpstream::new(url, Vec::new()).unwrap()))).await
    }

    /// In front of a shell script, recording nothing.
    pub(crate) async fn script(script: &str) -> Self {
        Self::command(&["sh", "-c", script]).await
    }

    pub(crate) async fn command(words: &[&str]) -> Self {
        Self::start(Settings::new(command(words))).await
    }

    /// In front of a command whose children are kept like this.
    pub(crate) async fn kept(words: &[&str], kept: pool::Settings) -> Self {
        Self::start(Settings::new(kept_command(words, kept))).await
    }

    /// A command gets whatever a test says; what it never gets is the matter of [`Rig::strict`].
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::strict(Settings { lenient: true, ..settings }).await
    }

    /// As people run it: what breaks the rules of the transport never reaches a command.
    pub(crate) async fn strict(settings: Settings) -> Self {
        let core = Core::start(settings).await.unwrap();
        let (feed, reader) = Feed::bounded(1 << 20);
        core.journal().subscribe(feed);
        let (sender, log) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for event in &reader.events {
                sender.send_modify(|log: &mut Vec<Event>| log.push(event));
            }
        });
        Self { core, log }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.core.url();
        url.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap()
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn url(&self) -> &str {
        self.core.url()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Waits until everything told so far has what is looked for.
    #[track_caller]
    pub(crate) fn until<T>(
        &self,
        what: impl Into<String>,
        find: impl FnMut(&[Event]) -> Option<T>,
    ) -> impl Future<Output = T> {
        let caller = std::panic::Location::caller();
        let (mut log, what, mut find) = (self.log.clone(), what.into(), find);
        async move {
            let mut found = None;
            let told = log.wait_for(|log| {
                found = find(log);
                found.is_some()
            });
            if !matches!(tokio::time::timeout(DEADLINE, told).await, Ok(Ok(_))) {
                panic!("{caller}: {what} did not come; told was {:#?}", self.log.borrow());
            }
            found.unwrap()
        }
    }

    /// The first event that fits.
    #[track_caller]
    pub(crate) fn event<T>(
        &self,
        what: impl Into<String>,
        mut find: impl FnMut(&Event) -> Option<T>,
    ) -> impl Future<Output = T> {
        self.until(what, move |log| log.iter().find_map(&mut find))
    }

    /// The messages that have passed, in order, once there are so many.
    #[track_caller]
    pub(crate) fn passed(&self, count: usize) -> impl Future<Output = Vec<Arc<Envelope>>> {
        self.until(format!("{count} messages"), move |log| {
            let passed: Vec<_> = log.iter().filter_map(envelope).cloned().collect();
            (passed.len() >= count).then_some(passed)
        })
    }

    /// The first message in that direction that has passed and fits.
    #[track_caller]
    pub(crate) fn message(
        &self,
        direction: Direction,
        fits: impl Fn(&Envelope) -> bool,
    ) -> impl Future<Output = Arc<Envelope>> {
        self.event("a message", move |event| {
            envelope(event).filter(|it| it.direction == direction && fits(it)).cloned()
        })
    }

    /// The nth seam that was told, from 1.
    #[track_caller]
    pub(crate) fn seam(&self, nth: usize) -> impl Future<Output = String> {
        self.until("a seam", move |log| {
            let mut seams = log.iter().filter_map(|event| match event {
                Event::Log(line) if line.landmark == Some(Landmark::Seam) => Some(line.text.clone()),
                _ => None,
            });
            seams.nth(nth - 1)
        })
    }

    /// The message that was held as the nth, from 1.
    #[track_caller]
    pub(crate) fn held(&self, nth: usize) -> impl Future<Output = Arc<Held>> {
        self.until("a held message", move |log| {
            let mut held = log.iter().filter_map(|event| if let Event::Held(held) = event { Some(held) } else { None });
            held.nth(nth - 1).cloned()
        })
    }

    /// What became of a message that was held.
    #[track_caller]
    pub(crate) fn fate(&self, held: &Held) -> impl Future<Output = Arc<Envelope>> {
        let (seq, ticket) = (held.envelope.seq, held.ticket);
        self.until("the fate of a held message", move |log| {
            let settled = log.iter().any(|event| matches!(event, Event::Settled { ticket: it } if *it == ticket));
            log.iter().filter_map(envelope).find(|envelope| settled && envelope.seq == seq).cloned()
        })
    }

    /// The first line of the log with that text in it.
    #[track_caller]
    pub(crate) fn line(&self, level: Level, text: &str) -> impl Future<Output = LogLine> {
        let text = text.to_owned();
        self.event(format!("a line with `{text}`"), move |event| match event {
            Event::Log(line) if line.level == level && line.text.contains(&text) => Some(line.clone()),
            _ => None,
        })
    }

    /// The lines told so far that say something is wrong.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let line = |event: &Event| match event {
            Event::Log(line) if line.level >= Level::Warn => Some(line.text.clone()),
            _ => None,
        };
        self.log.borrow().iter().filter_map(line).collect()
    }

    /// The session that was opened as the nth, from 1.
    #[track_caller]
    pub(crate) fn session(&self, nth: usize) -> impl Future<Output = SessionId> {
        self.until("a session", move |log| {
            let opened = log.iter().filter_map(|it| if let Event::SessionOpened(it) = it { Some(it.id) } else { None });
            opened.into_iter().nth(nth - 1)
        })
    }

    /// Why a session ended.
    #[track_caller]
    pub(crate) fn closed(&self, session: SessionId) -> impl Future<Output = String> {
        self.event("the end of a session", move |event| match event {
            Event::SessionClosed { session: id, reason } if *id == session => Some(reason.clone()),
            _ => None,
        })
    }

    pub(crate) fn command_now(&self, command: Command) {
        self.core.commands().send(command).unwrap();
    }

    /// Holds from now on what this filter matches.
    pub(crate) async fn hold(&self, filter: &str) {
        let holding = Holding { on: true, filter: filter.to_owned() };
        self.command_now(Command::SetHolding(holding.clone()));
        self.event("the new holding", |event| matches!(event, Event::Holding(it) if *it == holding).then_some(()))
            .await;
    }

    pub(crate) fn settle(&self, ticket: Ticket, decision: Decision) {
        self.settle_then(ticket, decision, Then::Nothing);
    }

    pub(crate) fn settle_then(&self, ticket: Ticket, decision: Decision, then: Then) {
        self.command_now(Command::Settle { ticket, decision, then });
    }

    /// Quits as the operator does, and waits until everything is down. What was told until then is given.
    pub(crate) async fn quit(self, held: OnQuit) -> Vec<Event> {
        self.command_now(Command::Quit { held });
        self.core.quit().await;
        self.core.shut_down(None).await;
        let mut log = self.log;
        let stopped = log.wait_for(|log| log.iter().any(|event| matches!(event, Event::Stopping)));
        super::soon("the end", stopped).await.unwrap().clone()
    }
}

pub(crate) fn envelope(event: &Event) -> Option<&Arc<Envelope>> {
    if let Event::Passed(envelope) = event { Some(envelope) } else { None }
}

/// An outcome in a word.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    outcome.word().unwrap_or("forwarded")
}

/// In front of a URL.
pub(crate) fn settings(url: &str) -> Settings {
    // reqwest takes the process's provider, and panics without one. Already installed is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Settings::new(Target::Server(Arc::new(HttpUpstream::new(url, Vec::new()).unwrap())))
}

/// A command as a target, watched over by the real guardian.
pub(crate) fn command(words: &[&str]) -> Target {
    kept_command(words, pool::Settings::default())
}

/// As [`command`], its children kept like this.
pub(crate) fn kept_command(words: &[&str], kept: pool::Settings) -> Target {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    Target::Command(Pool::new(CommandLine::new(&words).unwrap(), Guardian::new(tapline_binary()), kept))
}

/// The tapline that cargo built for these tests.
pub(crate) fn tapline_binary() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_tapline")).to_owned()
}

/// A client in a session of its own: its `initialize` was answered.
pub(crate) async fn client_in_session(rig: &Rig) -> Client {
    let mut client = rig.client().await;
    client.initialize().await;
    client
}
