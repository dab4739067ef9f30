//! The operator's breakpoints: a hold filter, "hold the next one", "hold the reply to this one", and points that count, skip, say
//! a line in place of a stop, or let go by themselves.
//!
//! The hold filter holds what it says, `initialize` included. A point leaves alone what a session lives on, unless it is asked for it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::watch::Watch;
use super::{Interceptor, Verdict};
use crate::envelope::{Author, Envelope, Seq, SessionId};
use crate::event::{
    BlockError, Breakpoint, BreakpointCommand, BreakpointPolicy, BreakpointStatus, Holding, Level, LogLine,
};
use crate::filter::{Filter, FilterError, FilterPlace, MessageContext, SavedFilters};
use crate::mcp::error_code::ErrorCode;
use crate::mcp::method;
use crate::message::{Id, Message};

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
    /// Who hears what log points say.
    tell: OnceLock<LogCallback>,
}

type LogCallback = Box<dyn Fn(LogLine) + Send + Sync>;

/// A breakpoint with what it has counted.
struct SetPoint {
    id: u64,
    point: Breakpoint,
    filter: Filter,
    /// How many messages matched its filter.
    seen: u64,
    hits: u64,
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
    set: Vec<SetPoint>,
    last_id: u64,
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
        points.watch = Watch::for_filters(filter.iter().chain(points.set.iter().map(|set| &set.filter)));
        points.filter = filter.filter(|_| holding.on);
        points.holding = holding;
        self.rearm(&points);
        Ok(notes)
    }

    /// Who is to hear what log points say. The first one is.
    pub fn tell_to(&self, tell: impl Fn(LogLine) + Send + Sync + 'static) {
        let _ = self.shared.tell.set(Box::new(tell));
    }

    /// Does what a screen asks for.
    ///
    /// # Errors
    /// Why it cannot be done; then all stays as it was.
    pub fn carry_out(&self, command: BreakpointCommand) -> Result<(), String> {
        let mut points = self.shared.points.lock();
        let find = |points: &Points, id: u64| {
            let at = points.set.iter().position(|it| it.id == id);
            at.ok_or_else(|| format!("there is no breakpoint {id}"))
        };
        match command {
            BreakpointCommand::Add(point) => {
                let id = points.last_id + 1;
                let set = self.point(id, point)?;
                points.last_id = id;
                points.set.push(set);
            }
            BreakpointCommand::Replace { id, point } => {
                let at = find(&points, id)?;
                points.set[at] = self.point(id, point)?;
            }
            BreakpointCommand::Switch { id, on } => {
                let at = find(&points, id)?;
                points.set[at].point.is_on = on;
            }
            BreakpointCommand::Remove { id } => {
                let at = find(&points, id)?;
                points.set.remove(at);
            }
        }
        let filters = points.filter.iter().chain(points.set.iter().map(|set| &set.filter));
        points.watch = Watch::for_filters(filters);
        self.rearm(&points);
        Ok(())
    }

    /// All breakpoints, in the order in which they were set.
    pub fn status(&self) -> Vec<BreakpointStatus> {
        let points = self.shared.points.lock();
        let status = |set: &SetPoint| BreakpointStatus { id: set.id, point: set.point.clone(), hits: set.hits };
        points.set.iter().map(status).collect()
    }

    fn point(&self, id: u64, point: Breakpoint) -> Result<SetPoint, String> {
        let filter = Filter::parse_with(&point.when, &self.shared.saved).map_err(|why| why.to_string())?;
        Ok(SetPoint { id, point, filter, seen: 0, hits: 0 })
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
        let armed = points.filter.is_some()
            || !points.next.is_empty()
            || !points.replies.is_empty()
            || points.set.iter().any(|set| set.point.is_on);
        self.shared.armed.store(armed, Ordering::Release);
    }
}

impl Breakpoints {
    /// The first point that stops a message decides; those that only say a line go on to the next.
    fn ask_points(&self, points: &mut Points, envelope: &Envelope, session: &dyn MessageContext) -> Verdict {
        let Points { set, watch, .. } = points;
        for SetPoint { id, point, filter, seen, hits } in set.iter_mut().filter(|set| set.point.is_on) {
            let is_of_session = point
                .session
                .as_ref()
                .is_none_or(|id| envelope.session.0.simple().to_string().ends_with(&id.replace('-', "")));
            let is_asked_for = point.holds_handshake || !is_handshake(envelope) || names_handshake(&point.when);
            if !is_of_session || !is_asked_for || !filter.matches_in(envelope, &watch.context(session)) {
                continue;
            }
            *seen += 1;
            if *seen <= point.skip {
                continue;
            }
            *hits += 1;
            point.is_on = !point.is_once;
            let reason = format!("breakpoint {id}: {}", point.when);
            if let Some(text) = &point.log {
                let text = if text.is_empty() { &reason } else { text };
                let line = LogLine::new(Level::Info, "breakpoint", format!("{text} (hit {hits})"));
                self.shared.tell.get().into_iter().for_each(|tell| {
                    tell(line.clone().of(envelope.session).about(envelope.seq));
                });
                continue;
            }
            return match point.deadline {
                None => Verdict::Pause(reason),
                Some(millis) => {
                    let then = policy_of(&point.then, envelope);
                    Verdict::PauseFor(Duration::from_millis(millis), reason, Box::new(then))
                }
            };
        }
        Verdict::Continue
    }
}

/// What a session lives on.
const HANDSHAKE: [&str; 3] = [method::INITIALIZE, method::DISCOVER, method::PING];

fn is_handshake(envelope: &Envelope) -> bool {
    envelope.method().is_some_and(|method| HANDSHAKE.contains(&method))
}

fn names_handshake(filter: &str) -> bool {
    HANDSHAKE.iter().any(|method| filter.contains(method))
}

/// What is done when the time is over.
fn policy_of(policy: &BreakpointPolicy, envelope: &Envelope) -> Verdict {
    match policy {
        BreakpointPolicy::Forward => Verdict::Continue,
        BreakpointPolicy::Block => {
            let message = "no decision at a breakpoint in time".to_owned();
            let error = BlockError::JsonRpc { code: ErrorCode::Blocked.number(), message, data: None };
            Verdict::Block(error, Author::Tapline)
        }
        BreakpointPolicy::Answer(result) => match envelope.message.id() {
            Some(id) => {
                let id = Id::token(id);
                let answer = Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#));
                Verdict::Answer(answer, Author::Tapline)
            }
            None => Verdict::Continue,
        },
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
            let verdict = self.ask_points(&mut points, envelope, session);
            self.rearm(&points);
            return verdict;
        };
        self.rearm(&points);
        Verdict::Pause(reason)
    }
}
