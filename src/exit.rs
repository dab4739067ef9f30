//! How tapline ends: an error with the exit status that goes with it, and the last line on stderr.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

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

/// How long a line may take to be written. A pipe that nobody reads, or a terminal that was stopped, must not keep us.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line for the person at the terminal. A closed stderr is no reason to fail, and one that takes nothing is none to wait.
pub fn say(line: &str) {
    let (line, (written, done)) = (format!("{line}\n"), mpsc::channel::<()>());
    let writing = std::thread::Builder::new().spawn(move || {
        let _ = std::io::stderr().write_all(line.as_bytes());
        drop(written);
    });
    if writing.is_ok() {
        let _ = done.recv_timeout(PATIENCE);
    }
}
