//! `tapline run`: the proxy with an HTTP front door, for one server or several.

use std::process::ExitCode;

use super::observe::{greeting, has_screen, observe, print_shadow_counts, report_config, start_core};
use super::setup::{
    control_settings, default_name, otlp_settings, pool_settings, retry_settings, session_settings, shadow_settings,
    tape_dir, target,
};
use crate::app::{Core, GRACE, Settings};
use crate::cli::RunArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::options::{self, ControlOptions, FrontOptions, UpstreamChoice, WatchOptions};
use crate::control::hub::{self, Hub, Own};
use crate::control::merge::About;
use crate::control::registry::Registry;
use crate::exit::{ExitError, say};
use crate::proxy::front::routes::MountSpec;
use crate::screen::{ScreenThread, screen_settings};
use crate::store::LONGEST_IDLE;
use crate::{ui, upstream::pool};

pub(super) async fn run(args: RunArgs, config: Config) -> Result<ExitCode, ExitError> {
    let wanted = options::upstreams(args.target, &config).map_err(ExitError::usage)?;
    let kept = pool_settings(&wanted, options::kept(&args.pool, args.restart, &config.keys))?;
    let front = FrontOptions::of(args.front, &config.keys);
    let watching = WatchOptions::of(args.watch, &config.keys);
    let tapes = tape_dir(&watching)?;
    let name = default_name(&wanted);
    let control = ControlOptions::of(args.control, &config.keys);
    let settings = Settings {
        listen: Some(front.listen),
        control: control_settings(control, &name, has_screen(&watching)),
        upstreams: wanted.into_iter().map(|it| placement(it, &kept)).collect::<Result<_, _>>()?,
        tapes: tapes.clone().filter(|_| watching.record),
        tape_library: tapes,
        hold: watching.hold.clone(),
        allow_hosts: front.allow_hosts,
        allow_origins: front.allow_origins,
        max_body: front.max_body,
        keep_alive: front.keep_alive,
        grace: front.grace.unwrap_or(GRACE),
        retry: retry_settings(args.retries, &config)?,
        otlp: otlp_settings(args.otlp, &config)?,
        auth: config.keys.auth.clone().unwrap_or_default(),
        limits: config.keys.limits.clone().unwrap_or_default(),
        clock: Clock::default(),
        shadow: shadow_settings(args.shadow, &config)?,
        sessions: session_settings(&watching, Some(LONGEST_IDLE), &config)?,
    };
    let core = start_core(settings).await?;
    report_config(&config, &core);
    let tally = core.shadow().map(|shadow| shadow.tally().clone());
    let status = if args.all && has_screen(&watching) {
        watch_all(core, name, &watching).await
    } else {
        observe(core, watching).await
    };
    tally.iter().for_each(print_shadow_counts);
    status
}

/// As [`watch_screen`](super::observe::watch_screen), with all other taplines of this user on the same screen.
async fn watch_all(core: Core, usual_name: String, args: &WatchOptions) -> Result<ExitCode, ExitError> {
    let on_quit = args.on_quit;
    let upstream = core.mounts().label();
    say(&greeting(&core));
    let name = core.control().map_or_else(|| usual_name, |entry| entry.name.clone());
    let about = About { name, front: core.url().to_owned(), upstream };
    let own = Own { journal: core.journal().clone(), commands: core.commands(), about };
    let hub = Hub::start(hub::WatchedTaplines::All(Registry::of_user()), Some(own));
    let settings = ui::Settings { on_quit, ..screen_settings(args.ascii) };
    let mut screen = ScreenThread::start(hub.journal(), hub.commands(), settings)?;
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

fn placement(wanted: UpstreamChoice, kept: &pool::Settings) -> Result<MountSpec, ExitError> {
    let kept = pool::Settings { stateless: wanted.stateless.unwrap_or(kept.stateless), ..kept.clone() };
    Ok(MountSpec { name: wanted.name, is_default: wanted.is_default, target: target(wanted.server, &kept)? })
}
