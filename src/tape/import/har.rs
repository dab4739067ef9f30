//! HTTP Archives (1.2), as browsers, proxies and `tapline tape export` write them.

use base64::Engine as _;
use serde_json::Value;

use super::builder::{ImportBuilder, ImportedTape, moment};
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;
use crate::sse::Splitter;

pub(super) fn har(entries: &[Value]) -> ImportedTape {
    let mut entries: Vec<_> = entries.iter().enumerate().filter(|(_, it)| is_ours(it)).collect();
    entries.sort_by_key(|(place, entry)| (moment(&entry["startedDateTime"]), *place));
    let first = entries.first().map_or(&Value::Null, |(_, it)| *it);
    let started = Timestamp(moment(&first["startedDateTime"]).unwrap_or_default());
    let mut tape = ImportBuilder::new(first["request"]["url"].as_str().unwrap_or("unknown"), Via::Http, started);
    for (_, entry) in entries {
        let begun = moment(&entry["startedDateTime"]).unwrap_or(started.0).saturating_sub(started.0);
        let sent = entry["request"]["postData"]["text"].as_str().unwrap_or_default();
        tape.push(Direction::ToServer, Via::Http, begun, None, sent.to_owned());
        let took = (entry["time"].as_f64().unwrap_or_default().max(0.0) * 1000.0) as u64;
        let content = &entry["response"]["content"];
        let status = entry["response"]["status"].as_u64().and_then(|it| u16::try_from(it).ok()).filter(|it| *it > 0);
        let Some(body) = content_bytes(content) else { continue };
        if content["mimeType"].as_str().is_some_and(|it| it.starts_with("text/event-stream")) {
            let mut splitter = Splitter::default();
            for frame in splitter.push([&body[..], b"\n\n"].concat().into()) {
                if let Some(data) = frame.message_data().cloned() {
                    tape.push(Direction::ToClient, Via::Sse, begun + took, status, data);
                }
            }
        } else if !body.iter().all(u8::is_ascii_whitespace) {
            tape.push(Direction::ToClient, Via::Http, begun + took, status, body);
        }
    }
    tape.finish("har")
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
