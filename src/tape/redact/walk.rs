//! Over JSON text, value by value: what is a secret is replaced in the text, all other bytes stay.

use std::borrow::Cow;

use super::names::NamedValue;
use super::{KnownBy, Redactor};
use crate::json::diff::value_text;
use crate::json::path::{JsonPath, PathStep};
use crate::json::scalar::{number, string};
use crate::message::{items_of, members_of};

/// Beyond this depth a value is read as text: a hostile message must not exhaust the stack.
const DEPTH: usize = 128;

/// A text, and what is replaced in it, in order.
struct Splices<'t> {
    text: &'t str,
    made: Vec<(usize, usize, String)>,
}

impl<'t> Splices<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, made: Vec::new() }
    }

    /// Replaces a part of the text.
    fn put(&mut self, part: &str, instead: Option<String>) {
        let Some(instead) = instead.filter(|it| it != part) else { return };
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        self.made.push((start, start + part.len(), instead));
    }

    fn done(self) -> Option<String> {
        if self.made.is_empty() {
            return None;
        }
        let (mut now, mut at) = (String::with_capacity(self.text.len()), 0);
        for (start, end, instead) in self.made {
            now.push_str(&self.text[at..start]);
            now.push_str(&instead);
            at = end;
        }
        now.push_str(&self.text[at..]);
        Some(now)
    }
}

/// A line of a tape: its messages, and its headers.
pub(super) fn line(redactor: &mut Redactor, line: &str) -> Option<String> {
    let Ok(members) = members_of(line) else { return plain(redactor, line) };
    let mut splices = Splices::new(line);
    for (key, value) in &members {
        let instead = match &**key {
            "msg" => message(redactor, value),
            // The message that came, in the form of a line.
            "original" if value.starts_with('{') => self::line(redactor, value),
            "text" | "original" | "reason" | "flaw" => text(redactor, value),
            "headers" => headers(redactor, value),
            _ => None,
        };
        splices.put(value, instead);
    }
    splices.done()
}

fn message(redactor: &mut Redactor, text: &str) -> Option<String> {
    let raw = redactor.message(text.as_bytes())?;
    String::from_utf8(raw).ok()
}

fn headers(redactor: &mut Redactor, object: &str) -> Option<String> {
    let members = members_of(object).ok()?;
    let mut splices = Splices::new(object);
    for (name, value) in &members {
        let instead = match redactor.of_header(name) {
            Some(by) => secret(redactor, value, by),
            None => text(redactor, value),
        };
        splices.put(value, instead);
    }
    splices.done()
}

/// Any JSON text, or text that is none.
pub(super) fn value<'a>(redactor: &mut Redactor, whole: &'a str, path: &mut JsonPath<'a>) -> Option<String> {
    let Some(json) = value_text(whole.as_bytes()) else { return plain(redactor, whole) };
    let mut splices = Splices::new(whole);
    splices.put(json, inner(redactor, json, None, path));
    splices.done()
}

/// One value; `key` is the name that it has.
fn inner<'a>(redactor: &mut Redactor, json: &'a str, key: Option<&str>, path: &mut JsonPath<'a>) -> Option<String> {
    let too_deep = path.steps().len() >= DEPTH;
    match json.as_bytes().first() {
        Some(b'{') if !too_deep => {
            let mut splices = Splices::new(json);
            for (name, value) in members_of(json).ok()? {
                path.push(PathStep::Key(Cow::Owned(name.clone().into_owned())));
                splices.put(value, inner(redactor, value, Some(&name), path));
                path.pop();
            }
            splices.done()
        }
        Some(b'[') if !too_deep => {
            let mut splices = Splices::new(json);
            for (index, value) in items_of(json).into_iter().enumerate() {
                path.push(PathStep::Index(index));
                // What holds for a list holds for its texts.
                splices.put(value, inner(redactor, value, key, path));
                path.pop();
            }
            splices.done()
        }
        first => match (known_by(redactor, json, key, path), first) {
            (Some(by), _) => secret(redactor, json, by),
            (None, Some(b'"')) => text(redactor, json),
            (None, _) => None,
        },
    }
}

/// How a token is known to be a secret as a whole, if it is.
fn known_by(redactor: &Redactor, token: &str, key: Option<&str>, path: &JsonPath<'_>) -> Option<KnownBy> {
    match string(token) {
        Some(text) => redactor.of_member(key, NamedValue::Text(&text), path),
        None => number(token).and_then(|_| redactor.of_member(key, NamedValue::Number(token), path)),
    }
}

/// A token that is a secret as a whole: what it is, it stays.
fn secret(redactor: &mut Redactor, token: &str, by: KnownBy) -> Option<String> {
    if let Some(text) = string(token) {
        return Some(quoted(&redactor.instead(&text, by)));
    }
    number(token).map(|_| redactor.number(token))
}

/// A string token that may have secrets in it.
fn text(redactor: &mut Redactor, token: &str) -> Option<String> {
    if !redactor.has_secret(token.as_bytes()) {
        return None;
    }
    let text = string(token)?;
    // A result that is JSON in a text has keys of its own.
    if text.starts_with(['{', '[']) && value_text(text.as_bytes()).is_some() {
        return value(redactor, &text, &mut JsonPath::default()).map(|it| quoted(&it));
    }
    match redactor.text(&text) {
        Cow::Owned(now) if now != text => Some(quoted(&now)),
        _ => None,
    }
}

/// Text that is no JSON.
fn plain(redactor: &mut Redactor, text: &str) -> Option<String> {
    match redactor.text(text) {
        Cow::Owned(now) if now != text => Some(now),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
