//! The command line: plain data, no behaviour.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::event::{OnQuit, Speed};
use crate::json::PathPattern;
use crate::shadow::ShadowPlace;
use crate::text;
use crate::upstream::pool::Restart;
use crate::variables::expand;

/// An interactive debugging proxy for the Model Context Protocol.
///
/// tapline sits between an MCP client and an MCP server, shows every message live, lets you hold, edit, block or answer
/// any of them, records each session to a tape, and plays tapes back.
#[derive(Debug, Parser)]
#[command(name = "tapline", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: CliCommand,
    /// File to add tapline's own log to
    #[arg(long, value_name = "FILE", global = true, env = "TAPLINE_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// Directory for tapline's own log and nothing else: a file a day, of eight days
    #[arg(long, value_name = "DIR", global = true, env = "TAPLINE_LOG_DIR", conflicts_with = "log_file")]
    pub log_dir: Option<PathBuf>,
    /// What to log there, such as `debug` or `tapline::upstream=trace` [default: info]
    #[arg(long, value_name = "FILTER", global = true, env = "TAPLINE_LOG")]
    pub log: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  tapline demo                                   a live screen, with nothing else installed
  tapline run -- npx -y @modelcontextprotocol/server-everything
                                                 a command behind http://127.0.0.1:7070/mcp
  tapline run --upstream http://127.0.0.1:9000/mcp
                                                 a server that is running already
  tapline attach                                 all of yours that run, from any terminal
  tapline replay session.tape.jsonl -- my-server play a recorded client, compare every reply

Exit status: 0 done, 1 the work failed, 2 usage or configuration, 130 and 143 by signal.";

#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Put tapline in front of a server
    #[command(
        override_usage = "tapline run [OPTIONS] [--upstream <URL> | -- <COMMAND>...]",
        after_help = "\
Examples:
  tapline run -- python my_server.py
  tapline run --listen 127.0.0.1:8000 --upstream https://example.com/mcp --header 'authorization: Bearer ${TOKEN}'
  tapline run --headless --log-format json --no-record -- my-server 2> messages.jsonl
  tapline run                                    what tapline.toml says: several servers, each at /NAME/mcp

Point your client at the URL that is shown, by default http://127.0.0.1:7070/mcp. Settings may also stand in ./tapline.toml and in
the user's ~/.config/tapline/config.toml, under the names of the options; `tapline check` reads them."
    )]
    Run(RunArgs),
    /// Watch and command taplines that run already, from any terminal
    #[command(after_help = "\
Examples:
  tapline attach            all taplines of this user, also those that start later
  tapline attach weather    the one that runs as `--name weather`
  tapline attach 4711       the one with this process id
  tapline attach --headless --log-format json 2>&1 | jq .

Quitting leaves them running. What this screen holds goes on as soon as nobody watches any more.")]
    Attach(AttachArgs),
    /// Be the server that a client launches, in front of the real one
    #[command(after_help = "\
Examples:
  tapline stdio -- npx -y @modelcontextprotocol/server-everything
  tapline stdio --upstream https://example.com/mcp --header 'authorization: Bearer ${TOKEN}'

Put this command in the client's configuration in place of the server's own. stdin and stdout belong to the protocol and stderr to
the server. The exit status is the server's.")]
    Stdio(StdioArgs),
    /// Play a tape's client against a server and compare every reply
    #[command(
        override_usage = "tapline replay [OPTIONS] <TAPE> (--upstream <URL> | -- <COMMAND>...)",
        after_help = "\
Examples:
  tapline replay session.tape.jsonl -- python my_server.py
  tapline replay session.tape.jsonl --upstream http://127.0.0.1:9000/mcp --speed max
  tapline replay session.tape.jsonl --ignore '.result.content[*].text' --report junit --out report.xml -- my-server

Exit status: 0 every step passed, 1 a step failed or the server never came up, 2 usage or an unreadable tape."
    )]
    Replay(ReplayArgs),
    /// Route the servers of an MCP client through tapline
    #[command(after_help = "\
Without CLIENT: lists the clients that are found, with their servers.
Clients: claude-desktop, claude-code, cursor, vscode, windsurf, gemini, codex, zed.

Examples:
  tapline wrap                                   what is there to wrap
  tapline wrap cursor                            show the change to Cursor's files, ask, write
  tapline wrap claude-code --server github       one server only
  tapline wrap ./mcp.json --dry-run              any file; show the change, write nothing
  tapline unwrap cursor                          put everything back, byte for byte

Only `command` and `args` change: comments, order and layout stay. The client must be restarted.

Exit status: 0 done or nothing to do, 1 failed or declined, 2 usage or a file that cannot be read.")]
    Wrap(WrapArgs),
    /// Undo `wrap`
    #[command(after_help = "\
Without CLIENT: everything that is wrapped.

Examples:
  tapline unwrap                                 everything, asking for each file
  tapline unwrap cursor --yes                    without asking
  tapline unwrap claude-code --server github     one server, the others stay wrapped

A file that nobody edited since comes back byte for byte; in an edited one the servers come back and the edits stay.

Exit status: 0 done or nothing to do, 1 failed or declined, 2 usage or a file that cannot be read.")]
    Unwrap(UnwrapArgs),
    /// Say whether a configuration is in order, and what it means
    #[command(after_help = "\
Examples:
  tapline check                     ./tapline.toml, and the user's own settings
  tapline check servers.toml        another file, as `tapline run --config servers.toml` would take it

Also looks whether commands and files that it names are there.

Exit status: 0 it is in order, 2 it is not, or there is none.")]
    Check(CheckArgs),
    /// List, show and forget the sessions that are kept from one start to the next
    #[command(after_help = "\
Examples:
  tapline sessions ls                     all that are known, the one used last first
  tapline sessions show 4f1c              one; its first characters are enough
  tapline sessions rm 4f1c                forget it; its tape stays
  tapline sessions rm --closed            forget all that have ended
  tapline sessions rm --older-than 30d --tapes
                                          forget what was not used for so long, and remove its tapes
  tapline sessions ls --json | jq -r 'select(.state == \"waiting\").id'

A session that waits resumes when its client comes back. That of a tapline that runs is not removed before it has ended.

Exit status: 0 done, 1 not removed, 2 usage, no such session, or a database that cannot be read.")]
    Sessions(SessionsArgs),
    /// Watch a built-in client and server talk through a live proxy
    Demo(DemoArgs),
    /// End the children of a tapline that was killed
    #[command(name = crate::upstream::guardian::SUBCOMMAND, hide = true)]
    Guardian {
        /// The tapline whose children are meant
        tapline: Option<u32>,
    },
    /// The built-in server of the demo, over stdin and stdout
    #[command(name = "__demo-server", hide = true)]
    DemoServer {
        /// Answers one tool otherwise, as a server does that was changed
        #[arg(long)]
        changed: bool,
    },
}

/// Headers for the upstream, a line each: unlike arguments, not for everybody on the machine to read.
pub const HEADERS_VARIABLE: &str = "TAPLINE_HEADERS";

/// What tapline stands in front of: a URL or a command.
#[derive(Debug, Args)]
#[group(skip)]
pub struct TargetArgs {
    /// URL of a running MCP server, or the name of one in the configuration
    #[arg(long, value_name = "URL", conflicts_with = "command", env = "TAPLINE_UPSTREAM")]
    pub upstream: Option<String>,
    /// Command that is an MCP server over stdin and stdout; each session gets a child of its own
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Transport of an upstream URL; `auto` is `sse` for a path that ends in `/sse`, else `http`
    #[arg(long, value_name = "TRANSPORT", default_value = "auto", env = "TAPLINE_TRANSPORT")]
    pub transport: TransportArg,
    /// Header to send to the upstream, such as `authorization: Bearer ${TOKEN}`; repeatable, never recorded. `${NAME}` is a
    /// variable of the environment: what is written out here can be read in the list of processes. The variable takes several, a
    /// line each
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header, value_delimiter = '\n', env = HEADERS_VARIABLE,
          hide_env_values = true)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// File with headers to send to the upstream, a `name: value` a line; repeatable
    #[arg(long = "header-file", value_name = "FILE", value_parser = header_file)]
    pub header_files: Vec<HeaderFile>,
}

/// The headers that a file holds.
#[derive(Clone, Debug)]
pub struct HeaderFile(pub Vec<(HeaderName, HeaderValue)>);

/// Where settings may stand beside the command line.
#[derive(Debug, Default, Args)]
pub struct ConfigArgs {
    /// File with settings [default: tapline.toml in the working directory; none for `stdio`, which its client may have started
    /// anywhere]
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
    #[arg(long, conflicts_with = "headless")]
    pub all: bool,
}

/// What `run` and `stdio`, which stand in front of a server, have in common beside that server.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// How often a message is sent again that did not arrive, or may arrive twice (`ping`, lists); 0 turns it off [default: 3]
    #[arg(long, value_name = "N", env = "TAPLINE_RETRIES", value_parser = clap::value_parser!(u32).range(..=20))]
    pub retries: Option<u32>,
    /// Longest message of the server, or line of a client on stdio, in MiB; its session, or the response, ends at a longer one [default: 256]
    #[arg(long, value_name = "MIB", env = "TAPLINE_MAX_MESSAGE")]
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
pub struct FrontArgs {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDRESS", env = "TAPLINE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Host name to accept beside the loopback names, for no web page's sake; repeatable
    #[arg(long = "allow-host", value_name = "NAME")]
    pub allow_hosts: Vec<String>,
    /// Web origin to accept, such as `https://tool.example`, beside those of this machine; repeatable
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origins: Vec<String>,
    /// Largest request body in MiB [default: 64]
    #[arg(long, value_name = "MIB")]
    pub max_body: Option<usize>,
    /// How long calls may take to end when tapline does, such as `30s`; a second signal ends them at once [default: 5s]
    #[arg(long, value_name = "TIME", env = "TAPLINE_GRACE", value_parser = time)]
    pub grace: Option<Duration>,
    /// While an event of an open stream is held, send a comment so often, such as every `10s`, to keep the client from giving up
    #[arg(long, value_name = "TIME", value_parser = time_above_zero)]
    pub keep_alive: Option<Duration>,
    /// Hand a command also what breaks the rules of the HTTP transport, to see how it takes that
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          value_parser = FalseyValueParser::new())]
    pub lenient: Option<bool>,
}

/// `tapline stdio`.
#[derive(Debug, Args)]
pub struct StdioArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// How long the server may take to answer when the client says nothing more, or after SIGTERM, such as `30s` [default: 5s]
    #[arg(long, value_name = "TIME", env = "TAPLINE_GRACE", value_parser = time)]
    pub grace: Option<Duration>,
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// How many children of a command there are.
#[derive(Debug, Default, Args)]
pub struct PoolArgs {
    /// Children to start before a client needs them
    #[arg(long, value_name = "N")]
    pub spares: Option<usize>,
    /// Most children at a time [default: 1000]
    #[arg(long, value_name = "N")]
    pub pool_max: Option<usize>,
}

/// When a command is restarted while its clients stay.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Restart the command when it has crashed; its clients stay connected [default: crash, of `stdio` never]
    #[arg(long, value_name = "WHEN")]
    pub restart: Option<RestartArg>,
    /// Restart the command whenever this file or directory changes; its clients stay connected; repeatable
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
pub struct WatchArgs {
    /// No screen: one line a message on stderr (also when stdout is no terminal)
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          env = "TAPLINE_HEADLESS", value_parser = FalseyValueParser::new())]
    pub headless: Option<bool>,
    /// Form of the headless lines [default: text]
    #[arg(long, value_name = "FORM", env = "TAPLINE_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Directory to record to [default: the user's data directory]
    #[arg(long, value_name = "DIR", env = "TAPLINE_TAPES")]
    pub tapes: Option<PathBuf>,
    /// Record nothing, keep no sessions: leaves nothing on disk
    #[arg(long, conflicts_with = "tapes")]
    pub no_record: bool,
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Hold messages that match this filter from the start, such as `~m tools/call`
    #[arg(long, value_name = "FILTER")]
    pub hold: Option<String>,
    /// What happens to held messages on quit; the screen asks unless this says
    #[arg(long, value_name = "WHAT", env = "TAPLINE_ON_QUIT")]
    pub on_quit: Option<OnQuitArg>,
    /// Draw with ASCII characters only
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          env = "TAPLINE_ASCII", value_parser = FalseyValueParser::new())]
    pub ascii: Option<bool>,
}

/// A second server, compared with the first.
#[derive(Debug, Args)]
pub struct ShadowArgs {
    /// Second server to send each request to as well and to compare; the client never hears of it
    #[arg(long, value_name = "URL|COMMAND", env = "TAPLINE_SHADOW")]
    pub shadow: Option<ShadowPlace>,
    /// Also send it calls of tools that are not marked read-only, and methods that nobody knows
    #[arg(long)]
    pub shadow_writes: bool,
    /// Header to send to the second server; repeatable, never recorded. The client's own are never sent there
    #[arg(long = "shadow-header", value_name = "NAME: VALUE", value_parser = header)]
    pub shadow_headers: Vec<(HeaderName, HeaderValue)>,
    /// Path of reply values not to compare, such as `.result._meta`; repeatable
    #[arg(long, value_name = "PATH")]
    pub shadow_ignore: Vec<PathPattern>,
}

/// Where sessions are kept, so that they go on when tapline is started again.
#[derive(Debug, Default, Args)]
pub struct KeepArgs {
    /// File to keep sessions in [default: in the user's data directory]
    #[arg(long, value_name = "FILE", env = "TAPLINE_DATABASE")]
    pub database: Option<PathBuf>,
    /// Keep no sessions: they end with this tapline
    #[arg(long, conflicts_with = "database", env = "TAPLINE_NO_DATABASE", value_parser = FalseyValueParser::new())]
    pub no_database: bool,
}

/// How others find what runs here.
#[derive(Debug, Default, Args)]
pub struct ControlArgs {
    /// Address for `tapline attach` to watch and command this tapline at; port 0 takes a free one [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDRESS", env = "TAPLINE_CONTROL")]
    pub control: Option<SocketAddr>,
    /// Let nobody watch or command this tapline from elsewhere
    #[arg(long, env = "TAPLINE_NO_CONTROL", value_parser = FalseyValueParser::new())]
    pub no_control: bool,
    /// What `tapline attach` calls it [default: after the upstream]
    #[arg(long, value_name = "NAME", env = "TAPLINE_NAME")]
    pub name: Option<String>,
}

/// Who else is told what passes.
#[derive(Debug, Args)]
pub struct OtlpArgs {
    /// Send a span of each exchange to an OpenTelemetry collector, as OTLP over HTTP [default URL: that of
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, else http://127.0.0.1:4318]
    #[arg(long, value_name = "URL", env = "TAPLINE_OTLP", num_args = 0..=1, default_missing_value = "")]
    pub otlp: Option<String>,
}

#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Process id, name or address of one tapline [default: all of this user's]
    #[arg(value_name = "PID|NAME|ADDRESS")]
    pub target: Option<String>,
    /// Token of an address that is not this user's
    #[arg(long, value_name = "TOKEN", env = "TAPLINE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// No screen: one line a message on stderr (also when stdout is no terminal)
    #[arg(long, env = "TAPLINE_HEADLESS", value_parser = FalseyValueParser::new())]
    pub headless: bool,
    /// Form of the headless lines
    #[arg(long, value_name = "FORM", default_value = "text", env = "TAPLINE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Draw with ASCII characters only
    #[arg(long, env = "TAPLINE_ASCII", value_parser = FalseyValueParser::new())]
    pub ascii: bool,
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
#[command(group(ArgGroup::new("server").required(true).args(["upstream", "command"])))]
pub struct ReplayArgs {
    /// The tape to play
    #[arg(value_name = "TAPE")]
    pub tape: PathBuf,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Recorded pauses divided by this, or `max` for none
    #[arg(long, value_name = "N|max", default_value = "1", value_parser = speed)]
    pub speed: Speed,
    /// Path of reply values not to compare, such as `.result._meta` or `.result.content[*].text`; repeatable
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<PathPattern>,
    /// Form of the report
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub report: ReportFormat,
    /// File for the report [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
    Junit,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// File with settings [default: tapline.toml in the working directory]
    #[arg(value_name = "FILE", env = "TAPLINE_CONFIG")]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SessionsArgs {
    #[command(subcommand)]
    pub command: SessionsCommand,
    /// File that sessions are kept in [default: in the user's data directory]
    #[arg(long, value_name = "FILE", global = true, env = "TAPLINE_DATABASE")]
    pub database: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List them, the one used last first
    Ls {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of one
    Show {
        /// Its id, or the first characters of it
        id: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Forget some; their tapes stay
    Rm(RmArgs),
}

#[derive(Debug, Args)]
pub struct RmArgs {
    /// Ids, or the first characters of them
    #[arg(
        value_name = "ID",
        required_unless_present_any = ["closed", "older_than"],
        conflicts_with_all = ["closed", "older_than"]
    )]
    pub ids: Vec<String>,
    /// All that have ended
    #[arg(long)]
    pub closed: bool,
    /// All that were not used for so long, such as `30d` or `12h`
    #[arg(long, value_name = "TIME", value_parser = crate::text::duration)]
    pub older_than: Option<Duration>,
    /// Remove their tapes, too: those in this directory [default: where tapes are recorded to]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub tapes: Option<Option<PathBuf>>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
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
    /// Whether the server at this URL is spoken to over HTTP+SSE. Nothing is tried out: the server would see it.
    pub fn is_sse(self, url: &str) -> bool {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        self == Self::Sse || self == Self::Auto && path.trim_end_matches('/').ends_with("/sse")
    }
}

#[derive(Debug, Args)]
pub struct WrapArgs {
    /// A client, such as `cursor`, or a configuration file
    #[arg(value_name = "CLIENT|FILE")]
    pub target: Option<PathBuf>,
    /// Server to route [default: all]; repeatable
    #[arg(long = "server", value_name = "NAME", requires = "target")]
    pub servers: Vec<String>,
    /// Also route servers at a URL
    #[arg(long, requires = "target")]
    pub remote: bool,
    /// Also those whose client sends headers: tapline sends them, from `env` in the file
    #[arg(long, requires = "remote")]
    pub headers: bool,
    /// Program to write into the file [default: this one]
    #[arg(long, value_name = "PATH")]
    pub tapline: Option<PathBuf>,
    #[command(flatten)]
    pub consent: ConsentArgs,
}

#[derive(Debug, Args)]
pub struct UnwrapArgs {
    /// A client, such as `cursor`, or a configuration file [default: all that are wrapped]
    #[arg(value_name = "CLIENT|FILE")]
    pub target: Option<PathBuf>,
    /// Server to unwrap [default: all]; repeatable
    #[arg(long = "server", value_name = "NAME", requires = "target")]
    pub servers: Vec<String>,
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// Whether a file that is shown is also written.
#[derive(Debug, Args)]
pub struct ConsentArgs {
    /// Show the change, write nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Write without asking
    #[arg(long, short)]
    pub yes: bool,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header reads `name: value`")?;
    // It may be the secret itself.
    let name = name.trim().parse().map_err(|_| "what stands before the `:` is not a header name".to_owned())?;
    let value = expand(value.trim(), |name| std::env::var(name).ok())?;
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| "the value holds characters no header may hold")?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn header_file(path: &str) -> Result<HeaderFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let headers = lines.map(|(number, line)| header(line).map_err(|why| format!("line {number}: {why}")));
    headers.collect::<Result<_, _>>().map(HeaderFile)
}

/// A length of time; a plain number is one of seconds.
fn time(text: &str) -> Result<Duration, String> {
    match text.trim().parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => text::duration(text),
    }
}

fn time_above_zero(text: &str) -> Result<Duration, String> {
    time(text).and_then(|time| {
        if time.is_zero() { Err("a time above zero is needed, such as `10s`".to_owned()) } else { Ok(time) }
    })
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("a number above 0, or `max`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_without_a_unit_is_in_seconds() {
        assert_eq!(time("10"), Ok(Duration::from_secs(10)));
        assert_eq!(time("0"), Ok(Duration::ZERO));
        assert_eq!(time_above_zero(" 250ms "), Ok(Duration::from_millis(250)));
        assert!(time_above_zero("0").is_err() && time_above_zero("0s").is_err() && time("-1").is_err());
    }
}
