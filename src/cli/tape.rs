//! `tapline tape`: what there is to do with tapes.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use regex::Regex;

use super::serve::TargetArgs;
use super::values::{age, count, count_above_zero, time_above_zero};
use crate::event::TapeForm;
use crate::json::PathPattern;

#[derive(Debug, Args)]
pub struct TapeArgs {
    #[command(subcommand)]
    pub command: TapeCommand,
    /// Directory of tapes [default: where tapes are recorded to]
    #[arg(long, value_name = "DIR", global = true, env = "TAPLINE_TAPES")]
    pub tapes: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum TapeCommand {
    /// List tapes, the newest first, branches below what they branched off
    Ls {
        /// Tapes, or directories of them, which come before tapes of that name [default: where tapes are recorded to]
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show what is on a tape: who spoke, and every message in a line
    Show(TapeShowArgs),
    /// Say everything that is wrong with tapes, with the line
    #[command(after_long_help = "\
A tape that was closed ends with a seal: sums over all its lines. What was changed, taken out or put in since is found, with the line. \
Looks also for lines that cannot be read, a torn end, messages that passed unrecorded, numbers that come twice, replies to nothing, and \
heads of lines that do not say what their messages say. A seal can be made again by whoever changes a tape on purpose, a signature cannot: \
`--key` wants one.

Exit status: 0 all is well (also where a tape is not sealed, which is said), 1 something is wrong, 2 it is no tape.

Examples:
  tapline tape verify tapes/*.tape.jsonl --format sarif > tapes.sarif     for code scanning, a result a finding")]
    Verify {
        /// Tapes
        #[arg(value_name = "TAPE", required = true)]
        given: Vec<PathBuf>,
        /// Public key (Ed25519, PEM) that each must be signed with
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Form of the report; json: an object a tape
        #[arg(long, value_name = "FORM", default_value = "text")]
        format: VerifyFormArg,
    },
    /// Sign the seals of tapes that are closed
    #[command(after_long_help = "\
Examples:
  openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out key.pub
  tapline tape sign 4f1c --key key.pem
  tapline tape verify 4f1c --key key.pub

A signature is a line behind the seal; what changes the tape later (`redact`, `note`) takes it away.")]
    Sign {
        /// Tapes
        #[arg(value_name = "TAPE", required = true)]
        given: Vec<PathBuf>,
        /// Private key (Ed25519, PEM)
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Compare two tapes, call by call
    #[command(after_long_help = "\
Examples:
  tapline tape diff before.tape.jsonl after.tape.jsonl
  tapline tape diff before after --ignore '.result.structuredContent.at' --format junit --out diff.xml
  tapline tape diff before/ after/ --slower-fails     of repeats, such as of `replay --repeat 9 --record before`

Calls are matched by method, name and arguments, not by their place. What changes from run to run (times, ids, ports) counts for nothing. \
Tools, prompts and templates are compared by name, times, where they differ beyond chance, by the median of five calls or more. \
Of a directory, its tapes are taken as repeats of the first: that is compared, and of all of them the times.

Exit status: 0 the same, 1 different, 2 one of them cannot be read, or not all of it: the rest is compared.")]
    Diff(TapeDiffArgs),
    /// Pin what a server says of its tools, and check it later
    #[command(after_long_help = "\
Examples:
  tapline tape baseline 4f1c --out tools.baseline.json      pin names, descriptions and schemas
  tapline tape baseline 9a07 --check tools.baseline.json    status 1 where one is not what it was
  tapline tape baseline 9a07 --check tools.baseline.json --format sarif --out tools.sarif     for code scanning, at the line of the baseline

Exit status: 0 pinned, or as it was, 1 different, 2 a file cannot be read, or not all of the tape.")]
    Baseline(TapeBaselineArgs),
    /// Write a tape for other tools: HAR, curl, tests, a page
    #[command(after_long_help = "\
Examples:
  tapline tape export 4f1c --format har --out session.har
  tapline tape export 4f1c --format html --out session.html     one file with search, sequence diagram, timeline
  tapline tape export 4f1c --format pytest --out test_server.py && TAPE_SERVER='python server.py' pytest test_server.py
  tapline tape export 4f1c --format curl | sh

har       HTTP Archive 1.2, for developer tools of browsers
curl      a shell script that says again what the client said
jsonl     the messages alone, a line each
markdown  a transcript
html      a page that needs no network
pytest    a test in Python, with the mcp SDK
vitest    a test in TypeScript, with @modelcontextprotocol/sdk
rust      a test in Rust, with rmcp")]
    Export(TapeExportArgs),
    /// Make tapes of recordings of other programs
    #[command(after_long_help = "\
Examples:
  tapline tape import session.har --out session.tape.jsonl      what a browser, a proxy or `tapline tape export` saved
  tapline tape import cassettes/*.json                          of mcp-recorder, into the directory of tapes

Read are HTTP Archives (1.2), cassettes of mcp-recorder (1.x), transcripts of mcp-vcr (YAML and NDJSON), session logs of mcpsnoop, what the \
Protocol and the Network page of the MCP Inspector (2.x) export, and what `tapline tape export --format jsonl` writes. What a format does not \
say is not made up; what could not be taken over is said.")]
    Import(TapeImportArgs),
    /// Take secrets out of a tape, so that it can be shared
    #[command(after_long_help = "\
Examples:
  tapline tape redact 4f1c                       NAME-redacted.tape.jsonl beside it
  tapline tape redact 4f1c --key ssn --path '.params.arguments.path' --out shared.tape.jsonl
  tapline tape redact 4f1c --regex '[0-9]{3}-[0-9]{4}' --entropy --in-place

Members, headers and words with names of secrets, keys of known services, passwords in URLs and `requestState` go always. The same secret \
is replaced by the same text all over the tape, so that it can still be replayed: also in other texts, where it has eight characters or more \
and looks like a key, or was named by an option.")]
    Redact(TapeRedactArgs),
    /// Find the least of a tape that still fails at a server
    #[command(
        override_usage = "tapline tape minimise [OPTIONS] (--fails <FILTER> | --crashes) <TAPE> (--upstream <URL> | -- <COMMAND>...)",
        after_long_help = "\
Examples:
  tapline tape minimise 4f1c --fails '~e ~tool search' -- my-server                 NAME-minimal.tape.jsonl beside it
  tapline tape minimise 4f1c --fails '~code -32603' --out least.tape.jsonl --upstream :9000
  tapline tape minimise 4f1c --crashes -- my-server

It is played again and again, each time at a fresh session, with less of it, as long as a message still matches the filter, or the server \
still ends: messages go first, then parts of those that are left. It has to fail as it did: an error that says something else is another, apart \
from numbers and quoted text. Of each message that stays it is said why. How a session begins, and what answers the server's requests, always stays.

Exit status: 0 the least was written, 1 nothing fails when the whole tape is played, 2 usage or an unreadable tape."
    )]
    Minimise(TapeMinimiseArgs),
    /// Remove tapes: some, or those that are too old or too many
    Rm(TapeRmArgs),
    /// Write a note onto a tape
    Note {
        /// The tape
        #[arg(value_name = "TAPE")]
        tape: PathBuf,
        /// What it says
        #[arg(value_name = "TEXT")]
        text: String,
    },
    /// Give a tape another name; it stays in its directory
    Rename {
        /// The tape
        #[arg(value_name = "TAPE")]
        tape: PathBuf,
        /// Its new name, without `.tape.jsonl`
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Print how tapes are written, and which version reads which
    Format,
    /// Pack tapes with zstd, to a tenth of their size; every command reads them as they are
    Pack {
        /// Tapes
        #[arg(value_name = "TAPE", required = true)]
        given: Vec<PathBuf>,
        /// Make them plain again
        #[arg(long)]
        undo: bool,
    },
    /// Send tapes to an object store; large ones part by part, going on where it broke off
    #[command(after_long_help = "\
Examples:
  tapline tape upload 4f1c 9a07 --to s3://team/tapes/
  tapline run --tapes s3://team/tapes/ -- my-server       records to a file, and sends it when the session ends
  tapline search '~e' s3://team/tapes/                    all tapes below; `show`, `diff`, `replay`, `mock` and `lint` read them, too

Places are `s3://`, `gs://`, `az://` and `http(s)://`, in a tapline that was built with `--features object-store`. Credentials, region and \
endpoint come from the usual variables: AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT, \
AZURE_STORAGE_KEY and their like. An emulator is named by AWS_ENDPOINT_URL, STORAGE_EMULATOR_HOST or AZURE_STORAGE_ENDPOINT; tested are moto (S3), \
fake-gcs-server (reading) and moto (writing) for Google's, and Azurite. The file stays where it is.")]
    Upload(TapeUploadArgs),
}

#[derive(Debug, Args)]
pub struct TapeUploadArgs {
    /// Tapes
    #[arg(value_name = "TAPE", required = true)]
    pub given: Vec<PathBuf>,
    /// Where to: a prefix where it ends with a slash
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Replace what is there under that name
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Debug, Args)]
pub struct TapeShowArgs {
    /// The tape
    #[arg(value_name = "TAPE")]
    pub tape: PathBuf,
    /// Only messages that this filter matches: `tapline help filters`
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// The lines of the tape themselves
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TapeRedactArgs {
    /// The tape
    #[arg(value_name = "TAPE")]
    pub tape: PathBuf,
    /// Header to take the value of; repeatable
    #[arg(long, value_name = "NAME")]
    pub header: Vec<String>,
    /// Member to take the value of, wherever it stands; repeatable
    #[arg(long, value_name = "NAME")]
    pub key: Vec<String>,
    /// Place in messages, such as `.params.arguments.path`; repeatable
    #[arg(long, value_name = "PATH")]
    pub path: Vec<PathPattern>,
    /// Part of any text; repeatable
    #[arg(long, value_name = "REGEX")]
    pub regex: Vec<Regex>,
    /// Also words that look random: long ones, of letters and digits
    #[arg(long)]
    pub entropy: bool,
    /// File for the new tape; nothing is written over [default: NAME-redacted beside it]
    #[arg(long, value_name = "FILE", conflicts_with = "in_place")]
    pub out: Option<PathBuf>,
    /// Put it in place of the old one
    #[arg(long)]
    pub in_place: bool,
}

/// What a comparison is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormArg {
    Text,
    Json,
    Junit,
    Html,
    Markdown,
}

#[derive(Debug, Args)]
pub struct TapeDiffArgs {
    /// The tape that was, or a directory of tapes that repeat it
    #[arg(value_name = "A")]
    pub left: PathBuf,
    /// The tape that is, or such a directory
    #[arg(value_name = "B")]
    pub right: PathBuf,
    /// Path of values not to compare, such as `.result._meta`; repeatable
    #[arg(long, value_name = "PATH")]
    pub ignore: Vec<PathPattern>,
    /// Calls that take longer, beyond chance, are a difference, too
    #[arg(long)]
    pub slower_fails: bool,
    /// Form of the report
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub format: DiffFormArg,
    /// File for the report [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TapeBaselineArgs {
    /// The tape
    #[arg(value_name = "TAPE")]
    pub tape: PathBuf,
    /// Baseline that it must agree with [default: write one]
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,
    /// Form of the report of `--check`
    #[arg(long, value_name = "FORM", default_value = "text", requires = "check")]
    pub format: BaselineFormArg,
    /// File for the baseline, or for the report [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// What is said of a baseline that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BaselineFormArg {
    Text,
    Json,
    Junit,
    Html,
    Markdown,
    Sarif,
}

/// What is said of tapes that are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum VerifyFormArg {
    Text,
    Json,
    Sarif,
}

#[derive(Debug, Args)]
pub struct TapeExportArgs {
    /// The tape
    #[arg(value_name = "TAPE")]
    pub tape: PathBuf,
    /// What it is written as
    #[arg(long, value_name = "FORM")]
    pub format: TapeForm,
    /// One session of a tape that has several, by its id or how that begins or ends
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// File to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TapeImportArgs {
    /// Recordings
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The tape to make, of one file [default: one of the same name where tapes are recorded to]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TapeMinimiseArgs {
    /// The tape
    #[arg(value_name = "TAPE")]
    pub tape: PathBuf,
    /// What fails is a message that matches this filter: `tapline help filters`
    #[arg(long, value_name = "FILTER", required_unless_present = "crashes")]
    pub fails: Option<String>,
    /// What fails is that the server ends, or is gone
    #[arg(long)]
    pub crashes: bool,
    /// How often it may be played
    #[arg(long, value_name = "N", default_value = "200", value_parser = count_above_zero::<NonZeroUsize>)]
    pub most_runs: NonZeroUsize,
    /// How long a reply may take, such as `5s`; three times what it took on the tape, where that is longer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time_above_zero)]
    pub timeout: Duration,
    /// File for the least of it, a new one [default: NAME-minimal beside it]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub target: TargetArgs,
}

#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What is looked for: `tapline help filters`
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Tapes, or directories of them, which come before tapes of that name [default: where tapes are recorded to]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// One JSON object a message, with its tape and line
    #[arg(long)]
    pub json: bool,
    /// Directory of tapes [default: where tapes are recorded to]
    #[arg(long, value_name = "DIR", env = "TAPLINE_TAPES")]
    pub tapes: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct TapeRmArgs {
    /// Tapes
    #[arg(value_name = "TAPE", required_unless_present_any = ["older_than", "over"], conflicts_with_all = ["older_than", "over"])]
    pub tape: Vec<PathBuf>,
    /// All whose session began so long ago, such as `30d` or `12h`; one with a note, or with marks or comments on messages, stays, and one that may still be written to
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older_than: Option<Duration>,
    /// The oldest, until the rest has at most so many MiB; the same stay
    #[arg(long, value_name = "MIB", value_parser = count::<u64>)]
    pub over: Option<u64>,
    /// Say what would go, remove nothing
    #[arg(long)]
    pub dry_run: bool,
}
