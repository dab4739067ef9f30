//! The messages alone, as `tapline tape export --format jsonl` writes them.

use std::path::Path;

use serde_json::Value;

use super::builder::{ImportBuilder, ImportedMessage, ImportedTape};
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;

pub(super) fn json_lines(path: &Path, lines: &[&str]) -> ImportedTape {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut tape = ImportBuilder::new(&name, Via::Stdio, Timestamp(0));
    for (place, line) in lines.iter().enumerate() {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            tape.left.push(format!("line {}: not JSON", place + 1));
            continue;
        };
        let direction =
            if value["dir"] == Direction::ToServer.word() { Direction::ToServer } else { Direction::ToClient };
        let raw = match &value["message"] {
            Value::String(text) => text.clone(),
            message => message.to_string(),
        };
        let (at, session) = (value["at"].as_u64().unwrap_or_default(), value["session"].as_str().unwrap_or_default());
        tape.push_with(direction, Via::Stdio, raw, ImportedMessage { at, session, ..ImportedMessage::default() });
    }
    tape.finish("jsonl")
}
