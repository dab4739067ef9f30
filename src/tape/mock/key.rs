//! What makes two requests the same: method and arguments by value, whatever the order of members, without what differs from client to client.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ring::digest::{Context, SHA256};
use serde_json::Value;

use crate::json::PathPattern;
use crate::json::path::{JsonPath, PathStep};
use crate::mcp::meta::{CLIENT_INFO, META, PROTOCOL_VERSION};
use crate::mcp::{era, meta, method};
use crate::message::{Kind, Message};
use crate::tape::redact::{has_mark, is_secret_number, secrets_of};

/// Which places of a request count.
#[derive(Clone, Debug, Default)]
pub struct MockedFields {
    /// Those that do not.
    pub ignore: Vec<PathPattern>,
    /// Only these do; all where this is empty.
    pub only: Vec<PathPattern>,
}

/// What two requests have in common that get the same reply: a hash of their form. A tape may have more of them than fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RequestKey([u64; 2]);

impl RequestKey {
    pub(super) fn of(message: &Message, fields: &MockedFields) -> Self {
        RequestForm::of(message, fields).key()
    }

    fn of_text(text: &str, first: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(first);
        context.update(text.as_bytes());
        let digest = context.finish();
        let half = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| digest.as_ref()[at + byte]));
        Self([half(0), half(8)])
    }
}

/// Names are the peer's to choose, and to make long: what is kept of them is whether two are the same.
pub(super) fn hash_of(name: &str) -> u64 {
    RequestKey::of_text(name, &[]).0[0]
}

/// What the client that says this calls itself, where it does, as [`hash_of`] has it.
pub(super) fn client_of(message: &Message) -> Option<u64> {
    let name = meta::read::<String>(message, &["params", "clientInfo", "name"]);
    let name = name.or_else(|| meta::read::<String>(message, &["params", META, CLIENT_INFO, "name"]))?;
    Some(hash_of(&name))
}

/// What a request is compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestForm {
    /// Method and arguments, in one form.
    text: Box<str>,
    /// Whether it follows revision 2026-07-28 or later: replies have another form there.
    modern: bool,
}

/// What stood in place of the marks of a redacted request, in JSON text: by mark.
pub(super) type BoundSecrets = Vec<(String, String)>;

impl RequestForm {
    /// What two requests of this form are known by.
    pub(super) fn key(&self) -> RequestKey {
        RequestKey::of_text(&self.text, if self.modern { b"modern " } else { b"legacy " })
    }

    /// Its size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        self.text.len()
    }

    /// Whether secrets were taken out of the request.
    pub(super) fn is_redacted(&self) -> bool {
        has_mark(&self.text)
    }

    /// Reads a live request as this redacted one; `None` where it is another.
    pub(super) fn secrets_in(&self, live: &Self) -> Option<BoundSecrets> {
        if self == live {
            return Some(Vec::new());
        }
        // A secret is part of one string.
        let is_in_string = |secret: &str| {
            let mut escaped = false;
            secret.chars().all(|c| {
                let is_end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                !is_end
            })
        };
        let found = secrets_of(&self.text, &live.text, is_in_string).filter(|_| self.modern == live.modern)?;
        Some(found.into_iter().map(|(mark, secret)| (mark.to_owned(), secret.to_owned())).collect())
    }

    pub(super) fn of(message: &Message, fields: &MockedFields) -> Self {
        Self::written(message, fields, false)
    }

    /// The form in which a request is compared with one that secrets were taken out of: a secret number is another one there.
    pub(super) fn without_secret_numbers(message: &Message, fields: &MockedFields) -> Self {
        Self::written(message, fields, true)
    }

    fn written(message: &Message, fields: &MockedFields, blanks: bool) -> Self {
        let name = message.method().unwrap_or_default();
        let mut text = name.to_owned();
        // How a conversation begins is chosen by its revision, and a notification needs no arguments to be recognised.
        let is_plain = [method::INITIALIZE, method::DISCOVER, method::PING].contains(&name);
        if message.kind() == Kind::Request
            && !is_plain
            // One client leaves out what another sends empty.
            && let Ok(params) = serde_json::from_str::<Value>(message.member("params").unwrap_or("{}"))
        {
            CanonicalWriter { fields, blanks, path: JsonPath::default(), out: &mut text }.params(&params);
        }
        Self { text: text.into(), modern: is_modern(message) }
    }
}

/// Whether a request says that it follows a revision without sessions.
pub(super) fn is_modern(message: &Message) -> bool {
    message.at(&["params", META, PROTOCOL_VERSION]).is_some() && era::is_modern(message, || None)
}

/// What a tool or a prompt is called with.
const ARGUMENTS: &str = "arguments";

/// Writes a value so that equal ones are equal texts.
struct CanonicalWriter<'a> {
    fields: &'a MockedFields,
    /// Whether secret numbers are left out.
    blanks: bool,
    path: JsonPath<'a>,
    out: &'a mut String,
}

impl<'a> CanonicalWriter<'a> {
    fn params(&mut self, params: &'a Value) {
        self.path.push(PathStep::Key("params".into()));
        match params {
            Value::Object(members) => {
                let is_said = |(key, value): &(&String, &Value)| match key.as_str() {
                    // There the client describes itself: its name, its revision, the token of its progress.
                    META => false,
                    ARGUMENTS => !value.is_null() && value.as_object().is_none_or(|it| !it.is_empty()),
                    _ => true,
                };
                self.object(members.iter().filter(is_said));
            }
            other => self.value(other),
        }
    }

    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Object(members) => self.object(members.iter()),
            Value::Array(items) => {
                self.mark('[');
                for (index, item) in items.iter().enumerate() {
                    self.at(PathStep::Index(index), item);
                }
                self.mark(']');
            }
            _ if !self.counts() => {}
            Value::Number(number) if self.blanks && self.is_secret_number(&number.to_string()) => self.out.push('#'),
            // `1`, `1.0` and `1e0` are one number.
            Value::Number(number) => match number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < 9e15) {
                Some(whole) => drop(write!(self.out, "{whole:.0}")),
                None => drop(write!(self.out, "{number}")),
            },
            scalar => drop(write!(self.out, "{scalar}")),
        }
    }

    fn object(&mut self, members: impl Iterator<Item = (&'a String, &'a Value)>) {
        self.mark('{');
        for (key, value) in members.collect::<BTreeMap<_, _>>() {
            self.at(PathStep::Key(key.as_str().into()), value);
        }
        self.mark('}');
    }

    fn at(&mut self, step: PathStep<'a>, value: &'a Value) {
        let name = match &step {
            PathStep::Key(key) => Value::from(key.as_ref()).to_string(),
            _ => String::new(),
        };
        self.path.push(step);
        if !self.fields.ignore.iter().any(|pattern| pattern.covers(&self.path)) {
            if self.counts() {
                self.out.push_str(&name);
                self.out.push(':');
            }
            self.value(value);
            self.mark(',');
        }
        self.path.pop();
    }

    fn is_secret_number(&self, token: &str) -> bool {
        self.path.nearest_key().is_some_and(|key| is_secret_number(key, token))
    }

    fn mark(&mut self, sign: char) {
        if self.counts() {
            self.out.push(sign);
        }
    }

    /// Whether the value at the path is one of those that count.
    fn counts(&self) -> bool {
        let only = &self.fields.only;
        only.is_empty() || only.iter().any(|pattern| pattern.covers(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(params: &str, ignore: &[&str], only: &[&str]) -> RequestKey {
        let read = |patterns: &[&str]| patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
        let message = Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#));
        RequestKey::of(&message, &MockedFields { ignore: read(ignore), only: read(only) })
    }

    #[test]
    fn request_key_is_of_values_and_not_of_their_spelling() {
        let one = r#"{"name":"a","arguments":{"x":1,"y":["é",null]}}"#;
        for same in [
            r#"{ "arguments": {"y":["\u00e9",null],"x":1.0},"name":"a" }"#,
            r#"{"name":"a","_meta":{"progressToken":7},"arguments":{"x":1e0,"y":["é",null]}}"#,
        ] {
            assert_eq!(key(one, &[], &[]), key(same, &[], &[]), "{same}");
        }
        for other in [
            r#"{"name":"b","arguments":{"x":1,"y":["é",null]}}"#,
            r#"{"name":"a","arguments":{"x":"1","y":["é",null]}}"#,
            r#"{"name":"a","arguments":{"x":1,"y":[null,"é"]}}"#,
            r#"{"name":"a","arguments":{"x":1,"y":["é"]}}"#,
            r#"{"name":"a","arguments":{"x":1.5,"y":["é",null]}}"#,
            r#"{"name":"a","arguments":{"x":1}}"#,
        ] {
            assert_ne!(key(one, &[], &[]), key(other, &[], &[]), "{other}");
        }
    }

    #[test]
    fn request_key_takes_what_is_left_out_for_what_is_empty() {
        let of = |rest: &str| {
            let message = Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list"{rest}}}"#));
            RequestKey::of(&message, &MockedFields::default())
        };
        for same in ["", r#","params":{"_meta":{"progressToken":1}}"#] {
            assert_eq!(of(r#","params":{}"#), of(same), "{same}");
        }
        assert_ne!(of(""), of(r#","params":{"cursor":"2"}"#));
        for same in [r#"{"name":"a","arguments":{}}"#, r#"{"name":"a","arguments":null}"#] {
            assert_eq!(key(r#"{"name":"a"}"#, &[], &[]), key(same, &[], &[]), "{same}");
        }
        assert_ne!(key(r#"{"name":"a"}"#, &[], &[]), key(r#"{"name":"a","arguments":{"x":null}}"#, &[], &[]));
    }

    #[test]
    fn request_key_passes_over_ignored_and_takes_only_chosen_fields() {
        let (one, other) =
            (r#"{"name":"a","arguments":{"x":1,"now":"today"}}"#, r#"{"name":"a","arguments":{"x":1,"now":"later"}}"#);
        assert_ne!(key(one, &[], &[]), key(other, &[], &[]));
        assert_eq!(key(one, &[".params.arguments.now"], &[]), key(other, &[".params.arguments.now"], &[]));
        assert_eq!(key(one, &[], &[".params.name"]), key(other, &[], &[".params.name"]));
        let renamed = r#"{"name":"b","arguments":{"x":1,"now":"today"}}"#;
        assert_ne!(key(one, &[], &[".params.name"]), key(renamed, &[], &[".params.name"]));
    }
}
