//! The gist of a message in part of a line: arguments of a call, what a result holds, what an error says.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::envelope::{Envelope, Outcome};
use crate::mcp::method::{
    CANCELLED, ELICITATION_CREATE, INITIALIZE, LOG_MESSAGE, PROGRESS, PROMPTS_GET, RESOURCES_READ, RESOURCES_SUBSCRIBE,
    RESOURCES_UNSUBSCRIBE, RESOURCES_UPDATED, SAMPLING_CREATE_MESSAGE, TOOLS_CALL,
};
use crate::message::{Kind, Message};
use crate::text;

/// Beyond this a message is not read for its row: rows are drawn many times a second.
const LARGE: usize = 64 * 1024;

type MemberMap<'a> = BTreeMap<String, &'a RawValue>;

/// A result in which the tool says that it failed.
pub(crate) const FAILED: &str = "failed: ";

/// The words that a row of a result may have of its own, which are not those of its message.
pub(super) const OWN_WORDS: &str = "failed: asks for another try task 0 tools tool resources resource resourceTemplates resourceTemplate \
    prompts prompt contents content messages message item lines";

/// Whether what a row says of its message is of its own for the most part: what became of it, or what is wrong with it.
pub(super) fn has_own_words(envelope: &Envelope) -> bool {
    let (outcome, message) = (&envelope.outcome, &envelope.message);
    matches!(outcome, Outcome::Abandoned | Outcome::Dropped(_) | Outcome::Blocked(_) | Outcome::Answered(_))
        || matches!(message.head().kind, Kind::Opaque | Kind::Batch)
        || envelope.part_of.is_some()
        || message.raw().len() > LARGE
}

/// What a row says of its message: that a peer went away outweighs what it was about. Not sanitized: the view does that.
pub(crate) fn row_gist(envelope: &Envelope) -> String {
    let gist = summary(envelope);
    match envelope.outcome {
        Outcome::Abandoned => format!("given up while held  {gist}"),
        Outcome::Dropped(_) => format!("dropped  {gist}"),
        Outcome::Blocked(_) => format!("blocked  {gist}"),
        Outcome::Answered(_) => format!("answered here  {gist}"),
        _ => gist,
    }
}

/// Not sanitized: the view does that.
pub(crate) fn summary(envelope: &Envelope) -> String {
    let gist = gist(envelope);
    match envelope.part_of {
        Some(began) => format!("of {began}: {gist}"),
        None => gist,
    }
}

/// What a row of the list says in words: what a search looks through.
pub(crate) fn row_words(envelope: &Envelope) -> String {
    let id = envelope.message.id().map(|id| id.display().to_owned()).unwrap_or_default();
    let (method, name) = (envelope.method().unwrap_or_default(), envelope.name().unwrap_or_default());
    format!("{} {id} {method} {name} {}", envelope.seq, row_gist(envelope))
}

fn gist(envelope: &Envelope) -> String {
    let message = &envelope.message;
    let head = message.head();
    match head.kind {
        _ if is_http_error(envelope) => http_error(envelope),
        Kind::Opaque => format!("{}: {}", head.flaw.as_deref().unwrap_or("not JSON-RPC"), start_of(message)),
        Kind::Batch => format!("a batch of {}", message.elements().len()),
        _ if message.raw().len() > LARGE => format!("large, {}", text::size(message.raw().len() as u64)),
        Kind::Request => request(message),
        Kind::Notification => notification(message),
        Kind::Result => message.member("result").map(|result| result_gist(envelope, result)).unwrap_or_default(),
        Kind::Error => message.member("error").map(error_gist).unwrap_or_default(),
    }
}

/// An HTTP status that says that it failed, and nothing in it that is MCP.
pub(crate) fn is_http_error(envelope: &Envelope) -> bool {
    envelope.kind() == Kind::Opaque && envelope.transport.status.is_some_and(|status| status >= 400)
}

/// What the status of an HTTP error mostly means.
pub(crate) fn status_hint(envelope: &Envelope) -> Option<&'static str> {
    Some(match envelope.transport.status.filter(|_| is_http_error(envelope))? {
        401 | 403 => "does the upstream want a token (`--header`)?",
        404 => "is the path right, such as `/mcp`?",
        405 | 406 | 415 => "is this the address of an MCP server?",
        429 => "it is asked too often",
        502..=504 => "what stands before the server does not reach it",
        _ => return None,
    })
}

/// The status, what the server says beside it, and what it mostly means.
fn http_error(envelope: &Envelope) -> String {
    let status = envelope.transport.status.unwrap_or_default();
    let hint = status_hint(envelope).map(|hint| format!("; {hint}")).unwrap_or_default();
    let text = start_of(&envelope.message);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = if text.is_empty() { text } else { format!(" \"{}\"", text.chars().take(120).collect::<String>()) };
    format!("HTTP {status}{text}{hint}")
}

fn start_of(message: &Message) -> String {
    let raw = message.raw();
    String::from_utf8_lossy(&raw[..raw.len().min(400)]).into_owned()
}

fn members(raw: &str) -> MemberMap<'_> {
    serde_json::from_str(raw).unwrap_or_default()
}

/// A string without its quotes; anything else as it is written.
fn plain(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

fn request(message: &Message) -> String {
    let Some(params) = message.member("params") else { return String::new() };
    let members = members(params);
    match message.method() {
        Some(TOOLS_CALL | PROMPTS_GET) => members.get("arguments").map_or("", |raw| raw.get()).to_owned(),
        Some(RESOURCES_READ | RESOURCES_SUBSCRIBE | RESOURCES_UNSUBSCRIBE) => String::new(),
        Some(SAMPLING_CREATE_MESSAGE) => members.get("messages").and_then(|raw| last_words(raw)).unwrap_or_default(),
        Some(ELICITATION_CREATE) => members.get("message").map_or("", |raw| raw.get()).to_owned(),
        Some(INITIALIZE) => {
            let client = members.get("clientInfo").map(|raw| peer(raw.get())).unwrap_or_default();
            let protocol = members.get("protocolVersion").map(|raw| plain(raw)).unwrap_or_default();
            format!("{client} {protocol}")
        }
        _ => params.to_owned(),
    }
}

/// The text that a model is asked last, in its quotes.
fn last_words(messages: &RawValue) -> Option<String> {
    let messages: Vec<&RawValue> = serde_json::from_str(messages.get()).ok()?;
    let message = members(messages.last()?.get());
    let content = members(message.get("content")?.get());
    content.get("text").map(|text| text.get().to_owned())
}

fn peer(raw: &str) -> String {
    let members = members(raw);
    let part = |key: &str| members.get(key).map(|raw| plain(raw)).unwrap_or_default();
    format!("{} {}", part("name"), part("version"))
}

fn notification(message: &Message) -> String {
    let Some(params) = message.member("params") else { return String::new() };
    let members = members(params);
    let raw = |key: &str| members.get(key).map_or("", |raw| raw.get());
    let unquoted = |key: &str| members.get(key).map(|raw| plain(raw)).unwrap_or_default();
    match message.method() {
        Some(PROGRESS) => {
            let total = members.get("total").map(|total| format!("/{}", total.get())).unwrap_or_default();
            format!("{}: {}{total} {}", unquoted("progressToken"), raw("progress"), raw("message"))
        }
        Some(CANCELLED) => format!("{} {}", unquoted("requestId"), raw("reason")),
        Some(LOG_MESSAGE) => format!("{}: {}", unquoted("level"), unquoted("data")),
        Some(RESOURCES_UPDATED) => String::new(),
        _ => params.to_owned(),
    }
}

fn result_gist(envelope: &Envelope, result: &str) -> String {
    let members = members(result);
    match members.get("resultType").map(|raw| plain(raw)).as_deref() {
        // Multi-round-trip requests and the tasks extension, both of revision 2026-07-28.
        Some("input_required") => return format!("asks for {}", keys_of(members.get("inputRequests").copied())),
        Some("task") => return format!("task {}", members.get("taskId").map(|raw| plain(raw)).unwrap_or_default()),
        _ => {}
    }
    for list in ["tools", "resources", "resourceTemplates", "prompts", "contents", "messages"] {
        if let Some(count) = members.get(list).and_then(|raw| count(raw)) {
            return plural(count, list);
        }
    }
    if let Some(content) = members.get("content").and_then(|raw| content_gist(raw)) {
        let failed = members.get("isError").is_some_and(|raw| raw.get() == "true");
        return if failed { format!("{FAILED}{content}") } else { content };
    }
    match envelope.method() {
        Some(INITIALIZE) => {
            let server = members.get("serverInfo").map(|raw| peer(raw.get())).unwrap_or_default();
            let protocol = members.get("protocolVersion").map(|raw| plain(raw)).unwrap_or_default();
            format!("{server} {protocol}")
        }
        _ => result.to_owned(),
    }
}

fn keys_of(object: Option<&RawValue>) -> String {
    let Some(object) = object else { return "another try".to_owned() };
    members(object.get()).keys().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn count(raw: &RawValue) -> Option<usize> {
    serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok().map(|list| list.len())
}

/// `1 tool`, `3 tools`.
pub(crate) fn plural(count: usize, word: &str) -> String {
    let word = if count == 1 { word.strip_suffix('s').unwrap_or(word) } else { word };
    format!("{count} {word}")
}

/// A short text by itself, else what kinds of content there are.
fn content_gist(raw: &RawValue) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    let (mut kinds, mut lines, mut first): (Vec<(String, usize)>, usize, Option<String>) = (Vec::new(), 0, None);
    for item in items {
        let members = members(item.get());
        let kind = members.get("type").map_or_else(|| "item".to_owned(), |raw| plain(raw));
        if let Some(body) = members.get("text").map(|raw| plain(raw)) {
            lines += body.lines().count();
            first.get_or_insert(body);
        }
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => kinds.push((kind, 1)),
        }
    }
    match (kinds.as_slice(), first) {
        ([(_, 1)], Some(text)) if lines <= 1 => Some(format!("\"{text}\"")),
        _ => {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let lines = if lines > 1 { format!(", {lines} lines") } else { String::new() };
            Some(format!("{}{lines}", kinds.join(", ")))
        }
    }
}

fn error_gist(error: &str) -> String {
    let members = members(error);
    let code = members.get("code").map_or("", |raw| raw.get());
    format!("{code} {}", members.get("message").map(|raw| plain(raw)).unwrap_or_default())
}
