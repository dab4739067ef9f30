//! The licences of everything that is linked into tapline: `assets/third-party.md`, which must be there for whoever gets a binary.
//!
//! It is made anew by `NOTICE_UPDATE=always cargo test --test it notice`, out of the sources of the dependencies for all systems
//! (`cargo fetch` brings them), and kept true by the same test, which needs only what the build itself needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/third-party.md");

/// The systems that tapline runs on.
const SYSTEMS: [&str; 4] =
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"];

/// What cargo says.
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let told = command
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8(told.stdout).unwrap()
}

/// What is linked into tapline on this system, each as `name version`; on the one that builds it where none is named. What builds
/// it, tests it or writes code for it is no part of it.
fn linked(system: Option<&str>) -> BTreeSet<String> {
    let mut arguments = vec!["tree", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"];
    arguments.extend(system.iter().flat_map(|system| ["--target", system]));
    let name = |line: &str| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    };
    let root = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
    cargo(&arguments).lines().filter_map(name).filter(|name| name != root).collect()
}

/// The notices in a crate. Of a choice that has MIT in it, MIT's is enough.
fn texts(package: &Value) -> Vec<String> {
    let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let upper = |path: &Path| path.file_name().unwrap().to_string_lossy().to_uppercase();
    let begins = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
    files.retain(|path| path.is_file() && begins.iter().any(|begin| upper(path).starts_with(begin)));
    files.sort();
    let is_choice = package["license"].as_str().is_some_and(|it| it.contains("OR") || it.contains('/'));
    if is_choice && let Some(mit) = files.iter().find(|path| upper(path).contains("MIT")) {
        files = vec![mit.clone()];
    }
    files.iter().map(|path| tidied(&fs::read_to_string(path).unwrap())).collect()
}

/// Without what makes two of a text: line ends, blanks at the end of a line.
fn tidied(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

fn notice() -> String {
    let linked: BTreeSet<_> = SYSTEMS.iter().flat_map(|system| linked(Some(system))).collect();
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--format-version", "1"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let named =
        packages.map(|it| (format!("{} {}", it["name"].as_str().unwrap(), it["version"].as_str().unwrap()), it));
    let crates: BTreeMap<String, &Value> = named.filter(|(name, _)| linked.contains(name)).collect();
    let mut notice = "# What others wrote of tapline\n\nA binary of tapline has these crates in it, and SQLite, which is in the public domain. \
                      Made by `NOTICE_UPDATE=always cargo test --test it notice`, which also keeps it true.\n\n"
        .to_owned();
    let mut by_text: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, package) in &crates {
        let license = package["license"].as_str().unwrap_or("see below");
        writeln!(notice, "- {name}: {license} <{}>", package["repository"].as_str().unwrap_or("https://crates.io"))
            .unwrap();
        for text in texts(package) {
            by_text.entry(text).or_default().push(name);
        }
    }
    let mut texts: Vec<_> = by_text.into_iter().map(|(text, names)| (names, text)).collect();
    texts.sort();
    for (names, text) in texts {
        write!(notice, "\n## {}\n\n````text\n{text}\n````\n", names.join(", ")).unwrap();
    }
    notice
}

#[test]
fn notice_names_everything_that_is_linked() {
    if std::env::var_os("NOTICE_UPDATE").is_some() {
        fs::write(FILE, notice()).unwrap();
    }
    let notice = fs::read_to_string(FILE).unwrap();
    let named: BTreeSet<_> =
        notice.lines().filter_map(|line| Some(line.strip_prefix("- ")?.split_once(": ")?.0)).collect();
    let here = linked(None);
    let missing: Vec<_> = here.iter().filter(|name| !named.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in it: {missing:?}; `NOTICE_UPDATE=always cargo test --test it notice`");
    // Crates of other systems are not looked up; that their versions are those of today is.
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let locked = |name: &str| {
        let (name, version) = name.split_once(' ').unwrap();
        lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n"))
    };
    let gone: Vec<_> = named.iter().filter(|name| !locked(name)).collect();
    assert!(gone.is_empty(), "no longer used: {gone:?}; `NOTICE_UPDATE=always cargo test --test it notice`");
}
