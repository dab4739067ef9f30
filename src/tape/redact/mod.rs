//! Secrets in messages, replaced before they are stored or shared: one engine for the recorder and for `tapline tape redact`.
//!
//! A secret is what stands under a name that says so (`names`), under a path or a key that the user names, what looks like the key of
//! a known service (`patterns`), and `requestState`, in which servers keep what they like. Words that merely look random are left
//! alone unless that is asked for: ids and hashes do as well. In place of a secret stands `[redacted:` and eight digits that are made
//! from it and from a number that is kept nowhere: the same secret has the same digits all over a tape, so that a replay and a mock
//! still know what is sent back ([`secrets_of`]), and nothing can be found out from them. Everything else stays byte for byte. Where a
//! secret is added to a tape of which that number is gone ([`Redactor::without_digits`]), `[redacted]` stands: other digits would say that
//! it is another one.
//!
//! The recorder asks of each message whether it may have a secret ([`Redactor::has_secret`]), on the thread that writes tapes, and
//! reads further only where it may.

mod marks;
mod names;
mod patterns;
mod settings;
#[cfg(test)]
mod tests;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeSet;

use regex::{Regex, bytes};
use ring::hmac;
use uuid::Uuid;

pub(crate) use self::marks::{has_mark, is_secret_number, secrets_of, with_secrets};
use self::names::{NamedValue, is_secret_member};
use self::patterns::{is_key_like, looks_random, may_have_secret, replace_keys};
pub use self::settings::Section;
use crate::envelope::{Envelope, SessionField};
use crate::json::PathPattern;
use crate::json::path::JsonPath;
use crate::secret::is_secret;

/// How the replacement of a secret begins.
const BEGIN: &str = "[redacted:";
/// What stands in place of one of which nobody knows whether the tape has it elsewhere.
const WITHOUT_DIGITS: &str = "[redacted]";
/// How many digits follow, and then the bracket.
const DIGITS: usize = 8;
/// Shorter secrets are looked for under their names alone: elsewhere they are parts of too much.
const LEAST_ELSEWHERE: usize = 8;
/// So many secrets are looked for elsewhere.
const MOST_ELSEWHERE: usize = 256;
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
    /// Whether more than names and shapes is looked for in bodies.
    fn reads_all(&self) -> bool {
        let Self { headers: _, keys, paths, regexes, entropy } = self;
        !(keys.is_empty() && paths.is_empty() && regexes.is_empty()) || *entropy
    }

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

/// Returns the line of a message on a tape that is recorded by these rules; `None` where it has no secret. What redacts it is made for
/// the first message that may have one: most tapes need none.
pub(super) fn line_without_secrets(
    redactor: &mut Option<Box<Redactor>>,
    rules: &RedactRules,
    envelope: &Envelope,
) -> Option<String> {
    let mut messages = std::iter::once(&envelope.message).chain(&envelope.original);
    let may_have = match redactor {
        Some(redactor) => messages.any(|it| redactor.has_secret(it.raw())) || !rules.headers.is_empty(),
        None => rules.reads_all() || !rules.headers.is_empty() || messages.any(|it| may_have_secret(it.raw())),
    };
    if !may_have {
        return None;
    }
    let mut line = Vec::new();
    envelope.write_json(SessionField::Omitted, &mut line);
    let redactor = redactor.get_or_insert_with(|| Box::new(Redactor::new(rules.clone())));
    redactor.line(std::str::from_utf8(&line).ok()?)
}

/// How a value is known to be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownBy {
    /// A name that says so: what stands there may be a common word all the same.
    Name,
    /// The user says so, and means it wherever it stands.
    Rules,
}

/// Replaces secrets; one for each tape.
pub struct Redactor {
    rules: RedactRules,
    key: hmac::Key,
    /// Whether the same secret is to be known by the same digits.
    has_digits: bool,
    /// Secrets that were found under a name, to be found elsewhere, too; and all of them as one pattern.
    found: BTreeSet<String>,
    found_anywhere: Option<bytes::Regex>,
    /// How many values were replaced.
    pub replaced: u64,
}

impl Redactor {
    pub fn new(rules: RedactRules) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat());
        Self { rules, key, has_digits: true, found: BTreeSet::new(), found_anywhere: None, replaced: 0 }
    }

    /// For what is added to a tape that another has redacted.
    pub fn without_digits(rules: RedactRules) -> Self {
        Self { has_digits: false, ..Self::new(rules) }
    }

    /// Returns a message without secrets; `None` where it has none.
    pub fn message(&mut self, raw: &[u8]) -> Option<Vec<u8>> {
        if !self.has_secret(raw) {
            return None;
        }
        let text = std::str::from_utf8(raw).ok()?;
        walk::value(self, text, &mut JsonPath::default()).map(String::into_bytes)
    }

    /// Returns a line of a tape without secrets; `None` where it has none.
    pub fn line(&mut self, line: &str) -> Option<String> {
        walk::line(self, line)
    }

    /// Whether a message may have a secret in it: `false` is certain.
    pub fn has_secret(&self, raw: &[u8]) -> bool {
        self.rules.reads_all()
            || may_have_secret(raw)
            || self.found_anywhere.as_ref().is_some_and(|found| found.is_match(raw))
    }

    /// How a header's value is known to be a secret, if it is.
    fn of_header(&self, name: &str) -> Option<KnownBy> {
        let is_asked_for = self.rules.headers.iter().any(|it| it.eq_ignore_ascii_case(name));
        is_asked_for.then_some(KnownBy::Rules).or(is_secret(name).then_some(KnownBy::Name))
    }

    /// How a member's value is known to be a secret, if it is.
    fn of_member(&self, key: Option<&str>, value: NamedValue<'_>, path: &JsonPath<'_>) -> Option<KnownBy> {
        let is_key = key.is_some_and(|key| self.rules.keys.iter().any(|it| it.eq_ignore_ascii_case(key)));
        if is_key || self.rules.paths.iter().any(|it| it.covers(path)) {
            return Some(KnownBy::Rules);
        }
        key.is_some_and(|key| is_secret_member(key, value)).then_some(KnownBy::Name)
    }

    /// What stands in place of a secret text.
    fn instead(&mut self, secret: &str, by: KnownBy) -> String {
        if secret.is_empty() || secret.starts_with("[redacted") {
            return secret.to_owned();
        }
        self.replaced += 1;
        let is_looked_for = by == KnownBy::Rules || is_key_like(secret);
        if secret.len() >= LEAST_ELSEWHERE && self.found.len() < MOST_ELSEWHERE && is_looked_for {
            self.remember(secret);
        }
        self.mark(secret)
    }

    /// From now on it is found wherever it stands.
    fn remember(&mut self, secret: &str) {
        if self.found.insert(secret.to_owned()) {
            let all: Vec<_> = self.found.iter().map(|it| regex::escape(it)).collect();
            self.found_anywhere = bytes::Regex::new(&all.join("|")).ok();
        }
    }

    fn mark(&self, secret: &str) -> String {
        if !self.has_digits {
            return WITHOUT_DIGITS.to_owned();
        }
        let digits = hmac::sign(&self.key, secret.as_bytes());
        let digits: String = digits.as_ref()[..DIGITS / 2].iter().map(|byte| format!("{byte:02x}")).collect();
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
        if !self.has_secret(text.as_bytes()) {
            return now;
        }
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
