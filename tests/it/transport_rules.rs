//! In front of a command tapline is the server of the HTTP transport: what breaks its rules is refused, shown, and never reaches the
//! command.

use std::sync::Arc;

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Author, Envelope, Outcome};
use tapline::event::{Event, OnQuit};

use crate::support::scripts::server;
use crate::support::{Client, INITIALIZE, LegacySseClient, Response, Rig, command, envelope};

/// Answers what it gets with the line itself, unknown methods as such, and what it knows of revision 2026-07-28 with a list of tools.
const SERVER: &str = server!(
    r#" *'"method":"unknown"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32601,"message":"Method  not found"}}' ;;
        *'"method":"wrong"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32602,"message":"no"}}' ;;
        *'"method":"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}' ;;
        *'"method":"tools/list"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"tools":[{"name":"deploy","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}}' ;;
        *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"got":'"$line"'}}' ;;"#
);
const USUAL: &str = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;

async fn before(script: &str) -> Rig {
    Rig::strict(Settings::new(command(&["sh", "-c", script]))).await
}

async fn send(client: &mut Client, start: &str, head: &str, body: &str) -> Response {
    let head = format!("{head}content-length: {}\r\n", body.len());
    client.request(start, &head, body.as_bytes()).await;
    client.response().await
}

fn modern(id: u32, method: &str, params: &str) -> String {
    let params = if params.is_empty() { META.to_owned() } else { format!("{params},{META}") };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

fn modern_headers(method: &str) -> String {
    format!("{USUAL}mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n")
}

/// All messages that went to the server, once the last of them has.
async fn reached(rig: &Rig, last: &'static str) -> Vec<Arc<Envelope>> {
    rig.message(ToServer, |it| it.method() == Some(last) && it.was_sent()).await;
    let sent = rig.until("messages", |log| Some(log.iter().filter_map(envelope).cloned().collect::<Vec<_>>()));
    sent.await.into_iter().filter(|it| it.direction == ToServer && it.was_sent()).collect()
}

#[tokio::test]
async fn transport_rules_of_a_session_hold_before_a_command() {
    let rig = before(SERVER).await;
    let mut client = rig.client().await;
    client.initialize().await;
    let session = client.headers.clone();
    for (named, start, head, body, status, code) in [
        ("", "POST /mcp", USUAL, PING, "400", -31003),
        ("mcp-session-id: nobody\r\n", "POST /mcp", USUAL, PING, "404", -31003),
        ("mcp-session-id: nobody\r\n", "GET /mcp", USUAL, "", "404", -31003),
        ("mcp-session-id: nobody\r\n", "DELETE /mcp", "", "", "404", -31003),
        ("", "DELETE /mcp", "", "", "400", -31003),
        (&session, "POST /mcp", USUAL, INITIALIZE, "400", -32600),
        (&session, "POST /mcp", USUAL, "", "400", -32700),
        (&session, "POST /mcp", USUAL, "{", "400", -32700),
        (&session, "POST /mcp", USUAL, r#"{"jsonrpc":"2.0","id":7,"method":"ping"} x"#, "400", -32700),
        (&session, "POST /mcp", USUAL, "42", "400", -32600),
        (&session, "POST /mcp", USUAL, r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, "400", -32600),
        (&session, "POST /mcp", USUAL, &format!("[{PING}]"), "400", -32600),
        (&session, "POST /mcp", "accept: */*\r\n", PING, "415", -32600),
        (&session, "POST /mcp", "content-type: text/plain\r\naccept: */*\r\n", PING, "415", -32600),
        (&session, "POST /mcp", "content-type: application/json\r\n", PING, "406", -32600),
        (&session, "GET /mcp", "accept: application/json\r\n", "", "406", -32600),
        (&session, "GET /mcp", "", "", "406", -32600),
        (&format!("{session}mcp-protocol-version: 2099-01-01\r\n"), "POST /mcp", USUAL, PING, "400", -32600),
        (&format!("{session}mcp-protocol-version: 2099-01-01\r\n"), "GET /mcp", "accept: */*\r\n", "", "400", -32600),
        (&format!("{session}mcp-protocol-version: 2099-01-01\r\n"), "DELETE /mcp", "", "", "400", -32600),
    ] {
        client.headers = named.to_owned();
        let response = send(&mut client, start, head, body).await;
        assert_eq!(
            (response.status(), &response.json()["error"]["code"]),
            (status, &json!(code)),
            "{start} {head}{body}"
        );
        assert_eq!(response.head.get("content-type"), Some("application/json"));
        let text = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("tapline: "), "{text}");
        // Of what is no message the id can be read all the same, of what is no JSON it cannot.
        let id = if body == PING || body.contains("1.0") { json!(7) } else { json!(null) };
        assert!(response.json()["id"] == id || body == INITIALIZE, "{body}");
    }
    client.headers = session;
    let wildcard =
        "content-type: application/json;charset=utf-8\r\naccept: */*\r\nmcp-protocol-version: 2024-11-05\r\n";
    assert_eq!(send(&mut client, "POST /mcp", wildcard, PING).await.status(), "200");
    // A byte order mark is of the body's encoding, and no part of the message.
    let told = send(&mut client, "POST /mcp", wildcard, &format!("\u{feff}{PING}")).await;
    assert_eq!(told.json()["result"]["got"]["method"], "ping", "{told:?}");
    let words: Vec<_> = reached(&rig, "ping").await.iter().map(|it| it.method().unwrap().to_owned()).collect();
    assert_eq!(words[..2], ["initialize", "ping"], "nothing else reached the command");
}

/// A server of revision 2025-03-26 that complains of arrays, as those do that are built with the SDKs.
const OLDER: &str = server!(
    r#" '['*) echo '{"jsonrpc":"2.0","method":"array"}' ;;
        *'"method":"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-03-26","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}' ;;
        *'"method":"progress"'*) echo '{"jsonrpc":"2.0","method":"notifications/message","params":{"of":'"$id"'}}'; echo '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;;
        *'"method":"end"'*) exit 3 ;;
        *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"got":'"$line"'}}' ;;"#
);

/// The messages of an event stream.
fn events(response: &Response) -> Vec<serde_json::Value> {
    assert_eq!(response.head.get("content-type"), Some("text/event-stream"), "{response:?}");
    let data = response.text().lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn initialize_of_2025_03_26() -> String {
    INITIALIZE.replace("2025-11-25", "2025-03-26")
}

/// In a session of revision 2025-03-26.
async fn in_older_session(rig: &Rig) -> Client {
    let mut client = rig.client().await;
    let told = client.call(initialize_of_2025_03_26()).await;
    assert_eq!(told.json()["result"]["protocolVersion"], "2025-03-26");
    client.headers = format!("mcp-session-id: {}\r\n", told.head.get("mcp-session-id").unwrap());
    client
}

#[tokio::test]
async fn batch_of_2025_03_26_goes_to_a_command_message_by_message() {
    let rig = before(OLDER).await;
    let mut client = in_older_session(&rig).await;
    let one = r#"{"jsonrpc":"2.0", "id":1,"method":"progress"}"#;
    let two = r#"{"jsonrpc":"2.0","id":"2","method":"x","params":{"n":1.0}}"#;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    let told = events(&send(&mut client, "POST /mcp", USUAL, &format!("[{one},\n {note}, {two}]")).await);
    let answer = |id: serde_json::Value| told.iter().find(|it| it["id"] == id).cloned().unwrap_or_default();
    assert_eq!(answer(json!(1))["result"], json!({}));
    assert_eq!(answer(json!("2"))["result"]["got"], serde_json::from_str::<serde_json::Value>(two).unwrap());
    assert_eq!(told.len(), 3, "with what came before an answer: {told:?}");
    let told = send(&mut client, "POST /mcp", USUAL, &format!("[{note}]")).await;
    assert_eq!((told.status(), told.body.len()), ("202", 0));
    let alone = events(&send(&mut client, "POST /mcp", USUAL, &format!("[{two}]")).await);
    assert_eq!(alone.len(), 1);
    let sent = reached(&rig, "x").await;
    assert!(
        sent.iter().any(|it| it.message.raw() == one) && sent.iter().any(|it| it.message.raw() == two),
        "as they came"
    );
    // Who waits when the command ends is told so.
    let told = events(&send(&mut client, "POST /mcp", USUAL, &format!("[{}]", two.replace("\"x\"", "\"end\""))).await);
    assert_eq!(told[0]["id"], "2");
    assert!(told[0]["error"]["message"].as_str().unwrap().contains("ended with status 3"), "{told:?}");
}

/// Which knows no batches on its pipe.
#[tokio::test]
async fn batch_of_2025_03_26_is_answered_by_a_server_of_the_rust_sdk() {
    let words = crate::support::child::role("rmcp");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let rig = Rig::strict(Settings::new(command(&words))).await;
    let mut client = in_older_session(&rig).await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let told = send(&mut client, "POST /mcp", USUAL, &format!("[{note},{PING},{}]", PING.replace('7', "8"))).await;
    let mut ids: Vec<_> = events(&told).iter().map(|it| (it["id"].as_u64(), it["result"].clone())).collect();
    ids.sort_by_key(|(id, _)| *id);
    assert_eq!(ids, [(Some(7), json!({})), (Some(8), json!({}))]);
}

/// What was refused is to be seen, with the reason, and in the session that it named.
#[tokio::test]
async fn refused_message_is_shown_and_recorded_with_its_answer() {
    let tapes = tempfile::TempDir::new().unwrap();
    let settings = Settings { tapes: Some(tapes.path().to_owned()), ..Settings::new(command(&["sh", "-c", SERVER])) };
    let rig = Rig::strict(settings).await;
    let mut client = rig.client().await;
    client.initialize().await;
    let broken = "{\"jsonrpc\":\"2.0\",";
    let told = client.call(broken).await;
    let again = client.call(INITIALIZE).await;
    assert_eq!((told.status(), again.status()), ("400", "400"));
    let mut stranger = rig.client().await;
    stranger.call(PING).await;
    let shown = rig.passed(8).await;
    let refused = &shown[2..];
    for pair in refused.chunks(2) {
        let [asked, answer] = pair else { panic!("each has its answer") };
        assert_eq!(asked.outcome, Outcome::Blocked(Author::Tapline));
        assert_eq!(answer.outcome, Outcome::Injected(Author::Tapline));
        assert_eq!((asked.session, answer.direction), (answer.session, ToClient));
    }
    assert_eq!(refused[0].message.raw(), broken);
    assert_eq!(refused[1].message.raw(), &told.body, "the tape has what the client got");
    assert_eq!(refused[1].transport.status, Some(400));
    assert_eq!(refused[2].session, rig.session(1).await);
    assert_eq!(refused[3].reply_to.as_ref().map(|to| to.seq), Some(refused[2].seq));
    assert_eq!(
        refused[4].session,
        rig.session(2).await,
        "a client without a session has one of its own to be shown in"
    );
    rig.quit(OnQuit::Forward).await;
    let files = std::fs::read_dir(tapes.path()).unwrap().map(|file| file.unwrap().path());
    let tapes: Vec<_> = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert!(tapes.iter().any(|tape| tape.contains("the body cannot be read")), "{tapes:?}");
    assert!(tapes.iter().any(|tape| tape.contains("a request without a session must be `initialize`")), "{tapes:?}");
}

/// JSON-RPC 2.0 §5.1: null only where no id could be detected. One of two, or of what is a reply, is not for us to choose.
#[tokio::test]
async fn refused_message_is_answered_under_its_id_where_that_is_certain() {
    let rig = before(SERVER).await;
    let mut client = rig.client().await;
    client.initialize().await;
    for (body, id) in [
        (r#"{"jsonrpc":"2.0","id":7,"method":5}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":"a\u0062"}"#, json!("ab")),
        (r#"{"jsonrpc":"2.0","\u0069d":7,"method":"ping","params":[1]}"#, json!(7)),
        (r#"{"id":7,"method":"ping"}"#, json!(7)),
        (r#"{"jsonrpc":"2.0","id":7,"id":8,"method":5}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","id":7,"\u0069d":8,"method":"ping","params":[1]}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"#, json!(null)),
        (r#"[{"jsonrpc":"2.0","id":7,"method":5}]"#, json!(null)),
    ] {
        let told = client.call(body).await;
        assert_eq!((told.status(), &told.json()["id"]), ("400", &id), "{body}");
    }
    let session = rig.session(1).await;
    let shown = rig.passed(2 + 2 * 11).await;
    assert!(shown.iter().all(|it| it.session == session), "all named the session");
    // A session that is named twice, or is not there, is none to show it in.
    client.headers = "mcp-session-id: nobody\r\n".to_owned();
    client.call("{").await;
    assert_ne!(rig.passed(4 + 2 * 11).await.last().unwrap().session, session);
}

#[tokio::test]
async fn message_over_http_sse_keeps_the_rules_and_is_shown_where_it_does_not() {
    let rig = before(SERVER).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    let wrong = [
        "{\"jsonrpc\":\"2.0\",",
        "",
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
    ];
    for body in wrong {
        let told = client.post(body).await;
        assert_eq!(told.status(), "400", "{body}");
        let id = if body.contains("\"id\":1,") { json!(1) } else { json!(null) };
        assert_eq!(told.json()["id"], id, "{body}");
    }
    let shown = rig.passed(2 * wrong.len()).await;
    for (pair, body) in shown.chunks(2).zip(wrong) {
        assert_eq!(
            (pair[0].message.raw().as_ref(), &pair[0].outcome),
            (body.as_bytes(), &Outcome::Blocked(Author::Tapline))
        );
        assert_eq!(pair[1].transport.status, Some(400));
    }
    assert_eq!(client.post(PING).await.status(), "202");
    assert_eq!(client.message().await["id"], serde_json::from_str::<serde_json::Value>(PING).unwrap()["id"]);
}

#[tokio::test]
async fn transport_rules_of_2026_hold_before_a_command() {
    let rig = before(SERVER).await;
    let mut client = rig.client().await;
    let list = modern_headers("tools/list");
    let told = send(&mut client, "POST /mcp", &list, &modern(1, "tools/list", "")).await;
    assert_eq!((told.status(), told.head.get("mcp-session-id")), ("200", None));
    let call =
        |region: &str| modern(2, "tools/call", &format!(r#""name":"deploy","arguments":{{"region":"{region}"}}"#));
    let named = format!("{}mcp-name: deploy\r\n", modern_headers("tools/call"));
    let region = |value: &str| format!("{named}mcp-param-region: {value}\r\n");
    for (start, head, body, status, code) in [
        ("POST /mcp", region("west"), call("west"), "200", 0),
        ("POST /mcp", region("=?base64?bsO4cmQ=?="), call("nørd"), "200", 0),
        ("POST /mcp", region("east"), call("west"), "400", -32020),
        ("POST /mcp", named.clone(), call("west"), "400", -32020),
        ("POST /mcp", modern_headers("tools/call"), call("west"), "400", -32020),
        ("POST /mcp", list.clone(), call("west"), "400", -32020),
        ("POST /mcp", list.clone(), r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#.to_owned(), "400", -32602),
        ("POST /mcp", list.replace("2026", "2099"), modern(2, "tools/list", "").replace("2026", "2099"), "400", -32022),
        ("POST /mcp", modern_headers("unknown"), modern(2, "unknown", ""), "404", -32601),
        ("POST /mcp", modern_headers("initialize"), modern(2, "initialize", ""), "404", -32601),
        ("POST /mcp", modern_headers("wrong"), modern(2, "wrong", ""), "200", -32602),
        ("GET /mcp", list.clone(), String::new(), "405", -32600),
        ("DELETE /mcp", list.clone(), String::new(), "405", -32600),
    ] {
        let response = send(&mut client, start, &head, &body).await;
        let told = response.json()["error"]["code"].as_i64().unwrap_or_default();
        assert_eq!((response.status(), told), (status, code), "{head}{body}");
        assert_eq!(response.head.get("allow"), (status == "405").then_some("POST"));
        match code {
            -32022 => {
                let data = json!({"supported": ["2026-07-28"], "requested": "2099-07-28"});
                assert_eq!(response.json()["error"]["data"], data);
            }
            -32601 if body.contains("unknown") => {
                assert!(response.text().contains("Method  not found"), "as the server wrote it");
            }
            _ => {}
        }
    }
    // A session that is named does not count.
    let stale = format!("{list}mcp-session-id: stale\r\n");
    assert_eq!(send(&mut client, "POST /mcp", &stale, &modern(3, "tools/list", "")).await.status(), "200");
}

#[tokio::test]
async fn lenient_hands_everything_to_the_command() {
    let rig = Rig::script(SERVER).await;
    let mut client = rig.client().await;
    for body in [r#"{"id":7,"method":"ping"}"#, PING] {
        let response = send(&mut client, "POST /mcp", "", body).await;
        assert_eq!(response.status(), "200", "{body}");
        assert!(response.text().contains(body));
    }
    let head = "mcp-protocol-version: 2026-07-28\r\n";
    let response = send(&mut client, "POST /mcp", head, &modern(1, "unknown", "")).await;
    assert_eq!((response.status(), &response.json()["error"]["code"]), ("200", &json!(-32601)));
}

/// Servers built with the SDKs take the first message of a pipe for a word on the revision it speaks.
#[tokio::test]
async fn shared_child_hears_a_modern_request_first() {
    let tells = r#"read -r line; case "$line" in *clientCapabilities*) ;; *) echo spoilt >&2 ;; esac; echo '{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}'; "#;
    for strict in [true, false] {
        let settings =
            Settings { lenient: !strict, ..Settings::new(command(&["sh", "-c", &format!("{tells}{SERVER}")])) };
        let rig = Rig::strict(settings).await;
        let mut client = rig.client().await;
        let modern_header = format!("{USUAL}mcp-protocol-version: 2026-07-28\r\n");
        let notification = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
        assert_eq!(send(&mut client, "POST /mcp", &modern_header, notification).await.status(), "202");
        if strict {
            assert_eq!(send(&mut client, "POST /mcp", &modern_header, PING).await.status(), "400");
            assert_eq!(send(&mut client, "POST /mcp", USUAL, PING).await.status(), "400");
        }
        send(&mut client, "POST /mcp", &modern_headers("tools/list"), &modern(1, "tools/list", "")).await;
        let head = modern_headers("tools/list");
        assert_eq!(send(&mut client, "POST /mcp", &head, &modern(2, "tools/list", "")).await.status(), "200");
        let spoilt = rig.until("the log", |log| {
            Some(log.iter().any(|event| matches!(event, Event::Log(line) if line.text.contains("spoilt"))))
        });
        assert!(!spoilt.await);
    }
}

/// A server that is older than the question: it exits, says nothing, or answers something else. The client falls back by a 4xx.
#[tokio::test]
async fn probe_at_an_older_command_is_a_4xx() {
    let exits = format!(
        r#"read -r line; case "$line" in *initialize*) ;; *) exit 1 ;; esac; {}"#,
        "echo '{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"serverInfo\":{\"name\":\"s\",\"version\":\"1\"}}}'; cat >/dev/null"
    );
    let refuses = server!(
        r#" *'"method":"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{}}}' ;;
            *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32602,"message":"Invalid request parameters"}}' ;;"#
    );
    for script in [exits.as_str(), refuses] {
        let rig = before(script).await;
        for _ in 0..2 {
            let mut client = rig.client().await;
            let head = modern_headers("server/discover");
            let told = send(&mut client, "POST /mcp", &head, &modern(1, "server/discover", "")).await;
            assert_eq!((told.status(), &told.json()["id"]), ("400", &json!(1)), "{}", told.text());
            let code = told.json()["error"]["code"].as_i64().unwrap();
            assert!(![-32020, -32021, -32022].contains(&code), "{code} would say that it knows the revision");
            client.initialize().await;
        }
    }
}

/// Nothing, and an answer to somebody else: within what the SDK clients wait, and the next has a child of its own.
#[tokio::test]
async fn silent_probe_is_answered_in_time_and_the_child_replaced() {
    let silent = server!(
        r#" *'"method":"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{}}}' ;;
            *'"id":'*) echo '{"jsonrpc":"2.0","id":"other","result":{}}' ;;"#
    );
    let rig = before(silent).await;
    let mut client = rig.client().await;
    let head = modern_headers("server/discover");
    let asked = std::time::Instant::now();
    let told = send(&mut client, "POST /mcp", &head, &modern(1, "server/discover", "")).await;
    assert_eq!((told.status(), &told.json()["id"]), ("400", &json!(1)), "{}", told.text());
    assert!(asked.elapsed().as_secs() < 10, "clients wait ten seconds");
    let text = told.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("does not answer `server/discover`"), "{text}");
    client.initialize().await;
    let pool = crate::pool::pool(&rig);
    crate::pool::figures(&pool, |it| it.died == 1 && it.in_use == 1).await;
    // Who comes next does not wait as long for what is known.
    let told = send(&mut rig.client().await, "POST /mcp", &head, &modern(1, "server/discover", "")).await;
    assert!(told.text().contains("nothing came in 3s"), "{told:?}");
}
