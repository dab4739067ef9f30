//! Every byte, whatever the client speaks and whatever the server speaks.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use tapline::app::GRACE;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::Outcome;
use tapline::event::Decision;
use tapline::message::{Kind, Message};
use tapline::proxy::front::stdio::{StdioEnds, StdioLimits, StdioOutcome, StdioSession};
use tapline::upstream::output::LONGEST_MESSAGE;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

use crate::bytes::{large_body, odd_bodies};
use crate::support::child::{mirrored, role};
use crate::support::{Client, Exchange, LegacySseClient, Rig, Server, soon};

/// What a client speaks.
pub(crate) enum Front {
    Http(Box<Client>),
    Events(Box<LegacySseClient>),
    Pipe { reader: BufReader<ReadHalf<DuplexStream>>, writer: WriteHalf<DuplexStream> },
}

impl Front {
    pub(crate) async fn of(kind: &str, rig: &Rig) -> Self {
        match kind {
            "http" => Self::Http(Box::new(rig.client().await)),
            "events" => Self::Events(Box::new(LegacySseClient::open(rig.address()).await)),
            _ => {
                let launched = StdioSession::begin(rig.core().mounts().default().unwrap().table()).unwrap();
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                let (input, output) = split(theirs);
                tokio::spawn(launched.serve(
                    StdioEnds { input, output, errors: tokio::io::sink() },
                    StdioLimits { grace: GRACE, longest: LONGEST_MESSAGE },
                ));
                let (reader, writer) = split(ours);
                Self::Pipe { reader: BufReader::new(reader), writer }
            }
        }
    }

    pub(crate) async fn say(&mut self, body: &[u8]) {
        match self {
            Self::Http(client) => client.post(body).await,
            Self::Events(client) => client.send(body).await,
            Self::Pipe { writer, .. } => writer.write_all(&[body, b"\n"].concat()).await.unwrap(),
        }
    }

    /// What is said to what it has said, without what carries it.
    pub(crate) async fn hear(&mut self) -> Bytes {
        if let Self::Events(client) = self {
            assert_eq!(client.answer().await.status(), "202");
        }
        self.next().await
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Bytes {
        match self {
            Self::Http(client) => client.response().await.body,
            Self::Events(client) => client.frame().await.unwrap().data.unwrap(),
            Self::Pipe { reader, .. } => {
                let mut line = Vec::new();
                soon("a line", reader.read_until(b'\n', &mut line)).await.unwrap();
                assert_eq!(line.pop(), Some(b'\n'));
                line.into()
            }
        }
    }
}

/// A server that says everything again, as the child of the same name does, and tells the test what it has got.
struct Mirror {
    url: String,
    got: mpsc::UnboundedReceiver<Bytes>,
}

impl Mirror {
    async fn start() -> Self {
        let mut server = Server::start().await;
        let url = format!("http://{}", server.address());
        let (tell, got) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut streams: HashMap<String, Exchange> = HashMap::new();
            loop {
                let mut exchange = server.next().await;
                let path = exchange.head.second_word().to_owned();
                if path == "/sse" {
                    exchange.begin_stream().await;
                    exchange.write("event: endpoint\ndata: /say\n\n").await;
                    streams.insert("/say".to_owned(), exchange);
                    continue;
                }
                tell.send(exchange.body.clone()).unwrap();
                let said = mirrored(&exchange.body);
                match streams.get_mut(&path) {
                    Some(stream) => {
                        exchange.accept().await;
                        stream.write([b"data: ", &said[..], b"\n\n"].concat()).await;
                    }
                    None => exchange.json(said).await,
                }
            }
        });
        Self { url, got }
    }

    async fn got(&mut self) -> Bytes {
        soon("what the server got", self.got.recv()).await.unwrap()
    }
}

/// In front of a server that mirrors; with what the server got, where it can say so.
async fn rig(server: &str) -> (Rig, Option<Mirror>) {
    if server == "child" {
        let words = role("mirror");
        return (Rig::command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await, None);
    }
    let mirror = Mirror::start().await;
    let rig = match server {
        "events" => Rig::before_events(&format!("{}/sse", mirror.url)).await,
        _ => Rig::before(&format!("{}/mcp", mirror.url)).await,
    };
    (rig, Some(mirror))
}

#[tokio::test]
async fn bytes_pass_on_every_bridge() {
    for server in ["http", "events", "child"] {
        for client in ["http", "events", "pipe"] {
            let (rig, mut mirror) = rig(server).await;
            let mut front = Front::of(client, &rig).await;
            let mut passed = 0;
            // The others have carried that much in tests of their own.
            let large = !matches!((client, server), ("http", "http" | "child") | ("pipe", "child"));
            let large = large.then(|| ("20 MiB", large_body(20 << 20)));
            for (what, body) in odd_bodies().into_iter().chain(large) {
                let what = format!("{what}: a client of {client} and a server of {server}");
                let kind = Message::new(body.clone()).kind();
                front.say(&body).await;
                passed += 2;
                if kind == Kind::Opaque && client == "events" && server == "http" {
                    // The door is a server itself here, and takes messages only; it shows what it refuses, and its answer.
                    let Front::Events(client) = &mut front else { unreachable!("it speaks events") };
                    assert_eq!(client.answer().await.status(), "400", "{what}");
                    continue;
                }
                let told = rig.passed(passed).await;
                let said = |direction| told[passed - 2..].iter().find(|it| it.direction == direction).unwrap();
                assert!(*said(ToServer).message.raw() == body, "{what}: came changed");
                assert!(*said(ToClient).message.raw() == mirrored(&body), "{what}: came back changed");
                if let Some(mirror) = &mut mirror {
                    assert!(mirror.got().await == body, "{what}: reached the server changed");
                }
                let heard = front.hear().await;
                if client == "http" && server != "http" && kind != Kind::Request {
                    // What answers no request is for the listening stream, and this client has none.
                    assert!(heard.is_empty(), "{what}");
                } else {
                    assert!(heard == mirrored(&body), "{what}: reached the client changed");
                }
            }
            let is_refusal =
                |line: &&String| line.contains("not a JSON-RPC message") || line.contains("the body cannot be read");
            assert_eq!(rig.complaints().iter().find(|line| !is_refusal(line)), None);
        }
    }
}

#[tokio::test]
async fn edits_pass_on_every_bridge() {
    for server in ["http", "events", "child"] {
        for client in ["http", "events", "pipe"] {
            let (rig, mut mirror) = rig(server).await;
            let mut front = Front::of(client, &rig).await;
            rig.hold("~q | ~s").await;
            front.say(br#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"n":1}}"#).await;
            let edit = r#"{"params":{"n": 1.10}, "id":1,"method":"echo"}"#;
            rig.settle(rig.held(1).await.ticket, Decision::Edit(Message::new(edit)));
            if let Some(mirror) = &mut mirror {
                assert_eq!(mirror.got().await, edit);
            }
            let held = rig.held(2).await;
            assert_eq!(*held.envelope.message.raw(), mirrored(edit.as_bytes()), "{client} {server}");
            let edit = r#"{"id":1, "result":{"n":1e2}}"#;
            rig.settle(held.ticket, Decision::Edit(Message::new(edit)));
            assert_eq!(front.hear().await, edit, "{client} {server}");
        }
    }
}

/// Revision 2026-07-28 says in headers what the body says, and hangs up to cancel: a pipe can do neither.
#[tokio::test]
async fn modern_stdio_client_gets_headers_over_http() {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let request = |id: u32, method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{meta}}}}}"#)
    };
    for client in ["events", "pipe"] {
        let mut server = Server::start().await;
        let rig = Rig::before(&server.url()).await;
        let mut front = Front::of(client, &rig).await;
        let headers = ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-region", "mcp-session-id"];

        front.say(request(1, "tools/list", "").as_bytes()).await;
        let exchange = server.next().await;
        let sent = headers.map(|name| exchange.head.get(name));
        assert_eq!(sent, [Some("2026-07-28"), Some("tools/list"), None, None, None]);
        let tools = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"écho","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}}"#;
        exchange.json(tools).await;
        assert_eq!(front.hear().await, tools);

        // A refusal of the server's is the error of the request, whatever id it has.
        for (status, error, told) in [
            (
                "400",
                r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32020}}"#,
                r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32020}}"#,
            ),
            ("404", r#"{"error":{"code":-32601},"id":2}"#, r#"{"error":{"code":-32601},"id":2}"#),
        ] {
            front.say(request(2, "tools/call", r#""name":"écho","arguments":{"region":"west"},"#).as_bytes()).await;
            let exchange = server.next().await;
            let sent = headers.map(|name| exchange.head.get(name));
            let name = Some("=?base64?w6ljaG8=?=");
            assert_eq!(sent, [Some("2026-07-28"), Some("tools/call"), name, Some("west"), None]);
            let length = error.len();
            let head =
                format!("HTTP/1.1 {status} No\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
            exchange.answer(format!("{head}{error}")).await;
            assert_eq!(front.hear().await, told);
        }

        front.say(request(7, "subscriptions/listen", r#""notifications":{"toolsListChanged":true},"#).as_bytes()).await;
        let mut listening = server.next().await;
        let acknowledged = r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged"}"#;
        listening.begin_stream().await;
        listening.write(format!("data: {acknowledged}\n\n")).await;
        assert_eq!(front.hear().await, acknowledged);
        let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        front.say(cancelled.as_bytes()).await;
        listening.hung_up().await;
        assert!(server.is_idle(), "nothing is posted");
        assert_eq!(
            *rig.message(ToServer, |it| it.method() == Some("notifications/cancelled")).await.message.raw(),
            cancelled
        );
    }
}

/// Over a pipe nothing hangs up: a call that is given up is over all the same, and the end of the client is the end of all.
#[tokio::test]
async fn held_call_that_is_given_up_is_never_posted() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    rig.hold("~q ~m tools/call").await;
    let launched = StdioSession::begin(rig.core().mounts().default().unwrap().table()).unwrap();
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let (input, output) = split(theirs);
    let grace = Duration::from_secs(3600);
    let served = tokio::spawn(launched.serve(
        StdioEnds { input, output, errors: tokio::io::sink() },
        StdioLimits { grace, longest: LONGEST_MESSAGE },
    ));
    ours.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}\n")
        .await
        .unwrap();
    let held = rig.held(1).await;
    let taken_back = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    ours.write_all(format!("{taken_back}\n").as_bytes()).await.unwrap();
    let exchange = server.next().await;
    assert_eq!(exchange.body, taken_back);
    exchange.accept().await;
    assert_eq!(rig.fate(&held).await.outcome, Outcome::Abandoned);
    ours.shutdown().await.unwrap();
    assert_eq!(soon("the end", served).await.unwrap(), StdioOutcome::Complete);
    assert!(server.is_idle());
}

/// Line ends between tokens are as good as any other white space, where a carrier cannot have them.
#[tokio::test]
async fn line_ends_are_adapted_to_the_transport() {
    let lf = b"{\n  \"id\":1,\n  \"result\":{}\n}\n";
    let crlf = b"{\r\n\"id\":1,\r\"result\":\"\xff\"}\r\n";
    for (body, events, line) in [
        (&lf[..], &lf[..], &b"{   \"id\":1,   \"result\":{} } "[..]),
        (crlf, b"{\n\"id\":1,\n\"result\":\"\xff\"}\n", b"{  \"id\":1, \"result\":\"\xff\"}  "),
    ] {
        let mut server = Server::start().await;
        let rig = Rig::before(&server.url()).await;
        for (client, expected) in [("http", body), ("events", events), ("pipe", line)] {
            let mut front = Front::of(client, &rig).await;
            front.say(br#"{"id":1,"method":"x"}"#).await;
            server.next().await.json(body).await;
            assert_eq!(front.hear().await, expected, "{client}");
        }
    }
}

#[tokio::test]
async fn sse_frame_keeps_id_and_comments_for_a_client_that_speaks_sse() {
    let mut server = Server::start().await;
    let rig = Rig::before(&format!("http://{}/mcp", server.address())).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    client.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    let log = |level| format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}"}}}}"#);
    let reply = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    for (said, heard) in [
        // A byte order mark is none in the middle of the client's stream.
        (
            format!("\u{feff}: one\nid: 1\ndata: {}\n\n", log("info")),
            format!(": one\nid: 1\ndata: {}\n\n", log("info")),
        ),
        (format!(": two\r\nid: 2\r\nretry: 9\r\ndata:{}\r\n\r\n", log("debug")), String::new()),
        (format!("id: 3\nevent: message\ndata: {reply}\n\n"), String::new()),
    ] {
        exchange.write(&said).await;
        let expected = if heard.is_empty() { said } else { heard };
        assert_eq!(client.frame().await.unwrap().raw, expected);
    }
    assert_eq!(client.answer().await.status(), "202");
}
