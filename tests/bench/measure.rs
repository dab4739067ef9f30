//! The scenarios: each contender in turn, round after round; what is told is medians of rounds.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::client::{BULK, BURST, Client, ECHO, PACED};
use crate::peers::{after, now, number};
use crate::process::{Cpus, Peer, Way, beside, can_pin};
use crate::syscalls::{Counter, can_count};
use crate::table::{COLUMNS, FLOOR, Figures, HEADLESS, Row, SCREEN, Target, only};

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
    /// Calls before memory is weighed.
    pub(crate) remembered: usize,
}

impl Sizes {
    pub(crate) fn is_quick(&self) -> bool {
        self.rounds < FULL.rounds
    }
}

pub(crate) const FULL: Sizes = Sizes {
    rounds: 11,
    calls: 4_000,
    span: Duration::from_millis(400),
    events: 10_000,
    paced: 150,
    sessions: 9_500,
    remembered: 100_000,
};
pub(crate) const QUICK: Sizes = Sizes {
    rounds: 5,
    calls: 1_000,
    span: Duration::from_millis(150),
    events: 10_000,
    paced: 50,
    sessions: 2_000,
    remembered: 100_000,
};

/// The contenders, running, in the order of [`COLUMNS`].
pub(crate) struct Stage {
    cpus: Cpus,
    peers: [Peer; COLUMNS.len()],
}

/// Another build of tapline, to stand where the pass-through of hyper's client does: what a change gained or lost in one run.
pub(crate) fn beside_build() -> Option<String> {
    std::env::var("TAPLINE_BESIDE").ok()
}

/// What one turn of a contender yields.
#[derive(Clone, Copy)]
struct Turn {
    figure: f64,
    /// CPU time of the contender for each unit of work, in microseconds.
    cpu: f64,
}

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
        let upstream = Peer::start("upstream", &[], cpus);
        let url = upstream.url();
        let floor = Peer::start("pass-through", &[&url], cpus);
        let hyper = match beside_build() {
            Some(binary) => Peer::build(&binary, Way::Headless, &url, cpus),
            None => Peer::start("pass-through-hyper", &[&url], cpus),
        };
        let [screen, headless] = [Way::Screen, Way::Headless].map(|way| Peer::tapline(way, &url, cpus));
        Self { cpus, peers: [upstream, floor, hyper, screen, headless] }
    }

    /// One caller, one connection, one call after the other, with bodies of one size both ways.
    pub(crate) fn latency(&mut self, sizes: &Sizes, body: Body) -> Vec<Row> {
        let calls = sizes.calls / body.share();
        let rounds = self.rounds(sizes, |peer, client| {
            let mut call = client.prepare(body.tool(), body.size(), body.size());
            let mut times = Vec::with_capacity(calls);
            let cpu = peer.cpu();
            for _ in 0..calls {
                let sent = Instant::now();
                client.call(&mut call, |_| {}).unwrap();
                times.push(micros(sent.elapsed()));
            }
            Turn { figure: median(times), cpu: cpu_each(peer, cpu, calls) }
        });
        let (latency, cpu) = split(&rounds);
        let p50 = row(format!("p50 of a call, {}, 1 caller, 1 CPU", body.name()), "us", &latency, body.latency());
        let cpu = row("  CPU a call", "us", &cpu, body.cpu());
        match body {
            Body::Small => vec![p50, added("  what of it was added", "us", &latency, Target::AtMostTimes(1.0)), cpu],
            Body::Medium => vec![p50, cpu],
            Body::Large => vec![p50, cpu, written(calls)],
        }
    }

    /// System calls that a contender makes for a call, one caller.
    pub(crate) fn syscalls(&mut self, sizes: &Sizes) -> Option<Row> {
        if !can_count() {
            println!("system calls are not counted: `perf` is not there, or may not read the kernel's counters");
            return None;
        }
        let few = Sizes { rounds: 3, ..*sizes };
        let rounds = self.rounds(&few, |peer, client| {
            let mut call = client.prepare(ECHO, 0, 0);
            let counter = Counter::start(peer.process());
            (0..sizes.calls).for_each(|_| client.call(&mut call, |_| {}).unwrap());
            Turn { figure: counter.stop() / sizes.calls as f64, cpu: f64::NAN }
        });
        Some(row("system calls a call, 1 caller", "", &split(&rounds).0, Target::AtMostMore(0.5)))
    }

    /// How often threads wake while nothing happens; each way of running tapline has a line of its own.
    pub(crate) fn wakes(&self) -> Vec<Row> {
        const SETTLES: Duration = Duration::from_secs(8);
        const WATCHED: Duration = Duration::from_secs(10);
        std::thread::sleep(SETTLES);
        let before = self.peers.each_ref().map(Peer::wakes);
        std::thread::sleep(WATCHED);
        let woken = std::array::from_fn::<f64, { COLUMNS.len() }, _>(|column| {
            let since = before[column].zip(self.peers[column].wakes()).map(|(before, after)| after - before);
            since.map_or(f64::NAN, |wakes| wakes as f64 / WATCHED.as_secs_f64())
        });
        [(SCREEN, 2.0), (HEADLESS, 1.0)]
            .map(|(column, most)| {
                let what = format!("idle: wakes a second, {}", COLUMNS[column]);
                Row {
                    ratios: [f64::NAN; COLUMNS.len()],
                    ..Row::plain(what, "", only(column, woken[column]), Target::AtMost(most))
                }
            })
            .into()
    }

    /// What the process holds when many messages have passed.
    pub(crate) fn memory(&mut self, sizes: &Sizes) -> Row {
        let held = std::array::from_fn::<f64, { COLUMNS.len() }, _>(|column| {
            let mut client = Client::connect(self.peers[column].address).unwrap();
            let mut call = client.prepare(ECHO, 0, 0);
            (0..sizes.remembered).for_each(|_| client.call(&mut call, |_| {}).unwrap());
            self.peers[column].settled_memory().map_or(f64::NAN, |bytes| bytes / f64::from(1 << 20))
        });
        Row::plain(format!("RSS after {} calls", sizes.remembered), "MiB", held, Target::AtMost(45.0))
    }

    /// A stream with a pause between its events: how long the first and the others take to arrive.
    pub(crate) fn paced(&mut self, sizes: &Sizes) -> Vec<Row> {
        let few = Sizes { rounds: sizes.rounds.min(5), ..*sizes };
        let mut first = Vec::new();
        let rounds = self.rounds(&few, |peer, client| {
            let mut call = client.prepare(PACED, sizes.paced, 0);
            let mut delays = Vec::with_capacity(sizes.paced);
            let (mut arrived_first, sent, cpu) = (None, Instant::now(), peer.cpu());
            let arrived = |bytes: &[u8]| {
                arrived_first.get_or_insert_with(|| sent.elapsed());
                if let Some(at) = after(bytes, br#""at":"#) {
                    delays.push(micros(Duration::from_nanos(now().saturating_sub(number(at)))));
                }
            };
            client.call(&mut call, arrived).unwrap();
            first.push(micros(arrived_first.unwrap()));
            Turn { figure: median(delays), cpu: cpu_each(peer, cpu, sizes.paced) }
        });
        let (paced, cpu) = split(&rounds);
        let first: Vec<Figures> = first.chunks_exact(COLUMNS.len()).skip(1).map(|it| it.try_into().unwrap()).collect();
        vec![
            added("SSE, first event: added", "us", &first, Target::AtMost(500.0)),
            added("SSE, one event each 2 ms: added", "us", &paced, Target::AtMost(50.0)),
            row("  CPU an event", "us", &cpu, Target::AtMostTimes(1.5)),
        ]
    }

    /// Several callers at once, each with a session and a connection of its own.
    pub(crate) fn throughput(&mut self, sizes: &Sizes, callers: usize) -> Vec<Row> {
        let mut clients = self.peers.each_ref().map(|peer| connect(peer, callers));
        let mut turns = std::iter::repeat_with(|| {
            let mut contenders = self.peers.iter().zip(&mut clients);
            std::array::from_fn(|_| {
                let (peer, clients) = contenders.next().unwrap();
                let (cpu, started) = (peer.cpu(), Instant::now());
                let calls = calls_within(sizes.span, clients);
                Turn { figure: calls as f64 / started.elapsed().as_secs_f64(), cpu: cpu_each(peer, cpu, calls) }
            })
        });
        let rounds: Vec<_> = turns.by_ref().skip(1).take(sizes.rounds).collect();
        let (calls, cpu) = split(&rounds);
        vec![
            row(format!("throughput, {callers} callers"), "calls/s", &calls, Target::AtLeastTimes(0.95)),
            row("  CPU a call", "us", &cpu, Target::AtMostTimes(1.15)),
        ]
    }

    /// As many events as the upstream can send.
    pub(crate) fn burst(&mut self, sizes: &Sizes) -> Vec<Row> {
        let rounds = self.rounds(sizes, |peer, client| {
            let mut call = client.prepare(BURST, sizes.events, 0);
            let mut lines = 0;
            let (cpu, sent) = (peer.cpu(), Instant::now());
            client.call(&mut call, |bytes| lines += memchr::memchr_iter(b'\n', bytes).count()).unwrap();
            let rate = sizes.events as f64 / sent.elapsed().as_secs_f64();
            // Each event is three lines; the last one is the result.
            assert_eq!(lines, 3 * (sizes.events + 1), "every event arrives");
            Turn { figure: rate, cpu: cpu_each(peer, cpu, sizes.events) }
        });
        let (rates, cpu) = split(&rounds);
        vec![
            row("SSE, 10,000 events at once", "events/s", &rates, Target::AtLeastTimes(1.0)),
            row("  CPU an event", "us", &cpu, Target::None),
        ]
    }

    /// One client a contender; the first round, which warms them up, is not told.
    fn rounds(&self, sizes: &Sizes, mut measure: impl FnMut(&Peer, &mut Client) -> Turn + Send) -> Vec<Round> {
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

type Round = [Turn; COLUMNS.len()];

/// The figures of rounds, and the CPU times.
fn split(rounds: &[Round]) -> (Vec<Figures>, Vec<Figures>) {
    (
        rounds.iter().map(|round| round.map(|it| it.figure)).collect(),
        rounds.iter().map(|round| round.map(|it| it.cpu)).collect(),
    )
}

/// The bodies of a sequential scenario, both ways.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    Small,
    Medium,
    Large,
}

impl Body {
    fn name(self) -> &'static str {
        match self {
            Self::Small => "200 B",
            Self::Medium => "10 KB",
            Self::Large => "1 MB",
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Small => 0,
            Self::Medium => 10_000,
            Self::Large => 1_000_000,
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Self::Small => ECHO,
            Self::Medium | Self::Large => BULK,
        }
    }

    /// Larger ones are asked for less often.
    fn share(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Medium => 4,
            Self::Large => 100,
        }
    }

    fn latency(self) -> Target {
        match self {
            Self::Small => Target::None,
            Self::Medium | Self::Large => Target::AtMostTimes(1.2),
        }
    }

    fn cpu(self) -> Target {
        match self {
            Self::Small => Target::AtMostTimes(1.15),
            Self::Medium | Self::Large => Target::AtMostTimes(1.3),
        }
    }
}

pub(crate) fn connect(peer: &Peer, callers: usize) -> Vec<Client> {
    std::iter::repeat_with(|| Client::connect(peer.address).unwrap()).take(callers).collect()
}

fn calls_within(span: Duration, clients: &mut [Client]) -> usize {
    let end = Instant::now() + span;
    std::thread::scope(|scope| {
        let calling: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                scope.spawn(move || {
                    let mut call = client.prepare(ECHO, 0, 0);
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

/// What it takes on this machine to write a request and a reply of a megabyte to a file, and nothing else: recording cannot cost less.
fn written(calls: usize) -> Row {
    let mut file = tempfile::tempfile().unwrap();
    let body = vec![b'x'; Body::Large.size()];
    let each = (0..calls.max(10)).map(|_| {
        let began = Instant::now();
        (0..2).for_each(|_| file.write_all(&body).unwrap());
        micros(began.elapsed())
    });
    Row::plain("  of which to write 2 MB to a file", "us", only(HEADLESS, median(each.collect())), Target::None)
}

/// A row of figures as they are; the ratio is that of each round.
pub(crate) fn row(what: impl Into<String>, unit: &'static str, rounds: &[Figures], target: Target) -> Row {
    let column = |of: &dyn Fn(&Figures, usize) -> f64| {
        std::array::from_fn(|column| median(rounds.iter().map(|round| of(round, column)).collect()))
    };
    Row {
        what: what.into(),
        unit,
        figures: column(&|round, column| round[column]),
        ratios: column(&|round, column| round[column] / round[FLOOR]),
        target,
    }
}

/// A row of what is beyond the direct figure of the same round.
pub(crate) fn added(what: &str, unit: &'static str, rounds: &[Figures], target: Target) -> Row {
    let beyond: Vec<Figures> = rounds.iter().map(|round| round.map(|figure| figure - round[0])).collect();
    let mut row = row(what, unit, &beyond, target);
    row.figures[0] = f64::NAN;
    row
}

pub(crate) fn cpu_each(peer: &Peer, before: Option<Duration>, count: usize) -> f64 {
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
