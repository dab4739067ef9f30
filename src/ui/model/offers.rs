//! What a server offers, as its own lists say: tools, prompts and resources, each with the request that asks for it.

use serde_json::{Map, Value, json};

use super::input_line::InputLine;
use super::listed::{items, last, results};
use super::message_rows::MessageRows;
use super::motion::ListCursor;
use crate::envelope::{Direction, SessionId};
use crate::mcp::method::{
    CANCELLED, DISCOVER, INITIALIZE, LOG_MESSAGE, NOTIFICATIONS, PING, PROMPTS_GET, PROMPTS_LIST, PROMPTS_LIST_CHANGED,
    RESOURCE_TEMPLATES_LIST, RESOURCES_LIST, RESOURCES_LIST_CHANGED, RESOURCES_READ, RESOURCES_UPDATED,
    ROOTS_LIST_CHANGED, TOOLS_CALL, TOOLS_LIST, TOOLS_LIST_CHANGED,
};

/// One thing that can be asked for.
pub(crate) struct ServerOffer {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The first line of what it says of itself.
    pub(crate) about: String,
    /// The request, with arguments that its schema lets through where that can be told.
    pub(crate) request: String,
    pub(crate) to: Direction,
}

/// The offers of one session, being chosen from.
pub(crate) struct OfferList {
    pub(crate) session: SessionId,
    pub(crate) offers: Vec<ServerOffer>,
    /// What the server said of itself, and what of its lists has changed since.
    pub(crate) about: Vec<String>,
    /// Text that narrows the offers to those that have it.
    pub(crate) search: InputLine,
    pub(crate) place: ListCursor,
}

impl OfferList {
    /// From the latest lists that passed in a session.
    pub(crate) fn of(rows: &MessageRows, session: SessionId) -> Self {
        let mut offers = Vec::new();
        for (method, member) in [
            (TOOLS_LIST, "tools"),
            (PROMPTS_LIST, "prompts"),
            (RESOURCES_LIST, "resources"),
            (RESOURCE_TEMPLATES_LIST, "resourceTemplates"),
        ] {
            let list = items(rows, session, method, member);
            offers.extend(list.iter().flatten().filter_map(|item| offer(method, item)));
        }
        offers.extend(BY_HAND.iter().map(by_hand));
        let about = about(rows, session);
        Self { session, offers, about, search: InputLine::default(), place: ListCursor::default() }
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

/// Messages that no list has: to whom, the method, what it says, and its params.
const BY_HAND: [(Direction, &str, &str, &str); 8] = [
    (Direction::ToServer, PING, "a request of any method: change it", "{}"),
    (Direction::ToServer, CANCELLED, "tells the server that a request is given up", r#"{"requestId":1,"reason":""}"#),
    (Direction::ToServer, ROOTS_LIST_CHANGED, "tells the server that the client's roots changed", "{}"),
    (Direction::ToClient, TOOLS_LIST_CHANGED, "tells the client to ask for the tools again", "{}"),
    (Direction::ToClient, PROMPTS_LIST_CHANGED, "tells the client to ask for the prompts again", "{}"),
    (Direction::ToClient, RESOURCES_LIST_CHANGED, "tells the client to ask for the resources again", "{}"),
    (Direction::ToClient, RESOURCES_UPDATED, "tells the client that a resource changed", r#"{"uri":""}"#),
    (Direction::ToClient, LOG_MESSAGE, "a line of the server's log", r#"{"level":"info","data":""}"#),
];

fn by_hand(&(to, method, about, params): &(Direction, &str, &str, &str)) -> ServerOffer {
    let id = if method.starts_with(NOTIFICATIONS) { "" } else { r#""id":1,"# };
    let kind = if to == Direction::ToServer { "to server" } else { "to client" };
    let request = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}}}"#);
    ServerOffer { kind, name: method.to_owned(), about: about.to_owned(), request, to }
}

/// Name, revision and capabilities, instructions, and which lists are older than what the server said last of them.
fn about(rows: &MessageRows, session: SessionId) -> Vec<String> {
    let hello = results(rows, session, INITIALIZE).next().or_else(|| results(rows, session, DISCOVER).next());
    let hello = hello.unwrap_or_default();
    let words = |key: &str| hello.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let can = hello.get("capabilities").and_then(Value::as_object);
    let can = can.map(|can| can.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
    let revision = words("protocolVersion");
    let mut lines = Vec::new();
    if !can.is_empty() {
        lines.push(format!("{revision} can: {can}").trim_start().to_owned());
    }
    let instructions = words("instructions");
    if !instructions.is_empty() {
        lines.push(format!("instructions: {}", instructions.lines().collect::<Vec<_>>().join(" ")));
    }
    let stale = [
        (TOOLS_LIST_CHANGED, TOOLS_LIST, "tools"),
        (PROMPTS_LIST_CHANGED, PROMPTS_LIST, "prompts"),
        (RESOURCES_LIST_CHANGED, RESOURCES_LIST, "resources"),
    ];
    let is_stale = |(said, list, _): &(&str, &str, &str)| last(rows, session, said) > last(rows, session, list);
    let stale: Vec<&str> = stale.into_iter().filter(is_stale).map(|(.., what)| what).collect();
    if !stale.is_empty() {
        lines.push(format!("changed since they were listed: {}", stale.join(", ")));
    }
    lines
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
        RESOURCE_TEMPLATES_LIST => {
            ("template", text("uriTemplate"), RESOURCES_READ, json!({"uri": text("uriTemplate")}))
        }
        _ => ("resource", text("uri"), RESOURCES_READ, json!({"uri": text("uri")})),
    };
    // In the order in which people write it.
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let to = Direction::ToServer;
    (!name.is_empty()).then(|| ServerOffer { kind, name: name.to_owned(), about, request, to })
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
