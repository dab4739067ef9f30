//! `cargo bench`: what tapline adds to a call, beside the least that a proxy made of the same crates adds.
//!
//! Three contenders answer the same client in turn, round after round: the upstream itself, a bare pass-through, and
//! tapline with its recorder on and a screen's feed drained. Each is a process of its own (this binary again, under a
//! role), so that its CPU can be told apart. Only ratios of one run mean anything: the machine is never quiet.
//!
//! The pass-through is bare axum and reqwest, for the stdio leg a bare copy of both pipes. The scenarios with one caller and with
//! paced events sit on one CPU (`taskset`). On a busy machine throughput and SSE rows move most. It always exits 0; it is no test.
//!
//! Measured 2026-11-25 on two shared cores, part of the time with other work on them; part of the good ratio is hyper's client in
//! place of `reqwest` on loopback:
//!
//! | line | measured |
//! |---|---|
//! | added latency, p50, one keep-alive session: at most 1.4x | 1.06x |
//! | CPU a call: at most 1.4x | 1.16x (1.24x in other runs) |
//! | calls/s at 16 and 32 callers: at least 0.8x | 0.81x to 0.87x, 0.80x to 0.86x |
//! | 10,000 SSE events at once: at least 0.6x | 0.88x |
//! | first SSE event: at most 1 ms added | 0.40 ms (pass-through 0.21 ms) |
//! | events paced 2 ms apart: at most 100 µs later | 24 µs (pass-through 19 µs) |
//! | stdio leg: at most 15 µs added, p50 | 11 to 13 µs (bare copy 9 µs; 60 µs before pipes were read as they become ready) |
//! | chain with 100 rules that do not match: at most 5 µs | 3.2 to 3.5 µs (8.6 µs before words were told from expressions) |
//! | a child from a pool with a warm spare, p95: under 1 ms | 17 µs (started when it is asked for: 3.2 ms) |
//! | 9,500 idle sessions with an open GET stream: at most 1.3x | 1.26x, 45.8 KiB each (1.33x, 48.5 KiB before sessions at rest gave back what they do not need) |
//! | 9,500 idle sessions without a stream: at most 2 KiB each | 2.3 KiB: **not met** (6.4 KiB before) |
//!
//! Not measured: the screen with 1,000,000 rows (a row with a small body costs some 640 bytes, three times the line).

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has nothing else to do")]

mod chain;
mod client;
mod idle;
mod measure;
mod peers;
mod pool;
mod process;
mod stdio;
mod table;

use measure::{Sizes, Stage};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--role", role, ref rest @ ..] => peers::run(role, rest),
        ref flags if !flags.contains(&"--bench") => println!("nothing measured: run it with `cargo bench`"),
        ref flags => {
            let parts: Vec<_> = flags.iter().copied().filter(|flag| !flag.starts_with("--")).collect();
            bench(if flags.contains(&"--quick") { &measure::QUICK } else { &measure::FULL }, &parts);
        }
    }
}

/// What is measured, in the order of the table.
const PARTS: [&str; 7] = ["latency", "throughput", "sse", "stdio", "chain", "pool", "idle"];

/// `asked`: the parts to measure; all where none is named.
fn bench(sizes: &Sizes, asked: &[&str]) {
    if let Some(unknown) = asked.iter().find(|part| !PARTS.contains(part)) {
        return println!("`{unknown}` is not measured; what is: {}", PARTS.join(", "));
    }
    let wants = |part: &str| asked.is_empty() || asked.contains(&part);
    let mut rows = Vec::new();
    if wants("latency") || wants("sse") {
        let mut stage = Stage::on_one_cpu();
        if wants("latency") {
            rows.extend(stage.latency(sizes));
        }
        if wants("sse") {
            rows.extend(stage.paced(sizes));
        }
    }
    if wants("throughput") || wants("sse") {
        let mut stage = Stage::on_all_cpus();
        for callers in [16, 32] {
            if wants("throughput") {
                rows.extend(stage.throughput(sizes, callers));
            }
        }
        if wants("sse") {
            rows.extend(stage.burst(sizes));
        }
    }
    if wants("stdio") {
        rows.extend(stdio::ping_pong(sizes));
    }
    if wants("chain") {
        rows.push(chain::rules(sizes.rounds));
    }
    if wants("pool") {
        rows.push(pool::acquire());
    }
    if wants("idle") {
        let sessions = idle::most(sizes.sessions);
        rows.extend(idle::without_streams(sessions));
        rows.extend(idle::with_streams(sessions));
    }
    table::print(&rows);
}
