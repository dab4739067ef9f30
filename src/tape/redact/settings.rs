//! What the recorder takes out, as files of settings say it.

use regex::Regex;
use serde::Deserialize;

use super::RedactRules;
use crate::json::PathPattern;

/// `[redact]` in the configuration: what is a secret beside what is known to be one, or that nothing is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    pub enabled: bool,
    pub headers: Vec<String>,
    pub keys: Vec<String>,
    pub paths: Vec<String>,
    pub patterns: Vec<String>,
    pub entropy: bool,
}

impl Default for Section {
    fn default() -> Self {
        let (headers, keys, paths, patterns) = Default::default();
        Self { enabled: true, headers, keys, paths, patterns, entropy: false }
    }
}

impl Section {
    /// The rules; `None` where nothing is to be taken out.
    ///
    /// # Errors
    /// The path or the pattern that cannot be read, and why.
    pub fn rules(self) -> Result<Option<RedactRules>, String> {
        let path = |text: &String| text.parse::<PathPattern>().map_err(|error| error.to_string());
        let pattern = |text: &String| {
            Regex::new(text).map_err(|error| format!("`{text}` is no regular expression: {}", last_line(&error)))
        };
        let rules = RedactRules {
            paths: self.paths.iter().map(path).collect::<Result<_, _>>()?,
            regexes: self.patterns.iter().map(pattern).collect::<Result<_, _>>()?,
            headers: self.headers,
            keys: self.keys,
            entropy: self.entropy,
        };
        Ok(self.enabled.then_some(rules))
    }
}

/// The reason without the drawing of where it is.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
