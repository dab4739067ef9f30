//! `tapline doctor`: what is here, and what to fix. It looks, and changes nothing; no server is asked anything.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::check::is_program;
use super::help::print;
use crate::cli::{ColorArg, DoctorArgs, FrontArgs, is_terminal_dumb};
use crate::config::options::{FrontOptions, tapes_dir};
use crate::config::{Config, Directory};
use crate::control::registry::{Registry, RegistryEntry};
use crate::exit::ExitError;
use crate::store::{Database, default_path};
use crate::text::{pad, sanitize, size};
use crate::wrap::backup::{BackupStore, KeptBackup};
use crate::wrap::clients::{CLIENTS, ClientSystem, ConfigFile, HostEnvironment};
use crate::wrap::open::OpenedConfig;
use crate::{tape, ui};

/// Less room than this is soon no room.
const LITTLE_ROOM: u64 = 256 << 20;

/// The first of the year that this was written in: a clock before it was never set.
const YEAR_OF_WRITING: u64 = 1_767_225_600;

/// Programs that take what is copied, and where they do.
const CLIPBOARDS: [&str; 5] = ["tmux", "wl-copy", "xclip", "xsel", "pbcopy"];

/// How one of the things that `tapline doctor` looks at stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum FindingState {
    Ok,
    /// Worth to know, and nothing wrong.
    Note,
    Fix,
}

impl FindingState {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Fix => "fix",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Ok => "32",
            Self::Note => "36",
            Self::Fix => "31",
        }
    }
}

/// What was looked at, and what is to be done.
#[derive(Debug, Serialize)]
struct DoctorFinding {
    about: &'static str,
    state: FindingState,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl DoctorFinding {
    fn ok(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, state: FindingState::Ok, text: text.into(), fix: None }
    }

    fn note(about: &'static str, text: impl Into<String>) -> Self {
        Self { about, state: FindingState::Note, text: text.into(), fix: None }
    }

    fn fix(about: &'static str, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about, state: FindingState::Fix, text: text.into(), fix: Some(fix.into()) }
    }
}

/// All that `tapline doctor` found, in the order in which it is printed.
#[derive(Debug, Serialize)]
struct DoctorReport {
    version: &'static str,
    checks: Vec<DoctorFinding>,
    to_fix: usize,
}

pub(super) fn run(args: &DoctorArgs, color: ColorArg) -> Result<ExitCode, ExitError> {
    let checks = look();
    let to_fix = checks.iter().filter(|it| it.state == FindingState::Fix).count();
    let report = DoctorReport { version: env!("CARGO_PKG_VERSION"), checks, to_fix };
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&report).map_err(anyhow::Error::new)?))?;
    } else {
        print(&text(&report, color.is_wanted(std::io::stdout().is_terminal())))?;
    }
    Ok(if to_fix == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &DoctorReport, coloured: bool) -> String {
    let mut text = format!("tapline {}\n\n", report.version);
    for finding in &report.checks {
        let word = pad(finding.state.word(), 4);
        let word = if coloured { format!("\x1b[{}m{word}\x1b[0m", finding.state.colour()) } else { word };
        // A string takes everything.
        let _ = writeln!(text, "  {word}  {:11}  {}", finding.about, sanitize(&finding.text));
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "{:21}-> {}", "", sanitize(fix));
        }
    }
    let _ = match report.to_fix {
        0 => writeln!(text, "\nnothing to fix"),
        1 => writeln!(text, "\n1 thing to fix"),
        many => writeln!(text, "\n{many} things to fix"),
    };
    text
}

fn look() -> Vec<DoctorFinding> {
    let (config, settings) = settings();
    let running = Registry::of_user().list();
    let front = FrontOptions::of(FrontArgs::default(), &config.keys);
    let tapes = tapes_dir(None, &config.keys);
    let mut findings = vec![program()];
    findings.extend(settings);
    findings.push(port(front.listen, &running));
    findings.push(runtime_directory(&running));
    match tapes {
        Ok(dir) => findings.extend(tapes_in(&dir)),
        Err(error) => {
            findings.push(DoctorFinding::fix("tapes", error.to_string(), "set `HOME`, or give `--tapes DIR`"));
        }
    }
    findings.push(sessions());
    findings.extend(clients());
    findings.extend([terminal(), clipboard()]);
    findings
}

fn program() -> DoctorFinding {
    let own = std::env::current_exe().map_or_else(|_| "tapline".to_owned(), |path| path.display().to_string());
    if is_program("tapline") {
        return DoctorFinding::ok("program", own);
    }
    DoctorFinding::note(
        "program",
        format!("{own}; there is no `tapline` on `PATH` (`cargo install --path .` puts one there)"),
    )
}

/// The settings as far as they can be read, and what is to be said of them.
fn settings() -> (Config, Vec<DoctorFinding>) {
    let config = match Config::load(None, Directory::Chosen) {
        Ok(config) => config,
        Err(error) => {
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            let finding = DoctorFinding::fix("settings", first, "`tapline check` shows the place");
            return (Config::default(), vec![finding]);
        }
    };
    let files: Vec<_> = config.files.iter().map(|file| file.display().to_string()).collect();
    let read = if files.is_empty() { "no files; all is as usual".to_owned() } else { files.join(", ") };
    let warnings = config.warnings.iter().map(|it| DoctorFinding::fix("settings", it, "`tapline check` says more"));
    let findings = std::iter::once(DoctorFinding::ok("settings", read)).chain(warnings).collect();
    (config, findings)
}

/// Whether `tapline run` could listen.
fn port(address: SocketAddr, running: &[RegistryEntry]) -> DoctorFinding {
    let other = running.iter().find(|entry| entry.front.contains(&format!("//{address}")));
    match (TcpListener::bind(address), other) {
        (Ok(_), _) => DoctorFinding::ok("port", format!("{address} is free for `tapline run`")),
        (Err(_), Some(entry)) => {
            let text = format!("{address} is that of the tapline `{}` (process {})", entry.name, entry.pid);
            DoctorFinding::note("port", text)
        }
        (Err(error), None) => {
            let fix = "`tapline run --listen 0` takes a free one, `listen` in tapline.toml another for good";
            DoctorFinding::fix("port", format!("{address} cannot be listened on: {error}"), fix)
        }
    }
}

fn runtime_directory(running: &[RegistryEntry]) -> DoctorFinding {
    let names: Vec<_> = running.iter().map(|entry| format!("{} ({})", entry.name, entry.pid)).collect();
    let names = if names.is_empty() { "none runs".to_owned() } else { format!("running: {}", names.join(", ")) };
    match Registry::of_user().place() {
        Ok(place) => DoctorFinding::ok("taplines", format!("{names}; they are listed in {}", place.display())),
        Err(error) => {
            let fix = "`tapline attach` finds nothing without it: `XDG_RUNTIME_DIR` names one that is yours alone (mode 0700)";
            DoctorFinding::fix("taplines", error.to_string(), fix)
        }
    }
}

/// The tapes, the room for more, and whether the clock went back since the newest.
fn tapes_in(dir: &Path) -> Vec<DoctorFinding> {
    let files = match tape::tape_files(dir) {
        Ok(files) => files,
        Err(error) => {
            return vec![DoctorFinding::fix("tapes", error.to_string(), "`--tapes DIR` takes another directory")];
        }
    };
    let (mut count, mut bytes, mut newest) = (0_usize, 0, SystemTime::UNIX_EPOCH);
    for known in files.iter().filter_map(|file| file.metadata().ok()) {
        count += 1;
        bytes += known.len();
        newest = newest.max(known.modified().unwrap_or(newest));
    }
    let text = format!("{count} in {}, {}", dir.display(), size(bytes));
    vec![room(dir, &text), clock(newest)]
}

fn room(dir: &Path, text: &str) -> DoctorFinding {
    let there = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
    let is_writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok();
    let free = rustix::fs::statvfs(there).map_or(u64::MAX, |known| known.f_bavail.saturating_mul(known.f_frsize));
    if !is_writable {
        let fix = "`--tapes DIR` takes another directory, `--no-record` none";
        return DoctorFinding::fix("tapes", format!("{text}; {} cannot be written to", there.display()), fix);
    }
    if free < LITTLE_ROOM {
        let fix = "`tapline sessions rm --older-than 30d --tapes` removes old ones";
        return DoctorFinding::fix("tapes", format!("{text}; {} are free", size(free)), fix);
    }
    DoctorFinding::ok("tapes", format!("{text}; {} are free", size(free)))
}

/// Tapes, sessions and tokens are dated by it.
fn clock(newest: SystemTime) -> DoctorFinding {
    let (now, fix) = (SystemTime::now(), "set the system's clock: tapes, sessions and tokens are dated by it");
    let zone = jiff::tz::TimeZone::system();
    let zone = zone.iana_name().map_or_else(|| "local time".to_owned(), str::to_owned);
    if now < SystemTime::UNIX_EPOCH + Duration::from_secs(YEAR_OF_WRITING) {
        return DoctorFinding::fix("clock", "it says a year that is over", fix);
    }
    // A file system may round.
    if newest > now + Duration::from_secs(60) {
        return DoctorFinding::fix("clock", "the newest tape is of the future: the clock went back", fix);
    }
    DoctorFinding::ok("clock", format!("{} {zone}", jiff::Zoned::now().strftime("%F %T")))
}

fn sessions() -> DoctorFinding {
    let path = std::env::var_os("TAPLINE_DATABASE").map(PathBuf::from).or_else(default_path);
    let Some(path) = path else {
        return DoctorFinding::fix(
            "sessions",
            "no place to keep them is known",
            "set `HOME`, or give `--database FILE`",
        );
    };
    if !path.exists() {
        return DoctorFinding::ok("sessions", "none are kept yet");
    }
    match Database::open_existing(&path).and_then(|database| database.sessions()) {
        Ok(known) => DoctorFinding::ok("sessions", format!("{} kept in {}", known.len(), path.display())),
        Err(error) => {
            let fix = "move the file away: tapline makes another, and sessions of before are not resumed";
            DoctorFinding::fix("sessions", error.to_string(), fix)
        }
    }
}

/// The names of the MCP clients that have a configuration on this machine.
pub(super) fn clients_found() -> Vec<&'static str> {
    let Ok(home) = etcetera::home_dir() else { return Vec::new() };
    let working_dir = std::env::current_dir().unwrap_or_else(|_| home.clone());
    let system = if cfg!(target_os = "macos") { ClientSystem::Mac } else { ClientSystem::Linux };
    let machine = HostEnvironment { system, home, working_dir, variable: &|name| std::env::var_os(name) };
    CLIENTS.iter().filter(|client| !client.files(&machine).is_empty()).map(|client| client.name).collect()
}

/// The MCP clients on this machine, with what of them goes through tapline.
fn clients() -> Vec<DoctorFinding> {
    let (Ok(home), Some(store)) = (etcetera::home_dir(), BackupStore::of_user()) else {
        return vec![DoctorFinding::fix("clients", "no home directory", "set `HOME`")];
    };
    let working_dir = std::env::current_dir().unwrap_or_else(|_| home.clone());
    let system = if cfg!(target_os = "macos") { ClientSystem::Mac } else { ClientSystem::Linux };
    let machine = HostEnvironment { system, home, working_dir, variable: &|name| std::env::var_os(name) };
    let files: Vec<_> = CLIENTS.iter().flat_map(|client| client.files(&machine)).collect();
    if files.is_empty() {
        return vec![DoctorFinding::note("clients", "none found; `tapline wrap FILE` takes any configuration")];
    }
    files.iter().map(|file| client(file, &store)).collect()
}

fn client(file: &ConfigFile, store: &BackupStore) -> DoctorFinding {
    let name = file.client.unwrap_or("client");
    let place = format!("{name}, {}", file.path.display());
    let opened = match OpenedConfig::new(file, store, "tapline") {
        Ok(opened) => opened,
        Err(error) => return DoctorFinding::fix("clients", format!("{place}: {error}"), "correct the file"),
    };
    let programs = match &opened.kept {
        KeptBackup::Whole(backup) => backup.record.programs.clone(),
        KeptBackup::Nothing | KeptBackup::Broken { .. } => Vec::new(),
    };
    let wrapped: Vec<_> = opened.servers.iter().filter(|it| it.wrapped).map(|it| it.name().to_owned()).collect();
    if let (false, Some(gone)) = (wrapped.is_empty(), programs.iter().find(|program| !is_program(program))) {
        let text = format!("{place}: {} go through {gone}, which is not there", wrapped.join(", "));
        return DoctorFinding::fix("clients", text, format!("`tapline unwrap {name}`, then `tapline wrap {name}`"));
    }
    let servers = match opened.servers.len() {
        1 => "1 server".to_owned(),
        many => format!("{many} servers"),
    };
    let through =
        if wrapped.is_empty() { "none wrapped".to_owned() } else { format!("wrapped: {}", wrapped.join(", ")) };
    DoctorFinding::ok("clients", format!("{place}: {servers}, {through}"))
}

fn terminal() -> DoctorFinding {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let term = variable("TERM");
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return DoctorFinding::note("terminal", "none here: `tapline run` prints lines in place of the screen");
    }
    if is_terminal_dumb() {
        let fix = "set `TERM` to what the terminal is, such as `xterm-256color`";
        return DoctorFinding::fix("terminal", format!("`TERM` is `{term}`, which can show no screen"), fix);
    }
    let colours = match variable("COLORTERM").as_str() {
        "truecolor" | "24bit" => "all colours",
        _ if term.contains("256color") => "256 colours",
        _ => "16 colours",
    };
    let asked = if ColorArg::Auto.is_wanted(true) { colours } else { "no colour, as `NO_COLOR` asks" };
    let signs = if ui::Settings::from_env().ascii { "ASCII, as the locale is not UTF-8" } else { "UTF-8" };
    let cells =
        crossterm::terminal::size().map_or_else(|_| String::new(), |(columns, rows)| format!(", {columns}x{rows}"));
    let pictures = match ui::graphics_here() {
        Some(ui::Graphics { protocol: ui::GraphicsProtocol::Kitty, .. }) => "pictures (Kitty)",
        Some(ui::Graphics { protocol: ui::GraphicsProtocol::Iterm, .. }) => "pictures (iTerm2)",
        Some(ui::Graphics { protocol: ui::GraphicsProtocol::Sixel, .. }) => "pictures (Sixel)",
        None => "pictures described",
    };
    DoctorFinding::ok("terminal", format!("{term}{cells}, {asked}, {signs}, {pictures}"))
}

fn clipboard() -> DoctorFinding {
    let is_inside = std::env::var_os("TMUX").is_some();
    let helps = |tool: &&str| is_program(tool) && (is_inside || *tool != "tmux");
    let tools: Vec<_> = CLIPBOARDS.into_iter().filter(helps).collect();
    let tools = if tools.is_empty() { "no program for it here".to_owned() } else { tools.join(", ") };
    if is_inside {
        let text = format!("inside tmux: `set -g set-clipboard on` in ~/.tmux.conf lets what is copied out; {tools}");
        return DoctorFinding::note("clipboard", text);
    }
    DoctorFinding::ok("clipboard", format!("by the terminal (OSC 52); {tools}"))
}
