//! What tapline survives: the real binary, and around it one thing that breaks after the other.
//!
//! ```console
//! $ cargo test --test faults                                   # seconds: what was survived, what was lost
//! $ cargo test --release --test faults -- --long               # minutes: many more kills, larger floods
//! $ cargo test --release --test faults -- --long kills disk    # those with such a name
//! $ cargo test --release --test faults -- soak --hours 2       # every kind of client for hours: what grows?
//! ```
//!
//! A row fails where a promise of `README.md` beside this file is broken; what is lost within them is told, not failed. Where the
//! system does not let us break something (no disk of our own, say), the row says so.

#![expect(clippy::print_stdout, reason = "the tables are what this program is for")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot break things has nothing else to do")]

mod database;
mod disk;
mod http;
mod kills;
mod peers;
mod process;
mod server;
mod soak;
mod tapline;

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How much of everything.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    Short,
    Long,
}

impl Length {
    pub(crate) fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }
}

/// What came of a fault.
pub(crate) struct Outcome {
    survived: String,
    lost: String,
}

impl Outcome {
    pub(crate) fn new(survived: impl Into<String>, lost: impl Into<String>) -> Self {
        Self { survived: survived.into(), lost: lost.into() }
    }

    pub(crate) fn untried(why: &str) -> Self {
        Self::new(format!("not tried: {why}"), "")
    }
}

type Fault = fn(Length) -> Result<Outcome, String>;

const FAULTS: [(&str, Fault); 18] = [
    ("kills under load", kills::under_load),
    ("kills while a server starts", kills::while_starting),
    ("kill of the guardian, then of tapline", kills::guardian_first),
    ("disk full", disk::full),
    ("disk: limit on file sizes", disk::file_size),
    ("disk: a tape is removed", disk::removed_tape),
    ("disk: a tape is moved away", disk::moved_tape),
    ("disk: a tape is cut short", disk::cut_tape),
    ("descriptors used up", disk::descriptors),
    ("database locked", database::locked),
    ("database damaged", database::damaged),
    ("terminal stopped", peers::stopped_terminal),
    ("terminal unread", peers::unread_terminal),
    ("pipe unread: stderr", peers::unread_lines),
    ("pipe unread: stdio's stdout and stderr", peers::unread_stdio),
    ("server deaf", peers::deaf_server),
    ("server flooding", peers::flooding_server),
    ("server lingering", peers::lingering_server),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--role", "server"] => server::run(),
        ["soak", ref rest @ ..] => soak::run(rest),
        ref words => return bench(words),
    }
    ExitCode::SUCCESS
}

/// Tries the faults that one of these words is in the name of, all where there is none. Flags of other test programs mean nothing.
fn bench(words: &[&str]) -> ExitCode {
    let length = if words.contains(&"--long") { Length::Long } else { Length::Short };
    let named: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |(name, _): &&(&str, Fault)| named.is_empty() || named.iter().any(|word| name.contains(**word));
    if words.contains(&"--list") {
        FAULTS.iter().filter(chosen).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let faults: Vec<_> = FAULTS.iter().filter(chosen).collect();
    if faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("\n| fault | survived | lost | took |\n|---|---|---|---|");
    let broken = try_all(&faults, length);
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How many faults there are at a time: most of what they do is to wait.
const AT_ONCE: usize = 4;

/// Prints the row of each as soon as it and those before it are known; gives how many broke a promise.
fn try_all(faults: &[&(&str, Fault)], length: Length) -> usize {
    let (next, (found, rows)) = (AtomicUsize::new(0), std::sync::mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (found, next) = (found.clone(), &next);
            scope.spawn(move || {
                while let Some(&&(name, fault)) = faults.get(next.fetch_add(1, Relaxed)) {
                    let began = Instant::now();
                    let outcome =
                        catch_unwind(|| fault(length)).unwrap_or_else(|_| Err("the bench itself broke".to_owned()));
                    found.send((name, row(name, &outcome, began.elapsed()), outcome.is_err())).unwrap();
                }
            });
        }
        drop(found);
        let mut known = HashMap::new();
        let mut waiting = faults.iter().peekable();
        let mut broken = 0;
        for (name, row, is_broken) in rows {
            broken += usize::from(is_broken);
            known.insert(name, row);
            while let Some(row) = waiting.peek().and_then(|(name, _)| known.remove(name)) {
                println!("{row}");
                waiting.next();
            }
        }
        broken
    })
}

fn row(name: &str, outcome: &Result<Outcome, String>, took: Duration) -> String {
    match outcome {
        Ok(Outcome { survived, lost }) => format!("| {name} | {survived} | {lost} | {took:.1?} |"),
        Err(why) => format!("| {name} | BROKEN: {why} | | {took:.1?} |"),
    }
}
