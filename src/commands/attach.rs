//! `tapline attach`: the screen, or the lines, of taplines that run elsewhere.
//!
//! The screen has a journal of its own (`control::hub`). The last screen to leave takes its holds along, so that no client
//! hangs where no screen can let it go.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::observe::{is_screen_possible, say_why_no_screen};
use super::tape::write_form;
use crate::cli::{AttachArgs, LogFormat};
use crate::config::keys::ConfigKeys;
use crate::config::options::screen_memory;
use crate::control::ControlToken;
use crate::control::client::Remote;
use crate::control::hub::{Ending, Hub, WatchedTaplines};
use crate::control::merge::About;
use crate::control::registry::{Registry, RegistryEntry};
use crate::exit::{ExitError, print_stderr};
use crate::screen::{self, ScreenThread, Signals, screen_settings};
use crate::secret::Label;
use crate::tape::export::archive;
use crate::text::sanitize;
use crate::ui;

/// Watches until the operator leaves, or the one tapline that was named ends.
pub(super) async fn run(mut args: AttachArgs, keys: &ConfigKeys) -> Result<ExitCode, ExitError> {
    let color = keys.color.unwrap_or_default();
    args.ascii = args.ascii.or(keys.ascii);
    let watch = match &args.target {
        None => WatchedTaplines::All(Registry::of_user()),
        Some(target) => one(target, args.token.as_deref()).await?,
    };
    let hub = Hub::start(watch, None);
    let headless = args.headless.unwrap_or(false);
    if !headless && is_screen_possible() {
        let filters = keys.filters.clone().map(|it| it.0).unwrap_or_default();
        let memory = screen_memory(args.memory, keys);
        let settings = screen_settings(args.ascii.unwrap_or(false), color, keys.theme.unwrap_or_default(), memory);
        let settings = ui::Settings { keys: keys.key_choice(), columns: keys.list_columns(), ..settings };
        return show(
            hub,
            ui::Settings { attached: true, filters, archive: Some(archive), tape_writer: Some(write_form), ..settings },
        )
        .await;
    }
    say_why_no_screen(headless);
    print(hub, &args).await
}

async fn show(hub: Hub, settings: ui::Settings) -> Result<ExitCode, ExitError> {
    let mut screen = ScreenThread::start(hub.journal(), hub.commands(), settings, Signals::new()?)?;
    screen.ended().await;
    let ending = hub.close().await;
    let status = screen.status()?;
    exit_status(&ending, status)
}

async fn print(hub: Hub, args: &AttachArgs) -> Result<ExitCode, ExitError> {
    let mut signals = Signals::new()?;
    let printer = screen::print(screen::read_feed(hub.journal()), args.log_format.unwrap_or(LogFormat::Text));
    let status = tokio::select! {
        signal = signals.next() => ExitCode::from(signal.status()),
        () = hub.ended() => ExitCode::SUCCESS,
    };
    let ending = hub.close().await;
    printer.finish();
    exit_status(&ending, status)
}

/// The last line, where it was not the operator who ended it.
fn exit_status(ending: &Ending, status: ExitCode) -> Result<ExitCode, ExitError> {
    match ending {
        Ending::Left => Ok(status),
        Ending::Stopped => {
            print_stderr("tapline: the tapline that was watched has ended");
            Ok(status)
        }
        Ending::Lost(why) => Err(anyhow!("the tapline that was watched is gone: {why}").into()),
    }
}

/// The tapline of that process id, name or address.
async fn one(target: &str, token: Option<&str>) -> Result<WatchedTaplines, ExitError> {
    let entries = Registry::of_user().list();
    let (address, label) = (target.parse::<SocketAddr>().ok(), Label::of_text(target));
    let (remote, about) = match (found(target, &entries)?, token, address) {
        (_, Some(token), Some(address)) => (Remote::new(address, ControlToken::given(token))?, stranger(address)),
        (Some(entry), _, _) => (Remote::of(entry)?, About::of(entry)),
        (None, None, Some(address)) => {
            let hint = "`--token` attaches to one of another user or machine";
            return Err(ExitError::usage(anyhow!("no tapline of this user has the address {address}; {hint}")));
        }
        (None, _, _) => return Err(ExitError::usage(anyhow!("no tapline `{label}` runs{}", those(&entries)))),
    };
    remote.check().await.with_context(|| format!("cannot attach to `{label}`"))?;
    Ok(WatchedTaplines::One(remote, about))
}

fn stranger(address: SocketAddr) -> About {
    About { name: address.to_string(), front: address.to_string(), upstream: String::new(), pid: None }
}

fn found<'a>(target: &str, entries: &'a [RegistryEntry]) -> Result<Option<&'a RegistryEntry>, ExitError> {
    let by_pid = |entry: &&RegistryEntry| entry.pid.to_string() == target;
    let by_address = |entry: &&RegistryEntry| {
        let url = target.trim_end_matches('/');
        let host = entry.front.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        entry.control.to_string() == target || entry.front == url || host == Some(target)
    };
    if let Some(entry) = entries.iter().find(by_pid).or_else(|| entries.iter().find(by_address)) {
        return Ok(Some(entry));
    }
    let named: Vec<_> = entries.iter().filter(|entry| entry.name == target).collect();
    match named[..] {
        [] => Ok(None),
        [entry] => Ok(Some(entry)),
        _ => Err(ExitError::usage(anyhow!("{} taplines are called `{target}`: {}", named.len(), pids(&named)))),
    }
}

fn those(entries: &[RegistryEntry]) -> String {
    let entries: Vec<_> = entries.iter().collect();
    if entries.is_empty() { "; none of this user's does".to_owned() } else { format!("; these do: {}", pids(&entries)) }
}

fn pids(entries: &[&RegistryEntry]) -> String {
    let word =
        |entry: &&RegistryEntry| format!("{} ({}, {})", entry.pid, sanitize(&entry.name), sanitize(&entry.front));
    entries.iter().map(word).collect::<Vec<_>>().join(", ")
}
