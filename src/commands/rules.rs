//! `tapline rules`, and `tapline check` of a file of rules: what they would have done to the messages of tapes.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use super::dry_run::DryRun;
use crate::cli::{CheckArgs, ReportFormat};
use crate::config::keys::ConfigKeys;
use crate::event::Timestamp;
use crate::exit::ExitError;
use crate::filter::SavedFilters;
use crate::rules::{RuleFiles, ready_set, ready_sets};
use crate::tape::TapeContext;

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
    let mut tried = DryRun::new(&set);
    for path in &args.on {
        let read = TapeContext::read(path, None, Timestamp::now());
        let tape = read.with_context(|| format!("{}", path.display())).map_err(ExitError::usage)?;
        tried.tape(&set, &path.display().to_string(), &tape);
    }
    let report = tried.report(&set, &file.display().to_string());
    let text = match args.format {
        ReportFormat::Text => report.text(args.strict),
        ReportFormat::Json => report.json(),
        ReportFormat::Junit => report.junit(),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if args.strict && report.has_problem() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
