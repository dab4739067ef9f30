//! The subcommands, one file or folder each: from parsed arguments to an exit status.
//!
//! ```text
//! run.rs  stdio.rs  demo.rs    have a core of their own
//!   setup.rs                   what arguments and files say, as the settings of that core
//!   observe.rs                 that core in front of a person: a screen, or lines
//! attach.rs                    watches the cores of other processes
//! mock.rs                      is the server of a tape, with such a core
//! replay.rs  load.rs  fork.rs  minimise.rs   plays a tape at a server: once, many times, or to a message from which others go on
//! remote/                      tapes in an object store, as files
//! output.rs                    what is written to a file, or to stdout
//! help.rs  man.rs  completions.rs   print what the program knows of itself
//! check.rs  doctor.rs  dry_run.rs  lint.rs  rules.rs  sessions/  tape/  wrap/   look at files and end, without a runtime
//! ```

mod attach;
mod check;
mod client_trials;
mod completions;
mod demo;
mod doctor;
mod dry_run;
mod fork;
mod help;
mod lint;
mod load;
mod man;
mod minimise;
mod mock;
mod observe;
mod output;
mod remote;
mod replay;
mod rules;
mod run;
mod sessions;
mod setup;
mod stdio;
mod tape;
mod wrap;

use std::process::ExitCode;

use anyhow::Context as _;

use self::remote::RemoteTapes;
use crate::children::{guardian, orphans};
use crate::cli::{
    Cli, CliCommand, ColorArg, DemoArgs, HelpArgs, ManArgs, MockArgs, RunArgs, StdioArgs, TapeArgs, TapeCommand,
};
use crate::config::keys::ConfigKeys;
use crate::config::{Config, ConfigError, Directory};
use crate::exit::ExitError;
use crate::logging::{self, LogPlace};
use crate::net::descriptors;

/// Threads for all that is on no connection of a client: those have threads of their own, one a core.
const BESIDE_THE_WIRE: usize = 2;
/// What is logged where nothing says otherwise.
const LOG: &str = "info";

/// Runs a subcommand to its end.
pub fn run(cli: Cli) -> ExitCode {
    match begin(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn begin(mut cli: Cli) -> Result<ExitCode, ExitError> {
    descriptors::raise_limit();
    let mut config = configuration(&cli.command).map_err(ExitError::usage)?;
    config.keys.color = cli.color.or(config.keys.color);
    let color = config.keys.color.unwrap_or_default();
    let log_place = log_place(&cli, &config).map_err(ExitError::usage)?;
    let log = cli.log.as_deref().or(config.keys.log.as_ref().map(|it| it.0.as_str())).unwrap_or(LOG);
    // It writes until it is dropped.
    let _log = logging::start(log_place.as_ref(), log).map_err(ExitError::usage)?;
    let remote = RemoteTapes::bring(&mut cli.command)?;
    let ended = dispatch(cli.command, config, color);
    remote.finish();
    ended
}

fn dispatch(command: CliCommand, config: Config, color: ColorArg) -> Result<ExitCode, ExitError> {
    match command {
        CliCommand::Guardian { tapline, groups } => {
            guardian::run(std::io::stdin(), tapline, groups);
            Ok(ExitCode::SUCCESS)
        }
        CliCommand::Wrap(args) => Ok(wrap::wrap(&args, color)),
        CliCommand::Unwrap(args) => Ok(wrap::unwrap(&args, color)),
        CliCommand::Sessions(args) => Ok(sessions::run(&args, &config.keys)),
        CliCommand::Tape(args) if !matches!(args.command, TapeCommand::Minimise(_)) => tape::run(&args, &config, color),
        CliCommand::Search(args) => tape::search(&args, &config, color),
        CliCommand::Check(args) => check::run(&args),
        CliCommand::Help(args) => help::run(&args, &config.keys.key_choice(), color),
        CliCommand::Man(args) => man::run(&args, &config.keys.key_choice()),
        CliCommand::Completions(args) => completions::run(&args),
        CliCommand::Doctor(args) => doctor::run(&args, color),
        CliCommand::Rules { name } => rules::list(name.as_deref()),
        CliCommand::Lint(args) => lint::run(&args, &config),
        command => with_runtime(command, config),
    }
}

/// Where the log goes: where the command line or the environment says, else where the files do.
fn log_place(cli: &Cli, config: &Config) -> anyhow::Result<Option<LogPlace>> {
    let given = (cli.log_file.as_ref(), cli.log_dir.as_ref());
    let in_files = (config.keys.log_file.as_ref().map(|it| &it.0), config.keys.log_dir.as_ref().map(|it| &it.0));
    match if given == (None, None) { in_files } else { given } {
        (Some(_), Some(_)) => anyhow::bail!("`log_file` and `log_dir`: give one of them"),
        (Some(file), None) => Ok(Some(LogPlace::File(file.clone()))),
        (None, dir) => Ok(dir.cloned().map(LogPlace::Directory)),
    }
}

/// What the files say, for those subcommands that listen to them.
fn configuration(command: &CliCommand) -> Result<Config, ConfigError> {
    match command {
        CliCommand::Run(RunArgs { config, .. }) | CliCommand::Demo(DemoArgs { config, .. }) => {
            Config::load(config.config.as_deref(), Directory::Chosen)
        }
        CliCommand::Stdio(StdioArgs { config, .. }) => Config::load(config.config.as_deref(), Directory::Found),
        CliCommand::Mock(MockArgs { config, stdio, .. }) => {
            let directory = if *stdio { Directory::Found } else { Directory::Chosen };
            Config::load(config.config.as_deref(), directory)
        }
        CliCommand::Attach(_)
        | CliCommand::Lint(_)
        | CliCommand::Replay(_)
        | CliCommand::Tape(TapeArgs { command: TapeCommand::Minimise(_), .. }) => {
            Config::load_without_serving(Directory::Chosen)
        }
        CliCommand::Tape(TapeArgs { tapes: Some(_), .. }) | CliCommand::Sessions(_) => {
            Config::load_without_serving(Directory::Found)
        }
        CliCommand::Tape(_) | CliCommand::Search(_) => Config::load_without_serving(Directory::Searched),
        // Packages have the usual keys, wherever they are built.
        CliCommand::Man(ManArgs { dir: Some(_), .. }) => Ok(Config::default()),
        // They say what can be said, also where a file is wrong: who mends it may need them.
        CliCommand::Help(HelpArgs { config, .. }) | CliCommand::Man(ManArgs { config, .. }) => {
            let read = match config {
                Some(file) => Config::load(Some(file), Directory::Chosen)?,
                None => Config::load(None, Directory::Chosen).unwrap_or_default(),
            };
            // Only that: they open no log, and depend on nothing else.
            let keys = ConfigKeys { keys: read.keys.keys, ..ConfigKeys::default() };
            Ok(Config { keys, ..Config::default() })
        }
        _ => Ok(Config::default()),
    }
}

/// A file that may not grow is a full disk, and no reason to die of SIGXFSZ: the write fails. tokio keeps the handler for as long as the
/// process lives, also when nothing listens any more; children have the usual one, since a program that is started has no handlers.
fn outlive_file_size_limit() {
    let signal = tokio::signal::unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    if let Err(error) = tokio::signal::unix::signal(signal) {
        tracing::debug!(%error, "a file-size limit would end tapline");
    }
}

/// Daemons that a server starts are ours to end, and to let go of when they have ended.
fn adopt_orphans() {
    let Ok(mut ended) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()) else { return };
    orphans::adopt();
    tokio::spawn(async move {
        while ended.recv().await.is_some() && tokio::task::spawn_blocking(orphans::reap).await.is_ok() {}
    });
}

fn with_runtime(command: CliCommand, config: Config) -> Result<ExitCode, ExitError> {
    // reqwest takes the process's provider, and panics without one. Already installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = match command {
        // One client and one server: a line that changes threads on its way costs more than all the rest that happens to it.
        CliCommand::Stdio(_) | CliCommand::Mock(MockArgs { stdio: true, .. }) => {
            tokio::runtime::Builder::new_current_thread()
        }
        CliCommand::Replay(ref args) if args.parallel.is_none() && !args.interactive => {
            tokio::runtime::Builder::new_current_thread()
        }
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(BESIDE_THE_WIRE).enable_all().build().context("no runtime")?;
    let result = runtime.block_on(async {
        outlive_file_size_limit();
        adopt_orphans();
        match command {
            CliCommand::Run(args) => run::run(args, config).await,
            CliCommand::Attach(args) => attach::run(args, &config.keys).await,
            CliCommand::Stdio(args) => stdio::run(args, config).await,
            CliCommand::Mock(args) => mock::run(args, config).await,
            CliCommand::Replay(args) => replay::run(args, config).await,
            CliCommand::Tape(TapeArgs { command: TapeCommand::Minimise(args), tapes }) => {
                minimise::run(args, tapes.as_ref(), &config).await
            }
            CliCommand::Demo(args) => demo::run(args, config).await,
            CliCommand::DemoServer { changed } => demo::serve(changed).await,
            CliCommand::Guardian { .. }
            | CliCommand::Wrap(_)
            | CliCommand::Unwrap(_)
            | CliCommand::Sessions(_)
            | CliCommand::Tape(_)
            | CliCommand::Search(_)
            | CliCommand::Check(_)
            | CliCommand::Help(_)
            | CliCommand::Man(_)
            | CliCommand::Completions(_)
            | CliCommand::Doctor(_)
            | CliCommand::Lint(_)
            | CliCommand::Rules { .. } => {
                unreachable!("they have ended before there was a runtime")
            }
        }
    });
    // Blocking reads of stdin cannot be cancelled: do not wait for them.
    runtime.shutdown_background();
    result
}
