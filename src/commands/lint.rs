//! `tapline lint`: what is wrong with the messages of tapes, for people and for CI.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::help::print;
use crate::cli::{LintArgs, LintFormat};
use crate::config::keys::ConfigKeys;
use crate::exit::{ExitError, print_error};
use crate::lint::policy::check_code;
use crate::lint::report::{self, LintedTape};
use crate::lint::{LINTS, LintPolicy, SessionLint, client_names};
use crate::tape::Mark;
use crate::tape::read::{TapeEntry, TapeReader, troubles};

pub(super) fn run(args: &LintArgs, keys: &ConfigKeys) -> Result<ExitCode, ExitError> {
    if args.list {
        return print(&catalogue());
    }
    for code in &args.allow {
        check_code(code).map_err(|why| ExitError::usage(anyhow!("`--allow`: {why}")))?;
    }
    let section = keys.lint.clone().unwrap_or_default();
    let policy = LintPolicy::of(section.clone(), args.level.map(Into::into), &args.allow);
    let seen_by = known_client(args.seen_by.as_deref().or(section.seen_by.as_deref()))?;
    let (mut tapes, mut unread, mut damaged) = (Vec::new(), None, false);
    for path in &args.tapes {
        match lint_tape(path, seen_by) {
            Ok((tape, is_damaged)) => {
                tapes.push(tape);
                damaged |= is_damaged;
            }
            // Each of several is said, and the others are judged all the same.
            Err(error) if args.tapes.len() > 1 => unread = Some(error.report()),
            Err(error) => return Err(error),
        }
    }
    let report = match args.format {
        LintFormat::Text => report::text(&tapes, &policy),
        LintFormat::Json => report::json_lines(&tapes, &policy),
        LintFormat::Sarif => report::sarif(&tapes, &policy),
        LintFormat::Junit => report::junit(&tapes, &policy),
    };
    match &args.out {
        Some(out) => std::fs::write(out, report).with_context(|| format!("cannot write {}", out.display()))?,
        None => drop(print(&report)?),
    }
    let counts = tapes.iter().flat_map(|tape| &tape.found).any(|finding| policy.counts(finding));
    // What was in a message that cannot be read is not known: such a tape is not in order, as it is not for `tape verify`.
    Ok(unread.unwrap_or(if counts || damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS }))
}

/// A client of the matrix; none where none was named.
fn known_client(name: Option<&str>) -> Result<Option<&str>, ExitError> {
    let known = client_names();
    match name {
        Some(name) if !known.contains(&name) => {
            let why = format!("`--as`: no client `{name}` was measured; there are `{}`", known.join("`, `"));
            Err(ExitError::usage(anyhow!(why)))
        }
        name => Ok(name),
    }
}

/// What was found on a tape, and whether a part of it could not be read, which is said.
fn lint_tape(path: &Path, seen_by: Option<&str>) -> Result<(LintedTape, bool), ExitError> {
    let mut entries = TapeReader::open(path).map_err(ExitError::usage)?;
    let mut lint = SessionLint::new(&entries.header().session(None))
        .imported(entries.header().imported.as_deref())
        .seen_by(seen_by);
    let mut linted =
        LintedTape { path: path.display().to_string(), lines: BTreeMap::new(), messages: 0, found: Vec::new() };
    let (mut damage, mut is_torn) = (Vec::new(), false);
    while let Some(entry) = entries.next() {
        match entry {
            TapeEntry::Message { envelope, .. } => {
                linted.messages += 1;
                linted.lines.insert(envelope.seq.0, entries.line());
                linted.found.extend(lint.judge(&envelope));
            }
            TapeEntry::Mark(Mark::Gap { .. } | Mark::Seam { .. } | Mark::Rewind { .. }) => lint.miss(),
            TapeEntry::Problem(problem) => {
                damage.push(problem);
                lint.miss();
            }
            TapeEntry::Torn => {
                is_torn = true;
                lint.miss();
            }
            TapeEntry::Mark(_) => {}
        }
    }
    linted.found.extend(lint.finish());
    linted.found.sort_by_key(|finding| finding.seq);
    let troubles = troubles(&damage, 0, is_torn);
    for trouble in &troubles {
        print_error(&format!("{}: {trouble}", path.display()));
    }
    Ok((linted, !troubles.is_empty()))
}

fn catalogue() -> String {
    let mut text = String::new();
    for rule in LINTS {
        // A string takes everything.
        let _ = writeln!(text, "{:<26} {:<6} {}", rule.code, rule.level.word(), rule.about);
    }
    text
}
