//! What is wrong, from either side: passed on where that is possible, refused in words where it is not.

use std::net::SocketAddr;

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::event::Level;
use tapline::message::Kind;
use tokio::net::TcpListener;

use crate::support::{Rig, Server, settings, soon};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#;

#[tokio::test]
async fn invalid_json_is_forwarded_and_marked() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    let nonsense = r#"{"jsonrpc":"2.0","method":"#;
    client.post(nonsense).await;
    let exchange = server.next().await;
    assert_eq!(exchange.text(), nonsense);
    exchange.answer("HTTP/1.1 400 Bad\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>").await;
    assert_eq!(client.response().await.text(), "<html>");
    for (direction, flaw) in [(ToServer, "not JSON"), (ToClient, "not a JSON object")] {
        let passed = rig.message(direction, |_| true).await;
        assert_eq!(passed.kind(), Kind::Opaque);
        assert!(passed.message.head().flaw.as_ref().unwrap().starts_with(flaw), "{passed:?}");
    }
}

#[tokio::test]
async fn nested_batch_is_one_message() {
    let rig = Rig::script("cat").await;
    let mut client = rig.client().await;
    let depth = 100_000;
    client.post(format!("{}{}", "[".repeat(depth), "]".repeat(depth))).await;
    let passed = rig.message(ToServer, |_| true).await;
    assert_eq!(passed.kind(), Kind::Batch);
    let elements = passed.message.elements();
    assert_eq!((elements.len(), elements[0].kind()), (1, Kind::Opaque));
    assert!(!passed.message.asks() && !passed.message.answers());
}

#[tokio::test]
async fn unreachable_server_is_502_with_a_hint() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{address}/mcp");
    let rig = Rig::before(&url).await;
    let mut client = rig.client().await;
    for (message, id) in [
        (CALL, json!(7)),
        (r#"{"jsonrpc":"2.0","id":"x","method":"initialize"}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, json!(null)),
        (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, json!(null)),
        ("nonsense", json!(null)),
    ] {
        let response = client.call(message).await;
        assert_eq!((response.status(), response.head.get("content-type")), ("502", Some("application/json")));
        let error = response.json();
        assert_eq!((&error["id"], &error["error"]["code"]), (&id, &json!(-31000)), "{message}");
        let text = error["error"]["message"].as_str().unwrap();
        assert!(text.starts_with(&format!("tapline: cannot reach {url}: ")), "{text}");
        assert!(text.contains("refused") && text.ends_with("is the server running, and is this its URL?"), "{text}");
        assert_eq!(error["error"]["data"]["tapline"]["upstream"], json!(url));
    }
    client.get().await;
    assert_eq!(client.response().await.status(), "502");
    rig.line(Level::Error, "cannot reach").await;
    let answer = rig.message(ToClient, |it| it.reply_to.is_some()).await;
    assert_eq!(answer.transport.status, Some(502), "the error is part of the session");
}

#[tokio::test]
async fn reset_before_the_answer_is_502() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    for half in ["", "HTTP/1.1 200 OK\r\ncontent-type: appl", "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"json"] {
        client.post(CALL).await;
        let mut exchange = server.next().await;
        exchange.write(half).await;
        exchange.reset();
        let response = client.response().await;
        assert_eq!((response.status(), &response.json()["id"]), ("502", &json!(7)), "{half}");
        assert!(response.text().contains("broke off"), "{}", response.text());
    }
    // A request that may have done something is not sent twice.
    assert!(server.is_idle());
    client.post(CALL).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
}

#[tokio::test]
async fn broken_stream_breaks_for_the_client() {
    let whole = "data: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n\n";
    let torn = "data: {\"jsonrpc\":\"2.0\",\"id\":7,\"res";
    for head in ["connection: close", "content-length: 1000"] {
        let mut server = Server::start().await;
        let rig = Rig::before(&server.url()).await;
        let mut client = rig.client().await;
        client.post(CALL).await;
        let mut exchange = server.next().await;
        exchange.write(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{head}\r\n\r\n{whole}")).await;
        client.head().await;
        assert_eq!(client.bytes(whole.len()).await, whole.as_bytes());
        exchange.write(torn).await;
        exchange.reset();
        loop {
            match client.piece().await {
                Ok(Some(piece)) => assert!(torn.as_bytes().starts_with(&piece), "{piece:?}"),
                Ok(None) => panic!("the stream ended as if all were well"),
                Err(_) => break,
            }
        }
        rig.line(Level::Error, "broke off").await;
    }
}

#[tokio::test]
async fn host_and_origin_are_checked() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings {
        allow_hosts: vec!["dev.box".to_owned()],
        allow_origins: vec!["https://tool.example".to_owned()],
        ..settings(&server.url())
    })
    .await;
    let port = rig.address().port();
    for (host, origin, admitted) in [
        (format!("127.0.0.1:{port}"), "", true),
        (format!("localhost:{port}"), "", true),
        (format!("[::1]:{port}"), "http://localhost:5173", true),
        ("LOCALHOST".to_owned(), "https://tool.example", true),
        (format!("dev.box:{port}"), "", true),
        (format!("evil.example:{port}"), "", false),
        (format!("127.0.0.1.evil.example:{port}"), "", false),
        (format!("localhost.evil.example:{port}"), "", false),
        (format!("127.0.0.1:{port}"), "https://evil.example", false),
        (format!("127.0.0.1:{port}"), "http://localhost.evil.example", false),
        (format!("127.0.0.1:{port}"), "https://tool.example.evil.example", false),
        (format!("127.0.0.1:{port}"), "null", false),
    ] {
        for method in ["POST", "GET", "DELETE"] {
            let mut client = rig.client().await;
            let origin_line = if origin.is_empty() { String::new() } else { format!("origin: {origin}\r\n") };
            let head = format!("{method} /mcp HTTP/1.1\r\nhost: {host}\r\n{origin_line}content-length: 2\r\n\r\n{{}}");
            client.write(head.as_bytes()).await;
            if admitted {
                server.next().await.json("{}").await;
            }
            let response = client.response().await;
            assert_eq!(response.status(), if admitted { "200" } else { "403" }, "{method} {host} {origin}");
            if !admitted {
                assert!(response.text().contains("--allow-"), "{}", response.text());
            }
        }
    }
    assert!(server.is_idle(), "nothing else was forwarded");
}

#[tokio::test]
async fn missing_host_is_403() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.write(b"POST /mcp HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!(client.response().await.status(), "403");
    assert!(server.is_idle());
}

#[tokio::test]
async fn max_body_is_exact() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings { max_body: 1000, ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    client.post("x".repeat(1000)).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
    for framing in ["content-length: 1001\r\n\r\n", "transfer-encoding: chunked\r\n\r\n3e9\r\n"] {
        let mut client = rig.client().await;
        let body = "x".repeat(1001);
        let address = rig.address();
        client.write(format!("POST /mcp HTTP/1.1\r\nhost: {address}\r\n{framing}{body}\r\n0\r\n\r\n").as_bytes()).await;
        let response = client.response().await;
        assert_eq!(response.status(), "413");
        assert!(response.text().contains("larger than 1000 bytes; `--max-body` raises"), "{}", response.text());
    }
    assert!(server.is_idle());
}

#[tokio::test]
async fn partial_request_reaches_nobody() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let address: SocketAddr = rig.address();
    for half in [
        "POST /mcp HT",
        "POST /mcp HTTP/1.1\r\nhost: x",
        "POST /mcp HTTP/1.1\r\nhost: ::1\r\ncontent-length: 9\r\n\r\n{}",
    ] {
        let mut client = rig.client().await;
        client.write(half.replace("::1", &address.to_string()).as_bytes()).await;
        client.half_close().await;
        client.closed().await;
    }
    let mut client = rig.client().await;
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.text(), CALL, "nothing else came");
    exchange.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
}

/// A request that takes for ever to come costs a connection, and nobody else anything.
#[tokio::test]
async fn slow_clients_block_nobody_else() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let address = rig.address();
    let whole = format!("POST /mcp HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{CALL}", CALL.len());
    let mut slow = Vec::new();
    for cut in (0..whole.len()).step_by(3) {
        let mut client = rig.client().await;
        client.write(&whole.as_bytes()[..cut]).await;
        slow.push((client, cut));
    }
    // One that does not read what it is told,
    let mut deaf = rig.client().await;
    deaf.post(CALL).await;
    server.next().await.json("x".repeat(20 << 20)).await;
    deaf.head().await;
    // and one that is as it should be.
    let mut client = rig.client().await;
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.text(), CALL);
    exchange.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
    assert!(server.is_idle(), "half of a request is not forwarded");
    // At last, byte by byte.
    for (client, cut) in slow.iter_mut().step_by(7) {
        for byte in &whole.as_bytes()[*cut..] {
            client.write(std::slice::from_ref(byte)).await;
        }
        let exchange = server.next().await;
        assert_eq!(exchange.text(), CALL);
        exchange.json("{}").await;
        assert_eq!(client.response().await.status(), "200");
    }
    assert_eq!(deaf.rest().await.len(), 20 << 20);
}

#[tokio::test]
async fn oversized_headers_are_431() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let (many, large) = ("x: 1\r\n".repeat(1000), format!("x: {}\r\n", "y".repeat(1000)).repeat(1000));
    for headers in [format!("{many}\r\n"), format!("{large}\r\n"), large] {
        let mut client = rig.client().await;
        client.write(format!("POST /mcp HTTP/1.1\r\nhost: {}\r\n", rig.address()).as_bytes()).await;
        // It need not read to the end before it says so.
        drop(soon("room to write", client.try_write(headers.as_bytes())).await);
        assert_eq!(client.head().await.second_word(), "431");
    }
    let mut client = rig.client().await;
    client.post(CALL).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.status(), "200");
    assert!(server.is_idle());
}

#[tokio::test]
async fn command_upstream_has_one_endpoint() {
    let rig = Rig::script("while read -r line; do echo '{\"id\":1,\"result\":{}}'; done").await;
    let mut client = rig.client().await;
    for (start, status) in [
        ("POST /", "404"),
        ("POST /mcp/x", "404"),
        ("GET /favicon.ico", "404"),
        ("PUT /mcp", "405"),
        ("PATCH /mcp", "405"),
        ("TRACE /mcp", "405"),
    ] {
        client.request(start, "content-length: 0\r\n", b"").await;
        let response = client.response().await;
        assert_eq!(response.status(), status, "{start}");
        assert_eq!(response.json()["error"]["code"], -31003);
        let allow = (status == "405").then_some("POST, GET, DELETE");
        assert_eq!(response.head.get("allow"), allow, "{start}");
    }
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    client.request("POST /mcp/", &format!("content-length: {}\r\n", ping.len()), ping).await;
    assert_eq!(client.response().await.status(), "200");
}

#[tokio::test]
async fn request_ids_match_by_value() {
    // Each with the bytes that it came with, whatever it answers.
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    for (asked, answered, answers) in
        [("1", "1", true), ("2", "2.0", true), ("3", "\"3\"", true), ("\"4\"", "4", true), ("5", "6", false)]
    {
        client.post(format!(r#"{{"jsonrpc":"2.0","id":{asked},"method":"ping"}}"#)).await;
        let reply = format!(r#"{{"jsonrpc":"2.0","id":{answered},"result":{{}}}}"#);
        server.next().await.json(&reply).await;
        assert_eq!(client.response().await.text(), reply);
        let passed = rig.message(ToClient, |it| *it.message.raw() == reply).await;
        assert_eq!(passed.reply_to.is_some(), answers, "{asked} {answered}");
    }
}
