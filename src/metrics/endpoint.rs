//! What is counted of one method, or of one tool, prompt or resource; and a request on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parking_lot::Mutex;

use super::{End, Ends};
use crate::envelope::Direction;
use crate::event::figures::{EndpointFigures, Spread};
use crate::message::{Message, Subject};

/// Endpoints that are told apart; names are the peers', and there is no end to what a peer can name.
const MOST: usize = 500;
/// Longest method or name that has an endpoint of its own, in bytes.
const LONGEST: usize = 256;

/// The endpoints that requests of one direction go to.
#[derive(Default)]
pub(super) struct Endpoints {
    known: DashMap<Arc<Subject>, Arc<Endpoint>>,
    other: Arc<Endpoint>,
}

#[derive(Default)]
pub(super) struct Endpoint {
    calls: AtomicU64,
    in_flight: AtomicU64,
    unanswered: AtomicU64,
    ends: Ends,
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
    pub(super) fn departs(&self, request: &Message) -> Flight {
        let endpoint = match &request.head().subject {
            Some(subject) => self.of(subject),
            None => self.other.clone(),
        };
        endpoint.calls.fetch_add(1, Ordering::Relaxed);
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight { endpoint, size: request.raw().len() as u64, held: 0, state: State::Aloft }
    }

    fn of(&self, subject: &Arc<Subject>) -> Arc<Endpoint> {
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

    /// Most called first.
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
    matches!(method, "tools/call" | "prompts/get" | "resources/read" | "resources/subscribe" | "resources/unsubscribe")
}

impl Endpoint {
    fn pulse(&self) -> u64 {
        self.calls.load(Ordering::Relaxed) + self.unanswered.load(Ordering::Relaxed)
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

/// A request that waits for its reply. Dropped, it is on its way no more.
pub struct Flight {
    endpoint: Arc<Endpoint>,
    size: u64,
    /// Microseconds.
    held: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Aloft,
    /// Nobody waits for it any more; its reply may come all the same.
    Lost,
    /// It has its end.
    Landed,
}

impl Flight {
    /// It waited for the operator before it set out.
    pub fn waited(&mut self, micros: u64) {
        self.held += micros;
    }

    /// Somebody waits for its reply.
    pub fn is_aloft(&self) -> bool {
        self.state == State::Aloft
    }

    /// Nobody waits for its reply any more.
    pub fn lost(&mut self) {
        if self.state == State::Aloft {
            self.state = State::Lost;
            self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.endpoint.unanswered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its end is something else than a reply.
    pub fn fails(&mut self) {
        if self.state == State::Aloft {
            self.endpoint.ends.count(End::Transport);
            self.land();
        }
    }

    /// Its reply is there, so many microseconds after it came. Gives the time without that in which it was held, where an
    /// answer of the peer was waited for.
    pub(super) fn lands(mut self, took: u64, size: u64, end: End) -> Option<u64> {
        if self.state == State::Landed {
            return None;
        }
        self.endpoint.ends.count(end);
        self.land();
        let took = took.saturating_sub(self.held);
        if matches!(end, End::Transport | End::Blocked) {
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

    /// It is part of a batch: how it ends is not known of it alone.
    pub(super) fn arrives_with_others(mut self) {
        self.land();
    }

    fn land(&mut self) {
        match self.state {
            State::Aloft => drop(self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed)),
            State::Lost => drop(self.endpoint.unanswered.fetch_sub(1, Ordering::Relaxed)),
            State::Landed => {}
        }
        self.state = State::Landed;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.lost();
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
