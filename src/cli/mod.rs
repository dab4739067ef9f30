//! The command line: plain data, no behaviour.
//!
//! ```text
//! words.rs     the way in: what clap alone would not take
//! mock.rs      mock
//! serve.rs     run, stdio and demo, and the options that they have in common
//! tape.rs      tape
//! tools.rs     all other subcommands
//! values.rs    how addresses, URLs, times and headers are written
//! topics.rs    what `tapline help` says beside the subcommands
//! ```
//!
//! Each option has a first line, which is all that `-h` shows, and belongs to a group with a heading. Those that few need are in
//! `--help` only.

mod mock;
mod serve;
mod tape;
mod tools;
pub mod topics;
mod values;
mod words;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use mock::{LiveValueArg, MockArgs, OnMissArg};
pub use serve::{
    CommonArgs, ConfigArgs, ControlArgs, DemoArgs, FrontArgs, HEADERS_VARIABLE, KeepArgs, LogFormat, OnQuitArg,
    OtlpArgs, PoolArgs, RestartArg, RestartArgs, RunArgs, ShadowArgs, StdioArgs, TargetArgs, TransportArg, WatchArgs,
};
pub use tape::{
    BaselineFormArg, DiffFormArg, SearchArgs, TapeArgs, TapeBaselineArgs, TapeCommand, TapeDiffArgs, TapeExportArgs,
    TapeImportArgs, TapeMinimiseArgs, TapeRedactArgs, TapeRmArgs, TapeShowArgs, TapeUploadArgs, VerifyFormArg,
};
pub use tools::{
    AttachArgs, CheckArgs, CompletionsArgs, ConsentArgs, DoctorArgs, HelpArgs, LintArgs, LintFormat, LintLevelArg,
    ManArgs, MatchArg, ReplayArgs, ReplayReportArg, ReportFormat, RmArgs, SessionsArgs, SessionsCommand, UnwrapArgs,
    WrapArgs,
};
pub use values::{ColorArg, HeaderFile, ThemeArg, is_terminal_dumb, listen_address, server_url};

/// An interactive debugging proxy for the Model Context Protocol.
///
/// tapline sits between an MCP client and an MCP server, shows every message live, lets you hold, edit, block or answer
/// any of them, records each session to a tape, and plays tapes back.
#[derive(Debug, Parser)]
#[command(
    name = "tapline",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "New here? `tapline demo`. More: `tapline COMMAND -h`, `tapline help keys`, `tapline --help`",
    after_long_help = EXAMPLES,
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: CliCommand,
    /// File to add tapline's own log to
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "TAPLINE_LOG_FILE",
        help_heading = "Log and colour",
        hide_short_help = true
    )]
    pub log_file: Option<PathBuf>,
    /// Directory for tapline's own log and nothing else: a file a day, of eight days
    #[arg(
        long,
        value_name = "DIR",
        global = true,
        env = "TAPLINE_LOG_DIR",
        conflicts_with = "log_file",
        help_heading = "Log and colour",
        hide_short_help = true
    )]
    pub log_dir: Option<PathBuf>,
    /// What to log there, such as `debug` or `tapline::upstream=trace` [default: info]
    #[arg(
        long,
        value_name = "FILTER",
        global = true,
        env = "TAPLINE_LOG",
        help_heading = "Log and colour",
        hide_short_help = true
    )]
    pub log: Option<String>,
    /// Colour: `auto`, `always` or `never` [default: auto]
    ///
    /// `auto` has it on terminals, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[arg(
        long,
        alias = "colour",
        value_name = "WHEN",
        global = true,
        hide_possible_values = true,
        help_heading = "Log and colour"
    )]
    pub color: Option<ColorArg>,
}

const EXAMPLES: &str = "\
New here? `tapline demo`.

Examples:
  tapline demo                                   a live screen, with nothing else installed
  tapline run -- npx -y @modelcontextprotocol/server-everything
                                                 a command behind http://127.0.0.1:7070/mcp
  tapline run --upstream http://127.0.0.1:9000/mcp
                                                 a server that is running already
  tapline attach                                 all of yours that run, from any terminal
  tapline replay session.tape.jsonl -- my-server play a recorded client, compare every reply
  tapline mock session.tape.jsonl --stdio        be the server of a tape
  tapline doctor                                 what is here, and what to fix

Help: `tapline help COMMAND`, and these
  tapline help keys                              all keys of the screen
  tapline help filters                           the language that says what is shown and held
  tapline help values                            how addresses, URLs and times are written
  tapline help exit-statuses                     0 done, 1 the work failed, 2 usage or configuration";

#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Put tapline in front of a server
    #[command(
        override_usage = "tapline run [OPTIONS] [--upstream <URL> | -- <COMMAND>...]",
        after_help = "All options, with examples: `tapline run --help`",
        after_long_help = "\
Examples:
  tapline run -- python my_server.py
  tapline run --upstream https://example.com/mcp --header 'authorization: Bearer ${TOKEN}'
  tapline run --headless --log-format json --no-record -- my-server 2> messages.jsonl
  tapline run                                    what tapline.toml says: several servers, each at /NAME/mcp

Point your client at the URL that is shown, by default http://127.0.0.1:7070/mcp. Settings may also stand in ./tapline.toml and \
         in the user's ~/.config/tapline/config.toml, under the names of the options; `tapline check` reads them."
    )]
    Run(RunArgs),
    /// Watch and command taplines that run already, from any terminal
    #[command(after_long_help = "\
Examples:
  tapline attach            all taplines of this user, also those that start later
  tapline attach weather    the one that runs as `--name weather`
  tapline attach 4711       the one with this process id
  tapline attach --headless --log-format json 2>&1 | jq .

Quitting leaves them running. What this screen holds goes on as soon as no screen watches any more.")]
    Attach(AttachArgs),
    /// Be the server that a client launches, in front of the real one
    #[command(
        override_usage = "tapline stdio [OPTIONS] (--upstream <URL> | -- <COMMAND>...)",
        after_help = "All options, with examples: `tapline stdio --help`",
        after_long_help = "\
Examples:
  tapline stdio -- npx -y @modelcontextprotocol/server-everything
  tapline stdio --upstream https://example.com/mcp --header 'authorization: Bearer ${TOKEN}'

Put this command in the client's configuration in place of the server's own; `tapline wrap` does so for you. stdin and stdout \
         belong to the protocol and stderr to the server. The exit status is the server's."
    )]
    Stdio(StdioArgs),
    /// Play a tape's client against a server and compare every reply
    #[command(
        override_usage = "tapline replay [OPTIONS] <TAPE>... (--upstream <URL> | -- <COMMAND>...)",
        after_long_help = "\
Examples:
  tapline replay session.tape.jsonl -- python my_server.py
  tapline replay session.tape.jsonl --upstream http://127.0.0.1:9000/mcp --speed max
  tapline replay session.tape.jsonl --ignore '.result.content[*].text' -- my-server
  tapline replay session.tape.jsonl --report junit --out report.xml -- my-server
  tapline replay session.tape.jsonl --report html --out report.html -- my-server
                                                 one page to attach to a bug
  tapline replay session.tape.jsonl --filter '~tool search' --match shape -- my-server
  tapline replay session.tape.jsonl --speed max --parallel 8 --repeat 50 --upstream :9000
                                                 load, with a table of times
  tapline replay session.tape.jsonl --until 41 --interactive -- my-server
                                                 to message 41, and from there by hand: a branch
  tapline replay a.tape.jsonl b.tape.jsonl -- my-server
                                                 one after the other; status 1 where any differs
  tapline replay a.tape.jsonl b.tape.jsonl --together --upstream :9000
                                                 two clients at once, in the order in which they were recorded
  tapline replay session.tape.jsonl --update -- my-server
                                                 take over what differs: only values that changed move

Exit status: 0 every step passed, 1 a step failed, a line of the tape cannot be read (the last one of a crash aside) or the server never \
came up, 2 usage or an unreadable tape."
    )]
    Replay(ReplayArgs),
    /// Be the server of a tape: answer clients as it did
    #[command(
        override_usage = "tapline mock [OPTIONS] <TAPE>... [-- <COMMAND>...]",
        after_help = "All options, with examples: `tapline mock --help`",
        after_long_help = "\
Examples:
  tapline mock session.tape.jsonl                at http://127.0.0.1:7070/mcp, and /sse for older clients
  tapline mock session.tape.jsonl --stdio        what a client launches in place of the server
  tapline mock a.tape.jsonl b.tape.jsonl --headless --strict --listen 0
                                                 in CI: status 1 where a request was on no tape
  tapline mock session.tape.jsonl --speed 1      with the recorded times
  tapline mock session.tape.jsonl --ignore .params.arguments.now
                                                 whatever the client says there
  tapline mock session.tape.jsonl --record -- my-server
                                                 what is on no tape is asked of the server, and added to the tape
  tapline mock session.tape.jsonl --mutate 7 --client 'python client.py {url}'
                                                 which changes of its replies a client does not bear

Requests are matched by method and arguments, by value. One that is on no tape gets an error that names the nearest and where it \
         differs; nothing is invented. Rules, limits, holding and recording apply as to any server.

Exit status: as of `run`; with `--strict` 0 where every request was on a tape, and all of that can be read, else 1; with `--client` 1 where the client fails."
    )]
    Mock(MockArgs),
    /// Look after tapes: list, show, verify, compare, export, redact, pack
    #[command(
        disable_help_subcommand = true,
        after_long_help = "\
Examples:
  tapline tape ls                         all that are kept, with client, server, tools, size
  tapline tape show 4f1c --filter '~e'    the errors of one; a part of its name is enough
  tapline tape verify *.tape.jsonl        status 1 where a line was changed, or is missing
  tapline tape diff 4f1c 9a07             what is different, by JSON path
  tapline tape redact 4f1c                without secrets, to be shared
  tapline tape export 4f1c --format har   or curl, pytest, vitest, rust, html
  tapline tape note 4f1c 'fails since 2.1'
  tapline tape pack *.tape.jsonl          to a tenth of the size, and read as they are
  tapline tape rm --older-than 30d --over 1024

A tape is a file, or a part of the name of one in the directory that is recorded to.

Exit status: 0 done, 1 something is wrong with a tape or was not done, 2 usage, or no tape."
    )]
    Tape(TapeArgs),
    /// Look for messages on all tapes
    #[command(after_long_help = "\
Examples:
  tapline search '~e'                                errors on all tapes that are kept
  tapline search '~tool search & ~j .params.arguments.limit > 10' tapes/
  tapline search 'lisbon' --json | jq -r .tape

All cores look. What is found is written at once, how far it is stands on stderr where that is a terminal, and ctrl c ends it.

Exit status: 0 something was found, 1 nothing was, 2 usage, or a query that makes no sense.")]
    Search(SearchArgs),
    /// Route the servers of an MCP client through tapline
    #[command(after_long_help = "\
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
    #[command(after_long_help = "\
Without CLIENT: everything that is wrapped.

Examples:
  tapline unwrap                                 everything, asking for each file
  tapline unwrap cursor --yes                    without asking
  tapline unwrap claude-code --server github     one server, the others stay wrapped

A file that was not edited since comes back byte for byte; in an edited one the servers come back and the edits stay.

Exit status: 0 done or nothing to do, 1 failed or declined, 2 usage or a file that cannot be read.")]
    Unwrap(UnwrapArgs),
    /// Say whether a configuration is in order, and what it means
    #[command(after_long_help = "\
Examples:
  tapline check                     ./tapline.toml, and the user's own settings
  tapline check servers.toml        another file, as `tapline run --config servers.toml` would take it
  tapline check rules.toml --on session.tape.jsonl
                                    which rule would have done what to which message

Also looks whether commands and files that it names are there.

Exit status: 0 it is in order, 1 a rule never had its turn (`--strict`), 2 it is not in order, or there is none.")]
    Check(CheckArgs),
    /// Say what is wrong with the messages on tapes
    #[command(after_long_help = "\
Examples:
  tapline lint session.tape.jsonl           what breaks the protocol: a block a finding
  tapline lint *.tape.jsonl --level note    also what is only worth knowing
  tapline lint session.tape.jsonl --allow stdout-noise --format junit --out report.xml
  tapline lint session.tape.jsonl --as typescript-1
                                            also what the TypeScript SDK 1.x does with it
  tapline lint session.tape.jsonl --format sarif > lint.sarif
  tapline lint --list                       every code, with its level

A tape is a file, or a part of the name of one in the directory that is recorded to; so it is for `replay` and `mock`.

Codes that are allowed, and the level, may stand in tapline.toml: `[lint]` with `allow = [\"stdout-noise\"]` and `level = \"error\"`.

Exit status: 0 nothing was found, 1 something was found of this level or above, 2 usage or an unreadable tape.")]
    Lint(LintArgs),
    /// List the ready sets of rules, or write one out
    #[command(after_long_help = "\
Examples:
  tapline rules                     flaky, slow, malformed and others, with what each does
  tapline run --rules flaky -- my-server
  tapline rules slow                one in full: a file to begin with

Rules decide on messages without a person: answer, block, change, delay, drop or break them.")]
    Rules {
        /// A ready set, to be written out
        name: Option<String>,
    },
    /// List, show and forget the sessions that are kept from one start to the next
    #[command(
        disable_help_subcommand = true,
        after_long_help = "\
Examples:
  tapline sessions ls                     all that are known, the one used last first
  tapline sessions show 4f1c              one; its first characters are enough
  tapline sessions rm 4f1c                forget it; its tape stays
  tapline sessions rm --closed            forget all that have ended
  tapline sessions rm --older-than 30d --tapes
                                          forget what was not used for so long, and remove its tapes
  tapline sessions ls --json | jq -r 'select(.state == \"waiting\").id'

A session that waits resumes when its client comes back. That of a tapline that runs is not removed before it has ended.

Exit status: 0 done, 1 not removed, 2 usage, no such session, or a database that cannot be read."
    )]
    Sessions(SessionsArgs),
    /// Watch a built-in client and server talk through a live proxy
    #[command(after_long_help = "\
Examples:
  tapline demo                      a call is held: `2` shows the queue, `e` edits, `ctrl s` sends
  tapline demo --headless           the same story once, as lines on stderr")]
    Demo(DemoArgs),
    /// Say what is here, and what to fix
    #[command(after_long_help = "\
Examples:
  tapline doctor                    clients, ports, directories, terminal, clock
  tapline doctor --json | jq -r '.checks[] | select(.state == \"fix\")'

Changes nothing and asks no server. Exit status: 0 nothing to fix, 1 something to fix.")]
    Doctor(DoctorArgs),
    /// Print a script that completes what is typed, for a shell
    #[command(after_long_help = "\
Examples:
  tapline completions bash > ~/.local/share/bash-completion/completions/tapline
  tapline completions zsh > ~/.zfunc/_tapline
  tapline completions fish > ~/.config/fish/completions/tapline.fish")]
    Completions(CompletionsArgs),
    /// Print the manual, with all keys and filters
    #[command(after_long_help = "\
Examples:
  tapline man | man -l -            tapline itself, with keys, filters, values, exit statuses
  tapline man run | man -l -        one command
  tapline man --dir ~/.local/share/man/man1
                                    all pages, for `man tapline-run`")]
    Man(ManArgs),
    /// Help for a command or a topic: keys, filters, values, exit-statuses
    #[command(after_long_help = "\
Examples:
  tapline help run                  as `tapline run --help`
  tapline help keys                 all keys of the screen, by the place where they work
  tapline help filters              the language that says what is shown and held
  tapline help values               how addresses, URLs, times and variables are written
  tapline help exit-statuses        what each exit status means")]
    Help(HelpArgs),
    /// End the children of a tapline that was killed
    #[command(name = crate::children::guardian::SUBCOMMAND, hide = true)]
    Guardian {
        /// The tapline whose children are meant
        tapline: Option<u32>,
        /// Their process groups
        groups: Vec<i32>,
    },
    /// The built-in server of the demo, over stdin and stdout
    #[command(name = "__demo-server", hide = true)]
    DemoServer {
        /// Answers one tool otherwise, as a server does that was changed
        #[arg(long)]
        changed: bool,
    },
}
