//! How often a call asks for memory: tapline as it runs headless, recording, beside the bare pass-through of the same crates.
//!
//! A program of its own: an allocator that counts would slow the contenders whose time `cargo bench` takes. Each contender runs twice,
//! for few calls and for more, and says at its end how often it asked; what lies between the two is what the calls took. It is
//! run by `cargo bench`, and alone by `cargo bench --bench allocations`.

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has nothing else to do")]

#[path = "../client.rs"]
mod client;
#[path = "../peers.rs"]
mod peers;

use std::alloc::System;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use client::{Client, ECHO};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls of the shorter run, after which all that is kept is there, and of the longer one.
const CALLS: [usize; 2] = [500, 2_500];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--role", "tapline", upstream] => {
            run_tapline(upstream);
            tell_count();
        }
        ["--role", "upstream"] => peers::run("upstream", &[]),
        ["--role", role, ref rest @ ..] => {
            peers::run(role, rest);
            tell_count();
        }
        // Parts of the other benchmark are asked for, or nothing is to be measured.
        ref words if !words.contains(&"--bench") || words.iter().any(|word| !word.starts_with("--")) => {}
        _ => measure(),
    }
}

fn tell_count() {
    println!("{}", COUNTED.stats().allocations + COUNTED.stats().reallocations);
}

fn run_tapline(upstream: &str) {
    let words = ["tapline", "run", "--headless", "--listen", "127.0.0.1:0", "--upstream", upstream];
    let cli = tapline::cli::Cli::read(&words.map(Into::into)).unwrap();
    let _ = tapline::commands::run(cli);
}

fn measure() {
    let mut upstream = start(&["upstream"]);
    let url = format!("http://{}/mcp", first_line(&mut BufReader::new(upstream.stdout.take().unwrap())).trim());
    let floor = each(|calls| {
        let mut child = start(&["pass-through", &url]);
        let mut told = BufReader::new(child.stdout.take().unwrap());
        call(first_line(&mut told).trim().parse().unwrap(), calls);
        drop(child.stdin.take());
        count(told, child)
    });
    let tapline = each(|calls| {
        let home = tempfile::tempdir().unwrap();
        let mut child = started(command(&["tapline", &url]).env("HOME", home.path()).stderr(Stdio::piped()));
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let address = first_line(&mut lines);
        let address = address.split(['/', ' ', '\n']).find_map(|word| word.parse().ok()).unwrap();
        // What it says of each message has to be read.
        let reading = thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        call(address, calls);
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success(), "it was running");
        let told = BufReader::new(child.stdout.take().unwrap());
        let count = count(told, child);
        reading.join().unwrap().unwrap();
        count
    });
    drop(upstream.stdin.take());
    upstream.wait().unwrap();
    println!("allocations a call, 200 B: {floor:.1} bare pass-through, {tapline:.1} tapline ({:.2}x)", tapline / floor);
}

/// What a call takes of what `run` counts.
fn each(run: impl Fn(usize) -> f64) -> f64 {
    let [few, many] = CALLS;
    (run(many) - run(few)) / (many - few) as f64
}

fn call(address: SocketAddr, calls: usize) {
    let mut client = Client::connect(address).unwrap();
    let mut call = client.prepare(ECHO, 0, 0);
    (0..calls).for_each(|_| client.call(&mut call, |_| {}).unwrap());
}

/// What a contender says at its end.
fn count(mut told: impl Read, mut child: Child) -> f64 {
    let mut text = String::new();
    told.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text.trim().parse().unwrap()
}

fn command(role: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--role").args(role).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn started(command: &mut Command) -> Child {
    command.spawn().unwrap()
}

fn start(role: &[&str]) -> Child {
    started(&mut command(role))
}

fn first_line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}
