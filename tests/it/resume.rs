//! Streams that break off and are taken up again: by clients, who find the server as it would be without us, and by us in place of clients
//! that cannot.

use serde_json::json;
use tapline::envelope::Direction::ToClient;

use crate::bridges::Front;
use crate::support::{Client, Exchange, Rig, Server, soon};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#;
const REPLY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"n":1.10}}"#;
const SESSION: &str = "mcp-session-id: s\r\n";

async fn client_of(rig: &Rig, headers: &str) -> Client {
    let mut client = rig.client().await;
    client.headers = format!("{SESSION}{headers}");
    client
}

/// Begins a stream and says something on it that the client gets.
async fn streaming(exchange: &mut Exchange, client: &mut Client, event: &str) {
    exchange.begin_stream().await;
    assert_eq!(client.head().await.second_word(), "200");
    exchange.write(event).await;
    assert_eq!(client.bytes(event.len()).await, event.as_bytes());
}

/// The server of an SDK answers 409 as long as it believes that the stream is still open: it must know before the client is back.
#[tokio::test]
async fn reconnecting_client_finds_its_stream_free() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    for call in [true, false] {
        let mut client = client_of(&rig, "").await;
        if call {
            client.post(CALL).await;
        } else {
            client.get().await;
        }
        let mut exchange = server.next().await;
        streaming(&mut exchange, &mut client, "id: 4\nretry: 10\ndata:\n\n").await;
        drop(client);
        exchange.hung_up().await;
        let mut client = client_of(&rig, "last-event-id: 4\r\n").await;
        client.get().await;
        let mut exchange = server.next().await;
        assert_eq!(exchange.head.start, "GET /mcp HTTP/1.1");
        assert_eq!((exchange.head.get("last-event-id"), exchange.head.get("mcp-session-id")), (Some("4"), Some("s")));
        streaming(&mut exchange, &mut client, &format!("id: 5\ndata: {REPLY}\n\n")).await;
        drop(exchange);
        assert_eq!(client.rest().await, "");
        if call {
            // It answers the call, though it came elsewhere.
            let reply = rig.message(ToClient, |it| it.message.id().is_some()).await;
            assert_eq!(reply.reply_to.as_ref().unwrap().subject.method.as_ref(), "tools/call");
        }
    }
}

#[tokio::test]
async fn second_stream_is_for_the_server_to_decide() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut first = client_of(&rig, "").await;
    first.get().await;
    let mut listening = server.next().await;
    streaming(&mut listening, &mut first, ": one\n\n").await;
    for (status, body) in [("409 Conflict", "only one"), ("405 Method Not Allowed", "none"), ("404 Not Found", "who?")]
    {
        let mut second = client_of(&rig, "").await;
        second.get().await;
        let length = body.len();
        server.next().await.answer(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        let response = second.response().await;
        assert_eq!((response.status(), response.text()), (&status[..3], body));
        // 404 ends the session for the client, and yet its open stream is the server's to end.
        listening.write(": two\n\n").await;
        if status.starts_with("404") {
            assert_eq!(first.rest().await, "", "in good order");
        } else {
            assert_eq!(first.bytes(7).await, b": two\n\n");
        }
    }
}

#[tokio::test]
async fn child_stream_is_free_after_a_hang_up() {
    let script = r#"while read -r l; do case "$l" in
        *initialize*) echo '{"id":0,"result":{}}' ;;
        *) echo '{"method":"said"}' ;;
    esac; done"#;
    let rig = Rig::script(script).await;
    let mut client = rig.client().await;
    client.initialize().await;
    let mut first = rig.client().await;
    first.headers.clone_from(&client.headers);
    first.get().await;
    assert_eq!(first.head().await.second_word(), "200");
    drop(first);
    // That is heard of at some time: until then the stream is taken.
    let listening = async {
        loop {
            let mut second = rig.client().await;
            second.headers.clone_from(&client.headers);
            second.get().await;
            match second.head().await.second_word() {
                "409" => drop(second.rest().await),
                status => break (second, status.to_owned()),
            }
        }
    };
    let (mut second, status) = soon("a free stream", listening).await;
    assert_eq!(status, "200");
    client.call(r#"{"method":"speak"}"#).await;
    let said = "event: message\ndata: {\"method\":\"said\"}\n\n";
    assert_eq!(second.bytes(said.len()).await, said.as_bytes());
}

/// What a Streamable HTTP client does with a stream that the server ends early (2025-11-25, transports: a server may, to be polled).
#[tokio::test]
async fn bridge_resumes_a_stream_that_ended_before_the_reply() {
    for client in ["events", "pipe"] {
        let mut server = Server::start().await;
        let rig = Rig::before(&server.url()).await;
        let mut front = Front::of(client, &rig).await;
        front.say(CALL.as_bytes()).await;
        server.next().await.stream("id: 1\nretry: 1\ndata:\n\n").await;
        let poll = server.next().await;
        assert_eq!((poll.head.start.as_str(), poll.head.get("last-event-id")), ("GET /mcp HTTP/1.1", Some("1")));
        assert_eq!(poll.head.all("accept"), ["text/event-stream"]);
        // Still nothing; and this time it breaks.
        let mut poll = poll;
        poll.begin_stream().await;
        poll.write("id: 2\ndata: {\"method\":\"notifications/progress\"}\n\n").await;
        assert_eq!(front.hear().await, r#"{"method":"notifications/progress"}"#);
        poll.reset();
        let poll = server.next().await;
        assert_eq!(poll.head.get("last-event-id"), Some("2"));
        poll.stream(format!("id: 3\ndata: {REPLY}\n\n")).await;
        assert_eq!(front.next().await, REPLY);
    }
}

/// A server that knows nothing of a stream may end each in good order (rmcp does): its client is told in the end.
#[tokio::test]
async fn bridge_resumes_a_stream_in_vain_only_so_often() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut front = Front::of("pipe", &rig).await;
    front.say(CALL.as_bytes()).await;
    server.next().await.stream("id: 1\nretry: 1\ndata:\n\n").await;
    let polls = async {
        for _ in 0..20 {
            server.next().await.stream("").await;
        }
    };
    polls.await;
    let error: serde_json::Value = serde_json::from_slice(&front.hear().await).unwrap();
    assert_eq!(error["id"], 7);
    let text = error["error"]["message"].as_str().unwrap();
    assert!(text.contains("asked for 20 times more"), "{text}");
    assert!(server.is_idle());
}

#[tokio::test]
async fn bridge_resumes_the_get_stream() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut front = Front::of("pipe", &rig).await;
    front.say(br#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#).await;
    let reply = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    server.next().await.json_with(SESSION, reply).await;
    assert_eq!(front.hear().await, reply);
    front.say(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    server.next().await.accept().await;
    for (after, next) in [(None, "a/1"), (Some("a/1"), "a/2"), (Some("a/2"), "a/3")] {
        let listening = server.next().await;
        assert_eq!(listening.head.start, "GET /mcp HTTP/1.1");
        let sent = ["mcp-session-id", "mcp-protocol-version", "last-event-id"].map(|name| listening.head.get(name));
        assert_eq!(sent, [Some("s"), Some("2025-11-25"), after]);
        listening.stream(format!("id: {next}\nretry: 1\ndata: {{\"method\":\"{next}\"}}\n\n")).await;
        assert_eq!(front.hear().await, json!({"method": next}).to_string());
    }
    // Another time the server has no such stream: that is no failure.
    server.next().await.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await;
    front.say(CALL.as_bytes()).await;
    server.next().await.json(REPLY).await;
    assert_eq!(front.hear().await, REPLY);
    assert_eq!(rig.complaints(), Vec::<String>::new());
}
