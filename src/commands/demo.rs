//! `tapline demo`: the built-in client and server with a live proxy between them; and that server by itself, for a tape.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::observe::{has_screen, observe, print_lines, say_why_no_screen, start_core};
use super::setup::{control_settings, redact_rules, rule_files, tape_dir};
use crate::app::{Core, Settings};
use crate::cli::{DemoArgs, LogFormat};
use crate::config::Config;
use crate::config::options::{ControlOptions, WatchOptions};
use crate::demo::server::{Scenario, ServerOptions};
use crate::exit::{ExitError, print_stderr};
use crate::screen::{Signals, until_down};
use crate::upstream::http::HttpUpstream;
use crate::upstream::target::Target;

/// Time between two exchanges of the demo's client, and between two messages of a stream of its server.
const DEMO_PACE: Duration = Duration::from_millis(700);
const DEMO_STREAM_PACE: Duration = Duration::from_millis(150);

pub(super) async fn run(args: DemoArgs, config: Config) -> Result<ExitCode, ExitError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free loopback port for the demo's server")?;
    let server = listener.local_addr().context("the demo's server has no address")?;
    let stop = CancellationToken::new();
    let options = ServerOptions { pace: DEMO_STREAM_PACE, ..ServerOptions::default() };
    tokio::spawn(crate::demo::server::serve(listener, options, stop.clone()));

    let upstream = HttpUpstream::new(&format!("http://{server}/mcp"), Vec::new()).map_err(anyhow::Error::msg)?;
    let mut settings = Settings::new(Target::Server(Arc::new(upstream)));
    // What the user holds otherwise is not in the story.
    let hold = args.watch.hold.clone();
    let watching = WatchOptions::of(args.watch, &config.keys);
    let on_screen = has_screen(&watching);
    settings.listen = Some(args.listen);
    settings.filters = watching.filters.clone();
    settings.rules = rule_files(&watching);
    settings.control = control_settings(ControlOptions::of(args.control, &config.keys), "demo", on_screen);
    settings.tape_library = tape_dir(&watching)?;
    settings.tapes = settings.tape_library.clone().filter(|_| watching.record);
    settings.redact = redact_rules(watching.no_redact, &config)?;
    // Without a screen the held call could not be let go.
    settings.hold = hold.or_else(|| on_screen.then(|| crate::demo::HOLD_FILTER.to_owned()));
    let (core, signals) = start_core(settings).await?;
    let url = core.url().to_owned();
    let status = if on_screen {
        tokio::spawn({
            let stop = stop.clone();
            async move {
                if let Err(error) = crate::demo::client::run(&url, DEMO_PACE, stop, |_| {}).await {
                    tracing::error!(%error, "the demo's client gave up");
                }
            }
        });
        observe(core, signals, watching).await?
    } else {
        demo_once(core, signals, watching, &url).await?
    };
    stop.cancel();
    print_stderr(crate::demo::GOODBYE);
    Ok(status)
}

/// The demo for a pipe or a log: the story once, flat out.
async fn demo_once(core: Core, mut signals: Signals, args: WatchOptions, url: &str) -> Result<ExitCode, ExitError> {
    let printer = print_lines(&core, args.log_format);
    if args.log_format == LogFormat::Text {
        say_why_no_screen(args.headless);
    }
    let told = tokio::select! {
        told = crate::demo::client::script(url) => told.context("the demo's client gave up").map(|_| ExitCode::SUCCESS),
        signal = signals.next() => Ok(ExitCode::from(signal.status())),
    };
    until_down(core, args.on_quit, &mut signals).await;
    printer.finish();
    Ok(told?)
}

pub(super) async fn serve(changed: bool) -> Result<ExitCode, ExitError> {
    let scenario = if changed { Scenario::Changed } else { Scenario::Original };
    let options = ServerOptions { scenario, ..ServerOptions::default() };
    crate::demo::server::serve_stdio(tokio::io::stdin(), tokio::io::stdout(), options).await?;
    Ok(ExitCode::SUCCESS)
}
