//! tapline's own log: what it does, for whoever debugs tapline. Never on stdout, and never on the terminal of a screen.

use std::path::Path;

use anyhow::Context as _;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// Writes the log to a file, appending. What is logged follows `filter`, in the syntax of `tracing_subscriber::EnvFilter`.
/// The guard must live as long as the program: dropping it writes what is left.
///
/// # Errors
/// Where the file cannot be opened, or the filter cannot be parsed.
pub fn to_file(file: &Path, filter: &str) -> anyhow::Result<WorkerGuard> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`--log {filter}`"))?;
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
    let opened = opened.with_context(|| format!("cannot write the log to {}", file.display()))?;
    let (writer, guard) = tracing_appender::non_blocking(opened);
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer).init();
    Ok(guard)
}
