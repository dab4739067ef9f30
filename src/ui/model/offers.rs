//! What a server offers, as its own lists say: tools, prompts and resources, each with the request that asks for it, what it costs,
//! and how it changed.
//!
//! What changed stays marked until the operator looked at it: a server that gives a tool another description while a session goes on
//! is what a rug pull looks like, and nothing else on the screen would tell.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value, json};

use super::input_line::InputLine;
use super::listed::parameter_lines;
use super::message_rows::MessageRows;
use super::motion::ListCursor;
use super::server_said::{OFFER_KINDS, OfferKind, ServerSaid};
use super::summary::plural;
use crate::envelope::{Direction, SessionId};
use crate::event::Difference;
use crate::event::figures::tokens_of;
use crate::mcp::method::{
    CANCELLED, LOG_MESSAGE, NOTIFICATIONS, PING, PROMPTS_GET, PROMPTS_LIST, PROMPTS_LIST_CHANGED,
    RESOURCES_LIST_CHANGED, RESOURCES_READ, RESOURCES_UPDATED, ROOTS_LIST_CHANGED, TOOLS_CALL, TOOLS_LIST,
    TOOLS_LIST_CHANGED,
};
use crate::text;
use crate::ui::diff::changed_paths;

/// One thing that can be asked for.
pub(crate) struct ServerOffer {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// The first line of what it says of itself.
    pub(crate) about: String,
    /// What the server says of it, as JSON text; empty where no list has it.
    pub(crate) definition: String,
    /// How it is not as the operator saw it last.
    pub(crate) change: OfferChange,
    /// The request, with arguments that its schema lets through where that can be told.
    pub(crate) request: String,
    pub(crate) to: Direction,
}

/// What became of a definition since the operator looked at it, else since it was listed first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum OfferChange {
    #[default]
    None,
    Added,
    Removed,
    Changed(Vec<Difference>),
}

impl OfferChange {
    fn of(before: Option<&String>, now: &str) -> Self {
        let Some(before) = before else { return Self::Added };
        let differences = changed_paths(before.as_bytes(), now.as_bytes());
        if differences.is_empty() { Self::None } else { Self::Changed(differences) }
    }
}

/// The definitions of a session as the operator knows them, by kind and name.
#[derive(Default)]
pub(crate) struct SeenOffers {
    known: BTreeMap<(&'static str, String), String>,
    /// Kinds that were listed: of the others nothing is new.
    kinds: Vec<&'static str>,
}

impl SeenOffers {
    /// What was listed first is known, of the kinds that were not listed before.
    fn begin(&mut self, said: &ServerSaid) {
        for kind in &OFFER_KINDS {
            let Some((first, _)) = said.first_and_latest(kind).filter(|_| !self.kinds.contains(&kind.word)) else {
                continue;
            };
            self.kinds.push(kind.word);
            let named =
                first.definitions.iter().filter_map(|text| Some(((kind.word, name(kind, text)?), text.clone())));
            self.known.extend(named);
        }
    }

    /// The operator looks at this one.
    pub(crate) fn look(&mut self, offer: &ServerOffer) {
        let key = (offer.kind, offer.name.clone());
        match offer.change {
            OfferChange::None => {}
            OfferChange::Removed => drop(self.known.remove(&key)),
            OfferChange::Added | OfferChange::Changed(_) => drop(self.known.insert(key, offer.definition.clone())),
        }
    }
}

pub(crate) const NOTHING_CALLED_SO: &str = "nothing of the server is called so: `backspace` takes back what is typed";

/// Rows that each line of what a server says of itself may have.
const MOST_ROWS: usize = 8;

/// The offers of one session, being chosen from.
pub(crate) struct OfferList {
    pub(crate) session: SessionId,
    /// Other sessions of the same server.
    near: HashSet<SessionId>,
    pub(crate) offers: Vec<ServerOffer>,
    /// What the server said of itself, what all of it costs, and what of its lists has changed.
    pub(crate) about: Vec<String>,
    /// Text that narrows the offers to those that have it.
    pub(crate) search: InputLine,
    pub(crate) place: ListCursor,
}

impl OfferList {
    /// From the latest lists that passed in a session, beside what the operator has seen of them.
    /// What has not been listed in it is taken from `near`, other sessions of the same server.
    pub(crate) fn of(rows: &MessageRows, session: SessionId, near: HashSet<SessionId>, seen: &mut SeenOffers) -> Self {
        let said = ServerSaid::in_sessions(rows, |id| id == session);
        seen.begin(&said);
        let mut offers: Vec<_> = OFFER_KINDS.iter().flat_map(|kind| offers_of(kind, &said, seen)).collect();
        let mut about = about(&said, &offers);
        let unlisted: Vec<_> = OFFER_KINDS.iter().filter(|kind| said.first_and_latest(kind).is_none()).collect();
        if !unlisted.is_empty() {
            let elsewhere = ServerSaid::in_sessions(rows, |id| near.contains(&id));
            let (found, absent): (Vec<&OfferKind>, Vec<&OfferKind>) =
                unlisted.iter().partition(|kind| elsewhere.first_and_latest(kind).is_some());
            // What the server says of itself may be long.
            about.splice(..0, why_unlisted(&found, &absent));
            offers.extend(found.iter().flat_map(|kind| latest_of(kind, &elsewhere)));
        }
        offers.extend(unlisted.into_iter().map(list_request));
        offers.extend(BY_HAND.iter().map(by_hand));
        Self { session, near, offers, about, search: InputLine::default(), place: ListCursor::default() }
    }

    /// Reads the lists again; what is typed stays, and the cursor on what it was on.
    pub(crate) fn renew(&mut self, rows: &MessageRows, seen: &mut SeenOffers) {
        let chosen = self.chosen().map(|offer| (offer.kind, offer.name.clone()));
        let Self { offers, about, .. } = Self::of(rows, self.session, self.near.clone(), seen);
        (self.offers, self.about) = (offers, about);
        let position =
            self.shown().position(|offer| chosen.as_ref().is_some_and(|it| *it == (offer.kind, offer.name.clone())));
        self.place.cursor = position.unwrap_or_default();
    }

    /// What the server says of itself, in rows of that width.
    pub(crate) fn about_rows(&self, width: usize) -> Vec<String> {
        let lines = self.about.iter();
        lines.flat_map(|line| text::in_rows(&text::sanitize(line), width.saturating_sub(2), MOST_ROWS)).collect()
    }

    /// Those that what is typed leaves, those first whose names begin with it or have it.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &ServerOffer> {
        let search = self.search.text().to_lowercase();
        let rank = |offer: &ServerOffer| match offer.name.to_lowercase().find(&search) {
            Some(at) => usize::from(at > 0),
            None => 2,
        };
        let has_it = |offer: &&ServerOffer| rank(offer) < 2 || offer.about.to_lowercase().contains(&search);
        // Where none has it as it stands, its letters may be spread over a name.
        let is_spread = |offer: &&ServerOffer| {
            let name = offer.name.to_lowercase();
            let mut rest = name.chars();
            search.chars().all(|letter| rest.any(|other| other == letter))
        };
        let mut shown: Vec<_> = self.offers.iter().filter(has_it).collect();
        if shown.is_empty() {
            shown = self.offers.iter().filter(is_spread).collect();
        }
        shown.sort_by_key(|offer| rank(offer));
        shown.into_iter()
    }

    pub(crate) fn chosen(&self) -> Option<&ServerOffer> {
        self.shown().nth(self.place.cursor)
    }
}

/// What is listed now.
fn latest_of(kind: &OfferKind, said: &ServerSaid) -> Vec<ServerOffer> {
    let latest = said.first_and_latest(kind).into_iter().flat_map(|(_, latest)| &latest.definitions);
    latest.filter_map(|text| offer(kind, text)).collect()
}

/// Why there is nothing of a kind that the server may have, or what there is instead.
fn why_unlisted(found: &[&OfferKind], absent: &[&OfferKind]) -> Vec<String> {
    let words =
        |kinds: &[&OfferKind]| kinds.iter().map(|kind| format!("{}s", kind.word)).collect::<Vec<_>>().join(", ");
    let ask = absent
        .first()
        .map(|kind| format!("nobody has asked for {} in this session: `{}` below does", words(absent), kind.method));
    let other = (!found.is_empty()).then(|| format!("{} as listed in another session of this server", words(found)));
    other.into_iter().chain(ask).collect()
}

/// Asks the server for a list.
fn list_request(kind: &OfferKind) -> ServerOffer {
    let about = format!("asks the server for its {}s", kind.word);
    by_hand(&(Direction::ToServer, kind.method, &about, "{}"))
}

/// What is listed now, and behind it what is no longer.
fn offers_of(kind: &OfferKind, said: &ServerSaid, seen: &SeenOffers) -> Vec<ServerOffer> {
    if said.first_and_latest(kind).is_none() {
        return Vec::new();
    }
    let mut offers = latest_of(kind, said);
    for offer in &mut offers {
        offer.change = OfferChange::of(seen.known.get(&(kind.word, offer.name.clone())), &offer.definition);
    }
    let is_gone = |name: &String| offers.iter().all(|offer| offer.name != *name);
    let gone = seen.known.iter().filter(|((word, name), _)| *word == kind.word && is_gone(name));
    let gone: Vec<_> = gone.filter_map(|(_, text)| offer(kind, text)).collect();
    offers.extend(gone.into_iter().map(|offer| ServerOffer { change: OfferChange::Removed, ..offer }));
    offers
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
    let (definition, change) = (String::new(), OfferChange::None);
    ServerOffer { kind, name: method.to_owned(), about: about.to_owned(), definition, change, request, to }
}

/// Revision and capabilities, instructions, what it costs, and which lists are older than what the server said last of them.
fn about(said: &ServerSaid, offers: &[ServerOffer]) -> Vec<String> {
    let words = |key: &str| said.hello.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let can = said.hello.get("capabilities").and_then(Value::as_object);
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
    lines.extend(cost(offers));
    let changed = offers.iter().filter(|offer| offer.change != OfferChange::None).count();
    if changed > 0 {
        lines.push(format!("changed since you saw them: {changed}, until the cursor was on them"));
    }
    let stale: Vec<&str> = OFFER_KINDS.iter().filter(|kind| said.is_stale(kind)).map(|kind| kind.member).collect();
    if !stale.is_empty() {
        lines.push(format!("changed since they were listed: {}", stale.join(", ")));
    }
    lines
}

/// What all that is listed takes of a model's context, by kind and together.
fn cost(offers: &[ServerOffer]) -> Option<String> {
    let listed = || offers.iter().filter(|offer| offer.change != OfferChange::Removed);
    let of_kind = |kind: &OfferKind| {
        let (count, tokens) = listed()
            .filter(|offer| offer.kind == kind.word)
            .fold((0, 0), |(count, tokens), offer| (count + 1, tokens + offer.tokens().unwrap_or_default()));
        (count > 0).then(|| format!("{} {}", plural(count, &format!("{}s", kind.word)), text::count(tokens)))
    };
    let kinds: Vec<_> = OFFER_KINDS.iter().filter_map(of_kind).collect();
    let all: u64 = listed().filter_map(ServerOffer::tokens).sum();
    (all > 0).then(|| format!("about {} tokens: {}", text::count(all), kinds.join(", ")))
}

impl ServerOffer {
    /// About how many tokens its definition is; `None` where no list has it.
    pub(crate) fn tokens(&self) -> Option<u64> {
        (!self.definition.is_empty()).then(|| tokens_of(self.definition.len() as u64))
    }

    /// What can be filled in, and all that it says of itself.
    pub(crate) fn facts(&self) -> Vec<String> {
        let Ok(definition) = serde_json::from_str::<Value>(&self.definition) else { return vec![self.about.clone()] };
        let mut lines = definition.get("inputSchema").map(parameter_lines).unwrap_or_default();
        for argument in definition.get("arguments").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| argument.get(key).and_then(Value::as_str).unwrap_or_default();
            let must = if argument.get("required") == Some(&Value::Bool(true)) { "*" } else { "" };
            lines.push(format!("{}{must}  {}", text("name"), text("description")));
        }
        let said = definition.get("description").and_then(Value::as_str).unwrap_or_default();
        lines.extend(said.lines().map(str::to_owned));
        lines.iter().map(|line| text::sanitize(line.trim_end()).into_owned()).collect()
    }
}

fn name(kind: &OfferKind, definition: &str) -> Option<String> {
    let definition: Value = serde_json::from_str(definition).ok()?;
    Some(definition.get(kind.key)?.as_str().filter(|name| !name.is_empty())?.to_owned())
}

fn offer(kind: &OfferKind, definition: &str) -> Option<ServerOffer> {
    let (item, name) = (serde_json::from_str::<Value>(definition).ok()?, name(kind, definition)?);
    let about = item.get("description").and_then(Value::as_str).unwrap_or_default();
    let (method, params) = match kind.method {
        TOOLS_LIST => {
            let arguments = item.get("inputSchema").map_or_else(|| json!({}), skeleton);
            // Progress is shown while it runs; it goes where the call came from, and to no client.
            let meta = json!({"progressToken": "tapline-call"});
            (TOOLS_CALL, json!({"name": name, "arguments": arguments, "_meta": meta}))
        }
        PROMPTS_LIST => {
            let named = item.get("arguments").and_then(Value::as_array).into_iter().flatten();
            let names = named.filter_map(|argument| argument.get("name")?.as_str());
            let arguments: Map<_, _> = names.map(|name| (name.to_owned(), json!(""))).collect();
            (PROMPTS_GET, json!({"name": name, "arguments": arguments}))
        }
        _ => (RESOURCES_READ, json!({"uri": name})),
    };
    Some(ServerOffer {
        kind: kind.word,
        about: about.lines().next().unwrap_or_default().to_owned(),
        definition: definition.to_owned(),
        change: OfferChange::None,
        // In the order in which people write it.
        request: format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#),
        to: Direction::ToServer,
        name,
    })
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
    fn offers_with_names_that_have_what_is_typed_come_first() {
        let offer = |name: &str, about: &str| ServerOffer {
            kind: "tool",
            name: name.to_owned(),
            about: about.to_owned(),
            definition: String::new(),
            change: OfferChange::None,
            request: String::new(),
            to: Direction::ToServer,
        };
        let offers =
            vec![offer("get-content", "a long text"), offer("run-long", ""), offer("longest", ""), offer("l", "")];
        let mut list = OfferList {
            near: HashSet::new(),
            session: SessionId(uuid::Uuid::nil()),
            offers,
            about: Vec::new(),
            search: InputLine::new("LONG"),
            place: ListCursor::default(),
        };
        let names = |list: &OfferList| list.shown().map(|offer| offer.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&list), ["longest", "run-long", "get-content"]);
        list.search = InputLine::new("gtc");
        assert_eq!(names(&list), ["get-content"]);
    }

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
