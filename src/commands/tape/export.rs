//! `tapline tape export`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context as _;

use super::shelf::{TapeShelf, short_name};
use crate::cli::{ExportFormArg, TapeExportArgs};
use crate::commands::help::print;
use crate::envelope::SessionId;
use crate::exit::{self, ExitError};
use crate::tape::Tape;
use crate::tape::export::{TapeForm, export};

pub(super) fn run(shelf: &TapeShelf, args: &TapeExportArgs) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    let mut tape = Tape::read(&path).map_err(ExitError::usage)?;
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
    choose_session(&mut tape, args, form).map_err(ExitError::usage)?;
    let text = export(&tape, &short_name(&path), form);
    let Some(out) = &args.out else { return print(&text) };
    std::fs::write(out, text).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Leaves the session that was asked for. A test is one client: of several sessions it needs one.
fn choose_session(tape: &mut Tape, args: &TapeExportArgs, form: TapeForm) -> anyhow::Result<()> {
    let sessions: BTreeSet<_> = tape.envelopes.iter().map(|envelope| envelope.session).collect();
    let ids = || sessions.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ");
    if let Some(asked) = &args.session {
        let is_asked = |id: &SessionId| {
            let id = id.0.to_string();
            id.starts_with(asked) || id.ends_with(asked)
        };
        let found: Vec<_> = sessions.iter().filter(|id| is_asked(id)).copied().collect();
        let [session] = found[..] else {
            anyhow::bail!("`--session {asked}` is {} of the tape's sessions: {}", found.len(), ids());
        };
        tape.envelopes.retain(|envelope| envelope.session == session);
    } else if sessions.len() > 1 && matches!(form, TapeForm::Pytest | TapeForm::Vitest | TapeForm::Rust) {
        anyhow::bail!(
            "the tape has {} sessions, and a test is one client: choose one with `--session`: {}",
            sessions.len(),
            ids()
        );
    }
    Ok(())
}
