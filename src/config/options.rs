//! What is asked for, wherever it was: arguments over configuration over what is usual. Plain values come out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Config;
use super::keys::{self, ConfigKeys};
use super::upstreams::{UpstreamServer, Upstreams};
use crate::cli::{
    ColorArg, ControlArgs, FrontArgs, LogFormat, OtlpArgs, PoolArgs, RestartArgs, TargetArgs, ThemeArg, TransportArg,
    WatchArgs, server_url,
};
use crate::event::OnQuit;
use crate::filter::SavedFilters;
use crate::otlp;
use crate::secret::Label;
use crate::tape::{self, TapeError};
use crate::ui::{KeyChoice, ListColumn};
use crate::upstream::output::LONGEST_MESSAGE;
use crate::upstream::pool::{self, Restart};
use crate::upstream::stdio::CommandLine;

/// Where `run` listens, unless something says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7070);
/// The control address is any that is free.
const CONTROL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// The largest body of a request unless something says otherwise, in MiB.
const MAX_BODY: usize = 64;
/// Bytes of messages that a screen keeps, where nothing says otherwise.
const SCREEN_MEMORY: usize = 256 << 20;

/// The HTTP front door.
#[derive(Debug, PartialEq, Eq)]
pub struct FrontOptions {
    pub listen: SocketAddr,
    pub allow_hosts: Vec<String>,
    pub allow_origins: Vec<String>,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    pub keep_alive: Option<Duration>,
    pub lenient: bool,
    pub grace: Option<Duration>,
}

impl FrontOptions {
    /// The command line's word, else the file's, else the default.
    pub fn of(args: FrontArgs, keys: &ConfigKeys) -> Self {
        let or = |given: Vec<String>, key: &Option<Vec<String>>| {
            if given.is_empty() { key.clone().unwrap_or_default() } else { given }
        };
        let max_body = args.max_body.or(keys.max_body.map(usize::from)).unwrap_or(MAX_BODY);
        Self {
            listen: args.listen.or(keys.listen.map(|it| it.0)).unwrap_or(LISTEN),
            allow_hosts: or(args.allow_hosts, &keys.allow_hosts),
            allow_origins: or(args.allow_origins, &keys.allow_origins),
            max_body: max_body.saturating_mul(1 << 20),
            keep_alive: args.keep_alive.or(keys.keep_alive.map(|it| it.0)),
            lenient: args.lenient.or(keys.lenient).unwrap_or(false),
            grace: args.grace.or(keys.grace.map(|it| it.0)),
        }
    }
}

/// Bytes that one message of an upstream may have.
pub fn longest_message(given: Option<NonZeroUsize>, keys: &ConfigKeys) -> usize {
    given.or(keys.max_message).map_or(LONGEST_MESSAGE, |most| most.get().saturating_mul(1 << 20))
}

/// Bytes of messages that a screen keeps.
pub fn screen_memory(given: Option<NonZeroUsize>, keys: &ConfigKeys) -> usize {
    given.or(keys.memory).map_or(SCREEN_MEMORY, |most| most.get().saturating_mul(1 << 20))
}

/// Where spans go, if anything asks for them.
pub fn otlp(args: OtlpArgs, keys: &ConfigKeys) -> Option<otlp::Section> {
    let section = keys.otlp.clone();
    match args.otlp {
        Some(url) if !url.is_empty() => Some(otlp::Section { endpoint: Some(url), ..section.unwrap_or_default() }),
        Some(_) => Some(section.unwrap_or_default()),
        None => section,
    }
}

/// How what passes is shown and kept.
#[derive(Debug, PartialEq, Eq)]
pub struct WatchOptions {
    pub headless: bool,
    pub log_format: LogFormat,
    pub ascii: bool,
    pub color: ColorArg,
    pub theme: ThemeArg,
    pub keys: KeyChoice,
    /// Columns of the message list; empty: the usual ones.
    pub columns: Vec<ListColumn>,
    /// How long clients wait for a reply, by their names.
    pub patience: BTreeMap<String, Duration>,
    /// Whether the terminal rings when the client of a held message is about to give up.
    pub bell: bool,
    /// Bytes of messages that a screen keeps.
    pub memory: usize,
    /// The user's data directory if `None`.
    pub tapes: Option<PathBuf>,
    pub record: bool,
    /// Whether secrets are recorded as they are, whatever a file says.
    pub no_redact: bool,
    pub hold: Option<String>,
    /// Breakpoints in words, and the file that they are kept in.
    pub breaks: Vec<String>,
    pub breakpoints: Option<PathBuf>,
    /// What `@NAME` means in a filter.
    pub filters: SavedFilters,
    /// Files of rules, or names of ready sets.
    pub rules: Vec<PathBuf>,
    /// Files of settings with rules among them.
    pub inline_rules: Vec<PathBuf>,
    pub on_quit: Option<OnQuit>,
    /// The client whose behaviour lint tells, whichever is connected.
    pub lint_as: Option<String>,
    pub database: DatabaseChoice,
}

/// Where the arguments want sessions to be kept.
#[derive(Debug, PartialEq, Eq)]
pub enum DatabaseChoice {
    At(PathBuf),
    /// Where the configuration files say, else in the user's data directory.
    Usual,
    Off,
}

impl WatchOptions {
    /// The command line's word, else the file's, else the default.
    pub fn of(args: WatchArgs, keys: &ConfigKeys) -> Self {
        // A directory that is given is given to record to.
        let record = args.tapes.is_some() || !args.no_record && keys.record.unwrap_or(true);
        Self {
            headless: args.headless.or(keys.headless).unwrap_or(false),
            log_format: args.log_format.or(keys.log_format).unwrap_or(LogFormat::Text),
            ascii: args.ascii.or(keys.ascii).unwrap_or(false),
            color: keys.color.unwrap_or_default(),
            theme: keys.theme.unwrap_or_default(),
            keys: keys.key_choice(),
            columns: keys.list_columns(),
            patience: keys.client_patience(),
            bell: keys.bell.unwrap_or(false),
            memory: screen_memory(args.memory, keys),
            tapes: args.tapes.or_else(|| keys.tapes.clone().map(|it| it.dir)),
            record,
            no_redact: args.no_redact,
            breaks: args.breaks,
            breakpoints: args.breakpoints,
            hold: args.hold.or_else(|| keys.hold.clone().map(|it| it.0)),
            lint_as: args.lint_as,
            rules: if args.rules.is_empty() {
                keys.rules.iter().flatten().map(|it| it.0.clone()).collect()
            } else {
                args.rules
            },
            inline_rules: keys.rule.clone().unwrap_or_default().files,
            filters: keys.filters.clone().map(|it| it.0).unwrap_or_default(),
            on_quit: args.on_quit.map(OnQuit::from).or(keys.on_quit),
            database: match args.keep.database {
                _ if args.keep.no_database => DatabaseChoice::Off,
                Some(path) => DatabaseChoice::At(path),
                None => DatabaseChoice::Usual,
            },
        }
    }
}

/// How others find what runs here.
#[derive(Debug, PartialEq, Eq)]
pub struct ControlOptions {
    /// The address to listen on; there is no control address if `None`.
    pub address: Option<SocketAddr>,
    pub name: Option<String>,
}

impl ControlOptions {
    /// The command line's word, else the file's, else the default.
    pub fn of(args: ControlArgs, keys: &ConfigKeys) -> Self {
        let address = match (args.no_control, args.control, keys.control) {
            (true, ..) | (false, None, Some(keys::ControlKey::Off)) => None,
            (false, Some(address), _) | (false, None, Some(keys::ControlKey::At(address))) => Some(address),
            (false, None, None) => Some(CONTROL),
        };
        Self { address, name: args.name.or_else(|| keys.name.clone()) }
    }
}

/// How the children of commands are kept: what the command line says, else `[pool]` of the files.
pub fn pool_section(pool: &PoolArgs, restart: &RestartArgs, keys: &ConfigKeys) -> pool::Section {
    let key = keys.pool.clone().unwrap_or_default();
    pool::Section {
        spares: pool.spares.or(key.spares),
        max: pool.pool_max.or(key.max),
        restart: restart.restart.map(Restart::from).or(key.restart),
        watch: if restart.watch.is_empty() { key.watch.clone() } else { restart.watch.clone() },
        ..key
    }
}

/// An upstream that is to be served, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamChoice {
    pub name: Option<String>,
    pub is_default: bool,
    pub server: UpstreamServer,
    /// Whether it is declared to be, or not to be, for itself.
    pub stateless: Option<bool>,
}

/// Why it is not clear what to stand in front of.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamChoiceError {
    #[error(
        "nothing to stand in front of: give `--upstream URL`, or a command after `--`, or write `[upstreams.<name>]` in {}",
        super::FILE
    )]
    Nothing,
    #[error(
        "nothing to stand in front of: give `--upstream URL`, or a command after `--`, or `--config FILE`, which has \
         `[upstreams.<name>]`; a client may start tapline anywhere, so {} is not looked for",
        super::FILE
    )]
    NothingForClient,
    /// It would be served if a variable were set.
    #[error("{0}")]
    Unset(String),
    #[error("`{name}` is neither a URL nor an upstream of the configuration, which has `{}`", known.join("`, `"))]
    Unknown { name: String, known: Vec<String> },
    #[error("`--spares`, `--pool-max` and `--watch` are for a server that is a command: there is none")]
    NoCommand,
    #[error("`--header` is for an upstream on the command line; those of the configuration have `headers`")]
    Headers,
    #[error(
        "a client that launches tapline has one server, and the configuration has `{0}`: `--upstream NAME` takes one of \
         them, `default = \"NAME\"` does so from now on"
    )]
    Several(String),
}

/// Whether what is asked of commands has a command to be done with.
///
/// # Errors
/// Where it has none.
pub fn check_pool(kept: &pool::Section, wanted: &[UpstreamChoice]) -> Result<(), UpstreamChoiceError> {
    let has_command = wanted.iter().any(|it| matches!(it.server, UpstreamServer::Command(_)));
    let asks = kept.spares.is_some() || kept.max.is_some() || !kept.watch.is_empty();
    if asks && !has_command { Err(UpstreamChoiceError::NoCommand) } else { Ok(()) }
}

/// What `run` serves: all that the configuration has, and what the command line names at `/mcp`.
///
/// # Errors
/// Where there is nothing.
pub fn upstreams(args: TargetArgs, config: &Config) -> Result<Vec<UpstreamChoice>, UpstreamChoiceError> {
    let known: &[_] = config.keys.upstreams.as_ref().map_or(&[], |it| &it.0);
    let (given, default) = match given(args, config)? {
        GivenTarget::Server(server) => {
            (Some(UpstreamChoice { name: None, is_default: true, server, stateless: None }), None)
        }
        GivenTarget::Name(name) => (None, Some(name)),
        GivenTarget::Nothing => match (&config.keys.default, known) {
            (None, []) => return Err(UpstreamChoiceError::Nothing),
            (Some(default), _) => (None, Some(default.get_ref().clone())),
            (None, [(only, _)]) => (None, Some(only.clone())),
            (None, _) => (None, None),
        },
    };
    let unset = |name: &str| config.unset.iter().find(|(known, _)| known == name);
    let wanted = default.as_deref().and_then(unset);
    // Where nothing else would be served either.
    let last = config.unset.first().filter(|_| given.is_none() && known.iter().all(|(name, _)| unset(name).is_some()));
    if let Some((_, why)) = wanted.or(last) {
        return Err(UpstreamChoiceError::Unset(why.clone()));
    }
    let served = known.iter().filter(|(name, _)| unset(name).is_none());
    let named = served.map(|(name, upstream)| UpstreamChoice {
        name: Some(name.clone()),
        is_default: default.as_ref() == Some(name),
        server: upstream.server.clone(),
        stateless: upstream.stateless,
    });
    Ok(given.into_iter().chain(named).collect())
}

/// The one that `stdio` serves.
///
/// # Errors
/// Where there is none, or several.
pub fn upstream(args: TargetArgs, config: &Config) -> Result<UpstreamChoice, UpstreamChoiceError> {
    let wanted = upstreams(args, config).map_err(|error| match error {
        UpstreamChoiceError::Nothing => UpstreamChoiceError::NothingForClient,
        error => error,
    })?;
    let names: Vec<_> = wanted.iter().filter_map(|it| it.name.as_deref()).collect();
    let several = UpstreamChoiceError::Several(names.join("`, `"));
    wanted.into_iter().find(|it| it.is_default).ok_or(several)
}

/// What the configuration alone has.
///
/// # Errors
/// Where it cannot be served.
pub fn configured(config: &Config) -> Result<Vec<UpstreamChoice>, UpstreamChoiceError> {
    let nothing = TargetArgs {
        upstream: None,
        command: Vec::new(),
        transport: TransportArg::Auto,
        headers: Vec::new(),
        header_files: Vec::new(),
    };
    match upstreams(nothing, config) {
        Err(UpstreamChoiceError::Nothing) => Ok(Vec::new()),
        choice => choice,
    }
}

impl UpstreamServer {
    /// The one that the command line says, where it does.
    pub fn given(args: TargetArgs) -> Option<Self> {
        let TargetArgs { upstream, command, transport, .. } = args;
        let headers = [args.headers, args.header_files.into_iter().flat_map(|file| file.0).collect()].concat();
        match upstream {
            Some(url) => Some(Self::Url { url: server_url(&url), transport, headers }),
            None => CommandLine::new(&command).map(Self::Command),
        }
    }
}

/// The one server that the command line names, by an address, a command, or its name in the configuration.
///
/// # Errors
/// Where it names none that there is.
pub fn named_server(args: TargetArgs, config: &Config) -> Result<UpstreamServer, UpstreamChoiceError> {
    let name = match given(args, config)? {
        GivenTarget::Server(server) => return Ok(server),
        GivenTarget::Name(name) => name,
        GivenTarget::Nothing => return Err(UpstreamChoiceError::Nothing),
    };
    if let Some((_, why)) = config.unset.iter().find(|(known, _)| *known == name) {
        return Err(UpstreamChoiceError::Unset(why.clone()));
    }
    let mut known = config.keys.upstreams.iter().flat_map(|upstreams| &upstreams.0);
    let found = known.find(|(known, _)| *known == name).map(|(_, upstream)| upstream.server.clone());
    found.ok_or(UpstreamChoiceError::Nothing)
}

/// What the command line names.
enum GivenTarget {
    Server(UpstreamServer),
    /// The name of an upstream of the configuration.
    Name(String),
    Nothing,
}

fn given(args: TargetArgs, config: &Config) -> Result<GivenTarget, UpstreamChoiceError> {
    let known: Vec<_> = config.keys.upstreams.iter().flat_map(Upstreams::names).collect();
    let is_known = |name: &str| known.contains(&name);
    let names_headers = !args.headers.is_empty() || !args.header_files.is_empty();
    let has_headers = names_headers && !known.is_empty();
    match &args.upstream {
        Some(name) if is_known(name) && has_headers => Err(UpstreamChoiceError::Headers),
        Some(name) if is_known(name) => Ok(GivenTarget::Name(name.clone())),
        Some(name) if !known.is_empty() && !server_url(name).contains("://") => Err(UpstreamChoiceError::Unknown {
            name: Label::of_url(name).to_string(),
            known: known.into_iter().map(str::to_owned).collect(),
        }),
        None if args.command.is_empty() && has_headers => Err(UpstreamChoiceError::Headers),
        _ => Ok(UpstreamServer::given(args).map_or(GivenTarget::Nothing, GivenTarget::Server)),
    }
}

/// Where tapes are: the directory that is given, else that which is recorded to. Some commands have no `--tapes`, and all its variable.
///
/// # Errors
/// [`TapeError::NoHome`].
pub fn tapes_dir(given: Option<&PathBuf>, keys: &ConfigKeys) -> Result<PathBuf, TapeError> {
    let chosen = chosen_tapes(given).or_else(|| keys.tapes.clone().map(|it| it.dir));
    chosen.map_or_else(tape::default_dir, Ok)
}

/// Whether only the file in the working directory says where tapes are. One may happen to be there: that is enough to read what is in it,
/// and not to remove what nobody named.
pub fn tapes_are_found(given: Option<&PathBuf>, keys: &ConfigKeys) -> bool {
    chosen_tapes(given).is_none() && keys.tapes.as_ref().is_some_and(|it| it.file == Path::new(super::FILE))
}

/// What is typed, or set.
pub fn chosen_tapes(given: Option<&PathBuf>) -> Option<PathBuf> {
    let variable = || std::env::var_os("TAPLINE_TAPES").filter(|it| !it.is_empty()).map(PathBuf::from);
    given.cloned().or_else(variable)
}
