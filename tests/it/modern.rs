//! Revision 2026-07-28: no sessions, metadata on every request, headers that say what the body says, operations of several rounds.

use serde_json::{Value, json};
use tapline::event::{Command, Decision, Event};
use tapline::message::Message;

use crate::support::{Client, Rig, Server, envelope};

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn request(id: u32, method: &str, params: &str) -> String {
    let params = if params.is_empty() { META.to_owned() } else { format!("{params},{META}") };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

fn headers(method: &str, more: &str) -> String {
    format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{more}")
}

async fn before_server() -> (Rig, Server, Client) {
    let server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let client = rig.client().await;
    (rig, server, client)
}

#[tokio::test]
async fn edited_call_gets_matching_headers() {
    let (rig, mut server, mut client) = before_server().await;
    client.headers = headers("tools/list", "");
    client.post(request(1, "tools/list", "")).await;
    let tools = json!({"name": "deploy", "inputSchema": {"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"}, "count": {"type": "integer", "x-mcp-header": "Count"}}}});
    server.next().await.json(json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [tools]}}).to_string()).await;
    client.response().await;

    rig.hold("~tool deploy & ~q").await;
    client.headers = headers("tools/call", "mcp-name: deploy\r\nmcp-param-region: west\r\nmcp-param-count: 2\r\n");
    let call = |arguments: &str| request(2, "tools/call", &format!(r#""name":"deploy","arguments":{arguments}"#));
    client.post(call(r#"{"region":"west","count":2}"#)).await;
    let edit = Decision::Edit(Message::new(call(r#"{"region":"nørd"}"#)));
    rig.settle(rig.held(1).await.ticket, edit);
    let exchange = server.next().await;
    let header = |name| exchange.head.get(name);
    assert_eq!(header("mcp-param-region"), Some("=?base64?bsO4cmQ=?="));
    assert_eq!(header("mcp-param-count"), None, "the argument is gone, and so is its header");
    assert_eq!((header("mcp-method"), header("mcp-name")), (Some("tools/call"), Some("deploy")));
    assert_eq!(header("mcp-protocol-version"), Some("2026-07-28"));
}

#[tokio::test]
async fn operator_request_gets_matching_headers() {
    let (rig, mut server, mut client) = before_server().await;
    client.headers = headers("tools/list", "authorization: Bearer t\r\n");
    client.post(request(1, "tools/list", "")).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#).await;
    client.response().await;
    let session = rig.session(1).await;
    for (method, params, name) in [
        ("tools/call", r#""name":"écho","arguments":{}"#, Some("=?base64?w6ljaG8=?=")),
        ("resources/read", r#""uri":"test://x""#, Some("test://x")),
        ("prompts/list", "", None),
    ] {
        rig.command_now(Command::Send { session, message: Message::new(request(9, method, params)) });
        let exchange = server.next().await;
        let sent = ["mcp-method", "mcp-name", "mcp-protocol-version", "authorization"].map(|it| exchange.head.get(it));
        assert_eq!(sent, [Some(method), name, Some("2026-07-28"), Some("Bearer t")]);
        let id = exchange.message()["id"].clone();
        exchange.json(json!({"jsonrpc": "2.0", "id": id, "result": {}}).to_string()).await;
    }
}

#[tokio::test]
async fn input_required_and_its_retry_are_one_operation() {
    let (rig, mut server, mut client) = before_server().await;
    client.headers = headers("tools/call", "mcp-name: book\r\n");
    client.post(request(1, "tools/call", r#""name":"book","arguments":{}"#)).await;
    let asks = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s-1","inputRequests":{"day":{"method":"elicitation/create"}}}}"#;
    server.next().await.json(asks).await;
    assert_eq!(client.response().await.text(), asks);
    let retry =
        request(2, "tools/call", r#""name":"book","arguments":{},"requestState":"s-1","inputResponses":{"day":{}}"#);
    client.post(&retry).await;
    let exchange = server.next().await;
    assert_eq!(exchange.text(), retry);
    exchange.json(r#"{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","content":[]}}"#).await;
    client.response().await;
    let passed = rig.passed(4).await;
    let began = passed[0].seq;
    assert_eq!(passed.iter().map(|it| it.part_of).collect::<Vec<_>>(), [None, None, Some(began), Some(began)]);
}

/// The server may end a subscription with a result, or, as another page of the specification has it, by a cancellation.
#[tokio::test]
async fn subscription_ends_by_result_or_cancellation() {
    let result = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#;
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    for end in [result, cancelled] {
        let (rig, mut server, mut client) = before_server().await;
        client.headers = headers("subscriptions/listen", "");
        client.post(request(7, "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#)).await;
        let mut exchange = server.next().await;
        exchange.begin_stream().await;
        client.head().await;
        let event = |message: &str| format!("data: {message}\n\n");
        for message in [
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#,
            end,
        ] {
            let event = event(message);
            exchange.write(&event).await;
            assert_eq!(client.bytes(event.len()).await, event.as_bytes(), "at once, and as it came");
        }
        drop(exchange);
        assert_eq!(client.rest().await, "");
        let passed = rig.passed(4).await;
        let answers = passed[3].reply_to.as_ref().map(|to| to.seq);
        assert_eq!(answers, (end == result).then_some(passed[0].seq));
    }
}

/// Clients count their requests each for itself, and nothing but their responses tells them apart.
#[tokio::test]
async fn equal_request_ids_are_answered_by_their_own_response() {
    let (rig, mut server, client) = before_server().await;
    let mut callers = Vec::new();
    for (tool, mut client) in [("first", client), ("second", rig.client().await), ("third", rig.client().await)] {
        client.headers = headers("tools/call", &format!("mcp-name: {tool}\r\n"));
        client.post(request(1, "tools/call", &format!(r#""name":"{tool}","arguments":{{}}"#))).await;
        callers.push((tool, client, server.next().await));
    }
    // Neither in the order in which they were asked nor in the opposite one, and not all in the same way.
    callers.swap(0, 1);
    for (tool, mut client, exchange) in callers {
        let reply = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tool":"{tool}"}}}}"#);
        match tool {
            "second" => exchange.stream(format!("data: {reply}\n\n")).await,
            _ => exchange.json(&reply).await,
        }
        assert!(client.response().await.text().contains(&reply));
    }
    let passed = rig.passed(6).await;
    let (asked, answered) = passed.split_at(3);
    for reply in answered {
        let answers = reply.reply_to.as_ref().expect("it answers a call");
        let tool = asked.iter().find(|call| call.seq == answers.seq).and_then(|call| call.message.name()).unwrap();
        assert_eq!(reply.message.value().unwrap()["result"]["tool"], tool);
        assert_eq!(answers.subject.name.as_deref(), Some(tool));
    }
    let sessions: Vec<_> = passed.iter().map(|it| it.session).collect();
    assert!(sessions.iter().all(|session| *session == sessions[0]), "they share a session");
}

#[tokio::test]
async fn hang_up_cancels_at_the_server() {
    let (rig, mut server, mut client) = before_server().await;
    client.headers = headers("tools/call", "mcp-name: slow\r\n");
    client.post(request(1, "tools/call", r#""name":"slow","arguments":{}"#)).await;
    let exchange = server.next().await;
    drop(client);
    exchange.hung_up().await;
    assert!(rig.complaints().is_empty(), "a client that leaves is no failure of the server's");
}

#[tokio::test]
async fn unknown_methods_and_statuses_pass() {
    let (rig, mut server, mut client) = before_server().await;
    client.headers = headers("future/method", "x-future: 1\r\n");
    let asked = request(1, "future/method", r#""new":{"deep":[1.10,1e2]}"#);
    client.post(&asked).await;
    let exchange = server.next().await;
    assert_eq!((exchange.text(), exchange.head.get("x-future")), (asked.as_str(), Some("1")));
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;
    let length = error.len();
    let head = format!("HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    exchange.answer(format!("{head}{error}")).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.text()), ("404", error));
    // 404 means the method here: it must not cost the client its session, which has no header to lose.
    client.post(request(2, "tools/list", "")).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}"#).await;
    assert_eq!(client.response().await.json()["id"], Value::from(2));
    let sessions: Vec<_> = rig.passed(4).await.iter().map(|it| it.session).collect();
    assert!(sessions.iter().all(|session| *session == sessions[0]));
    let closed = rig.quit(tapline::event::OnQuit::Forward).await;
    assert_eq!(closed.iter().filter(|event| matches!(event, Event::SessionClosed { .. })).count(), 1);
    assert_eq!(closed.iter().filter_map(envelope).count(), 4);
}

#[tokio::test]
async fn oversized_headers_are_431() {
    let (rig, mut server, mut client) = before_server().await;
    let mut other = rig.client().await;
    client.headers = format!("x-large: {}\r\n", "x".repeat(2 << 20));
    client.post(request(1, "tools/list", "")).await;
    assert_eq!(client.head().await.second_word(), "431");
    other.post(request(2, "tools/list", "")).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":2,"result":{"tools":[]}}"#).await;
    assert_eq!(other.response().await.status(), "200");
    assert!(server.is_idle(), "nothing of it was forwarded");
}
