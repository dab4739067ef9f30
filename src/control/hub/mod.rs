//! Many taplines on one screen: finds them, follows them, and keeps for the screen what they told.
//!
//! The screen of a hub is fed by a [`Journal`] of the hub's own, as that of a tapline is by the tapline's: it may lag and
//! be told everything again without a word to the taplines, and it leaves without their noticing.

mod link;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::{ClientError, Remote};
use super::merge::{About, CommandRoute, Merge, Numbering, SourceId};
use super::registry::{Registry, RegistryEntry};
use crate::event::{Command, Decision, Event, Level, LogLine, OnQuit, Then, Timestamp};
use crate::journal::{Journal, JournalThread};
use crate::proxy::error::left_while_held;
use crate::tape;
use crate::tape::diff::TapeComparer;
use link::{LinkUpdate, TaplineLink};

/// How often is looked for taplines that have started.
const LOOK: Duration = Duration::from_millis(200);
/// LinkUpdate that may wait to be merged; beyond that a tapline's connection waits, and the tapline drops.
const NEWS: usize = 4096;

/// Which taplines are watched.
pub enum WatchedTaplines {
    /// One, under its own numbers, until it ends.
    One(Remote, About),
    /// All taplines of this user, also those that start later.
    All(Registry),
}

/// The tapline in this process, where there is one.
pub struct LocalTapline {
    pub journal: Journal,
    pub commands: mpsc::UnboundedSender<Command>,
    pub about: About,
}

/// Why a hub has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The operator left the screen.
    Left,
    /// The one tapline watched has ended in good order.
    Stopped,
    /// The one tapline watched is gone, or does not let us in.
    Lost(String),
}

/// All taplines that one screen watches, merged into one.
pub struct Hub {
    journal: Journal,
    thread: JournalThread,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<Ending>,
    ended: CancellationToken,
}

impl Hub {
    /// Watches taplines from now on; `own` is the one of this process, where it has one.
    pub fn start(watch: WatchedTaplines, own: Option<LocalTapline>) -> Self {
        let (journal, thread) = Journal::start(None);
        let (commands, asked) = mpsc::unbounded_channel();
        let (update, heard) = mpsc::channel(NEWS);
        let ended = CancellationToken::new();
        let numbering = if matches!(watch, WatchedTaplines::One(..)) { Numbering::Own } else { Numbering::Common };
        let mut run = HubTask {
            merge: Merge::new(numbering),
            journal: journal.clone(),
            comparer: TapeComparer::default(),
            update,
            last: SourceId(0),
            links: BTreeMap::new(),
            known: BTreeMap::new(),
            registry: None,
            only: None,
        };
        run.begin(watch, own);
        let guard = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let ending = run.run(heard, asked).await;
            drop(guard);
            ending
        });
        Self { journal, thread, commands, task, ended }
    }

    /// What is to be shown.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The way in for commands; [`Command::Quit`] ends the hub, and no tapline.
    pub fn commands(&self) -> mpsc::UnboundedSender<Command> {
        self.commands.clone()
    }

    /// Waits until there is nothing more to be shown.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Takes leave of all taplines, if that has not happened, and tells the last event.
    pub async fn close(self) -> Ending {
        let _ = self.commands.send(Command::Quit { held: OnQuit::Forward });
        let ending = self.task.await.unwrap_or(Ending::Left);
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.finish()).await;
        ending
    }
}

struct HubTask {
    merge: Merge,
    journal: Journal,
    comparer: TapeComparer,
    update: mpsc::Sender<(SourceId, LinkUpdate)>,
    last: SourceId,
    links: BTreeMap<SourceId, TaplineLink>,
    /// What the registry named that we follow, or need not try again.
    known: BTreeMap<(u32, Timestamp), SourceId>,
    /// The registry in which more taplines may appear.
    registry: Option<Registry>,
    /// The one whose end is ours.
    only: Option<SourceId>,
}

impl HubTask {
    fn begin(&mut self, watch: WatchedTaplines, own: Option<LocalTapline>) {
        if let Some(own) = own {
            let id = self.next_id();
            self.links.insert(id, TaplineLink::own(id, own, self.update.clone()));
            self.only = Some(id);
        }
        match watch {
            WatchedTaplines::One(remote, about) => {
                let id = self.next_id();
                self.links.insert(id, TaplineLink::to(id, remote, about, self.update.clone()));
                self.only = Some(id);
            }
            WatchedTaplines::All(registry) => {
                let listening = self.merge.listening();
                self.publish(listening.into_iter().collect());
                self.registry = Some(registry);
            }
        }
    }

    fn next_id(&mut self) -> SourceId {
        self.last.0 += 1;
        self.last
    }

    async fn run(
        mut self,
        mut heard: mpsc::Receiver<(SourceId, LinkUpdate)>,
        mut asked: mpsc::UnboundedReceiver<Command>,
    ) -> Ending {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let ending = loop {
            let ending = tokio::select! {
                Some((id, update)) = heard.recv() => self.on_update(id, update),
                command = asked.recv() => match command {
                    Some(Command::Quit { held }) => self.quit(held),
                    Some(command) => self.command(command),
                    None => Some(Ending::Left),
                },
                _ = look.tick(), if self.registry.is_some() => self.look().await,
            };
            if let Some(ending) = ending {
                break ending;
            }
        };
        futures_util::future::join_all(self.links.into_values().map(TaplineLink::close)).await;
        self.journal.publish(Event::Stopping);
        ending
    }

    fn publish(&self, events: Vec<Event>) {
        for event in events {
            self.journal.publish(event);
        }
    }

    fn log(&self, level: Level, text: String) {
        self.journal.log(LogLine::new(level, "attach", text));
    }

    fn on_update(&mut self, id: SourceId, update: LinkUpdate) -> Option<Ending> {
        match update {
            LinkUpdate::Joined(about) => self.joined(id, about),
            LinkUpdate::Event(event) => return self.on_event(id, *event),
            LinkUpdate::Lagged(events) => {
                self.log(
                    Level::Warn,
                    format!("{events} events of {} came too fast: it tells its state again", self.name(id)),
                );
            }
            LinkUpdate::NotTaken(error) => self.log(Level::Warn, format!("{}: not done: {error}", self.name(id))),
            LinkUpdate::Gone(error) => return self.gone(id, &error),
        }
        None
    }

    fn name(&self, id: SourceId) -> &str {
        self.merge.label(id).unwrap_or("a tapline")
    }

    fn joined(&mut self, id: SourceId, about: About) {
        if self.merge.about(id).is_some() {
            return self.log(Level::Info, format!("{} is there again", about.name));
        }
        let (front, upstream) = (about.front.clone(), about.upstream.clone());
        let events = self.merge.join(id, about);
        if self.registry.is_some() {
            self.log(Level::Info, format!("{} appeared: {front} -> {upstream}", self.name(id)));
        }
        self.publish(events);
    }

    fn on_event(&mut self, id: SourceId, event: Event) -> Option<Ending> {
        let stopping = matches!(event, Event::Stopping);
        let all = matches!(event, Event::ResyncDone);
        if stopping && self.only != Some(id) {
            self.log(Level::Info, format!("{} ended", self.name(id)));
        }
        if let Event::Ending(progress) = &event
            && self.only != Some(id)
        {
            // Not the end of what is on this screen.
            self.log(Level::Info, format!("{} ends: waiting for {}", self.name(id), progress.what()));
            return None;
        }
        let events = self.merge.on_event(id, event);
        self.publish(events);
        if let Some(wish) = self.merge.wish(id).filter(|_| all) {
            self.send(id, wish);
        }
        if stopping {
            self.forget(id);
        }
        (stopping && self.only == Some(id)).then_some(Ending::Stopped)
    }

    /// A tapline does not answer, or refuses the token.
    fn gone(&mut self, id: SourceId, error: &ClientError) -> Option<Ending> {
        if self.only == Some(id) {
            return Some(Ending::Lost(error.to_string()));
        }
        if self.merge.about(id).is_some() {
            self.log(Level::Warn, format!("{} is gone: {error}", self.name(id)));
        }
        let events = self.merge.remove(id, "its tapline is gone");
        self.publish(events);
        match error {
            // Asking again would bring the same answer.
            ClientError::Refused { .. } | ClientError::NotTapline { .. } => {
                self.log(Level::Warn, error.to_string());
                self.links.remove(&id);
            }
            _ => self.forget(id),
        }
        None
    }

    fn forget(&mut self, id: SourceId) {
        self.links.remove(&id);
        self.known.retain(|_, known| *known != id);
    }

    /// Follows what has appeared in the registry.
    async fn look(&mut self) -> Option<Ending> {
        let registry = self.registry.clone()?;
        let entries = tokio::task::spawn_blocking(move || registry.list()).await.unwrap_or_default();
        let ours = self.only.map(|_| std::process::id());
        for entry in entries {
            let key = (entry.pid, entry.started);
            if Some(entry.pid) == ours || self.known.contains_key(&key) {
                continue;
            }
            let id = self.next_id();
            self.known.insert(key, id);
            match Remote::of(&entry) {
                Ok(remote) => {
                    let about = About::of(&entry);
                    let link = TaplineLink::listed(
                        id,
                        remote,
                        about,
                        self.update.clone(),
                        self.registry.clone().map(|it| (it, entry)),
                    );
                    self.links.insert(id, link);
                }
                Err(error) => self.log(Level::Warn, error.to_string()),
            }
        }
        None
    }

    fn command(&mut self, command: Command) -> Option<Ending> {
        match command {
            Command::OpenTape(path) => self.open_tape(path),
            Command::CompareTapes(tapes) => {
                let journal = self.journal.clone();
                self.comparer.compare(tapes, || (), move |event| journal.publish(event));
            }
            Command::Resync => self.journal.resync(),
            command => match self.merge.route(command) {
                CommandRoute::To(commands) => commands.into_iter().for_each(|(id, command)| self.send(id, command)),
                CommandRoute::Nowhere(why) => self.log(Level::Warn, why.to_owned()),
            },
        }
        None
    }

    fn send(&self, id: SourceId, command: Command) {
        if let Some(link) = self.links.get(&id) {
            link.send(command);
        }
    }

    /// Tapes are files of the same user: reading them here spares the taplines and their other screens the answer.
    fn open_tape(&self, path: PathBuf) {
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || tape::open(&path, tape::READ_AHEAD, |event| journal.publish(event)));
    }

    fn quit(&mut self, held: OnQuit) -> Option<Ending> {
        // With a tapline of our own, quitting is its business; we end when it has.
        if let (Some(only), Some(_)) = (self.only, &self.registry) {
            self.send(only, Command::Quit { held });
            return None;
        }
        if held == OnQuit::Fail {
            let tickets: Vec<_> = self.merge.held().collect();
            for ticket in tickets {
                let (decision, then) = (Decision::Block(left_while_held()), Then::Nothing);
                self.command(Command::Settle { ticket, decision, then });
            }
        }
        Some(Ending::Left)
    }
}

impl About {
    /// What the registry says about a tapline.
    pub fn of(entry: &RegistryEntry) -> Self {
        let RegistryEntry { name, front, upstream, pid, .. } = entry.clone();
        Self { name, front, upstream, pid: Some(pid) }
    }
}
