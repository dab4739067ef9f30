//! Transcripts of mcp-vcr (format 1), in YAML, its usual form, and as JSON Lines.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::builder::{ImportBuilder, ImportedTape, moment};
use super::yaml;
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;

/// A message of a transcript that is JSON Lines: its bytes as they stand there.
#[derive(Deserialize)]
struct VcrLine<'a> {
    /// Milliseconds from the start.
    t: u64,
    dir: Direction,
    #[serde(borrow)]
    payload: &'a RawValue,
}

pub(super) fn is_line(line: &Value) -> bool {
    line["_type"] == "meta" || (line.get("payload").is_some() && line.get("t").is_some())
}

/// Whether a text begins as such a transcript does: all that it can begin with are the two members it has.
pub(super) fn is_yaml(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#') && *line != "---");
    first.is_some_and(|line| line.trim_end() == "meta:" || line.trim_end().starts_with("messages:"))
}

pub(super) fn lines(lines: &[&str]) -> ImportedTape {
    let meta =
        lines.first().and_then(|line| serde_json::from_str::<Value>(line).ok()).filter(|it| it["_type"] == "meta");
    let mut tape = begin(meta.as_ref().unwrap_or(&Value::Null));
    for (place, line) in lines.iter().enumerate().skip(usize::from(meta.is_some())) {
        match serde_json::from_str::<VcrLine<'_>>(line) {
            Ok(VcrLine { t, dir, payload }) => {
                tape.push(dir, Via::Stdio, t.saturating_mul(1000), None, payload.get().to_owned());
            }
            Err(error) => tape.left.push(format!("line {}: {error}", place + 1)),
        }
    }
    tape.finish("mcp-vcr")
}

/// Reads a transcript that is YAML.
///
/// # Errors
/// Where it is not YAML, and at which line.
pub(super) fn transcript(text: &str) -> Result<ImportedTape, String> {
    let file = yaml::read(text)?;
    let mut tape = begin(&file["meta"]);
    if file.get("meta").is_none() {
        // mcp-vcr writes it behind the messages: YAML that is cut between two lines is YAML still.
        tape.left.push("it has no `meta`, and may be cut: the last message may not be whole".to_owned());
    }
    for (place, message) in file["messages"].as_array().into_iter().flatten().enumerate() {
        let direction = match message["dir"].as_str() {
            Some("c2s") => Direction::ToServer,
            Some("s2c") => Direction::ToClient,
            _ => {
                tape.left.push(format!("message {}: it does not say which way it went", place + 1));
                continue;
            }
        };
        let at = message["t"].as_u64().unwrap_or_default().saturating_mul(1000);
        tape.push(direction, Via::Stdio, at, None, message["payload"].to_string());
    }
    Ok(tape.finish("mcp-vcr"))
}

fn begin(meta: &Value) -> ImportBuilder {
    let command = meta["server_command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let command = shell_words::join(command);
    let upstream = if command.is_empty() { "unknown" } else { &command };
    let mut tape =
        ImportBuilder::new(upstream, Via::Stdio, Timestamp(moment(&meta["recorded_at"]).unwrap_or_default()));
    if meta["incomplete"] == true {
        let why = meta["incomplete_reason"].as_str().unwrap_or("it does not say why");
        tape.left.push(format!("the recording is incomplete: {why}"));
    }
    tape
}
