//! `tapline stdio`: the server that a client launches, in front of the real one.
//!
//! It reads no file of its working directory: a client may have started it in a repository that nobody has read, and
//! settings name commands. It runs on one thread and reads pipes as they become ready: tokio's own stdin and stdout are
//! threads, and two wakes a line cost more than all the rest (60 µs a call, now 11).

use std::process::ExitCode;

use super::observe::{print_lines, print_shadow_counts, report_config, start_core};
use super::setup::{
    control_settings, default_name, otlp_settings, pool_settings, retry_settings, session_settings, shadow_settings,
    tape_dir, target,
};
use crate::app::Settings;
use crate::cli::{PoolArgs, StdioArgs};
use crate::config::Config;
use crate::config::options::{self, ControlOptions, WatchOptions};
use crate::exit::ExitError;
use crate::proxy::exchange::ServerLink;
use crate::proxy::front::stdio::{BlockingFlags, StdioEnds, StdioSession};
use crate::screen::{OperatorSignal, Signals, until_down};
use crate::upstream::pool::{self, Restart};

pub(super) async fn run(args: StdioArgs, config: Config) -> Result<ExitCode, ExitError> {
    let wanted = options::upstream(args.target, &config).map_err(ExitError::usage)?;
    // Where a client has launched us, the pipe breaks as the server's would, and our exit status is the server's.
    let kept = options::kept(&PoolArgs::default(), args.restart, &config.keys);
    let kept = pool::Section { restart: kept.restart.or(Some(Restart::Never)), ..kept };
    let kept = pool_settings(std::slice::from_ref(&wanted), kept)?;
    let watching = WatchOptions::of(args.watch, &config.keys);
    let tapes = tape_dir(&watching)?;
    let name = default_name(std::slice::from_ref(&wanted));
    let settings = Settings {
        listen: None,
        control: control_settings(ControlOptions::of(args.control, &config.keys), &name, false),
        tapes: tapes.clone().filter(|_| watching.record),
        tape_library: tapes,
        hold: watching.hold.clone(),
        retry: retry_settings(args.retries, &config)?,
        otlp: otlp_settings(args.otlp, &config)?,
        shadow: shadow_settings(args.shadow, &config)?,
        sessions: session_settings(&watching, None, &config)?,
        ..Settings::new(target(wanted.server, &kept)?)
    };
    let mut signals = Signals::new()?;
    let core = start_core(settings).await?;
    report_config(&config, &core);
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
                ServerLink::Stream(link) if link.signal(signal.number()) => {}
                ServerLink::Stream(_) | ServerLink::Exchanges(_) | ServerLink::Shared(_) => {
                    signalled = Some(signal);
                    break;
                }
            },
        }
    }
    let status = match &connection.link {
        ServerLink::Stream(link) => link.exit_code(),
        ServerLink::Exchanges(_) | ServerLink::Shared(_) => None,
    };
    let status = status.unwrap_or_else(|| signalled.map_or(0, OperatorSignal::status));
    drop(serving);
    drop(connection);
    let tally = core.shadow().filter(|_| printer.is_some()).map(|shadow| shadow.tally().clone());
    until_down(core, watching.on_quit, &mut signals).await;
    printer.map(std::thread::JoinHandle::join);
    tally.iter().for_each(print_shadow_counts);
    Ok(ExitCode::from(status))
}
