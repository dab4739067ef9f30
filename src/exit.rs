//! How tapline ends: an error with the exit status that goes with it, and the last line on stderr.
//!
//! Whatever is said by the program itself passes here and is made harmless: arguments, paths, names from files that others wrote.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};

use crate::secret::{Label, REDACTED, is_secret};
use crate::text::{sanitize, sanitize_lines};

/// Exit status for mistakes in the command line or the configuration.
const USAGE: u8 = 2;

/// What each exit status means: the one table, for the help and the man page.
pub const STATUSES: [(&str, &str); 5] = [
    (
        "0",
        "done, or nothing to do; of `replay`: every step passed; of `check`: in order; of `lint`: nothing found; of `doctor`: nothing to fix; of `search`: found",
    ),
    (
        "1",
        "the work failed: a step of a replay failed, or a line of its tape cannot be read, a server did not start or went away, a change was declined or could not be \
         written, `doctor` found something to fix, `lint` a message that breaks the protocol or a line that cannot be read; of `search`: nothing found, and all was read",
    ),
    (
        "2",
        "usage or configuration: arguments and settings that cannot be, or that name what is not there: a program, a file, a tape, a session, a \
         client, a tapline, a port that is free; of `search`, `tape diff` and `tape baseline`: a tape or a line that cannot be read, so that there may be more",
    ),
    ("130", "ended by SIGINT (ctrl c where there is no screen): 128 and the number of the signal"),
    ("143", "ended by SIGTERM, or by SIGHUP when the terminal went away"),
];

/// An error and the exit status that goes with it.
pub struct ExitError {
    status: u8,
    error: anyhow::Error,
}

impl ExitError {
    /// A mistake in how tapline was called.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { status: USAGE, error: error.into() }
    }

    /// What went wrong, with all its causes.
    pub fn text(&self) -> String {
        format!("{:#}", self.error)
    }

    /// Says on stderr what went wrong. Returns the exit status.
    pub fn report(&self) -> ExitCode {
        print_error(&self.text());
        ExitCode::from(self.status)
    }
}

/// An error of the work itself: exit status 1.
impl<E: Into<anyhow::Error>> From<E> for ExitError {
    fn from(error: E) -> Self {
        Self { status: 1, error: error.into() }
    }
}

/// Says why arguments cannot be taken, or what was asked for by `--help` and `--version`, which are no errors: they go to stdout with
/// status 0, the rest to stderr with status 2. What was typed may be a secret, or have been made to act on a terminal.
pub fn report_arguments(mut error: clap::Error) -> ExitCode {
    let status = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
    if !error.use_stderr() {
        let _ = error.print();
        return status;
    }
    mask(&mut error);
    // A parser of ours may have said it, too.
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    if sanitize(&source) == source {
        let _ = error.print();
    } else {
        print_stderr(&error.render().to_string().trim_end().replace('\n', "\n  "));
    }
    status
}

/// Masks what the user wrote where clap repeats it.
fn mask(error: &mut clap::Error) {
    let argument = text_of(error, ContextKind::InvalidArg).unwrap_or_default();
    let option = argument.split_whitespace().next().unwrap_or_default();
    // The name of a file is none, unless it is a header by mistake.
    let is_file = option == "--header-file"
        && !text_of(error, ContextKind::InvalidValue).is_some_and(|it| it.contains(':') && !Path::new(&it).exists());
    let is_delicate = !is_file && (option.contains("header") || is_secret(option));
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        let Some(typed) = text_of(error, kind).filter(|typed| !typed.is_empty()) else { continue };
        let shown = match kind == ContextKind::InvalidValue && is_delicate {
            true => REDACTED.to_owned(),
            false => sanitize(&Label::of_text(&typed)).into_owned(),
        };
        if sanitize(&typed) != typed {
            // It would be repeated there.
            error.insert(ContextKind::Suggested, ContextValue::None);
        }
        error.insert(kind, ContextValue::String(shown));
    }
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// How long a line may take to be written. A pipe that is not read, or a terminal that was stopped, must not keep us.
const PATIENCE: Duration = Duration::from_millis(500);

/// What went wrong, for the person at the terminal. Only its first line begins where lines begin: none in a name that others gave reads
/// as another one of ours.
pub fn print_error(text: &str) {
    print_stderr(&format!("tapline: {}", text.replace('\n', "\n  ")));
}

/// A line for the person at the terminal, or several. A closed stderr is no reason to fail, and one that takes nothing is none to wait.
pub fn print_stderr(text: &str) {
    let (line, (written, done)) = (format!("{}\n", sanitize_lines(text)), mpsc::channel::<()>());
    let writing = std::thread::Builder::new().spawn(move || {
        let _ = std::io::stderr().write_all(line.as_bytes());
        drop(written);
    });
    if writing.is_ok() {
        let _ = done.recv_timeout(PATIENCE);
    }
}
