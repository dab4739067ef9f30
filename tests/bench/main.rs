//! `cargo bench`: what tapline adds to a call, beside the least that a proxy made of the same crates adds.
//!
//! The contenders answer the same client in turn, round after round: the upstream itself, two bare pass-throughs of the same
//! crates (axum + reqwest is the floor, axum + hyper-util what can be reached), and the release binary of tapline as people run
//! it, recording: in a terminal with its screen drawn, and headless. Each is a process of its own, so that its CPU can be told
//! apart. Only ratios of one run mean anything: the machine is never quiet.
//!
//! For the stdio leg the floor is a bare copy of both pipes. The scenarios with one caller and with paced events sit on one CPU
//! (`taskset`); system calls are counted by `perf` where it is there. `cargo bench -- rivals` compares with mcp-recorder and mcp-vcr,
//! where they are installed. On a busy machine throughput and SSE rows move most. It always exits 0; it is no test.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has nothing else to do")]

mod chain;
mod client;
mod idle;
mod measure;
mod peers;
mod pool;
mod process;
mod rivals;
mod rows;
mod screen;
mod stdio;
mod syscalls;
mod table;
mod tapes;

use measure::{Body, Sizes, Stage};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--role", "stdio-upstream"] => stdio::serve(),
        ["--role", "pipe-copy"] => stdio::copy(),
        ["--role", role, ref rest @ ..] => peers::run(role, rest),
        ref flags if !flags.contains(&"--bench") => println!("nothing measured: run it with `cargo bench`"),
        ref flags => {
            let parts: Vec<_> = flags.iter().copied().filter(|flag| !flag.starts_with("--")).collect();
            bench(if flags.contains(&"--quick") { &measure::QUICK } else { &measure::FULL }, &parts);
        }
    }
}

/// What is measured, in the order of the table.
const PARTS: [&str; 16] = [
    "latency",
    "syscalls",
    "bodies",
    "throughput",
    "sse",
    "wakes",
    "memory",
    "stdio",
    "mock",
    "tapes",
    "rivals",
    "chain",
    "filter",
    "rows",
    "pool",
    "idle",
];

/// `asked`: the parts to measure; all where none is named.
fn bench(sizes: &Sizes, asked: &[&str]) {
    if let Some(unknown) = asked.iter().find(|part| !PARTS.contains(part)) {
        return println!("`{unknown}` is not measured; what is: {}", PARTS.join(", "));
    }
    let wants = |part: &str| asked.is_empty() || asked.contains(&part);
    let mut rows = Vec::new();
    if ["latency", "bodies", "sse"].into_iter().any(wants) {
        let mut stage = Stage::on_one_cpu();
        if wants("latency") {
            rows.extend(stage.latency(sizes, Body::Small));
        }
        if wants("bodies") {
            rows.extend(stage.latency(sizes, Body::Medium));
            rows.extend(stage.latency(sizes, Body::Large));
        }
        if wants("sse") {
            rows.extend(stage.paced(sizes));
        }
    }
    if ["syscalls", "throughput", "sse"].into_iter().any(wants) {
        let mut stage = Stage::on_all_cpus();
        if wants("syscalls") {
            rows.extend(stage.syscalls(sizes));
        }
        for callers in [16, 32] {
            if wants("throughput") {
                rows.extend(stage.throughput(sizes, callers));
            }
        }
        if wants("sse") {
            rows.extend(stage.burst(sizes));
        }
    }
    if ["wakes", "memory"].into_iter().any(wants) {
        let mut stage = Stage::on_all_cpus();
        if wants("wakes") {
            rows.extend(stage.wakes());
        }
        if wants("memory") {
            rows.push(stage.memory(sizes));
        }
    }
    if wants("stdio") {
        rows.extend(stdio::ping_pong(sizes));
    }
    if wants("mock") {
        rows.extend(stdio::mock(sizes));
    }
    if wants("tapes") {
        rows.extend(tapes::rows(sizes));
    }
    if wants("rivals") {
        rows.extend(rivals::mock(sizes));
        rows.extend(rivals::replay(sizes));
    }
    if wants("chain") {
        rows.push(chain::rules(sizes.rounds));
        rows.push(chain::jq(sizes.rounds));
    }
    if wants("filter") {
        rows.extend(screen::filter(sizes.rounds));
    }
    if wants("rows") {
        rows.extend(rows::measured(sizes));
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
