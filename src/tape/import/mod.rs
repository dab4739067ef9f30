//! Recordings of others as tapes: HTTP Archives, cassettes of mcp-recorder, transcripts of mcp-vcr, logs of mcpsnoop, exports of the MCP
//! Inspector, and the JSON Lines that we export.
//!
//! What a format does not say (whose process, which order of overlapping calls) is not made up. A message of which the format has the
//! text is byte for byte what it was; of one that it has as JSON only the spelling is ours.

mod builder;
mod har;
mod inspector;
mod json_lines;
mod mcp_recorder;
mod mcp_vcr;
mod mcpsnoop;
mod yaml;

use std::path::Path;

use serde_json::Value;

pub use self::builder::ImportedTape;

/// Why a tape is not imported, and what to do instead.
pub const IS_TAPE: &str = "it is a tape already, which every command reads as it is; copy it to where your tapes are (`tapline tape ls` lists them)";

/// Reads a recording; which format it has, its content says.
///
/// # Errors
/// Where it is none that is known, and why.
pub fn import(path: &Path, bytes: &[u8]) -> Result<ImportedTape, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8, so no recording that is known".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(imported) = serde_json::from_str(text).ok().and_then(|file| of_one_value(&file)) {
        return imported;
    }
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = lines.first().and_then(|line| serde_json::from_str::<Value>(line).ok());
    match first {
        Some(first) if first.get("tapline").is_some() => Err(IS_TAPE.to_owned()),
        Some(first) if mcpsnoop::is_frame(&first) => Ok(mcpsnoop::log(&lines)),
        Some(first) if mcp_vcr::is_line(&first) => Ok(mcp_vcr::lines(&lines)),
        Some(first) if first.get("dir").is_some() && first.get("message").is_some() => {
            Ok(json_lines::json_lines(path, &lines))
        }
        None if mcp_vcr::is_yaml(text) => mcp_vcr::transcript(text),
        _ => Err("it is no recording that is known: `tapline tape import --help` has the list".to_owned()),
    }
}

/// Reads a recording that is one JSON value.
fn of_one_value(file: &Value) -> Option<Result<ImportedTape, String>> {
    if let Some(entries) = file["log"]["entries"].as_array() {
        return Some(Ok(har::har(entries)));
    }
    if let Some(interactions) = file["interactions"].as_array() {
        return Some(Ok(mcp_recorder::cassette(file, interactions)));
    }
    if let Some(entries) = file.as_array() {
        return inspector::export(entries).map(Ok);
    }
    file.get("tapline").map(|_| Err(IS_TAPE.to_owned()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::{Direction, Envelope, Via};
    use crate::message::Kind;
    use crate::tape::Tape;
    use crate::tape::export::{ExportedTape, TapeForm, export};

    const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

    fn demo() -> Tape {
        Tape::read(Path::new(DEMO)).unwrap()
    }

    fn exported(path: &Path, form: TapeForm) -> String {
        let (tape, mut out) = (ExportedTape::read(path, &|_, _| true).unwrap().unwrap(), Vec::new());
        export(&tape, "demo", form, &|_, _| true, &mut out).unwrap();
        String::from_utf8(out).unwrap()
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
        let (demo, back) = (demo(), imported(&exported(Path::new(DEMO), TapeForm::Har)));
        let bytes = |tape: &Tape| calls(tape).into_iter().map(|(sent, reply, _)| (sent, reply)).collect::<Vec<_>>();
        assert_eq!(bytes(&back), bytes(&demo));
        assert_eq!(back.header.peers.client, demo.header.peers.client);
        assert_eq!(back.header.peers.protocol.as_deref(), Some("2025-11-25"));
        assert_eq!(back.header.started.0 / 1000, demo.header.started.0 / 1000);
    }

    #[test]
    fn import_of_exported_json_lines_has_every_message() {
        let (demo, back) = (demo(), imported(&exported(Path::new(DEMO), TapeForm::Jsonl)));
        let facts = |tape: &Tape| {
            tape.envelopes.iter().map(|it| (it.direction, it.at, it.message.raw().clone())).collect::<Vec<_>>()
        };
        assert_eq!(facts(&back), facts(&demo));
    }

    /// Two clients with the same ids at the same time, as another program recorded them.
    fn two_sessions() -> Tape {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/mcpsnoop-http.jsonl");
        imported(&std::fs::read_to_string(path).unwrap())
    }

    #[test]
    fn sessions_of_an_import_are_told_apart_and_exported_so() {
        let (tape, file) = (two_sessions(), tempfile::NamedTempFile::new().unwrap());
        let mut lines = serde_json::to_vec(&tape.header).unwrap();
        for envelope in &tape.envelopes {
            lines.push(b'\n');
            envelope.write_json(tape.header.session_field(envelope.session), &mut lines);
        }
        std::fs::write(&file, lines).unwrap();
        let sessions = |tape: &Tape| {
            let nth = |it: &Envelope| usize::from(it.session != tape.header.session);
            let calls =
                tape.envelopes.iter().filter(|it| it.direction == Direction::ToServer && it.kind() == Kind::Request);
            calls.map(|it| (nth(it), it.method().unwrap_or_default().to_owned())).collect::<Vec<_>>()
        };
        let expected = sessions(&tape);
        for nth in 0..2 {
            let begun = expected.iter().filter(|(session, method)| *session == nth && method == "initialize");
            assert_eq!(begun.count(), 1, "{expected:?}");
        }
        for form in [TapeForm::Jsonl, TapeForm::Har] {
            assert_eq!(sessions(&imported(&exported(file.path(), form))), expected, "{form:?}");
        }
    }

    #[test]
    fn sessions_of_an_archive_are_those_of_its_headers_and_end_where_they_were_deleted() {
        let entry = |at: &str, method: &str, id: (&str, &str), post: &str, text: &str| {
            let side = |id: &str| {
                if id.is_empty() {
                    Vec::new()
                } else {
                    vec![serde_json::json!({"name": "Mcp-Session-Id", "value": id})]
                }
            };
            serde_json::json!({"startedDateTime": format!("2026-11-28T10:00:{at}.000Z"), "time": 1.0,
                "request": {"method": method, "url": "https://h/mcp", "headers": side(id.0), "postData": {"text": post}},
                "response": {"status": 200, "headers": side(id.1), "content": {"mimeType": "application/json", "text": text}}})
        };
        let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#;
        let (call, result) =
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        let har = serde_json::json!({"log": {"entries": [
            entry("01", "POST", ("", "a"), initialize, ""),
            entry("02", "POST", ("", "b"), initialize, ""),
            entry("03", "POST", ("b", ""), call, result),
            entry("04", "DELETE", ("b", ""), "", ""),
            entry("05", "POST", ("a", ""), call, result),
        ]}});
        let imported = import(Path::new("x"), har.to_string().as_bytes()).unwrap();
        let tape = Tape::read_from(Path::new("x"), &imported.text[..]).unwrap();
        let own: Vec<_> = tape.envelopes.iter().map(|it| it.session == tape.header.session).collect();
        assert_eq!(own, [true, false, false, false, true, true]);
        let other = tape.envelopes[1].session.0;
        assert!(
            String::from_utf8_lossy(&imported.text)
                .contains(&format!(r#""reason":"the client ended it","session":"{other}""#))
        );
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
            ("", "no recording that is known"),
            ("{}", "no recording that is known"),
            ("{\"tapline\":1}", "a tape already"),
            ("\u{0}", "no recording that is known"),
        ] {
            let said = import(Path::new("x"), text.as_bytes()).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
