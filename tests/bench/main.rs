//! `cargo bench`: what tapline adds to a call, beside the least that a proxy made of the same crates adds.
//!
//! Three contenders answer the same client in turn, round after round: the upstream itself, a bare pass-through, and
//! tapline with its recorder on and a screen's feed drained. Each is a process of its own (this binary again, under a
//! role), so that its CPU can be told apart. Only ratios of one run mean anything: the machine is never quiet.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has nothing else to do")]

mod chain;
mod client;
mod idle;
mod measure;
mod peers;
mod process;
mod stdio;
mod table;

use measure::{Sizes, Stage};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--role", role, ref rest @ ..] => peers::run(role, rest),
        ref flags if !flags.contains(&"--bench") => println!("nothing measured: run it with `cargo bench`"),
        ref flags => bench(if flags.contains(&"--quick") { &measure::QUICK } else { &measure::FULL }),
    }
}

fn bench(sizes: &Sizes) {
    let mut rows = Vec::new();
    {
        let mut stage = Stage::on_one_cpu();
        rows.extend(stage.latency(sizes));
        rows.extend(stage.paced(sizes));
    }
    {
        let mut stage = Stage::on_all_cpus();
        for callers in [16, 32] {
            rows.extend(stage.throughput(sizes, callers));
        }
        rows.extend(stage.burst(sizes));
    }
    rows.extend(stdio::ping_pong(sizes));
    rows.push(chain::rules(sizes.rounds));
    let sessions = idle::most(sizes.sessions);
    rows.extend(idle::without_streams(sessions));
    rows.extend(idle::with_streams(sessions));
    table::print(&rows);
}
