//! `tapline help`: the help of a subcommand, or a page about something else.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::topics::{Topic, VALUES};
use crate::cli::{Cli, ColorArg, HelpArgs};
use crate::config::source::nearest;
use crate::exit::{self, ExitError, STATUSES};
use crate::filter::OPERATORS;
use crate::text::sanitize;
use crate::ui;

/// Columns of a page.
const WIDTH: usize = 100;

pub(super) fn run(args: &HelpArgs, keys: &ui::KeyChoice, color: ColorArg) -> Result<ExitCode, ExitError> {
    let topic = match &args.about[..] {
        [name] => Topic::ALL.into_iter().find(|topic| topic.name() == name),
        _ => None,
    };
    match topic {
        Some(topic) => print(&page(topic, keys)),
        None => of_subcommand(&args.about, color),
    }
}

/// Writes to stdout. A reader that closes it early is no error.
pub(super) fn print(text: &str) -> Result<ExitCode, ExitError> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn of_subcommand(about: &[String], color: ColorArg) -> Result<ExitCode, ExitError> {
    let mut command = &Cli::command();
    for word in about {
        command = match command.get_subcommands().find(|it| it.get_name() == word && !it.is_hide_set()) {
            Some(command) => command,
            None => return Err(ExitError::usage(anyhow::anyhow!(unknown(word, command)))),
        };
    }
    let words =
        std::iter::once("tapline").chain(about.iter().map(String::as_str)).chain(["--color", color.word(), "--help"]);
    match Cli::read(&words.map(OsString::from).collect::<Vec<_>>()) {
        Err(help) => Ok(exit::report_arguments(help)),
        Ok(_) => unreachable!("`--help` is an error to clap"),
    }
}

fn unknown(word: &str, command: &clap::Command) -> String {
    let subcommands = command.get_subcommands().filter(|it| !it.is_hide_set()).map(clap::Command::get_name);
    let known: Vec<_> = subcommands.chain(Topic::ALL.map(Topic::name)).collect();
    let hint = match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.join(", ")),
    };
    format!("there is no help about `{}`; {hint}", sanitize(word))
}

/// A part of a page: what there is, and what each is.
pub(super) struct HelpSection {
    pub(super) title: String,
    pub(super) entries: Vec<(String, String)>,
    /// How wide the first column is.
    column: usize,
}

impl HelpSection {
    pub(super) fn new<'a>(title: &str, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let entries = entries.into_iter().map(|(left, right)| (left.to_owned(), right.to_owned()));
        Self { title: title.to_owned(), entries: entries.collect(), column: 20 }
    }

    fn with_column(self, column: usize) -> Self {
        Self { column, ..self }
    }
}

const FILTER_EXAMPLES: [(&str, &str); 5] = [
    ("~m tools/call & ~dur >100ms", "slow calls"),
    ("~tool search & ~j .params.arguments.limit > 10", "calls of a tool with such an argument"),
    ("~e", "errors: JSON-RPC, failed tools, HTTP"),
    ("!~m ping & !~n", "neither pings nor notifications"),
    ("~m tools/call & ~q", "calls, without their replies"),
];

/// What a page says.
pub(super) fn sections(topic: Topic, keys: &ui::KeyChoice) -> Vec<HelpSection> {
    match topic {
        Topic::Keys => ui::keys(keys)
            .into_iter()
            .map(|(place, keys)| HelpSection::new(place, keys.iter().map(|(key, what)| (key.as_str(), *what))))
            .collect(),
        Topic::Filters => vec![
            HelpSection::new("examples", FILTER_EXAMPLES).with_column(48),
            HelpSection::new("operators; joined by not, and, or, ( ), or ! & |", OPERATORS.iter().copied())
                .with_column(24),
        ],
        Topic::Values => {
            let entries = VALUES.map(|(name, what, examples)| (name, format!("{what}\nsuch as {examples}")));
            vec![HelpSection::new("", entries.iter().map(|(name, what)| (*name, what.as_str()))).with_column(12)]
        }
        Topic::ExitStatuses => vec![
            HelpSection::new("", STATUSES).with_column(8),
            HelpSection::new(
                "of `stdio`, and of no other",
                [("any", "the server's own status where the server ended, 128 and the signal where a signal ended it")],
            )
            .with_column(8),
        ],
    }
}

/// A page as text.
fn page(topic: Topic, keys: &ui::KeyChoice) -> String {
    let first = match topic {
        Topic::Keys => {
            "Keys of the screen, by the place where they work. `?` shows those of the place where you are first."
        }
        Topic::Filters => "Filters say what is shown (`f`), what is held (`i`, `--hold`) and what is found.",
        Topic::Values => "How values are written, on the command line and in files of settings.",
        Topic::ExitStatuses => "What the exit status of tapline means.",
    };
    let mut text = format!("{first}\n");
    for section in sections(topic, keys) {
        // A string takes everything.
        let _ = if section.title.is_empty() { writeln!(text) } else { writeln!(text, "\n{}", section.title) };
        let column = section.column;
        for (left, right) in &section.entries {
            let mut lines = right.split('\n').flat_map(|part| wrapped(part, WIDTH.saturating_sub(column + 4)));
            let _ = writeln!(text, "  {left:column$}  {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, "  {:column$}  {line}", "");
            }
        }
    }
    text
}

/// Breaks a text at its blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
