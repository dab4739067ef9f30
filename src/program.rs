//! The subcommands: from parsed arguments to an exit status.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;

use crate::app::{Core, Settings};
use crate::cli::{Cli, Command, LogFormat, RunArgs, TargetArgs, WatchArgs};
use crate::event::{Feed, OnQuit};
use crate::proxy::table::Target;
use crate::upstream::guardian::{self, Guardian};
use crate::upstream::http::{ExtraHeaders, HttpUpstream};
use crate::upstream::stdio::CommandLine;
use crate::{headless, tape};

/// Events a screen may lag behind before it must ask for everything again.
const FEED: usize = 65_536;

/// Usage or configuration.
const USAGE: u8 = 2;

/// Runs a subcommand to its end.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Guardian => {
            guardian::run(std::io::stdin().lock());
            ExitCode::SUCCESS
        }
        command => match with_runtime(command) {
            Ok(code) => code,
            Err(failure) => {
                say(&format!("tapline: {:#}", failure.error));
                ExitCode::from(failure.status)
            }
        },
    }
}

/// An error and the exit status that goes with it.
pub struct Failure {
    status: u8,
    error: anyhow::Error,
}

impl Failure {
    /// A mistake in how tapline was called.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { status: USAGE, error: error.into() }
    }
}

/// The work failed.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { status: 1, error: error.into() }
    }
}

fn with_runtime(command: Command) -> Result<ExitCode, Failure> {
    // reqwest takes the process's provider, and panics without one. Already installed is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(args) => run_proxy(args).await,
            _ => Ok(ExitCode::SUCCESS),
        }
    });
    // Blocking reads of stdin cannot be cancelled: do not wait for them.
    runtime.shutdown_background();
    result
}

async fn run_proxy(args: RunArgs) -> Result<ExitCode, Failure> {
    let target = target(args.target, args.headers)?;
    let tapes = tape_dir(&args.watch)?;
    let settings = Settings {
        listen: args.listen,
        target,
        tapes: tapes.clone().filter(|_| !args.watch.no_record),
        tape_library: tapes,
        hold: args.watch.hold.clone(),
        allow_hosts: args.allow_hosts,
        allow_origins: args.allow_origins,
        max_body: args.max_body.saturating_mul(1 << 20),
    };
    let core = Core::start(settings).await.map_err(Failure::usage)?;
    watch(core, args.watch).await
}

/// Shows a running core until it is told to stop, then takes it down.
async fn watch(core: Core, args: WatchArgs) -> Result<ExitCode, Failure> {
    let on_quit = args.on_quit.map(OnQuit::from);
    watch_headless(core, args.log_format, on_quit).await
}

async fn watch_headless(core: Core, format: LogFormat, on_quit: Option<OnQuit>) -> Result<ExitCode, Failure> {
    let (feed, reader) = Feed::bounded(FEED);
    // Before anyone can know that there is something to end.
    let mut signals = Signals::new()?;
    say(&format!("tapline: {} -> {}", core.url(), core.table().target().label()));
    core.journal().subscribe(feed);
    let printer = std::thread::spawn(move || headless::run(&reader, format, std::io::stderr()));
    let signal = signals.next().await;
    core.shut_down(on_quit).await;
    drop(printer.join());
    Ok(ExitCode::from(signal.status()))
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// 128 and the number of the signal, as shells have it.
    fn status(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hang_up.recv() => Signal::Terminate,
        }
    }
}

fn target(args: TargetArgs, headers: ExtraHeaders) -> Result<Target, Failure> {
    if let Some(url) = args.upstream {
        let upstream = HttpUpstream::new(&url, headers).map_err(|why| Failure::usage(anyhow::anyhow!(why)))?;
        return Ok(Target::Server(Arc::new(upstream)));
    }
    let command = CommandLine::new(&args.command).context("no command after `--`").map_err(Failure::usage)?;
    let program = std::env::current_exe().context("cannot find tapline's own program file")?;
    Ok(Target::Command(command, Guardian::new(program)))
}

/// Where tapes are; `None` only where nothing is recorded and no place is known.
fn tape_dir(args: &WatchArgs) -> Result<Option<PathBuf>, Failure> {
    match (&args.tapes, tape::default_dir()) {
        (Some(dir), _) => Ok(Some(dir.clone())),
        (None, Ok(dir)) => Ok(Some(dir)),
        (None, Err(_)) if args.no_record => Ok(None),
        (None, Err(error)) => Err(Failure::usage(error)),
    }
}

/// One line for the person at the terminal. A closed stderr is no reason to fail.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
