//! `tapline lint`: what is wrong with the messages of tapes, for people and for CI.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;

use super::help::print;
use super::output::{check_out, write_out};
use super::tape::find_each;
use crate::cli::{LintArgs, LintFormat};
use crate::config::Config;
use crate::exit::{ExitError, print_error};
use crate::lint::policy::check_code;
use crate::lint::report::{self, LintedTape};
use crate::lint::{LINTS, LintPolicy, TapeLint, client_names};
use crate::tape::Mark;
use crate::tape::read::{Problems, TapeEntry, TapeReader, check_is_file, troubles};

pub(super) fn run(args: &LintArgs, config: &Config) -> Result<ExitCode, ExitError> {
    if args.list {
        return print(&catalogue());
    }
    for code in &args.allow {
        check_code(code).map_err(|why| ExitError::usage(anyhow!("`--allow`: {why}")))?;
    }
    let section = config.keys.lint.clone().unwrap_or_default();
    let policy = LintPolicy::of(section.clone(), args.level.map(Into::into), &args.allow);
    let seen_by = known_client(args.seen_by.as_deref().or(section.seen_by.as_deref()))?;
    let paths = find_each(&args.tapes, None, config)?;
    check_out(args.out.as_deref(), REPORT, &paths.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
    let (mut tapes, mut unread, mut damaged) = (Vec::new(), None, false);
    for path in &paths {
        match lint_tape(path, seen_by) {
            Ok((tape, is_damaged)) => {
                tapes.push(tape);
                damaged |= is_damaged;
            }
            // Each of several is said, and the others are judged all the same.
            Err(error) if paths.len() > 1 => unread = Some(error.report()),
            Err(error) => return Err(error),
        }
    }
    let report = match args.format {
        LintFormat::Text => report::text(&tapes, &policy),
        LintFormat::Json => report::json_lines(&tapes, &policy),
        LintFormat::Sarif => report::sarif(&tapes, &policy),
        LintFormat::Junit => report::junit(&tapes, &policy),
    };
    write_out(args.out.as_deref(), REPORT, |out| Ok(out.write_all(report.as_bytes())?))?;
    let counts = tapes.iter().flat_map(|tape| &tape.found).any(|finding| policy.counts(finding));
    // What was in a message that cannot be read is not known: such a tape is not in order, as it is not for `tape verify`.
    Ok(unread.unwrap_or(if counts || damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS }))
}

const REPORT: &str = "the report to ";

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
    let header = entries.header();
    let mut lint = TapeLint::new(&header.session(None), header.imported.as_deref(), seen_by);
    let mut linted =
        LintedTape { path: path.display().to_string(), lines: BTreeMap::new(), messages: 0, found: Vec::new() };
    let (mut damage, mut is_torn) = (Problems::default(), false);
    while let Some(entry) = entries.next() {
        match entry {
            TapeEntry::Message { envelope, .. } => {
                linted.messages += 1;
                linted.found.extend(lint.judge(&envelope));
                note_line(&mut linted, envelope.seq.0, entries.line());
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
    find_lines(path, &mut linted);
    let troubles = troubles(&damage, 0, is_torn);
    for trouble in &troubles {
        print_error(&format!("{}: {trouble}", path.display()));
    }
    Ok((linted, !troubles.is_empty()))
}

/// Lines of messages that are remembered while a tape is read, whose number has no end.
const MOST_LINES: usize = 128 << 10;

/// Notes where a message stands, and forgets it of older ones on which nothing was found.
fn note_line(linted: &mut LintedTape, seq: u64, line: u64) {
    linted.lines.insert(seq, line);
    if linted.lines.len() <= MOST_LINES + linted.found.len() {
        return;
    }
    let recent = *linted.lines.keys().nth_back(MOST_LINES / 2).expect("there are more");
    let found: BTreeSet<u64> = linted.found.iter().map(|finding| finding.seq.0).collect();
    linted.lines.retain(|seq, _| *seq >= recent || found.contains(seq));
}

/// Finds the lines again that were forgotten before something was found there, such as that a request was never answered.
fn find_lines(path: &Path, linted: &mut LintedTape) {
    let found = linted.found.iter().map(|finding| finding.seq.0);
    let mut sought: BTreeSet<u64> = found.filter(|seq| !linted.lines.contains_key(seq)).collect();
    if sought.is_empty() || check_is_file(path).is_err() {
        return;
    }
    for (line, entry) in TapeReader::open(path).into_iter().flat_map(TapeReader::lines) {
        if let TapeEntry::Message { envelope, .. } = entry
            && sought.remove(&envelope.seq.0)
        {
            linted.lines.insert(envelope.seq.0, line);
        }
        if sought.is_empty() {
            return;
        }
    }
}

fn catalogue() -> String {
    let mut text = String::new();
    for rule in LINTS {
        // A string takes everything.
        let _ = writeln!(text, "{:<26} {:<6} {}", rule.code, rule.level.word(), rule.about);
    }
    text
}
