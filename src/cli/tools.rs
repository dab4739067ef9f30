//! The subcommands that stand in front of no server.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::serve::{ControlArgs, LogFormat, TargetArgs};
use super::values::{age, count, count_above_zero, speed, time_above_zero};
use crate::event::{LintLevel, Speed};
use crate::json::PathPattern;

#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Process id, name or address of one tapline [default: all of this user's]
    #[arg(value_name = "PID|NAME|ADDRESS")]
    pub target: Option<String>,
    /// Token of an address that is not this user's
    #[arg(long, value_name = "TOKEN", env = "TAPLINE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// No screen: one line a message on stderr (also when stdout is no terminal)
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          env = "TAPLINE_HEADLESS", value_parser = FalseyValueParser::new())]
    pub headless: Option<bool>,
    /// Form of the headless lines: `text` or `json` [default: text]
    #[arg(long, value_name = "FORM", env = "TAPLINE_LOG_FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// Draw with ASCII characters only
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", hide_possible_values = true,
          env = "TAPLINE_ASCII", value_parser = FalseyValueParser::new())]
    pub ascii: Option<bool>,
    /// What the screen keeps of the messages of a list, packed, in MiB; the oldest leave it first [default: 256]
    #[arg(long, value_name = "MIB", env = "TAPLINE_MEMORY", value_parser = count_above_zero::<NonZeroUsize>)]
    pub memory: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("server").required(true).args(["upstream", "command"])))]
#[command(group(ArgGroup::new("recorded").multiple(true).args(["record", "interactive"])))]
pub struct ReplayArgs {
    /// The tape to play; several are played one after the other. Each session on a tape has a client of its own
    #[arg(value_name = "TAPE", required = true)]
    pub tapes: Vec<PathBuf>,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Recorded pauses divided by this, or `max` for none
    #[arg(long, value_name = "N|max", default_value = "1", value_parser = speed)]
    pub speed: Speed,
    /// Wait for enter before each message
    #[arg(long, conflicts_with_all = ["repeat", "parallel"])]
    pub step: bool,
    /// First message of the client's to play, by its number on the tape; how the session begins is always played
    #[arg(long, value_name = "N", value_parser = count::<u64>)]
    pub from: Option<u64>,
    /// Last message of the client's to play
    #[arg(long, visible_alias = "to", value_name = "N", value_parser = count::<u64>)]
    pub until: Option<u64>,
    /// Then hand the session over: to the screen, or to a client that names it
    ///
    /// Of several sessions it is the one that the last message belongs to; the clients of the others leave.
    /// What is recorded from there on is a branch of the tape, and names it.
    #[arg(long, conflicts_with_all = ["repeat", "parallel", "update"])]
    pub interactive: bool,
    /// Play several tapes at the same time, in the order in which they were recorded, and not one after the other
    #[arg(long, conflicts_with_all = ["interactive", "update"])]
    pub together: bool,
    /// Play only messages that match this filter, such as `~tool search`
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// How often to play it, one time after the other; ends with a table of times
    #[arg(long, value_name = "N", value_parser = count_above_zero::<NonZeroUsize>)]
    pub repeat: Option<NonZeroUsize>,
    /// How many clients play it at once; ends with a table of times
    #[arg(long, value_name = "N", value_parser = count_above_zero::<NonZeroUsize>)]
    pub parallel: Option<NonZeroUsize>,
    /// Stop at the first step that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// How replies are compared: `normal`, `exact` (times and ids count, too), or `shape` (members and types, no values)
    #[arg(long = "match", value_name = "HOW", default_value = "normal", hide_possible_values = true)]
    pub matching: MatchArg,
    /// Path of reply values not to compare, such as `.result._meta` or `.result.content[*].text`; repeatable
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<PathPattern>,
    /// Path of the only reply values to compare; repeatable
    #[arg(long, value_name = "PATH")]
    pub only: Vec<PathPattern>,
    /// Take over what differs into the tape: only the values that changed move
    #[arg(long, conflicts_with_all = ["repeat", "parallel"])]
    pub update: bool,
    /// What `tapline tape minimise` does now.
    #[arg(long, value_name = "FILTER", hide = true)]
    pub minimise: Option<String>,
    /// Record what is played to a new tape in this directory
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Record secrets in messages as they are: the tape says so
    #[arg(long, requires = "recorded")]
    pub no_redact: bool,
    /// How long a reply may take, such as `5s`; three times what it took on the tape, where that is longer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time_above_zero)]
    pub timeout: Duration,
    /// Form of the report
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub report: ReplayReportArg,
    /// File for the report [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub control: ControlArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MatchArg {
    Normal,
    Exact,
    Shape,
}

/// What a replay is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayReportArg {
    Text,
    Json,
    Junit,
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
    Junit,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// File with settings, or with rules [default: tapline.toml in the working directory]
    #[arg(value_name = "FILE", env = "TAPLINE_CONFIG")]
    pub file: Option<PathBuf>,
    /// Show what the rules would have done to the messages of this tape; repeatable
    #[arg(long, value_name = "TAPE", num_args = 1..)]
    pub on: Vec<PathBuf>,
    /// Fail where a rule never had its turn on the tapes, or never can have it because of another
    #[arg(long)]
    pub strict: bool,
    /// How it is told what rules would have done
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub format: ReportFormat,
}

#[derive(Debug, Args)]
pub struct LintArgs {
    /// The tapes
    #[arg(value_name = "TAPE", required_unless_present = "list")]
    pub tapes: Vec<PathBuf>,
    /// Form of the report
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub format: LintFormat,
    /// Say what this client does with what was found, whichever was connected: typescript-1, typescript-2, python, fastmcp, rmcp
    #[arg(long = "as", value_name = "CLIENT")]
    pub seen_by: Option<String>,
    /// The least that counts [default: warn]
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<LintLevelArg>,
    /// Code that does not count; repeatable
    #[arg(long, value_name = "CODE")]
    pub allow: Vec<String>,
    /// File for the report [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// List every code instead
    #[arg(long, conflicts_with_all = ["tapes", "format", "seen_by", "level", "allow", "out"])]
    pub list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    Text,
    Json,
    Sarif,
    Junit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintLevelArg {
    Note,
    Info,
    Warn,
    Error,
}

impl From<LintLevelArg> for LintLevel {
    fn from(level: LintLevelArg) -> Self {
        match level {
            LintLevelArg::Note => Self::Note,
            LintLevelArg::Info => Self::Info,
            LintLevelArg::Warn => Self::Warn,
            LintLevelArg::Error => Self::Error,
        }
    }
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
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Remove their tapes, too: those in this directory [default: where tapes are recorded to]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub tapes: Option<Option<PathBuf>>,
}

/// Which servers of which clients are routed through tapline, or are not any more.
#[derive(Debug, Args)]
pub struct RoutedArgs {
    /// A client, such as `cursor`, or a configuration file; without one `wrap` lists them, and `unwrap` takes all
    #[arg(value_name = "CLIENT|FILE")]
    pub target: Option<PathBuf>,
    /// Only this server [default: all]; repeatable
    #[arg(long = "server", value_name = "NAME", requires = "target")]
    pub servers: Vec<String>,
}

#[derive(Debug, Args)]
pub struct WrapArgs {
    #[command(flatten)]
    pub routed: RoutedArgs,
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
    #[command(flatten)]
    pub routed: RoutedArgs,
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

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// A command, such as `run` or `sessions rm` [default: tapline itself, with keys, filters and values]
    #[arg(value_name = "COMMAND")]
    pub about: Vec<String>,
    /// Directory to write every page to, as `tapline.1`, `tapline-run.1`
    #[arg(long, value_name = "DIR", conflicts_with = "about")]
    pub dir: Option<PathBuf>,
    /// File whose keys are told [default: ./tapline.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct HelpArgs {
    /// A command, such as `run` or `sessions rm`, or a topic
    #[arg(value_name = "COMMAND|TOPIC")]
    pub about: Vec<String>,
    /// File whose keys are told [default: ./tapline.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
