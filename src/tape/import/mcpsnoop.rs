//! Logs of mcpsnoop: a JSON object a line, one a frame, with the bytes of the message as they passed.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::builder::{ImportBuilder, ImportedMessage, ImportedTape, moment};
use crate::envelope::{Direction, Via};
use crate::event::Timestamp;
use crate::headers::{METHOD, NAME, VERSION};
use crate::mcp::method;
use crate::message::Message;
use crate::tape::format::Mark;

/// A line of such a log.
#[derive(Deserialize)]
struct SnoopFrame<'a> {
    ts: Value,
    direction: String,
    #[serde(default)]
    transport: String,
    #[serde(borrow, default)]
    raw: Option<&'a RawValue>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    mcp_method: String,
    #[serde(default)]
    mcp_name: String,
    #[serde(default)]
    mcp_protocol_version: String,
    #[serde(default)]
    mcp_param_headers: Vec<ParamHeader>,
    #[serde(default)]
    conn_id: String,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    status: u16,
}

#[derive(Deserialize)]
struct ParamHeader {
    name: String,
    value: String,
}

/// What was proxied.
#[derive(Deserialize)]
struct Launched {
    command: Vec<String>,
}

/// The sessions of a log, which has the connections of clients and not whose they are: a session is begun on one, and a connection on which
/// none is begun is another one of the client that came last.
#[derive(Default)]
struct SnoopSessions {
    by_connection: HashMap<String, String>,
    last: String,
}

impl SnoopSessions {
    fn of(&mut self, connection: &str, said: &str) -> String {
        let message = Message::new(said.to_owned());
        if message.method() == Some(method::INITIALIZE) && !self.by_connection.contains_key(connection) {
            connection.clone_into(&mut self.last);
        }
        self.by_connection.entry(connection.to_owned()).or_insert_with(|| self.last.clone()).clone()
    }
}

pub(super) fn is_frame(line: &Value) -> bool {
    ["session_id", "server_label", "ts", "direction"].iter().all(|key| line.get(key).is_some())
}

pub(super) fn log(lines: &[&str]) -> ImportedTape {
    let frames = lines.iter().map(|line| serde_json::from_str::<SnoopFrame<'_>>(line));
    let first = lines.first().and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_default();
    let started = moment(&first["ts"]).unwrap_or_default();
    let is_pipe = first["transport"] != "http";
    let via = if is_pipe { Via::Stdio } else { Via::Http };
    let mut tape = ImportBuilder::new(first["server_label"].as_str().unwrap_or("unknown"), via, Timestamp(started));
    let mut sessions = SnoopSessions::default();
    for (place, frame) in frames.enumerate() {
        match frame {
            Ok(frame) => frame.add_to(&mut tape, started, &mut sessions),
            Err(error) => tape.left.push(format!("line {}: {error}", place + 1)),
        }
    }
    tape.finish("mcpsnoop")
}

impl SnoopFrame<'_> {
    fn add_to(&self, tape: &mut ImportBuilder, started: u64, sessions: &mut SnoopSessions) {
        let at = moment(&self.ts).unwrap_or(started).saturating_sub(started);
        let raw = self.raw.map_or(self.text.as_str(), RawValue::get);
        match self.direction.as_str() {
            // The acceptance of a notification has a status, and no message.
            "c2s" | "s2c" if raw.is_empty() => {}
            "c2s" => {
                let session = sessions.of(&self.conn_id, raw);
                self.add_message(tape, Direction::ToServer, at, raw, &session);
            }
            "s2c" => {
                let session = sessions.of(&self.conn_id, "");
                self.add_message(tape, Direction::ToClient, at, raw, &session);
            }
            "stderr" => tape.mark(Mark::Log { at, source: "server".to_owned(), text: self.text.clone() }),
            _ => {
                if let Ok(Launched { command }) = serde_json::from_str(raw) {
                    tape.set_upstream(&shell_words::join(command));
                }
            }
        }
    }

    fn add_message(&self, tape: &mut ImportBuilder, direction: Direction, at: u64, raw: &str, session: &str) {
        if self.truncated {
            // Half of a message is none, and would be taken for what its sender sent.
            tape.left.push(format!("behind message {}: mcpsnoop has only the beginning of one", tape.count()));
            let text = format!("a message {}, of which this is the beginning: {raw}", direction.word());
            tape.mark(Mark::Log { at, source: "mcpsnoop".to_owned(), text });
            return tape.mark(Mark::Gap { at, messages: 1 });
        }
        let via = if self.transport == "http" { Via::Http } else { Via::Stdio };
        let facts = ImportedMessage {
            at,
            status: (self.status > 0).then_some(self.status),
            connection: &self.conn_id,
            session,
            headers: self.headers(),
        };
        tape.push_with(direction, via, raw.to_owned(), facts);
    }

    fn headers(&self) -> Option<HeaderMap> {
        let known = [(METHOD, &self.mcp_method), (NAME, &self.mcp_name), (VERSION, &self.mcp_protocol_version)];
        let mut headers: HeaderMap = known
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name, HeaderValue::from_str(value).ok()?)))
            .collect();
        for ParamHeader { name, value } in &self.mcp_param_headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        }
        (!headers.is_empty()).then_some(headers)
    }
}
