//! `tapline tape diff` and `tapline tape baseline`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::shelf::{TapeShelf, short_name};
use crate::cli::{DiffFormArg, TapeBaselineArgs, TapeDiffArgs};
use crate::commands::help::print;
use crate::exit::ExitError;
use crate::tape::Tape;
use crate::tape::diff::{self, Definitions, DiffForm};
use crate::text::sanitize;

fn form(form: DiffFormArg) -> DiffForm {
    match form {
        DiffFormArg::Text => DiffForm::Text,
        DiffFormArg::Json => DiffForm::Json,
        DiffFormArg::Junit => DiffForm::Junit,
        DiffFormArg::Html => DiffForm::Html,
        DiffFormArg::Markdown => DiffForm::Markdown,
    }
}

/// Writes to a file, or to stdout.
fn write(text: &str, out: Option<&Path>) -> Result<ExitCode, ExitError> {
    match out {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("cannot write the report to {}", path.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        None => print(text),
    }
}

pub(super) fn diff(shelf: &TapeShelf, args: &TapeDiffArgs) -> Result<ExitCode, ExitError> {
    let paths = [shelf.find(&args.left)?, shelf.find(&args.right)?];
    let [left, right] = [Tape::read(&paths[0]), Tape::read(&paths[1])];
    let (left, right) = (left.map_err(ExitError::usage)?, right.map_err(ExitError::usage)?);
    let found = diff::diff(&left, &right, args.ignore.clone());
    let names = paths.each_ref().map(|path| short_name(path));
    write(&diff::render(&found, names.each_ref().map(String::as_str), form(args.format)), args.out.as_deref())?;
    let differs = !found.is_same() || (args.slower_fails && found.is_slower());
    Ok(ExitCode::from(u8::from(differs)))
}

pub(super) fn baseline(shelf: &TapeShelf, args: &TapeBaselineArgs) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    let now = Definitions::of(&Tape::read(&path).map_err(ExitError::usage)?);
    if now.is_empty() {
        let why =
            "nothing was listed on it: no `tools/list`, `prompts/list` or `resources/templates/list` with a reply";
        return Err(ExitError::usage(anyhow!("{}: {why}", path.display())));
    }
    let Some(file) = &args.check else {
        let Some(out) = &args.out else { return print(&now.baseline()) };
        write(&now.baseline(), Some(out))?;
        return print(&format!("{}  {} definitions pinned\n", sanitize(&out.display().to_string()), now.len()));
    };
    let unreadable = |why: String| ExitError::usage(anyhow!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    let changes = Definitions::read(&text).map_err(unreadable)?.changes(&now);
    let names = [file.display().to_string(), short_name(&path)];
    let text = diff::render_definitions(&changes, names.each_ref().map(String::as_str), form(args.format));
    write(&text, args.out.as_deref())?;
    Ok(ExitCode::from(u8::from(!changes.is_empty())))
}
