//! Recordings of others as tapes: HTTP Archives, cassettes of mcp-recorder, and the JSON Lines that we export.
//!
//! What a format does not say (whose process, which order of overlapping calls) is not made up. A message of which the format has the
//! text is byte for byte what it was; of one that it has as JSON only the spelling is ours.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;

use crate::envelope::{Direction, Envelope, ReplyTo, Seq, SessionField, SessionId, Via};
use crate::event::{Origin, Peer, Session, SessionState, Timestamp};
use crate::mcp::method;
use crate::message::{Kind, Message};
use crate::secret::Label;
use crate::sse::Splitter;
use crate::tape::format::{Mark, TapeHeader};

/// A recording of another program, as a tape.
#[derive(Debug)]
pub struct ImportedTape {
    /// The text of the tape.
    pub text: Vec<u8>,
    pub messages: usize,
    /// What it was.
    pub format: &'static str,
    /// What could not be taken over.
    pub left: Vec<String>,
}

/// Reads a recording; which format it has, its content says.
///
/// # Errors
/// Where it is none that is known, and why.
pub fn import(path: &Path, bytes: &[u8]) -> Result<ImportedTape, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Ok(file) = serde_json::from_str::<Value>(text) {
        if let Some(entries) = file["log"]["entries"].as_array() {
            return Ok(har(entries));
        }
        if let Some(interactions) = file["interactions"].as_array() {
            return Ok(cassette(&file, interactions));
        }
        if file.get("tapline").is_some() {
            return Err("it is a tape already".to_owned());
        }
    }
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match lines.first().and_then(|line| serde_json::from_str::<Value>(line).ok()) {
        Some(first) if first.get("dir").is_some() && first.get("message").is_some() => Ok(json_lines(path, &lines)),
        Some(first) if first.get("tapline").is_some() => Err("it is a tape already".to_owned()),
        _ => Err("it is neither an HTTP Archive, nor a cassette of mcp-recorder, nor what `tapline tape export --format jsonl` writes".to_owned()),
    }
}

/// A tape that is being put together.
struct ImportBuilder {
    envelopes: Vec<Envelope>,
    session: Session,
    /// Requests that wait for a reply, by direction and id.
    open: HashMap<(bool, String), usize>,
    left: Vec<String>,
}

impl ImportBuilder {
    fn new(upstream: &str, via: Via, started: Timestamp) -> Self {
        let session = Session {
            id: SessionId::random(),
            upstream_name: None,
            upstream: Label::of_text(upstream).to_string().into(),
            via,
            started,
            state: SessionState::Closed { reason: "imported".to_owned() },
            origin: Origin::Client,
            client: None,
            server: None,
            protocol: None,
            tape: None,
        };
        Self { envelopes: Vec::new(), session, open: HashMap::new(), left: Vec::new() }
    }

    fn push(&mut self, direction: Direction, via: Via, at: u64, status: Option<u16>, raw: impl Into<Bytes>) {
        let message = Message::new(raw);
        if message.kind() == Kind::Opaque {
            self.left.push(format!("message {}: not JSON-RPC, taken over as it is", self.envelopes.len() + 1));
        }
        let seq = Seq(self.envelopes.len() as u64 + 1);
        let mut envelope = Envelope { at, ..Envelope::forwarded(seq, self.session.id, direction, via, message) };
        envelope.transport.status = status;
        let key = |direction: Direction, id: &str| (direction == Direction::ToServer, id.to_owned());
        match envelope.kind() {
            Kind::Request => {
                let id = envelope.message.id().map(|id| id.token().to_owned()).unwrap_or_default();
                self.open.insert(key(direction, &id), self.envelopes.len());
            }
            Kind::Result | Kind::Error => {
                let id = envelope.message.id().map(|id| id.token().to_owned()).unwrap_or_default();
                if let Some(place) = self.open.remove(&key(direction.reverse(), &id)) {
                    let request = &self.envelopes[place];
                    envelope.reply_to = request.message.head().subject.clone().map(|subject| ReplyTo {
                        seq: request.seq,
                        took: at.saturating_sub(request.at),
                        subject,
                    });
                }
            }
            Kind::Notification | Kind::Batch | Kind::Opaque => {}
        }
        self.learn(&envelope);
        self.envelopes.push(envelope);
    }

    /// What a handshake says of both sides.
    fn learn(&mut self, envelope: &Envelope) {
        if envelope.method() != Some(method::INITIALIZE) {
            return;
        }
        let Some(value) = envelope.message.value() else { return };
        let peer = |value: &Value| serde_json::from_value::<Peer>(value.clone()).ok().map(std::sync::Arc::new);
        match envelope.direction {
            Direction::ToServer => self.session.client = peer(&value["params"]["clientInfo"]),
            Direction::ToClient => {
                self.session.server = peer(&value["result"]["serverInfo"]);
                self.session.protocol = value["result"]["protocolVersion"].as_str().map(str::to_owned);
            }
        }
    }

    fn finish(self, format: &'static str) -> ImportedTape {
        let mut text = serde_json::to_vec(&TapeHeader { redaction: Vec::new(), ..TapeHeader::of(&self.session) })
            .expect("all keys are strings");
        text.push(b'\n');
        for envelope in &self.envelopes {
            envelope.write_json(SessionField::Omitted, &mut text);
            text.push(b'\n');
        }
        let at = self.envelopes.last().map_or(0, |it| it.at);
        let end = Mark::End { at, reason: format!("imported from {format}") };
        serde_json::to_writer(&mut text, &end).expect("a vector takes everything");
        text.push(b'\n');
        ImportedTape { text, messages: self.envelopes.len(), format, left: self.left }
    }
}

/// Microseconds since the Unix epoch of a written time.
fn moment(written: &Value) -> Option<u64> {
    let at: jiff::Timestamp = written.as_str()?.parse().ok()?;
    u64::try_from(at.as_microsecond()).ok()
}

fn har(entries: &[Value]) -> ImportedTape {
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

fn cassette(file: &Value, interactions: &[Value]) -> ImportedTape {
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

fn json_lines(path: &Path, lines: &[&str]) -> ImportedTape {
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
        tape.push(direction, Via::Stdio, value["at"].as_u64().unwrap_or_default(), None, raw);
    }
    tape.finish("jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;
    use crate::tape::export::{TapeForm, export};

    fn demo() -> Tape {
        Tape::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/demo.tape.jsonl")).unwrap()
    }

    fn imported(text: &str) -> Tape {
        let imported = import(Path::new("x"), text.as_bytes()).unwrap();
        let tape = Tape::read_from(Path::new("x.tape.jsonl"), &imported.text[..]).unwrap();
        assert_eq!((tape.troubles(), tape.envelopes.len()), (Vec::new(), imported.messages));
        tape
    }

    fn calls(tape: &Tape) -> Vec<(Bytes, Option<Bytes>, Option<u64>)> {
        let requests =
            tape.envelopes.iter().filter(|it| it.kind() == Kind::Request && it.direction == Direction::ToServer);
        let reply = |seq| tape.envelopes.iter().find(|it| it.reply_to.as_ref().is_some_and(|to| to.seq == seq));
        let call = |it: &std::sync::Arc<Envelope>| {
            let reply = reply(it.seq);
            let took = reply.and_then(|it| it.reply_to.as_ref()).map(|it| it.took / 1000);
            (it.message.raw().clone(), reply.map(|it| it.message.raw().clone()), took)
        };
        requests.map(call).collect()
    }

    #[test]
    fn import_of_an_exported_har_has_every_call_byte_for_byte() {
        let (demo, back) = (demo(), imported(&export(&demo(), "demo", TapeForm::Har)));
        let bytes = |tape: &Tape| calls(tape).into_iter().map(|(sent, reply, _)| (sent, reply)).collect::<Vec<_>>();
        assert_eq!(bytes(&back), bytes(&demo));
        assert_eq!(back.header.peers.client, demo.header.peers.client);
        assert_eq!(back.header.peers.protocol.as_deref(), Some("2025-11-25"));
        assert_eq!(back.header.started.0 / 1000, demo.header.started.0 / 1000);
    }

    #[test]
    fn import_of_exported_json_lines_has_every_message() {
        let (demo, back) = (demo(), imported(&export(&demo(), "demo", TapeForm::Jsonl)));
        let facts = |tape: &Tape| {
            tape.envelopes.iter().map(|it| (it.direction, it.at, it.message.raw().clone())).collect::<Vec<_>>()
        };
        assert_eq!(facts(&back), facts(&demo));
    }

    #[test]
    fn import_of_a_har_of_a_browser_takes_streams_and_leaves_the_rest() {
        let entry = |post: &str, kind: &str, text: &str, encoding: &str| {
            serde_json::json!({"startedDateTime": "2026-11-28T10:00:00.000+01:00", "time": 12.5,
                "request": {"method": "POST", "url": "https://h/mcp?key=s3cret", "postData": {"text": post}},
                "response": {"status": 200, "content": {"mimeType": kind, "text": text, "encoding": encoding}}})
        };
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        let stream = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
        let har = serde_json::json!({"log": {"version": "1.2", "entries": [
            entry("a=b", "text/html", "<html>", ""),
            entry(call, "text/event-stream;charset=utf-8", stream, ""),
            entry(&call.replace('1', "2"), "application/json", "eyJqc29ucnBjIjoiMi4wIiwiaWQiOjIsInJlc3VsdCI6MX0=", "base64"),
        ]}});
        let tape = imported(&har.to_string());
        assert_eq!((tape.envelopes.len(), calls(&tape).iter().filter(|it| it.1.is_some()).count()), (5, 2));
        assert!(!tape.header.upstream.contains("s3cret"), "{}", tape.header.upstream);
        assert_eq!(calls(&tape)[0].2, Some(12));
    }

    #[test]
    fn import_of_a_cassette_of_mcp_recorder_has_its_calls() {
        let cassette = r#"{"version":"1.0","metadata":{"recorded_at":"2026-03-01T10:00:00+00:00","server_url":"http://127.0.0.1:9000","transport_type":"http"},
          "interactions":[
            {"type":"jsonrpc_request","request":{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"c","version":"1"}}},
             "response":{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","serverInfo":{"name":"s","version":"2"}}},"response_is_sse":true,"response_status":200,"latency_ms":7},
            {"type":"notification","request":{"jsonrpc":"2.0","method":"notifications/initialized"},"response":null,"response_status":202,"latency_ms":1},
            {"type":"lifecycle","request":null,"response":null,"http_method":"DELETE","http_path":"/mcp"}]}"#;
        let tape = imported(cassette);
        assert_eq!(
            (tape.envelopes.len(), tape.header.peers.server.as_ref().map(|it| it.text()).as_deref()),
            (3, Some("s 2"))
        );
        assert_eq!((calls(&tape)[0].2, tape.envelopes[1].transport.via), (Some(7), Via::Sse));
        assert_eq!(
            import(Path::new("x"), cassette.as_bytes()).unwrap().left,
            ["interaction 3: DELETE of HTTP, no message"]
        );
    }

    #[test]
    fn import_says_why_it_takes_nothing() {
        for (text, why) in [
            ("", "neither an HTTP Archive"),
            ("{}", "neither an HTTP Archive"),
            ("{\"tapline\":1}", "a tape already"),
            ("\u{0}", "neither"),
        ] {
            let said = import(Path::new("x"), text.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
