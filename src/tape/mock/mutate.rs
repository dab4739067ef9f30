//! Replies that are legal and rare, and replies that no server may give, to see how a client copes (`--mutate SEED`).
//!
//! What is done to a reply follows from the seed and its place in the session alone, so a run can be had again, and one change of it
//! alone (`--mutate SEED:N`). Each change is told, and so on the tape beside the reply.

use serde_json::{Map, Value, json};

use crate::lint::{KnownMember, known_members};
use crate::mcp::meta::META;
use crate::message::{Id, Kind, Message};

/// Which changes are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MutationPlan {
    pub seed: u64,
    /// The only reply that is changed, from 1; all are if `None`.
    pub only: Option<u64>,
}

impl std::str::FromStr for MutationPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no number: give `SEED` or `SEED:N`"));
        match text.split_once(':') {
            Some((seed, only)) => Ok(Self { seed: number(seed)?, only: Some(number(only)?) }),
            None => Ok(Self { seed: number(text)?, only: None }),
        }
    }
}

/// What was done to a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyChange {
    /// Whether a server may say so: then a client has no reason to refuse it.
    pub is_legal: bool,
    /// For people.
    pub text: String,
}

/// A result, and of what it is one.
#[derive(Clone, Copy)]
pub(super) struct GivenReply<'a> {
    pub(super) message: &'a Message,
    /// The method that was called; empty where that is not known.
    pub(super) method: &'a str,
    /// Whether the server has said that it sends log messages, and may send one to the client that waits for this.
    pub(super) may_log: bool,
}

/// A change of a reply.
struct ReplyMutation {
    name: &'static str,
    is_legal: bool,
    /// The messages in place of the reply; `None` where there is nothing to change.
    change: fn(&GivenReply<'_>, &mut MutationDice) -> Option<Vec<Message>>,
}

const MUTATIONS: [ReplyMutation; 19] = [
    ReplyMutation { name: "white space between all tokens", is_legal: true, change: |it, _| spaced(it.message) },
    ReplyMutation {
        name: "members in another order",
        is_legal: true,
        change: |it, _| one(&reversed(it.message.value()?)),
    },
    ReplyMutation {
        name: "every character of every text escaped",
        is_legal: true,
        change: |it, _| one_text(&escaped(&it.message.value()?)),
    },
    ReplyMutation { name: "unknown members", is_legal: true, change: |it, _| with_unknown(it.message) },
    ReplyMutation {
        name: "a text of 256 KiB",
        is_legal: true,
        change: |it, dice| edit_text(it.message, dice, |text| json!(text.to_owned() + &"x".repeat(256 << 10))),
    },
    ReplyMutation {
        name: "a text of emoji, right-to-left and control characters",
        is_legal: true,
        change: |it, dice| {
            edit_text(it.message, dice, |text| json!(format!("{text}👩‍👩‍👧‍👦\u{202e}txt\u{0}\u{1b}[31m\u{feff}")))
        },
    },
    ReplyMutation {
        name: "an empty list",
        is_legal: true,
        change: |it, dice| edit(it.message, dice, is_free_list, |_| json!([])),
    },
    ReplyMutation { name: "a log message before the reply", is_legal: true, change: |it, _| with_log(it) },
    ReplyMutation {
        name: "the reply twice",
        is_legal: false,
        change: |it, _| Some(vec![it.message.clone(), it.message.clone()]),
    },
    ReplyMutation {
        name: "another id",
        is_legal: false,
        change: |it, _| Some(vec![it.message.with_id(&Id::from_token("\"nobody\""))?]),
    },
    ReplyMutation { name: "the id as a text", is_legal: false, change: |it, _| id_as_text(it.message) },
    ReplyMutation { name: "no id", is_legal: false, change: |it, _| without(it.message, "id") },
    ReplyMutation { name: "no `jsonrpc`", is_legal: false, change: |it, _| without(it.message, "jsonrpc") },
    ReplyMutation {
        name: "neither `result` nor `error`",
        is_legal: false,
        change: |it, _| without(it.message, "result"),
    },
    ReplyMutation { name: "`result` and `error`", is_legal: false, change: |it, _| with_error(it.message) },
    ReplyMutation { name: "a member less that may be missing", is_legal: true, change: without_optional },
    ReplyMutation { name: "a member less that must be there", is_legal: false, change: without_needed },
    ReplyMutation { name: "a value of another type", is_legal: false, change: with_other_type },
    ReplyMutation {
        name: "JSON that breaks off",
        is_legal: false,
        change: |it, _| Some(vec![Message::new(it.message.raw().slice(..it.message.raw().len() * 2 / 3))]),
    },
];

/// What is said in place of a reply, and what was done to it; `nth`: which reply of the session it is, from 1.
pub(super) fn mutated(reply: GivenReply<'_>, plan: MutationPlan, nth: u64) -> (Vec<Message>, Option<ReplyChange>) {
    let as_it_is = (vec![reply.message.clone()], None);
    if reply.message.kind() != Kind::Result || plan.only.is_some_and(|only| only != nth) {
        return as_it_is;
    }
    let mut dice = MutationDice(plan.seed ^ nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for _ in 0..MUTATIONS.len() {
        let mutation = &MUTATIONS[dice.below(MUTATIONS.len())];
        if let Some(messages) = (mutation.change)(&reply, &mut dice) {
            let ReplyMutation { is_legal, name, .. } = *mutation;
            let (kind, seed) = (if is_legal { "legal" } else { "illegal" }, plan.seed);
            let text = format!("reply {nth} was changed ({kind}): {name}; `--mutate {seed}:{nth}` changes it alone");
            return (messages, Some(ReplyChange { is_legal, text }));
        }
    }
    as_it_is
}

/// Chance that can be had again: SplitMix64.
struct MutationDice(u64);

impl MutationDice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % most.max(1) as u64).unwrap_or(0)
    }
}

fn one(value: &Value) -> Option<Vec<Message>> {
    one_text(&value.to_string())
}

fn one_text(text: &str) -> Option<Vec<Message>> {
    Some(vec![Message::new(text.to_owned())])
}

fn members(reply: &Message) -> Option<Map<String, Value>> {
    match reply.value()? {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn spaced(reply: &Message) -> Option<Vec<Message>> {
    let pretty = serde_json::to_string_pretty(&reply.value()?).ok()?;
    // One line of a pipe has no line ends in it.
    one_text(&pretty.replace('\n', " \t"))
}

fn reversed(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().rev().map(|(key, value)| (key, reversed(value))).collect(),
        Value::Array(items) => items.into_iter().map(reversed).collect(),
        other => other,
    }
}

fn escaped(value: &Value) -> String {
    let text = |text: &str| {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    };
    match value {
        Value::String(inner) => text(inner),
        Value::Array(items) => format!("[{}]", items.iter().map(escaped).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}:{}", text(key), escaped(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn with_unknown(reply: &Message) -> Option<Vec<Message>> {
    let mut members = members(reply)?;
    let result = members.get_mut("result")?.as_object_mut()?;
    result.insert("x-unknown".to_owned(), json!({"a": [null, 1e300, -0.0]}));
    let meta = result.entry(META).or_insert_with(|| json!({}));
    meta.as_object_mut()?.insert("example.com/unknown".to_owned(), json!(true));
    members.insert("x-unknown".to_owned(), json!(1));
    one(&Value::Object(members))
}

fn with_log(reply: &GivenReply<'_>) -> Option<Vec<Message>> {
    if !reply.may_log {
        return None;
    }
    let log = json!({"jsonrpc": "2.0", "method": crate::mcp::method::LOG_MESSAGE, "params": {"level": "debug", "data": {"x": 1}}});
    Some(vec![Message::new(log.to_string()), reply.message.clone()])
}

fn with_error(reply: &Message) -> Option<Vec<Message>> {
    let mut members = members(reply)?;
    members.insert("error".to_owned(), json!({"code": -32603, "message": "both"}));
    one(&Value::Object(members))
}

fn id_as_text(reply: &Message) -> Option<Vec<Message>> {
    let id = reply.id()?.token();
    let other = id
        .strip_prefix('"')
        .and_then(|id| id.strip_suffix('"'))
        .map_or_else(|| format!("\"{id}\""), |_| "0".to_owned());
    Some(vec![reply.with_id(&Id::from_token(&other))?])
}

fn without(reply: &Message, key: &str) -> Option<Vec<Message>> {
    let mut members = members(reply)?;
    members.shift_remove(key)?;
    one(&Value::Object(members))
}

/// Members of which one at least has to be there, though each of them may be missing.
const ONE_OF_THEM: [&str; 2] = ["text", "blob"];

/// What the server can do is not taken away: it does it all the same, and a client may rely on what it was told.
fn without_optional(reply: &GivenReply<'_>, dice: &mut MutationDice) -> Option<Vec<Message>> {
    let may_go = |it: &KnownMember| {
        !it.is_needed && !ONE_OF_THEM.contains(&&*it.key) && !it.object.split('/').any(|it| it == "capabilities")
    };
    edit_member(reply, dice, may_go, |members, key| drop(members.shift_remove(key)))
}

fn without_needed(reply: &GivenReply<'_>, dice: &mut MutationDice) -> Option<Vec<Message>> {
    edit_member(reply, dice, |it| it.is_needed, |members, key| drop(members.shift_remove(key)))
}

fn with_other_type(reply: &GivenReply<'_>, dice: &mut MutationDice) -> Option<Vec<Message>> {
    edit_member(reply, dice, |_| true, |members, key| members[key] = other_type(&members[key]))
}

/// Changes a member that the protocol knows, of those that fit.
fn edit_member(
    reply: &GivenReply<'_>,
    dice: &mut MutationDice,
    fits: impl Fn(&KnownMember) -> bool,
    change: impl Fn(&mut Map<String, Value>, &str),
) -> Option<Vec<Message>> {
    let mut value = reply.message.value()?;
    let known: Vec<_> = known_members(reply.method, value.get("result")?).into_iter().filter(fits).collect();
    let KnownMember { object, key, .. } = known.get(dice.below(known.len()))?;
    change(value.pointer_mut(&format!("/result{object}"))?.as_object_mut()?, key);
    one(&value)
}

fn edit_text(reply: &Message, dice: &mut MutationDice, change: impl Fn(&str) -> Value) -> Option<Vec<Message>> {
    edit(reply, dice, is_free_text, |value| change(value.as_str().unwrap_or_default()))
}

/// Members of results in which the schema of every revision takes any text, and those that are lists of any length. What tools say by
/// schemas of their own is no business of the protocol's.
const FREE_TEXTS: [&str; 4] = ["text", "description", "title", "instructions"];
const FREE_LISTS: [&str; 7] = ["content", "contents", "messages", "prompts", "resources", "resourceTemplates", "tools"];
const OF_TOOLS: [&str; 3] = ["/structuredContent/", "/inputSchema/", "/outputSchema/"];

fn is_free_text(place: &str, value: &Value) -> bool {
    value.is_string() && is_called(place, &FREE_TEXTS)
}

fn is_free_list(place: &str, value: &Value) -> bool {
    value.is_array() && is_called(place, &FREE_LISTS)
}

fn is_called(place: &str, names: &[&str]) -> bool {
    let name = place.rsplit('/').next().unwrap_or_default();
    names.contains(&name) && !OF_TOOLS.iter().any(|of| place.contains(of))
}

/// Changes one value inside the result, of those that fit.
fn edit(
    reply: &Message,
    dice: &mut MutationDice,
    fits: impl Fn(&str, &Value) -> bool,
    change: impl Fn(&Value) -> Value,
) -> Option<Vec<Message>> {
    let mut value = reply.value()?;
    let mut places = Vec::new();
    collect(value.get("result")?, &fits, "/result", &mut places);
    let place = places.get(dice.below(places.len()))?;
    let target = value.pointer_mut(place)?;
    *target = change(target);
    one(&value)
}

fn collect(value: &Value, fits: &impl Fn(&str, &Value) -> bool, place: &str, places: &mut Vec<String>) {
    let inner = |key: &str| format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
    let mut each = |key: &str, child: &Value| {
        let place = inner(key);
        if fits(&place, child) {
            places.push(place.clone());
        }
        collect(child, fits, &place, places);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(key, child)| each(key, child)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, child)| each(&index.to_string(), child)),
        _ => {}
    }
}

fn other_type(value: &Value) -> Value {
    match value {
        Value::Null => json!(0),
        Value::Bool(it) => json!(it.to_string()),
        Value::Number(it) => json!(it.to_string()),
        Value::String(_) => json!(null),
        Value::Array(items) => items.first().cloned().unwrap_or_else(|| json!({})),
        Value::Object(_) => json!([value]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn called<'a>(message: &'a Message, method: &'a str) -> GivenReply<'a> {
        GivenReply { message, method, may_log: true }
    }

    #[test]
    fn log_message_comes_only_from_a_server_that_may_send_one() {
        let reply = Message::new(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        let logged = |may_log| {
            let told = (1..400).filter_map(|nth| {
                let given = GivenReply { may_log, ..called(&reply, "tools/call") };
                mutated(given, MutationPlan { seed: 2, only: None }, nth).1
            });
            told.filter(|it| it.text.contains("a log message before the reply")).count()
        };
        assert!(logged(true) > 5 && logged(false) == 0, "{} and {}", logged(true), logged(false));
    }

    #[test]
    fn members_that_may_be_missing_are_told_from_those_that_must_be_there() {
        let reply = Message::new(
            r#"{"jsonrpc":"2.0","id":7,"result":{"contents":[{"uri":"a:b","mimeType":"text/plain","text":"é"}],"_meta":{"a":1},"own":{"b":2}}}"#,
        );
        let mut gone = HashSet::new();
        for nth in 1..600 {
            let plan = MutationPlan { seed: 11, only: None };
            let (messages, change) = mutated(called(&reply, "resources/read"), plan, nth);
            let change = change.unwrap();
            let Some((_, what)) = change.text.split_once("a member less that ") else { continue };
            let now = messages[0].value().unwrap();
            let left =
                ["/contents", "/contents/0/uri", "/contents/0/mimeType", "/contents/0/text", "/_meta/a", "/own/b"];
            let missing = left.into_iter().find(|it| now.pointer(&format!("/result{it}")).is_none());
            gone.insert((change.is_legal, what.split(';').next().unwrap().to_owned(), missing));
            // Of a method of nobody's nothing is known.
            let (_, other) = mutated(called(&reply, "own/method"), plan, nth);
            assert!(!other.unwrap().text.contains("a member less"));
        }
        let may = (true, "may be missing".to_owned(), Some("/contents/0/mimeType"));
        let must = |it| (false, "must be there".to_owned(), Some(it));
        assert_eq!(gone, HashSet::from([may, must("/contents"), must("/contents/0/uri")]));
    }

    #[test]
    fn legal_changes_leave_what_only_some_texts_and_lists_may_be() {
        let raw = r#"{"id":7,"result":{"protocolVersion":"2025-11-25","content":[{"type":"text","text":"é"}],"structuredContent":{"text":"a","tools":[1]},
            "tools":[{"name":"a","inputSchema":{"type":"object","required":["x"],"properties":{"x":{"description":"d"}}}}]}}"#;
        let (reply, mut seen) = (Message::new(raw), 0);
        for nth in 1..600 {
            let plan = MutationPlan { seed: 3, only: None };
            let (messages, change) = mutated(called(&reply, "tools/list"), plan, nth);
            let Some(change) =
                change.filter(|it| it.text.contains("): a text of ") || it.text.contains("an empty list"))
            else {
                continue;
            };
            let now = messages[0].value().unwrap();
            let same = ["/protocolVersion", "/structuredContent", "/content/0/type", "/tools/0/inputSchema"];
            for place in same.map(|it| format!("/result{it}")) {
                // Of a list that is empty now nothing is left.
                let value = now.pointer(&place);
                assert!(value.is_none() || value == reply.value().unwrap().pointer(&place), "{}: {place}", change.text);
            }
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn mutations_are_had_again_by_their_seed_and_say_what_they_did() {
        let reply = Message::new(
            r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"é"}],"n":1,"isError":false}}"#,
        );
        let mut seen = HashSet::new();
        for nth in 1..400 {
            let plan = MutationPlan { seed: 5, only: None };
            let (messages, told) = mutated(called(&reply, "tools/call"), plan, nth);
            let ReplyChange { is_legal, text: told } = told.expect("something can be done to it");
            assert_ne!(messages, std::slice::from_ref(&reply), "{told}");
            let is_json = messages.iter().all(|message| message.value().is_some());
            assert!(is_json || told.contains("breaks off"), "{told}");
            assert_eq!(is_legal, told.contains("(legal)"));
            if is_legal {
                let last = messages.last().expect("there is one");
                assert!(
                    last.kind() == Kind::Result && last.replies_to(&Message::new(r#"{"id":7,"method":"x"}"#)),
                    "{told}"
                );
            }
            assert_eq!(mutated(called(&reply, "tools/call"), plan, nth).0, messages);
            assert_eq!(
                mutated(called(&reply, "tools/call"), MutationPlan { seed: 5, only: Some(nth) }, nth).0,
                messages
            );
            assert_eq!(
                mutated(called(&reply, "tools/call"), MutationPlan { seed: 5, only: Some(nth + 1) }, nth).0,
                std::slice::from_ref(&reply)
            );
            let (_, name) = told.split_once("): ").expect("it says what was done");
            seen.insert(name.split(';').next().map(str::to_owned));
        }
        assert_eq!(seen.len(), MUTATIONS.len(), "{seen:?}");
    }
}
