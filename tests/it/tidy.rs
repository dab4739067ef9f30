//! Rules of the tree that no lint knows.

use std::fs;
use std::path::{Path, PathBuf};

/// Who may know whom. A module may use itself and what stands beside it; `*` is everything. What must not happen is that an
/// arrow points up: the screen into the proxy, the words everybody speaks into whoever speaks them.
const IMPORTS: [(&str, &str); 38] = [
    ("message", ""),
    ("mcp", "message"),
    ("text", ""),
    ("clock", ""),
    ("glob", ""),
    ("auth", "clock glob message text"),
    ("limits", "clock glob message"),
    ("envelope", "message"),
    ("event", "envelope message filter"),
    ("variables", "envelope"),
    ("sse", "envelope"),
    ("headers", "mcp envelope message"),
    ("filter", "envelope event message"),
    ("store", "envelope event tape text"),
    ("tape", "mcp envelope event headers message sse upstream text"),
    ("journal", "envelope event logging message tape"),
    ("metrics", "envelope event message text"),
    ("otlp", "envelope event journal message variables"),
    ("intercept", "envelope event message filter"),
    ("upstream", "mcp envelope message sse text"),
    ("proxy", "mcp auth envelope event filter headers intercept journal limits message metrics sse store tape upstream"),
    ("shadow", "mcp envelope event headers journal message proxy tape upstream variables"),
    ("replay", "cli envelope event intercept journal proxy tape upstream"),
    ("control", "envelope event intercept journal message metrics proxy tape text"),
    ("sessions", "cli control envelope event store text"),
    ("config", "auth cli envelope event filter limits otlp proxy shadow store tape text upstream variables"),
    ("attach", "cli config control program ui watch"),
    ("watch", "app cli event headless journal program ui"),
    ("logging", "envelope event"),
    ("ui", "envelope event filter message text"),
    ("demo", "*"),
    ("cli", "event shadow tape text upstream"),
    ("headless", "cli envelope event message text"),
    ("wrap", "cli text"),
    ("app", "*"),
    ("program", "*"),
    ("main", "*"),
    ("lib", ""),
];

/// Longest file of the sources, tests in it included.
const MOST_LINES: usize = 700;

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The module at the top that a file belongs to.
fn module(path: &Path) -> String {
    let inner = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Modules that a line names with `crate::`.
fn named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap();
    let paths = code.split("crate::").skip(1).flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split(',').map(str::trim).collect(),
        None => vec![rest],
    });
    paths.map(|path| path.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}

#[test]
fn modules_know_only_whom_they_may() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let module = module(&path);
        let allowed = IMPORTS.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("`{module}` is not in the table"));
        // Tests may look where they like.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let named = named(line).into_iter().filter(|name| !name.is_empty() && *name != module);
            let strangers = named.filter(|name| *allowed != "*" && !allowed.split(' ').any(|it| it == name));
            wrong.extend(strangers.map(|name| format!("{}:{}: `{module}` uses `{name}`", path.display(), number + 1)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn nothing_prints_past_the_screen() {
    for (path, text) in sources("src") {
        for word in ["println!", "eprintln!", "print!(", "dbg!("] {
            assert!(!text.contains(word), "{} has `{word}`: stdout may be the protocol", path.display());
        }
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", path.display());
        let is_tests = path.file_name().is_some_and(|name| name == "tests.rs");
        assert!(is_tests || text.starts_with("//!"), "{} does not say what it is for", path.display());
    }
}

/// The words of a line of shell as simple as the README's.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            '#' if !quoted && words.last().is_some_and(String::is_empty) => break,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn the_commands_of_the_readme_are_commands() {
    use clap::Parser as _;
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands: Vec<_> = readme.lines().filter_map(|line| line.trim().strip_prefix("$ tapline")).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let command = command.split(" 2>").next().unwrap();
        let words = [vec!["tapline".to_owned()], words(command)].concat();
        let parsed = tapline::cli::Cli::try_parse_from(&words);
        assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
    }
}
