//! The children there are, what is in flight on each, and the subscriptions that are open on all of them.
//!
//! Where a server is declared stateless, the choice of a child and the count of what is in flight on it are made under
//! one lock. Not declared, nothing is counted. A subscription is opened on one child, then on the others, whose
//! acknowledgements and endings are withheld (shown, in the names the child knows).

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::message::Id;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::shared::SharedServer;
use crate::proxy::stream::{FanoutSubscription, StreamServer};
use crate::upstream::pool::Pool;

/// A child that nobody has asked anything for so long is let go where there is another.
const IDLE: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(in crate::proxy) struct SharedChildren {
    all: Vec<Arc<SharedChild>>,
    subscriptions: Vec<Arc<FanoutSubscription>>,
}

pub(in crate::proxy) struct SharedChild {
    pub(in crate::proxy) link: Arc<StreamServer>,
    since: Instant,
    /// Requests in flight, of a stateless command: subscriptions are none.
    load: watch::Sender<usize>,
}

/// One request in flight.
pub(in crate::proxy) struct BusyChild(Arc<SharedChild>);

impl SharedChildren {
    pub(in crate::proxy) fn links(&self) -> impl Iterator<Item = &Arc<StreamServer>> {
        self.all.iter().map(|child| &child.link)
    }

    /// Of those that are fit for use.
    pub(in crate::proxy) fn least_busy(&mut self, pool: &Pool) -> Option<Arc<SharedChild>> {
        self.all.retain(|child| !child.link.is_over());
        self.all.iter().filter(|child| !child.is_outlived(pool)).min_by_key(|child| child.load()).cloned()
    }

    /// Takes one in, which hears at once what clients are subscribed to: whoever chooses it asks it something next, and what that
    /// changes is to be told. Those that are too old go.
    pub(in crate::proxy) fn take_in(&mut self, child: &Arc<SharedChild>, pool: &Pool) {
        self.subscriptions.iter().for_each(|subscription| child.link.join(subscription));
        let outlived = self.all.extract_if(.., |child| child.is_outlived(pool));
        outlived.for_each(|child| child.link.dismiss());
        self.all.push(child.clone());
    }

    /// Has all hear what a client is subscribed to, as one does already.
    pub(in crate::proxy) fn open(&mut self, subscription: &Arc<FanoutSubscription>, already: &Arc<StreamServer>) {
        self.links().filter(|link| !Arc::ptr_eq(link, already)).for_each(|link| link.join(subscription));
        self.subscriptions.push(subscription.clone());
    }

    pub(in crate::proxy) fn close(&mut self, subscription: &Arc<FanoutSubscription>) {
        self.subscriptions.retain(|it| !Arc::ptr_eq(it, subscription));
        self.links().for_each(|link| link.part(subscription));
    }

    /// The subscription that a client means by an id.
    pub(in crate::proxy) fn subscription(&self, session: &LiveSession, id: &Id) -> Option<Arc<FanoutSubscription>> {
        self.subscriptions.iter().find(|subscription| subscription.is(session, id)).cloned()
    }

    /// Takes out one that is idle, where another is there.
    fn take_out(&mut self, child: &Arc<SharedChild>) -> bool {
        self.all.retain(|child| !child.link.is_over());
        let spared = self.all.len() > 1 && child.load() == 0;
        if spared {
            self.all.retain(|it| !Arc::ptr_eq(it, child));
            child.link.dismiss();
        }
        spared
    }
}

impl SharedChild {
    pub(in crate::proxy) fn new(link: Arc<StreamServer>, since: Instant) -> Arc<Self> {
        Arc::new(Self { link, since, load: watch::Sender::default() })
    }

    pub(in crate::proxy) fn load(&self) -> usize {
        *self.load.borrow()
    }

    pub(in crate::proxy) fn in_use(self: Arc<Self>) -> BusyChild {
        self.load.send_modify(|load| *load += 1);
        BusyChild(self)
    }

    /// One that is too old is given up as soon as nobody waits for it. What is subscribed to goes on where others hear it, too.
    fn is_outlived(&self, pool: &Pool) -> bool {
        let nobody_waits = || self.load() == 0 && (pool.settings().stateless || self.link.is_idle());
        pool.is_old(self.since) && nobody_waits()
    }
}

impl BusyChild {
    pub(in crate::proxy) fn link(&self) -> &Arc<StreamServer> {
        &self.0.link
    }
}

impl Drop for BusyChild {
    fn drop(&mut self) {
        self.0.load.send_modify(|load| *load -= 1);
    }
}

/// Sees to it that a child is let go that nobody needs.
pub(in crate::proxy) fn let_go_when_idle(
    shared: &Arc<SharedServer>,
    child: &Arc<SharedChild>,
) -> impl Future<Output = ()> + use<> {
    let lifetime = shared.pool.settings().max_lifetime;
    let (patience, load) = (lifetime.map_or(IDLE, |lifetime| lifetime.min(IDLE)), child.load.subscribe());
    let (shared, child) = (Arc::downgrade(shared), Arc::downgrade(child));
    async move { drop(watch_load(patience, load, || let_go(&shared, &child)).await) }
}

/// Until it is let go, or is no more.
async fn watch_load(
    patience: Duration,
    mut load: watch::Receiver<usize>,
    let_go: impl Fn() -> bool,
) -> Result<(), watch::error::RecvError> {
    loop {
        if *load.borrow_and_update() > 0 {
            load.changed().await?;
            continue;
        }
        match timeout(patience, load.changed()).await {
            Ok(changed) => changed?,
            Err(_) if let_go() => return Ok(()),
            // It is the only one, and waits for better times.
            Err(_) => load.changed().await?,
        }
    }
}

fn let_go(shared: &Weak<SharedServer>, child: &Weak<SharedChild>) -> bool {
    match (shared.upgrade(), child.upgrade()) {
        (Some(shared), Some(child)) => shared.children.lock().take_out(&child),
        _ => true,
    }
}
