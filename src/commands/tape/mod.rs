//! `tapline tape` and `tapline search`: looks after tapes, without a runtime and beside the taplines that record.

mod care;
mod compare;
mod export;
mod import;
mod list;
mod search;
mod shelf;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(super) use self::care::apply_retention;
pub(super) use self::export::write_form;
use self::shelf::TapeShelf;
use super::help::print;
use super::remote::upload;
use crate::cli::{ColorArg, SearchArgs, TapeArgs, TapeCommand};
use crate::config::Config;
use crate::exit::ExitError;

/// How tapes are written.
const FORMAT_PAGE: &str = include_str!("../../../assets/tape-format.md");

/// Runs the subcommand to its end.
pub(super) fn run(args: &TapeArgs, config: &Config, color: ColorArg) -> Result<ExitCode, ExitError> {
    let shelf = TapeShelf::of(args.tapes.as_ref(), config);
    match &args.command {
        TapeCommand::Ls { paths, json } => list::run(&shelf, paths, *json),
        TapeCommand::Show(args) => show::run(&shelf, args, color),
        TapeCommand::Verify { given, key, format } => care::verify(&shelf, given, key.as_deref(), *format),
        TapeCommand::Sign { given, key } => care::sign(&shelf, given, key),
        TapeCommand::Diff(args) => compare::diff(&shelf, args),
        TapeCommand::Baseline(args) => compare::baseline(&shelf, args),
        TapeCommand::Export(args) => export::run(&shelf, args),
        TapeCommand::Import(args) => import::run(&shelf, args),
        TapeCommand::Minimise(_) => unreachable!("it plays, for which there is a runtime"),
        TapeCommand::Redact(args) => care::redact(&shelf, args),
        TapeCommand::Rm(args) => care::remove(&shelf, args),
        TapeCommand::Note { tape, text } => care::note(&shelf, tape, text),
        TapeCommand::Rename { tape, name } => care::rename(&shelf, tape, name),
        TapeCommand::Format => print(FORMAT_PAGE),
        TapeCommand::Pack { given, undo } => care::pack(&shelf, given, *undo),
        TapeCommand::Upload(args) => {
            let tapes: Result<Vec<_>, _> = args.given.iter().map(|tape| shelf.find(tape)).collect();
            upload(args, &tapes?)
        }
    }
}

/// The tape that is meant; `tapes`: the directory that is given.
pub(super) fn find(tape: &Path, tapes: Option<&PathBuf>, config: &Config) -> Result<PathBuf, ExitError> {
    TapeShelf::of(tapes, config).find(tape)
}

/// The tapes that are meant, each of which is read by itself; `tapes`: the directory that is given.
///
/// # Errors
/// Where one may be each of several. Of what is none, whoever reads it says so.
pub(super) fn find_each(
    given: &[PathBuf],
    tapes: Option<&PathBuf>,
    config: &Config,
) -> Result<Vec<PathBuf>, ExitError> {
    let shelf = TapeShelf::of(tapes, config);
    given.iter().map(|tape| shelf.meant(tape)).collect()
}

/// Runs `tapline search` to its end.
pub(super) fn search(args: &SearchArgs, config: &Config, color: ColorArg) -> Result<ExitCode, ExitError> {
    search::run(&TapeShelf::of(args.tapes.as_ref(), config), args, color)
}
