//! The binary: arguments in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match tapline::cli::Cli::read(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(cli) => cli,
        Err(error) => return tapline::exit::report_arguments(error),
    };
    tapline::commands::run(cli)
}
