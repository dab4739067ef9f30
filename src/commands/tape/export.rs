//! `tapline tape export`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use indicatif::ProgressBar;

use super::shelf::{TapeShelf, short_name};
use crate::cli::TapeExportArgs;
use crate::commands::output::{check_out, progress, watch, write_out};
use crate::envelope::SessionId;
use crate::exit::{self, ExitError};
use crate::tape::export::{ExportedTape, TapeForm, export};
use crate::tape::read::ReadWatch;

pub(super) fn run(shelf: &TapeShelf, args: &TapeExportArgs) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    check_out(args.out.as_deref(), "", &[&path])?;
    let bar = progress("reading the tape");
    let tape = ExportedTape::read(&path, &watch(&bar)).map_err(ExitError::usage)?;
    bar.finish_and_clear();
    let mut tape = tape.expect("nothing stops it");
    for trouble in tape.troubles() {
        exit::print_stderr(&format!("tapline: {}: {trouble}", path.display()));
    }
    let form = args.format;
    choose_session(&mut tape, args.session.as_deref(), form).map_err(ExitError::usage)?;
    let bar = if args.out.is_some() { progress("writing") } else { ProgressBar::hidden() };
    let name = short_name(&path);
    let written = write_out(args.out.as_deref(), "", |out| export(&tape, &name, form, &watch(&bar), out));
    bar.finish_and_clear();
    written?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a tape in another form, for a screen. Returns what of the tape is not as it should be.
pub(in crate::commands) fn write_form(
    path: &Path,
    form: TapeForm,
    watch: &ReadWatch<'_>,
    out: &mut dyn Write,
) -> Result<Vec<String>, String> {
    let tape = ExportedTape::read(path, watch).map_err(|error| error.to_string())?;
    let mut tape = tape.ok_or("it was stopped")?;
    choose_session(&mut tape, None, form).map_err(|error| error.to_string())?;
    export(&tape, &short_name(path), form, watch, out).map_err(|error| error.to_string())?;
    Ok(tape.troubles())
}

/// Leaves the session that was asked for. A test is one client: of several sessions it needs one.
fn choose_session(tape: &mut ExportedTape, asked: Option<&str>, form: TapeForm) -> anyhow::Result<()> {
    let sessions = tape.sessions();
    let ids = || sessions.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ");
    if let Some(asked) = asked {
        let is_asked = |id: &SessionId| {
            let id = id.0.to_string();
            id.starts_with(asked) || id.ends_with(asked)
        };
        let found: Vec<_> = sessions.iter().filter(|id| is_asked(id)).copied().collect();
        let [session] = found[..] else {
            anyhow::bail!("`--session {asked}` is {} of the tape's sessions: {}", found.len(), ids());
        };
        tape.choose_session(session);
    } else if sessions.len() > 1 && matches!(form, TapeForm::Pytest | TapeForm::Vitest | TapeForm::Rust) {
        anyhow::bail!(
            "the tape has {} sessions, and a test is one client: choose one with `--session`: {}",
            sessions.len(),
            ids()
        );
    }
    Ok(())
}
