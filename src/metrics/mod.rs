//! Counting what passes: totals, and for each upstream, method and name how often, how fast, how large, how it ended.
//!
//! Counted by the spine itself, so that every figure is exact; the feeds of screens lose events. Names are the peers', so
//! their number is bounded. Owns the counts; where sessions and children stand is asked of their owners ([`Gauges`]).
//!
//! Percentiles are those of HDR histograms, whose values are handed on, too: what is summed, over names, methods or taplines, is as exact.

mod endpoint;
pub mod prometheus;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::envelope::{Author, Direction, Envelope, Outcome};
use crate::event::figures::{
    EndpointFigures, Figures, Flow, JournalLoad, LintFigures, Outcomes, PoolFigures, SessionFigures,
};
use crate::event::{BreakpointStatus, RuleStatus, ServedTape, Timestamp};
use crate::mcp::error_code::ErrorCode;
use crate::message::{Kind, Message};
pub use endpoint::RequestTimer;
use endpoint::{Endpoints, Histogram};
pub use session::SessionMetrics;

/// The counts of one tapline.
#[derive(Default)]
pub struct Metrics {
    to_server: DirectionMetrics,
    to_client: DirectionMetrics,
    upstreams: Mutex<BTreeMap<Option<String>, Arc<UpstreamMetrics>>>,
    batched: EndCounters,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    retried: AtomicU64,
}

/// What is counted of the messages of one direction.
#[derive(Default)]
struct DirectionMetrics {
    messages: AtomicU64,
    notifications: AtomicU64,
    bytes: AtomicU64,
    /// Time that tapline itself added to a message, in nanoseconds.
    added: Mutex<Histogram>,
}

/// What is asked of one upstream, and what that asks its clients.
#[derive(Default)]
pub struct UpstreamMetrics {
    to_server: Endpoints,
    to_client: Endpoints,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    Ok,
    Error,
    Tool,
    Transport,
    Blocked,
}

/// How many requests ended with each [`RequestEnd`].
#[derive(Default)]
struct EndCounters([AtomicU64; 5]);

impl Metrics {
    /// The counts of the upstream of that name; `None` is the one without a name.
    pub fn upstream(&self, name: Option<String>) -> Arc<UpstreamMetrics> {
        self.upstreams.lock().entry(name).or_default().clone()
    }

    /// Counts a message that is handed on, or stopped for good. `came`: when it arrived, later by the time it was held; `timer`:
    /// that of the request it answers.
    pub fn passed(&self, envelope: &Envelope, came: Instant, timer: Option<RequestTimer>, session: &SessionMetrics) {
        let (way, size) = (self.way(envelope.direction), envelope.message.raw().len() as u64);
        way.messages.fetch_add(1, Ordering::Relaxed);
        way.bytes.fetch_add(size, Ordering::Relaxed);
        match envelope.kind() {
            Kind::Notification => {
                way.notifications.fetch_add(1, Ordering::Relaxed);
            }
            Kind::Batch => self.batch(envelope, session),
            _ => {}
        }
        if let (Some(timer), Some(to)) = (timer.filter(RequestTimer::is_counted), &envelope.reply_to) {
            let end = match RequestEnd::of(&envelope.message, &envelope.outcome) {
                // Its carrier says it, where its body does not.
                RequestEnd::Ok if envelope.is_failure() => RequestEnd::Transport,
                end => end,
            };
            session.count(end, timer.finish(to.took, size, end));
        }
        if envelope.was_sent() {
            way.added.lock().record(u64::try_from(came.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// Counts a request that was not let in; `by` is what refused it.
    pub fn refused(&self, by: &'static str) {
        *self.refused.lock().entry(by).or_default() += 1;
    }

    /// Counts an error of this kind that tapline answered with.
    pub fn error(&self, kind: &'static str) {
        *self.errors.lock().entry(kind).or_default() += 1;
    }

    /// Counts a request that was tried once more.
    pub fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    fn way(&self, direction: Direction) -> &DirectionMetrics {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// Replies in a batch (revision 2025-03-26) are not told apart by what they answer, and its requests not timed.
    fn batch(&self, envelope: &Envelope, session: &SessionMetrics) {
        for element in envelope.message.elements() {
            match element.kind() {
                Kind::Request => {
                    let upstream = session.upstream(|| self.upstream(None));
                    upstream.start(envelope.direction, &element).finish_in_batch();
                }
                kind if kind.is_reply() => self.batched.count(RequestEnd::of(&element, &envelope.outcome)),
                _ => {}
            }
        }
    }

    /// Changes with everything that is counted.
    fn pulse(&self) -> u64 {
        let rare = self.refused.lock().values().sum::<u64>() + self.errors.lock().values().sum::<u64>();
        let passed = [&self.to_server, &self.to_client].map(|way| way.messages.load(Ordering::Relaxed));
        let asked = self.upstreams.lock().values().map(|upstream| upstream.pulse()).sum::<u64>();
        passed.iter().sum::<u64>() + asked + rare + self.retried.load(Ordering::Relaxed)
    }

    fn figures(&self) -> Figures {
        let upstreams = self.upstreams.lock().clone();
        let endpoints = upstreams.iter().flat_map(|(name, upstream)| upstream.figures(name.as_deref()));
        let mut added = self.to_server.added.lock().spread();
        added.add(&self.to_client.added.lock().spread());
        let owned = |counts: &Mutex<BTreeMap<&'static str, u64>>| {
            counts.lock().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        Figures {
            at: Timestamp::now(),
            taplines: 1,
            to_server: self.to_server.flow(),
            to_client: self.to_client.flow(),
            endpoints: endpoints.collect(),
            batched: self.batched.outcomes(),
            added,
            refused: owned(&self.refused),
            errors: owned(&self.errors),
            retried: self.retried.load(Ordering::Relaxed),
            ..Figures::default()
        }
    }
}

impl UpstreamMetrics {
    /// Counts a request that is sent, and starts its timer.
    pub fn start(&self, direction: Direction, request: &Message) -> RequestTimer {
        match direction {
            Direction::ToServer => self.to_server.start(request),
            Direction::ToClient => self.to_client.start(request),
        }
    }

    fn pulse(&self) -> u64 {
        [&self.to_server, &self.to_client].map(Endpoints::pulse).iter().sum()
    }

    fn figures(&self, upstream: Option<&str>) -> Vec<EndpointFigures> {
        let mut endpoints = self.to_server.figures(Direction::ToServer);
        endpoints.extend(self.to_client.figures(Direction::ToClient));
        endpoints.iter_mut().for_each(|endpoint| endpoint.upstream = upstream.map(Into::into));
        endpoints
    }
}

impl DirectionMetrics {
    fn flow(&self) -> Flow {
        Flow {
            messages: self.messages.load(Ordering::Relaxed),
            notifications: self.notifications.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl RequestEnd {
    fn of(reply: &Message, outcome: &Outcome) -> Self {
        match (reply.kind(), outcome) {
            (kind, _) if kind != Kind::Error && !reply.is_failed_result() => Self::Ok,
            // As at the deadline of a breakpoint.
            (Kind::Error, Outcome::Injected(Author::Tapline)) if ErrorCode::of(reply) == Some(ErrorCode::Blocked) => {
                Self::Blocked
            }
            (Kind::Error, Outcome::Injected(Author::Tapline)) => Self::Transport,
            (_, Outcome::Injected(Author::Operator | Author::Rule(_))) => Self::Blocked,
            (Kind::Error, _) => Self::Error,
            _ => Self::Tool,
        }
    }
}

impl EndCounters {
    fn count(&self, end: RequestEnd) {
        self.0[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn outcomes(&self) -> Outcomes {
        let count = |end: RequestEnd| self.0[end as usize].load(Ordering::Relaxed);
        Outcomes {
            ok: count(RequestEnd::Ok),
            error: count(RequestEnd::Error),
            tool: count(RequestEnd::Tool),
            transport: count(RequestEnd::Transport),
            blocked: count(RequestEnd::Blocked),
        }
    }
}

/// What is not counted, but read at the moment it is asked for: where sessions, children and the journal stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    pub oldest: Option<Timestamp>,
    pub held: u64,
    pub states: BTreeMap<String, u64>,
    pub sessions: Vec<SessionFigures>,
    pub pools: Vec<PoolFigures>,
    pub journal: JournalLoad,
    pub lint: LintFigures,
    pub rules: Vec<RuleStatus>,
    pub rule_faults: Vec<String>,
    pub breakpoints: Vec<BreakpointStatus>,
    pub served: Vec<ServedTape>,
}

/// Reads all figures when they are asked for.
pub struct Meter {
    metrics: Arc<Metrics>,
    /// Changes with what gauges read and nothing counts.
    changes: Box<dyn Fn() -> Vec<u64> + Send + Sync>,
    gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
}

/// What tells whether there is anything new.
#[derive(Default, PartialEq)]
pub struct FiguresVersion {
    pulse: u64,
    changes: Vec<u64>,
}

impl Meter {
    /// `changes`: changes whenever `gauges` do, and costs nothing where thousands of sessions are idle.
    pub fn new(
        metrics: Arc<Metrics>,
        changes: impl Fn() -> Vec<u64> + Send + Sync + 'static,
        gauges: impl Fn() -> Gauges + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { metrics, changes: Box::new(changes), gauges: Box::new(gauges) })
    }

    /// A copy of all figures at this moment.
    pub fn figures(&self) -> Figures {
        self.read((self.gauges)())
    }

    /// The figures, where anything changed since the last glance.
    pub fn news(&self, last: &mut FiguresVersion) -> Option<Figures> {
        let glance = FiguresVersion { pulse: self.metrics.pulse(), changes: (self.changes)() };
        if glance == *last {
            return None;
        }
        *last = glance;
        Some(self.figures())
    }

    fn read(&self, gauges: Gauges) -> Figures {
        let Gauges { oldest, held, states, sessions, pools, journal, lint, rules, rule_faults, breakpoints, served } =
            gauges;
        let counted = self.metrics.figures();
        Figures {
            oldest,
            held,
            states,
            sessions,
            pools,
            journal,
            lint,
            rules,
            rule_faults,
            breakpoints,
            served,
            ..counted
        }
    }
}

#[cfg(test)]
mod tests;
