//! HTTP+SSE, the transport of 2024-11-05, on both sides: everything as the server says it, but for where to post.

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::Via;
use tapline::event::{Command, Decision, Level, OnQuit};
use tapline::message::Message;

use crate::support::{Exchange, INITIALIZE, LegacySseClient, ProcessAlive, Rig, Server, command, soon, word};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{}}}"#;
const ACCEPTED: &str =
    "HTTP/1.1 202 Accepted\r\ncontent-type: text/x-odd\r\nx-mine: 1\r\ncontent-length: 8\r\n\r\nAccepted";

fn events_url(server: &Server) -> String {
    format!("http://{}/a/b/sse", server.address())
}

/// A client in a session with a server that the test plays: with the exchange that is the server's stream.
async fn session(rig: &Rig, server: &mut Server, endpoint: &str) -> (LegacySseClient, Exchange) {
    session_with(rig, server, endpoint, "").await
}

async fn session_with(rig: &Rig, server: &mut Server, endpoint: &str, headers: &str) -> (LegacySseClient, Exchange) {
    let opening = LegacySseClient::open_with(rig.address(), headers);
    let serving = async {
        let mut stream = server.next().await;
        stream.begin_stream().await;
        stream.write(endpoint).await;
        stream
    };
    tokio::join!(opening, serving)
}

fn endpoint(reference: &str) -> String {
    format!("event: endpoint\ndata: {reference}\n\n")
}

fn is_ours(address: &str) -> bool {
    let id = address.strip_prefix("/message?sessionId=");
    id.is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[tokio::test]
async fn endpoint_address_leads_through_tapline() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let origin = format!("http://{}", server.address());
    for (reference, address) in [
        ("/message?sessionId=1".to_owned(), "/message?sessionId=1"),
        ("message?x=1".to_owned(), "/a/b/message?x=1"),
        ("?session=2".to_owned(), "/a/b/sse?session=2"),
        ("../up/m".to_owned(), "/a/up/m"),
        (format!("{origin}/m?y=%20+%2B&z=a=b&&q"), "/m?y=%20+%2B&z=a=b&&q"),
        (format!("//{}/n", server.address()), "/n"),
        // A prefix that the server is mounted under is in what it says already.
        ("/mounted/messages/?session_id=ab/c".to_owned(), "/mounted/messages/?session_id=ab/c"),
    ] {
        let came = endpoint(&reference);
        let (mut client, stream) = session(&rig, &mut server, &came).await;
        assert_eq!(client.address, address, "{reference}");
        if reference == address {
            assert_eq!(client.endpoint.raw, came, "an event that says the same already is not touched");
        }
        client.send(CALL).await;
        let exchange = server.next().await;
        assert_eq!((exchange.head.start.as_str(), exchange.text()), (&*format!("POST {address} HTTP/1.1"), CALL));
        assert_eq!(exchange.head.all("host"), [server.address().to_string()]);
        exchange.answer(ACCEPTED).await;
        client.answer().await;
        drop(client);
        stream.hung_up().await;
    }
}

#[tokio::test]
async fn endpoint_at_another_origin_gets_no_secrets() {
    let (mut server, mut other) = (Server::start().await, Server::start().await);
    let rig = Rig::before_events(&events_url(&server)).await;
    let far = format!("http://{}/far?id=1", other.address());
    let headers = "authorization: Bearer secret\r\nx-mine: 1\r\n";
    let (mut client, stream) = session_with(&rig, &mut server, &endpoint(&far), headers).await;
    assert!(is_ours(&client.address), "{}", client.address);
    assert_eq!(stream.head.get("authorization"), Some("Bearer secret"));
    client.send(CALL).await;
    let exchange = other.next().await;
    assert_eq!(exchange.head.start, "POST /far?id=1 HTTP/1.1");
    assert_eq!((exchange.head.get("authorization"), exchange.head.get("x-mine")), (None, Some("1")));
    exchange.answer(ACCEPTED).await;
    assert_eq!(client.answer().await.status(), "202");
    rig.line(Level::Warn, "another origin").await;
}

#[tokio::test]
async fn equal_endpoint_addresses_are_told_apart() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let (first, _stream) = session(&rig, &mut server, &endpoint("/message")).await;
    let (mut second, _other) = session(&rig, &mut server, &endpoint("/message")).await;
    assert_eq!(first.address, "/message");
    assert!(is_ours(&second.address), "{}", second.address);
    second.send(CALL).await;
    assert_eq!(server.next().await.head.second_word(), "/message");
    let posted = rig.message(ToServer, |_| true).await;
    assert_eq!(posted.session, rig.session(2).await);
}

#[tokio::test]
async fn stream_bytes_pass_unchanged() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let odd = r#"{"method":"n","jsonrpc":"2.0","params":{"n":123456789012345678901234567890,"s":"\ud83d"}}"#;
    let events = [
        ": keep-alive\n\n".to_owned(),
        "event: ping\r\ndata: 2026\r\n\r\n".to_owned(),
        format!(": note\nid: 7\nretry: 500\nevent: message\ndata: {odd}\n\n"),
        format!("data:{odd}\r\n\r\n"),
        "data: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"two\"}\n\n".to_owned(),
        "data: no message at all\n\n".to_owned(),
        "id: 9\ndata:\n\n".to_owned(),
    ];
    let (mut client, mut stream) = session(&rig, &mut server, &endpoint("/m")).await;
    for event in &events {
        stream.write(event).await;
        assert_eq!(client.frame().await.unwrap().raw, event, "and at once");
    }
    let passed = rig.passed(4).await;
    assert!(passed.iter().all(|it| (it.direction, it.transport.via) == (ToClient, Via::Sse)), "{passed:?}");
    assert_eq!(passed[0].transport.sse.as_ref().unwrap().id.as_deref(), Some("7"));
    assert_eq!(passed[2].message.method(), Some("two"));
}

#[tokio::test]
async fn post_headers_and_response_pass_unchanged() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let headers = "authorization: Bearer t\r\nx-key: 1\r\nuser-agent: old/1\r\nmcp-protocol-version: 2024-11-05\r\n";
    let (mut client, stream) = session_with(&rig, &mut server, &endpoint("/m"), headers).await;
    for (response, status, body) in [
        (ACCEPTED, "202", "Accepted"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "204", ""),
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 9\r\n\r\nNo thanks", "400", "No thanks"),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "500", ""),
    ] {
        // A server of this transport decides itself what it takes.
        for message in [CALL, "no message"] {
            client.send(message).await;
            let exchange = server.next().await;
            assert_eq!(exchange.text(), message);
            for (name, value) in [
                ("authorization", "Bearer t"),
                ("x-key", "1"),
                ("user-agent", "old/1"),
                ("mcp-protocol-version", "2024-11-05"),
            ] {
                assert_eq!((exchange.head.all(name), stream.head.all(name)), (vec![value], vec![value]), "{name}");
            }
            exchange.answer(response).await;
            let answer = client.answer().await;
            assert_eq!((answer.status(), answer.text()), (status, body));
            assert_eq!(answer.head.get("x-mine"), (status == "202").then_some("1"));
        }
    }
}

#[tokio::test]
async fn refused_stream_passes_the_refusal() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    for (start, body) in [("401 Unauthorized", "who?"), ("200 OK", "<html>"), ("404 Not Found", "")] {
        let mut client = rig.client().await;
        client.request("GET /sse?key=1", "accept: text/event-stream\r\n", b"").await;
        let exchange = server.next().await;
        assert_eq!(exchange.head.second_word(), "/a/b/sse?key=1");
        let length = body.len();
        exchange
            .answer(format!("HTTP/1.1 {start}\r\nwww-authenticate: Bearer\r\ncontent-length: {length}\r\n\r\n{body}"))
            .await;
        let response = client.response().await;
        assert_eq!((response.status(), response.text()), (&start[..3], body));
        assert_eq!(response.head.get("www-authenticate"), Some("Bearer"));
    }
    for nth in 1..=3 {
        rig.closed(rig.session(nth).await).await;
    }
}

/// Its first event says where to post: a stream in a coding that nobody here knows is none.
#[tokio::test]
async fn stream_in_an_unknown_coding_is_refused_at_once() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let mut client = rig.client().await;
    client.request("GET /sse", "accept-encoding: gzip\r\n", b"").await;
    let mut exchange = server.next().await;
    assert_eq!(exchange.head.all("accept-encoding"), ["identity"]);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: compress\r\n\r\n";
    exchange.write([head.as_bytes(), b"\x1f\x9d\x90"].concat()).await;
    let response = client.response().await;
    assert_eq!(response.status(), "502");
    assert!(response.text().contains("with text/event-stream, compressed as compress"), "{}", response.text());
    exchange.hung_up().await;
    rig.closed(rig.session(1).await).await;
}

#[tokio::test]
async fn unreachable_server_is_502() {
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rig = Rig::before_events(&format!("http://{address}/sse")).await;
    let mut client = rig.client().await;
    client.request("GET /sse", "", b"").await;
    let response = client.response().await;
    assert_eq!((response.status(), &response.json()["error"]["code"]), ("502", &json!(-31000)));
    rig.closed(rig.session(1).await).await;
}

#[tokio::test]
async fn client_hang_up_ends_both_sides() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let (mut client, stream) = session(&rig, &mut server, &endpoint("/m?id=1")).await;
    rig.hold("~q").await;
    client.send(CALL).await;
    let held = rig.held(1).await;
    let (mut poster, address) = client.hang_up();
    stream.hung_up().await;
    assert_eq!(word(&rig.fate(&held).await.outcome), "abandoned");
    assert_eq!(poster.response().await.status(), "404");
    assert_eq!(rig.closed(rig.session(1).await).await, "the client hung up");
    poster.request(&format!("POST {address}"), "content-length: 0\r\n", b"").await;
    assert_eq!(poster.response().await.status(), "404");
    assert!(server.is_idle(), "nothing of it reached the server");
}

#[tokio::test]
async fn server_stream_end_ends_both_sides() {
    for breaks in [false, true] {
        let mut server = Server::start().await;
        let rig = Rig::before_events(&events_url(&server)).await;
        let (mut client, mut stream) = session(&rig, &mut server, &endpoint("/m")).await;
        stream.write("data: {\"jsonrpc\":\"2.0\",\"method\":\"last\"}\n\n").await;
        assert_eq!(client.message().await["method"], "last");
        if breaks {
            stream.reset();
        } else {
            drop(stream);
        }
        assert_eq!(client.ends().await, !breaks);
        let reason = rig.closed(rig.session(1).await).await;
        assert!(reason.starts_with("its server is gone: "), "{reason}");
        assert_eq!(client.post(CALL).await.status(), "404");
    }
}

#[tokio::test]
async fn events_and_posts_can_be_held_and_edited() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let (mut client, mut stream) = session(&rig, &mut server, &endpoint("/m")).await;
    rig.hold("~m tools/call | ~m held").await;

    client.send(CALL).await;
    let held = rig.held(1).await;
    let edit = CALL.replace("{}", r#"{"n": 1.10}"#);
    rig.settle(held.ticket, Decision::Edit(Message::new(edit.clone())));
    let exchange = server.next().await;
    assert_eq!((exchange.text(), exchange.head.get("content-length")), (&*edit, Some(&*edit.len().to_string())));
    exchange.answer(ACCEPTED).await;
    assert_eq!(client.answer().await.text(), "Accepted");
    assert_eq!(word(&rig.fate(&held).await.outcome), "edited");

    stream
        .write("id: 1\nretry: 5\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"held\"}\n\n: two\n\ndata: {\"id\":1}\n\n")
        .await;
    let held = rig.held(2).await;
    assert_eq!(client.frame().await.unwrap().raw, ": two\n\n", "it holds only itself");
    assert_eq!(client.frame().await.unwrap().raw, "data: {\"id\":1}\n\n");
    rig.settle(held.ticket, Decision::Edit(Message::new(r#"{"jsonrpc":"2.0","method":"edited"}"#)));
    let expected = "id: 1\nretry: 5\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"edited\"}\n\n";
    assert_eq!(client.frame().await.unwrap().raw, expected);
}

#[tokio::test]
async fn blocked_post_is_answered_on_the_stream() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let (mut client, _stream) = session(&rig, &mut server, &endpoint("/m")).await;
    rig.hold("~q").await;
    client.send(CALL).await;
    let error = tapline::event::BlockError::JsonRpc { code: 5, message: "no".to_owned(), data: None };
    rig.settle(rig.held(1).await.ticket, Decision::Block(error));
    assert_eq!(client.answer().await.status(), "202");
    assert_eq!(client.message().await, json!({"jsonrpc": "2.0", "id": 7, "error": {"code": 5, "message": "no"}}));
    assert!(server.is_idle());
}

#[tokio::test]
async fn operator_request_is_withheld_from_the_client() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let (mut client, mut stream) =
        session_with(&rig, &mut server, &endpoint("/m"), "authorization: Bearer t\r\n").await;
    client.send(CALL).await;
    server.next().await.answer(ACCEPTED).await;
    client.answer().await;
    rig.command_now(Command::Send { session: rig.session(1).await, message: Message::new(CALL) });
    let exchange = server.next().await;
    assert_eq!(exchange.head.get("authorization"), Some("Bearer t"));
    let id = exchange.message()["id"].clone();
    exchange.answer(ACCEPTED).await;
    let reply = json!({"jsonrpc": "2.0", "id": id, "result": {}});
    stream.write(format!("data: {reply}\n\ndata: {{\"id\":7,\"result\":{{}}}}\n\n")).await;
    assert_eq!(client.message().await["id"], 7, "the first reply is not the client's");
    let withheld = rig.message(ToClient, |it| it.message.id().is_some_and(|it| id == *it.display())).await;
    assert_eq!(word(&withheld.outcome), "withheld");
}

#[tokio::test]
async fn child_is_served_over_legacy_sse() {
    let alive = ProcessAlive::new();
    let server = r#"while read -r line; do echo "$line" | sed 's/"method":"[a-z]*"/"result":{}/'; done"#;
    let script = format!("{}{server}", alive.line());
    let rig = Rig::strict(Settings::new(command(&["sh", "-c", &script]))).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    assert!(is_ours(&client.address), "{}", client.address);
    let answer = client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
    assert_eq!((answer.status(), answer.text()), ("202", "Accepted"));
    assert_eq!(
        client.frame().await.unwrap().raw,
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"
    );
    assert_eq!(client.post("nonsense").await.status(), "400");
    let mut raw = rig.client().await;
    let json = "content-type: application/json\r\ncontent-length: 2\r\n";
    for (start, head, status) in [
        (format!("POST {}", client.address), "content-type: text/plain\r\ncontent-length: 2\r\n", "400"),
        (format!("POST {}0", client.address), json, "404"),
        ("POST /message".to_owned(), json, "404"),
        ("POST /sse".to_owned(), json, "405"),
    ] {
        raw.request(&start, head, b"{}").await;
        assert_eq!(raw.response().await.status(), status, "{start} {head}");
    }
    raw.request("GET /sse", "accept: text/html\r\n", b"").await;
    assert_eq!(raw.response().await.status(), "406");
    raw.request("GET /sse", "origin: https://evil.example\r\n", b"").await;
    assert_eq!(raw.response().await.status(), "403");
    drop(client);
    alive.ended().await;
    assert_eq!(rig.closed(rig.session(1).await).await, "the client hung up");
}

#[tokio::test]
async fn streams_end_cleanly_with_tapline() {
    let alive = ProcessAlive::new();
    let rig = Rig::script(&format!("{}cat; echo '{{\"id\":1,\"result\":\"at the end\"}}'", alive.line())).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    let quitting = tokio::spawn(rig.quit(OnQuit::Forward));
    assert_eq!(client.message().await["result"], "at the end");
    assert!(client.ends().await);
    alive.ended().await;
    soon("the end", quitting).await.unwrap();
}

#[tokio::test]
async fn streamable_http_client_reaches_a_legacy_sse_server() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let mut client = rig.client().await;
    client.headers = "authorization: Bearer t\r\n".to_owned();
    client.post(INITIALIZE).await;
    let mut stream = server.next().await;
    assert_eq!(
        (stream.head.start.as_str(), stream.head.get("accept")),
        ("GET /a/b/sse HTTP/1.1", Some("text/event-stream"))
    );
    assert_eq!((stream.head.get("authorization"), stream.head.get("content-type")), (Some("Bearer t"), None));
    stream.begin_stream().await;
    stream.write(endpoint("/m")).await;
    // A server may answer before it says that it has the request.
    let exchange = server.next().await;
    assert_eq!((exchange.text(), exchange.head.get("authorization")), (INITIALIZE, Some("Bearer t")));
    stream.write("data: {\"jsonrpc\":\"2.0\",\"id\":0,\"result\":{}}\n\n").await;
    let response = client.response().await;
    assert_eq!((response.status(), &response.json()["id"]), ("200", &json!(0)));
    exchange.answer(ACCEPTED).await;
    let id = response.head.get("mcp-session-id").unwrap();
    client.headers = format!("mcp-session-id: {id}\r\n");

    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.get("mcp-session-id"), None, "that is between the client and us");
    exchange.answer("HTTP/1.1 413 Too Much\r\ncontent-length: 4\r\n\r\nmuch").await;
    let response = client.response().await;
    assert_eq!((response.status(), response.text()), ("413", "much"));
    client.request("DELETE /mcp", "", b"").await;
    assert_eq!(client.response().await.status(), "200");
    stream.hung_up().await;
}

#[tokio::test]
async fn auth_challenge_reaches_a_streamable_http_client() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&events_url(&server)).await;
    let mut client = rig.client().await;
    client.post(INITIALIZE).await;
    let challenge = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\ncontent-length: 0\r\n\r\n";
    server.next().await.answer(challenge).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.head.get("www-authenticate")), ("401", Some("Bearer")));
    // Any other refusal says nothing of the server's /mcp, which there is not.
    client.post(INITIALIZE).await;
    server.next().await.answer("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.status(), "502");
    assert!(response.text().contains("404") && response.text().contains("--transport"), "{}", response.text());
}

#[tokio::test]
async fn legacy_sse_client_credentials_reach_a_streamable_http_server() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = LegacySseClient::open_with(rig.address(), "authorization: Bearer t\r\nx-key: 1\r\n").await;
    assert_eq!(client.post(INITIALIZE).await.text(), "Accepted");
    let exchange = server.next().await;
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("x-key", "1"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ] {
        assert_eq!(exchange.head.all(name), [value]);
    }
    let reply = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;
    exchange.json_with("mcp-session-id: s\r\n", reply).await;
    assert_eq!(client.frame().await.unwrap().raw, format!("event: message\ndata: {reply}\n\n"));
    client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let exchange = server.next().await;
    for (name, value) in
        [("mcp-session-id", "s"), ("mcp-protocol-version", "2025-06-18"), ("authorization", "Bearer t")]
    {
        assert_eq!(exchange.head.all(name), [value]);
    }
    exchange.accept().await;
    assert_eq!(client.answer().await.status(), "202");
    let listening = server.next().await;
    assert_eq!(
        (listening.head.start.as_str(), listening.head.get("authorization")),
        ("GET /mcp HTTP/1.1", Some("Bearer t"))
    );
    // A refusal comes as the error of the request.
    client.post(CALL).await;
    server.next().await.answer("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n").await;
    let error = client.message().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(7), &json!(-31000)));
    drop(client);
    listening.hung_up().await;
    assert_eq!(server.next().await.head.start, "DELETE /mcp HTTP/1.1");
}
