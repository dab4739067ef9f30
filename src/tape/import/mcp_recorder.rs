//! Cassettes of mcp-recorder (1.x).

use serde_json::Value;

use super::builder::{ImportBuilder, ImportedTape, moment};
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;

pub(super) fn cassette(file: &Value, interactions: &[Value]) -> ImportedTape {
    let metadata = &file["metadata"];
    let is_pipe = metadata["transport_type"].as_str() == Some("stdio");
    let started = Timestamp(moment(&metadata["recorded_at"]).unwrap_or_default());
    let via = if is_pipe { Via::Stdio } else { Via::Http };
    let mut tape = ImportBuilder::new(metadata["server_url"].as_str().unwrap_or("unknown"), via, started);
    // A cassette has latencies and no times: calls follow one another.
    let mut at = 0;
    for (place, interaction) in interactions.iter().enumerate() {
        let Some(sent) = interaction["request"].as_object() else {
            tape.left.push(format!(
                "interaction {}: {} of HTTP, no message",
                place + 1,
                interaction["http_method"].as_str().unwrap_or("a request")
            ));
            continue;
        };
        tape.push(Direction::ToServer, via, at, None, Value::Object(sent.clone()).to_string());
        at += interaction["latency_ms"].as_u64().unwrap_or_default().saturating_mul(1000);
        if interaction["response"].is_object() {
            let status =
                interaction["response_status"].as_u64().and_then(|it| u16::try_from(it).ok()).filter(|_| !is_pipe);
            let via = if interaction["response_is_sse"].as_bool() == Some(true) && !is_pipe { Via::Sse } else { via };
            tape.push(Direction::ToClient, via, at, status, interaction["response"].to_string());
        }
    }
    tape.finish("mcp-recorder")
}
