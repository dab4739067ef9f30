//! Secrets in messages, replaced before they are stored or shared: one engine for the recorder and for `tapline tape redact`.
//!
//! A secret is what stands under a name that says so ([`is_secret`]), under a path or a key that the user names, what looks like the
//! key of a known service, and `requestState`, in which servers keep what they like. In its place stands `[redacted:` and eight
//! digits that are made from it and from a number that is not kept: the same secret has the same digits all over a tape, so that a
//! replay still knows what is sent back, and nothing can be found out from them. Everything else stays byte for byte.

mod patterns;
#[cfg(test)]
mod tests;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeSet;

use regex::Regex;
use ring::hmac;
use uuid::Uuid;

use self::patterns::{is_key_like, looks_random, may_have_secret, replace_keys};
use crate::json::PathPattern;
use crate::json::path::JsonPath;
use crate::secret::is_secret;

/// How the replacement of a secret begins.
const BEGIN: &str = "[redacted:";
/// Shorter secrets are looked for under their names alone: elsewhere they are parts of too much.
const LEAST_ELSEWHERE: usize = 8;
/// So many secrets are looked for elsewhere.
const MOST_ELSEWHERE: usize = 256;
/// What servers hand to clients to get back, and may hold anything.
const STATE: &str = "requestState";

/// What is a secret beside what is known to be one.
#[derive(Clone, Debug, Default)]
pub struct RedactRules {
    /// Names of headers, in small letters.
    pub headers: Vec<String>,
    /// Names of members, in any case.
    pub keys: Vec<String>,
    /// Places in messages.
    pub paths: Vec<PathPattern>,
    /// Parts of texts.
    pub regexes: Vec<Regex>,
    /// Whether words that look random are secrets.
    pub entropy: bool,
}

impl RedactRules {
    /// What the header of a tape says of them.
    pub fn words(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|it| format!("key {it}"));
        let headers = self.headers.iter().map(|it| format!("header {it}"));
        let paths = self.paths.iter().map(|it| format!("path {it}"));
        // A pattern may hold the secret itself.
        let regexes = (!self.regexes.is_empty()).then(|| format!("{} patterns", self.regexes.len()));
        let entropy = self.entropy.then(|| "entropy".to_owned());
        headers.chain(keys).chain(paths).chain(regexes).chain(entropy).collect()
    }
}

/// Replaces secrets; one for each tape.
pub struct Redactor {
    rules: RedactRules,
    key: hmac::Key,
    /// Secrets that were found under a name, to be found elsewhere, too.
    found: BTreeSet<String>,
    /// How many values were replaced.
    pub replaced: u64,
}

impl Redactor {
    pub fn new(rules: RedactRules) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat());
        Self { rules, key, found: BTreeSet::new(), replaced: 0 }
    }

    /// Returns a message without secrets; `None` where it has none.
    pub fn message(&mut self, raw: &[u8]) -> Option<Vec<u8>> {
        if !self.has_own_rules() && !may_have_secret(raw) {
            return None;
        }
        let text = std::str::from_utf8(raw).ok()?;
        walk::value(self, text, &mut JsonPath::default()).map(String::into_bytes)
    }

    /// Returns a line of a tape without secrets; `None` where it has none.
    pub fn line(&mut self, line: &str) -> Option<String> {
        walk::line(self, line)
    }

    fn has_own_rules(&self) -> bool {
        let RedactRules { headers: _, keys, paths, regexes, entropy } = &self.rules;
        !(keys.is_empty() && paths.is_empty() && regexes.is_empty() && self.found.is_empty()) || *entropy
    }

    fn is_secret_header(&self, name: &str) -> bool {
        is_secret(name) || self.rules.headers.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    fn is_secret_key(&self, key: &str) -> bool {
        key == STATE || is_secret(key) || self.rules.keys.iter().any(|it| it.eq_ignore_ascii_case(key))
    }

    fn is_secret_place(&self, path: &JsonPath<'_>) -> bool {
        self.rules.paths.iter().any(|it| it.covers(path))
    }

    /// What stands in place of a secret text.
    fn instead(&mut self, secret: &str) -> String {
        if secret.is_empty() || secret.starts_with("[redacted") {
            return secret.to_owned();
        }
        self.replaced += 1;
        if secret.len() >= LEAST_ELSEWHERE && self.found.len() < MOST_ELSEWHERE && is_key_like(secret) {
            self.found.insert(secret.to_owned());
        }
        self.mark(secret)
    }

    fn mark(&self, secret: &str) -> String {
        let digits = hmac::sign(&self.key, secret.as_bytes());
        let digits: String = digits.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{BEGIN}{digits}]")
    }

    /// What stands in place of a secret number: one with as many digits.
    fn number(&mut self, secret: &str) -> String {
        self.replaced += 1;
        let sum = hmac::sign(&self.key, secret.as_bytes());
        let digits = secret.bytes().enumerate().map(|(at, byte)| match byte {
            // No zero in front.
            b'0'..=b'9' => char::from(b'1' + sum.as_ref()[at % 32] % 9),
            byte => char::from(byte),
        });
        digits.collect()
    }

    /// A text without the secrets in it.
    fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let mut now = Cow::Borrowed(text);
        for secret in self.found.iter().filter(|it| text.contains(it.as_str())) {
            now = now.replace(secret.as_str(), &self.mark(secret)).into();
            self.replaced += 1;
        }
        let mut replaced = 0;
        let keyed = replace_keys(&now, &mut |secret| {
            replaced += 1;
            self.mark(secret)
        });
        if let Some(keyed) = keyed {
            now = keyed.into();
        }
        for regex in &self.rules.regexes {
            if regex.is_match(&now) {
                let without = regex.replace_all(&now, |found: &regex::Captures<'_>| {
                    replaced += 1;
                    self.mark(&found[0])
                });
                now = without.into_owned().into();
            }
        }
        if self.rules.entropy {
            let words: Vec<_> =
                now.split(|c: char| !is_of_a_word(c)).filter(|word| looks_random(word)).map(str::to_owned).collect();
            for word in words {
                now = now.replace(&word, &self.mark(&word)).into();
                replaced += 1;
            }
        }
        self.replaced += replaced;
        now
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '=' | '-')
}
