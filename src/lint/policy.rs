//! Which findings count: from which level on, and which codes are allowed.

use serde::Deserialize;

use super::catalogue::LINTS;
use super::clients::client_names;
use crate::event::{Finding, LintLevel};

/// `[lint]` of a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Codes that are no findings.
    pub allow: Vec<String>,
    /// The least that is told.
    pub level: Option<LintLevel>,
    /// Whether what passes is judged as it does.
    pub live: Option<bool>,
    /// The client whose behaviour is described, whichever is connected.
    #[serde(rename = "as")]
    pub seen_by: Option<String>,
}

impl Section {
    /// # Errors
    /// A code that there is not, with the nearest that there is.
    pub fn check(&self) -> Result<(), String> {
        self.allow.iter().try_for_each(|code| check_code(code))?;
        let known = client_names();
        match &self.seen_by {
            Some(name) if !known.contains(&name.as_str()) => {
                Err(format!("`as`: no client `{name}` was measured; there are `{}`", known.join("`, `")))
            }
            _ => Ok(()),
        }
    }
}

/// # Errors
/// That there is no lint of this code, with the nearest that there is.
pub fn check_code(code: &str) -> Result<(), String> {
    if LINTS.iter().any(|rule| rule.code == code) {
        return Ok(());
    }
    let near = LINTS.iter().map(|rule| (strsim::osa_distance(rule.code, code), rule.code)).min();
    let hint =
        near.filter(|(distance, _)| *distance <= code.len() / 3).map(|(_, near)| format!("; did you mean `{near}`?"));
    Err(format!("there is no lint `{code}`{}", hint.unwrap_or("; `tapline lint --list` has all".to_owned())))
}

/// What of the findings counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintPolicy {
    pub level: LintLevel,
    pub allow: Vec<String>,
}

impl LintPolicy {
    /// What stands in files, below what was given beside them.
    pub fn of(section: Section, level: Option<LintLevel>, allow: &[String]) -> Self {
        let allow = section.allow.into_iter().chain(allow.iter().cloned()).collect();
        Self { level: level.or(section.level).unwrap_or(LintLevel::Warn), allow }
    }

    /// Whether a finding is told at all.
    pub fn is_allowed(&self, finding: &Finding) -> bool {
        self.allow.contains(&finding.code)
    }

    /// Whether a finding is told, and makes a check fail.
    pub fn counts(&self, finding: &Finding) -> bool {
        finding.level >= self.level && !self.is_allowed(finding)
    }
}
