//! `tapline tape verify`, `rm`, `note`, `rename`, `pack`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::shelf::{TapeShelf, may_be_written, short_name, tapes_in};
use crate::cli::{TapeRedactArgs, TapeRmArgs, VerifyFormArg};
use crate::commands::help::print;
use crate::commands::output::{check_is_closed, check_new, is_same_file, make_dir, progress, watch};
use crate::control::recorder_elsewhere;
use crate::exit::{self, ExitError};
use crate::files::rename_new;
use crate::lint::report::{sarif_location, sarif_log};
use crate::tape::care::{self, OutdatedTapes, Packing, Retention, SealSigner, SealVerifier, TapeSummary, Verification};
use crate::tape::read::{TapeReader, check_is_file};
use crate::tape::redact::RedactRules;
use crate::tape::{PACKED, SUFFIX, TapeError, tape_files};
use crate::text::{counted, sanitize, size};

/// The code of what is wrong with a tape, in SARIF.
const SARIF_RULE: &str = "tape-verify";

pub(super) fn verify(
    shelf: &TapeShelf,
    tapes: &[PathBuf],
    key: Option<&Path>,
    format: VerifyFormArg,
) -> Result<ExitCode, ExitError> {
    let verifier = key.map(|path| read_key(path, SealVerifier::of_pem)).transpose()?;
    let (mut text, mut results, mut status) = (String::new(), Vec::new(), 0);
    for given in tapes {
        let path = shelf.find(given)?;
        let bar = progress("reading the tape");
        let found = care::verify(&path, verifier.as_ref(), &watch(&bar));
        bar.finish_and_clear();
        match found {
            Ok(found) => {
                status = status.max(u8::from(!found.is_sound()));
                match format {
                    VerifyFormArg::Text => verdict(&path, &found, &mut text),
                    VerifyFormArg::Json => verdict_json(&path, &found, &mut text),
                    VerifyFormArg::Sarif => results.extend(verdict_sarif(&path, &found)),
                }
            }
            Err(error) => {
                status = 2;
                exit::print_error(&error.to_string());
            }
        }
    }
    if format == VerifyFormArg::Sarif {
        text = sarif_log(
            &[json!({ "id": SARIF_RULE, "shortDescription": { "text": "a tape is not what it was" } })],
            &results,
        );
    }
    print(&text)?;
    Ok(ExitCode::from(status))
}

fn read_key<K>(path: &Path, read: impl Fn(&str) -> Result<K, &'static str>) -> Result<K, ExitError> {
    let text = std::fs::read_to_string(path).map_err(|error| anyhow!("cannot read {}: {error}", path.display()));
    let key = text.and_then(|text| read(&text).map_err(|why| anyhow!("{}: {why}", path.display())));
    key.map_err(ExitError::usage)
}

pub(super) fn sign(shelf: &TapeShelf, tapes: &[PathBuf], key: &Path) -> Result<ExitCode, ExitError> {
    let signer = read_key(key, SealSigner::of_pem)?;
    for given in tapes {
        let path = closed(shelf, given)?;
        if !care::sign(&path, &signer)? {
            let text = "has no seal at its end, which is what is signed: `tapline tape pack` seals it";
            return Err(ExitError::from(anyhow!("{} {text}", path.display())));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(path: &Path, found: &Verification, text: &mut String) {
    let seal = match found.sealed {
        Some(true) if found.behind_seal == 0 && !found.signed_by.is_empty() => {
            format!("sealed, unchanged; signed with {}", found.signed_by.join(", "))
        }
        Some(true) if found.behind_seal == 0 => "sealed, unchanged".to_owned(),
        Some(true) => format!("sealed, and {} came since", counted(found.behind_seal, "line")),
        Some(false) => "changed since it was sealed".to_owned(),
        None => "not sealed, so only its form was checked: a value changed by hand is not noticed (`tapline tape pack` seals)".to_owned(),
    };
    let end = if found.end.is_none() { "; it has no end: tapline was killed, or still records" } else { "" };
    let word = if found.is_sound() { "ok" } else { "FAIL" };
    let name = path.display().to_string();
    // A string takes everything.
    let _ = writeln!(text, "{word:4}  {}  {}; {seal}{end}", sanitize(&name), counted(found.messages, "message"));
    for finding in &found.findings {
        let _ = writeln!(text, "      {}", sanitize(&finding.to_string()));
    }
    if found.untold > 0 {
        let _ = writeln!(text, "      and {} more", found.untold);
    }
}

fn verdict_json(path: &Path, found: &Verification, text: &mut String) {
    let findings: Vec<_> = found.findings.iter().map(|it| json!({ "line": it.line, "why": it.why })).collect();
    let verdict = json!({
        "path": path,
        "ok": found.is_sound(),
        "format": found.header.format,
        "messages": found.messages,
        "sealed": found.sealed,
        "signed_by": found.signed_by,
        "end": found.end,
        "findings": findings,
        "more": found.untold,
    });
    let _ = writeln!(text, "{verdict}");
}

fn verdict_sarif(path: &Path, found: &Verification) -> Vec<Value> {
    let name = path.display().to_string();
    let result = |line: u64, text: &str| {
        json!({
            "ruleId": SARIF_RULE,
            "ruleIndex": 0,
            "level": "error",
            "message": { "text": sanitize(text) },
            "locations": [sarif_location(&name, line)],
        })
    };
    let mut results: Vec<_> = found.findings.iter().map(|it| result(it.line.unwrap_or(1), &it.why)).collect();
    if found.untold > 0 {
        results.push(result(1, &format!("and {} more", found.untold)));
    }
    results
}

/// A tape that is not being written to.
fn closed(shelf: &TapeShelf, given: &Path) -> Result<PathBuf, ExitError> {
    let path = shelf.find(given)?;
    check_is_file(&path).map_err(ExitError::usage)?;
    TapeReader::open(&path).map_err(ExitError::usage)?;
    check_is_closed(&path).map_err(anyhow::Error::msg)?;
    Ok(path)
}

pub(super) fn redact(shelf: &TapeShelf, args: &TapeRedactArgs) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    check_is_file(&path).map_err(ExitError::usage)?;
    TapeReader::open(&path).map_err(ExitError::usage)?;
    let to = if args.in_place { closed(shelf, &path)? } else { place_of_redacted(&path, args.out.as_deref())? };
    let rules = RedactRules {
        headers: args.header.clone(),
        keys: args.key.clone(),
        paths: args.path.clone(),
        regexes: args.regex.clone(),
        entropy: args.entropy,
    };
    let was_signed = care::is_signed(&path).unwrap_or(false);
    let bar = progress("writing the tape");
    let redacted = care::redact(&path, &to, rules, &watch(&bar));
    bar.finish_and_clear();
    let (replaced, unread) = redacted?;
    for why in &unread {
        exit::print_error(&format!("{}: {why}; no secret was looked for there", path.display()));
    }
    tell_unsigned(&to, was_signed);
    print(&format!(
        "{}  {} replaced; look through it before you share it\n",
        sanitize(&to.display().to_string()),
        counted(replaced, "value")
    ))?;
    Ok(ExitCode::from(u8::from(!unread.is_empty())))
}

/// A file that is new.
fn place_of_redacted(tape: &Path, out: Option<&Path>) -> Result<PathBuf, ExitError> {
    let packed = if tape.to_string_lossy().ends_with(PACKED) { PACKED } else { "" };
    let beside = || tape.with_file_name(format!("{}-redacted{SUFFIX}{packed}", short_name(tape)));
    let to = out.map_or_else(beside, Path::to_owned);
    if is_same_file(&to, tape) {
        // It may be recorded to, which is asked where it is changed in place.
        let text = format!("{} is the tape itself; `--in-place` redacts it where it is", to.display());
        return Err(ExitError::usage(anyhow!(text)));
    }
    check_new(&to, &[])?;
    make_dir(&to)?;
    Ok(to)
}

pub(super) fn note(shelf: &TapeShelf, given: &Path, text: &str) -> Result<ExitCode, ExitError> {
    let path = closed(shelf, given)?;
    let was_signed = care::is_signed(&path).unwrap_or(false);
    care::append_note(&path, text)?;
    tell_unsigned(&path, was_signed);
    Ok(ExitCode::SUCCESS)
}

/// Whoever has signed a tape has signed these bytes, and no others.
fn tell_unsigned(tape: &Path, was_signed: bool) {
    if was_signed && !care::is_signed(tape).unwrap_or(false) {
        let name = tape.display();
        exit::print_error(&format!(
            "{name}: its signature is gone, as its lines are others: `tapline tape sign` signs it anew"
        ));
    }
}

pub(super) fn rename(shelf: &TapeShelf, given: &Path, name: &str) -> Result<ExitCode, ExitError> {
    let path = closed(shelf, given)?;
    let Some(to) = care::renamed(&path, name) else {
        return Err(ExitError::usage(anyhow!("a name is a word such as `login-fails`, without a directory")));
    };
    rename_new(&path, &to).map_err(|error| TapeError::unwritten(&to, error))?;
    print(&format!("{}\n", sanitize(&to.display().to_string())))
}

pub(super) fn pack(shelf: &TapeShelf, tapes: &[PathBuf], undo: bool) -> Result<ExitCode, ExitError> {
    let packing = if undo { Packing::Plain } else { Packing::Zstd };
    let (mut text, mut status) = (String::new(), ExitCode::SUCCESS);
    for given in tapes {
        let path = closed(shelf, given)?;
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |it| it.len());
        let before = bytes(&path);
        let bar = progress("writing the tape");
        let packed = care::pack(&path, packing, &watch(&bar));
        bar.finish_and_clear();
        let Some((to, broken)) = packed? else {
            let _ = writeln!(text, "{}  is so already", sanitize(&path.display().to_string()));
            continue;
        };
        let _ = writeln!(text, "{}  {} -> {}", sanitize(&to.display().to_string()), size(before), size(bytes(&to)));
        if let Some(problem) = broken {
            exit::print_error(&format!("{}: {problem}; it stays as it is", path.display()));
            status = ExitCode::FAILURE;
        }
    }
    print(&text)?;
    Ok(status)
}

pub(super) fn remove(shelf: &TapeShelf, args: &TapeRmArgs) -> Result<ExitCode, ExitError> {
    let OutdatedTapes { gone: chosen, kept } = if args.tape.is_empty() {
        let retention = Retention { within: args.older_than, mebibytes: args.over };
        let recorder = |it: &TapeSummary| Some(format!("{} records to it", recorder_elsewhere(&it.path)?.words()));
        retention.outdated(summaries(&tapes_in(shelf.dir_to_clear()?)?), recorder)
    } else {
        let chosen = args.tape.iter().map(|given| shelf.find(given));
        OutdatedTapes { gone: chosen.collect::<Result<_, _>>()?, kept: Vec::new() }
    };
    let mut text = String::new();
    let mut status = ExitCode::SUCCESS;
    for path in &chosen {
        match remove_one(path, args.dry_run) {
            Ok(()) => {
                let word = if args.dry_run { "would remove" } else { "removed" };
                let _ = writeln!(text, "{word} {}", sanitize(&short_name(path)));
            }
            Err(why) => {
                exit::print_error(&why);
                status = ExitCode::from(1);
            }
        }
    }
    for (path, why) in &kept {
        let _ = writeln!(text, "kept {}: {why}", sanitize(&short_name(path)));
    }
    if chosen.is_empty() {
        text.push_str("nothing to remove\n");
    }
    print(&text)?;
    Ok(status)
}

/// # Errors
/// Where it is no tape, and so not ours to remove, or is written to, or cannot be removed: in words.
fn remove_one(path: &Path, dry_run: bool) -> Result<(), String> {
    let is_tape = check_is_file(path).and_then(|()| TapeReader::open(path)).map_err(|error| error.to_string());
    is_tape.and_then(|_| check_is_closed(path))?;
    if dry_run {
        return Ok(());
    }
    std::fs::remove_file(path).map_err(|error| format!("cannot remove {}: {error}", path.display()))
}

/// What there is to say of those that can be read: of the others nobody knows how old they are.
fn summaries(tapes: &[PathBuf]) -> Vec<TapeSummary> {
    tapes.iter().filter_map(|path| TapeSummary::of(path).ok()).collect()
}

/// Removes what the configuration does not keep, beside everything else: of many tapes it takes its time to read them.
pub(in crate::commands) fn apply_retention(dir: PathBuf, retention: Retention) {
    if retention.is_none() {
        return;
    }
    std::thread::spawn(move || {
        let tapes = tape_files(&dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "`[retention]` finds no tapes");
            Vec::new()
        });
        // What this process records, or is about to go on with, is known nowhere yet.
        let may_be_recorded = |it: &TapeSummary| {
            may_be_written(it.end.as_deref()).then(|| "it has no end, and a tapline runs".to_owned())
        };
        let OutdatedTapes { gone, kept } = retention.outdated(summaries(&tapes), may_be_recorded);
        for (path, why) in kept {
            tracing::info!(tape = %path.display(), "older than `[retention]` says, and kept: {why}");
        }
        for path in gone {
            match std::fs::remove_file(&path) {
                Ok(()) => tracing::info!(tape = %path.display(), "removed, as `[retention]` says"),
                Err(error) => tracing::warn!(tape = %path.display(), %error, "cannot be removed"),
            }
        }
    });
}
