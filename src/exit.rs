//! How tapline ends: an error with the exit status that goes with it, and the last line on stderr.

use std::io::Write as _;
use std::process::ExitCode;

/// Usage or configuration.
const USAGE: u8 = 2;

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

    /// Says on stderr what went wrong, with all its causes. Returns the exit status.
    pub fn report(&self) -> ExitCode {
        say(&format!("tapline: {:#}", self.error));
        ExitCode::from(self.status)
    }
}

/// The work failed.
impl<E: Into<anyhow::Error>> From<E> for ExitError {
    fn from(error: E) -> Self {
        Self { status: 1, error: error.into() }
    }
}

/// One line for the person at the terminal. A closed stderr is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
