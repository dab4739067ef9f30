//! HTTP Archives (1.2), as browsers, proxies and `tapline tape export` write them.

use base64::Engine as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::builder::{ImportBuilder, ImportedMessage, ImportedTape, moment};
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;
use crate::headers::SESSION;
use crate::secret::REDACTED;
use crate::sse::Splitter;
use crate::tape::export::SESSION as EXPORTED;

pub(super) fn har(entries: &[Value]) -> ImportedTape {
    let is_told =
        |entry: &Value| is_ours(entry) || entry["request"]["method"] == "DELETE" && !session(entry).is_empty();
    let mut entries: Vec<_> = entries.iter().enumerate().filter(|(_, it)| is_told(it)).collect();
    entries.sort_by_key(|(place, entry)| (moment(&entry["startedDateTime"]), *place));
    let first = entries.first().map_or(&Value::Null, |(_, it)| *it);
    let started = Timestamp(moment(&first["startedDateTime"]).unwrap_or_default());
    let mut tape = ImportBuilder::new(first["request"]["url"].as_str().unwrap_or("unknown"), Via::Http, started);
    for (_, entry) in entries {
        add(entry, &mut tape, started);
    }
    tape.finish("har")
}

fn add(entry: &Value, tape: &mut ImportBuilder, started: Timestamp) {
    let begun = moment(&entry["startedDateTime"]).unwrap_or(started.0).saturating_sub(started.0);
    let session = session(entry);
    if !is_ours(entry) {
        return tape.end(session, begun);
    }
    let sent = entry["request"]["postData"]["text"].as_str().unwrap_or_default();
    let [asked, answered] = ["request", "response"].map(|side| headers(&entry[side]));
    let mut push = |direction, via, at, status, raw: Vec<u8>| {
        let headers = if direction == Direction::ToServer { asked.clone() } else { answered.clone() };
        let facts = ImportedMessage { at, status, session, headers, ..ImportedMessage::default() };
        tape.push_with(direction, via, raw, facts);
    };
    push(Direction::ToServer, Via::Http, begun, None, sent.as_bytes().to_vec());
    let took = (entry["time"].as_f64().unwrap_or_default().max(0.0) * 1000.0) as u64;
    let content = &entry["response"]["content"];
    let status = entry["response"]["status"].as_u64().and_then(|it| u16::try_from(it).ok()).filter(|it| *it > 0);
    let Some(body) = content_bytes(content) else { return };
    if content["mimeType"].as_str().is_some_and(|it| it.starts_with("text/event-stream")) {
        let mut splitter = Splitter::default();
        for frame in splitter.push([&body[..], b"\n\n"].concat().into()) {
            if let Some(data) = frame.message_data().cloned() {
                push(Direction::ToClient, Via::Sse, begun + took, status, data.to_vec());
            }
        }
    } else if !body.iter().all(u8::is_ascii_whitespace) {
        push(Direction::ToClient, Via::Http, begun + took, status, body);
    }
}

/// The session of an entry: what tapline calls it, or the id that is sent with it, or given by `initialize`.
fn session(entry: &Value) -> &str {
    if let Some(name) = entry[EXPORTED].as_str() {
        return name;
    }
    named_session(&entry["request"]).or_else(|| named_session(&entry["response"])).unwrap_or_default()
}

/// The headers of a request or a response; those that HTTP/2 begins with a colon are none.
fn headers(side: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for header in side["headers"].as_array().into_iter().flatten() {
        let name = header["name"].as_str().and_then(|it| it.parse::<HeaderName>().ok());
        let value = header["value"].as_str().and_then(|it| HeaderValue::from_str(it).ok());
        if let Some((name, value)) = name.zip(value) {
            headers.append(name, value);
        }
    }
    (!headers.is_empty()).then_some(headers)
}

fn named_session(side: &Value) -> Option<&str> {
    let is_id = |header: &&Value| header["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(SESSION.as_str()));
    let header = side["headers"].as_array()?.iter().find(is_id)?;
    header["value"].as_str().filter(|id| *id != REDACTED)
}

/// Whether an entry carries a message: everything else that a browser fetched is not MCP.
fn is_ours(entry: &Value) -> bool {
    let sent = entry["request"]["postData"]["text"].as_str().unwrap_or_default();
    sent.contains("\"jsonrpc\"") && serde_json::from_str::<Value>(sent).is_ok()
}

fn content_bytes(content: &Value) -> Option<Vec<u8>> {
    let text = content["text"].as_str()?;
    match content["encoding"].as_str() {
        Some("base64") => base64::engine::general_purpose::STANDARD.decode(text).ok(),
        _ => Some(text.as_bytes().to_vec()),
    }
}
