//! What was counted, at one moment: plain values, and how those of several taplines add up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BreakpointStatus, RuleStatus, ServedTape, Timestamp};
use crate::envelope::{Direction, SessionId};
use crate::mcp::method;

/// Everything that is counted. Sums are since the start; the rest is as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    pub at: Timestamp,
    /// How many taplines they are of. Where this changes, the sums jump.
    pub taplines: u32,
    pub to_server: Flow,
    pub to_client: Flow,
    /// One for each upstream and method, and name where its method has names.
    pub endpoints: Vec<EndpointFigures>,
    /// Replies that came in batches, which have no endpoint.
    pub batched: Outcomes,
    /// Nanoseconds that tapline itself added to a message, from its arrival until it was handed on.
    pub added: Spread,
    /// When the oldest request that is on its way came in.
    pub oldest: Option<Timestamp>,
    /// Messages that wait for the operator.
    pub held: u64,
    /// Live sessions by their state.
    pub states: BTreeMap<String, u64>,
    /// The sessions with most calls.
    pub sessions: Vec<SessionFigures>,
    pub pools: Vec<PoolFigures>,
    pub journal: JournalLoad,
    pub lint: LintFigures,
    /// Requests that were not let in, by what refused them.
    pub refused: BTreeMap<String, u64>,
    pub retried: u64,
    /// Errors that tapline answered with, by their kind.
    pub errors: BTreeMap<String, u64>,
    /// The rules, in the order in which they are asked.
    pub rules: Vec<RuleStatus>,
    /// What is wrong with files of rules that have changed, a line each: until then the rules stay as they were.
    pub rule_faults: Vec<String>,
    pub breakpoints: Vec<BreakpointStatus>,
    /// The tapes that answer clients.
    pub served: Vec<ServedTape>,
}

/// Messages in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub messages: u64,
    pub notifications: u64,
    pub bytes: u64,
}

/// How many requests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    pub ok: u64,
    /// JSON-RPC errors of the peer.
    pub error: u64,
    /// Tool results with `isError`.
    pub tool: u64,
    /// The upstream did not answer, or with an HTTP status alone.
    pub transport: u64,
    /// The operator or a rule answered with an error.
    pub blocked: u64,
}

impl Outcomes {
    /// Requests that did not end well: errors, failed tools, and those without a reply.
    pub fn failed(&self) -> u64 {
        self.error + self.tool + self.transport + self.blocked
    }

    /// Adds another's counts to these.
    pub fn add(&mut self, other: &Self) {
        self.ok += other.ok;
        self.error += other.error;
        self.tool += other.tool;
        self.transport += other.transport;
        self.blocked += other.blocked;
    }
}

/// What is asked for: a method, and a tool, prompt or resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointFigures {
    /// `None`: the one without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Box<str>>,
    /// The way of the request.
    pub direction: Direction,
    /// `None`: all those for which there was no room any more.
    pub method: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    pub calls: u64,
    pub in_flight: u64,
    /// Requests whose client gave up waiting, and that got no reply.
    pub unanswered: u64,
    pub outcomes: Outcomes,
    /// Microseconds from request to reply, without what either waited for the operator.
    pub took: Spread,
    /// Bytes of the requests that were answered, and of the replies.
    pub asked: Spread,
    pub answered: Spread,
    /// Bytes of the latest reply.
    pub latest: u64,
}

/// About how many tokens of a model's context so many bytes are: the one way in which tokens are counted here. Four bytes a token
/// is good enough to see what fills a context, and needs no model's own dictionary.
pub const fn tokens_of(bytes: u64) -> u64 {
    bytes / 4
}

impl EndpointFigures {
    /// About how many tokens its results have put into a model's context so far.
    pub fn tokens(&self) -> u64 {
        let read_by_a_model = matches!(self.method.as_deref(), Some(method::TOOLS_CALL | method::TOOLS_LIST));
        if read_by_a_model { tokens_of(self.answered.sum) } else { 0 }
    }

    /// About how many tokens its latest result has put into a model's context.
    pub fn latest_tokens(&self) -> u64 {
        tokens_of(self.latest)
    }

    fn is_of(&self, other: &Self) -> bool {
        (self.direction, &self.upstream, &self.method, &self.name)
            == (other.direction, &other.upstream, &other.method, &other.name)
    }

    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.in_flight += other.in_flight;
        self.unanswered += other.unanswered;
        self.outcomes.add(&other.outcomes);
        self.took.add(&other.took);
        self.asked.add(&other.asked);
        self.answered.add(&other.answered);
        self.latest = self.latest.max(other.latest);
    }
}

/// What was counted in one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionFigures {
    pub session: SessionId,
    pub calls: u64,
    pub failed: u64,
    pub took: Spread,
}

/// The children of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFigures {
    /// The name of the upstream; empty where it has none.
    pub name: String,
    /// Children that wait for a client, and those that clients have.
    pub idle: u64,
    pub busy: u64,
    /// Most there may be.
    pub most: u64,
    /// Clients that wait for a child.
    pub waiting: u64,
    /// Since the start: children started, and those that are no more.
    pub started: u64,
    pub died: u64,
    /// Since the start: children that clients got, and for how many microseconds they waited for them.
    pub acquired: u64,
    pub waited: u64,
}

/// What the journal has before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLoad {
    /// Bytes of messages that wait to be written.
    pub waiting: u64,
    /// Messages that passed unrecorded, because too much waited.
    pub refused: u64,
}

/// What lint found, and what it has before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintFigures {
    /// Findings by their code.
    pub found: BTreeMap<String, u64>,
    /// Events that wait to be judged.
    pub waiting: u64,
    /// Events for which there was no room.
    pub missed: u64,
}

/// How values are spread: percentiles to read, and the values themselves, which can be summed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    pub count: u64,
    pub sum: u64,
    pub max: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    /// Each value that occurred, to two digits ([`rounded`]) and in ascending order, and how often it did.
    pub values: Vec<(u64, u64)>,
}

/// A value to two digits, as histograms have them: the least of those that are not told apart, which are less than a hundredth more.
pub fn rounded(value: u64) -> u64 {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(8);
    (value >> shift) << shift
}

impl Spread {
    /// From values in ascending order with how often each occurs: percentiles as exact as the values. The sum is the caller's.
    pub fn of(values: impl Iterator<Item = (u64, u64)> + Clone, sum: u64, max: u64) -> Self {
        let count = values.clone().map(|(_, count)| count).sum();
        let mut spread = Self { count, sum, max, ..Self::default() };
        let mut seen = 0;
        for (value, times) in values {
            let before = seen;
            seen += times;
            let value = value.min(max);
            for (percent, percentile) in [(50, &mut spread.p50), (90, &mut spread.p90), (99, &mut spread.p99)] {
                let rank = rank(count, percent);
                if (before..seen).contains(&rank) {
                    // The last of all is known exactly.
                    *percentile = if rank + 1 == count { max } else { value };
                }
            }
            match spread.values.last_mut() {
                Some((last, sum)) if *last == value => *sum += times,
                _ => spread.values.push((value, times)),
            }
        }
        spread
    }

    /// How many values are at most this.
    pub fn up_to(&self, bound: u64) -> u64 {
        self.values.iter().take_while(|(value, _)| *value <= bound).map(|(_, count)| count).sum()
    }

    /// The values of both: percentiles are as exact as those of each.
    pub fn add(&mut self, other: &Self) {
        if self.count == 0 {
            return self.clone_from(other);
        }
        if other.count == 0 {
            return;
        }
        let mut values = [self.values.as_slice(), &other.values].concat();
        values.sort_unstable();
        *self = Self::of(values.into_iter(), self.sum + other.sum, self.max.max(other.max));
    }
}

/// How many of so many values lie before the one of this percentile.
fn rank(count: u64, percent: u64) -> u64 {
    (count * percent).div_ceil(100).saturating_sub(1)
}

impl Figures {
    /// How all requests ended that have.
    pub fn outcomes(&self) -> Outcomes {
        let mut outcomes = self.batched;
        self.endpoints.iter().for_each(|endpoint| outcomes.add(&endpoint.outcomes));
        outcomes
    }

    /// Requests, both directions together.
    pub fn requests(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.calls).sum()
    }

    /// Messages of all kinds, both directions together.
    pub fn messages(&self) -> u64 {
        self.to_server.messages + self.to_client.messages
    }

    /// Requests that wait for their reply.
    pub fn in_flight(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Requests that will never be answered.
    pub fn unanswered(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.unanswered).sum()
    }

    /// Adds up the figures of several taplines.
    pub fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        all.for_each(|figures| sum.add(figures));
        sum
    }

    fn add(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.taplines += other.taplines;
        for (flow, more) in [(&mut self.to_server, &other.to_server), (&mut self.to_client, &other.to_client)] {
            flow.messages += more.messages;
            flow.notifications += more.notifications;
            flow.bytes += more.bytes;
        }
        for endpoint in &other.endpoints {
            match self.endpoints.iter_mut().find(|known| known.is_of(endpoint)) {
                Some(known) => known.add(endpoint),
                None => self.endpoints.push(endpoint.clone()),
            }
        }
        self.batched.add(&other.batched);
        self.added.add(&other.added);
        self.oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        self.held += other.held;
        self.sessions.extend(other.sessions.iter().cloned());
        self.pools.extend(other.pools.iter().cloned());
        self.rules.extend(other.rules.iter().cloned());
        self.rule_faults.extend(other.rule_faults.iter().cloned());
        self.breakpoints.extend(other.breakpoints.iter().cloned());
        self.served.extend(other.served.iter().cloned());
        self.journal.waiting += other.journal.waiting;
        self.journal.refused += other.journal.refused;
        self.retried += other.retried;
        self.lint.waiting += other.lint.waiting;
        self.lint.missed += other.lint.missed;
        let counts = [
            (&mut self.states, &other.states),
            (&mut self.refused, &other.refused),
            (&mut self.errors, &other.errors),
            (&mut self.lint.found, &other.lint.found),
        ];
        for (counts, more) in counts {
            for (name, count) in more {
                *counts.entry(name.clone()).or_default() += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(values: &[u64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        let max = sorted.last().copied().unwrap_or_default();
        Spread::of(sorted.iter().map(|value| (*value, 1)), sorted.iter().sum(), max)
    }

    fn endpoint(name: &str, calls: u64, took: &[u64]) -> EndpointFigures {
        EndpointFigures {
            upstream: None,
            direction: Direction::ToServer,
            method: Some("tools/call".into()),
            name: Some(name.into()),
            calls,
            in_flight: 1,
            unanswered: 0,
            outcomes: Outcomes { ok: calls - 1, ..Outcomes::default() },
            took: spread(took),
            asked: Spread::default(),
            answered: spread(&[400, 800]),
            latest: 800,
        }
    }

    #[test]
    fn rounded_value_is_that_of_histograms() {
        let mut histogram = hdrhistogram::Histogram::<u32>::new(2).unwrap();
        for value in [0, 10, 255, 256, 257, 511, 515, 1_000, 434_567, 600_000_001] {
            histogram.record(value).unwrap();
            assert_eq!(rounded(value), histogram.lowest_equivalent(value), "{value}");
            assert!(value - rounded(value) <= value / 100, "{value}");
        }
        assert!(rounded(u64::MAX) > u64::MAX / 100 * 99);
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let all: Vec<u64> = (1..=1000).collect();
        let spread = spread(&all);
        assert_eq!((spread.count, spread.sum, spread.max), (1000, 500_500, 1000));
        assert_eq!((spread.p50, spread.p90, spread.p99), (500, 900, 990));
        assert_eq!((spread.up_to(10), spread.up_to(500), spread.up_to(1000)), (10, 500, 1000));

        assert_eq!(Spread::default().p99, 0);
    }

    #[test]
    fn percentiles_of_a_single_value_are_that_value() {
        let spread = spread(&[7]);
        assert_eq!((spread.p50, spread.p90, spread.p99, spread.max), (7, 7, 7, 7));
        let rounded = Spread::of([(655, 1)].into_iter(), 658, 658);
        assert_eq!((rounded.p50, rounded.p99, rounded.max), (658, 658, 658), "one call has one time");
    }

    #[test]
    fn figures_of_several_taplines_add_up() {
        let flow = Flow { messages: 3, notifications: 1, bytes: 100 };
        let one = Figures {
            at: Timestamp(10),
            taplines: 1,
            to_server: flow,
            endpoints: vec![endpoint("search", 3, &[10, 20]), endpoint("read", 2, &[5])],
            oldest: Some(Timestamp(4)),
            states: BTreeMap::from([("active".to_owned(), 2)]),
            ..Figures::default()
        };
        let other = Figures {
            at: Timestamp(9),
            endpoints: vec![endpoint("search", 2, &[1000])],
            oldest: Some(Timestamp(3)),
            states: BTreeMap::from([("active".to_owned(), 1), ("new".to_owned(), 1)]),
            ..one.clone()
        };
        let sum = Figures::sum([&one, &other].into_iter());
        assert_eq!((sum.at, sum.taplines, sum.oldest), (Timestamp(10), 2, Some(Timestamp(3))));
        assert_eq!((sum.to_server.messages, sum.requests(), sum.in_flight()), (6, 7, 3));
        assert_eq!(sum.outcomes().ok, 4);
        assert_eq!(sum.endpoints.len(), 2);
        assert_eq!((sum.endpoints[0].calls, sum.endpoints[0].took.max, sum.endpoints[0].tokens()), (5, 1000, 600));
        assert_eq!(sum.states, BTreeMap::from([("active".to_owned(), 3), ("new".to_owned(), 1)]));
        assert_eq!(Figures::sum([&one].into_iter()), one, "one alone is as it was");
    }

    proptest! {
        #[test]
        fn merge_is_that_of_all_values(one in prop::collection::vec(0_u64..2_000_000_000, 1..60),
                                       other in prop::collection::vec(0_u64..2_000_000_000, 1..60)) {
            let mut merged = spread(&one);
            merged.add(&spread(&other));
            let all = spread(&[one, other].concat());
            prop_assert_eq!(merged, all);
        }
    }
}
