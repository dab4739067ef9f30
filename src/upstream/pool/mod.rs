//! The children of one command: how many there may be, and those that wait for a client.
//!
//! Acquire → validate → use → discard. Owns the spares and the count; an acquired child belongs to its session. A child of a
//! legacy session is of no use to another (it has been initialized), so none comes back but one that was never spoken to.

mod settings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

pub use self::settings::{Restart, Section, Settings};
use super::UpstreamError;
use super::embedded::EmbeddedServer;
use super::output::Output;
use super::stdio::{ChildPipe, CommandLine};
use crate::children::guardian::Guardian;
use crate::net::backoff::doubling;
use crate::secret::{GivenSecrets, Label};

/// Pause before another spare is started where the one before has ended by itself; it doubles up to [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// A spare that has lived for so long is no sign of a command that cannot live.
const SOUND: Duration = Duration::from_secs(10);

/// The owner of a command's spare children: started, and not acquired yet.
pub struct Pool {
    source: ChildSource,
    settings: Settings,
    /// For as many children as there may be; each has its part until its process is no more.
    room: Arc<Semaphore>,
    spares: Mutex<VecDeque<PooledChild>>,
    /// A spare was taken, or a child is no more.
    changed: Arc<Notify>,
    /// The command is another now.
    renewed: Notify,
    counts: Arc<PoolCounts>,
}

/// What its children are.
enum ChildSource {
    /// Processes, whom the guardian ends where tapline cannot.
    Command(CommandLine, Guardian),
    /// Parts of this process.
    Embedded(Arc<dyn EmbeddedServer>),
}

/// A child that was sent nothing yet.
pub struct PooledChild {
    pub pipe: ChildPipe,
    pub outputs: mpsc::Receiver<Output>,
    pub since: Instant,
    /// Whether it was started before a client asked for it.
    pub spare: bool,
}

#[derive(Default)]
struct PoolCounts {
    started: AtomicU64,
    died: AtomicU64,
    waiting: AtomicU64,
    acquired: AtomicU64,
    /// How long clients waited for children so far, in microseconds.
    waited: AtomicU64,
}

/// What a pool does, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// Children that wait for a client.
    pub spares: u64,
    /// Children that clients have.
    pub in_use: u64,
    pub max: u64,
    /// Clients that wait for a child.
    pub waiting: u64,
    /// Since the beginning: children started, and those that are no more.
    pub started: u64,
    pub died: u64,
    /// Since the beginning: children that clients got, and for how many microseconds they waited for them.
    pub acquired: u64,
    pub waited: u64,
}

impl Pool {
    /// A pool without children: the first are started when they are asked for, or by the settings.
    pub fn new(command: CommandLine, guardian: Guardian, settings: Settings) -> Arc<Self> {
        Self::of(ChildSource::Command(command, guardian), settings)
    }

    /// A pool of connections to a server inside this process.
    pub fn embedded(server: Arc<dyn EmbeddedServer>, settings: Settings) -> Arc<Self> {
        Self::of(ChildSource::Embedded(server), settings)
    }

    fn of(source: ChildSource, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            source,
            room: Arc::new(Semaphore::new(settings.max)),
            settings,
            spares: Mutex::default(),
            changed: Arc::default(),
            renewed: Notify::new(),
            counts: Arc::default(),
        })
    }

    /// What its children are, for people.
    pub fn label(&self) -> Label {
        match &self.source {
            ChildSource::Command(command, _) => command.label(),
            ChildSource::Embedded(server) => server.label(),
        }
    }

    /// Whether they are inside this process: what they say on stderr is tapline's own.
    pub fn is_embedded(&self) -> bool {
        matches!(self.source, ChildSource::Embedded(_))
    }

    /// What the label does not show.
    pub fn secrets(&self) -> GivenSecrets {
        match &self.source {
            ChildSource::Command(command, _) => command.secrets(),
            ChildSource::Embedded(_) => GivenSecrets::default(),
        }
    }

    /// How many there may be, and how long they may take.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A child, where there is one to be had without waiting.
    ///
    /// # Errors
    /// Where the command cannot be started.
    pub fn try_acquire(&self) -> Result<Option<PooledChild>, UpstreamError> {
        let child = match (self.spare(), self.room.clone().try_acquire_owned()) {
            (Some(spare), _) => Some(spare),
            (None, Ok(room)) => Some(self.start(room)?),
            (None, Err(_)) => None,
        };
        self.counts.acquired.fetch_add(u64::from(child.is_some()), Ordering::Relaxed);
        Ok(child)
    }

    /// A child, as soon as there is one to be had.
    ///
    /// # Errors
    /// Where the command cannot be started, or all children are in use for too long.
    pub async fn acquire(&self) -> Result<PooledChild, UpstreamError> {
        if let Some(child) = self.try_acquire()? {
            return Ok(child);
        }
        let began = Instant::now();
        let waiting = WaitingClient::among(&self.counts.waiting);
        let room = tokio::time::timeout(self.settings.acquire_timeout, self.room.clone().acquire_owned()).await;
        drop(waiting);
        let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counts.waited.fetch_add(waited, Ordering::Relaxed);
        let Ok(Ok(room)) = room else {
            return Err(UpstreamError::Busy {
                command: self.label(),
                children: self.settings.max,
                waited: self.settings.acquire_timeout,
            });
        };
        self.counts.acquired.fetch_add(1, Ordering::Relaxed);
        self.start(room)
    }

    /// Takes back a child that was not spoken to.
    pub fn give_back(&self, child: PooledChild) {
        let mut spares = self.spares.lock();
        // Clients that wait have first claim on its room.
        let awaited = self.counts.waiting.load(Ordering::Relaxed) > 0;
        if self.is_fit(&child) && spares.len() < self.settings.spares && !awaited {
            spares.push_back(child);
        }
    }

    /// Keeps as many spares as there are to be, until it is told to stop. `log` is told what goes wrong, once.
    pub async fn keep_warm(&self, stop: CancellationToken, log: impl Fn(String) + Send) {
        if self.settings.spares > 0 {
            stop.run_until_cancelled(self.refill_forever(log)).await;
        }
    }

    /// Ends all spares: the command is another now.
    pub fn renew(&self) {
        self.spares.lock().clear();
        self.renewed.notify_one();
    }

    /// Ends all spares, and waits until they are gone.
    pub async fn close(&self) {
        let spares: Vec<_> = self.spares.lock().drain(..).collect();
        join_all(spares.into_iter().map(PooledChild::close)).await;
    }

    /// How many children there are now, and what became of the others.
    pub fn figures(&self) -> PoolUsage {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let PoolCounts { started, died, waiting, acquired, waited } = &*self.counts;
        let (spares, alive) = (self.spares.lock().len() as u64, count(started).saturating_sub(count(died)));
        PoolUsage {
            spares,
            in_use: alive.saturating_sub(spares),
            max: self.settings.max as u64,
            waiting: count(waiting),
            started: count(started),
            died: count(died),
            acquired: count(acquired),
            waited: count(waited),
        }
    }

    /// The spare that has waited longest, of those that are fit for use; the others are ended.
    fn spare(&self) -> Option<PooledChild> {
        let mut spares = self.spares.lock();
        let found = std::iter::from_fn(|| spares.pop_front()).find(|spare| self.is_fit(spare));
        if found.is_some() {
            self.changed.notify_one();
        }
        found
    }

    fn is_fit(&self, child: &PooledChild) -> bool {
        !child.pipe.gone().is_cancelled() && !self.is_old(child.since)
    }

    /// Whether a child of that age is to be replaced where it can be.
    pub fn is_old(&self, since: Instant) -> bool {
        self.settings.max_lifetime.is_some_and(|lifetime| since.elapsed() >= lifetime)
    }

    fn start(&self, room: OwnedSemaphorePermit) -> Result<PooledChild, UpstreamError> {
        self.counts.started.fetch_add(1, Ordering::Relaxed);
        let place = ChildSlot { room: Some(room), counts: self.counts.clone(), changed: self.changed.clone() };
        let (pipe, outputs) = match &self.source {
            ChildSource::Command(command, guardian) => {
                ChildPipe::spawn(command, guardian, place, self.settings.longest)?
            }
            ChildSource::Embedded(server) => ChildPipe::embed(server.clone(), place),
        };
        Ok(PooledChild { pipe, outputs, since: Instant::now(), spare: false })
    }

    async fn refill_forever(&self, log: impl Fn(String)) {
        let mut pauses = doubling(PAUSE, LONGEST);
        let mut told = false;
        loop {
            let dead = self.weed();
            if dead.as_ref().is_some_and(|spare| spare.since.elapsed() >= SOUND) {
                (pauses, told) = (doubling(PAUSE, LONGEST), false);
            }
            let trouble = match dead {
                Some(spare) => spare.last_word().await,
                None => self.refill().err(),
            };
            let Some(why) = trouble else {
                self.wait_for_change().await;
                continue;
            };
            if !std::mem::replace(&mut told, true) {
                log(format!(
                    "a spare could not be kept: {why}; another is started, ever more seldom if that ends, too"
                ));
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.next().unwrap_or(LONGEST)) => {}
                () = self.renewed.notified() => (pauses, told) = (doubling(PAUSE, LONGEST), false),
            }
        }
    }

    /// Takes out what is of no use any more. Returns one that has ended by itself.
    fn weed(&self) -> Option<PooledChild> {
        let mut spares = self.spares.lock();
        let (fit, unfit): (VecDeque<_>, VecDeque<_>) = spares.drain(..).partition(|spare| self.is_fit(spare));
        *spares = fit;
        unfit.into_iter().find(|spare| spare.pipe.gone().is_cancelled())
    }

    fn refill(&self) -> Result<(), UpstreamError> {
        while self.spares.lock().len() < self.settings.spares {
            // Clients that wait for a child come before those that might.
            let Ok(room) = self.room.clone().try_acquire_owned() else { break };
            let child = PooledChild { spare: true, ..self.start(room)? };
            self.spares.lock().push_back(child);
        }
        Ok(())
    }

    /// Waits until a child was taken or is no more, or the oldest spare is too old.
    async fn wait_for_change(&self) {
        let oldest = self.spares.lock().front().map(|spare| spare.since);
        let old = async {
            match self.settings.max_lifetime.zip(oldest) {
                Some((lifetime, since)) => tokio::time::sleep(lifetime.saturating_sub(since.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.changed.notified() => {}
            () = self.renewed.notified() => {}
            () = old => {}
        }
    }
}

impl PooledChild {
    /// Why it has ended.
    async fn last_word(mut self) -> Option<UpstreamError> {
        while let Some(output) = self.outputs.recv().await {
            if let Output::Ended(error) = output {
                return Some(error);
            }
        }
        None
    }

    async fn close(self) {
        // It is not read any more: what it still says must not keep it from ending.
        drop(self.outputs);
        self.pipe.close().await;
    }
}

/// What the process of a child has while it is there.
struct ChildSlot {
    room: Option<OwnedSemaphorePermit>,
    counts: Arc<PoolCounts>,
    changed: Arc<Notify>,
}

impl Drop for ChildSlot {
    fn drop(&mut self) {
        self.counts.died.fetch_add(1, Ordering::Relaxed);
        drop(self.room.take());
        self.changed.notify_one();
    }
}

/// A client that waits for a child, and may hang up.
struct WaitingClient<'a>(&'a AtomicU64);

impl<'a> WaitingClient<'a> {
    fn among(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingClient<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
