//! A running core in front of a person: a screen, or lines on stderr.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use super::doctor::clients_found;
use super::tape::write_form;
use crate::app::{Core, Settings};
use crate::cli::{LogFormat, is_terminal_dumb};
use crate::config::Config;
use crate::config::options::WatchOptions;
use crate::event::{Event, Level, LogLine};
use crate::exit::{ExitError, print_stderr};
use crate::screen::{self, LinePrinter, ScreenThread, Signals, screen_settings, until_down};
use crate::shadow::ShadowTally;
use crate::tape::export::archive;
use crate::text::sanitize;
use crate::{logging, ui};

/// A core, on whose screens is shown what is logged and worth a look; and the signals that end it, heard before anybody can find it.
pub(super) async fn start_core(settings: Settings) -> Result<(Core, Signals), ExitError> {
    let signals = Signals::new()?;
    let core = Core::start(settings).await.map_err(ExitError::usage)?;
    let journal = core.journal().clone();
    logging::show(move |line| journal.publish(Event::Log(line)));
    Ok((core, signals))
}

/// What was read, and what of it is not as it should be, on the event screen.
pub(super) fn report_config(config: &Config, core: &Core) {
    let read = config.files.iter().map(|file| (Level::Info, format!("settings are from {}", file.display())));
    let warnings = config.warnings.iter().map(|warning| (Level::Warn, warning.clone()));
    for (level, text) in read.chain(warnings) {
        core.journal().log(LogLine::new(level, "config", text));
    }
}

/// Shows a running core until it is told to stop, then takes it down.
pub(super) async fn observe(core: Core, signals: Signals, args: WatchOptions) -> Result<ExitCode, ExitError> {
    if has_screen(&args) { watch_screen(core, signals, &args).await } else { watch_lines(core, signals, &args).await }
}

pub(super) fn has_screen(args: &WatchOptions) -> bool {
    !args.headless && is_screen_possible()
}

/// Whether there is a terminal that can show a screen.
pub(super) fn is_screen_possible() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !is_terminal_dumb()
}

/// Said where a screen is missed.
pub(super) fn say_why_no_screen(headless: bool) {
    if !headless && std::io::stdout().is_terminal() && is_terminal_dumb() {
        let term = if std::env::var_os("TERM").is_some_and(|term| term == "dumb") { "`dumb`" } else { "not set" };
        print_stderr(&format!("tapline: `TERM` is {term}: a line a message instead of the screen"));
    }
}

/// Says that messages are held where no screen is here to answer them.
pub(super) fn announce_holds(core: &Core, watching: &WatchOptions) -> Option<String> {
    let filter = watching.hold.as_deref().filter(|filter| !filter.trim().is_empty())?;
    let how = match core.control() {
        Some(_) => "`tapline attach` in another terminal shows them, sends them on, and turns holding off",
        None => "no screen can answer them, as there is no control address: they wait until their client gives up",
    };
    let text = format!("messages that match `{filter}` are held, and no screen is here: {how}");
    core.journal().log(LogLine::new(Level::Warn, "hold", text.clone()));
    Some(text)
}

async fn watch_lines(core: Core, mut signals: Signals, args: &WatchOptions) -> Result<ExitCode, ExitError> {
    let printer = print_lines(&core, args.log_format);
    if args.log_format == LogFormat::Text {
        say_why_no_screen(args.headless);
    }
    announce_holds(&core, args);
    let signal = signals.next().await;
    until_down(core, args.on_quit, &mut signals).await;
    printer.finish();
    Ok(ExitCode::from(signal.status()))
}

pub(super) fn print_lines(core: &Core, format: LogFormat) -> LinePrinter {
    // A client that has waited for the greeting comes at once: what it does is heard, too.
    let reader = screen::read_feed(core.journal());
    // The first of the events says it where events are asked for: a line that is none would stop who reads them.
    if format == LogFormat::Text {
        print_stderr(&greeting(core));
    }
    screen::print(reader, format)
}

pub(super) fn greeting(core: &Core) -> String {
    sanitize(&format!("tapline: {} -> {}", core.url(), core.mounts().description())).into_owned()
}

async fn watch_screen(core: Core, signals: Signals, args: &WatchOptions) -> Result<ExitCode, ExitError> {
    let on_quit = args.on_quit;
    print_stderr(&greeting(&core));
    let settings = screen_settings(args.ascii, args.color, args.theme, args.memory);
    let history = if args.record { settings.history.clone() } else { None };
    let hints = paste_hints();
    let settings = ui::Settings {
        on_quit,
        filters: args.filters.clone(),
        history,
        hints,
        archive: Some(archive),
        tape_writer: Some(write_form),
        ..settings
    };
    let settings = ui::Settings {
        keys: args.keys.clone(),
        columns: args.columns.clone(),
        patience: args.patience.clone(),
        bell: args.bell,
        ..settings
    };
    let mut screen = ScreenThread::start(core.journal(), core.commands(), settings, signals)?;
    tokio::select! {
        () = core.quit() => {}
        // Without a word: it failed.
        () = screen.ended() => {}
    }
    screen.until_down(core, on_quit).await;
    screen.status()
}

/// What puts tapline in front of the clients that are found on this machine.
fn paste_hints() -> Vec<String> {
    let found = clients_found();
    let mut hints = Vec::new();
    if found.contains(&"claude-code") {
        hints.push("claude mcp add --transport http tapline URL".to_owned());
    }
    if let Some(first) = found.first() {
        hints.push(format!("tapline wrap {first}    (its servers through tapline; found here: {})", found.join(", ")));
    }
    hints
}

pub(super) fn print_shadow_counts(tally: &ShadowTally, format: LogFormat) {
    let counts = tally.counts().to_string();
    match format {
        LogFormat::Text => print_stderr(&format!("tapline: shadow: {counts}")),
        // In the form of the lines before it.
        LogFormat::Json => {
            let line = serde_json::to_string(&Event::Log(LogLine::new(Level::Info, "shadow", counts)));
            line.iter().for_each(|line| print_stderr(line));
        }
    }
}
