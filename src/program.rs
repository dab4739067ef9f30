//! The subcommands: from parsed arguments to an exit status.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{Core, Settings};
use crate::attach;
use crate::cli::{
    Cli, Command, ControlArgs, DemoArgs, LogFormat, OtlpArgs, ReplayArgs, RunArgs, StdioArgs, TargetArgs, TransportArg,
    WatchArgs,
};
use crate::control::hub::{Hub, Own, Watch};
use crate::control::merge::About;
use crate::control::registry::Registry;
use crate::control::{server as control, short_name};
use crate::demo::server::{Scenario, ServerOptions};
use crate::event::OnQuit;
use crate::proxy::exchange::Link;
use crate::proxy::mounts::Placed;
use crate::proxy::stdio::{Blocking, Ends, Launched};
use crate::proxy::table::Target;
use crate::replay::{self, Replay, Verdict};
use crate::tape::Tape;
use crate::upstream::guardian::{self, Guardian};
use crate::upstream::http::{ExtraHeaders, HttpUpstream};
use crate::upstream::sse::SseUpstream;
use crate::upstream::stdio::CommandLine;
use crate::watch::{Screen, Signal, Signals, print_journal, screen_settings};
use crate::{demo, logging, otlp, tape, ui, wrap};

/// How long what a screen said last may take to the core.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Time between two exchanges of the demo's client, and between two messages of a stream of its server.
const DEMO_PACE: Duration = Duration::from_millis(700);
const DEMO_STREAM_PACE: Duration = Duration::from_millis(150);

/// Usage or configuration.
const USAGE: u8 = 2;

/// Runs a subcommand to its end.
pub fn run(cli: Cli) -> ExitCode {
    let _log = match cli.log_file.as_deref().map(|file| logging::to_file(file, &cli.log)).transpose() {
        Ok(guard) => guard,
        Err(error) => {
            say(&format!("tapline: {error:#}"));
            return ExitCode::from(USAGE);
        }
    };
    match cli.command {
        Command::Guardian => {
            guardian::run(std::io::stdin().lock());
            ExitCode::SUCCESS
        }
        Command::Wrap(args) => wrap::command::wrap(&args),
        Command::Unwrap(args) => wrap::command::unwrap(&args),
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
    let mut builder = match command {
        // One client and one server: a line that changes threads on its way costs more than all the rest that happens to it.
        Command::Stdio(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.enable_all().build().context("no runtime")?;
    let result = runtime.block_on(async {
        match command {
            Command::Run(args) => run_proxy(args).await,
            Command::Attach(args) => attach::run(args).await,
            Command::Stdio(args) => serve_stdio(args).await,
            Command::Replay(args) => replay_tape(args).await,
            Command::Demo(args) => run_demo(args).await,
            Command::DemoServer { changed } => serve_demo(changed).await,
            Command::Guardian | Command::Wrap(_) | Command::Unwrap(_) => {
                unreachable!("they have ended before there was a runtime")
            }
        }
    });
    // Blocking reads of stdin cannot be cancelled: do not wait for them.
    runtime.shutdown_background();
    result
}

async fn run_proxy(args: RunArgs) -> Result<ExitCode, Failure> {
    let target = target(args.target, args.transport, args.headers)?;
    let tapes = tape_dir(&args.watch)?;
    let control = control_settings(args.control, &target.label(), has_screen(&args.watch));
    let settings = Settings {
        listen: Some(args.listen),
        upstreams: vec![Placed::alone(target)],
        tapes: tapes.clone().filter(|_| !args.watch.no_record),
        tape_library: tapes,
        hold: args.watch.hold.clone(),
        allow_hosts: args.allow_hosts,
        allow_origins: args.allow_origins,
        max_body: args.max_body.saturating_mul(1 << 20),
        keep_alive: args.keep_alive.map(Duration::from_secs),
        control,
        otlp: otlp_settings(args.otlp)?,
    };
    let core = Core::start(settings).await.map_err(Failure::usage)?;
    if args.all && has_screen(&args.watch) { watch_all(core, &args.watch).await } else { watch(core, args.watch).await }
}

fn control_settings(args: ControlArgs, upstream: &str, own_screen: bool) -> Option<control::Settings> {
    (!args.no_control).then(|| control::Settings {
        address: args.control,
        registry: Registry::of_user(),
        name: args.name.unwrap_or_else(|| short_name(upstream)),
        own_screen,
    })
}

fn otlp_settings(args: OtlpArgs) -> Result<Option<otlp::Settings>, Failure> {
    let section = args.otlp.map(|endpoint| otlp::Section { endpoint: Some(endpoint), ..otlp::Section::default() });
    let invalid = |why| Failure::usage(anyhow::anyhow!("`--otlp`: {why}"));
    section.map(otlp::Section::settings).transpose().map_err(invalid)
}

async fn serve_demo(changed: bool) -> Result<ExitCode, Failure> {
    let scenario = if changed { Scenario::Changed } else { Scenario::Original };
    let options = ServerOptions { scenario, ..ServerOptions::default() };
    demo::server::serve_stdio(tokio::io::stdin(), tokio::io::stdout(), options).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_stdio(args: StdioArgs) -> Result<ExitCode, Failure> {
    let tapes = tape_dir(&args.watch)?;
    let target = target(args.target, args.transport, args.headers)?;
    let settings = Settings {
        listen: None,
        control: control_settings(args.control, &target.label(), false),
        tapes: tapes.clone().filter(|_| !args.watch.no_record),
        tape_library: tapes,
        hold: args.watch.hold.clone(),
        otlp: otlp_settings(args.otlp)?,
        ..Settings::new(target)
    };
    let mut signals = Signals::new()?;
    let core = Core::start(settings).await.map_err(Failure::usage)?;
    let mount = core.mounts().default().expect("the one upstream is the default");
    // stderr is the server's: lines of ours go there only when they are asked for.
    let printer = args.watch.headless.then(|| print_lines(&core, args.watch.log_format));
    let launched = Launched::begin(mount.table())?;
    let connection = launched.connection().clone();
    let _blocking = Blocking::remember();
    let mut serving = Box::pin(launched.serve(Ends::standard()));
    let mut signalled = None;
    loop {
        tokio::select! {
            () = &mut serving => break,
            signal = signals.next() => match &connection.link {
                // The server decides what a signal means; its exit status will be ours.
                Link::Pipe(link) if link.signal(signal.number()) => {}
                Link::Pipe(_) | Link::Exchanges(_) => {
                    signalled = Some(signal);
                    break;
                }
            },
        }
    }
    let status = match &connection.link {
        Link::Pipe(link) => link.exit_code(),
        Link::Exchanges(_) => None,
    };
    let status = status.unwrap_or_else(|| signalled.map_or(0, Signal::status));
    drop(serving);
    drop(connection);
    core.shut_down(args.watch.on_quit.map(OnQuit::from)).await;
    printer.map(std::thread::JoinHandle::join);
    Ok(ExitCode::from(status))
}

async fn replay_tape(args: ReplayArgs) -> Result<ExitCode, Failure> {
    let tape = Tape::read(&args.tape).map_err(Failure::usage)?;
    for problem in tape.troubles() {
        say(&format!("tapline: {}: {problem}", args.tape.display()));
    }
    let replay = Replay {
        tape,
        target: target(args.target, args.transport, args.headers.clone())?,
        speed: args.speed,
        ignore: args.ignore,
        headers: args.headers.into_iter().collect(),
        format: args.report,
        out: args.out,
    };
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let playing = replay::run(replay, stop.clone());
    tokio::pin!(playing);
    tokio::select! {
        verdict = &mut playing => Ok(match verdict? {
            Verdict::Passed => ExitCode::SUCCESS,
            Verdict::Failed => ExitCode::FAILURE,
        }),
        signal = signals.next() => {
            // The session is ended in order, and what was played is reported.
            stop.cancel();
            playing.await?;
            Ok(ExitCode::from(signal.status()))
        }
    }
}

async fn run_demo(args: DemoArgs) -> Result<ExitCode, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free loopback port for the demo's server")?;
    let server = listener.local_addr().context("the demo's server has no address")?;
    let stop = CancellationToken::new();
    let options = ServerOptions { pace: DEMO_STREAM_PACE, ..ServerOptions::default() };
    tokio::spawn(demo::server::serve(listener, options, stop.clone()));

    let upstream = HttpUpstream::new(&format!("http://{server}/mcp"), Vec::new()).map_err(anyhow::Error::msg)?;
    let mut settings = Settings::new(Target::Server(Arc::new(upstream)));
    let on_screen = has_screen(&args.watch);
    settings.listen = Some(args.listen);
    settings.control = control_settings(args.control, "demo", on_screen);
    settings.tape_library = tape_dir(&args.watch)?;
    settings.tapes = settings.tape_library.clone().filter(|_| !args.watch.no_record);
    // Without a screen nobody could let the held call go.
    settings.hold = args.watch.hold.clone().or_else(|| on_screen.then(|| demo::HOLD_FILTER.to_owned()));
    let core = Core::start(settings).await.map_err(Failure::usage)?;
    let url = core.url().to_owned();
    let status = if on_screen {
        tokio::spawn({
            let stop = stop.clone();
            async move {
                if let Err(error) = demo::client::run(&url, DEMO_PACE, stop, |_| {}).await {
                    tracing::error!(%error, "the demo's client gave up");
                }
            }
        });
        watch(core, args.watch).await?
    } else {
        demo_once(core, args.watch, &url).await?
    };
    stop.cancel();
    say(demo::GOODBYE);
    Ok(status)
}

/// The demo for a pipe or a log: the story once, flat out.
async fn demo_once(core: Core, args: WatchArgs, url: &str) -> Result<ExitCode, Failure> {
    let printer = print_lines(&core, args.log_format);
    let told = demo::client::script(url).await;
    core.shut_down(args.on_quit.map(OnQuit::from)).await;
    drop(printer.join());
    told.context("the demo's client gave up")?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a running core until it is told to stop, then takes it down.
async fn watch(core: Core, args: WatchArgs) -> Result<ExitCode, Failure> {
    let on_quit = args.on_quit.map(OnQuit::from);
    if has_screen(&args) { watch_screen(core, &args, on_quit).await } else { watch_lines(core, &args, on_quit).await }
}

fn has_screen(args: &WatchArgs) -> bool {
    !args.headless && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

async fn watch_lines(core: Core, args: &WatchArgs, on_quit: Option<OnQuit>) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let printer = print_lines(&core, args.log_format);
    let signal = signals.next().await;
    core.shut_down(on_quit).await;
    drop(printer.join());
    Ok(ExitCode::from(signal.status()))
}

fn print_lines(core: &Core, format: LogFormat) -> std::thread::JoinHandle<()> {
    say(&format!("tapline: {} -> {}", core.url(), core.mounts().description()));
    print_journal(core.journal(), format)
}

async fn watch_screen(core: Core, args: &WatchArgs, on_quit: Option<OnQuit>) -> Result<ExitCode, Failure> {
    say(&format!("tapline: {} -> {}", core.url(), core.mounts().description()));
    let settings = ui::Settings { on_quit, ..screen_settings(args.ascii) };
    let mut screen = Screen::start(core.journal(), core.commands(), settings)?;
    screen.ended().await;
    core.shut_down(on_quit).await;
    screen.status()
}

/// As [`watch_screen`], with all other taplines of this user on the same screen.
async fn watch_all(core: Core, args: &WatchArgs) -> Result<ExitCode, Failure> {
    let on_quit = args.on_quit.map(OnQuit::from);
    let upstream = core.mounts().label();
    say(&format!("tapline: {} -> {}", core.url(), core.mounts().description()));
    let name = core.control().map_or_else(|| short_name(&upstream), |entry| entry.name.clone());
    let about = About { name, front: core.url().to_owned(), upstream };
    let own = Own { journal: core.journal().clone(), commands: core.commands(), about };
    let hub = Hub::start(Watch::All(Registry::of_user()), Some(own));
    let settings = ui::Settings { on_quit, ..screen_settings(args.ascii) };
    let mut screen = Screen::start(hub.journal(), hub.commands(), settings)?;
    screen.ended().await;
    // The screen's last word goes through the hub. It has none where it failed.
    drop(tokio::time::timeout(LAST_WORD, core.quit()).await);
    // The hub ends when it hears that the core has.
    core.shut_down(on_quit).await;
    hub.close().await;
    screen.status()
}

fn target(args: TargetArgs, transport: TransportArg, headers: ExtraHeaders) -> Result<Target, Failure> {
    if let Some(url) = args.upstream {
        if transport.is_sse(&url) {
            let upstream = SseUpstream::new(&url, headers).map_err(|why| Failure::usage(anyhow::anyhow!(why)))?;
            return Ok(Target::Events(upstream));
        }
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
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
