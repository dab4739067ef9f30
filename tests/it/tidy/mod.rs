//! Rules of the tree that no lint knows, and its figures: `cargo test --test it tidy -- --nocapture` prints them.

mod graph;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use self::graph::Graph;
use self::source::{SourceFile, block_end, files, texts};

/// Who may know whom. A module may use itself and what stands beside it; `*` is everything. What must not happen is that an
/// arrow points up: the screen into the proxy, the common vocabulary into those who use it.
const IMPORTS: [(&str, &str); 45] = [
    ("files", ""),
    ("message", "mcp"),
    ("mcp", "message"),
    ("text", ""),
    ("clock", ""),
    ("secret", ""),
    ("children", ""),
    ("net", ""),
    ("glob", ""),
    ("line_diff", ""),
    ("json", "message text"),
    ("auth", "mcp net clock glob message text secret"),
    ("limits", "mcp clock glob message"),
    ("lint", "mcp envelope event headers message text"),
    ("envelope", "message secret"),
    ("event", "mcp envelope message filter"),
    ("variables", "secret"),
    ("sse", "envelope"),
    ("headers", "mcp envelope message"),
    ("filter", "mcp envelope message json text"),
    ("store", "envelope event tape text secret"),
    ("tape", "files mcp envelope event filter headers lint message sse upstream text json secret"),
    ("journal", "envelope event logging message tape"),
    ("metrics", "mcp envelope event message text"),
    ("otlp", "mcp net envelope event journal message variables secret"),
    ("intercept", "mcp envelope event message filter text"),
    ("hooks", "children mcp envelope event intercept json message"),
    ("rules", "files mcp envelope event hooks message filter intercept json text"),
    ("upstream", "children net mcp envelope headers message sse text secret"),
    (
        "proxy",
        "net mcp auth envelope event filter headers intercept journal limits message metrics sse store tape upstream secret",
    ),
    ("shadow", "mcp envelope event headers journal message proxy tape upstream variables json secret"),
    ("control", "net envelope event intercept journal message metrics proxy rules tape text"),
    (
        "config",
        "auth cli envelope event filter limits lint otlp proxy shadow store tape text ui upstream variables secret",
    ),
    ("exit", "text secret"),
    ("screen", "app cli event exit headless journal ui"),
    ("logging", "envelope event"),
    ("ui", "children envelope event filter lint mcp message rules text json line_diff secret"),
    ("demo", "*"),
    ("cli", "children event shadow text upstream json variables"),
    ("headless", "cli envelope event message text"),
    ("wrap", "cli files text"),
    ("app", "*"),
    ("commands", "*"),
    ("main", "*"),
    ("lib", ""),
];

/// How far each figure of the tree may go. None of them is ever raised.
const LIMITS: [(&str, usize); 10] = [
    ("files in the largest import circle", 5),
    ("import circles that span folders", 0),
    ("imports in proxy/ against its order", 0),
    ("imports in ui/ against its order", 0),
    ("names that several types have", 0),
    ("types with a name of one word, percent", 30),
    ("functions over 60 lines", 0),
    ("lines of the longest function", 60),
    ("99 of 100 functions have at most, lines", 36),
    ("lines of the longest file", 700),
];

/// Names that mean the same wherever they stand: each module has its own, none is used outside by its name alone.
const MAY_STAND_TWICE: [&str; 3] = ["Section", "Settings", "State"];

/// The rooms of `proxy/`, each of which may import only from those after it.
const PROXY: [&str; 10] =
    ["front", "sessions", "exchange", "stream", "spine", "session", "error", "arrival", "stop", "paths"];

/// The rooms of `ui/`, each of which may import only from those after it.
const UI: [&str; 21] = [
    "mod",
    "term",
    "piping",
    "saving",
    "event_loop",
    "update",
    "act",
    "view",
    "layout",
    "help",
    "keymap",
    "model",
    "theme",
    "settings",
    "host",
    "key_press",
    "diff",
    "content",
    "graphics",
    "clusters",
    "json",
];

/// A figure of the tree, and where it comes from.
struct Figure {
    name: &'static str,
    value: usize,
    /// What makes it as large as it is, a line each.
    details: Vec<String>,
}

impl Figure {
    fn count(name: &'static str, details: Vec<String>) -> Self {
        Self { name, value: details.len(), details }
    }
}

/// The module at the top that a file belongs to.
fn room<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let inner = path.strip_prefix(folder)?;
    inner.split('/').next().map(|room| room.trim_end_matches(".rs"))
}

#[test]
fn imports_between_modules_are_in_the_table() {
    let files = files();
    let graph = Graph::new(&files);
    let modules: BTreeSet<_> = files.iter().filter_map(|file| room(&file.path, "src/")).collect();
    let listed: BTreeSet<_> = IMPORTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(modules, listed);
    let mut wrong = Vec::new();
    for reference in &graph.references {
        let path = graph.path(reference.file);
        let module = room(path, "src/").unwrap();
        let (_, allowed) = IMPORTS.iter().find(|(name, _)| *name == module).unwrap();
        let Some(other) = reference.path.first().filter(|other| *other != module && modules.contains(other.as_str()))
        else {
            continue;
        };
        if *allowed != "*" && !allowed.split(' ').any(|it| it == other) {
            wrong.push(format!("{path}:{}: `{module}` uses `{other}`", reference.line));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn figures_stay_within_limits() {
    let files = files();
    let figures = figures(&files);
    println!("{:45} {:>7} {:>7}", "", "today", "limit");
    let mut wrong = Vec::new();
    for (figure, (name, limit)) in figures.iter().zip(LIMITS) {
        assert_eq!(figure.name, name);
        println!("{name:45} {:>7} {limit:>7}", figure.value);
        if figure.value > limit {
            wrong.push(format!("{name}: {}, not {limit}\n  {}", figure.value, figure.details.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn figures(files: &[SourceFile]) -> Vec<Figure> {
    let graph = Graph::new(files);
    let circles = graph.circles();
    let largest = circles.first().cloned().unwrap_or_default();
    let spanning: Vec<_> =
        circles.iter().filter(|circle| spans_folders(circle)).map(|circle| circle.join(" ")).collect();
    let types = types(files);
    let mut by_name = BTreeMap::<&str, Vec<&str>>::new();
    for (name, place) in &types {
        by_name.entry(name).or_default().push(place);
    }
    let one_word = types.iter().filter(|(name, _)| name.chars().filter(char::is_ascii_uppercase).count() == 1).count();
    by_name.retain(|name, places| places.len() > 1 && !MAY_STAND_TWICE.contains(name));
    let twice = by_name.iter().map(|(name, places)| format!("{name} {}", places.join(" "))).collect();
    let mut functions: Vec<_> = files.iter().flat_map(functions).collect();
    functions.sort();
    let longest_function = functions.last().cloned().unwrap();
    let long: Vec<_> =
        functions.iter().filter(|(lines, _)| *lines > 60).map(|(lines, name)| format!("{lines} {name}")).collect();
    let texts: Vec<_> = texts("src").into_iter().chain(texts("tests")).collect();
    let (length, longest) = texts.iter().map(|(path, text)| (text.lines().count(), path)).max().unwrap();
    let [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9] = LIMITS.map(|(name, _)| name);
    vec![
        Figure { name: f0, value: largest.len(), details: vec![largest.join(" ")] },
        Figure::count(f1, spanning),
        Figure::count(f2, against(&graph, "src/proxy/", &PROXY)),
        Figure::count(f3, against(&graph, "src/ui/", &UI)),
        Figure::count(f4, twice),
        Figure { name: f5, value: one_word * 100 / types.len(), details: Vec::new() },
        Figure::count(f6, long),
        Figure { name: f7, value: longest_function.0, details: vec![longest_function.1] },
        Figure { name: f8, value: functions[functions.len() * 99 / 100].0, details: Vec::new() },
        Figure { name: f9, value: length, details: vec![longest.clone()] },
    ]
}

fn spans_folders(files: &[&str]) -> bool {
    let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    files.iter().map(|path| folder(path)).collect::<BTreeSet<_>>().len() > 1
}

/// Imports inside a folder that go against the order of its rooms.
fn against(graph: &Graph<'_>, folder: &str, order: &[&str]) -> Vec<String> {
    let floor = |path| room(path, folder).and_then(|room| order.iter().position(|it| *it == room));
    let up = graph.edges().filter(|(from, to)| match (floor(from), floor(to)) {
        (Some(from), Some(to)) => from > to,
        _ => false,
    });
    // What is in no place of the order would be held to nothing.
    let unplaced: BTreeSet<_> = graph
        .edges()
        .flat_map(<[&str; 2]>::from)
        .filter(|path| room(path, folder).is_some_and(|room| room != "mod" && !order.contains(&room)))
        .collect();
    let unplaced = unplaced.into_iter().map(|path| format!("{path} has no place in the order"));
    up.map(|(from, to)| format!("{from} uses {to}")).chain(unplaced).collect()
}

/// Names of types with the file and line that define them; associated types have none of their own.
fn types(files: &[SourceFile]) -> Vec<(String, String)> {
    let mut types = Vec::new();
    for file in files {
        let mut depth = 0usize;
        for (at, token) in file.tokens.iter().enumerate() {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "struct" | "enum" | "trait" | "union" | "type" if depth == 0 || !token.is("type") => {
                    let name =
                        file.tokens.get(at + 1).filter(|name| name.text.starts_with(|c: char| c.is_ascii_uppercase()));
                    types.extend(name.map(|name| (name.text.clone(), format!("{}:{}", file.path, name.line))));
                }
                _ => {}
            }
        }
    }
    types
}

/// Functions of a file: how many lines they have, and which they are.
fn functions(file: &SourceFile) -> Vec<(usize, String)> {
    let tokens = &file.tokens;
    let starts = (0..tokens.len() - 1).filter(|at| tokens[*at].is("fn") && tokens[at + 1].is_name());
    let whole = starts.filter_map(|at| {
        let open = (at..tokens.len()).find(|at| tokens[*at].is("{") || tokens[*at].is(";"))?;
        let end = tokens[open].is("{").then(|| block_end(tokens, open))?;
        Some((
            tokens[end - 1].line - tokens[at].line + 1,
            format!("{} {}:{}", tokens[at + 1].text, file.path, tokens[at].line),
        ))
    });
    whole.collect()
}

/// The words of the protocol stand in `mcp/method.rs` and `headers/mod.rs`, and nowhere else in what is more than tests. `demo/` plays
/// servers and clients of others, which write their own messages.
#[test]
fn protocol_words_are_said_once() {
    const OWNERS: [&str; 3] = ["src/mcp/method.rs", "src/headers/mod.rs", "src/demo/"];
    let texts: BTreeMap<_, _> = texts("src").into_iter().collect();
    let quoted = |line: &str| line.split_once('"').and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
    let constants = |path: &str, begins: &str| -> Vec<String> {
        texts[path].lines().filter(|line| line.starts_with(begins)).filter_map(quoted).collect()
    };
    let mut words = constants("src/mcp/method.rs", "pub const");
    words.extend(constants("src/headers/mod.rs", "pub const"));
    assert!(words.len() > 30 && words.iter().any(|word| word == "mcp-session-id"), "{words:?}");
    let mut wrong = Vec::new();
    for file in files().iter().filter(|file| !OWNERS.iter().any(|owner| file.path.starts_with(owner))) {
        let lines: BTreeSet<_> = file.tokens.iter().map(|token| token.line).collect();
        for (number, line) in texts[&file.path].lines().enumerate().filter(|(at, _)| lines.contains(&(at + 1))) {
            let line = line.to_ascii_lowercase();
            // A word that ends with a slash is what others begin with.
            let is_in = |word: &&String| {
                let close = if word.ends_with('/') { "" } else { "\"" };
                line.contains(&format!("\"{}{close}", word.to_ascii_lowercase()))
            };
            wrong.extend(words.iter().find(is_in).map(|word| format!("{}:{}: `{word}`", file.path, number + 1)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn stdout_is_left_to_the_protocol() {
    for (path, text) in texts("src") {
        for word in ["println!", "eprintln!", "print!(", "dbg!("] {
            assert!(!text.contains(word), "{path} has `{word}`: stdout may be the protocol");
        }
    }
}

#[test]
fn test_names_begin_with_what_is_tested() {
    const TELL_NOTHING: [&str; 14] =
        ["a", "an", "the", "it", "what", "who", "which", "where", "when", "so", "any", "both", "one", "nothing"];
    for (path, text) in texts("src").into_iter().chain(texts("tests")) {
        let tests = text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)).flat_map(|after| {
            let name = after.lines().take(4).find_map(|line| line.split_once("fn ")).map(|(_, name)| name)?;
            name.split(['(', '_']).next()
        });
        for word in tests {
            assert!(
                !TELL_NOTHING.contains(&word),
                "{path}: a test's name begins with `{word}`, not with what it tests"
            );
        }
    }
}

#[test]
fn files_say_what_they_are_for() {
    for (path, text) in texts("src").into_iter().chain(texts("tests")) {
        assert!(path.ends_with("/tests.rs") || text.starts_with("//!"), "{path} does not say what it is for");
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
fn readme_commands_parse() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands: Vec<_> = readme.lines().filter_map(|line| line.trim().strip_prefix("$ tapline")).collect();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        // A variable is its reader's.
        let command = command.split(" 2>").next().unwrap().replace("${TOKEN}", "TOKEN");
        let words: Vec<_> = std::iter::once("tapline".to_owned()).chain(words(&command)).map(OsString::from).collect();
        let parsed = tapline::cli::Cli::read(&words);
        assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
    }
}

#[test]
fn interop_table_names_tests_that_exist() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/README.md")).unwrap();
    let (_, table) = readme.split_once("## Which test holds what").unwrap();
    let sources: Vec<_> = texts("src").into_iter().chain(texts("tests")).collect();
    let rows = table.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    let names: Vec<_> = rows.flat_map(|(_, holders)| holders.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names.iter().filter(|name| !name.contains(' ')) {
        let function = format!("fn {name}(");
        assert!(sources.iter().any(|(_, text)| text.contains(&function)), "there is no test `{name}`");
    }
}
