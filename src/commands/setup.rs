//! What arguments and files of settings say, as the settings of a core.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::check::is_program;
use super::observe::has_screen;
use super::tape::apply_retention;
use crate::app::{BreakpointSettings, GRACE, Settings};
use crate::children::guardian::Guardian;
use crate::cli::{CommonArgs, OtlpArgs, ShadowArgs, TransportArg};
use crate::config::Config;
use crate::config::options::{self, ControlOptions, DatabaseChoice, FrontOptions, UpstreamChoice, WatchOptions};
use crate::config::upstreams::UpstreamServer;
use crate::control::registry::Registry;
use crate::control::{server as control, short_name};
use crate::exit::ExitError;
use crate::intercept::points;
use crate::proxy::front::routes::MountSpec;
use crate::rules::RuleFiles;
use crate::secret::Label;
use crate::shadow::{self, ShadowPlace};
use crate::store::LONGEST_IDLE;
use crate::tape::redact::RedactRules;
use crate::upstream::http::HttpUpstream;
use crate::upstream::pool::{self, Pool, Restart};
use crate::upstream::retry::{self, Retry};
use crate::upstream::site::Site;
use crate::upstream::sse::SseUpstream;
use crate::upstream::target::Target;
use crate::{lint, otlp, store, tape};

/// Who has started this process: a person at a terminal, or an MCP client that takes it for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaunchedBy {
    Operator,
    Client,
}

/// The settings that `run` and `stdio` have in common, without an HTTP front door; and how the core is watched. `usual_name` is
/// the tapline's name where none is given.
///
/// # Errors
/// Where a value cannot be, or no place for tapes is known: exit status 2.
pub(super) fn core_settings(
    args: CommonArgs,
    upstreams: Vec<MountSpec>,
    usual_name: &str,
    launched_by: LaunchedBy,
    config: &Config,
) -> Result<(Settings, WatchOptions), ExitError> {
    let watching = WatchOptions::of(args.watch, &config.keys);
    let tapes = tape_dir(&watching)?;
    let unreadable = |why| ExitError::usage(anyhow::anyhow!("`[retention]`: {why}"));
    if let Some(dir) = tapes.clone().filter(|_| watching.record) {
        apply_retention(dir, config.keys.retention.clone().unwrap_or_default().limits().map_err(unreadable)?);
    }
    let (own_screen, idle) = match launched_by {
        LaunchedBy::Operator => (has_screen(&watching), Some(LONGEST_IDLE)),
        // Its one session lasts as long as the process.
        LaunchedBy::Client => (false, None),
    };
    let settings = Settings {
        listen: None,
        control: control_settings(ControlOptions::of(args.control, &config.keys), usual_name, own_screen),
        tapes: tapes.clone().filter(|_| watching.record),
        redact: redact_rules(watching.no_redact, config)?,
        tape_library: tapes,
        hold: watching.hold.clone(),
        breakpoints: breakpoints(&watching)?,
        filters: watching.filters.clone(),
        rules: rule_files(&watching),
        retry: retry_settings(args.retries, config)?,
        lint: lint_settings(watching.lint_as.clone(), config)?,
        otlp: otlp_settings(args.otlp, config)?,
        shadow: shadow_settings(args.shadow, config)?,
        sessions: session_settings(&watching, idle, config)?,
        ..Settings::serving(upstreams)
    };
    Ok((settings, watching))
}

/// The same behind an HTTP front door, with who may come in and how often.
pub(super) fn behind_front_door(settings: Settings, front: FrontOptions, config: &Config) -> Settings {
    let FrontOptions { listen, allow_hosts, allow_origins, max_body, keep_alive, lenient, grace } = front;
    Settings {
        listen: Some(listen),
        allow_hosts,
        allow_origins,
        max_body,
        keep_alive,
        lenient,
        grace: grace.unwrap_or(GRACE),
        auth: config.keys.auth.clone().unwrap_or_default(),
        limits: config.keys.limits.clone().unwrap_or_default(),
        ..settings
    }
}

/// Where messages stop.
fn breakpoints(watching: &WatchOptions) -> Result<BreakpointSettings, ExitError> {
    let read = |words: &String| {
        points::of_words(words).map_err(|why| ExitError::usage(anyhow::anyhow!("`--break {words}`: {why}")))
    };
    let points = watching.breaks.iter().map(read).collect::<Result<_, _>>()?;
    Ok(BreakpointSettings { points, file: watching.breakpoints.clone() })
}

/// Where rules come from.
pub(super) fn rule_files(watching: &WatchOptions) -> RuleFiles {
    let (places, settings) = (watching.rules.clone(), watching.inline_rules.clone());
    RuleFiles { places, settings, filters: watching.filters.clone() }
}

/// How what passes is judged; not at all where a file says so.
fn lint_settings(seen_by: Option<String>, config: &Config) -> Result<Option<lint::Section>, ExitError> {
    let section = config.keys.lint.clone().unwrap_or_default();
    let section = lint::Section { seen_by: seen_by.or(section.seen_by), ..section };
    section.check().map_err(|why| ExitError::usage(anyhow::anyhow!("`--lint-as`: {why}")))?;
    Ok(Some(section).filter(|section| section.live.unwrap_or(true)))
}

fn shadow_settings(args: ShadowArgs, config: &Config) -> Result<Option<shadow::Settings>, ExitError> {
    let flags = shadow::Flags {
        place: args.shadow,
        writes: args.shadow_writes,
        headers: args.shadow_headers,
        ignore: args.shadow_ignore,
    };
    let section = config.keys.shadow.clone().unwrap_or_default();
    let Some(plan) = section.plan(flags).map_err(ExitError::usage)? else { return Ok(None) };
    let server = match plan.place {
        ShadowPlace::Url(url) => UpstreamServer::Url { url, transport: TransportArg::Auto, headers: plan.headers },
        ShadowPlace::Command(command) => UpstreamServer::Command(command),
    };
    if let Some(why) = absent_program(&server) {
        return Err(ExitError::usage(anyhow::anyhow!("`--shadow`: {why}")));
    }
    let target = target(server, &pool::Settings::default())?;
    Ok(Some(shadow::Settings { target, upstream: plan.upstream, options: plan.options }))
}

/// How sessions are kept; nowhere on disk where nothing is to be left there.
fn session_settings(
    watching: &WatchOptions,
    idle: Option<Duration>,
    config: &Config,
) -> Result<store::Settings, ExitError> {
    let section = config.keys.sessions.clone().unwrap_or_default();
    let defaults = store::Settings { database: store::default_path(), idle, ..store::Settings::default() };
    let settings = section.over(&defaults).map_err(|why| ExitError::usage(anyhow::anyhow!(why)))?;
    let database = match &watching.database {
        DatabaseChoice::At(path) => Some(path.clone()),
        DatabaseChoice::Usual => settings.database,
        DatabaseChoice::Off => None,
    };
    Ok(store::Settings { database: database.filter(|_| watching.record), ..settings })
}

/// What is taken out of messages before they are recorded, if anything.
pub(super) fn redact_rules(no_redact: bool, config: &Config) -> Result<Option<RedactRules>, ExitError> {
    let section = config.keys.redact.clone().unwrap_or_default();
    let rules = section.rules().map_err(|why| ExitError::usage(anyhow::anyhow!(why)))?;
    Ok(rules.filter(|_| !no_redact))
}

fn retry_settings(attempts: Option<u32>, config: &Config) -> Result<Retry, ExitError> {
    let section = config.keys.retry.clone().unwrap_or_default();
    let section = retry::Section { attempts: attempts.unwrap_or(section.attempts), ..section };
    Retry::new(section).map_err(|why| ExitError::usage(anyhow::anyhow!(why)))
}

/// How the core is found by `tapline attach`, if at all.
pub(super) fn control_settings(
    control: ControlOptions,
    usual_name: &str,
    own_screen: bool,
) -> Option<control::Settings> {
    control.address.map(|address| control::Settings {
        address,
        registry: Registry::of_user(),
        name: control.name.unwrap_or_else(|| usual_name.to_owned()),
        own_screen,
    })
}

fn otlp_settings(args: OtlpArgs, config: &Config) -> Result<Option<otlp::Settings>, ExitError> {
    let section = options::otlp(args, &config.keys);
    let invalid = |why| ExitError::usage(anyhow::anyhow!("`--otlp`: {why}"));
    section.map(otlp::Section::settings).transpose().map_err(invalid)
}

/// The name of a tapline that was given none.
pub(super) fn default_name(wanted: &[UpstreamChoice]) -> String {
    match wanted {
        [UpstreamChoice { server, .. }] => short_name(&server.label()),
        several => {
            let names = several.iter().map(|it| it.name.clone().unwrap_or_else(|| short_name(&it.server.label())));
            names.collect::<Vec<_>>().join("+")
        }
    }
}

/// How the children of commands are kept.
///
/// # Errors
/// Where something is asked of them and no upstream is a command, or a value cannot be.
pub(super) fn pool_settings(wanted: &[UpstreamChoice], pool: pool::Section) -> Result<pool::Settings, ExitError> {
    options::check_pool(&pool, wanted).map_err(ExitError::usage)?;
    pool.settings().map_err(|why| ExitError::usage(anyhow::anyhow!(why)))
}

/// That there is no program of that name, where a server is a command and that can be seen before it is started.
pub(super) fn absent_program(server: &UpstreamServer) -> Option<String> {
    let UpstreamServer::Command(command) = server else { return None };
    if command.has_variable("PATH") || is_program(&command.program) {
        return None;
    }
    let where_to = if command.program.contains('/') { "that can be run" } else { "on `PATH`" };
    Some(format!("there is no program `{}` {where_to}", Label::of_text(&command.program)))
}

/// The server that is given to be asked what is on a tape. A crash is what that is to find: it is not started again.
///
/// # Errors
/// As of [`target`], and where there is no such program.
pub(super) fn played_target(server: UpstreamServer) -> Result<Target, ExitError> {
    if let Some(why) = absent_program(&server) {
        return Err(ExitError::usage(anyhow::anyhow!(why)));
    }
    target(server, &pool::Settings { restart: Restart::Never, ..pool::Settings::default() })
}

/// The upstream behind a URL or a command line; no connection is made and no child is started yet.
///
/// # Errors
/// Where the URL cannot be one of a server, or the program file of tapline cannot be found.
pub(super) fn target(server: UpstreamServer, pool: &pool::Settings) -> Result<Target, ExitError> {
    let site = |url: &str, headers| {
        let site = Site::new(url, headers).map_err(|why| ExitError::usage(anyhow::anyhow!("{why}")))?;
        Ok::<_, ExitError>(site.with_longest(pool.longest))
    };
    match server {
        UpstreamServer::Url { url, transport, headers } if transport.is_sse(&url) => {
            Ok(Target::Events(SseUpstream::at(site(&url, headers)?)))
        }
        UpstreamServer::Url { url, headers, .. } => {
            Ok(Target::Server(Arc::new(HttpUpstream::at(site(&url, headers)?))))
        }
        UpstreamServer::Command(command) => {
            let guardian = Guardian::of_process().context("cannot find tapline's own program file")?;
            Ok(Target::Command(Pool::new(command, guardian, pool.clone())))
        }
    }
}

/// Where tapes are; `None` only where nothing is recorded and no place is known.
pub(super) fn tape_dir(args: &WatchOptions) -> Result<Option<PathBuf>, ExitError> {
    match (&args.tapes, tape::default_dir()) {
        (Some(dir), _) => Ok(Some(dir.clone())),
        (None, Ok(dir)) => Ok(Some(dir)),
        (None, Err(_)) if !args.record => Ok(None),
        (None, Err(error)) => Err(ExitError::usage(error)),
    }
}
