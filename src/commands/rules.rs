//! `tapline rules`, and `tapline check` of a file of rules: what they would have done to the messages of tapes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use crate::cli::CheckArgs;
use crate::config::keys::ConfigKeys;
use crate::event::Timestamp;
use crate::exit::ExitError;
use crate::filter::SavedFilters;
use crate::intercept::Verdict;
use crate::json::diff::{NumberEquality, value_text, visit_differences};
use crate::rules::{RuleFiles, RuleSet, as_it_came, ready_set, ready_sets};
use crate::tape::{Tape, TapeContext};
use crate::text::sanitize;

/// Longer values are cut.
const SHOWN: usize = 60;

/// Lists the ready sets, or writes one out.
pub(super) fn list(name: Option<&str>) -> Result<ExitCode, ExitError> {
    let text = match name {
        Some(name) => {
            let known = || ready_sets().into_iter().map(|(name, ..)| name).collect::<Vec<_>>().join("`, `");
            ready_set(name)
                .ok_or_else(|| ExitError::usage(anyhow!("there is no ready set `{name}`; there are `{}`", known())))?
                .to_owned()
        }
        None => {
            let lines = ready_sets().into_iter().map(|(name, about, rules)| {
                let rules: Vec<&str> = rules.iter().map(|name| &**name).collect();
                format!("{name:<16} {about}\n{:<16} rules: {}\n", "", rules.join(", "))
            });
            lines.collect::<String>()
                + "\n`tapline run --rules NAME` puts one in force, `tapline rules NAME > rules.toml` writes it out\n"
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a file is one of rules, or names a ready set.
pub(super) fn is_rules(file: &Path) -> bool {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let is_setting = |line: &str| {
                let key = line.trim_start_matches('[').split(['=', '.', ']']).next().unwrap_or_default().trim();
                key != "rule" && ConfigKeys::NAMES.contains(&key)
            };
            // A key of the file, or a table: what stands inside a rule is told from it by its place.
            let mut lines = text.lines().map(str::trim_start);
            let has_settings = lines.clone().take_while(|line| !line.starts_with('[')).any(is_setting)
                || lines.clone().any(|line| line.starts_with('[') && is_setting(line));
            !has_settings && lines.any(|line| line.starts_with("[[rule]]"))
        }
        Err(_) => file.to_str().is_some_and(|name| ready_set(name).is_some()),
    }
}

/// Checks a file of rules, and goes over tapes with it.
pub(super) fn check(file: &Path, args: &CheckArgs, filters: SavedFilters) -> Result<ExitCode, ExitError> {
    let files = RuleFiles { places: vec![file.to_owned()], filters, ..RuleFiles::default() };
    let set = files.read().map_err(|faults| ExitError::usage(anyhow!(faults)))?;
    let mut out = String::new();
    for note in set.notes() {
        let _ = writeln!(out, "note: {note}");
    }
    let mut tried = DryRun::default();
    for path in &args.on {
        tried.tape(&set, path, &mut out)?;
    }
    tried.sum_up(&set, args, &mut out);
    std::io::stdout().write_all(out.as_bytes())?;
    let idle = set.hits().into_iter().filter(|(_, hits)| *hits == 0).count();
    Ok(if args.strict && !args.on.is_empty() && idle > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was found on tapes so far.
#[derive(Default)]
struct DryRun {
    seen: usize,
    touched: usize,
}

impl DryRun {
    fn tape(&mut self, set: &RuleSet, path: &Path, out: &mut String) -> Result<(), ExitError> {
        let tape = Tape::read(path).with_context(|| format!("{}", path.display())).map_err(ExitError::usage)?;
        let context = TapeContext::of(&tape, Timestamp::now());
        let _ = writeln!(out, "{}", path.display());
        for envelope in &tape.envelopes {
            let Some(mut came) = as_it_came(envelope) else { continue };
            self.seen += 1;
            let before = came.message.clone();
            let verdict = set.decide(&mut came, &context).verdict;
            let Some(rules) = &came.rules else { continue };
            self.touched += 1;
            let names: Vec<&str> = rules.iter().map(|name| &**name).collect();
            let what = [came.method(), came.name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
            let _ = writeln!(
                out,
                "  {} {} {}: {} by {}",
                came.seq,
                if came.direction.word() == "c2s" { ">" } else { "<" },
                sanitize(&what),
                described(&verdict, came.message != before),
                names.join(", ")
            );
            if came.message != before {
                write_difference(before.raw(), came.message.raw(), out);
            }
        }
        Ok(())
    }

    fn sum_up(&self, set: &RuleSet, args: &CheckArgs, out: &mut String) {
        if args.on.is_empty() {
            let _ = writeln!(out, "{} rules, all in order; `--on TAPE` shows what they would have done", set.len());
            return;
        }
        let _ = writeln!(out, "would have touched {} of {} messages", self.touched, self.seen);
        let hits: BTreeMap<usize, (Arc<str>, u64)> = set.hits().into_iter().enumerate().collect();
        for (name, hits) in hits.into_values() {
            let never = if hits == 0 { ": it never matched, or never had its turn" } else { "" };
            let _ = writeln!(out, "  {hits:>6} {name}{never}");
        }
    }
}

fn described(verdict: &Verdict, edited: bool) -> String {
    let edit = if edited { "changed" } else { "forwarded" };
    match verdict {
        Verdict::Continue | Verdict::Modify(..) => edit.to_owned(),
        Verdict::Block(..) => "blocked".to_owned(),
        Verdict::Pause(_) => "held".to_owned(),
        Verdict::Drop(_) => "dropped".to_owned(),
        Verdict::Answer(answer, _) => format!("answered {}", cut(&String::from_utf8_lossy(answer.raw()))),
        Verdict::Status(answer, _) => format!("answered with HTTP status {}", answer.status),
        Verdict::Disconnect(_) => "disconnected".to_owned(),
        Verdict::Duplicate => "sent twice".to_owned(),
        Verdict::Delay(time, _, then) => format!("delayed {time:?}, then {}", described(then, edited)),
    }
}

/// The values that differ, or, of what is no JSON any more, the texts.
fn write_difference(before: &[u8], after: &[u8], out: &mut String) {
    let mut line = |sign: char, path: &str, text: &str| {
        let _ = writeln!(out, "      {sign} {}{}", sanitize(path), cut(text));
    };
    let (Some(old), Some(new)) = (value_text(before), value_text(after)) else {
        line('-', "", &String::from_utf8_lossy(before));
        line('+', "", &String::from_utf8_lossy(after));
        return;
    };
    visit_differences(old, new, NumberEquality::Spelling, &mut |path, old, new| {
        let path = format!("{path}: ");
        old.iter().for_each(|text| line('-', &path, text));
        new.iter().for_each(|text| line('+', &path, text));
    });
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    let end = if short.len() < text.len() { ".." } else { "" };
    format!("{}{end}", sanitize(&short))
}
