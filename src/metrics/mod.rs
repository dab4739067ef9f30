//! Counting what passes: totals, and for each upstream, method and name how often, how fast, how large, how it ended.
//!
//! Counted by the spine itself, so that every figure is exact; the feeds of screens lose events. Names are the peers', so
//! their number is bounded. Owns the counts; where sessions and children stand is asked of their owners ([`Gauges`]).
//!
//! Percentiles are those of HDR histograms; 64 log-linear buckets beside them are for sums over several taplines.

mod endpoint;
pub mod prometheus;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::envelope::{Author, Direction, Envelope, Outcome};
use crate::event::Timestamp;
use crate::event::figures::{EndpointFigures, Figures, Flow, JournalLoad, Outcomes, PoolFigures, SessionFigures};
use crate::message::{Kind, Message};
pub use endpoint::Flight;
use endpoint::{Endpoints, Histogram};
pub use tally::Tally;

/// The counts of one tapline.
#[derive(Default)]
pub struct Metrics {
    to_server: Way,
    to_client: Way,
    ledgers: Mutex<BTreeMap<Option<String>, Arc<Ledger>>>,
    batched: Ends,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    retried: AtomicU64,
}

/// What is counted of one direction.
#[derive(Default)]
struct Way {
    messages: AtomicU64,
    notifications: AtomicU64,
    bytes: AtomicU64,
    /// Nanoseconds.
    added: Mutex<Histogram>,
}

/// What is asked of one upstream, and what that asks its clients.
#[derive(Default)]
pub struct Ledger {
    to_server: Endpoints,
    to_client: Endpoints,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Ok,
    Error,
    Tool,
    Transport,
    Blocked,
}

/// Counters of [`End`]s.
#[derive(Default)]
struct Ends([AtomicU64; 5]);

impl Metrics {
    /// Where the requests of an upstream are entered; `None` is the one without a name.
    pub fn ledger(&self, upstream: Option<String>) -> Arc<Ledger> {
        self.ledgers.lock().entry(upstream).or_default().clone()
    }

    /// A message is handed on, or stopped for good. `came`: when it arrived, without the time it was held; `flight`: of the
    /// request that it answers.
    pub fn passed(&self, envelope: &Envelope, came: Instant, flight: Option<Flight>, tally: &Tally) {
        let (way, size) = (self.way(envelope.direction), envelope.message.raw().len() as u64);
        way.messages.fetch_add(1, Ordering::Relaxed);
        way.bytes.fetch_add(size, Ordering::Relaxed);
        match envelope.kind() {
            Kind::Notification => drop(way.notifications.fetch_add(1, Ordering::Relaxed)),
            Kind::Batch => self.batch(envelope, tally),
            _ => {}
        }
        if let (Some(flight), Some(to)) = (flight, &envelope.reply_to) {
            let end = End::of(&envelope.message, &envelope.outcome);
            tally.count(end, flight.lands(to.took, size, end));
        }
        if envelope.was_sent() {
            way.added.lock().record(u64::try_from(came.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// A request was not let in; `by` is what refused it.
    pub fn refused(&self, by: &'static str) {
        *self.refused.lock().entry(by).or_default() += 1;
    }

    /// tapline answered with an error of its own, of this kind.
    pub fn error(&self, kind: &'static str) {
        *self.errors.lock().entry(kind).or_default() += 1;
    }

    /// A request was tried once more.
    pub fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// Replies in a batch (revision 2025-03-26) are not told apart by what they answer, and its requests not timed.
    fn batch(&self, envelope: &Envelope, tally: &Tally) {
        for element in envelope.message.elements() {
            match element.kind() {
                Kind::Request => {
                    let ledger = tally.ledger(|| self.ledger(None));
                    ledger.departs(envelope.direction, &element).arrives_with_others();
                }
                kind if kind.is_reply() => self.batched.count(End::of(&element, &envelope.outcome)),
                _ => {}
            }
        }
    }

    /// Changes with everything that is counted.
    fn pulse(&self) -> u64 {
        let rare = self.refused.lock().values().sum::<u64>() + self.errors.lock().values().sum::<u64>();
        let passed = [&self.to_server, &self.to_client].map(|way| way.messages.load(Ordering::Relaxed));
        let asked = self.ledgers.lock().values().map(|ledger| ledger.pulse()).sum::<u64>();
        passed.iter().sum::<u64>() + asked + rare + self.retried.load(Ordering::Relaxed)
    }

    fn figures(&self) -> Figures {
        let ledgers = self.ledgers.lock().clone();
        let endpoints = ledgers.iter().flat_map(|(upstream, ledger)| ledger.figures(upstream.as_deref()));
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

impl Ledger {
    /// A request sets out.
    pub fn departs(&self, direction: Direction, request: &Message) -> Flight {
        match direction {
            Direction::ToServer => self.to_server.departs(request),
            Direction::ToClient => self.to_client.departs(request),
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

impl Way {
    fn flow(&self) -> Flow {
        Flow {
            messages: self.messages.load(Ordering::Relaxed),
            notifications: self.notifications.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

impl End {
    fn of(reply: &Message, outcome: &Outcome) -> Self {
        match (reply.kind(), outcome) {
            (Kind::Error, Outcome::Injected(Author::Tapline)) => Self::Transport,
            (_, Outcome::Injected(Author::Operator | Author::Rule(_))) => Self::Blocked,
            (Kind::Error, _) => Self::Error,
            _ if reply.is_failed_result() => Self::Tool,
            _ => Self::Ok,
        }
    }
}

impl Ends {
    fn count(&self, end: End) {
        self.0[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn outcomes(&self) -> Outcomes {
        let count = |end: End| self.0[end as usize].load(Ordering::Relaxed);
        Outcomes {
            ok: count(End::Ok),
            error: count(End::Error),
            tool: count(End::Tool),
            transport: count(End::Transport),
            blocked: count(End::Blocked),
        }
    }
}

/// What is not counted but so at the moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauges {
    pub oldest: Option<Timestamp>,
    pub held: u64,
    pub states: BTreeMap<String, u64>,
    pub sessions: Vec<SessionFigures>,
    pub pools: Vec<PoolFigures>,
    pub journal: JournalLoad,
}

/// Reads all figures, when somebody wants to see them.
pub struct Meter {
    metrics: Arc<Metrics>,
    gauges: Box<dyn Fn() -> Gauges + Send + Sync>,
}

/// What tells whether there is anything new.
#[derive(Default, PartialEq)]
pub struct Glance {
    pulse: u64,
    gauges: Gauges,
}

impl Meter {
    pub fn new(metrics: Arc<Metrics>, gauges: impl Fn() -> Gauges + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { metrics, gauges: Box::new(gauges) })
    }

    pub fn figures(&self) -> Figures {
        self.read((self.gauges)())
    }

    /// The figures, where anything changed since the last glance.
    pub fn news(&self, last: &mut Glance) -> Option<Figures> {
        let glance = Glance { pulse: self.metrics.pulse(), gauges: (self.gauges)() };
        if glance == *last {
            return None;
        }
        let figures = self.read(glance.gauges.clone());
        *last = glance;
        Some(figures)
    }

    fn read(&self, gauges: Gauges) -> Figures {
        let Gauges { oldest, held, states, sessions, pools, journal } = gauges;
        Figures { oldest, held, states, sessions, pools, journal, ..self.metrics.figures() }
    }
}

#[cfg(test)]
mod tests;
