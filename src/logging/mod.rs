//! tapline's own log: what it does, to debug tapline. In a file where one is asked for, and, as far as it is worth a look,
//! among the events on every screen. Never on stdout, and never on the terminal of a screen.
//!
//! Two ways meet here without a loop. A line of the core's ([`LogLine`]) goes to the file by [`log()`], under a target of its own that
//! the way to the screens leaves out. What is logged otherwise goes to both.

mod disk;

use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Metadata, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use self::disk::LogPlace;
use crate::envelope::SessionId;
use crate::event::{Level, LogLine};

/// The target of log lines that are on every screen already.
const TOLD: &str = "tapline::told";
/// The source of a line on the screen that only the log has otherwise.
const SOURCE: &str = "log";

/// Lines that wait for the first screen.
const MOST_EARLY: usize = 100;

/// Where lines for the screens go.
static SINK: Mutex<ScreenSink> = Mutex::new(ScreenSink::Waiting(Vec::new()));

enum ScreenSink {
    /// There is no core yet; lines wait here for it.
    Waiting(Vec<LogLine>),
    Open(Arc<dyn Fn(LogLine) + Send + Sync>),
}

/// Begins to log. What the disk gets follows `filter`, in the syntax of `tracing_subscriber::EnvFilter`. The guard must live as
/// long as the program: dropping it writes what is left.
///
/// # Errors
/// Where the place cannot be written to, or the filter cannot be parsed.
pub fn start(place: Option<&LogPlace>, filter: &str) -> anyhow::Result<Option<WorkerGuard>> {
    let Some(place) = place else {
        tracing_subscriber::registry().with(screens()).init();
        return Ok(None);
    };
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`--log {filter}`"))?;
    let disk = place.open().with_context(|| format!("cannot write the log to {}", place.path().display()))?;
    let (writer, guard) = tracing_appender::non_blocking(disk);
    let lines = fmt::layer().with_ansi(false).with_writer(writer).with_filter(filter);
    tracing_subscriber::registry().with(lines).with(screens()).init();
    Ok(Some(guard))
}

/// Sends what is worth a look to these screens, also what was said before there were any.
pub fn show(screens: impl Fn(LogLine) + Send + Sync + 'static) {
    let screens = Arc::new(screens);
    if let ScreenSink::Waiting(early) = std::mem::replace(&mut *SINK.lock(), ScreenSink::Open(screens.clone())) {
        early.into_iter().for_each(|line| screens(line));
    }
}

/// Writes a line to the log file; the screens get it from the journal.
pub fn log(line: &LogLine) {
    let LogLine { level, source, text, .. } = line;
    let session = line.session.map(SessionId::short);
    let (source, session, seq) = (source.as_str(), session.as_deref(), line.seq.map(|seq| seq.0));
    match level {
        Level::Debug => tracing::debug!(target: TOLD, source, session, seq, "{text}"),
        Level::Info => tracing::info!(target: TOLD, source, session, seq, "{text}"),
        Level::Warn => tracing::warn!(target: TOLD, source, session, seq, "{text}"),
        Level::Error => tracing::error!(target: TOLD, source, session, seq, "{text}"),
    }
}

fn is_for_screens(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let ours = target == "tapline" || target.starts_with("tapline::");
    // No spans: where the file wants none, they cost nothing.
    metadata.is_event() && ours && target != TOLD && *metadata.level() <= tracing::Level::INFO
}

/// Sends a line to the screens, from code that has no journal at hand.
fn send_to_screens(level: Level, text: String) {
    let line = LogLine::new(level, SOURCE, text);
    let screens = match &mut *SINK.lock() {
        ScreenSink::Open(screens) => screens.clone(),
        ScreenSink::Waiting(early) if early.len() < MOST_EARLY => return early.push(line),
        ScreenSink::Waiting(_) => return,
    };
    screens(line);
}

fn screens<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    ScreenLayer.with_filter(filter_fn(is_for_screens).with_max_level_hint(tracing::Level::INFO))
}

struct ScreenLayer;

impl<S: Subscriber> Layer<S> for ScreenLayer {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            _ => Level::Info,
        };
        let mut words = EventText::default();
        event.record(&mut words);
        send_to_screens(level, words.0);
    }
}

/// An event as one line: its message, and then its fields.
#[derive(Default)]
struct EventText(String);

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = match field.name() {
            "message" if self.0.is_empty() => format!("{value:?}"),
            "message" => return self.0.insert_str(0, &format!("{value:?} ")),
            name if self.0.is_empty() => format!("{name}={value:?}"),
            name => format!(" {name}={value:?}"),
        };
        // A string takes everything.
        let _ = self.0.write_str(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_get_warnings_and_nothing_twice() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        show(move |line| told.lock().push(format!("{} {} {}", line.level.word(), line.source, line.text)));
        // Other tests of this process may speak, too.
        let ours = |line: &String| !line.contains("/dev/full");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(screens()), || {
            tracing::warn!(error = %"no such file", count = 2, "cannot read");
            tracing::info!("as it should be");
            tracing::debug!("too fine");
            tracing::error!(target: "hyper::proto", "a stranger");
            log(&LogLine::new(Level::Error, "proxy", "told already"));
            assert!(tracing::info_span!("exchange").is_disabled(), "nobody pays for spans");
        });
        let lines: Vec<_> = lines.lock().iter().filter(|line| ours(line)).cloned().collect();
        assert_eq!(lines, ["WARN log cannot read error=no such file count=2", "INFO log as it should be"]);
    }
}
