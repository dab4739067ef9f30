//! `run`, `stdio` and `demo`, and the options that they have in common.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::values::{
    HeaderFile, count, count_above_zero, header, header_file, listen_address, shadow_place, time_above_zero,
};
use crate::event::OnQuit;
use crate::json::PathPattern;
use crate::shadow::ShadowPlace;
use crate::text::duration;
use crate::upstream::pool::Restart;

/// Headers for the upstream, a line each: unlike arguments, not for everybody on the machine to read.
pub const HEADERS_VARIABLE: &str = "TAPLINE_HEADERS";

/// What tapline stands in front of: a URL or a command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
#[group(skip)]
pub struct TargetArgs {
    /// URL of a running MCP server, or the name of one in the configuration
    ///
    /// `127.0.0.1:9000` and `:9000` mean `http://127.0.0.1:9000/mcp`.
    #[arg(long, value_name = "URL", conflicts_with = "command", env = "TAPLINE_UPSTREAM")]
    pub upstream: Option<String>,
    /// Command that is an MCP server over stdin and stdout; each session gets a child of its own
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Transport of an upstream URL: `http`, `sse`, or `auto`: `sse` for a path that ends in `/sse`
    #[arg(
        long,
        value_name = "TRANSPORT",
        default_value = "auto",
        env = "TAPLINE_TRANSPORT",
        hide_short_help = true,
        hide_possible_values = true
    )]
    pub transport: TransportArg,
    /// Header to send to the upstream, such as `authorization: Bearer ${TOKEN}`; repeatable, never recorded
    ///
    /// `${NAME}` is a variable of the environment: what is written out here can be read in the list of processes. The variable takes
    /// several headers, a line each.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header, value_delimiter = '\n', env = HEADERS_VARIABLE,
          hide_env_values = true)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// File with headers to send to the upstream, a `name: value` a line; repeatable
    #[arg(long = "header-file", value_name = "FILE", value_parser = header_file, hide_short_help = true)]
    pub header_files: Vec<HeaderFile>,
}

/// Where settings may stand beside the command line.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct ConfigArgs {
    /// File with settings [default: ./tapline.toml, none for `stdio`]
    ///
    /// `stdio` reads none that it is not given: its client may have started it anywhere.
    #[arg(long, value_name = "FILE", env = "TAPLINE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// `tapline run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub front: FrontArgs,
    #[command(flatten)]
    pub pool: PoolArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    /// Show all other taplines of this user as well
    #[arg(long, conflicts_with = "headless", help_heading = SCREEN)]
    pub all: bool,
}

const SCREEN: &str = "Screen, or lines";

/// What `run` and `stdio`, which stand in front of a server, have in common beside that server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct CommonArgs {
    /// How often a message is sent again that did not arrive, or may arrive twice; 0 turns it off [default: 3]
    ///
    /// Twice may arrive `ping` and the lists. A `tools/call` that may have run is never sent again.
    #[arg(long, value_name = "N", env = "TAPLINE_RETRIES", value_parser = clap::value_parser!(u32).range(..=20),
          hide_short_help = true)]
    pub retries: Option<u32>,
    /// Longest message of the server, or line of a client on stdio, in MiB [default: 256]
    ///
    /// Of the server: a line, an event, a body. Its session, or the response, ends at a longer one.
    #[arg(long, value_name = "MIB", env = "TAPLINE_MAX_MESSAGE", hide_short_help = true, value_parser = count_above_zero::<NonZeroUsize>)]
    pub max_message: Option<NonZeroUsize>,
    #[command(flatten)]
    pub restart: RestartArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
    #[command(flatten)]
    pub control: ControlArgs,
    #[command(flatten)]
    pub otlp: OtlpArgs,
    #[command(flatten)]
    pub shadow: ShadowArgs,
}

/// The HTTP front door.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Clients")]
pub struct FrontArgs {
    /// Address to listen on, such as `7070`; port 0 takes a free one [default: 127.0.0.1:7070]
    ///
    /// Without a host it is one of this machine only; `0.0.0.0:7070` is reached from elsewhere, too.
    #[arg(long, value_name = "ADDRESS", env = "TAPLINE_LISTEN", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Host name to accept beside the loopback names, for no web page's sake; repeatable
    #[arg(long = "allow-host", value_name = "NAME", hide_short_help = true)]
    pub allow_hosts: Vec<String>,
    /// Web origin to accept, such as `https://tool.example`, beside those of this machine; repeatable
    #[arg(long = "allow-origin", value_name = "ORIGIN", hide_short_help = true)]
    pub allow_origins: Vec<String>,
    /// Largest request body in MiB [default: 64]
    #[arg(long, value_name = "MIB", hide_short_help = true, value_parser = count::<usize>)]
    pub max_body: Option<usize>,
    /// How long calls may take to end when tapline does; a second signal ends them at once [default: 5s]
    #[arg(long, value_name = "TIME", env = "TAPLINE_GRACE", value_parser = duration, hide_short_help = true)]
    pub grace: Option<Duration>,
    /// While an event of an open stream is held, send a comment so often, such as every `10s`
    ///
    /// It keeps proxies and clients that count silence from giving up.
    #[arg(long, value_name = "TIME", value_parser = time_above_zero, hide_short_help = true)]
    pub keep_alive: Option<Duration>,
    /// Hand a command also what breaks the rules of the HTTP transport, to see how it takes that
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          value_parser = FalseyValueParser::new(), hide_short_help = true)]
    pub lenient: Option<bool>,
}

/// `tapline stdio`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct StdioArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// How long the server may take to answer when the client says nothing more, or after SIGTERM [default: 5s]
    #[arg(long, value_name = "TIME", env = "TAPLINE_GRACE", value_parser = duration, hide_short_help = true)]
    pub grace: Option<Duration>,
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// How many children of a command there are.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Children of a command")]
pub struct PoolArgs {
    /// Children to start before a client needs them
    #[arg(long, value_name = "N", hide_short_help = true, value_parser = count::<usize>)]
    pub spares: Option<usize>,
    /// Most children at a time [default: 1000]
    #[arg(long, value_name = "N", hide_short_help = true, value_parser = count::<usize>)]
    pub pool_max: Option<usize>,
}

/// When a command is restarted while its clients stay.
#[derive(Debug, Args)]
#[command(next_help_heading = "Children of a command")]
pub struct RestartArgs {
    /// Restart the command when it has crashed; its clients stay [default: crash, of `stdio` never]
    #[arg(long, value_name = "WHEN", hide_short_help = true)]
    pub restart: Option<RestartArg>,
    /// Restart the command whenever this file or directory changes; its clients stay; repeatable
    #[arg(long, value_name = "PATH")]
    pub watch: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartArg {
    /// Its sessions end with it
    Never,
    /// Where it ended by a signal or a status that is not 0
    Crash,
}

impl From<RestartArg> for Restart {
    fn from(restart: RestartArg) -> Self {
        match restart {
            RestartArg::Never => Self::Never,
            RestartArg::Crash => Self::Crash,
        }
    }
}

/// How what passes is shown and kept.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = SCREEN)]
pub struct WatchArgs {
    /// No screen: one line a message on stderr (also when stdout is no terminal)
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          env = "TAPLINE_HEADLESS", value_parser = FalseyValueParser::new())]
    pub headless: Option<bool>,
    /// Form of the headless lines: `text` or `json` [default: text]
    #[arg(long, value_name = "FORM", env = "TAPLINE_LOG_FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// Hold messages that match this filter from the start, such as `~m tools/call`
    ///
    /// Without a screen, `tapline attach` in another terminal shows what is held and lets it go. `tapline help filters` has the language.
    #[arg(long, value_name = "FILTER")]
    pub hold: Option<String>,
    /// Stop at this filter, with `; skip=2; once; log=TEXT; deadline=30s; then=block` behind it where wanted; repeatable
    ///
    /// `session=ID` is for one session only, `answer=JSON` what a request gets when its time is over, `log=TEXT` says a line in place of a
    /// stop. `initialize`, `server/discover` and `ping` are left alone, unless the filter names them or `handshake` stands behind it.
    #[arg(long = "break", value_name = "FILTER")]
    pub breaks: Vec<String>,
    /// Keep breakpoints in this file: read at the start, written when they change
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub breakpoints: Option<PathBuf>,
    /// Decide without a person, by the rules in this file or in a ready set (`tapline rules`); repeatable
    #[arg(long = "rules", value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Say of what lint finds what this client does with it, whichever is connected, such as `typescript-1` or `python`
    #[arg(long, value_name = "CLIENT", hide_short_help = true)]
    pub lint_as: Option<String>,
    /// What happens to held messages on quit: `forward` or `fail`; the screen asks unless this says
    #[arg(long, value_name = "WHAT", env = "TAPLINE_ON_QUIT", hide_short_help = true)]
    pub on_quit: Option<OnQuitArg>,
    /// Draw with ASCII characters only
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          env = "TAPLINE_ASCII", value_parser = FalseyValueParser::new(), hide_short_help = true)]
    pub ascii: Option<bool>,
    /// What a screen keeps of the messages of a list, packed, in MiB; the oldest leave it first [default: 256]
    #[arg(long, value_name = "MIB", env = "TAPLINE_MEMORY", hide_short_help = true, value_parser = count_above_zero::<NonZeroUsize>)]
    pub memory: Option<NonZeroUsize>,
    /// Directory to record to [default: the user's data directory]
    #[arg(long, value_name = "DIR", env = "TAPLINE_TAPES", help_heading = KEPT)]
    pub tapes: Option<PathBuf>,
    /// Record nothing, keep no sessions: leaves nothing on disk
    #[arg(long, conflicts_with = "tapes", help_heading = KEPT)]
    pub no_record: bool,
    /// Record secrets in messages as they are: the tape says so
    ///
    /// Else passwords, tokens and keys are replaced on the tape, each by the same text wherever it stands. What passes is never changed.
    #[arg(long, conflicts_with = "no_record", help_heading = KEPT)]
    pub no_redact: bool,
    #[command(flatten)]
    pub keep: KeepArgs,
}

const KEPT: &str = "What is kept";

/// A second server, compared with the first.
#[derive(Debug, Args)]
#[command(next_help_heading = "Second server")]
pub struct ShadowArgs {
    /// Second server to send each request to as well and to compare; the client never hears of it
    #[arg(long, value_name = "URL|COMMAND", env = "TAPLINE_SHADOW", value_parser = shadow_place)]
    pub shadow: Option<ShadowPlace>,
    /// Also send it calls of tools that are not marked read-only, and unknown methods
    #[arg(long, hide_short_help = true)]
    pub shadow_writes: bool,
    /// Header to send to the second server; repeatable, never recorded. The client's own are never sent there
    #[arg(long = "shadow-header", value_name = "NAME: VALUE", value_parser = header, hide_short_help = true)]
    pub shadow_headers: Vec<(HeaderName, HeaderValue)>,
    /// Path of reply values not to compare, such as `.result._meta`; repeatable
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub shadow_ignore: Vec<PathPattern>,
}

/// Where sessions are kept, so that they go on when tapline is started again.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = KEPT)]
pub struct KeepArgs {
    /// File to keep sessions in [default: in the user's data directory]
    #[arg(long, value_name = "FILE", env = "TAPLINE_DATABASE", hide_short_help = true)]
    pub database: Option<PathBuf>,
    /// Keep no sessions: they end with this tapline
    #[arg(long, conflicts_with = "database", env = "TAPLINE_NO_DATABASE", value_parser = FalseyValueParser::new(), hide_short_help = true)]
    pub no_database: bool,
}

/// How others find what runs here.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Who else watches")]
pub struct ControlArgs {
    /// Address for `tapline attach` to watch and command this tapline at; port 0 takes a free one [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS", env = "TAPLINE_CONTROL", value_parser = listen_address, hide_short_help = true)]
    pub control: Option<SocketAddr>,
    /// Open no control address: no other screen can watch or command this tapline
    #[arg(long, env = "TAPLINE_NO_CONTROL", value_parser = FalseyValueParser::new(), hide_short_help = true)]
    pub no_control: bool,
    /// What `tapline attach` calls it [default: after the upstream]
    #[arg(long, value_name = "NAME", env = "TAPLINE_NAME")]
    pub name: Option<String>,
}

/// Who else is told what passes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who else watches")]
pub struct OtlpArgs {
    /// Send a span of each exchange to an OpenTelemetry collector, as OTLP over HTTP
    ///
    /// Without a URL: that of `OTEL_EXPORTER_OTLP_ENDPOINT`, else http://127.0.0.1:4318.
    #[arg(long, value_name = "URL", env = "TAPLINE_OTLP", num_args = 0..=1, default_missing_value = "")]
    pub otlp: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnQuitArg {
    /// Send them on as they are
    Forward,
    /// Answer requests with an error
    Fail,
}

impl From<OnQuitArg> for OnQuit {
    fn from(on_quit: OnQuitArg) -> Self {
        match on_quit {
            OnQuitArg::Forward => Self::Forward,
            OnQuitArg::Fail => Self::Fail,
        }
    }
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", value_parser = listen_address, hide_short_help = true)]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub watch: WatchArgs,
    #[command(flatten)]
    pub control: ControlArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportArg {
    Auto,
    /// Streamable HTTP (revision 2025-03-26 and later)
    Http,
    /// HTTP+SSE (revision 2024-11-05)
    Sse,
}

impl TransportArg {
    /// Whether the transport of this URL is HTTP+SSE. Nothing is tried out: the server would see it.
    pub fn is_sse(self, url: &str) -> bool {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        self == Self::Sse || self == Self::Auto && path.trim_end_matches('/').ends_with("/sse")
    }
}
