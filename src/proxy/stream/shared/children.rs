//! The children there are, what is in flight on each, and the subscriptions that are open on all of them.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::message::Id;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::shared::Shared;
use crate::proxy::stream::{Merged, PipeLink};
use crate::upstream::pool::Pool;

/// A child that nobody has asked anything for so long is let go where there is another.
const IDLE: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(in crate::proxy) struct Members {
    all: Vec<Arc<Member>>,
    merged: Vec<Arc<Merged>>,
}

pub(in crate::proxy) struct Member {
    pub(in crate::proxy) link: Arc<PipeLink>,
    since: Instant,
    /// Requests in flight, of a stateless command: subscriptions are none.
    load: watch::Sender<usize>,
}

/// One request in flight.
pub(in crate::proxy) struct InUse(Arc<Member>);

impl Members {
    pub(in crate::proxy) fn links(&self) -> impl Iterator<Item = &Arc<PipeLink>> {
        self.all.iter().map(|member| &member.link)
    }

    /// Of those that are fit for use.
    pub(in crate::proxy) fn least_busy(&mut self, pool: &Pool) -> Option<Arc<Member>> {
        self.all.retain(|member| !member.link.is_over());
        self.all.iter().filter(|member| !member.is_outlived(pool)).min_by_key(|member| member.load()).cloned()
    }

    /// Takes one in, which hears at once what clients are subscribed to: whoever chooses it asks it something next, and what that
    /// changes is to be told. Those that are too old go.
    pub(in crate::proxy) fn take_in(&mut self, member: &Arc<Member>, pool: &Pool) {
        self.merged.iter().for_each(|merged| member.link.join(merged));
        let outlived = self.all.extract_if(.., |member| member.is_outlived(pool));
        outlived.for_each(|member| member.link.dismiss());
        self.all.push(member.clone());
    }

    /// Has all hear what a client is subscribed to, as one does already.
    pub(in crate::proxy) fn open(&mut self, merged: &Arc<Merged>, already: &Arc<PipeLink>) {
        self.links().filter(|link| !Arc::ptr_eq(link, already)).for_each(|link| link.join(merged));
        self.merged.push(merged.clone());
    }

    pub(in crate::proxy) fn close(&mut self, merged: &Arc<Merged>) {
        self.merged.retain(|it| !Arc::ptr_eq(it, merged));
        self.links().for_each(|link| link.part(merged));
    }

    /// The subscription that a client means by an id.
    pub(in crate::proxy) fn subscription(&self, session: &LiveSession, id: &Id) -> Option<Arc<Merged>> {
        self.merged.iter().find(|merged| merged.is(session, id)).cloned()
    }

    /// Takes out one that is idle, where another is there.
    fn take_out(&mut self, member: &Arc<Member>) -> bool {
        self.all.retain(|member| !member.link.is_over());
        let spared = self.all.len() > 1 && member.load() == 0;
        if spared {
            self.all.retain(|it| !Arc::ptr_eq(it, member));
            member.link.dismiss();
        }
        spared
    }
}

impl Member {
    pub(in crate::proxy) fn new(link: Arc<PipeLink>, since: Instant) -> Arc<Self> {
        Arc::new(Self { link, since, load: watch::Sender::default() })
    }

    pub(in crate::proxy) fn load(&self) -> usize {
        *self.load.borrow()
    }

    pub(in crate::proxy) fn in_use(self: Arc<Self>) -> InUse {
        self.load.send_modify(|load| *load += 1);
        InUse(self)
    }

    /// One that is too old is given up as soon as nobody waits for it. What is subscribed to goes on where others hear it, too.
    fn is_outlived(&self, pool: &Pool) -> bool {
        let nobody_waits = || self.load() == 0 && (pool.settings().stateless || self.link.is_idle());
        pool.is_old(self.since) && nobody_waits()
    }
}

impl InUse {
    pub(in crate::proxy) fn link(&self) -> &Arc<PipeLink> {
        &self.0.link
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.load.send_modify(|load| *load -= 1);
    }
}

/// Sees to it that a child is let go that nobody needs.
pub(in crate::proxy) fn let_go_when_idle(
    shared: &Arc<Shared>,
    member: &Arc<Member>,
) -> impl Future<Output = ()> + use<> {
    let lifetime = shared.pool.settings().max_lifetime;
    let (patience, load) = (lifetime.map_or(IDLE, |lifetime| lifetime.min(IDLE)), member.load.subscribe());
    let (shared, member) = (Arc::downgrade(shared), Arc::downgrade(member));
    async move { drop(watch_load(patience, load, || let_go(&shared, &member)).await) }
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

fn let_go(shared: &Weak<Shared>, member: &Weak<Member>) -> bool {
    match (shared.upgrade(), member.upgrade()) {
        (Some(shared), Some(member)) => shared.members.lock().take_out(&member),
        _ => true,
    }
}
