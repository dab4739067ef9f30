//! `tapline completions`: a script for a shell, which completes subcommands, options and their values.

use std::process::ExitCode;

use clap::{Command, CommandFactory as _};

use super::help::print;
use crate::cli::{Cli, CompletionsArgs};
use crate::exit::ExitError;

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode, ExitError> {
    let (mut command, mut script) = (visible(&Cli::command()), Vec::new());
    clap_complete::generate(args.shell, &mut command, "tapline", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// What is for people: not the subcommands by which tapline starts itself, which the scripts would offer.
fn visible(whole: &Command) -> Command {
    let subcommands = whole.get_subcommands().filter(|it| !it.is_hide_set()).cloned();
    let shown = Command::new("tapline").version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    shown.args(whole.get_arguments().cloned()).subcommands(subcommands)
}
