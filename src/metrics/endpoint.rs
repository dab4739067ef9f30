//! What is counted of one method, or of one tool, prompt or resource; and a request on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;

use super::{EndCounters, RequestEnd};
use crate::envelope::Direction;
use crate::event::figures::{EndpointFigures, Spread};
use crate::mcp::method;
use crate::message::{Message, Subject};

/// Endpoints that are told apart; names are the peers', and there is no end to what a peer can name.
const MOST: usize = 500;
/// Longest method or name that has an endpoint of its own, in bytes.
const LONGEST: usize = 256;

/// The endpoints that requests of one direction go to.
#[derive(Default)]
pub(super) struct Endpoints {
    known: DashMap<Arc<Subject>, Arc<EndpointMetrics>>,
    other: Arc<EndpointMetrics>,
}

#[derive(Default)]
pub(super) struct EndpointMetrics {
    calls: AtomicU64,
    in_flight: AtomicU64,
    unanswered: AtomicU64,
    ends: EndCounters,
    latest: AtomicU64,
    /// Made with the first reply.
    measured: Mutex<Option<Box<Measured>>>,
}

#[derive(Default)]
struct Measured {
    took: Histogram,
    asked: Histogram,
    answered: Histogram,
}

impl Endpoints {
    pub(super) fn start(&self, request: &Message) -> RequestTimer {
        let endpoint = match &request.head().subject {
            Some(subject) => self.of(subject),
            None => self.other.clone(),
        };
        endpoint.calls.fetch_add(1, Ordering::Relaxed);
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        RequestTimer { endpoint, size: request.raw().len() as u64, held: 0, state: State::Pending, is_counted: true }
    }

    fn of(&self, subject: &Arc<Subject>) -> Arc<EndpointMetrics> {
        if let Some(endpoint) = self.known.get::<Subject>(subject) {
            return endpoint.clone();
        }
        if subject.name.is_some() && !has_names(&subject.method) {
            return self.of(&Arc::new(Subject { method: subject.method.clone(), name: None }));
        }
        let is_long = subject.method.len() > LONGEST || subject.name.as_ref().is_some_and(|it| it.len() > LONGEST);
        if is_long || self.known.len() >= MOST {
            return self.other.clone();
        }
        match self.known.entry(subject.clone()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(free) => free.insert(Arc::default()).clone(),
        }
    }

    /// Changes with what no message tells of.
    pub(super) fn pulse(&self) -> u64 {
        self.known.iter().map(|endpoint| endpoint.pulse()).sum::<u64>() + self.other.pulse()
    }

    /// Returns the figures of each method and tool, the most called first.
    pub(super) fn figures(&self, direction: Direction) -> Vec<EndpointFigures> {
        let mut all: Vec<_> = self
            .known
            .iter()
            .map(|entry| {
                let Subject { method, name } = &**entry.key();
                EndpointFigures { name: name.clone(), ..entry.figures(direction, Some(method.clone())) }
            })
            .collect();
        let other = self.other.figures(direction, None);
        all.extend((other.calls > 0).then_some(other));
        all.sort_by(|one, other| {
            let key = |it: &EndpointFigures| (it.method.clone(), it.name.clone());
            other.calls.cmp(&one.calls).then_with(|| key(one).cmp(&key(other)))
        });
        all
    }
}

/// Whether the name of a request is one of few: that of a task, say, is new each time.
fn has_names(method: &str) -> bool {
    matches!(
        method,
        method::TOOLS_CALL
            | method::PROMPTS_GET
            | method::RESOURCES_READ
            | method::RESOURCES_SUBSCRIBE
            | method::RESOURCES_UNSUBSCRIBE
    )
}

impl EndpointMetrics {
    fn pulse(&self) -> u64 {
        let [calls, unanswered, in_flight] =
            [&self.calls, &self.unanswered, &self.in_flight].map(|count| count.load(Ordering::Relaxed));
        // Apart from the others: what one of them gains must not hide what another loses.
        calls + (unanswered << 24) + (in_flight << 44)
    }

    fn figures(&self, direction: Direction, method: Option<Box<str>>) -> EndpointFigures {
        let measured = self.measured.lock();
        let spread = |of: fn(&Measured) -> &Histogram| measured.as_ref().map(|it| of(it).spread()).unwrap_or_default();
        EndpointFigures {
            upstream: None,
            direction,
            method,
            name: None,
            calls: self.calls.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            unanswered: self.unanswered.load(Ordering::Relaxed),
            outcomes: self.ends.outcomes(),
            took: spread(|measured| &measured.took),
            asked: spread(|measured| &measured.asked),
            answered: spread(|measured| &measured.answered),
            latest: self.latest.load(Ordering::Relaxed),
        }
    }
}

/// A request that waits for its reply, counted as in flight until it is finished. Dropping it abandons it.
pub struct RequestTimer {
    endpoint: Arc<EndpointMetrics>,
    size: u64,
    /// How long it was held for the operator, in microseconds.
    held: u64,
    state: State,
    /// It is a call of somebody's.
    is_counted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    /// The client gave up waiting; its reply may come all the same.
    Abandoned,
    /// The request has ended.
    Finished,
}

impl RequestTimer {
    /// Of a request that is nobody's: a process is told what another was told.
    pub fn uncounted() -> Self {
        Self { endpoint: Arc::default(), size: 0, held: 0, state: State::Pending, is_counted: false }
    }

    /// Whether it is a call of somebody's.
    pub(super) fn is_counted(&self) -> bool {
        self.is_counted
    }

    /// Takes the time out that it was held for the operator before it was sent, in microseconds.
    pub fn delay(&mut self, micros: u64) {
        self.held += micros;
    }

    /// Microseconds that it was held for the operator: nobody's latency.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether its client still waits for the reply.
    pub fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// Notes that its client gave up waiting; the reply may come all the same. Returns whether it did wait.
    pub fn abandon(&mut self) -> bool {
        let waited = self.is_pending();
        if waited {
            self.state = State::Abandoned;
            self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.endpoint.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        waited
    }

    /// Ends it with something else than a reply.
    pub fn fail(&mut self) {
        if self.state == State::Pending {
            self.endpoint.ends.count(RequestEnd::Transport);
            self.close();
        }
    }

    /// Ends it with its reply, which is `size` bytes long and took so many microseconds. Returns these where an answer of the peer was
    /// waited for.
    pub(super) fn finish(mut self, took: u64, size: u64, end: RequestEnd) -> Option<u64> {
        if self.state == State::Finished {
            return None;
        }
        self.endpoint.ends.count(end);
        self.close();
        if matches!(end, RequestEnd::Transport | RequestEnd::Blocked) {
            return None;
        }
        self.endpoint.latest.store(size, Ordering::Relaxed);
        let mut measured = self.endpoint.measured.lock();
        let measured = measured.get_or_insert_default();
        measured.took.record(took);
        measured.asked.record(self.size);
        measured.answered.record(size);
        Some(took)
    }

    /// Ends it as a part of a batch: how it ends is not known of it alone.
    pub(super) fn finish_in_batch(mut self) {
        self.close();
    }

    fn close(&mut self) {
        match self.state {
            State::Pending => {
                self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
            State::Abandoned => {
                self.endpoint.unanswered.fetch_sub(1, Ordering::Relaxed);
            }
            State::Finished => {}
        }
        self.state = State::Finished;
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Values with their sum, to two digits.
pub(super) struct Histogram {
    values: hdrhistogram::Histogram<u32>,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let values = hdrhistogram::Histogram::new(2).expect("two digits are between none and five");
        Self { values, sum: 0, max: 0 }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, value: u64) {
        // It grows with the values; one that no memory is left for is not counted.
        if self.values.record(value).is_ok() {
            self.sum = self.sum.saturating_add(value);
            self.max = self.max.max(value);
        }
    }

    pub(super) fn spread(&self) -> Spread {
        let values = self.values.iter_recorded();
        let values: Vec<_> = values
            .map(|it| (self.values.lowest_equivalent(it.value_iterated_to()), it.count_since_last_iteration()))
            .collect();
        Spread::of(values.into_iter(), self.sum, self.max)
    }
}
