//! A rule made of a message: which messages it is for, and what it does to them. As text it is what a file of rules takes.

use serde_json::Value;

use super::input_line::InputLine;
use super::message_rows::MessageRows;
use crate::envelope::{Direction, Envelope, Outcome};
use crate::filter::{Filter, SavedFilters};
use crate::mcp::method::TOOLS_CALL;
use crate::message::Kind;
use crate::ui::json::compact;

/// The latest rows that a preview looks at.
const LOOKED_AT: usize = 50_000;

/// The rule, being filled in.
pub(crate) struct RuleForm {
    pub(crate) name: String,
    /// What it can do, the likeliest first: in words, and as the file has it.
    pub(crate) deeds: Vec<(&'static str, String)>,
    pub(crate) deed: usize,
    pub(crate) when: InputLine,
    pub(crate) what: InputLine,
    pub(crate) field: RuleField,
    /// How many of the messages that were seen it would have touched, or what is wrong with its filter.
    pub(crate) preview: Result<(usize, usize), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleField {
    Deed,
    When,
    What,
}

impl RuleForm {
    /// For a message, and for what a hand did to it. `reply`: what answered it.
    pub(crate) fn of(envelope: &Envelope, reply: Option<&Envelope>, rows: &MessageRows, saved: &SavedFilters) -> Self {
        let deeds = deeds(envelope, reply);
        let what = InputLine::new(&deeds[0].1);
        let mut form = Self {
            name: name(envelope, deeds[0].0),
            deeds,
            deed: 0,
            when: InputLine::new(&least_filter(envelope)),
            what,
            field: RuleField::Deed,
            preview: Ok((0, 0)),
        };
        form.look(rows, saved);
        form
    }

    pub(crate) fn choose(&mut self, by: isize) {
        let Some(deed) = self.deed.checked_add_signed(by).filter(|deed| *deed < self.deeds.len()) else { return };
        self.deed = deed;
        self.what = InputLine::new(&self.deeds[deed].1);
    }

    pub(crate) fn next_field(&mut self, by: isize) {
        let all = [RuleField::Deed, RuleField::When, RuleField::What];
        let at = all.iter().position(|field| *field == self.field).unwrap_or(0).cast_signed();
        self.field = all[(at + by).rem_euclid(3).cast_unsigned()];
    }

    pub(crate) fn line(&mut self) -> Option<&mut InputLine> {
        match self.field {
            RuleField::Deed => None,
            RuleField::When => Some(&mut self.when),
            RuleField::What => Some(&mut self.what),
        }
    }

    /// Counts the messages that the filter is for.
    pub(crate) fn look(&mut self, rows: &MessageRows, saved: &SavedFilters) {
        self.preview = Filter::parse_with(self.when.text(), saved).map_err(|error| error.to_string()).map(|filter| {
            let from = rows.len().saturating_sub(LOOKED_AT);
            let seen = (from..rows.len()).filter_map(|position| rows.at(position));
            let touched = seen.filter(|row| filter.matches(&row.envelope)).count();
            (touched, rows.len() - from)
        });
    }

    /// As a file of rules has it.
    pub(crate) fn text(&self) -> String {
        format!(
            "\n[[rule]]\nname = {}\nwhen = {}\ndo = {}\n",
            quoted(&self.name),
            quoted(self.when.text().trim()),
            self.what.text().trim()
        )
    }
}

/// A string of TOML. Where it can, it stands as it is.
fn quoted(text: &str) -> String {
    if text.contains(['\'', '\n']) || text.chars().any(char::is_control) {
        // TOML's basic strings read what JSON's say.
        return Value::from(text).to_string();
    }
    format!("'{text}'")
}

fn name(envelope: &Envelope, deed: &str) -> String {
    let subject = envelope.name().or(envelope.method()).unwrap_or("message");
    format!("{deed}: {subject} ({})", envelope.seq)
}

/// What a JSON Merge Patch (RFC 7396) has to say to make the one of the other.
fn merge_patch(old: &[u8], new: &[u8]) -> Option<String> {
    let (old, new): (Value, Value) = (serde_json::from_slice(old).ok()?, serde_json::from_slice(new).ok()?);
    patch_of(&old, &new).map(|patch| patch.to_string())
}

/// `None` where both are the same.
fn patch_of(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, value)| {
        let patch = before.get(key).map_or_else(|| Some(value.clone()), |old| patch_of(old, value))?;
        Some((key.clone(), patch))
    });
    let patch: serde_json::Map<_, _> = gone.chain(changed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The filter that names the message by what stays the same from run to run.
fn least_filter(envelope: &Envelope) -> String {
    let kind = match envelope.kind() {
        Kind::Request => "~q",
        Kind::Notification => "~n",
        _ => "~r",
    };
    let exactly = |text: &str| format!("\"^{}$\"", regex::escape(text).replace('"', "\\\""));
    let subject = match (envelope.method(), envelope.name()) {
        (Some(TOOLS_CALL), Some(tool)) => format!("~tool {}", exactly(tool)),
        (Some(method), Some(name)) => format!("~m {} & ~name {}", exactly(method), exactly(name)),
        (Some(method), None) => format!("~m {}", exactly(method)),
        (None, _) => if envelope.direction == Direction::ToServer { "~c2s" } else { "~s2c" }.to_owned(),
    };
    format!("{kind} & {subject}")
}

/// What a hand did comes first; then what rules mostly do.
fn deeds(envelope: &Envelope, reply: Option<&Envelope>) -> Vec<(&'static str, String)> {
    let mut deeds = Vec::new();
    let text = |text: String| if text.contains('\'') { Value::from(text).to_string() } else { format!("'{text}'") };
    let patch = envelope.original.as_ref().and_then(|original| merge_patch(original.raw(), envelope.message.raw()));
    if let Some(patch) = patch {
        deeds.push(("edit", format!("{{ modify = {{ merge = {} }} }}", text(patch))));
    }
    if matches!(envelope.outcome, Outcome::Blocked(_)) {
        deeds.push(("block", "{ block = \"blocked by a rule\" }".to_owned()));
    }
    if matches!(envelope.outcome, Outcome::Dropped(_)) {
        deeds.push(("drop", "\"drop\"".to_owned()));
    }
    let result = reply.and_then(|reply| reply.message.member("result")).map(compact);
    if let Some(result) = result.filter(|_| envelope.kind() == Kind::Request) {
        deeds.push(("answer", format!("{{ answer = {{ result = {} }} }}", text(result))));
    }
    for (word, what) in [
        ("hold", "\"hold\""),
        ("delay", "{ delay = \"2s\" }"),
        ("block", "{ block = \"blocked by a rule\" }"),
        ("drop", "\"drop\""),
        ("throttle", "{ throttle = \"1/s\" }"),
        ("status", "{ status = 503 }"),
        ("log", "\"log\""),
    ] {
        if deeds.iter().all(|(known, _)| *known != word) {
            deeds.push((word, what.to_owned()));
        }
    }
    deeds
}
