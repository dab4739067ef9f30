//! Exports of the MCP Inspector (2.x): of its Protocol page, which has messages, and of its Network page, which has HTTP requests.

use serde_json::Value;

use super::builder::{ImportBuilder, ImportedTape, moment};
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;
use crate::mcp::method;
use crate::sse::Splitter;

/// Reads an export; `None` where it is none.
pub(super) fn export(entries: &[Value]) -> Option<ImportedTape> {
    let first = entries.first()?;
    if first["direction"].is_string() && first["message"].is_object() && first["timestamp"].is_string() {
        return Some(protocol(entries));
    }
    let is_fetch = first["category"].is_string() && first["url"].is_string() && first["timestamp"].is_string();
    is_fetch.then(|| network(entries))
}

/// What passed, and when, in microseconds since the Unix epoch.
struct Said {
    at: u64,
    direction: Direction,
    via: Via,
    status: Option<u16>,
    raw: Vec<u8>,
}

/// Brings what was said into its order: an export has a reply beside its request, not where it came.
fn tape_of(upstream: &str, via: Via, mut said: Vec<Said>, left: Vec<String>, format: &'static str) -> ImportedTape {
    said.sort_by_key(|it| it.at);
    let started = said.first().map_or(0, |it| it.at);
    let mut tape = ImportBuilder::new(upstream, via, Timestamp(started));
    tape.left = left;
    for Said { at, direction, via, status, raw } in said {
        tape.push(direction, via, at - started, status, raw);
    }
    tape.finish(format)
}

fn protocol(entries: &[Value]) -> ImportedTape {
    let (mut said, mut left) = (Vec::new(), Vec::new());
    for (place, entry) in entries.iter().enumerate() {
        let at = moment(&entry["timestamp"]).unwrap_or_default();
        let direction = direction_of(entry);
        let raw = |message: &Value| message.to_string().into_bytes();
        said.push(Said { at, direction, via: Via::Stdio, status: None, raw: raw(&entry["message"]) });
        if entry["response"].is_object() {
            let at = at + took(entry);
            let direction = direction.reverse();
            said.push(Said { at, direction, via: Via::Stdio, status: None, raw: raw(&entry["response"]) });
        }
        if let Some(why) = entry["clientError"].as_str() {
            left.push(format!("entry {}: the Inspector did not accept the reply: {why}", place + 1));
        }
    }
    // Neither server nor transport is named.
    tape_of("unknown", Via::Stdio, said, left, "the MCP Inspector")
}

fn took(entry: &Value) -> u64 {
    (entry["duration"].as_f64().unwrap_or_default().max(0.0) * 1000.0) as u64
}

/// Who spoke. Older exports do not say: then the Inspector asked, and was told what only a server says.
fn direction_of(entry: &Value) -> Direction {
    const OF_CLIENTS: [&str; 2] = [method::INITIALIZED, method::CANCELLED];
    let is_client = match entry["origin"].as_str() {
        Some(origin) => origin == "client",
        None => match entry["direction"].as_str() {
            Some("request") => true,
            _ => entry["message"]["method"].as_str().is_some_and(|method| OF_CLIENTS.contains(&method)),
        },
    };
    if is_client { Direction::ToServer } else { Direction::ToClient }
}

fn network(entries: &[Value]) -> ImportedTape {
    let (mut said, mut left) = (Vec::new(), Vec::new());
    let transport = entries.iter().enumerate().filter(|(_, entry)| entry["category"] == "transport");
    for (place, entry) in transport {
        let Some(sent) = entry["requestBody"].as_str().filter(|it| it.contains("\"jsonrpc\"")) else {
            let method = entry["method"].as_str().unwrap_or("a request");
            left.push(format!("entry {}: {method} of HTTP, no message", place + 1));
            continue;
        };
        let at = moment(&entry["timestamp"]).unwrap_or_default();
        let raw = sent.as_bytes().to_vec();
        said.push(Said { at, direction: Direction::ToServer, via: Via::Http, status: None, raw });
        let status = entry["responseStatus"].as_u64().and_then(|it| u16::try_from(it).ok());
        let is_stream =
            entry["responseHeaders"]["content-type"].as_str().is_some_and(|it| it.starts_with("text/event-stream"));
        let via = if is_stream { Via::Sse } else { Via::Http };
        let answer = |raw: Vec<u8>| Said { at: at + took(entry), direction: Direction::ToClient, via, status, raw };
        match entry["responseBody"].as_str() {
            Some(body) if is_stream => {
                let frames = Splitter::default().push(format!("{body}\n\n").into_bytes().into());
                said.extend(frames.iter().filter_map(|frame| frame.message_data()).map(|data| answer(data.to_vec())));
            }
            Some(body) if !body.trim().is_empty() => said.push(answer(body.as_bytes().to_vec())),
            Some(_) => {}
            None => left.push(format!("entry {}: the export does not have what was answered", place + 1)),
        }
    }
    let url = entries.iter().find(|entry| entry["category"] == "transport").and_then(|entry| entry["url"].as_str());
    tape_of(url.unwrap_or("unknown"), Via::Http, said, left, "the MCP Inspector")
}
