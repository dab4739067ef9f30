//! What a server offers, as its own lists say: tools, prompts and resources, each with the request that asks for it.

use serde_json::{Map, Value, json};

use super::input_line::InputLine;
use super::listed::items;
use super::message_rows::MessageRows;
use super::motion::ListCursor;
use crate::envelope::SessionId;
use crate::mcp::method::{PROMPTS_GET, PROMPTS_LIST, RESOURCES_LIST, RESOURCES_READ, TOOLS_CALL, TOOLS_LIST};

/// One thing that can be asked for.
pub(crate) struct ServerOffer {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The first line of what it says of itself.
    pub(crate) about: String,
    /// The request, with arguments that its schema lets through where that can be told.
    pub(crate) request: String,
}

/// The offers of one session, being chosen from.
pub(crate) struct OfferList {
    pub(crate) session: SessionId,
    pub(crate) offers: Vec<ServerOffer>,
    /// Text that narrows the offers to those that have it.
    pub(crate) search: InputLine,
    pub(crate) place: ListCursor,
}

impl OfferList {
    /// From the latest lists that passed in a session.
    pub(crate) fn of(rows: &MessageRows, session: SessionId) -> Self {
        let mut offers = Vec::new();
        for (method, member) in [(TOOLS_LIST, "tools"), (PROMPTS_LIST, "prompts"), (RESOURCES_LIST, "resources")] {
            let list = items(rows, session, method, member);
            offers.extend(list.iter().flatten().filter_map(|item| offer(method, item)));
        }
        Self { session, offers, search: InputLine::default(), place: ListCursor::default() }
    }

    /// Those that what is typed leaves.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &ServerOffer> {
        let search = self.search.text().to_lowercase();
        let is_found = move |offer: &&ServerOffer| {
            offer.name.to_lowercase().contains(&search) || offer.about.to_lowercase().contains(&search)
        };
        self.offers.iter().filter(is_found)
    }

    pub(crate) fn chosen(&self) -> Option<&ServerOffer> {
        self.shown().nth(self.place.cursor)
    }
}

fn offer(method: &str, item: &Value) -> Option<ServerOffer> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let about = text("description").lines().next().unwrap_or_default().to_owned();
    let (kind, name, method, params) = match method {
        TOOLS_LIST => {
            let arguments = item.get("inputSchema").map_or_else(|| json!({}), skeleton);
            ("tool", text("name"), TOOLS_CALL, json!({"name": text("name"), "arguments": arguments}))
        }
        PROMPTS_LIST => {
            let named = item.get("arguments").and_then(Value::as_array).into_iter().flatten();
            let names = named.filter_map(|argument| argument.get("name")?.as_str());
            let arguments: Map<_, _> = names.map(|name| (name.to_owned(), json!(""))).collect();
            ("prompt", text("name"), PROMPTS_GET, json!({"name": text("name"), "arguments": arguments}))
        }
        _ => ("resource", text("uri"), RESOURCES_READ, json!({"uri": text("uri")})),
    };
    // In the order in which people write it.
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    (!name.is_empty()).then(|| ServerOffer { kind, name: name.to_owned(), about, request })
}

/// A value that a schema lets through, as far as its types, defaults and enumerations say: of an object what is required or has a
/// default, else all that is named.
pub(crate) fn skeleton(schema: &Value) -> Value {
    if let Some(known) = schema.get("default").or_else(|| schema.get("const")) {
        return known.clone();
    }
    if let Some(first) = schema.get("enum").and_then(|all| all.get(0)) {
        return first.clone();
    }
    let kind = schema.get("type").map(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()).unwrap_or_default());
    match kind.unwrap_or("object") {
        "string" => json!(""),
        "number" | "integer" => schema.get("minimum").cloned().unwrap_or(json!(0)),
        "boolean" => json!(false),
        "array" => json!([]),
        "null" => Value::Null,
        _ => {
            let all = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            let required: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let is_asked =
                |name: &str, of: &Value| required.is_empty() || required.contains(&name) || of.get("default").is_some();
            let asked = all.iter().filter(|(name, of)| is_asked(name, of));
            Value::Object(asked.map(|(name, of)| (name.clone(), skeleton(of))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skeleton_is_what_the_schema_asks_for() {
        for (schema, value) in [
            (
                json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]}),
                json!({"b": 0}),
            ),
            (
                json!({"properties": {"unit": {"enum": ["c", "f"]}, "n": {"type": ["number", "null"], "minimum": 3}}}),
                json!({"unit": "c", "n": 3}),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "boolean", "default": true}, "b": {}}, "required": ["x"]}),
                json!({"a": true}),
            ),
            (json!({}), json!({})),
        ] {
            assert_eq!(skeleton(&schema), value, "{schema}");
        }
    }
}
