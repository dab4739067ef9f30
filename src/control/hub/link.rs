//! The line to one tapline: its events in, commands out, for as long as it is there.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::LocalTapline;
use crate::control::FeedLine;
use crate::control::client::{ClientError, Events, Remote};
use crate::control::merge::{About, SourceId};
use crate::control::registry::{Registry, RegistryEntry};
use crate::event::{Command, Event, Feed, OnQuit};

/// Events of the tapline in this process that may wait.
const FEED: usize = 65_536;
/// Between a connection that broke and the next try.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the last commands may take.
const GRACE: Duration = Duration::from_secs(1);

/// What is heard of a tapline.
pub(super) enum LinkUpdate {
    /// It is there, and begins to send everything.
    Joined(About),
    Event(Box<Event>),
    /// So many events were lost; it tells its state again.
    Lagged(u64),
    /// A command was not carried out.
    NotTaken(ClientError),
    /// The last message of a link: its tapline is gone, for this reason.
    Gone(ClientError),
}

type UpdateSender = mpsc::Sender<(SourceId, LinkUpdate)>;

/// A tapline that is followed; dropping it hangs up.
pub(super) struct TaplineLink {
    commands: mpsc::UnboundedSender<Command>,
    /// What reads from and writes to a tapline in another process; absent for the one in this process.
    tasks: Option<Tasks>,
}

struct Tasks {
    carrying: JoinHandle<()>,
    _following: AbortOnDropHandle<()>,
}

impl TaplineLink {
    /// Links to the tapline in this process.
    pub(super) fn own(id: SourceId, own: LocalTapline, updates: UpdateSender) -> Self {
        let (feed, reader) = Feed::bounded(FEED);
        let subscription = own.journal.subscribe(feed);
        let commands = own.commands;
        tokio::task::spawn_blocking(move || {
            let send = |news| updates.blocking_send((id, news)).is_ok();
            let mut listened = send(LinkUpdate::Joined(own.about));
            while listened && let Ok(event) = reader.events.recv() {
                listened = send(LinkUpdate::Event(Box::new(event)));
                let dropped = reader.take_dropped();
                if dropped > 0 {
                    listened &= send(LinkUpdate::Lagged(dropped));
                    subscription.resync();
                }
            }
        });
        Self { commands, tasks: None }
    }

    /// Links to a tapline in another process.
    pub(super) fn to(id: SourceId, remote: Remote, about: About, updates: UpdateSender) -> Self {
        Self::listed(id, remote, about, updates, None)
    }

    /// Links to a tapline that the registry names; its entry is removed where no tapline answers.
    pub(super) fn listed(
        id: SourceId,
        remote: Remote,
        about: About,
        updates: UpdateSender,
        entry: Option<(Registry, RegistryEntry)>,
    ) -> Self {
        let (commands, asked) = mpsc::unbounded_channel();
        let (feed, known) = watch::channel(None);
        let carrying = tokio::spawn(carry(id, remote.clone(), asked, known, updates.clone()));
        let following = tokio::spawn(async move {
            let error = follow(id, &remote, about, &updates, &feed).await;
            if let (ClientError::Unreachable { .. }, Some((registry, entry))) = (&error, entry) {
                let _ = tokio::task::spawn_blocking(move || registry.forget(&entry)).await;
            }
            let _ = updates.send((id, LinkUpdate::Gone(error))).await;
        });
        let tasks = Tasks { carrying, _following: AbortOnDropHandle::new(following) };
        Self { commands, tasks: Some(tasks) }
    }

    pub(super) fn send(&self, command: Command) {
        // Where it is not taken, the tapline is about to be reported gone.
        let _ = self.commands.send(command);
    }

    /// Takes leave, once all commands are through.
    pub(super) async fn close(self) {
        let Some(tasks) = self.tasks else { return };
        let _ = self.commands.send(Command::Quit { held: OnQuit::Forward });
        drop(self.commands);
        let _ = tokio::time::timeout(GRACE, tasks.carrying).await;
    }
}

/// Reads for as long as there is something to read; gives why there is not.
async fn follow(
    id: SourceId,
    remote: &Remote,
    about: About,
    updates: &UpdateSender,
    feed: &watch::Sender<Option<u64>>,
) -> ClientError {
    loop {
        let mut events = match remote.events().await {
            Ok(events) => events,
            Err(error) => return error,
        };
        feed.send_replace(Some(events.feed()));
        if updates.send((id, LinkUpdate::Joined(about.clone()))).await.is_err() {
            return events.broken("nothing listens to it any more");
        }
        if let Err(error) = read(id, remote, &mut events, updates).await {
            tracing::info!(%error, "reading again");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads one connection to its end.
async fn read(id: SourceId, remote: &Remote, events: &mut Events, updates: &UpdateSender) -> Result<(), ClientError> {
    while let Some(told) = events.next().await? {
        let news = match told {
            FeedLine::Event(event) => LinkUpdate::Event(event),
            FeedLine::Dropped(lost) => {
                remote.command(Some(events.feed()), &Command::Resync).await?;
                LinkUpdate::Lagged(lost)
            }
        };
        if updates.send((id, news)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends commands, one after the other, in the name of the screen that reads.
async fn carry(
    id: SourceId,
    remote: Remote,
    mut asked: mpsc::UnboundedReceiver<Command>,
    mut feed: watch::Receiver<Option<u64>>,
    updates: UpdateSender,
) {
    while let Some(command) = asked.recv().await {
        let Ok(feed) = feed.wait_for(Option::is_some).await.map(|feed| *feed) else { return };
        if let Err(error) = remote.command(feed, &command).await {
            // Full: then there is worse to send than this.
            let _ = updates.try_send((id, LinkUpdate::NotTaken(error)));
        }
    }
}
