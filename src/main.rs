//! The binary: arguments in, exit status out.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match tapline::cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return tapline::exit::report_arguments(error),
    };
    tapline::commands::run(cli)
}
