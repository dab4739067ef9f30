use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use uuid::Uuid;

use super::report::LintedTape;
use super::*;
use crate::envelope::{Direction, Envelope, Outcome, Seq, SessionId, Transport, Via};
use crate::event::{Finding, LintLevel, Origin, Session, SessionState, Timestamp};
use crate::message::Message;

/// A session, written a line a message: `>` to the server, `<` to the client.
struct Script {
    session: Session,
    via: Via,
    step: u64,
    headers: Option<Arc<HeaderMap>>,
    envelopes: Vec<Arc<Envelope>>,
}

fn script() -> Script {
    let session = Session {
        id: SessionId(Uuid::nil()),
        upstream_name: None,
        upstream: "server".into(),
        via: Via::Stdio,
        started: Timestamp(0),
        state: SessionState::Active,
        origin: Origin::Client,
        client: None,
        server: None,
        protocol: None,
        tape: None,
    };
    Script { session, via: Via::Stdio, step: 1_000, headers: None, envelopes: Vec::new() }
}

impl Script {
    fn http() -> Self {
        let mut script = script();
        script.session.via = Via::Http;
        script.via = Via::Http;
        script.with("accept: application/json, text/event-stream")
    }

    /// What the next messages come with.
    fn with(mut self, headers: &str) -> Self {
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        self.headers = Some(Arc::new(headers.lines().map(header).collect()));
        self
    }

    /// Microseconds between messages from now on.
    fn every(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    fn put(mut self, direction: Direction, text: impl AsRef<[u8]>) -> Self {
        let seq = self.envelopes.len() as u64 + 1;
        let message = Message::new(text.as_ref().to_vec());
        let at = self.envelopes.last().map_or(0, |last| last.at) + self.step;
        let transport = Transport { headers: self.headers.clone(), status: Some(200), ..Transport::new(self.via) };
        let envelope = Envelope::forwarded(Seq(seq), self.session.id, direction, self.via, message);
        self.envelopes.push(Arc::new(Envelope { at, transport, ..envelope }));
        self
    }

    fn c(self, text: &str) -> Self {
        self.put(Direction::ToServer, jsonrpc(text))
    }

    fn s(self, text: &str) -> Self {
        self.put(Direction::ToClient, jsonrpc(text))
    }

    /// The handshake up to the reply, with these capabilities of the server's and the client's.
    fn agreed_with(self, revision: &str, server: &str, client: &str) -> Self {
        let hello = format!(
            r#"{{"id":0,"method":"initialize","params":{{"protocolVersion":"{revision}","capabilities":{client},"clientInfo":{{"name":"c","version":"1"}}}}}}"#
        );
        let reply = format!(
            r#"{{"id":0,"result":{{"protocolVersion":"{revision}","capabilities":{server},"serverInfo":{{"name":"s","version":"1"}}}}}}"#
        );
        self.c(&hello).s(&reply)
    }

    fn begun_with(self, revision: &str, server: &str, client: &str) -> Self {
        self.agreed_with(revision, server, client).c(r#"{"method":"notifications/initialized"}"#)
    }

    fn begun(self) -> Self {
        self.begun_with("2025-11-25", r#"{"tools":{},"resources":{},"prompts":{},"logging":{}}"#, "{}")
    }

    fn codes(&self) -> Vec<(String, u64)> {
        self.findings().into_iter().map(|finding| (finding.code, finding.seq.0)).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        let mut lint = SessionLint::new(&self.session);
        let mut found: Vec<_> = self.envelopes.iter().flat_map(|envelope| lint.judge(envelope)).collect();
        found.extend(lint.finish());
        found.sort_by_key(|finding| finding.seq);
        found
    }

    /// Exactly these, by code and number of the message.
    #[track_caller]
    fn has(&self, expected: &[(&str, u64)]) {
        let expected: Vec<_> = expected.iter().map(|(code, seq)| ((*code).to_owned(), *seq)).collect();
        assert_eq!(self.codes(), expected, "{:#?}", self.findings());
    }
}

/// `"jsonrpc"` is put in front, where it is not there.
fn jsonrpc(text: &str) -> String {
    match text.strip_prefix('{') {
        Some(rest) if !text.contains("jsonrpc") => format!(r#"{{"jsonrpc":"2.0",{rest}"#),
        _ => text.to_owned(),
    }
}

const PING: &str = r#"{"id":1,"method":"ping"}"#;
const PONG: &str = r#"{"id":1,"result":{}}"#;

#[test]
fn session_in_order_has_no_findings() {
    script()
        .begun()
        .c(r#"{"id":1,"method":"tools/list"}"#)
        .s(r#"{"id":1,"result":{"tools":[{"name":"a","inputSchema":{"type":"object"}}]}}"#)
        .c(r#"{"id":2,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":2}}}"#)
        .s(r#"{"method":"notifications/progress","params":{"progressToken":2,"progress":1}}"#)
        .s(r#"{"method":"notifications/progress","params":{"progressToken":2,"progress":2}}"#)
        .s(r#"{"method":"notifications/message","params":{"level":"info","data":1}}"#)
        .s(r#"{"id":"a","method":"ping"}"#)
        .c(r#"{"id":"a","result":{}}"#)
        .s(r#"{"id":2,"result":{"content":[]}}"#)
        .has(&[]);
}

#[test]
fn form_is_that_of_json_rpc() {
    script().put(Direction::ToClient, "Server ready").begun().has(&[("stdout-noise", 1)]);
    script().begun().put(Direction::ToServer, "{").has(&[("not-json-rpc", 4)]);
    script().begun().c(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#).s(PONG).has(&[("json-rpc-form", 4)]);
    script().begun().c(PING).s(r#"{"id":1,"result":{},"extra":1}"#).has(&[("json-rpc-form", 5)]);
    script().begun().c(PING).s(r#"{"id":1,"result":{},"error":{"code":1,"message":"x"}}"#).has(&[("json-rpc-form", 5)]);
    script().begun().c(r#"{"id":1.5,"method":"ping"}"#).has(&[("id-form", 4)]);
    script().begun().c(r#"{"id":9007199254740993,"method":"ping"}"#).has(&[("id-too-large", 4)]);
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#;
    script().begun().put(Direction::ToServer, batch).s(PONG).has(&[("batch", 4)]);
    script().begun_with("2025-03-26", "{}", "{}").put(Direction::ToServer, batch).s(PONG).has(&[]);
}

#[test]
fn replies_answer_requests_once() {
    script().begun().s(PONG).has(&[("reply-without-request", 4)]);
    script().begun().c(PING).s(PONG).s(PONG).has(&[("reply-twice", 6)]);
    script().begun().c(PING).s(r#"{"id":"1","result":{}}"#).has(&[("reply-id-other", 5)]);
    script().begun().s(r#"{"result":null}"#).has(&[("reply-without-id", 4)]);
    let cancelled = script().begun().c(PING).c(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    cancelled.every(2_000_000).s(PONG).has(&[("reply-after-cancel", 6)]);
    script().begun().c(PING).c(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#).s(PONG).has(&[]);
    script().begun().c(PING).every(40_000_000).c(r#"{"id":2,"method":"tools/list"}"#).has(&[]);
    let list = r#"{"id":1,"method":"tools/list"}"#;
    script().begun().c(list).every(40_000_000).c(r#"{"id":2,"method":"ping"}"#).has(&[("never-answered", 4)]);
}

#[test]
fn ids_are_used_once() {
    script().begun().c(PING).s(PONG).c(PING).s(PONG).has(&[("id-used-twice", 6)]);
    script().begun().c(PING).s(PONG).s(PING).c(PONG).has(&[]);
    // A new handshake counts anew.
    script().begun().c(PING).s(PONG).begun().c(PING).s(PONG).has(&[("id-used-twice", 6)][1..]);
}

#[test]
fn ids_begin_again_where_another_process_goes_on() {
    let script = script().begun().s(PING).c(PONG).s(PING).c(PONG);
    let judged = |misses: bool| {
        let mut lint = SessionLint::new(&script.session);
        let (before, after) = script.envelopes.split_at(script.envelopes.len() - 2);
        let mut found: Vec<_> = before.iter().flat_map(|envelope| lint.judge(envelope)).collect();
        if misses {
            lint.miss();
        }
        found.extend(after.iter().flat_map(|envelope| lint.judge(envelope)));
        found.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!((judged(false), judged(true)), (vec!["id-used-twice".to_owned()], Vec::new()));
}

#[test]
fn handshake_comes_first() {
    let list = r#"{"id":5,"method":"tools/list"}"#;
    let agreed = || script().agreed_with("2025-11-25", r#"{"tools":{}}"#, "{}");
    script().c(list).c(r#"{"id":6,"method":"tools/list"}"#).has(&[("before-initialize", 1)]);
    script().c(r#"{"id":5,"method":"server/discover"}"#).c(PING).has(&[]);
    agreed().s(r#"{"id":1,"method":"roots/list"}"#).has(&[("before-initialized", 3), ("capability-undeclared", 3)]);
    agreed().c(list).has(&[("never-initialized", 2)]);
    let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":0}}"#;
    let mut begun = agreed();
    begun.envelopes.truncate(1);
    begun.c(cancel).has(&[("cancel-initialize", 2)]);
}

#[test]
fn session_that_began_elsewhere_is_given_the_doubt() {
    let mut resumed = script();
    resumed.session.protocol = Some("2025-06-18".to_owned());
    resumed
        .c(r#"{"id":5,"method":"tools/list"}"#)
        .s(r#"{"id":4,"result":{}}"#)
        .s(r#"{"method":"notifications/progress","params":{"progressToken":4,"progress":1}}"#)
        .has(&[]);
}

#[test]
fn progress_goes_up_and_ends() {
    let call = r#"{"id":1,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":"t"}}}"#;
    let progress = |value: &str| {
        format!(r#"{{"method":"notifications/progress","params":{{"progressToken":"t","progress":{value}}}}}"#)
    };
    script().begun().s(&progress("1")).has(&[("progress-unknown", 4)]);
    script()
        .begun()
        .c(call)
        .s(&progress("2"))
        .s(&progress("1"))
        .s(&progress("1"))
        .has(&[("progress-backwards", 6), ("progress-backwards", 7)]);
    script()
        .begun()
        .c(call)
        .s(r#"{"id":1,"result":{"content":[]}}"#)
        .s(&progress("3"))
        .has(&[("progress-after-end", 6)]);
    let task = r#"{"id":1,"result":{"task":{"taskId":"1"}}}"#;
    script().begun().c(call).s(task).s(&progress("3")).has(&[]);
    script().begun().c(call).c(&call.replace(":1,", ":2,")).has(&[("progress-token-twice", 5)]);
}

#[test]
fn capabilities_are_declared_and_kept() {
    let bare = || script().begun_with("2025-11-25", "{}", "{}");
    bare().c(r#"{"id":1,"method":"tools/list"}"#).has(&[("capability-undeclared", 4)]);
    bare()
        .s(r#"{"method":"notifications/message","params":{"level":"info","data":1}}"#)
        .has(&[("capability-own-undeclared", 4)]);
    bare().s(r#"{"method":"notifications/tools/list_changed"}"#).has(&[("list-changed-undeclared", 4)]);
    bare()
        .s(r#"{"id":1,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#)
        .has(&[("capability-undeclared", 4)]);
    script()
        .begun()
        .c(r#"{"id":1,"method":"prompts/list"}"#)
        .s(r#"{"id":1,"error":{"code":-32601,"message":"Method not found"}}"#)
        .has(&[("capability-refused", 5)]);
    let completion = r#"{"id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}}"#;
    script().begun_with("2024-11-05", "{}", "{}").c(completion).has(&[]);
    script().begun_with("2025-03-26", "{}", "{}").c(completion).has(&[("capability-undeclared", 4)]);
}

#[test]
fn refusals_have_the_codes_of_their_revision() {
    let refused = |revision: &str, request: &str, code: i64, text: &str| {
        let server = r#"{"tools":{},"resources":{},"prompts":{}}"#;
        let error = format!(r#"{{"id":1,"error":{{"code":{code},"message":"{text}"}}}}"#);
        script().begun_with(revision, server, "{}").c(request).s(&error)
    };
    let read = r#"{"id":1,"method":"resources/read","params":{"uri":"x:y"}}"#;
    refused("2025-06-18", read, -32602, "Resource x:y not found").has(&[("wrong-code-resource", 5)]);
    refused("2025-06-18", read, -32002, "Resource x:y not found").has(&[]);
    refused("2025-06-18", read, -32603, "disk on fire").has(&[]);
    let get = r#"{"id":1,"method":"prompts/get","params":{"name":"p"}}"#;
    refused("2025-06-18", get, 0, "Unknown prompt: p").has(&[("wrong-code-prompt", 5)]);
    let call = r#"{"id":1,"method":"tools/call","params":{"name":"t"}}"#;
    refused("2025-06-18", call, -32603, "Unknown tool: t").has(&[("wrong-code-tool", 5)]);
    refused("2025-06-18", call, -32602, "Unknown tool: t").has(&[]);
    refused("2025-06-18", call, -32603, "user 7 not found").has(&[]);
    refused("2025-06-18", r#"{"id":1,"method":"foo/bar"}"#, -32602, "Unknown method foo/bar")
        .has(&[("wrong-code-method", 5)]);
    let list = r#"{"id":1,"method":"prompts/list"}"#;
    script()
        .begun_with("2025-06-18", "{}", "{}")
        .c(list)
        .s(r#"{"id":1,"error":{"code":-32602,"message":"no"}}"#)
        .has(&[("capability-undeclared", 4), ("wrong-code-method", 5)]);
    let failed = r#"{"id":1,"result":{"content":[{"type":"text","text":"Unknown tool: t"}],"isError":true}}"#;
    script().begun().c(call).s(failed).has(&[("wrong-code-tool", 5)]);
}

#[test]
fn lists_end() {
    let page = |id: u64, cursor: &str, next: &str| {
        let asked = if cursor.is_empty() { "{}".to_owned() } else { format!(r#"{{"cursor":"{cursor}"}}"#) };
        let request = format!(r#"{{"id":{id},"method":"tools/list","params":{asked}}}"#);
        let next = if next.is_empty() { String::new() } else { format!(r#","nextCursor":"{next}""#) };
        (request, format!(r#"{{"id":{id},"result":{{"tools":[]{next}}}}}"#))
    };
    let play = |pages: &[(String, String)]| {
        pages.iter().fold(script().begun(), |script, (request, reply)| script.c(request).s(reply))
    };
    play(&[page(1, "", "a"), page(2, "a", "b"), page(3, "b", "a")]).has(&[("list-cursor-twice", 9)]);
    play(&[page(1, "", "a"), page(2, "a", "a")]).has(&[("list-cursor-twice", 7)]);
    // Two that list at once.
    play(&[page(1, "", "a"), page(2, "", "a"), page(3, "a", "b"), page(4, "a", "b"), page(5, "b", "")]).has(&[]);
    let endless: Vec<_> = (1..300).map(|at| page(at, &(at - 1).to_string(), &at.to_string())).collect();
    let found = play(&endless).codes();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "list-endless");
}

#[test]
fn headers_say_what_the_body_says() {
    let base = "accept: application/json, text/event-stream";
    let begun = || Script::http().with(&format!("{base}\nmcp-session-id: a")).begun();
    let call = r#"{"id":1,"method":"tools/list"}"#;
    let with = |headers: &str| {
        begun().with(&format!("{base}\n{headers}")).c(call).codes().into_iter().map(|it| it.0).collect::<Vec<_>>()
    };
    // The handshake's own notification lacks the revision.
    assert_eq!(with("mcp-session-id: a\nmcp-protocol-version: 2025-11-25")[1..], [""; 0]);
    assert_eq!(with("mcp-session-id: a")[1..], ["version-header-missing"]);
    assert_eq!(with("mcp-session-id: a\nmcp-protocol-version: 2025-06-18")[1..], ["version-header-other"]);
    assert_eq!(with("mcp-protocol-version: 2025-11-25")[1..], ["session-id-missing"]);
    assert_eq!(with("mcp-session-id: b\nmcp-protocol-version: 2025-11-25")[1..], ["session-id-other"]);
    Script::http().with("accept: application/json").c(PING).has(&[("accept-header", 1)]);
    let version = format!("{base}\nmcp-session-id: a\nmcp-protocol-version: 2025-11-25");
    let other = begun().with(&version).c(call).with("mcp-session-id: b").s(r#"{"id":1,"result":{"tools":[]}}"#);
    assert_eq!(other.codes()[1..], [("session-id-unasked".to_owned(), 5)]);
    Script::http()
        .with(&format!("{base}\nmcp-session-id: a b"))
        .begun_with("2025-03-26", "{}", "{}")
        .has(&[("session-id-form", 2)]);
}

#[test]
fn modern_headers_repeat_the_body() {
    let call = r#"{"id":1,"method":"tools/call","params":{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let with = |headers: &str| {
        let accept = "accept: application/json, text/event-stream";
        Script::http().with(format!("{accept}\n{headers}").trim_end()).c(call).codes()
    };
    let codes = |headers: &str| with(headers).into_iter().map(|it| it.0).collect::<Vec<_>>();
    let version = "mcp-protocol-version: 2026-07-28";
    assert_eq!(codes(&format!("{version}\nmcp-method: tools/call\nmcp-name: a")), [""; 0]);
    assert_eq!(codes(version), ["mirror-header-missing", "mirror-header-missing"]);
    assert_eq!(codes(&format!("{version}\nmcp-method: ping\nmcp-name: a")), ["mirror-header-other"]);
    assert_eq!(codes("mcp-method: tools/call\nmcp-name: a"), ["version-header-missing"]);
    script()
        .c(call)
        .s(r#"{"id":"q","method":"roots/list"}"#)
        .has(&[("server-request", 2), ("capability-undeclared", 2)]);
}

const LIST: &str = r#"{"id":1,"method":"tools/list"}"#;

/// A session in which the server lists these tools.
fn listing(tools: &str) -> Script {
    script().begun().c(LIST).s(&format!(r#"{{"id":1,"result":{{"tools":[{tools}]}}}}"#))
}

fn tool(members: &str) -> String {
    format!(r#"{{"name":"t","inputSchema":{{"type":"object"}}{members}}}"#)
}

#[test]
fn tools_have_schemas_that_hold() {
    listing(&tool("")).has(&[]);
    listing(&format!("{},{}", tool(""), tool(""))).has(&[("tool-name-twice", 5)]);
    listing(r#"{"name":"t"}"#).has(&[("tool-input-schema", 5), ("protocol-shape", 5)]);
    listing(r#"{"name":"t","inputSchema":{}}"#).has(&[("tool-input-schema", 5), ("protocol-shape", 5)]);
    let output = |schema: &str| listing(&tool(&format!(r#","outputSchema":{schema}"#)));
    output(r#"{"type":"objekt"}"#).has(&[("schema-broken", 5)]);
    output(r#"{"type":"object","properties":{"a":{"$ref":"https://example.com/a"}}}"#).has(&[("schema-remote", 5)]);
    output(r##"{"type":"object","properties":{"a":{"$ref":"#"}}}"##).has(&[("schema-recursive", 5)]);
    output(r#"{"type":"object","properties":{"a":{"pattern":"a\\-b"}}}"#).has(&[("schema-pattern", 5)]);
}

#[test]
fn calls_fit_the_schemas_that_were_listed() {
    let schema = r#"{"type":"object","properties":{"n":{"type":"number"}},"required":["n"]}"#;
    let tool = format!(r#"{{"name":"t","inputSchema":{schema},"outputSchema":{schema}}}"#);
    let call = |arguments: &str| {
        let call = format!(r#"{{"id":2,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#);
        listing(&tool).c(&call)
    };
    let result = |text: &str| call(r#"{"n":1}"#).s(&format!(r#"{{"id":2,"result":{{"content":[]{text}}}}}"#));
    call(r#"{"n":"x"}"#).has(&[("tool-arguments", 6)]);
    call("{}").has(&[("tool-arguments", 6)]);
    result(r#","structuredContent":{"n":2}"#).has(&[]);
    result(r#","structuredContent":{"n":"x"}"#).has(&[("tool-result", 7)]);
    result("").has(&[("tool-result-missing", 7)]);
    result(r#","isError":true"#).has(&[]);
    let other = r#"{"id":2,"method":"tools/call","params":{"name":"other"}}"#;
    listing(&tool).c(other).has(&[("cost-unused-tools", 5), ("tool-not-listed", 6)]);
    // What changed may have it by now.
    let changed = listing(&tool).s(r#"{"method":"notifications/tools/list_changed"}"#).c(other);
    changed.has(&[("cost-unused-tools", 5), ("list-changed-undeclared", 6)]);
    let unknown = r#"{"id":2,"error":{"code":-32603,"message":"no such tool"}}"#;
    listing(&tool).c(other).s(unknown).has(&[("cost-unused-tools", 5), ("tool-not-listed", 6), ("wrong-code-tool", 7)]);
}

#[test]
fn answers_fit_what_was_asked() {
    let asked = || {
        let begun = script().begun_with("2025-06-18", "{}", r#"{"elicitation":{}}"#);
        begun.s(r#"{"id":1,"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{"n":{"type":"number"}},"required":["n"]}}}"#)
    };
    asked().c(r#"{"id":1,"result":{"action":"accept","content":{"n":1}}}"#).has(&[]);
    asked().c(r#"{"id":1,"result":{"action":"decline"}}"#).has(&[]);
    asked().c(r#"{"id":1,"result":{"action":"accept","content":{"n":"x"}}}"#).has(&[("elicitation-answer", 5)]);
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}}"#;
    let call =
        |id: u64, more: &str| format!(r#"{{"id":{id},"method":"tools/call","params":{{"name":"t",{meta}{more}}}}}"#);
    let ask = r#"{"id":1,"result":{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","required":["n"]}}}}}}"#;
    let again = call(2, r#","inputResponses":{"k":{"action":"accept","content":{}}}"#);
    script().c(&call(1, "")).s(ask).c(&again).has(&[("elicitation-answer", 3)]);
}

#[test]
fn cost_is_told_where_it_is_much() {
    let words = "word ".repeat(500);
    listing(&tool(&format!(r#","description":"{words}""#))).has(&[("cost-description", 5)]);
    let many: Vec<_> = (0..50)
        .map(|at| tool(&format!(r#","description":"{}""#, "x".repeat(1_900))).replace("\"t\"", &format!("\"t{at}\"")))
        .collect();
    listing(&many.join(",")).has(&[("cost-tool-list", 5)]);
}

#[test]
fn values_have_the_shape_of_their_revision() {
    let call = r#"{"id":1,"method":"tools/call","params":{"name":"t"}}"#;
    script().begun().c(call).s(r#"{"id":1,"result":{}}"#).has(&[("protocol-shape", 5)]);
    script().begun().c(r#"{"id":1,"method":"tools/call","params":{"name":7}}"#).has(&[("protocol-shape", 4)]);
    script().begun().c(call).s(r#"{"id":1,"error":{"code":"x","message":"m"}}"#).has(&[("protocol-shape", 5)]);
    let modern = r#"{"id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    script().c(modern).s(r#"{"id":1,"result":{"content":[]}}"#).has(&[("result-members", 2)]);
    // A revision of the future is not judged.
    let later = modern.replace("2026-07-28", "2031-01-01");
    script().c(&later).s(r#"{"id":1,"result":{"done":true}}"#).has(&[]);
}

#[test]
fn statuses_and_time_are_told_for_what_clients_make_of_them() {
    let error = r#"{"id":null,"error":{"code":-32700,"message":"Parse error"}}"#;
    script().begun().c(LIST).s(error).has(&[("error-without-id", 5)]);
    script().begun().s(error).has(&[]);
    script().begun().c(LIST).every(61_000_000).s(r#"{"id":1,"result":{"tools":[]}}"#).has(&[("slow-reply", 5)]);
    let mut limited = Script::http().c(PING).s("slow down");
    Arc::make_mut(limited.envelopes.last_mut().unwrap()).transport.status = Some(429);
    limited.has(&[("http-status", 2)]);
}

#[test]
fn large_messages_are_judged_by_their_heads() {
    let large = format!(r#"{{"id":1,"result":{{"tools":[],"x":"{}"}}}}"#, "x".repeat(1 << 20));
    script().begun().c(LIST).s(&large).s(&large).has(&[("reply-twice", 6)]);
}

#[test]
fn clients_are_told_with_what_they_do() {
    let script = listing(r#"{"name":"t"}"#);
    let lint = |client: Option<&str>| {
        let mut lint = SessionLint::new(&script.session).seen_by(client);
        script.envelopes.iter().flat_map(|envelope| lint.judge(envelope)).next().unwrap()
    };
    let all = lint(None);
    assert_eq!(all.clients.len(), client_names().len(), "{all:?}");
    let one = lint(Some("typescript-1"));
    assert_eq!(
        one.clients,
        ["@modelcontextprotocol/sdk 1.32.2 loses the whole list: listTools() throws a ZodError (measured 2026-11-28)"]
    );
    assert_eq!(lint(Some("rmcp")).level, LintLevel::Error);
    // The one that is connected says who it is.
    let hello = r#"{"id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"rmcp","version":"3"}}}"#;
    let noise = self::script().c(hello).put(Direction::ToClient, "ready").findings();
    assert_eq!(noise[0].clients.len(), 1, "{noise:?}");
}

#[test]
fn lints_have_a_test_each() {
    let tests = include_str!("tests.rs");
    let untested: Vec<_> = LINTS.iter().filter(|rule| !tests.contains(&format!("\"{}\"", rule.code))).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn tapline_is_nobodys_fault() {
    let mut script = script().begun().c(PING).s(PONG).s(PONG);
    let last = Arc::make_mut(script.envelopes.last_mut().unwrap());
    last.outcome = Outcome::Withheld;
    script.has(&[]);
    let mut edited = self::script().begun().c(PING).s("{}");
    let last = Arc::make_mut(edited.envelopes.last_mut().unwrap());
    last.original = Some(Message::new(jsonrpc(PONG)));
    edited.has(&[]);
}

fn linted() -> LintedTape {
    let script = script().put(Direction::ToClient, "Server <ready> \u{1b}[2J").begun().c(PING).s(PONG).s(PONG);
    let lines = BTreeMap::from([(1, 2), (7, 9)]);
    LintedTape { path: "a b.tape.jsonl".to_owned(), lines, messages: 7, found: script.findings() }
}

fn policy(level: LintLevel, allow: &[&str]) -> LintPolicy {
    LintPolicy { level, allow: allow.iter().map(|code| (*code).to_owned()).collect() }
}

#[test]
fn text_report_says_where_why_and_what_to_do() {
    let all = report::text(&[linted()], &policy(LintLevel::Warn, &[]));
    let lines: Vec<_> = all.lines().collect();
    assert!(
        lines[0].starts_with("a b.tape.jsonl:2: error[stdout-noise] #1: not a JSON object: `Server <ready> "),
        "{all}"
    );
    assert_eq!(lines[1], "    by the server; basic/transports#stdio of 2025-11-25");
    assert!(
        lines.contains(&"    hint: write logs to stderr: stdout carries messages only") && !all.contains('\u{1b}'),
        "{all}"
    );
    assert!(all.ends_with("2 findings in 7 messages\n"), "{all}");
    let few = report::text(&[linted()], &policy(LintLevel::Error, &[]));
    assert!(few.ends_with("1 finding in 7 messages; 1 below `error`: `--level warn` shows them\n"), "{few}");
    let none = report::text(&[linted()], &policy(LintLevel::Note, &["stdout-noise", "reply-twice"]));
    assert_eq!(none, "0 findings in 7 messages\n");
}

#[test]
fn sarif_report_names_rules_places_and_levels() {
    let sarif: serde_json::Value =
        serde_json::from_str(&report::sarif(&[linted()], &policy(LintLevel::Note, &[]))).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!((sarif["version"].as_str(), run["tool"]["driver"]["name"].as_str()), (Some("2.1.0"), Some("tapline")));
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.tape.jsonl");
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().contains('\u{1b}'));
    }
    assert_eq!(results[0]["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
}

#[test]
fn junit_report_has_a_case_a_finding() {
    let junit = report::junit(&[linted()], &policy(LintLevel::Note, &[]));
    assert!(
        junit.contains(r#"<testsuite name="a b.tape.jsonl" tests="2" skipped="0" errors="0" failures="2">"#),
        "{junit}"
    );
    assert!(junit.contains(r#"classname="server.stdout-noise""#) && !junit.contains('\u{1b}'), "{junit}");
    let clean = LintedTape { found: Vec::new(), ..linted() };
    assert!(report::junit(&[clean], &policy(LintLevel::Note, &[])).contains(r#"<testcase name="lint"/>"#));
}

#[test]
fn json_report_is_a_line_a_finding() {
    let json = report::json_lines(&[linted()], &policy(LintLevel::Note, &[]));
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["code"].as_str(), first["seq"].as_u64(), first["line"].as_u64()),
        (Some("stdout-noise"), Some(1), Some(2))
    );
    assert_eq!(json.lines().count(), 2);
}

#[test]
fn unknown_codes_are_refused_with_the_nearest() {
    assert_eq!(policy::check_code("stdout-noise"), Ok(()));
    assert_eq!(
        policy::check_code("stdout-nose").unwrap_err(),
        "there is no lint `stdout-nose`; did you mean `stdout-noise`?"
    );
}

/// A message, or what a peer may send in place of one.
fn anything() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let words = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"id\"",
        "\"method\"",
        "\"params\"",
        "\"result\"",
        "\"error\"",
        "\"_meta\"",
        "\"jsonrpc\"",
        "\"2.0\"",
        "1",
        "-7",
        "1e999",
        "null",
        "\"tools/list\"",
        "\"tools/call\"",
        "\"initialize\"",
        "\"notifications/progress\"",
        "\"notifications/cancelled\"",
        "\"progressToken\"",
        "\"requestId\"",
        "\"tools\"",
        "\"inputSchema\"",
        "\"outputSchema\"",
        "\"$ref\"",
        "\"#\"",
        "\"capabilities\"",
        "\"code\"",
        "-32601",
        "\"name\"",
        "\"content\"",
        "\"structuredContent\"",
        "\"io.modelcontextprotocol/protocolVersion\"",
        "\"2026-07-28\"",
        "\u{feff}",
        "\n",
    ]);
    let noise = prop::collection::vec(words, 0..40).prop_map(|words| words.concat().into_bytes());
    let shaped = (
        prop::sample::select(vec!["tools/list", "tools/call", "initialize", "elicitation/create", "ping"]),
        any::<u8>(),
        ".*",
    )
        .prop_map(|(method, id, text)| {
            let text = serde_json::Value::from(text);
            format!(
                r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{{"name":{text},"arguments":{text}}}}}"#,
                id % 4
            )
            .into_bytes()
        });
    let reply = (any::<u8>(), ".*").prop_map(|(id, text)| {
        let text = serde_json::Value::from(text);
        format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":[{{"name":{text},"inputSchema":{{"type":{text},"pattern":{text},"$ref":{text}}}}}],"capabilities":{{"tools":{text}}}}}}}"#,
            id % 4
        )
        .into_bytes()
    });
    (any::<bool>(), prop_oneof![prop::collection::vec(any::<u8>(), 0..60), noise, shaped, reply])
}

proptest! {
    #[test]
    fn judge_never_panics(messages in prop::collection::vec(anything(), 0..30)) {
        let whole = messages.into_iter().fold(script(), |script, (up, text)| {
            script.put(if up { Direction::ToServer } else { Direction::ToClient }, text)
        });
        for finding in whole.findings() {
            prop_assert!(lint_rule(&finding.code).is_some());
        }
    }
}
