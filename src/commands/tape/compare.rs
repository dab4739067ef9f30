//! `tapline tape diff` and `tapline tape baseline`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::shelf::{TapeShelf, short_name, tapes_in};
use crate::cli::{BaselineFormArg, DiffFormArg, TapeBaselineArgs, TapeDiffArgs};
use crate::commands::help::print;
use crate::commands::output::{check_out, progress, watch, write_out};
use crate::event::{ChangeKind, DefinitionChange};
use crate::exit::{ExitError, print_stderr};
use crate::lint::report::{sarif_location, sarif_log};
use crate::tape::diff::{self, Definitions, DiffForm, DiffedTapes, RecordedCalls};
use crate::tape::read::ReadWatch;
use crate::text::{counted, sanitize};

fn form(form: DiffFormArg) -> DiffForm {
    match form {
        DiffFormArg::Text => DiffForm::Text,
        DiffFormArg::Json => DiffForm::Json,
        DiffFormArg::Junit => DiffForm::Junit,
        DiffFormArg::Html => DiffForm::Html,
        DiffFormArg::Markdown => DiffForm::Markdown,
    }
}

/// The code of a definition that is not what it was, in SARIF.
const SARIF_RULE: &str = "tape-baseline";

/// The form of a checked baseline; `None` for SARIF, which knows of lines.
fn baseline_form(form: BaselineFormArg) -> Option<DiffForm> {
    Some(match form {
        BaselineFormArg::Text => DiffForm::Text,
        BaselineFormArg::Json => DiffForm::Json,
        BaselineFormArg::Junit => DiffForm::Junit,
        BaselineFormArg::Html => DiffForm::Html,
        BaselineFormArg::Markdown => DiffForm::Markdown,
        BaselineFormArg::Sarif => return None,
    })
}

/// How both commands call what they write.
const REPORT: &str = "the report to ";

pub(super) fn diff(shelf: &TapeShelf, args: &TapeDiffArgs) -> Result<ExitCode, ExitError> {
    let sides = [DiffSide::find(shelf, &args.left)?, DiffSide::find(shelf, &args.right)?];
    let paths: Vec<_> = sides.iter().flat_map(|side| &side.tapes).map(PathBuf::as_path).collect();
    check_out(args.out.as_deref(), REPORT, &paths)?;
    let bar = progress("reading the tapes");
    let mut is_damaged = false;
    let mut tell = |path: &Path, calls: &RecordedCalls| {
        let troubles = calls.tape.troubles().into_iter();
        let told =
            troubles.map(|why| format!("tapline: {}: {why}; that was not compared", sanitize(&short_name(path))));
        told.for_each(|text| bar.suspend(|| print_stderr(&text)));
        is_damaged |= calls.tape.is_damaged();
    };
    let [left, right] = sides.each_ref().map(|side| side.read(&watch(&bar), &mut tell));
    let both = [left?, right?];
    sides.iter().filter_map(DiffSide::note).for_each(|text| bar.suspend(|| print_stderr(&text)));
    let names = sides.map(|side| side.name);
    bar.set_message("comparing");
    let found = DiffedTapes::compare(both, args.ignore.clone(), &watch(&bar)).map_err(ExitError::usage)?;
    bar.finish_and_clear();
    let found = found.expect("nothing stops it");
    let found = if args.slower_fails { found.failing_where_slower() } else { found };
    write_out(args.out.as_deref(), REPORT, |out| {
        diff::render(&found, names.each_ref().map(String::as_str), form(args.format), out)
    })?;
    Ok(status(found.differs(), is_damaged))
}

/// What stands on one side of a comparison.
struct DiffSide {
    name: String,
    /// The tape whose calls are compared, and those that repeat it.
    tapes: Vec<PathBuf>,
}

impl DiffSide {
    /// A tape, or the tapes of a directory.
    fn find(shelf: &TapeShelf, given: &Path) -> Result<Self, ExitError> {
        let found = shelf.find(given)?;
        let tapes = if found.is_dir() { tapes_in(&found)? } else { vec![found.clone()] };
        if tapes.is_empty() {
            return Err(ExitError::usage(anyhow!("{}: there are no tapes in this directory", found.display())));
        }
        let name = if found.is_dir() { found.display().to_string() } else { short_name(&found) };
        Ok(Self { name, tapes })
    }

    /// The calls of the first, and how long those of all took. `tell` hears of each that was read.
    fn read(
        &self,
        watch: &ReadWatch<'_>,
        tell: &mut impl FnMut(&Path, &RecordedCalls),
    ) -> Result<RecordedCalls, ExitError> {
        let mut read = |path: &Path| {
            let calls = RecordedCalls::read(path, watch).map_err(ExitError::usage)?.expect("nothing stops it");
            tell(path, &calls);
            Ok::<_, ExitError>(calls)
        };
        let (first, repeats) = self.tapes.split_first().expect("a side without a tape is none");
        let mut calls = read(first)?;
        for repeat in repeats {
            calls.repeat(&read(repeat)?);
        }
        Ok(calls)
    }

    /// What counts of several tapes, for people.
    fn note(&self) -> Option<String> {
        let [first, _, ..] = &self.tapes[..] else { return None };
        let (name, first, all) = (sanitize(&self.name), short_name(first), self.tapes.len());
        Some(format!("tapline: {name}: calls are compared in {}, times in all {all} tapes", sanitize(&first)))
    }
}

/// What was on lines that cannot be read is not known: it may be all that differs, or more may.
fn status(differs: bool, is_damaged: bool) -> ExitCode {
    ExitCode::from(if is_damaged { 2 } else { u8::from(differs) })
}

pub(super) fn baseline(shelf: &TapeShelf, args: &TapeBaselineArgs) -> Result<ExitCode, ExitError> {
    let path = shelf.find(&args.tape)?;
    check_out(args.out.as_deref(), REPORT, &[&path])?;
    let bar = progress("reading the tape");
    let calls = RecordedCalls::read(&path, &watch(&bar)).map_err(ExitError::usage)?.expect("nothing stops it");
    bar.finish_and_clear();
    for why in calls.tape.troubles() {
        print_stderr(&format!("tapline: {}: {why}; what was listed there is not known", path.display()));
    }
    let now = Definitions::of(&calls).map_err(ExitError::usage)?;
    if now.is_empty() {
        let why =
            "nothing was listed on it: no `tools/list`, `prompts/list` or `resources/templates/list` with a reply";
        return Err(ExitError::usage(anyhow!("{}: {why}", path.display())));
    }
    let Some(file) = &args.check else {
        let Some(out) = &args.out else { return print(&now.baseline()) };
        write_text(&now.baseline(), Some(out))?;
        return print(&format!(
            "{}  {} pinned\n",
            sanitize(&out.display().to_string()),
            counted(now.len(), "definition")
        ));
    };
    let unreadable = |why: String| ExitError::usage(anyhow!("{}: {why}", file.display()));
    let pinned = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
    let changes = Definitions::read(&pinned).map_err(unreadable)?.changes(&now);
    let names = [file.display().to_string(), short_name(&path)];
    let text = match baseline_form(args.format) {
        Some(form) => diff::render_definitions(&changes, names.each_ref().map(String::as_str), form),
        None => changes_sarif(&names[0], &pinned, &changes),
    };
    write_text(&text, args.out.as_deref())?;
    Ok(status(!changes.is_empty(), calls.tape.is_damaged()))
}

fn write_text(text: &str, out: Option<&Path>) -> Result<(), ExitError> {
    write_out(out, REPORT, |out| Ok(out.write_all(text.as_bytes())?))
}

/// Each change where the baseline has what it was, as it is that file which a review is about.
fn changes_sarif(name: &str, pinned: &str, changes: &[DefinitionChange]) -> String {
    let result = |change: &DefinitionChange| {
        let DefinitionChange { kind, what, name: of, .. } = change;
        // A new tool breaks no client; one that is another under the same name is what a rug pull looks like.
        let (level, became) = match kind {
            ChangeKind::Added => ("warning", "is new"),
            ChangeKind::Removed => ("error", "is gone"),
            ChangeKind::Changed => ("error", "is not what it was"),
        };
        let within = if change.within { ", and changed while the session went on" } else { "" };
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let values = change
            .differences
            .iter()
            .filter(|_| *kind == ChangeKind::Changed)
            .map(|it| format!("; {} was {}, is {}", it.path, side(&it.expected), side(&it.got)));
        let text = format!("{what} {of} {became}{within}{}", values.collect::<String>());
        json!({
            "ruleId": SARIF_RULE,
            "ruleIndex": 0,
            "level": level,
            "message": { "text": sanitize(&text) },
            "locations": [sarif_location(name, line_of(pinned, what, of))],
            "partialFingerprints": { "tapline/v1": format!("{SARIF_RULE}/{what}/{of}/{became}") },
        })
    };
    let results: Vec<_> = changes.iter().map(result).collect();
    let about = "a tool, a prompt or a template is not what the baseline pins";
    sarif_log(&[json!({ "id": SARIF_RULE, "shortDescription": { "text": about } })], &results)
}

/// The line of a baseline that names a definition; the first for one that it does not have.
fn line_of(pinned: &str, what: &str, name: &str) -> u64 {
    let (list, key) = match what {
        "tool" => ("tools", "name"),
        "prompt" => ("prompts", "name"),
        _ => ("resourceTemplates", "uriTemplate"),
    };
    // As `Definitions::baseline` writes them: two spaces a level, three levels deep.
    let (list, named) = (format!("  \"{list}\": ["), format!("      \"{key}\": {}", Value::from(name)));
    let lines = pinned.lines().zip(1..).skip_while(|(line, _)| *line != list);
    let mut named = lines.filter(|(line, _)| line.trim_end_matches(',') == named);
    named.next().map_or(1, |(_, line)| line)
}
