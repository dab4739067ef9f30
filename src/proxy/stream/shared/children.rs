//! The children there are, what is in flight on each, and the subscriptions that are open on all of them.
//!
//! Where a server is declared stateless, the choice of a child and the count of what is in flight on it are made under
//! one lock. Not declared, nothing is counted. A subscription is opened on one child, then on the others, whose
//! acknowledgements and endings are withheld (shown, in the names the child knows).

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::message::Id;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::server::StreamServer;
use crate::proxy::stream::subscription::FanoutSubscription;
use crate::upstream::pool::Pool;

/// A child that got no request for so long is let go where there is another.
const IDLE: Duration = Duration::from_secs(300);

/// The children there are, and the subscriptions that are open on all of them.
#[derive(Default)]
pub(super) struct SharedChildren {
    all: Vec<Arc<SharedChild>>,
    subscriptions: Vec<Arc<FanoutSubscription>>,
}

/// A child that modern clients share, and how busy it is.
pub(super) struct SharedChild {
    pub(super) server: Arc<StreamServer>,
    since: Instant,
    /// Requests in flight, of a stateless command: subscriptions are none.
    load: watch::Sender<usize>,
}

/// A child for as long as one request is in flight on it.
pub(super) struct BusyChild(Arc<SharedChild>);

impl SharedChildren {
    pub(super) fn servers(&self) -> impl Iterator<Item = &Arc<StreamServer>> {
        self.all.iter().map(|child| &child.server)
    }

    /// Whether there is one that was asked something.
    pub(super) fn has_one(&self) -> bool {
        self.servers().any(|server| !server.is_gone())
    }

    /// The child with the fewest requests in flight, of those that are fit for use.
    pub(super) fn least_busy(&mut self, pool: &Pool) -> Option<Arc<SharedChild>> {
        self.all.retain(|child| !child.server.is_gone());
        self.all.iter().filter(|child| !child.is_outlived(pool)).min_by_key(|child| child.load()).cloned()
    }

    /// Takes a child in, which hears at once what clients are subscribed to: it is chosen to be asked something next, and what that
    /// changes is to be told. Those that are too old go.
    pub(super) fn take_in(&mut self, child: &Arc<SharedChild>, pool: &Pool) {
        self.subscriptions.iter().for_each(|subscription| child.server.join(subscription));
        let outlived = self.all.extract_if(.., |child| child.is_outlived(pool));
        outlived.for_each(|child| child.server.dismiss());
        self.all.push(child.clone());
    }

    /// Has all hear what a client is subscribed to, as one does already.
    pub(super) fn open(&mut self, subscription: &Arc<FanoutSubscription>, already: &Arc<StreamServer>) {
        self.servers().filter(|server| !Arc::ptr_eq(server, already)).for_each(|server| server.join(subscription));
        self.subscriptions.push(subscription.clone());
    }

    pub(super) fn close(&mut self, subscription: &Arc<FanoutSubscription>) {
        self.subscriptions.retain(|it| !Arc::ptr_eq(it, subscription));
        self.servers().for_each(|server| server.unsubscribe(subscription));
    }

    /// The subscription that a client means by an id; `None` where it has no such.
    pub(super) fn subscription(&self, session: &LiveSession, id: &Id) -> Option<Arc<FanoutSubscription>> {
        self.subscriptions.iter().find(|subscription| subscription.is(session, id)).cloned()
    }

    /// Takes out one that is idle, where another is there.
    fn take_idle(&mut self, child: &Arc<SharedChild>) -> bool {
        self.all.retain(|child| !child.server.is_gone());
        let spared = self.all.len() > 1 && child.load() == 0;
        if spared {
            self.all.retain(|it| !Arc::ptr_eq(it, child));
            child.server.dismiss();
        }
        spared
    }
}

impl SharedChild {
    pub(super) fn new(server: Arc<StreamServer>, since: Instant) -> Arc<Self> {
        Arc::new(Self { server, since, load: watch::Sender::default() })
    }

    pub(super) fn load(&self) -> usize {
        *self.load.borrow()
    }

    pub(super) fn in_use(self: Arc<Self>) -> BusyChild {
        self.load.send_modify(|load| *load += 1);
        BusyChild(self)
    }

    /// Whether a child is too old: it is given up as soon as no request waits for it. What is subscribed to goes on where others hear it, too.
    fn is_outlived(&self, pool: &Pool) -> bool {
        let no_call_waits = || self.load() == 0 && (pool.settings().stateless || self.server.is_idle());
        pool.is_old(self.since) && no_call_waits()
    }
}

impl BusyChild {
    pub(super) fn server(&self) -> &Arc<StreamServer> {
        &self.0.server
    }
}

impl Drop for BusyChild {
    fn drop(&mut self) {
        self.0.load.send_modify(|load| *load -= 1);
    }
}

/// Lets a child go once it was idle for [`IDLE`] and there is another.
pub(super) fn dismiss_when_idle(
    children: &Arc<Mutex<SharedChildren>>,
    child: &Arc<SharedChild>,
    pool: &Pool,
) -> impl Future<Output = ()> + use<> {
    let lifetime = pool.settings().max_lifetime;
    let (patience, load) = (lifetime.map_or(IDLE, |lifetime| lifetime.min(IDLE)), child.load.subscribe());
    let (children, child) = (Arc::downgrade(children), Arc::downgrade(child));
    async move {
        // An error: the child is no more.
        let _ = watch_load(patience, load, || take_idle(&children, &child)).await;
    }
}

/// Until it is let go, or is no more.
async fn watch_load(
    patience: Duration,
    mut load: watch::Receiver<usize>,
    take_idle: impl Fn() -> bool,
) -> Result<(), watch::error::RecvError> {
    loop {
        if *load.borrow_and_update() > 0 {
            load.changed().await?;
            continue;
        }
        match timeout(patience, load.changed()).await {
            Ok(changed) => changed?,
            Err(_) if take_idle() => return Ok(()),
            // It is the only one, and waits for better times.
            Err(_) => load.changed().await?,
        }
    }
}

fn take_idle(children: &Weak<Mutex<SharedChildren>>, child: &Weak<SharedChild>) -> bool {
    match (children.upgrade(), child.upgrade()) {
        (Some(children), Some(child)) => children.lock().take_idle(&child),
        _ => true,
    }
}
