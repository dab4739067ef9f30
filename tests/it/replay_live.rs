//! A tape at a server that is not the recorded one: its session, its streams, its request states, and what the client broke off.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::support::{Binary, Client, Exchange, Server, binary};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":9,"method":"tools/list"}"#;
const LISTED: &str = r#"{"jsonrpc":"2.0","id":9,"result":{"tools":[]}}"#;

/// A tapline that records, and the server that it is in front of.
struct Recording {
    dir: TempDir,
    tapline: Binary,
    server: Server,
}

impl Recording {
    async fn start() -> Self {
        let (dir, server) = (tempfile::tempdir().unwrap(), Server::start().await);
        let url = server.url();
        let tapline = Binary::run(&["--tapes", dir.path().to_str().unwrap(), "--upstream", &url]).await;
        Self { dir, tapline, server }
    }

    async fn client(&self) -> Client {
        self.tapline.client().await
    }

    /// A request, and the whole answer of the server.
    async fn call(&mut self, client: &mut Client, request: &str, reply: &str) {
        client.post(request).await;
        self.server.next().await.json(reply).await;
        assert_eq!(client.response().await.text(), reply);
    }

    /// Begins a session of revision 2025-11-25.
    async fn shake_hands(&mut self, client: &mut Client) {
        client.post(crate::support::INITIALIZE).await;
        answer_initialize(self.server.next().await, "recorded").await;
        client.response().await;
        client.headers = "mcp-session-id: recorded\r\n".to_owned();
        client.post(INITIALIZED).await;
        self.server.next().await.accept().await;
        client.response().await;
    }

    /// Ends it; the one tape that was written.
    async fn tape(self) -> (TempDir, PathBuf) {
        self.tapline.signal("TERM");
        self.tapline.end().await;
        let files: Vec<_> = std::fs::read_dir(self.dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
        let [tape] = &files[..] else { panic!("one tape: {files:?}") };
        (self.dir, tape.clone())
    }
}

async fn answer_initialize(exchange: Exchange, session: &str) {
    assert_eq!(exchange.message()["method"], "initialize");
    let result = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}"#;
    exchange.json_with(&format!("mcp-session-id: {session}\r\n"), result).await;
}

/// Plays a tape at a URL; gives the report.
fn replay(tape: &Path, url: &str) -> JoinHandle<Value> {
    let mut command = Command::from(binary::command());
    command.arg("replay").arg(tape).args(["--upstream", url, "--speed", "max", "--report", "json"]).kill_on_drop(true);
    tokio::spawn(async move {
        let output = command.output().await.unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    })
}

fn modern(client: &mut Client, method: &str, name: &str) {
    client.headers = format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\nmcp-name: {name}\r\n");
}

/// A call of 2026-07-28; `more` are further members of its metadata and parameters.
fn call(id: u32, tool: &str, meta: &str, more: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}{more},{META}{meta}}}}}}}"#
    )
}

fn passed(report: &Value) -> (u64, u64) {
    (report["summary"]["passed"].as_u64().unwrap(), report["summary"]["failed"].as_u64().unwrap())
}

#[tokio::test]
async fn listening_stream_is_taken_up_where_the_live_server_left_it() {
    let mut recording = Recording::start().await;
    let mut client = recording.client().await;
    recording.shake_hands(&mut client).await;
    let said = |id: &str, method: &str| {
        format!(
            "id: {id}\nretry: 1\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{method}/list_changed\"}}\n\n"
        )
    };
    for (after, event) in [("", said("a/1", "tools")), ("last-event-id: a/1\r\n", said("a/2", "prompts"))] {
        let mut listening = recording.client().await;
        listening.headers = format!("mcp-session-id: recorded\r\n{after}");
        listening.get().await;
        recording.server.next().await.stream(&event).await;
        assert_eq!(listening.response().await.text(), event);
    }
    recording.call(&mut client, LIST, LISTED).await;
    let (_dir, tape) = recording.tape().await;

    let mut server = Server::start().await;
    let report = replay(&tape, &server.url());
    answer_initialize(server.next().await, "live").await;
    server.next().await.accept().await;
    for (after, event) in [(None, said("live-7", "tools")), (Some("live-7"), said("live-8", "prompts"))] {
        let listening = server.next().await;
        let sent = ["mcp-session-id", "last-event-id"].map(|name| listening.head.get(name));
        assert_eq!((listening.head.start.as_str(), sent), ("GET /mcp HTTP/1.1", [Some("live"), after]));
        listening.stream(event).await;
    }
    // The stream is asked for again while the call is on its way.
    let mut asked = server.next().await;
    while asked.head.start.starts_with("GET") {
        assert_eq!(asked.head.get("last-event-id"), Some("live-8"));
        asked.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await;
        asked = server.next().await;
    }
    assert_eq!((asked.text(), asked.head.get("mcp-session-id")), (LIST, Some("live")));
    asked.json(LISTED).await;
    end_of_session(&mut server).await;
    let report = report.await.unwrap();
    assert_eq!(passed(&report), (3, 0), "{report:#}");
}

/// The replay ends its session; the listening stream may be asked for once more before.
async fn end_of_session(server: &mut Server) {
    loop {
        let exchange = server.next().await;
        let start = exchange.head.start.clone();
        exchange.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await;
        if start.starts_with("DELETE") {
            return;
        }
        assert!(start.starts_with("GET"), "{start}");
    }
}

fn progress(value: u32) -> String {
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":\"p\",\"progress\":{value}}}}}\n\n"
    )
}

#[tokio::test]
async fn hang_up_is_recorded_and_played_at_its_point() {
    let mut recording = Recording::start().await;
    let mut client = recording.client().await;
    modern(&mut client, "tools/call", "slow");
    let slow = call(1, "slow", r#","progressToken":"p""#, "");
    client.post(&slow).await;
    let mut exchange = recording.server.next().await;
    exchange.begin_stream().await;
    client.head().await;
    for event in [progress(1), progress(2)] {
        exchange.write(&event).await;
        client.bytes(event.len()).await;
    }
    drop(client);
    exchange.hung_up().await;
    let mut client = recording.client().await;
    modern(&mut client, "tools/call", "fast");
    let fast = r#"{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","content":[]}}"#;
    recording.call(&mut client, &call(2, "fast", "", ""), fast).await;
    let (_dir, tape) = recording.tape().await;
    let lines = std::fs::read_to_string(&tape).unwrap();
    let mark = lines.lines().position(|line| line.starts_with(r#"{"mark":"hangup","#)).expect(&lines);
    assert!(lines.lines().nth(mark - 1).unwrap().contains(r#""progress":2"#), "{lines}");

    let mut server = Server::start().await;
    let report = replay(&tape, &server.url());
    let mut exchange = server.next().await;
    assert_eq!(exchange.text(), slow);
    exchange.begin_stream().await;
    exchange.write(progress(1) + &progress(2)).await;
    exchange.hung_up().await;
    server.next().await.json(fast).await;
    let report = report.await.unwrap();
    assert_eq!(passed(&report), (3, 0), "{report:#}");
    let methods: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| &step["method"]).collect();
    assert_eq!(methods, ["tools/call", "hang-up", "tools/call"]);
}

#[tokio::test]
async fn cancellation_goes_out_for_the_same_request() {
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}"#;
    let slow =
        r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"slow","_meta":{"progressToken":"p"}}}"#;
    let mut recording = Recording::start().await;
    let mut client = recording.client().await;
    recording.shake_hands(&mut client).await;
    let mut slow_client = recording.client().await;
    slow_client.headers.clone_from(&client.headers);
    slow_client.post(slow).await;
    let mut exchange = recording.server.next().await;
    exchange.begin_stream().await;
    exchange.write(progress(1)).await;
    slow_client.head().await;
    slow_client.bytes(progress(1).len()).await;
    client.post(cancel).await;
    recording.server.next().await.accept().await;
    client.response().await;
    drop(exchange);
    slow_client.rest().await;
    recording.call(&mut client, LIST, LISTED).await;
    let (_dir, tape) = recording.tape().await;

    let mut server = Server::start().await;
    let report = replay(&tape, &server.url());
    answer_initialize(server.next().await, "live").await;
    server.next().await.accept().await;
    server.next().await.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await;
    let mut exchange = server.next().await;
    assert_eq!(exchange.text(), slow);
    exchange.begin_stream().await;
    exchange.write(progress(1)).await;
    let cancelled = server.next().await;
    assert_eq!((cancelled.text(), cancelled.head.get("mcp-session-id")), (cancel, Some("live")));
    cancelled.accept().await;
    server.next().await.json(LISTED).await;
    end_of_session(&mut server).await;
    let report = report.await.unwrap();
    assert_eq!(passed(&report), (5, 0), "{report:#}");
}

/// The state of the recorded server is not even on the tape: it may hold secrets, and is redacted.
#[tokio::test]
async fn request_state_of_the_live_server_goes_back_to_it() {
    let asks = |state: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"input_required","requestState":"{state}","inputRequests":{{"day":{{"method":"elicitation/create","params":{{"message":"which day?"}}}}}}}}}}"#
        )
    };
    let retry = |id: u32, state: &str| {
        let more = format!(r#","requestState":"{state}","inputResponses":{{"day":{{"action":"accept"}}}}"#);
        call(id, "book", "", &more)
    };
    let again = |id: u32, state: &str| asks(state).replace(r#""id":1"#, &format!(r#""id":{id}"#));
    let done = r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","content":[]}}"#;
    let mut recording = Recording::start().await;
    let mut client = recording.client().await;
    modern(&mut client, "tools/call", "book");
    recording.call(&mut client, &call(1, "book", "", ""), &asks("eyJvbGQiOjF9")).await;
    recording.call(&mut client, &retry(2, "eyJvbGQiOjF9"), &again(2, "eyJvbGQiOjJ9")).await;
    recording.call(&mut client, &retry(3, "eyJvbGQiOjJ9"), done).await;
    let (_dir, tape) = recording.tape().await;
    let text = std::fs::read_to_string(&tape).unwrap();
    assert!(!text.contains("eyJvbGQi"), "{text}");

    let mut server = Server::start().await;
    let report = replay(&tape, &server.url());
    server.next().await.json(asks("live-one")).await;
    let second = server.next().await;
    assert_eq!(second.text(), retry(2, "live-one"));
    second.json(again(2, "live-two")).await;
    let third = server.next().await;
    assert_eq!(third.text(), retry(3, "live-two"));
    third.json(done).await;
    let report = report.await.unwrap();
    assert_eq!(passed(&report), (3, 0), "{report:#}");
}

/// Revision 2026-07-28 has no sessions: one tape has all clients, and each counts its requests for itself.
#[tokio::test]
async fn equal_ids_of_several_clients_are_judged_each_by_its_own_reply() {
    let reply = |tool: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"resultType":"complete","content":[{{"type":"text","text":"of {tool}"}}]}}}}"#
        )
    };
    let tools = ["first", "second", "third"];
    let mut recording = Recording::start().await;
    let mut callers = Vec::new();
    for tool in tools {
        let mut client = recording.client().await;
        modern(&mut client, "tools/call", tool);
        client.post(call(1, tool, "", "")).await;
        callers.push((tool, client, recording.server.next().await));
    }
    for (tool, mut client, exchange) in callers {
        exchange.json(reply(tool)).await;
        client.response().await;
    }
    let (_dir, tape) = recording.tape().await;

    let mut server = Server::start().await;
    let report = replay(&tape, &server.url());
    let mut asked = Vec::new();
    for _ in tools {
        asked.push(server.next().await);
    }
    for exchange in asked.into_iter().rev() {
        let tool = exchange.message()["params"]["name"].as_str().unwrap().to_owned();
        exchange.stream(format!("data: {}\n\n", reply(&tool))).await;
    }
    let report = report.await.unwrap();
    assert_eq!(passed(&report), (3, 0), "{report:#}");
    let named: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].clone()).collect();
    assert_eq!(named, tools.map(|tool| json!(tool)));
}
