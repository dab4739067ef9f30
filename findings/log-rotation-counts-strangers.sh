#!/usr/bin/env bash
# A rolling log file counts, and removes, files that it never wrote.
#
# Expected: tracing-appender's `max_log_files(n)` keeps the newest n of the files that this appender names, `PREFIX.DATE.SUFFIX`; what does
# not have that form is somebody else's.
#
# What happens: in 0.2.5 every file is a candidate whose name begins with the prefix and ends with the suffix, with anything in between,
# and age is the file's time of creation. Beside a prefix `app`, an `apples.log` and an `app-audit.log` of others are old logs: they
# are removed when the appender is built, before a line is written. (Without prefix and suffix the date is checked, and strangers stay.)
#
# Why it matters: a program that lets its user say where the log goes, and hands the parts of that path on as directory and prefix,
# removes what it does not own. Rotation needs a directory of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cargo init --quiet --vcs none --name finding
cargo add --quiet tracing-appender@=0.2.5
cat > src/main.rs <<'RS'
use std::fs;
use std::io::Write as _;

use tracing_appender::rolling::{RollingFileAppender, Rotation};

fn left(logs: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What stands in a directory of strangers before and after an appender has written a line there.
fn strangers_after(prefix: &str, suffix: &str) -> Vec<String> {
    let logs = std::env::current_dir().unwrap().join(format!("logs-{prefix}"));
    fs::create_dir_all(&logs).unwrap();
    for name in ["app-audit.log", "apples.log", "notes.txt"] {
        fs::write(logs.join(name), "somebody's").unwrap();
    }
    let mut rolling = RollingFileAppender::builder().rotation(Rotation::DAILY).max_log_files(2);
    if !prefix.is_empty() {
        rolling = rolling.filename_prefix(prefix).filename_suffix(suffix);
    }
    writeln!(rolling.build(&logs).unwrap(), "a line").unwrap();
    let ours = |name: &String| name.bytes().filter(u8::is_ascii_digit).count() >= 8;
    left(&logs).into_iter().filter(|name| !ours(name)).collect()
}

fn main() {
    let (with, without) = (strangers_after("app", "log"), strangers_after("", ""));
    println!("files of others, before: app-audit.log, apples.log, notes.txt");
    println!("after a line with prefix `app` and suffix `log`, two files to keep: {}", with.join(", "));
    println!("after a line without prefix and suffix: {}", without.join(", "));
    assert_eq!(without.len(), 3, "strangers stay");
    assert!(with.len() < 3 && with.contains(&"notes.txt".to_owned()), "strangers with such names go");
}
RS
echo "tracing-appender 0.2.5"
cargo run --quiet || { echo "it is no longer so" >&2; exit 1; }
