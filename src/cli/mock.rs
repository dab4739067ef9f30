//! `tapline mock`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::serve::{CommonArgs, ConfigArgs, FrontArgs};
use super::values::{count_above_zero, speed, time_above_zero};
use crate::event::{MockOrder, MockRepeats, Speed};
use crate::json::PathPattern;

#[derive(Debug, Args)]
#[command(next_help_heading = "Tapes")]
pub struct MockArgs {
    /// Tapes whose server is to answer; each client gets the session of one of its name (`clientInfo.name`), else the next
    #[arg(value_name = "TAPE", required = true)]
    pub tape: Vec<PathBuf>,
    /// Be the command that a client launches, in place of listening
    #[arg(long, conflicts_with = "listen")]
    pub stdio: bool,
    /// Which of equal requests gets which reply: `session` (each client from the first on), `any` (the next request gets the next), or
    /// `strict`: requests come in the order of the tape
    #[arg(long, value_name = "ORDER", default_value = "session", hide_possible_values = true)]
    pub order: MockOrder,
    /// What a request gets that is asked more often than it was recorded: the `last` reply again, `loop` from the first, or
    /// `next`: nothing
    #[arg(long, value_name = "WHICH", default_value = "last", hide_possible_values = true)]
    pub repeat: MockRepeats,
    /// Recorded times divided by this, or `max` for none
    #[arg(long, value_name = "N|max", default_value = "max", value_parser = speed)]
    pub speed: Speed,
    /// Path of request values not to compare, such as `.params.arguments.now`; repeatable
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<PathPattern>,
    /// Path of the only request values to compare; repeatable
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub only: Vec<PathPattern>,
    /// What a request gets that is on no tape: `nearest` (an error that says what comes nearest), a bare `error`, or `hold`: the
    /// operator answers
    #[arg(long, value_name = "WHAT", default_value = "nearest", hide_possible_values = true)]
    pub on_miss: OnMissArg,
    /// Values that are not to be as recorded: `times` (moved as the clock did), `ids` (UUIDs of the server's), `echo` (texts of the
    /// arguments that a reply repeats); several with commas
    #[arg(long, value_name = "WHICH", value_delimiter = ',', hide_possible_values = true)]
    pub live: Vec<LiveValueArg>,
    /// Change replies, to see how the client copes: into what is legal and rare, and into what is wrong
    ///
    /// The same seed does the same; each change is told on stderr and on the tape. `SEED:N` changes the Nth reply alone.
    #[arg(long, value_name = "SEED", hide_short_help = true)]
    pub mutate: Option<String>,
    /// Run a client again and again, each time with one reply changed, and say how it copes: `{url}` in its command is the address
    ///
    /// First with nothing changed, when it has to end with 0. It fails where it ends with something else after a legal change, by a
    /// signal, or not within `--timeout`; each run is recorded. Then the exit status is 1.
    #[arg(long, value_name = "COMMAND", requires = "mutate", conflicts_with = "stdio", hide_short_help = true)]
    pub client: Option<String>,
    /// How often the client may be run; what was not tried by then is said
    #[arg(long, value_name = "N", default_value = "200", requires = "client", hide_short_help = true, value_parser = count_above_zero::<NonZeroU64>)]
    pub most_runs: NonZeroU64,
    /// How long the client may take each time, such as `5s`
    #[arg(long, value_name = "TIME", default_value = "60s", requires = "client", value_parser = time_above_zero, hide_short_help = true)]
    pub timeout: Duration,
    /// URL of a real server, which is asked what is on no tape; a command after `--` is one, too
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    pub fallback: Option<String>,
    /// Add what the real server says to the first tape
    #[arg(long)]
    pub record: bool,
    /// Command that is the real server
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// End with status 1 where a request was on no tape
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub front: FrontArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LiveValueArg {
    Times,
    Ids,
    Echo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnMissArg {
    Nearest,
    Error,
    Hold,
}
