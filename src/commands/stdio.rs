//! `tapline stdio`: the server that a client launches, in front of the real one.
//!
//! It reads no file of its working directory: a client may have started it in a repository that its user has not read, and
//! settings name commands. It runs on one thread and reads pipes as they become ready: tokio's own stdin and stdout are
//! threads, and two wakes a line cost more than all the rest (60 µs a call, now 11).

use std::process::ExitCode;

use tokio::time::Instant;

use super::observe::{announce_holds, print_lines, print_shadow_counts, report_config, start_core};
use super::setup::{LaunchedBy, absent_program, core_settings, default_name, pool_settings, target};
use crate::app::{Core, GRACE, Settings};
use crate::cli::{PoolArgs, StdioArgs};
use crate::config::Config;
use crate::config::options::{self, WatchOptions};
use crate::exit::{ExitError, print_stderr};
use crate::proxy::exchange::ServerLink;
use crate::proxy::front::routes::MountSpec;
use crate::proxy::front::stdio::{BlockingFlags, StdioEnds, StdioLimits, StdioOutcome, StdioSession};
use crate::screen::{LinePrinter, OperatorSignal, Signals, until_down};
use crate::upstream::pool::{self, Restart};

/// Serves the client that has launched this process. The exit status is the server's.
///
/// # Errors
/// Where what is asked for cannot be done, or the server does not start.
pub(super) async fn run(args: StdioArgs, config: Config) -> Result<ExitCode, ExitError> {
    let longest = options::longest_message(args.common.max_message, &config.keys);
    let (settings, watching) = settings(args, &config)?;
    launched(settings, watching, longest, &config).await.map(ExitCode::from)
}

/// Is the server of the client that has launched this process. `longest`: bytes that a line of the client may have. Returns the exit status.
///
/// # Errors
/// Where what is asked for cannot be done, or the server does not start.
pub(super) async fn launched(
    settings: Settings,
    watching: WatchOptions,
    longest: usize,
    config: &Config,
) -> Result<u8, ExitError> {
    let limits = StdioLimits { grace: settings.grace, longest };
    let (core, mut signals) = start_core(settings).await?;
    report_config(config, &core);
    // stderr is the server's: lines of ours go there only when they are asked for.
    let printer = watching.headless.then(|| print_lines(&core, watching.log_format));
    // Its client's log is where the operator will look for why it hangs.
    if let (Some(text), false) = (announce_holds(&core, &watching), watching.headless) {
        print_stderr(&format!("tapline: {text}"));
    }
    let _blocking = BlockingFlags::remember();
    let status = serve(&core, &mut signals, limits).await?;
    let tally = core.shadow().filter(|_| printer.is_some()).map(|shadow| shadow.tally().clone());
    until_down(core, watching.on_quit, &mut signals).await;
    printer.into_iter().for_each(LinePrinter::finish);
    tally.iter().for_each(|tally| print_shadow_counts(tally, watching.log_format));
    Ok(status)
}

fn settings(args: StdioArgs, config: &Config) -> Result<(Settings, WatchOptions), ExitError> {
    let wanted = options::upstream(args.target, config).map_err(ExitError::usage)?;
    // One that is watched may be about to be built.
    if let Some(why) = absent_program(&wanted.server).filter(|_| args.common.restart.watch.is_empty()) {
        return Err(ExitError::usage(anyhow::anyhow!(why)));
    }
    // Where a client has launched us, the pipe breaks as the server's would, and our exit status is the server's.
    let pool = options::pool_section(&PoolArgs::default(), &args.common.restart, &config.keys);
    let pool = pool::Section { restart: pool.restart.or(Some(Restart::Never)), ..pool };
    let longest = options::longest_message(args.common.max_message, &config.keys);
    let pool = pool::Settings { longest, ..pool_settings(std::slice::from_ref(&wanted), pool)? };
    let name = default_name(std::slice::from_ref(&wanted));
    let upstreams = vec![MountSpec::sole(target(wanted.server, &pool)?)];
    let grace = args.grace.or(config.keys.grace.map(|it| it.0)).unwrap_or(GRACE);
    let (settings, watching) = core_settings(args.common, upstreams, &name, LaunchedBy::Client, config)?;
    Ok((Settings { grace, ..settings }, watching))
}

/// Serves stdin and stdout until either side or a signal ends it. Returns the exit status: the server's, where it has one.
async fn serve(core: &Core, signals: &mut Signals, limits: StdioLimits) -> Result<u8, ExitError> {
    let mount = core.mounts().default().expect("the one upstream is the default");
    let session = StdioSession::begin(mount.table())?;
    let connection = session.connection().clone();
    let mut serving = Box::pin(session.serve(StdioEnds::of_process(), limits));
    let (mut signalled, mut outcome) = (None, StdioOutcome::Complete);
    let mut deadline = None;
    loop {
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = &mut serving => {
                outcome = ended;
                break;
            }
            () = late => {
                if let ServerLink::Stream(link) = &connection.link {
                    link.signal(rustix::process::Signal::KILL);
                }
                break;
            }
            signal = signals.next() => {
                let is_first = signalled.replace(signal).is_none();
                match &connection.link {
                    // The server decides what a signal means, and its exit status will be ours. What is to terminate has so long.
                    ServerLink::Stream(link) if link.signal(signal.number()) && (is_first || signal == OperatorSignal::Interrupt) => {
                        if signal != OperatorSignal::Interrupt {
                            deadline = deadline.or_else(|| Some(Instant::now() + limits.grace));
                        }
                    }
                    ServerLink::Stream(_) | ServerLink::Exchanges(_) | ServerLink::Shared(_) => break,
                }
            }
        }
    }
    let status = match &connection.link {
        ServerLink::Stream(link) => link.exit_code(),
        ServerLink::Exchanges(_) | ServerLink::Shared(_) => None,
    };
    let status = status.unwrap_or_else(|| signalled.map_or(0, OperatorSignal::status));
    match shortcoming(outcome, limits) {
        None => Ok(status),
        Some(text) => {
            print_stderr(&format!("tapline: {text}"));
            Ok(status.max(1))
        }
    }
}

/// What the client is to know of a session that did not end well.
fn shortcoming(outcome: StdioOutcome, limits: StdioLimits) -> Option<String> {
    let StdioLimits { grace, longest } = limits;
    let requests = match outcome {
        StdioOutcome::Complete => return None,
        StdioOutcome::LineTooLong => {
            let most = longest >> 20;
            let hint = "`--max-message` allows longer ones";
            return Some(format!("the client sent a message of more than {most} MiB, or without end; {hint}"));
        }
        StdioOutcome::Unanswered(1) => "1 request has".to_owned(),
        StdioOutcome::Unanswered(count) => format!("{count} requests have"),
    };
    Some(format!("{requests} no answer {grace:?} after the end of stdin; `--grace` allows more"))
}
