//! `tapline tape export`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::shelf::{TapeShelf, short_name};
use crate::cli::{ExportFormArg, TapeExportArgs};
use crate::commands::help::print;
use crate::exit::{self, ExitError};
use crate::tape::Tape;
use crate::tape::export::{TapeForm, export};

pub(super) fn run(shelf: &TapeShelf, args: &TapeExportArgs) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    let tape = Tape::read(&path).map_err(ExitError::usage)?;
    for trouble in tape.troubles() {
        exit::print_stderr(&format!("tapline: {}: {trouble}", path.display()));
    }
    let form = match args.format {
        ExportFormArg::Har => TapeForm::Har,
        ExportFormArg::Curl => TapeForm::Curl,
        ExportFormArg::Jsonl => TapeForm::Jsonl,
        ExportFormArg::Markdown => TapeForm::Markdown,
        ExportFormArg::Html => TapeForm::Html,
        ExportFormArg::Pytest => TapeForm::Pytest,
        ExportFormArg::Vitest => TapeForm::Vitest,
        ExportFormArg::Rust => TapeForm::Rust,
    };
    let text = export(&tape, &short_name(&path), form);
    let Some(out) = &args.out else { return print(&text) };
    std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}
