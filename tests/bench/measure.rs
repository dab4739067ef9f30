//! The scenarios: each contender in turn, round after round; what is told is medians of rounds.

use std::time::{Duration, Instant};

use crate::client::{BURST, Client, ECHO, PACED};
use crate::peers::{after, now, number};
use crate::process::{Cpus, Peer, beside, can_pin};
use crate::table::{Line, Row};

/// How much is measured.
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// Calls a round of the sequential scenario.
    pub(crate) calls: usize,
    /// How long a round of the concurrent one takes.
    span: Duration,
    /// Events of a burst.
    events: usize,
    /// Events of a paced stream.
    paced: usize,
    /// Idle sessions.
    pub(crate) sessions: usize,
}

pub(crate) const FULL: Sizes =
    Sizes { rounds: 11, calls: 4_000, span: Duration::from_millis(400), events: 10_000, paced: 150, sessions: 9_500 };
pub(crate) const QUICK: Sizes =
    Sizes { rounds: 5, calls: 1_000, span: Duration::from_millis(150), events: 10_000, paced: 50, sessions: 2_000 };

/// The contenders, running.
pub(crate) struct Stage {
    cpus: Cpus,
    /// Direct, pass-through, tapline.
    peers: [Peer; 3],
    _tapes: tempfile::TempDir,
}

/// A figure of each contender.
pub(crate) type Three = [f64; 3];

impl Stage {
    pub(crate) fn on_one_cpu() -> Self {
        if !can_pin() {
            println!("`taskset` is not there: what should sit on one CPU does not, and waking adds to the figures");
        }
        Self::start(Cpus::One)
    }

    pub(crate) fn on_all_cpus() -> Self {
        Self::start(Cpus::All)
    }

    fn start(cpus: Cpus) -> Self {
        let tapes = tempfile::tempdir().unwrap();
        let upstream = Peer::start("upstream", &[], cpus);
        let pass_through = Peer::start("pass-through", &[&upstream.url()], cpus);
        let tapline = Peer::start("tapline", &[&upstream.url(), tapes.path().to_str().unwrap()], cpus);
        Self { cpus, peers: [upstream, pass_through, tapline], _tapes: tapes }
    }

    /// One caller, one connection, one call after the other.
    pub(crate) fn latency(&mut self, sizes: &Sizes) -> Vec<Row> {
        let rounds = self.rounds(sizes, |peer, client| {
            let mut call = client.prepare(ECHO, 0);
            let mut times = Vec::with_capacity(sizes.calls);
            let cpu = peer.cpu();
            for _ in 0..sizes.calls {
                let sent = Instant::now();
                client.call(&mut call, |_| {}).unwrap();
                times.push(micros(sent.elapsed()));
            }
            (median(times), cpu_each(peer, cpu, sizes.calls))
        });
        let latencies: Vec<Three> = rounds.iter().map(|round| round.map(|(p50, _)| p50)).collect();
        let cpu: Vec<Three> = rounds.iter().map(|round| round.map(|(_, cpu)| cpu)).collect();
        vec![
            row("p50 of a call, 1 caller, 1 CPU", "us", &latencies, Line::None),
            added("  what of it was added", "us", &latencies, Line::AtMostTimes(1.4)),
            row("  CPU a call", "us", &cpu, Line::AtMostTimes(1.4)),
        ]
    }

    /// A stream with a pause between its events: how long the first and the others take to arrive.
    pub(crate) fn paced(&mut self, sizes: &Sizes) -> Vec<Row> {
        let few = Sizes { rounds: sizes.rounds.min(5), ..*sizes };
        let rounds = self.rounds(&few, |_, client| {
            let mut call = client.prepare(PACED, sizes.paced);
            let mut delays = Vec::with_capacity(sizes.paced);
            let (mut first, sent) = (None, Instant::now());
            let arrived = |bytes: &[u8]| {
                first.get_or_insert_with(|| sent.elapsed());
                if let Some(at) = after(bytes, br#""at":"#) {
                    delays.push(micros(Duration::from_nanos(now().saturating_sub(number(at)))));
                }
            };
            client.call(&mut call, arrived).unwrap();
            (micros(first.unwrap()), median(delays))
        });
        let first: Vec<Three> = rounds.iter().map(|round| round.map(|(first, _)| first)).collect();
        let paced: Vec<Three> = rounds.iter().map(|round| round.map(|(_, paced)| paced)).collect();
        vec![
            added("SSE, first event: added", "us", &first, Line::AtMost(1000.0)),
            added("SSE, one event each 2 ms: added", "us", &paced, Line::AtMost(100.0)),
        ]
    }

    /// Several callers at once, each with a session and a connection of its own.
    pub(crate) fn throughput(&mut self, sizes: &Sizes, callers: usize) -> Vec<Row> {
        let mut clients = self.peers.each_ref().map(|peer| connect(peer, callers));
        let rounds: Vec<[(f64, f64); 3]> = std::iter::repeat_with(|| {
            let mut contenders = self.peers.iter().zip(&mut clients);
            std::array::from_fn(|_| {
                let (peer, clients) = contenders.next().unwrap();
                let (cpu, started) = (peer.cpu(), Instant::now());
                let calls = calls_within(sizes.span, clients);
                (calls as f64 / started.elapsed().as_secs_f64(), cpu_each(peer, cpu, calls))
            })
        })
        .skip(1)
        .take(sizes.rounds)
        .collect();
        let calls: Vec<Three> = rounds.iter().map(|round| round.map(|(calls, _)| calls)).collect();
        let cpu: Vec<Three> = rounds.iter().map(|round| round.map(|(_, cpu)| cpu)).collect();
        vec![
            row(&format!("throughput, {callers} callers"), "calls/s", &calls, Line::AtLeastTimes(0.8)),
            row("  CPU a call", "us", &cpu, Line::None),
        ]
    }

    /// As many events as the upstream can send.
    pub(crate) fn burst(&mut self, sizes: &Sizes) -> Vec<Row> {
        let rounds = self.rounds(sizes, |peer, client| {
            let mut call = client.prepare(BURST, sizes.events);
            let mut lines = 0;
            let (cpu, sent) = (peer.cpu(), Instant::now());
            client.call(&mut call, |bytes| lines += memchr::memchr_iter(b'\n', bytes).count()).unwrap();
            let rate = sizes.events as f64 / sent.elapsed().as_secs_f64();
            // Each event is three lines; the last one is the result.
            assert_eq!(lines, 3 * (sizes.events + 1), "every event arrives");
            (rate, cpu_each(peer, cpu, sizes.events))
        });
        let rates: Vec<Three> = rounds.iter().map(|round| round.map(|(rate, _)| rate)).collect();
        let cpu: Vec<Three> = rounds.iter().map(|round| round.map(|(_, cpu)| cpu)).collect();
        vec![
            row("SSE, 10,000 events at once", "events/s", &rates, Line::AtLeastTimes(0.6)),
            row("  CPU an event", "us", &cpu, Line::None),
        ]
    }

    /// One client a contender; the first round, which warms them up, is not told.
    fn rounds<T: Send>(&self, sizes: &Sizes, mut measure: impl FnMut(&Peer, &mut Client) -> T + Send) -> Vec<[T; 3]> {
        beside(self.cpus, || {
            let mut clients = self.peers.each_ref().map(|peer| Client::connect(peer.address).unwrap());
            let round = || {
                let mut contenders = self.peers.iter().zip(&mut clients);
                std::array::from_fn(|_| {
                    let (peer, client) = contenders.next().unwrap();
                    measure(peer, client)
                })
            };
            std::iter::repeat_with(round).skip(1).take(sizes.rounds).collect()
        })
    }
}

fn connect(peer: &Peer, callers: usize) -> Vec<Client> {
    std::iter::repeat_with(|| Client::connect(peer.address).unwrap()).take(callers).collect()
}

fn calls_within(span: Duration, clients: &mut [Client]) -> usize {
    let end = Instant::now() + span;
    std::thread::scope(|scope| {
        let calling: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    let mut call = client.prepare(ECHO, 0);
                    let mut calls = 0;
                    while Instant::now() < end {
                        client.call(&mut call, |_| {}).unwrap();
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        calling.into_iter().map(|calling| calling.join().unwrap()).sum()
    })
}

/// A row of figures as they are; the ratio is that of each round.
pub(crate) fn row(what: &str, unit: &'static str, rounds: &[Three], line: Line) -> Row {
    let of = |contender: usize| median(rounds.iter().map(|round| round[contender]).collect());
    Row {
        what: what.to_owned(),
        unit,
        direct: Some(of(0)),
        pass_through: of(1),
        tapline: of(2),
        ratio: median(rounds.iter().map(|round| round[2] / round[1]).collect()),
        line,
    }
}

/// A row of what is beyond the direct figure of the same round.
pub(crate) fn added(what: &str, unit: &'static str, rounds: &[Three], line: Line) -> Row {
    let beyond: Vec<Three> =
        rounds.iter().map(|[direct, pass, tapline]| [0.0, pass - direct, tapline - direct]).collect();
    Row { direct: None, ..row(what, unit, &beyond, line) }
}

fn cpu_each(peer: &Peer, before: Option<Duration>, count: usize) -> f64 {
    let used = peer.cpu().zip(before).map(|(now, before)| now.saturating_sub(before));
    used.map_or(f64::NAN, |used| micros(used) / count as f64)
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
