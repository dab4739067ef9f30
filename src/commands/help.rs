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

pub(super) fn run(args: &HelpArgs, color: ColorArg) -> Result<ExitCode, ExitError> {
    let topic = match &args.about[..] {
        [name] => Topic::ALL.into_iter().find(|topic| topic.name() == name),
        _ => None,
    };
    match topic {
        Some(topic) => print(&page(topic)),
        None => of_subcommand(&args.about, color),
    }
}

/// Writes to stdout; whoever reads no further has read enough.
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

/// A page as text.
pub(super) fn page(topic: Topic) -> String {
    match topic {
        Topic::Keys => keys(),
        Topic::Filters => filters(),
        Topic::Values => values(),
        Topic::ExitStatuses => exit_statuses(),
    }
}

fn keys() -> String {
    let mut text =
        "Keys of the screen, by the place where they work. `?` shows those of the place where you are first.\n"
            .to_owned();
    for (place, keys) in ui::keys() {
        section(&mut text, place, 20, keys.iter().map(|(key, what)| (key.as_str(), *what)));
    }
    text
}

fn filters() -> String {
    let mut text = "Filters say what is shown (`f`), what is held (`i`, `--hold`) and what is found.\n".to_owned();
    section(
        &mut text,
        "examples",
        48,
        [
            ("~m tools/call & ~dur >100ms", "slow calls"),
            ("~tool search & ~j .params.arguments.limit > 10", "calls of a tool with such an argument"),
            ("~e", "errors: JSON-RPC, failed tools, HTTP"),
            ("!~m ping & !~n", "neither pings nor notifications"),
            ("~m tools/call & ~q", "calls, without their replies"),
        ]
        .into_iter(),
    );
    section(&mut text, "operators; joined by not, and, or, ( ), or ! & |", 24, OPERATORS.iter().copied());
    text
}

fn values() -> String {
    let mut text = "How values are written, on the command line and in files of settings.\n".to_owned();
    for (name, what, examples) in VALUES {
        let _ = writeln!(text, "\n{name}");
        for line in wrapped(what, WIDTH - 2) {
            let _ = writeln!(text, "  {line}");
        }
        let _ = writeln!(text, "  such as   {examples}");
    }
    text
}

fn exit_statuses() -> String {
    let mut text = "What the exit status of tapline means.\n".to_owned();
    section(&mut text, "all subcommands", 8, STATUSES.iter().copied());
    section(
        &mut text,
        "of some",
        8,
        [("stdio", "the server's own status where the server ended, 128 and the signal where a signal ended it")]
            .into_iter(),
    );
    text
}

fn section<'a>(text: &mut String, title: &str, column: usize, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    let _ = writeln!(text, "\n{title}");
    for (left, right) in entries {
        let mut lines = wrapped(right, WIDTH.saturating_sub(column + 4)).into_iter();
        let _ = writeln!(text, "  {left:column$}  {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(text, "  {:column$}  {line}", "");
        }
    }
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
