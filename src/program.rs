//! The subcommands: from parsed arguments to an exit status.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{Core, GRACE, Settings};
use crate::attach;
use crate::cli::{
    CheckArgs, Cli, Command, DemoArgs, LogFormat, OtlpArgs, PoolArgs, ReplayArgs, RunArgs, ShadowArgs, StdioArgs,
    TransportArg,
};
use crate::clock::Clock;
use crate::config::options::{self, Control, Database, Front, Wanted, Watch};
use crate::config::upstreams::Server;
use crate::config::{Config, ConfigError, Directory, check};
use crate::control::hub::{self, Hub, Own};
use crate::control::merge::About;
use crate::control::registry::Registry;
use crate::control::{server as control, short_name};
use crate::demo::server::{Scenario, ServerOptions};
use crate::event::{Event, Level, LogLine, OnQuit};
use crate::proxy::exchange::Link;
use crate::proxy::front::routes::MountSpec;
use crate::proxy::front::stdio::{BlockingFlags, StdioEnds, StdioSession};
use crate::replay::{self, Replay, Verdict};
use crate::shadow::{self, Place, Tally};
use crate::store::{self, LONGEST_IDLE};
use crate::tape::Tape;
use crate::upstream::guardian::{self, Guardian};
use crate::upstream::http::HttpUpstream;
use crate::upstream::pool::{self, Pool, Restart};
use crate::upstream::retry::{self, Retry};
use crate::upstream::sse::SseUpstream;
use crate::upstream::target::Target;
use crate::watch::{self, Screen, Signal, Signals, screen_settings, until_down};
use crate::{demo, logging, otlp, sessions, tape, ui, wrap};

/// Time between two exchanges of the demo's client, and between two messages of a stream of its server.
const DEMO_PACE: Duration = Duration::from_millis(700);
const DEMO_STREAM_PACE: Duration = Duration::from_millis(150);

/// What is logged where nothing says otherwise.
const LOG: &str = "info";

/// Usage or configuration.
const USAGE: u8 = 2;

/// Runs a subcommand to its end.
pub fn run(cli: Cli) -> ExitCode {
    match begin(cli) {
        Ok(code) => code,
        Err(failure) => {
            say(&format!("tapline: {:#}", failure.error));
            ExitCode::from(failure.status)
        }
    }
}

fn begin(cli: Cli) -> Result<ExitCode, Failure> {
    let config = configuration(&cli.command).map_err(Failure::usage)?;
    let log_file = cli.log_file.as_ref().or(config.keys.log_file.as_ref().map(|it| &it.0));
    let log = cli.log.as_deref().or(config.keys.log.as_ref().map(|it| it.0.as_str())).unwrap_or(LOG);
    // It writes until it is dropped.
    let _log = logging::start(log_file.map(PathBuf::as_path), log).map_err(Failure::usage)?;
    match cli.command {
        Command::Guardian => {
            guardian::run(std::io::stdin().lock());
            Ok(ExitCode::SUCCESS)
        }
        Command::Wrap(args) => Ok(wrap::command::wrap(&args)),
        Command::Unwrap(args) => Ok(wrap::command::unwrap(&args)),
        Command::Sessions(args) => Ok(sessions::run(&args)),
        Command::Check(args) => check_configuration(&args),
        command => with_runtime(command, config),
    }
}

/// What the files say, for those subcommands that listen to them.
fn configuration(command: &Command) -> Result<Config, ConfigError> {
    match command {
        Command::Run(RunArgs { config, .. }) | Command::Demo(DemoArgs { config, .. }) => {
            Config::load(config.config.as_deref(), Directory::Chosen)
        }
        Command::Stdio(StdioArgs { config, .. }) => Config::load(config.config.as_deref(), Directory::Found),
        Command::Attach(_) => Config::load(None, Directory::Chosen),
        _ => Ok(Config::default()),
    }
}

fn check_configuration(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let config = Config::load(args.file.as_deref(), Directory::Chosen).map_err(Failure::usage)?;
    if config.files.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(check::nothing_there())));
    }
    for warning in &config.warnings {
        say(&format!("tapline: {warning}"));
    }
    let missing = check::missing(&config);
    if !missing.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(missing.join("\ntapline: "))));
    }
    let upstreams = options::configured(&config);
    std::io::stdout().write_all(check::summary(&config, &upstreams).as_bytes())?;
    Ok(ExitCode::SUCCESS)
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

fn with_runtime(command: Command, config: Config) -> Result<ExitCode, Failure> {
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
            Command::Run(args) => run_proxy(args, config).await,
            Command::Attach(args) => attach::run(args, &config.keys).await,
            Command::Stdio(args) => serve_stdio(args, config).await,
            Command::Replay(args) => replay_tape(args).await,
            Command::Demo(args) => run_demo(args, config).await,
            Command::DemoServer { changed } => serve_demo(changed).await,
            Command::Guardian | Command::Wrap(_) | Command::Unwrap(_) | Command::Sessions(_) | Command::Check(_) => {
                unreachable!("they have ended before there was a runtime")
            }
        }
    });
    // Blocking reads of stdin cannot be cancelled: do not wait for them.
    runtime.shutdown_background();
    result
}

async fn run_proxy(args: RunArgs, config: Config) -> Result<ExitCode, Failure> {
    let wanted = options::upstreams(args.target, &config).map_err(Failure::usage)?;
    let kept = kept(&wanted, options::kept(&args.pool, args.anew, &config.keys))?;
    let front = Front::of(args.front, &config.keys);
    let watching = Watch::of(args.watch, &config.keys);
    let tapes = tape_dir(&watching)?;
    let name = name_of(&wanted);
    let control = Control::of(args.control, &config.keys);
    let settings = Settings {
        listen: Some(front.listen),
        control: control_settings(control, &name, has_screen(&watching)),
        upstreams: wanted.into_iter().map(|it| placed(it, &kept)).collect::<Result<_, _>>()?,
        tapes: tapes.clone().filter(|_| watching.record),
        tape_library: tapes,
        hold: watching.hold.clone(),
        allow_hosts: front.allow_hosts,
        allow_origins: front.allow_origins,
        max_body: front.max_body,
        keep_alive: front.keep_alive,
        grace: front.grace.unwrap_or(GRACE),
        retry: retry(args.retries, &config)?,
        otlp: otlp_settings(args.otlp, &config)?,
        auth: config.keys.auth.clone().unwrap_or_default(),
        limits: config.keys.limits.clone().unwrap_or_default(),
        clock: Clock::default(),
        shadow: shadow_settings(args.shadow, &config)?,
        sessions: kept_sessions(&watching, Some(LONGEST_IDLE), &config)?,
    };
    let core = start(settings).await?;
    tell_of(&config, &core);
    let tally = core.shadow().map(|shadow| shadow.tally().clone());
    let status = if args.all && has_screen(&watching) {
        watch_all(core, name, &watching).await
    } else {
        watch(core, watching).await
    };
    tally.iter().for_each(say_tally);
    status
}

fn shadow_settings(args: ShadowArgs, config: &Config) -> Result<Option<shadow::Settings>, Failure> {
    let flags = shadow::Flags {
        place: args.shadow,
        writes: args.shadow_writes,
        headers: args.shadow_headers,
        ignore: args.shadow_ignore,
    };
    let section = config.keys.shadow.clone().unwrap_or_default();
    let Some(plan) = section.plan(flags).map_err(Failure::usage)? else { return Ok(None) };
    let server = match plan.place {
        Place::Url(url) => Server::Url { url, transport: TransportArg::Auto, headers: plan.headers },
        Place::Command(command) => Server::Command(command),
    };
    let target = target(server, &pool::Settings::default())?;
    Ok(Some(shadow::Settings { target, upstream: plan.upstream, options: plan.options }))
}

fn say_tally(tally: &Tally) {
    say(&format!("tapline: shadow: {}", tally.counts()));
}

/// What was read, and what of it is not as it should be, on the event screen.
fn tell_of(config: &Config, core: &Core) {
    let read = config.files.iter().map(|file| (Level::Info, format!("settings are from {}", file.display())));
    let warnings = config.warnings.iter().map(|warning| (Level::Warn, warning.clone()));
    for (level, text) in read.chain(warnings) {
        core.journal().log(LogLine::new(level, "config", text));
    }
}

/// How sessions are kept; nowhere on disk where nothing is to be left there.
fn kept_sessions(watching: &Watch, idle: Option<Duration>, config: &Config) -> Result<store::Settings, Failure> {
    let section = config.keys.sessions.clone().unwrap_or_default();
    let defaults = store::Settings { database: store::default_path(), idle, ..store::Settings::default() };
    let settings = section.over(&defaults).map_err(|why| Failure::usage(anyhow::anyhow!(why)))?;
    let database = match &watching.database {
        Database::At(path) => Some(path.clone()),
        Database::Usual => settings.database,
        Database::Off => None,
    };
    Ok(store::Settings { database: database.filter(|_| watching.record), ..settings })
}

fn retry(attempts: Option<u32>, config: &Config) -> Result<Retry, Failure> {
    let section = config.keys.retry.clone().unwrap_or_default();
    let section = retry::Section { attempts: attempts.unwrap_or(section.attempts), ..section };
    Retry::new(section).map_err(|why| Failure::usage(anyhow::anyhow!(why)))
}

fn control_settings(control: Control, usual_name: &str, own_screen: bool) -> Option<control::Settings> {
    control.address.map(|address| control::Settings {
        address,
        registry: Registry::of_user(),
        name: control.name.unwrap_or_else(|| usual_name.to_owned()),
        own_screen,
    })
}

fn otlp_settings(args: OtlpArgs, config: &Config) -> Result<Option<otlp::Settings>, Failure> {
    let section = options::otlp(args, &config.keys);
    let invalid = |why| Failure::usage(anyhow::anyhow!("`--otlp`: {why}"));
    section.map(otlp::Section::settings).transpose().map_err(invalid)
}

/// What a tapline is called that nobody named.
fn name_of(wanted: &[Wanted]) -> String {
    match wanted {
        [Wanted { server, .. }] => short_name(&server.label()),
        several => {
            let names = several.iter().map(|it| it.name.clone().unwrap_or_else(|| short_name(&it.server.label())));
            names.collect::<Vec<_>>().join("+")
        }
    }
}

async fn serve_demo(changed: bool) -> Result<ExitCode, Failure> {
    let scenario = if changed { Scenario::Changed } else { Scenario::Original };
    let options = ServerOptions { scenario, ..ServerOptions::default() };
    demo::server::serve_stdio(tokio::io::stdin(), tokio::io::stdout(), options).await?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_stdio(args: StdioArgs, config: Config) -> Result<ExitCode, Failure> {
    let wanted = options::upstream(args.target, &config).map_err(Failure::usage)?;
    // Where a client has launched us, the pipe breaks as the server's would, and our exit status is the server's.
    let kept = options::kept(&PoolArgs::default(), args.anew, &config.keys);
    let kept = pool::Section { restart: kept.restart.or(Some(Restart::Never)), ..kept };
    let kept = self::kept(std::slice::from_ref(&wanted), kept)?;
    let watching = Watch::of(args.watch, &config.keys);
    let tapes = tape_dir(&watching)?;
    let name = name_of(std::slice::from_ref(&wanted));
    let settings = Settings {
        listen: None,
        control: control_settings(Control::of(args.control, &config.keys), &name, false),
        tapes: tapes.clone().filter(|_| watching.record),
        tape_library: tapes,
        hold: watching.hold.clone(),
        retry: retry(args.retries, &config)?,
        otlp: otlp_settings(args.otlp, &config)?,
        shadow: shadow_settings(args.shadow, &config)?,
        sessions: kept_sessions(&watching, None, &config)?,
        ..Settings::new(target(wanted.server, &kept)?)
    };
    let mut signals = Signals::new()?;
    let core = start(settings).await?;
    tell_of(&config, &core);
    let mount = core.mounts().default().expect("the one upstream is the default");
    // stderr is the server's: lines of ours go there only when they are asked for.
    let printer = watching.headless.then(|| print_lines(&core, watching.log_format));
    let launched = StdioSession::begin(mount.table())?;
    let connection = launched.connection().clone();
    let _blocking = BlockingFlags::remember();
    let mut serving = Box::pin(launched.serve(StdioEnds::standard()));
    let mut signalled = None;
    loop {
        tokio::select! {
            () = &mut serving => break,
            signal = signals.next() => match &connection.link {
                // The server decides what a signal means; its exit status will be ours.
                Link::Pipe(link) if link.signal(signal.number()) => {}
                Link::Pipe(_) | Link::Exchanges(_) | Link::Shared(_) => {
                    signalled = Some(signal);
                    break;
                }
            },
        }
    }
    let status = match &connection.link {
        Link::Pipe(link) => link.exit_code(),
        Link::Exchanges(_) | Link::Shared(_) => None,
    };
    let status = status.unwrap_or_else(|| signalled.map_or(0, Signal::status));
    drop(serving);
    drop(connection);
    let tally = core.shadow().filter(|_| printer.is_some()).map(|shadow| shadow.tally().clone());
    until_down(core, watching.on_quit, &mut signals).await;
    printer.map(std::thread::JoinHandle::join);
    tally.iter().for_each(say_tally);
    Ok(ExitCode::from(status))
}

async fn replay_tape(args: ReplayArgs) -> Result<ExitCode, Failure> {
    let tape = Tape::read(&args.tape).map_err(Failure::usage)?;
    for problem in tape.troubles() {
        say(&format!("tapline: {}: {problem}", args.tape.display()));
    }
    let headers = args.target.headers.iter().cloned().collect();
    // A crash is what a replay is to find.
    let never = pool::Settings { restart: Restart::Never, ..pool::Settings::default() };
    let replay = Replay {
        tape,
        target: target(
            Server::given(args.target).context("neither a URL nor a command").map_err(Failure::usage)?,
            &never,
        )?,
        headers,
        speed: args.speed,
        ignore: args.ignore,
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

async fn run_demo(args: DemoArgs, config: Config) -> Result<ExitCode, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free loopback port for the demo's server")?;
    let server = listener.local_addr().context("the demo's server has no address")?;
    let stop = CancellationToken::new();
    let options = ServerOptions { pace: DEMO_STREAM_PACE, ..ServerOptions::default() };
    tokio::spawn(demo::server::serve(listener, options, stop.clone()));

    let upstream = HttpUpstream::new(&format!("http://{server}/mcp"), Vec::new()).map_err(anyhow::Error::msg)?;
    let mut settings = Settings::new(Target::Server(Arc::new(upstream)));
    // What the user holds otherwise is not in the story.
    let hold = args.watch.hold.clone();
    let watching = Watch::of(args.watch, &config.keys);
    let on_screen = has_screen(&watching);
    settings.listen = Some(args.listen);
    settings.control = control_settings(Control::of(args.control, &config.keys), "demo", on_screen);
    settings.tape_library = tape_dir(&watching)?;
    settings.tapes = settings.tape_library.clone().filter(|_| watching.record);
    // Without a screen nobody could let the held call go.
    settings.hold = hold.or_else(|| on_screen.then(|| demo::HOLD_FILTER.to_owned()));
    let core = start(settings).await?;
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
        watch(core, watching).await?
    } else {
        demo_once(core, watching, &url).await?
    };
    stop.cancel();
    say(demo::GOODBYE);
    Ok(status)
}

/// The demo for a pipe or a log: the story once, flat out.
async fn demo_once(core: Core, args: Watch, url: &str) -> Result<ExitCode, Failure> {
    let printer = print_lines(&core, args.log_format);
    let told = demo::client::script(url).await;
    core.shut_down(args.on_quit).await;
    drop(printer.join());
    told.context("the demo's client gave up")?;
    Ok(ExitCode::SUCCESS)
}

/// Shows a running core until it is told to stop, then takes it down.
async fn watch(core: Core, args: Watch) -> Result<ExitCode, Failure> {
    let on_quit = args.on_quit;
    if has_screen(&args) { watch_screen(core, &args, on_quit).await } else { watch_lines(core, &args, on_quit).await }
}

fn has_screen(args: &Watch) -> bool {
    !args.headless && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

async fn watch_lines(core: Core, args: &Watch, on_quit: Option<OnQuit>) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let printer = print_lines(&core, args.log_format);
    let signal = signals.next().await;
    until_down(core, on_quit, &mut signals).await;
    drop(printer.join());
    Ok(ExitCode::from(signal.status()))
}

/// A core, on whose screens is shown what is logged and worth a look.
async fn start(settings: Settings) -> Result<Core, Failure> {
    let core = Core::start(settings).await.map_err(Failure::usage)?;
    let journal = core.journal().clone();
    logging::show(move |line| journal.publish(Event::Log(line)));
    Ok(core)
}

fn print_lines(core: &Core, format: LogFormat) -> std::thread::JoinHandle<()> {
    // A client that has waited for the greeting comes at once: what it does is heard, too.
    let reader = watch::hear(core.journal());
    say(&greeting(core));
    watch::print(reader, format)
}

fn greeting(core: &Core) -> String {
    format!("tapline: {} -> {}", core.url(), core.mounts().description())
}

async fn watch_screen(core: Core, args: &Watch, on_quit: Option<OnQuit>) -> Result<ExitCode, Failure> {
    say(&greeting(&core));
    let settings = ui::Settings { on_quit, ..screen_settings(args.ascii) };
    let mut screen = Screen::start(core.journal(), core.commands(), settings)?;
    tokio::select! {
        () = core.quit() => {}
        // Without a word: it failed.
        () = screen.ended() => {}
    }
    screen.until_down(core, on_quit).await;
    screen.status()
}

/// As [`watch_screen`], with all other taplines of this user on the same screen.
async fn watch_all(core: Core, usual_name: String, args: &Watch) -> Result<ExitCode, Failure> {
    let on_quit = args.on_quit;
    let upstream = core.mounts().label();
    say(&greeting(&core));
    let name = core.control().map_or_else(|| usual_name, |entry| entry.name.clone());
    let about = About { name, front: core.url().to_owned(), upstream };
    let own = Own { journal: core.journal().clone(), commands: core.commands(), about };
    let hub = Hub::start(hub::Watch::All(Registry::of_user()), Some(own));
    let settings = ui::Settings { on_quit, ..screen_settings(args.ascii) };
    let mut screen = Screen::start(hub.journal(), hub.commands(), settings)?;
    tokio::select! {
        () = core.quit() => {}
        // Without a word: it failed.
        () = screen.ended() => {}
    }
    // The hub ends when it hears that the core has, and the screen when the hub has.
    screen.until_down(core, on_quit).await;
    hub.close().await;
    screen.status()
}

fn placed(wanted: Wanted, kept: &pool::Settings) -> Result<MountSpec, Failure> {
    let kept = pool::Settings { stateless: wanted.stateless.unwrap_or(kept.stateless), ..kept.clone() };
    Ok(MountSpec { name: wanted.name, is_default: wanted.is_default, target: target(wanted.server, &kept)? })
}

/// How commands are kept, where there is one.
fn kept(wanted: &[Wanted], kept: pool::Section) -> Result<pool::Settings, Failure> {
    options::check_kept(&kept, wanted).map_err(Failure::usage)?;
    kept.settings().map_err(|why| Failure::usage(anyhow::anyhow!(why)))
}

fn target(server: Server, kept: &pool::Settings) -> Result<Target, Failure> {
    let usage = |why| Failure::usage(anyhow::anyhow!("{why}"));
    match server {
        Server::Url { url, transport, headers } if transport.is_sse(&url) => {
            Ok(Target::Events(SseUpstream::new(&url, headers).map_err(usage)?))
        }
        Server::Url { url, headers, .. } => {
            Ok(Target::Server(Arc::new(HttpUpstream::new(&url, headers).map_err(usage)?)))
        }
        Server::Command(command) => {
            let guardian = Guardian::of_process().context("cannot find tapline's own program file")?;
            Ok(Target::Command(Pool::new(command, guardian, kept.clone())))
        }
    }
}

/// Where tapes are; `None` only where nothing is recorded and no place is known.
fn tape_dir(args: &Watch) -> Result<Option<PathBuf>, Failure> {
    match (&args.tapes, tape::default_dir()) {
        (Some(dir), _) => Ok(Some(dir.clone())),
        (None, Ok(dir)) => Ok(Some(dir)),
        (None, Err(_)) if !args.record => Ok(None),
        (None, Err(error)) => Err(Failure::usage(error)),
    }
}

/// One line for the person at the terminal. A closed stderr is no reason to fail.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
