//! What a server's own lists say of a tool, and what its schema says of a value.

use serde_json::Value;

use super::message_rows::MessageRows;
use crate::envelope::{Envelope, SessionId};
use crate::json::path::{JsonPath, PathStep};
use crate::mcp::method::{TOOLS_CALL, TOOLS_LIST};

/// Rows that are looked through for lists: the latest.
const LOOKED_AT: usize = 50_000;

/// The latest results of a method that passed in a session, the newest first.
fn results<'a>(rows: &'a MessageRows, session: SessionId, method: &'a str) -> impl Iterator<Item = Value> + 'a {
    let from = rows.len().saturating_sub(LOOKED_AT);
    (from..rows.len()).rev().filter_map(|position| rows.at(position)).filter_map(move |row| {
        let envelope = &row.envelope;
        let is_list = envelope.session == session && envelope.reply_to.is_some() && envelope.method() == Some(method);
        let result = envelope.message.member("result").filter(|_| is_list)?;
        serde_json::from_str::<Value>(result).ok()
    })
}

/// The tool that a call is of, as the server listed it.
pub(crate) fn tool_of(rows: &MessageRows, call: &Envelope) -> Option<Value> {
    let name = call.message.name().filter(|_| call.method() == Some(TOOLS_CALL))?;
    let is_it = |tool: &&Value| tool.get("name").and_then(Value::as_str) == Some(name);
    // It may stand on any page of the list.
    results(rows, call.session, TOOLS_LIST)
        .find_map(|result| result.get("tools")?.as_array()?.iter().find(is_it).cloned())
}

/// What the schema of a call's arguments says of the value at `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValueRule {
    /// The JSON of the values that it names: those it allows, else its default or examples.
    pub(crate) picks: Vec<String>,
    /// No other is allowed.
    pub(crate) only_picks: bool,
    /// Type, default and description.
    pub(crate) about: String,
}

impl ValueRule {
    /// Of the argument at `path` of a call of this tool.
    pub(crate) fn of(tool: &Value, path: &str) -> Option<Self> {
        let path: JsonPath<'_> = path.strip_prefix(".params.arguments")?.parse().ok()?;
        let mut schema = tool.get("inputSchema")?;
        for step in path.steps() {
            schema = match step {
                PathStep::Key(key) => schema.get("properties")?.get(&**key)?,
                PathStep::Index(ordinal) => {
                    let first = schema.get("prefixItems").and_then(|items| items.get(ordinal));
                    first.or_else(|| schema.get("items"))?
                }
            };
        }
        Some(Self::of_schema(schema))
    }

    pub(crate) fn of_schema(schema: &Value) -> Self {
        let all = |member: &str| schema.get(member).and_then(Value::as_array).cloned();
        let allowed = all("enum").or_else(|| Some(vec![schema.get("const")?.clone()]));
        let default = schema.get("default");
        let only_picks = allowed.is_some();
        let named = allowed.or_else(|| Some(vec![default?.clone()])).or_else(|| all("examples")).unwrap_or_default();
        let word = match schema.get("type") {
            Some(Value::String(word)) => word.clone(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => String::new(),
        };
        let default = default.map(|default| format!("default {default}"));
        let said = schema.get("description").and_then(Value::as_str).and_then(|text| text.lines().next());
        let parts = [Some(word), default, said.map(str::to_owned)];
        let about: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        Self { picks: named.iter().map(Value::to_string).collect(), only_picks, about: about.join(", ") }
    }
}
