//! Which screens are attached, and what becomes of their holds when they go.
//!
//! A screen that holds messages and then goes away, by its own will or because its terminal died, must not leave clients
//! hanging where no screen can let them go. So when the last screen has left a tapline that has none of its own, holding is
//! again what it was before screens changed it, and what they held or paused goes on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::envelope::SessionId;
use crate::event::{Command, Holding};
use crate::intercept::breakpoints::Breakpoints;
use crate::journal::Subscription;

/// How long a screen whose connection broke may take to come back.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a screen goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DetachReason {
    /// The screen said that it leaves.
    Goodbye,
    /// The connection of a screen broke; the screen may come back.
    Lost,
}

pub(super) struct AttachedScreens {
    own_screen: bool,
    breakpoints: Breakpoints,
    commands: UnboundedSender<Command>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_feed: u64,
    attached: HashMap<u64, Subscription>,
    /// What was held before a screen changed it.
    before: Option<Holding>,
    /// Sessions that screens paused.
    paused: HashSet<SessionId>,
}

impl AttachedScreens {
    pub(super) fn new(own_screen: bool, breakpoints: Breakpoints, commands: UnboundedSender<Command>) -> Self {
        Self { own_screen, breakpoints, commands, state: Mutex::default() }
    }

    /// Registers a screen, and returns the number of its feed.
    pub(super) fn enter(&self, subscription: Subscription) -> u64 {
        let mut state = self.state.lock();
        state.last_feed += 1;
        let feed = state.last_feed;
        state.attached.insert(feed, subscription);
        feed
    }

    /// `false` where there is no such screen.
    pub(super) fn resync(&self, feed: u64) -> bool {
        self.state.lock().attached.get(&feed).map(Subscription::resync).is_some()
    }

    /// A screen is about to change what is held.
    pub(super) fn changes_holding(&self, feed: u64) {
        let mut state = self.state.lock();
        if state.attached.contains_key(&feed) {
            state.before.get_or_insert_with(|| self.breakpoints.holding());
        }
    }

    /// A screen is about to pause a session.
    pub(super) fn pauses(&self, feed: u64, session: SessionId) {
        let mut state = self.state.lock();
        if state.attached.contains_key(&feed) {
            state.paused.insert(session);
        }
    }

    /// A screen lets a session go on.
    pub(super) fn resumes(&self, session: SessionId) {
        self.state.lock().paused.remove(&session);
    }

    pub(super) fn leave(self: &Arc<Self>, feed: u64, how: DetachReason) {
        let last = {
            let mut state = self.state.lock();
            state.attached.remove(&feed).is_some() && state.attached.is_empty()
        };
        match (how, tokio::runtime::Handle::try_current()) {
            _ if !last || self.own_screen => {}
            (DetachReason::Lost, Ok(runtime)) => {
                let screens = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(PATIENCE).await;
                    screens.release();
                });
            }
            // Without a runtime all of tapline is ending, and lets go of everything by itself.
            (DetachReason::Goodbye, _) | (DetachReason::Lost, Err(_)) => self.release(),
        }
    }

    /// Undoes what screens set, if none has come back.
    fn release(&self) {
        let mut state = self.state.lock();
        if !state.attached.is_empty() {
            return;
        }
        self.breakpoints.forget_steps();
        let before = state.before.take();
        let holds = before.as_ref().map_or_else(|| self.breakpoints.holding().on, |before| before.on);
        // They fail only when the core has ended.
        for session in state.paused.drain() {
            let _ = self.commands.send(Command::Resume(session));
        }
        if let Some(before) = before {
            let _ = self.commands.send(Command::SetHolding(before));
        }
        if !holds {
            let _ = self.commands.send(Command::ForwardAll);
        }
    }
}

/// The place of a screen among the screens; given up when its connection ends.
pub(super) struct AttachedScreen {
    feed: u64,
    subscription: Subscription,
    screens: Arc<AttachedScreens>,
}

impl AttachedScreen {
    pub(super) fn enter(screens: Arc<AttachedScreens>, subscription: Subscription) -> Self {
        Self { feed: screens.enter(subscription.clone()), subscription, screens }
    }

    /// The number of its feed.
    pub(super) fn feed(&self) -> u64 {
        self.feed
    }
}

impl Drop for AttachedScreen {
    fn drop(&mut self) {
        self.screens.leave(self.feed, DetachReason::Lost);
        // A feed has room for thousands of events, and where nothing happens it would go unnoticed that it is read no more.
        self.subscription.end();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::event::Feed;
    use crate::journal::Journal;

    struct Rig {
        journal: Journal,
        breakpoints: Breakpoints,
        screens: Arc<AttachedScreens>,
        commands: mpsc::UnboundedReceiver<Command>,
    }

    fn rig(own_screen: bool, before: bool) -> Rig {
        let breakpoints = Breakpoints::default();
        breakpoints.set(holding(before, "~q")).unwrap();
        let (sender, commands) = mpsc::unbounded_channel();
        let screens = Arc::new(AttachedScreens::new(own_screen, breakpoints.clone(), sender));
        Rig { journal: Journal::start(None).0, breakpoints, screens, commands }
    }

    fn holding(on: bool, filter: &str) -> Holding {
        Holding { on, filter: filter.to_owned() }
    }

    impl Rig {
        fn enter(&self) -> u64 {
            self.screens.enter(self.journal.subscribe(Feed::bounded(1).0))
        }

        fn holds(&self, feed: u64) {
            self.screens.changes_holding(feed);
            self.breakpoints.set(holding(true, "~m tools/call")).unwrap();
        }

        fn asked(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.commands.try_recv().ok())
                .map(|command| match command {
                    Command::SetHolding(holding) => format!("hold {} {}", holding.on, holding.filter),
                    Command::ForwardAll => "forward all".to_owned(),
                    Command::Resume(_) => "resume".to_owned(),
                    other => panic!("{other:?}"),
                })
                .collect()
        }
    }

    #[tokio::test]
    async fn last_screen_releases_holds() {
        let mut rig = rig(false, false);
        let (one, other) = (rig.enter(), rig.enter());
        rig.holds(one);
        rig.screens.leave(one, DetachReason::Goodbye);
        assert_eq!(rig.asked(), [""; 0], "another screen is there to decide");
        rig.screens.leave(other, DetachReason::Goodbye);
        assert_eq!(rig.asked(), ["hold false ~q", "forward all"]);
    }

    #[tokio::test]
    async fn last_screen_resumes_paused_sessions() {
        let mut rig = rig(false, false);
        let (screen, session) = (rig.enter(), SessionId::random());
        rig.screens.pauses(screen, session);
        rig.screens.pauses(screen, SessionId::random());
        rig.screens.resumes(session);
        rig.screens.leave(screen, DetachReason::Goodbye);
        assert_eq!(rig.asked(), ["resume", "forward all"]);
    }

    #[tokio::test]
    async fn holding_from_the_start_stays() {
        let mut rig = rig(false, true);
        let screen = rig.enter();
        rig.holds(screen);
        rig.screens.leave(screen, DetachReason::Goodbye);
        assert_eq!(rig.asked(), ["hold true ~q"]);
    }

    #[tokio::test]
    async fn own_screen_keeps_holds() {
        let mut rig = rig(true, false);
        let screen = rig.enter();
        rig.holds(screen);
        rig.screens.leave(screen, DetachReason::Goodbye);
        assert_eq!(rig.asked(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn lost_screen_may_come_back() {
        let mut rig = rig(false, false);
        let screen = rig.enter();
        rig.holds(screen);
        rig.screens.leave(screen, DetachReason::Lost);
        let again = rig.enter();
        tokio::time::sleep(2 * PATIENCE).await;
        assert_eq!(rig.asked(), [""; 0]);
        rig.screens.leave(again, DetachReason::Lost);
        tokio::time::sleep(2 * PATIENCE).await;
        assert_eq!(rig.asked(), ["hold false ~q", "forward all"]);
        assert!(!rig.screens.resync(again));
    }

    #[tokio::test]
    async fn screen_that_leaves_gives_its_feed_back_though_nothing_happens() {
        let rig = rig(false, false);
        let (feed, reader) = Feed::bounded(1 << 10);
        let screen = AttachedScreen::enter(rig.screens.clone(), rig.journal.subscribe(feed));
        drop(screen);
        let told = tokio::task::spawn_blocking(move || {
            let deadline = std::time::Instant::now() + Duration::from_secs(30);
            while reader.events.recv_deadline(deadline).is_ok() {}
            reader.events.recv_deadline(deadline)
        });
        assert_eq!(told.await.unwrap().err(), Some(crossbeam_channel::RecvTimeoutError::Disconnected));
    }
}
