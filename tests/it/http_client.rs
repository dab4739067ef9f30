//! Where tapline itself is the HTTP client: redirections, compressed answers, sessions that a server forgets.

use async_compression::tokio::write::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use serde_json::{Value, json};
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::event::Level;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::bridges::Front;
use crate::support::{Exchange, INITIALIZE, Rig, Server};

const LIST: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"x"}}"#;
const TOOLS: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#;

fn redirect(status: &str, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

fn refusal(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// An SSE client says which transport of its own it comes by; a pipe says nothing.
const FRONTS: [&str; 2] = ["pipe", "events"];

#[tokio::test]
async fn redirection_in_the_origin_is_followed_and_remembered() {
    for front in FRONTS {
        let mut server = Server::start().await;
        let rig = Rig::before(&server.url()).await;
        let mut front = Front::of(front, &rig).await;
        front.say(LIST.as_bytes()).await;
        let whole = format!("http://{}/new/mcp/", server.address());
        for (place, status, location) in [("/mcp", "307", "/other?a=1"), ("/other?a=1", "308", &whole)] {
            let exchange = server.next().await;
            assert_eq!((&*exchange.head.start, exchange.text()), (&*format!("POST {place} HTTP/1.1"), LIST));
            exchange.answer(redirect(status, location)).await;
        }
        let exchange = server.next().await;
        assert_eq!((&*exchange.head.start, exchange.text()), ("POST /new/mcp/ HTTP/1.1", LIST));
        assert_eq!(exchange.head.get("content-type"), Some("application/json"));
        exchange.json(TOOLS).await;
        assert_eq!(front.hear().await, TOOLS);

        // There at once, until it is gone.
        for (place, gone) in [("/new/mcp/", false), ("/new/mcp/", true), ("/mcp", false)] {
            front.say(LIST.as_bytes()).await;
            let exchange = server.next().await;
            assert_eq!(exchange.head.second_word(), place);
            match gone {
                true => exchange.answer(refusal("404", "")).await,
                false => exchange.json(TOOLS).await,
            }
            let heard = front.hear().await;
            assert_eq!(heard == TOOLS, !gone, "{heard:?}");
        }
    }
}

#[tokio::test]
async fn redirection_to_another_origin_is_an_error_that_names_it() {
    let (mut server, mut other) = (Server::start().await, Server::start().await);
    let rig = Rig::before(&server.url()).await;
    let mut front = Front::of("pipe", &rig).await;
    let elsewhere = format!("http://{}/mcp", other.address());
    front.say(CALL.as_bytes()).await;
    server.next().await.answer(redirect("308", &format!("{elsewhere}?key=secret"))).await;
    let heard: Value = serde_json::from_slice(&front.hear().await).unwrap();
    let text = heard["error"]["message"].as_str().unwrap();
    assert!(text.contains(&format!("redirects to another origin, `{elsewhere}`")), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(heard["id"], 8);
    assert!(other.is_idle());

    front.say(CALL.as_bytes()).await;
    for _ in 0..6 {
        server.next().await.answer(redirect("307", "")).await;
    }
    let heard = front.hear().await;
    assert!(String::from_utf8_lossy(&heard).contains("redirects more than 5 times in a row"), "{heard:?}");
    assert!(server.is_idle());
}

#[tokio::test]
async fn http_client_gets_redirections_and_compressed_bodies_as_they_are() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.post(LIST).await;
    server.next().await.answer(redirect("307", "/other")).await;
    assert_eq!(client.response().await.status(), "307");
    client.post(LIST).await;
    let compressed = compressed("gzip", TOOLS.as_bytes()).await;
    server.next().await.json_with("content-encoding: gzip\r\n", &compressed).await;
    let response = client.response().await;
    assert_eq!(response.head.get("content-encoding"), Some("gzip"));
    assert_eq!(response.body, compressed);
}

async fn through<W: AsyncWrite + Unpin>(
    mut encoder: W,
    pieces: &[&[u8]],
    finish: bool,
    into: impl Fn(W) -> Vec<u8>,
) -> Vec<u8> {
    for piece in pieces {
        encoder.write_all(piece).await.unwrap();
        encoder.flush().await.unwrap();
    }
    if finish {
        encoder.shutdown().await.unwrap();
    }
    into(encoder)
}

/// What was flushed after these pieces; with `finish` a whole body.
async fn encoded(coding: &str, pieces: &[&[u8]], finish: bool) -> Vec<u8> {
    let none = Vec::new;
    match coding {
        "gzip" => through(GzipEncoder::new(none()), pieces, finish, GzipEncoder::into_inner).await,
        "deflate" => through(ZlibEncoder::new(none()), pieces, finish, ZlibEncoder::into_inner).await,
        "raw deflate" => through(DeflateEncoder::new(none()), pieces, finish, DeflateEncoder::into_inner).await,
        "br" => through(BrotliEncoder::new(none()), pieces, finish, BrotliEncoder::into_inner).await,
        _ => through(ZstdEncoder::new(none()), pieces, finish, ZstdEncoder::into_inner).await,
    }
}

async fn compressed(coding: &str, body: &[u8]) -> Vec<u8> {
    encoded(coding, &[body], true).await
}

const CODINGS: [&str; 5] = ["gzip", "deflate", "raw deflate", "br", "zstd"];

fn name(coding: &str) -> &str {
    coding.trim_start_matches("raw ")
}

#[tokio::test]
async fn compressed_answer_is_decoded() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    for front in FRONTS {
        let mut front = Front::of(front, &rig).await;
        for coding in CODINGS {
            front.say(LIST.as_bytes()).await;
            let body = compressed(coding, TOOLS.as_bytes()).await;
            let header = format!("content-encoding: {}\r\n", name(coding));
            server.next().await.json_with(&header, body).await;
            assert_eq!(front.hear().await, TOOLS, "{coding}");
        }
        // Two, one over the other; and nothing, which is no body of any of them.
        front.say(LIST.as_bytes()).await;
        let body = compressed("br", &compressed("gzip", TOOLS.as_bytes()).await).await;
        server.next().await.json_with("content-encoding: gzip, br\r\n", body).await;
        assert_eq!(front.hear().await, TOOLS);
        front.say(br#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await;
        let empty = "HTTP/1.1 202 Accepted\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        server.next().await.answer(empty).await;
        // What is broken is said to be.
        if let Front::Events(client) = &mut front {
            client.answer().await;
        }
        front.say(LIST.as_bytes()).await;
        server.next().await.json_with("content-encoding: gzip\r\n", "no gzip at all").await;
        let heard = front.hear().await;
        assert!(String::from_utf8_lossy(&heard).contains("broke off"), "{heard:?}");
    }
}

#[tokio::test]
async fn compressed_event_is_heard_when_it_is_flushed() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut front = Front::of("pipe", &rig).await;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;
    let events = [format!("data: {progress}\n\n"), format!("data: {TOOLS}\n\n")];
    for coding in CODINGS {
        front.say(LIST.as_bytes()).await;
        let mut exchange = server.next().await;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n";
        exchange.write(format!("{head}content-encoding: {}\r\n\r\n", name(coding))).await;
        let first = encoded(coding, &[events[0].as_bytes()], false).await;
        let both = encoded(coding, &[events[0].as_bytes(), events[1].as_bytes()], true).await;
        assert!(both.starts_with(&first), "{coding}");
        exchange.write(&first).await;
        assert_eq!(front.hear().await, progress, "{coding}");
        exchange.write(&both[first.len()..]).await;
        drop(exchange);
        assert_eq!(front.next().await, TOOLS, "{coding}");
    }
}

#[tokio::test]
async fn event_stream_transport_is_redirected_and_decoded() {
    let mut server = Server::start().await;
    let rig = Rig::before_events(&format!("http://{}/sse", server.address())).await;
    let mut front = Front::of("pipe", &rig).await;
    server.next().await.answer(redirect("307", "/v2/sse")).await;
    let mut stream = server.next().await;
    assert_eq!(stream.head.start, "GET /v2/sse HTTP/1.1");
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ncontent-encoding: gzip\r\n\r\n";
    stream.write(head).await;
    let endpoint = "event: endpoint\ndata: messages\n\n";
    let reply = format!("data: {TOOLS}\n\n");
    let first = encoded("gzip", &[endpoint.as_bytes()], false).await;
    let both = encoded("gzip", &[endpoint.as_bytes(), reply.as_bytes()], false).await;
    stream.write(&first).await;
    front.say(LIST.as_bytes()).await;
    let post = server.next().await;
    assert_eq!(post.head.start, "POST /v2/messages HTTP/1.1");
    post.answer(redirect("308", "/v2/messages/")).await;
    let post = server.next().await;
    assert_eq!((&*post.head.start, post.text()), ("POST /v2/messages/ HTTP/1.1", LIST));
    post.accept().await;
    stream.write(&both[first.len()..]).await;
    assert_eq!(front.hear().await, TOOLS);
}

#[tokio::test]
async fn answer_to_a_notification_that_is_no_message_stays_off_stdout() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut front = Front::of("pipe", &rig).await;
    for (said, answer) in [
        (r#"{"jsonrpc":"2.0","method":"notifications/x"}"#, "OK"),
        (r#"{"jsonrpc":"2.0","method":"notifications/x"}"#, r#"{"status":"accepted"}"#),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "null"),
    ] {
        front.say(said.as_bytes()).await;
        server.next().await.json(answer).await;
    }
    front.say(br#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await;
    server.next().await.stream("data: OK\n\n").await;
    // A message is one, whatever it comes with.
    let news = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    front.say(br#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await;
    server.next().await.json(news).await;
    assert_eq!(front.next().await, news);
    rig.line(Level::Warn, "answered with something that is not a JSON-RPC message").await;
}

/// A server with one session after the other.
struct Forgetful {
    server: Server,
    /// The session that it knows.
    session: String,
    capabilities: Value,
}

impl Forgetful {
    fn initialized(&self, exchange: &Exchange) -> String {
        let id = &exchange.message()["id"];
        let result = json!({"protocolVersion": "2025-11-25", "capabilities": self.capabilities,
            "serverInfo": {"name": "s", "version": "1"}});
        json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
    }

    /// Answers in order; the listening streams that are opened meanwhile are refused, as they may be at any time.
    async fn next(&mut self) -> Exchange {
        loop {
            let exchange = self.server.next().await;
            if !exchange.head.start.starts_with("GET ") {
                return exchange;
            }
            exchange.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await;
        }
    }

    /// The next message is this one, in the session that is known.
    async fn expect(&mut self, method: &str) -> Exchange {
        let exchange = self.next().await;
        let sent = (exchange.message()["method"].clone(), exchange.head.get("mcp-session-id").map(str::to_owned));
        assert_eq!(sent, (json!(method), Some(self.session.clone())));
        assert_eq!(exchange.head.get("mcp-protocol-version"), Some("2025-11-25"), "{method}");
        exchange
    }

    /// The next begins a session, in none.
    async fn begin(&mut self, session: &str) -> Exchange {
        let exchange = self.next().await;
        assert_eq!(exchange.message()["method"], "initialize");
        assert_eq!(exchange.head.get("mcp-session-id"), None);
        session.clone_into(&mut self.session);
        exchange
    }
}

/// A client that has begun a session, subscribed to something and set the log level.
async fn began() -> (Rig, Forgetful, Front) {
    let capabilities = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "logging": {}});
    let mut server = Forgetful { server: Server::start().await, session: String::new(), capabilities };
    let rig = Rig::before(&server.server.url()).await;
    let mut front = Front::of("pipe", &rig).await;
    front.say(INITIALIZE.as_bytes()).await;
    let exchange = server.begin("one").await;
    let result = server.initialized(&exchange);
    exchange.json_with("mcp-session-id: one\r\n", &result).await;
    assert_eq!(front.hear().await, result);
    front.say(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    server.expect("notifications/initialized").await.accept().await;
    for said in [
        r#"{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"debug"}}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"resources/subscribe","params":{"uri":"a:b"}}"#,
    ] {
        front.say(said.as_bytes()).await;
        let exchange = server.next().await;
        let reply = json!({"jsonrpc": "2.0", "id": exchange.message()["id"], "result": {}}).to_string();
        exchange.json(&reply).await;
        assert_eq!(front.hear().await, reply);
    }
    (rig, server, front)
}

/// What a server is told again that has forgotten everything.
async fn begin_again(server: &mut Forgetful, session: &str) {
    let exchange = server.begin(session).await;
    let result = server.initialized(&exchange);
    let mut exchange = exchange;
    // As the SDK of TypeScript does.
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: {session}\r\n");
    exchange.write(format!("{head}connection: close\r\n\r\nevent: message\ndata: {result}\n\n")).await;
    drop(exchange);
    server.expect("notifications/initialized").await.accept().await;
    let level = server.expect("logging/setLevel").await;
    assert_eq!(level.message()["params"]["level"], "debug");
    let reply = json!({"jsonrpc": "2.0", "id": level.message()["id"], "result": {}}).to_string();
    level.json(reply).await;
    let subscription = server.expect("resources/subscribe").await;
    assert_eq!(subscription.message()["params"]["uri"], "a:b");
    let reply = json!({"jsonrpc": "2.0", "id": subscription.message()["id"], "result": {}}).to_string();
    subscription.json(reply).await;
}

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

#[tokio::test]
async fn forgotten_session_is_begun_again() {
    let (rig, mut server, mut front) = began().await;
    let unknown = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#;
    let mut session = "one".to_owned();
    for (status, next) in [("404", "two"), ("400", "three")] {
        front.say(LIST.as_bytes()).await;
        server.expect("tools/list").await.answer(refusal(status, unknown)).await;
        begin_again(&mut server, next).await;
        // It is asked again, as that can do no harm.
        server.expect("tools/list").await.json(TOOLS).await;
        assert_eq!(front.hear().await, CHANGED);
        assert_eq!(front.next().await, TOOLS);
        assert_ne!(session, next);
        next.clone_into(&mut session);
    }
    rig.line(
        Level::Info,
        "session begun again, forgotten by the server (HTTP 404 Not Found): `initialize`, 1 subscription, log level",
    )
    .await;
    rig.message(ToServer, |it| it.method() == Some("logging/setLevel") && it.message.id().unwrap().display() != "3")
        .await;

    // One that may do something is not.
    front.say(CALL.as_bytes()).await;
    server.expect("tools/call").await.answer(refusal("404", unknown)).await;
    begin_again(&mut server, "four").await;
    assert_eq!(front.hear().await, CHANGED);
    let heard: Value = serde_json::from_slice(&front.next().await).unwrap();
    let text = heard["error"]["message"].as_str().unwrap();
    assert!(heard["id"] == 8 && text.contains("had forgotten the session") && text.contains("send it again"), "{text}");
    front.say(CALL.as_bytes()).await;
    let reply = r#"{"jsonrpc":"2.0","id":8,"result":{}}"#;
    server.expect("tools/call").await.json(reply).await;
    assert_eq!(front.hear().await, reply);
}

#[tokio::test]
async fn forgotten_session_is_begun_again_once_for_all_that_wait() {
    let (_rig, mut server, mut front) = began().await;
    let lists: Vec<_> =
        (20..24).map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"prompts/list"}}"#)).collect();
    let mut waiting = Vec::new();
    for list in &lists {
        front.say(list.as_bytes()).await;
        waiting.push(server.expect("prompts/list").await);
    }
    for exchange in waiting {
        exchange.answer(refusal("404", "")).await;
    }
    begin_again(&mut server, "two").await;
    for _ in &lists {
        let exchange = server.expect("prompts/list").await;
        let reply = json!({"jsonrpc": "2.0", "id": exchange.message()["id"], "result": {}}).to_string();
        exchange.json(reply).await;
    }
    let mut heard = Vec::new();
    for _ in 0..=lists.len() {
        heard.push(String::from_utf8(front.next().await.to_vec()).unwrap());
    }
    assert_eq!(heard.iter().filter(|line| *line == CHANGED).count(), 1, "{heard:?}");
    assert!((20..24).all(|id| heard.iter().any(|line| line.contains(&format!("\"id\":{id}")))), "{heard:?}");
}

#[tokio::test]
async fn refusal_of_one_request_forgets_no_session() {
    let (rig, mut server, mut front) = began().await;
    let error = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no cursor"}}"#;
    front.say(LIST.as_bytes()).await;
    server.expect("tools/list").await.answer(refusal("400", error)).await;
    assert_eq!(front.hear().await, error);
    // A server that does not begin again: what it said stands, and the next may try.
    for _ in 0..2 {
        front.say(LIST.as_bytes()).await;
        server.expect("tools/list").await.answer(refusal("404", "")).await;
        let again = server.next().await;
        assert_eq!(again.message()["method"], "initialize");
        again.answer(refusal("503", "")).await;
        let heard = String::from_utf8(front.hear().await.to_vec()).unwrap();
        assert!(heard.contains("answered HTTP 404") && heard.contains("\"id\":7"), "{heard}");
    }
    rig.line(Level::Error, "does not begin it again: HTTP 503").await;
    rig.message(ToClient, |it| it.message.raw().starts_with(error.as_bytes())).await;
}
