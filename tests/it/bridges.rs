//! Every byte, whatever the client speaks and whatever the server speaks.

use std::collections::HashMap;

use bytes::Bytes;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::message::{Kind, Message};
use tapline::proxy::stdio::{Ends, Launched};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;

use crate::bytes::{large_body, odd_bodies};
use crate::support::child::{mirrored, role};
use crate::support::{Client, Exchange, OldClient, Rig, Server, soon};

/// What a client speaks.
pub(crate) enum Front {
    Http(Box<Client>),
    Events(Box<OldClient>),
    Pipe { reader: BufReader<ReadHalf<DuplexStream>>, writer: WriteHalf<DuplexStream> },
}

impl Front {
    pub(crate) async fn of(kind: &str, rig: &Rig) -> Self {
        match kind {
            "http" => Self::Http(Box::new(rig.client().await)),
            "events" => Self::Events(Box::new(OldClient::open(rig.address()).await)),
            _ => {
                let launched = Launched::begin(rig.core().table()).unwrap();
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                let (input, output) = split(theirs);
                tokio::spawn(launched.serve(Ends { input, output, errors: tokio::io::sink() }));
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
        match self {
            Self::Http(client) => client.response().await.body,
            Self::Events(client) => {
                assert_eq!(client.answer().await.status(), "202");
                client.frame().await.unwrap().data.unwrap()
            }
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
async fn every_byte_passes_on_every_bridge() {
    for server in ["http", "events", "child"] {
        for client in ["http", "events", "pipe"] {
            let (rig, mut mirror) = rig(server).await;
            let mut front = Front::of(client, &rig).await;
            let mut passed = 0;
            for (what, body) in odd_bodies().into_iter().chain([("20 MiB", large_body(20 << 20))]) {
                let what = format!("{what}: a client of {client} and a server of {server}");
                let kind = Message::new(body.clone()).kind();
                front.say(&body).await;
                if kind == Kind::Opaque && client == "events" && server != "events" {
                    // The door is a server itself here, and takes messages only.
                    let Front::Events(client) = &mut front else { unreachable!("it speaks events") };
                    assert_eq!(client.answer().await.status(), "400", "{what}");
                    continue;
                }
                passed += 2;
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
            assert_eq!(rig.complaints().iter().filter(|line| !line.contains("no JSON-RPC message")).count(), 0);
        }
    }
}

/// Line ends between tokens are as good as any other white space, where a carrier cannot have them.
#[tokio::test]
async fn line_ends_in_a_body_are_what_the_carrier_can_carry() {
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
