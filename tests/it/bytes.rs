//! What nobody edits leaves as the bytes that arrived: every body, every event, every header, both ways.

use proptest::test_runner::{Config, TestRunner};
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::message::Kind;

use crate::support::child::{mirrored, role};
use crate::support::{Client, Exchange, Rig, Server};

/// Bodies that a proxy spoils when it parses and writes again. All ask for `echo`, where they can ask at all.
pub(crate) fn odd_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let echo = |rest: &str| format!(r#"{{"jsonrpc":"2.0","method":"echo",{rest}}}"#).into_bytes();
    let deep = |depth| format!(r#""id":1,"params":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    vec![
        ("30 digits", echo(r#""id":1,"params":{"n":123456789012345678901234567890,"x":1.10,"y":1e2,"z":-0}"#)),
        ("a key twice", echo(r#""id":1,"params":{"a":1,"a":2},"x":0,"x":1"#)),
        ("the id twice", echo(r#""id":1,"id":2"#)),
        ("lone surrogates", echo(r#""id":1,"params":{"s":"\ud83d","t":"\udc00\ud83d"}"#)),
        ("escapes", echo(r#""id":1,"params":{"s":"\u00e9\/\u0000","t":"é😀"}"#)),
        ("depth 200", echo(&deep(200))),
        ("depth 5000", echo(&deep(5000))),
        ("white space", echo("\t \"id\" :\t7  ")),
        ("id of text", echo(r#""id":"a\u0062c""#)),
        ("id 1.0", echo(r#""id":1.0"#)),
        ("id of 30 digits", echo(r#""id":123456789012345678901234567890"#)),
        ("id null", echo(r#""id":null"#)),
        ("unknown members", echo(r#""id":1,"extra":{"b":1,"a":2}"#)),
        ("byte order mark", [b"\xef\xbb\xbf".as_slice(), &echo(r#""id":1"#)].concat()),
        ("batch", br#"[{"jsonrpc":"2.0","method":"m"}, {"method":"n","jsonrpc":"2.0"}]"#.to_vec()),
        ("empty batch", b"[ ]".to_vec()),
        ("no JSON", b"{\"jsonrpc\":\"2.0\",".to_vec()),
        ("no UTF-8", b"{\"id\":1,\"method\":\"echo\",\"params\":\"\xff\xfe\"}".to_vec()),
        ("only text", "Accepted — thanks".into()),
        ("bytes", (0..=255).filter(|byte| !matches!(byte, b'\n' | b'\r')).collect()),
    ]
}

/// Bodies that have line ends in them, which a pipe cannot carry as they are.
fn bodies_of_lines() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("LF", b"{\n  \"jsonrpc\":\"2.0\",\n  \"id\":1,\n  \"method\":\"echo\"\n}\n".to_vec()),
        ("CRLF", b"{\r\n\"jsonrpc\":\"2.0\",\r\n\"id\":1,\"method\":\"echo\"}\r\n".to_vec()),
        ("CR", b"{\"jsonrpc\":\"2.0\",\r\"id\":1,\"method\":\"echo\"}\r".to_vec()),
    ]
}

pub(crate) fn large_body(size: usize) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{{"text":"{}"}}}}"#, "é".repeat(size / 2)).into_bytes()
}

#[tokio::test]
async fn http_bodies_pass_unchanged() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    let large = ("20 MiB", large_body(20 << 20));
    for (what, body) in odd_bodies().into_iter().chain(bodies_of_lines()).chain([large]) {
        client.post(&body).await;
        let exchange = server.next().await;
        assert!(exchange.body == body, "{what} reached the server changed");
        // A server may answer anything, so it answers this.
        exchange.json(&body).await;
        let response = client.response().await;
        assert!(response.body == body, "{what} reached the client changed");
        assert_eq!(response.head.get("content-length"), Some(body.len().to_string().as_str()), "{what}");
    }
}

#[tokio::test]
async fn child_lines_pass_unchanged() {
    let words = role("mirror");
    let rig = Rig::command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut client = rig.client().await;
    let large = ("20 MiB", large_body(20 << 20));
    for (index, (what, body)) in odd_bodies().into_iter().chain([large]).enumerate() {
        let response = client.call(&body).await;
        // What the child has said is among what has passed: that is what it was asked, mirrored.
        let passed = rig.passed(2 * index + 2).await;
        let [asked, said] = &passed[2 * index..] else { panic!("{what}: more passed than was said") };
        assert_eq!((asked.direction, said.direction), (ToServer, ToClient), "{what}");
        assert!(*asked.message.raw() == body, "{what} reached the child changed");
        assert!(*said.message.raw() == mirrored(&body), "{what} came from the child changed");
        match asked.kind() {
            Kind::Request => assert!(response.body == mirrored(&body), "{what} reached the client changed"),
            _ => assert_eq!((response.status(), response.text()), ("202", ""), "{what}"),
        }
    }
}

#[tokio::test]
async fn child_line_ends_become_blanks() {
    let words = role("mirror");
    let rig = Rig::command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut client = rig.client().await;
    for (what, body) in bodies_of_lines() {
        let response = client.call(&body).await;
        let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
        assert_eq!(response.body, mirrored(&body.iter().map(blank).collect::<Vec<u8>>()), "{what}");
    }
}

#[test]
fn arbitrary_bodies_pass_both_ways() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, client, _rig) = runtime.block_on(async {
        let server = Server::start().await;
        let rig = Rig::before(&server.url()).await;
        (server, rig.client().await, rig)
    });
    let peers = tokio::sync::Mutex::new((server, client));
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let bodies = (proptest::collection::vec(proptest::num::u8::ANY, 0..2000), "[ -~]{0,40}");
    let result = TestRunner::new(config).run(&bodies, |(body, tail)| {
        let answer = [tail.as_bytes(), &body].concat();
        runtime.block_on(async {
            let (server, client) = &mut *peers.lock().await;
            client.post(&body).await;
            let exchange = server.next().await;
            assert_eq!(exchange.body, body);
            exchange.json(&answer).await;
            assert_eq!(client.response().await.body, answer);
        });
        Ok(())
    });
    result.unwrap();
}

/// Event streams, and what each is there for.
const STREAMS: [(&str, &[u8]); 13] = [
    ("one event", b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"),
    ("all fields", b"id: 7/1\nretry: 500\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n"),
    ("comments", b": keepalive\n\n:\n\n: note\ndata: {\"id\":1,\"result\":{}}\n\n: bye\n\n"),
    ("priming event", b"id: 1\nretry: 3000\ndata:\n\nid: 2\ndata: {\"id\":1,\"result\":{}}\n\n"),
    ("CRLF", b"event: message\r\ndata: {\"id\":1,\"result\":{}}\r\n\r\n: c\r\n\r\n"),
    ("CR", b"event: message\rdata: {\"id\":1,\"result\":{}}\r\r: c\r\r"),
    ("mixed line ends", b"event: message\r\ndata: {\"id\":1,\rdata: \"result\":{}}\n\r\n"),
    ("data of many lines", b"data: {\"id\":1,\ndata:\"result\"\ndata: :{}}\n\n"),
    ("no space, two spaces", b"data:{\"id\":1}\n\ndata:  {\"id\":2}\n\n"),
    ("no blank line at the end", b"data: {\"id\":1,\"result\":{}}\n\ndata: {\"id\":2,\"result\":{}}\n"),
    ("foreign events", b"event: ping\ndata: x\n\nevent: endpoint\ndata: /m?s=1\n\nunknown: 1\ndata: {}\n\n"),
    ("byte order mark, UTF-8", "\u{feff}data: {\"id\":1,\"result\":\"é😀\"}\n\n".as_bytes()),
    ("no JSON, no UTF-8", b"data: oops\n\ndata: \xff\xfe\n\n\n\n\n"),
];

#[tokio::test]
async fn event_stream_passes_for_any_chunking() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    for (what, stream) in STREAMS {
        for size in [1, 2, 3, 7, stream.len()] {
            let mut client = rig.client().await;
            client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#).await;
            let mut response = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for piece in stream.chunks(size) {
                response.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                response.extend_from_slice(piece);
                response.extend_from_slice(b"\r\n");
            }
            response.extend_from_slice(b"0\r\n\r\n");
            server.next().await.answer(response).await;
            let response = client.response().await;
            assert_eq!(response.body, stream, "{what}, in pieces of {size}");
            assert_eq!(response.head.get("content-type"), Some("text/event-stream; charset=utf-8"));
        }
    }
}

#[tokio::test]
async fn event_stream_with_content_length_passes() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    for (what, stream) in STREAMS {
        client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#).await;
        let length = stream.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n");
        server.next().await.answer([head.as_bytes(), stream].concat()).await;
        assert_eq!(client.response().await.body, stream, "{what}");
    }
}

#[tokio::test]
async fn event_is_forwarded_before_the_next_arrives() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.get().await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    assert_eq!(client.head().await.second_word(), "200");
    for event in [
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"a\"}\n\n",
        ": keepalive\n\n",
        "data: {\"jsonrpc\":\"2.0\",\r\ndata: \"method\":\"b\"}\r\n\r\n",
        "id: 1\rdata:\r\r",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"c\"}\n\n",
    ] {
        exchange.write(event).await;
        assert_eq!(client.bytes(event.len()).await, event.as_bytes());
    }
}

#[tokio::test]
async fn headers_pass_except_hop_by_hop() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.headers =
        "authorization: Bearer abc\r\nmcp-session-id: s1\r\nx-odd: 1\r\nx-odd: 2\r\norigin: http://localhost:1\r\n\
        connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\naccept-encoding: gzip\r\n"
            .to_owned();
    client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
    let exchange = server.next().await;
    let head = exchange.head.clone();
    for (name, values) in [
        ("authorization", &["Bearer abc"][..]),
        ("mcp-session-id", &["s1"]),
        ("x-odd", &["1", "2"]),
        ("origin", &["http://localhost:1"]),
        ("content-type", &["application/json"]),
        ("accept", &["application/json, text/event-stream"]),
        ("content-length", &["40"]),
        ("x-hop", &[]),
        ("keep-alive", &[]),
        ("connection", &[]),
        // So that the answer can be read; the client takes it uncompressed too.
        ("accept-encoding", &["identity"]),
        ("user-agent", &[]),
        ("host", &[server.url().split('/').nth(2).unwrap()]),
    ] {
        assert_eq!(head.all(name), values, "{name}");
    }
    assert_eq!(head.start, "POST /mcp HTTP/1.1");

    let answer = "HTTP/1.1 418 Odd\r\nx-odd: 1\r\nx-odd: 2\r\nset-cookie: a=b\r\nset-cookie: c=d\r\n\
        content-type: application/vnd.odd+json; x=y\r\nmcp-session-id: s2\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\n{}";
    exchange.answer(answer).await;
    let response = client.response().await;
    assert_eq!(response.status(), "418");
    for (name, values) in [
        ("x-odd", &["1", "2"][..]),
        ("set-cookie", &["a=b", "c=d"]),
        ("content-type", &["application/vnd.odd+json; x=y"]),
        ("mcp-session-id", &["s2"]),
        ("content-length", &["2"]),
        ("keep-alive", &[]),
    ] {
        assert_eq!(response.head.all(name), values, "{name}");
    }
}

#[tokio::test]
async fn responses_of_any_status_pass() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    for (answer, status, body) in [
        ("202 Accepted\r\ncontent-length: 0", "202", ""),
        ("202 Accepted\r\ncontent-type: text/plain\r\ncontent-length: 8", "202", "Accepted"),
        ("200 OK\r\ncontent-length: 0", "200", ""),
        ("204 No Content", "204", ""),
        ("400 Bad\r\ncontent-type: application/json\r\ncontent-length: 4", "400", "null"),
        ("401 No\r\nwww-authenticate: Bearer resource_metadata=\"http://x/y\"\r\ncontent-length: 0", "401", ""),
        ("302 Found\r\nlocation: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0", "302", ""),
        ("404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 4", "404", "gone"),
        ("405 No\r\nallow: POST\r\ncontent-length: 0", "405", ""),
        ("503 Later\r\nretry-after: 7\r\ncontent-length: 4", "503", "busy"),
    ] {
        client.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        server.next().await.answer(format!("HTTP/1.1 {answer}\r\n\r\n{body}")).await;
        let response = client.response().await;
        assert_eq!((response.status(), response.text()), (status, body), "{answer}");
        for line in answer.split("\r\n").skip(1) {
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(response.head.get(name), Some(value), "{answer}");
        }
    }
}

#[tokio::test]
async fn compressed_body_passes_unread() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";
    client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
    let exchange: Exchange = server.next().await;
    exchange.json_with("content-encoding: gzip\r\n", gzip).await;
    let response = client.response().await;
    assert_eq!(response.body, gzip.as_slice());
    assert_eq!(response.head.get("content-encoding"), Some("gzip"));
}

#[tokio::test]
async fn compressed_stream_passes_unread_and_at_once() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    for encoding in ["gzip", "br"] {
        let mut client = rig.client().await;
        client.headers = "accept-encoding: gzip, br\r\n".to_owned();
        client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
        let mut exchange = server.next().await;
        assert_eq!(exchange.head.all("accept-encoding"), ["identity"]);
        exchange
            .write(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {encoding}\r\nconnection: close\r\n\r\n"
            ))
            .await;
        let head = client.head().await;
        assert_eq!(
            (head.get("content-type"), head.get("content-encoding")),
            (Some("text/event-stream"), Some(encoding))
        );
        for piece in [&b"\x1f\x8b\x08\x00\n\n"[..], b"\xab\xae\r\r", b"data: \xff\n\n", b"\x05"] {
            exchange.write(piece).await;
            assert_eq!(client.bytes(piece.len()).await, piece);
        }
        drop(exchange);
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn connection_is_reused_for_many_requests() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client: Client = rig.client().await;
    for id in 0..20 {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        client.post(&body).await;
        server.next().await.json(body.replace(r#""method":"ping""#, r#""result":{}"#)).await;
        assert_eq!(client.response().await.json()["id"], id);
    }
    let passed = rig.passed(40).await;
    assert!(passed.iter().skip(1).step_by(2).all(|reply| reply.reply_to.is_some()), "{passed:#?}");
}
