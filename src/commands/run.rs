//! `tapline run`: the proxy with an HTTP front door, for one server or several.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;

use super::observe::{greeting, has_screen, observe, print_shadow_counts, report_config, start_core};
use super::setup::{LaunchedBy, absent_program, behind_front_door, core_settings, default_name, pool_settings, target};
use super::tape::write_form;
use crate::app::Core;
use crate::cli::{LogFormat, RunArgs};
use crate::config::Config;
use crate::config::options::{self, FrontOptions, UpstreamChoice, WatchOptions};
use crate::control::hub::{self, Hub, LocalTapline};
use crate::control::merge::About;
use crate::control::registry::Registry;
use crate::event::{Level, LogLine};
use crate::exit::{ExitError, print_stderr};
use crate::proxy::front::routes::MountSpec;
use crate::screen::{ScreenThread, Signals, screen_settings};
use crate::tape::export::archive;
use crate::{ui, upstream::pool};

/// Runs the proxy until it is told to stop.
///
/// # Errors
/// Where what is asked for cannot be done: exit status 2.
pub(super) async fn run(args: RunArgs, config: Config) -> Result<ExitCode, ExitError> {
    let wanted = options::upstreams(args.target, &config).map_err(ExitError::usage)?;
    let absent = absent_programs(&wanted, &args.common.restart.watch);
    let pool = options::pool_section(&args.pool, &args.common.restart, &config.keys);
    let longest = options::longest_message(args.common.max_message, &config.keys);
    let pool = pool::Settings { longest, ..pool_settings(&wanted, pool)? };
    let name = default_name(&wanted);
    let upstreams = wanted.into_iter().map(|it| mount_spec(it, &pool)).collect::<Result<_, _>>()?;
    let (common, watching) = core_settings(args.common, upstreams, &name, LaunchedBy::Operator, &config)?;
    let absent = absent?;
    let front = FrontOptions::of(args.front, &config.keys);
    let (core, signals) = start_core(behind_front_door(common, front, &config)).await?;
    report_config(&config, &core);
    let lines = if has_screen(&watching) { LogFormat::Text } else { watching.log_format };
    for text in absent {
        if lines == LogFormat::Text {
            print_stderr(&format!("tapline: {text}"));
        }
        core.journal().log(LogLine::new(Level::Warn, "config", text));
    }
    let tally = core.shadow().map(|shadow| shadow.tally().clone());
    let status = if args.all && has_screen(&watching) {
        watch_all(core, signals, name, &watching).await
    } else {
        observe(core, signals, watching).await
    };
    tally.iter().for_each(|tally| print_shadow_counts(tally, lines));
    status
}

/// Shows a core and all other taplines of this user on one screen until the core is told to stop, then takes the core down.
async fn watch_all(
    core: Core,
    signals: Signals,
    usual_name: String,
    args: &WatchOptions,
) -> Result<ExitCode, ExitError> {
    let on_quit = args.on_quit;
    let upstream = core.mounts().label();
    print_stderr(&greeting(&core));
    let name = core.control().map_or_else(|| usual_name, |entry| entry.name.clone());
    let about = About { name, front: core.url().to_owned(), upstream, pid: Some(std::process::id()) };
    let own = LocalTapline { journal: core.journal().clone(), commands: core.commands(), about };
    let hub = Hub::start(hub::WatchedTaplines::All(Registry::of_user()), Some(own));
    let settings = screen_settings(args.ascii, args.color, args.theme, args.memory);
    let settings = ui::Settings {
        on_quit,
        archive: Some(archive),
        tape_writer: Some(write_form),
        keys: args.keys.clone(),
        columns: args.columns.clone(),
        patience: args.patience.clone(),
        bell: args.bell,
        ..settings
    };
    let mut screen = ScreenThread::start(hub.journal(), hub.commands(), settings, signals)?;
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

/// Says of each upstream whose program is not there that it is not: its first client would be the next to learn of it.
///
/// # Errors
/// Where it is the one that was typed. One that is watched may be about to be built.
fn absent_programs(wanted: &[UpstreamChoice], watched: &[PathBuf]) -> Result<Vec<String>, ExitError> {
    let mut texts = Vec::new();
    for upstream in wanted {
        let Some(text) = absent_program(&upstream.server) else { continue };
        match &upstream.name {
            Some(name) => texts.push(format!("upstream `{name}`: {text}")),
            None if watched.is_empty() => return Err(ExitError::usage(anyhow!(text))),
            None => texts.push(text),
        }
    }
    Ok(texts)
}

/// An upstream at its path; what it says of its own children goes before what is said of all.
fn mount_spec(wanted: UpstreamChoice, pool: &pool::Settings) -> Result<MountSpec, ExitError> {
    let pool = pool::Settings { stateless: wanted.stateless.unwrap_or(pool.stateless), ..pool.clone() };
    Ok(MountSpec { name: wanted.name, is_default: wanted.is_default, target: target(wanted.server, &pool)? })
}
