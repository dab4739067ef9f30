//! `tapline check`: whether a configuration is in order, and what it means, in a few lines.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use super::rules;
use crate::cli::{CheckArgs, ControlArgs, FrontArgs, WatchArgs};
use crate::config::options::{self, ControlOptions, FrontOptions, UpstreamChoice, WatchOptions};
use crate::config::upstreams::UpstreamServer;
use crate::config::{self, Config, Directory, user_file};
use crate::exit::{self, ExitError};
use crate::rules::RuleFiles;
use crate::secret::Label;
use crate::tape;
use crate::text::{micros_with_unit, sanitize};

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode, ExitError> {
    if let Some(file) = args.file.as_deref().filter(|file| rules::is_rules(file)) {
        let config = Config::load(None, Directory::Chosen).map_err(ExitError::usage)?;
        return rules::check(file, args, config.keys.filters.map(|it| it.0).unwrap_or_default());
    }
    let config = Config::load(args.file.as_deref(), Directory::Chosen).map_err(ExitError::usage)?;
    if config.files.is_empty() {
        return Err(ExitError::usage(anyhow::anyhow!(nothing_there())));
    }
    for warning in &config.warnings {
        exit::print_error(warning);
    }
    let mut missing = missing(&config);
    if let Some(last) = missing.pop() {
        missing.iter().for_each(|what| exit::print_error(what));
        return Err(ExitError::usage(anyhow::anyhow!(last)));
    }
    let inline = config.keys.rule.clone().unwrap_or_default().files;
    let filters = config.keys.filters.clone().map(|it| it.0).unwrap_or_default();
    let rules = RuleFiles { settings: inline, filters, ..RuleFiles::default() };
    rules.read().map_err(|faults| ExitError::usage(anyhow::anyhow!(faults)))?;
    let upstreams = options::configured(&config).map_err(ExitError::usage)?;
    std::io::stdout().write_all(summary(&config, &upstreams).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What it says of commands and directories that are not there.
fn missing(config: &Config) -> Vec<String> {
    let upstreams = config.keys.upstreams.iter().flat_map(|upstreams| &upstreams.0);
    let commands = upstreams.filter_map(|(name, upstream)| match &upstream.server {
        UpstreamServer::Command(command) if !is_program(&command.program) => {
            Some(format!("upstream `{name}`: there is no program `{}`", sanitize(&command.program)))
        }
        _ => None,
    });
    let log = config.keys.log_file.as_ref().and_then(|file| file.0.parent()).filter(|dir| !is_dir(dir));
    let log = log.map(|dir| format!("`log_file`: there is no directory {}", dir.display()));
    commands.chain(log).collect()
}

/// What `tapline run` would do with it.
fn summary(config: &Config, upstreams: &[UpstreamChoice]) -> String {
    let keys = &config.keys;
    let front = FrontOptions::of(FrontArgs::default(), keys);
    let watch = WatchOptions::of(WatchArgs::default(), keys);
    let control = ControlOptions::of(ControlArgs::default(), keys);
    let mut text = String::new();
    for file in &config.files {
        push_line(&mut text, "read", file.display());
    }
    push_line(&mut text, "listens on", front.listen);
    for upstream in upstreams {
        push_line(&mut text, &paths(upstream), described(&upstream.server));
    }
    for (name, _) in &config.unset {
        push_line(&mut text, &format!("/{name}/mcp"), "not served: a variable of it is not set");
    }
    if upstreams.is_empty() {
        push_line(&mut text, "upstreams", "none: the command line names one");
    }
    push_line(&mut text, "records to", recorded(&watch));
    if let Some(filter) = watch.hold.as_ref().filter(|filter| !filter.trim().is_empty()) {
        push_line(&mut text, "holds", filter);
    }
    push_patience(&mut text, &watch);
    if control.address.is_none() {
        push_line(&mut text, "control", "off: `tapline attach` does not find it");
    }
    let sections = keys.sections();
    if !sections.is_empty() {
        push_line(&mut text, "settings of", sections.join(", "));
    }
    text
}

/// How long clients wait, and whether somebody hears that.
fn push_patience(text: &mut String, watch: &WatchOptions) {
    for (client, patience) in &watch.patience {
        let patience = micros_with_unit(u64::try_from(patience.as_micros()).unwrap_or(u64::MAX));
        push_line(text, "patience", format!("{client} waits {patience} for a reply"));
    }
    if watch.bell {
        push_line(text, "bell", "rings when a client is about to give up what is held");
    }
}

/// Said where there is nothing to check.
fn nothing_there() -> String {
    let user = user_file().map_or_else(String::new, |file| format!(", nor {}", file.display()));
    format!("nothing to check: there is no {} here{user}", config::FILE)
}

fn push_line(text: &mut String, what: &str, value: impl std::fmt::Display) {
    // A string takes everything.
    let _ = writeln!(text, "{:<24} {}", sanitize(what), sanitize(&value.to_string()));
}

fn paths(upstream: &UpstreamChoice) -> String {
    let root = upstream.is_default.then(|| "/mcp".to_owned());
    let named = upstream.name.as_ref().map(|name| format!("/{name}/mcp"));
    root.into_iter().chain(named).collect::<Vec<_>>().join(", ")
}

fn described(server: &UpstreamServer) -> String {
    match server {
        UpstreamServer::Command(command) => command.label().to_string(),
        UpstreamServer::Url { url, transport, headers } => {
            let url_text = Label::of_url(url);
            let over = if transport.is_sse(url) { " over HTTP+SSE" } else { "" };
            let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
            let with = if names.is_empty() { String::new() } else { format!(", with {}", names.join(", ")) };
            format!("{url_text}{over}{with}")
        }
    }
}

fn recorded(watch: &WatchOptions) -> String {
    match (watch.record, &watch.tapes) {
        (false, _) => "nothing".to_owned(),
        (true, Some(dir)) => dir.display().to_string(),
        (true, None) => tape::default_dir().map_or_else(|error| error.to_string(), |dir| dir.display().to_string()),
    }
}

/// Whether a shell would find it.
pub(super) fn is_program(program: &str) -> bool {
    let runs = |path: &Path| path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        return runs(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| runs(&dir.join(program)))
}

fn is_dir(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.is_dir()
}
