//! From the words that were typed to a [`Cli`]: the one way in, for what clap alone would not take, or not say well.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, ColorChoice, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use crate::text::sanitize;

/// What separates tapline's own options from a command.
const DASHES: &str = "--";

impl Cli {
    /// Reads the words of a command line, the program's name first.
    ///
    /// A command is best given after `--`, since its options would be taken for tapline's. Who forgets that, and means nothing that
    /// could also be an option of tapline, is understood.
    ///
    /// # Errors
    /// Where it cannot be one, or asks for help.
    pub fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let error = match parse(words) {
            Err(error) if matches!(error.kind(), ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument) => {
                error
            }
            parsed => return parsed,
        };
        match command_without_dashes(words, &error).or_else(|| command_among_tapes(words)) {
            Some(at) => with_dashes(words, at).ok_or(error).unwrap_or_else(Err),
            None => Err(error),
        }
    }
}

fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let typed = unset(command(words), &|_| true).ignore_errors(true).try_get_matches_from(words);
    let mut command = typed.iter().fold(command(words), without_overruled);
    let mut matches = command.try_get_matches_from_mut(words).map_err(|error| naming_variable(error, words))?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// All subcommands and options. A variable that is empty counts as not set. The short help is short: of an option it says what it does,
/// not which variable does the same.
fn command(words: &[OsString]) -> Command {
    let own = own(words);
    let command = match color(own) {
        Some("always") => Cli::command().color(ColorChoice::Always),
        Some("never") => Cli::command().color(ColorChoice::Never),
        _ => Cli::command(),
    };
    let command = unset(command, &|arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty()));
    if own.iter().any(|word| word == "-h") { without_variables(command) } else { command }
}

fn without_variables(command: Command) -> Command {
    command.mut_args(|arg| arg.hide_env(true)).mut_subcommands(without_variables)
}

/// Variables are settings and no words: one that is in conflict with an option which was typed counts as not set.
fn without_overruled(command: Command, typed: &ArgMatches) -> Command {
    let mut built = command.clone();
    built.build();
    let is_typed = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    let conflicts = built.get_arguments().flat_map(|arg| {
        built.get_arg_conflicts_with(arg).into_iter().map(move |other| [arg.get_id().as_str(), other.get_id().as_str()])
    });
    let overruled: Vec<_> = conflicts
        .flat_map(|[one, other]| [(one, other), (other, one)])
        .filter(|(typed, other)| is_typed(typed) && !is_typed(other))
        .map(|(_, other)| other.to_owned())
        .collect();
    let command = unset(command, &|arg| overruled.iter().any(|it| it == arg.get_id()));
    match typed.subcommand() {
        Some((name, typed)) => command.mut_subcommand(name, |command| without_overruled(command, typed)),
        None => command,
    }
}

/// The error, with the variable whose value is refused: nobody typed the option that it stands for.
fn naming_variable(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg).cloned() else { return error };
    let is_typed =
        |error: clap::Error| error.get(ContextKind::InvalidArg) == Some(&ContextValue::String(option.clone()));
    if unset(command(words), &|_| true).try_get_matches_from(words).is_err_and(is_typed) {
        return error;
    }
    let mut whole = Cli::command();
    whole.build();
    let commands = || std::iter::once(&whole).chain(whole.get_subcommands());
    let mut options = commands().flat_map(Command::get_arguments).filter(|arg| arg.to_string() == option);
    if let Some(variable) = options.find_map(|arg| arg.get_env()) {
        let tip = format!("`{}` has that value", variable.to_string_lossy());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// As where the variables of these options are not set.
fn unset(command: Command, which: &dyn Fn(&Arg) -> bool) -> Command {
    let command = command.mut_args(|arg| if which(&arg) { arg.env(Resettable::Reset) } else { arg });
    command.mut_subcommands(|command| unset(command, which))
}

/// The words that are tapline's in any case.
fn own(words: &[OsString]) -> &[OsString] {
    &words[..words.iter().position(|word| word == DASHES).unwrap_or(words.len())]
}

/// What `--color` says: clap itself writes before it has read it.
fn color(own: &[OsString]) -> Option<&str> {
    let at = own.iter().position(|word| is_option(word, "--color") || is_option(word, "--colour"))?;
    match own[at].to_str()?.split_once('=') {
        Some((_, value)) => Some(value),
        None => own.get(at + 1)?.to_str(),
    }
}

fn is_option(word: &OsStr, option: &str) -> bool {
    word.to_str().is_some_and(|word| word.split('=').next() == Some(option))
}

/// Where the command begins that was given without `--`: at the word that fits nowhere.
fn command_without_dashes(words: &[OsString], error: &clap::Error) -> Option<usize> {
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return None };
    let is_there = !unknown.starts_with('-') && !words.iter().any(|word| word == DASHES);
    // It may also stand as the value of an option before it: the first that can be a command is one.
    let mut places = (0..words.len()).filter(|at| is_there && words[*at].to_string_lossy() == *unknown);
    places.find(|at| parse(&dashed(words, *at)).is_ok())
}

/// Where the command begins that stands without `--` behind a tape that is to be played: at the first word that is no name of a tape.
fn command_among_tapes(words: &[OsString]) -> Option<usize> {
    let verb = words.iter().position(|word| word == "replay").filter(|_| !words.iter().any(|word| word == DASHES))?;
    let is_tape = |word: &str| [".jsonl", ".zst"].iter().any(|end| word.ends_with(end)) || word.contains("://");
    (verb + 1..words.len()).find(|at| {
        let word = words[*at].to_string_lossy();
        !word.starts_with('-') && !is_tape(&word) && parse(&dashed(words, *at)).is_ok()
    })
}

fn dashed(words: &[OsString], at: usize) -> Vec<OsString> {
    [&words[..at], &[DASHES.into()], &words[at..]].concat()
}

/// The command line with `--` before the word at `at`; an error that shows it, where a word behind that may be tapline's.
fn with_dashes(words: &[OsString], at: usize) -> Option<Result<Cli, clap::Error>> {
    let mut whole = Cli::command();
    whole.build();
    let subcommand = words[..at].iter().find_map(|word| whole.find_subcommand(word))?;
    let command = &words[at..];
    let Some(shared) = command.iter().find(|word| is_known(subcommand, word)) else {
        return Some(parse(&dashed(words, at)));
    };
    // Only what is no value of an option: those may be secrets.
    let shown = |word: &OsStr| sanitize(word.to_string_lossy().split('=').next().unwrap_or_default()).into_owned();
    let text = format!(
        "`{}` after `{}` may be for tapline or for the command: put `--` before the command\n\n  tip: tapline {} ... -- {} ...\n",
        shown(shared),
        shown(&command[0]),
        subcommand.get_name(),
        shown(&command[0]),
    );
    let name = subcommand.get_name().to_owned();
    Some(Err(whole.find_subcommand_mut(&name)?.error(ErrorKind::UnknownArgument, text)))
}

/// Whether a word is an option of this subcommand.
fn is_known(subcommand: &Command, word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    let name = word.split('=').next().unwrap_or_default();
    subcommand.get_arguments().any(|arg| match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(long), _) => arg.get_long_and_visible_aliases().is_some_and(|known| known.contains(&long)),
        (None, Some(short)) => {
            short.chars().next().is_some_and(|it| arg.get_short() == Some(it)) && short.chars().count() == 1
        }
        (None, None) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::CliCommand;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn command_of(line: &str) -> Result<Vec<String>, String> {
        match Cli::read(&words(line)).map_err(|error| error.to_string())?.command {
            CliCommand::Run(args) => Ok(args.target.command),
            CliCommand::Stdio(args) => Ok(args.target.command),
            CliCommand::Replay(args) => Ok(args.target.command),
            _ => Err("another".to_owned()),
        }
    }

    #[test]
    fn command_is_taken_without_dashes_where_it_is_clear() {
        for (line, command) in [
            ("tapline run python server.py", "python server.py"),
            ("tapline run --headless --name npx npx -y some-server --port 3", "npx -y some-server --port 3"),
            ("tapline stdio uvx weather", "uvx weather"),
            ("tapline replay a.tape.jsonl --speed max python server.py", "python server.py"),
            ("tapline replay a.tape.jsonl b.tape.jsonl python -m server", "python -m server"),
            ("tapline replay a --filter x b.tape.jsonl.zst node s.js --stdio", "node s.js --stdio"),
            ("tapline run -- python --name x", "python --name x"),
        ] {
            assert_eq!(command_of(line), Ok(command.split(' ').map(str::to_owned).collect()), "{line}");
        }
    }

    #[test]
    fn command_that_shares_an_option_is_asked_about() {
        for (line, tip) in [
            ("tapline run python server.py --headless", "tapline run ... -- python ..."),
            ("tapline run --listen 1 --header a:s3cret python x.py --name=y", "`--name` after `python`"),
            ("tapline stdio uvx -h", "tapline stdio ... -- uvx ..."),
        ] {
            let told = command_of(line).expect_err(line);
            assert!(told.contains("put `--` before the command") && told.contains(tip), "{line}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        assert!(command_of("tapline run --nope python").expect_err("unknown").contains("--nope"));
        assert!(command_of("tapline sessions ls python").expect_err("unknown").contains("'python'"));
    }
}
