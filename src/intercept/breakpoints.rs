//! The operator's breakpoints: a hold filter, "hold the next one", "hold the reply to this one".

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::watch::Watch;
use super::{Interceptor, Verdict};
use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::Holding;
use crate::filter::{Filter, FilterError, FilterPlace, MessageContext, SavedFilters};

/// A handle: the chain asks one clone, the control task sets another.
#[derive(Clone, Default)]
pub struct Breakpoints {
    shared: Arc<SharedBreakpoints>,
}

#[derive(Default)]
struct SharedBreakpoints {
    /// What `@NAME` in a hold filter means.
    saved: SavedFilters,
    /// Whether there is anything to look at: keeps the lock off the way of a message when nothing is set.
    armed: AtomicBool,
    points: Mutex<Points>,
}

#[derive(Default)]
struct Points {
    holding: Holding,
    filter: Option<Filter>,
    /// What passed since the filter was set, where it asks for that.
    watch: Watch,
    /// Sessions whose very next message is held.
    next: HashSet<SessionId>,
    /// Requests whose reply is held.
    replies: HashSet<Seq>,
}

impl Breakpoints {
    /// Breakpoints whose filters may use these by name.
    pub fn with(saved: SavedFilters) -> Self {
        Self { shared: Arc::new(SharedBreakpoints { saved, ..SharedBreakpoints::default() }) }
    }

    /// Sets the filter and whether it holds. Returns what the filter asks for that is not known yet when a message passes.
    ///
    /// # Errors
    /// Where the expression cannot be parsed; then everything stays as it was.
    pub fn set(&self, holding: Holding) -> Result<Vec<String>, FilterError> {
        let text = &holding.filter;
        let filter = if text.trim().is_empty() { None } else { Some(Filter::parse_with(text, &self.shared.saved)?) };
        let notes = filter.as_ref().map(|filter| filter.notes(FilterPlace::Wire)).unwrap_or_default();
        let mut points = self.shared.points.lock();
        points.watch = Watch::for_filters(filter.iter());
        points.filter = filter.filter(|_| holding.on);
        points.holding = holding;
        self.rearm(&points);
        Ok(notes)
    }

    /// What is held now, and whether holding is on.
    pub fn holding(&self) -> Holding {
        self.shared.points.lock().holding.clone()
    }

    /// Holds the very next message of a session, once.
    pub fn hold_next(&self, session: SessionId) {
        let mut points = self.shared.points.lock();
        points.next.insert(session);
        self.rearm(&points);
    }

    /// Holds the reply to this request, once.
    pub fn hold_reply(&self, request: Seq) {
        let mut points = self.shared.points.lock();
        points.replies.insert(request);
        self.rearm(&points);
    }

    /// Takes back every "next" and "reply" that has not come yet: the screen that asked for them is gone.
    pub fn forget_steps(&self) {
        let mut points = self.shared.points.lock();
        points.next.clear();
        points.replies.clear();
        self.rearm(&points);
    }

    fn rearm(&self, points: &Points) {
        let armed = points.filter.is_some() || !points.next.is_empty() || !points.replies.is_empty();
        self.shared.armed.store(armed, Ordering::Release);
    }
}

impl Interceptor for Breakpoints {
    fn inspect(&self, envelope: &mut Envelope, session: &dyn MessageContext) -> Verdict {
        if !self.shared.armed.load(Ordering::Acquire) {
            return Verdict::Continue;
        }
        let mut points = self.shared.points.lock();
        points.watch.observe(envelope);
        let reason = if points.next.remove(&envelope.session) {
            "step".to_owned()
        } else if envelope.reply_to.as_ref().is_some_and(|to| points.replies.remove(&to.seq)) {
            "reply to a message you held".to_owned()
        } else if points
            .filter
            .as_ref()
            .is_some_and(|filter| filter.matches_in(envelope, &points.watch.context(session)))
        {
            points.holding.filter.clone()
        } else {
            return Verdict::Continue;
        };
        self.rearm(&points);
        Verdict::Pause(reason)
    }
}
