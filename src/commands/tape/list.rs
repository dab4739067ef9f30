//! `tapline tape ls`: a table of tapes, branches below what they branched off.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::tz::TimeZone;

use super::shelf::{TapeShelf, short_name, tapes_in};
use crate::commands::help::print;
use crate::envelope::SessionId;
use crate::event::{TapeParent, Timestamp, branch_order};
use crate::exit::ExitError;
use crate::tape::care::TapeSummary;
use crate::text::{fit, harmless_json, micros_with_unit, pad, sanitize, size, width};

/// A tape, or why it cannot be read.
struct ListedTape {
    path: PathBuf,
    read: Result<TapeSummary, String>,
}

impl ListedTape {
    fn started(&self) -> Timestamp {
        self.read.as_ref().map_or(Timestamp(0), |it| it.header.started)
    }

    fn session(&self) -> Option<SessionId> {
        self.read.as_ref().ok().map(|it| it.header.session)
    }

    fn parent(&self) -> Option<TapeParent> {
        self.read.as_ref().ok()?.header.parent
    }
}

pub(super) fn run(shelf: &TapeShelf, paths: &[PathBuf], json: bool) -> Result<ExitCode, ExitError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { files.extend(tapes_in(path)?) } else { files.push(shelf.find(path)?) }
    }
    let place = if paths.is_empty() { Some(shelf.dir()?) } else { None };
    files.extend(place.map(tapes_in).transpose()?.unwrap_or_default());
    let mut tapes: Vec<_> = files
        .into_iter()
        .map(|path| {
            let read = TapeSummary::of(&path).map_err(|error| error.to_string());
            ListedTape { path, read }
        })
        .collect();
    tapes.sort_by(|a, b| (b.started(), &b.path).cmp(&(a.started(), &a.path)));
    if json {
        let lines = tapes.iter().map(|tape| match &tape.read {
            Ok(summary) => serde_json::to_string(summary).expect("all keys are strings"),
            Err(why) => serde_json::json!({ "path": tape.path, "problems": [why] }).to_string(),
        });
        return print(&lines.map(|line| harmless_json(&line).into_owned() + "\n").collect::<String>());
    }
    if tapes.is_empty() {
        let place = place.map_or("there".to_owned(), |dir| dir.display().to_string());
        return print(&format!("no tapes in {}; `tapline demo` makes one\n", sanitize(&place)));
    }
    print(&table(&tapes))
}

fn table(tapes: &[ListedTape]) -> String {
    let order = branch_order(&tapes.iter().map(|tape| (tape.session(), tape.parent())).collect::<Vec<_>>());
    let rows: Vec<[String; 9]> = order.into_iter().map(|(place, depth)| row(&tapes[place], depth)).collect();
    let titles = ["TAPE", "STARTED", "CLIENT", "SERVER", "MSGS", "ERR", "SIZE", "TOOK", "TOOLS"].map(str::to_owned);
    let widths: Vec<_> = (0..titles.len())
        .map(|at| rows.iter().chain([&titles]).map(|row| width(&row[at])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
            4..=7 => format!("{}{cell}", " ".repeat(width.saturating_sub(crate::text::width(cell)))),
            _ => pad(cell, *width),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(tape: &ListedTape, depth: usize) -> [String; 9] {
    let branch = if depth > 0 { format!("{}└ ", "  ".repeat(depth - 1)) } else { String::new() };
    let name = format!("{branch}{}", sanitize(&short_name(&tape.path)));
    let summary = match &tape.read {
        Ok(summary) => summary,
        Err(why) => {
            let none = String::new;
            return [
                name,
                none(),
                none(),
                none(),
                none(),
                none(),
                file_size(&tape.path),
                none(),
                sanitize(why).into_owned(),
            ];
        }
    };
    let at = summary.header.parent.map(|parent| format!("from {}  ", parent.seq)).unwrap_or_default();
    let client = summary.header.peers.client.as_ref().map(|it| it.text()).unwrap_or_default();
    [
        name,
        started(summary.header.started),
        fit(&sanitize(&client), 28),
        fit(&sanitize(&summary.server()), 36),
        summary.messages.to_string(),
        if summary.errors > 0 { summary.errors.to_string() } else { String::new() },
        size(summary.bytes),
        micros_with_unit(summary.took),
        format!("{at}{}", remarks(summary)),
    ]
}

/// The tools that were called, and whatever else is to be known.
fn remarks(summary: &TapeSummary) -> String {
    let tools =
        summary.tools.iter().map(|(tool, count)| if *count > 1 { format!("{tool} ×{count}") } else { tool.clone() });
    let tools = fit(&sanitize(&tools.collect::<Vec<_>>().join(", ")), 48);
    let flag = match (summary.header.unredacted, summary.header.has_redacted_bodies()) {
        (_, true) => None,
        (true, false) => Some("[recorded with secrets]"),
        (false, false) => Some("[secrets in bodies]"),
    };
    let flags = flag.map(str::to_owned);
    let notes = summary.notes.iter().map(|note| format!("“{}”", fit(&sanitize(note), 48)));
    let problems = summary.problems.iter().map(|it| format!("! {}", sanitize(it)));
    let parts = std::iter::once(tools).chain(flags).chain(notes).chain(problems);
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

pub(super) fn started(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    at.map_or_else(String::new, |it| it.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn file_size(path: &Path) -> String {
    std::fs::metadata(path).map_or_else(|_| String::new(), |it| size(it.len()))
}
