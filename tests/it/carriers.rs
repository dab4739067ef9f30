//! Every kind of client in front of every kind of server: whatever carries the messages, they are the same.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tapline::demo::server::ServerOptions;
use tapline::envelope::Via;
use tapline::event::Origin;
use tapline::proxy::stdio::{Ends, serve};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split};
use tokio_util::sync::CancellationToken;

use crate::support::{Client, OldClient, Rig, old, soon, tapline_binary};

/// What a client says; the replies must be the same whatever carries them.
fn script() -> Vec<Value> {
    let call = |id: u32, tool: &str, arguments: Value| {
        let meta = json!({"progressToken": id});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments, "_meta": meta}})
    };
    vec![
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2024-11-05",
            "capabilities": {"sampling": {}}, "clientInfo": {"name": "script", "version": "1"}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
        call(2, "get_forecast", json!({"city": "Oslo"})),
        call(3, "index_documents", json!({})),
        call(4, "summarize", json!({"path": "/trips/oslo.md"})),
        call(5, "no_such_tool", json!({})),
        json!({"jsonrpc": "2.0", "id": "six", "method": "resources/read", "params": {"uri": "file:///trips/kyoto.md"}}),
    ]
}

/// The reply to what the server asks.
fn sampled(id: &Value) -> Value {
    let content = json!({"type": "text", "text": "brief"});
    json!({"jsonrpc": "2.0", "id": id, "result": {"role": "assistant", "model": "m", "content": content}})
}

/// A client of one of the three kinds.
enum Peer {
    Http(Box<[Client; 2]>),
    Old(Box<OldClient>),
    Stdio { reader: Lines<BufReader<ReadHalf<DuplexStream>>>, writer: WriteHalf<DuplexStream> },
}

impl Peer {
    /// Says a message; gives what the server says to it, the reply last.
    async fn say(&mut self, message: &Value) -> Vec<Value> {
        if let Self::Http(connections) = self {
            let [client, second] = connections.as_mut();
            let said = client.call_answering(message.to_string(), second, sampled).await;
            if let Some(id) = said.session {
                client.headers = format!("mcp-session-id: {id}\r\n");
                second.headers.clone_from(&client.headers);
            }
            return said.messages;
        }
        self.write(message).await;
        let mut said = Vec::new();
        while message.get("id").is_some() && !is_reply_to(said.last(), message) {
            let next = self.read().await;
            if next["method"] == "sampling/createMessage" {
                self.write(&sampled(&next["id"])).await;
            }
            said.push(next);
        }
        said
    }

    async fn write(&mut self, message: &Value) {
        match self {
            Self::Http(_) => unreachable!("it says a message and hears what comes of it at once"),
            Self::Old(client) => assert_eq!(client.post(message.to_string()).await.status(), "202"),
            Self::Stdio { writer, .. } => writer.write_all(format!("{message}\n").as_bytes()).await.unwrap(),
        }
    }

    async fn read(&mut self) -> Value {
        match self {
            Self::Http(_) => unreachable!("as above"),
            Self::Old(client) => client.message().await,
            Self::Stdio { reader, .. } => {
                let line = soon("a line", reader.next_line()).await.unwrap().expect("a line");
                serde_json::from_str(&line).unwrap()
            }
        }
    }

    /// Goes through the script. What belongs to no request is heard at no certain time: it is left out.
    async fn transcript(mut self) -> Vec<Value> {
        let mut heard = Vec::new();
        for message in script() {
            heard.extend(self.say(&message).await);
        }
        heard.retain(|it| it["method"] != "notifications/resources/list_changed");
        heard
    }
}

fn is_reply_to(said: Option<&Value>, message: &Value) -> bool {
    said.is_some_and(|said| said["id"] == message["id"] && said.get("method").is_none())
}

async fn over_http(address: SocketAddr) -> Peer {
    Peer::Http(Box::new([Client::connect(address).await, Client::connect(address).await]))
}

async fn over_events(rig: &Rig) -> Peer {
    Peer::Old(Box::new(OldClient::open(rig.address()).await))
}

/// The stdio front door, in this process.
fn over_stdio(rig: &Rig) -> Peer {
    let connection = rig.core().table().open(Via::Stdio, Origin::Client, None).unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (input, output) = split(theirs);
    tokio::spawn(async move { serve(&connection, Ends { input, output, errors: tokio::io::sink() }).await });
    let (reader, writer) = split(ours);
    Peer::Stdio { reader: BufReader::new(reader).lines(), writer }
}

#[tokio::test]
async fn the_messages_are_the_same() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(tapline::demo::server::serve(listener, ServerOptions::default(), CancellationToken::new()));
    let direct = over_http(address).await.transcript().await;
    let all = json!(direct).to_string();
    for what in
        ["tapline-demo", "get_forecast", "notifications/progress", "sampling/createMessage", "brief", "no_such_tool"]
    {
        assert!(all.contains(what), "{what} is not in {all}");
    }
    let binary = tapline_binary();
    for upstream in ["http", "sse", "stdio"] {
        let rig = match upstream {
            "http" => Rig::before(&format!("http://{address}/mcp")).await,
            "sse" => Rig::before_events(&old::serve_demo().await).await,
            _ => Rig::command(&[binary.to_str().unwrap(), "__demo-server"]).await,
        };
        let peers = [over_http(rig.address()).await, over_events(&rig).await, over_stdio(&rig)];
        for (client, peer) in ["http", "sse", "stdio"].into_iter().zip(peers) {
            assert_eq!(peer.transcript().await, direct, "a client over {client}, a server over {upstream}");
        }
        assert_eq!(rig.complaints(), Vec::<String>::new(), "{upstream}");
    }
}
