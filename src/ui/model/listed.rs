//! What a server's own lists say of a tool, and what its schema says of a value.

use std::sync::Arc;

use serde_json::Value;

use super::message_rows::MessageRows;
use crate::envelope::{Envelope, SessionId};
use crate::json::path::{JsonPath, PathStep};
use crate::lint::{CompiledSchema, SchemaMisfit};
use crate::mcp::method::{TOOLS_CALL, TOOLS_LIST};
use crate::message::Message;
use crate::text;

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
    tool_called(rows, call.session, &call.message)
}

/// The tool that a call in a session is of.
fn tool_called(rows: &MessageRows, session: SessionId, call: &Message) -> Option<Value> {
    let name = call.name().filter(|_| call.method() == Some(TOOLS_CALL))?;
    let is_it = |tool: &&Value| tool.get("name").and_then(Value::as_str) == Some(name);
    // It may stand on any page of the list.
    results(rows, session, TOOLS_LIST).find_map(|result| result.get("tools")?.as_array()?.iter().find(is_it).cloned())
}

/// Misfits that are looked for.
const MISFITS: usize = 20;

/// What a server says of the arguments of one of its tools.
#[derive(Clone, Debug)]
pub(crate) struct ToolSchema {
    pub(crate) tool: String,
    input: Arc<CompiledSchema>,
    /// What may be filled in, a line each.
    pub(crate) parameters: Arc<[String]>,
}

impl ToolSchema {
    /// Of the tool that is called, where the server has listed it. `revision`: that of the session.
    pub(crate) fn of(rows: &MessageRows, session: SessionId, call: &Message, revision: &str) -> Option<Self> {
        let tool = tool_called(rows, session, call)?;
        let schema = tool.get("inputSchema")?;
        let parameters = parameter_lines(schema).iter().map(|line| text::sanitize(line).into_owned()).collect();
        let input = CompiledSchema::of(&schema.to_string(), revision);
        Some(Self { tool: call.name()?.to_owned(), input, parameters })
    }

    /// What in the arguments of a call does not fit; `None` where that cannot be told, as of another tool.
    pub(crate) fn misfits(&self, call: &Message) -> Option<Vec<SchemaMisfit>> {
        if call.method() != Some(TOOLS_CALL) || call.name() != Some(&self.tool) {
            return None;
        }
        let params: Value = serde_json::from_str(call.member("params")?).ok()?;
        let none = Value::Object(serde_json::Map::new());
        self.input.misfits(params.get("arguments").unwrap_or(&none), MISFITS)
    }
}

/// What the schema of an object says of each member that may be filled in: its name, with `*` where it must be, and what it takes.
pub(crate) fn parameter_lines(schema: &Value) -> Vec<String> {
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let line = |(name, schema): (&String, &Value)| {
        let rule = ValueRule::of_schema(schema);
        let must = if required.iter().any(|it| *it == name) { "*" } else { "" };
        let only = rule.only_picks.then(|| format!("one of {}", rule.picks.join(", ")));
        let said = [Some(rule.about), only].into_iter().flatten().filter(|it| !it.is_empty());
        format!("{name}{must}  {}", said.collect::<Vec<_>>().join(", "))
    };
    properties.map(line).collect()
}

/// The pointer into the arguments of a call to the value at `path` of the call.
pub(crate) fn pointer_in_arguments(path: &str) -> Option<String> {
    let path: JsonPath<'_> = path.strip_prefix(".params.arguments")?.parse().ok()?;
    let mut pointer = String::new();
    for step in path.steps() {
        pointer.push('/');
        match step {
            PathStep::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            PathStep::Index(ordinal) => pointer.push_str(&ordinal.to_string()),
        }
    }
    Some(pointer)
}

/// What the schema of a call's arguments says of the value at `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ValueRule {
    /// The JSON of the values that it names: those it allows, else its default or examples.
    pub(crate) picks: Vec<String>,
    /// No other is allowed.
    pub(crate) only_picks: bool,
    /// Type, limits, default and description.
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
        let limits = LIMITS.into_iter().filter_map(|limit| Some(format!("{limit} {}", plain(schema.get(limit)?))));
        let parts = [Some(word)].into_iter().chain(limits.map(Some)).chain([default, said.map(str::to_owned)]);
        let about: Vec<String> = parts.flatten().filter(|part| !part.is_empty()).collect();
        Self { picks: named.iter().map(Value::to_string).collect(), only_picks, about: about.join(", ") }
    }
}

/// What a schema says of a value that is said while it is typed.
const LIMITS: [&str; 7] =
    ["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minLength", "maxLength", "pattern"];

/// A string without its quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
