//! Every kind of client in front of every kind of server: whatever carries the messages, they are the same.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tapline::app::GRACE;
use tapline::demo::server::ServerOptions;
use tapline::event::{Level, OnQuit};
use tapline::proxy::front::stdio::{StdioEnds, StdioLimits, StdioSession};
use tapline::secret::Label;
use tapline::upstream::output::LONGEST_MESSAGE;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Binary, Client, Exchange, INITIALIZE, LegacySseClient, Rig, Server, legacy_sse_client, soon, tapline_binary,
};

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
    Old(Box<LegacySseClient>),
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
    Peer::Old(Box::new(LegacySseClient::open(rig.address()).await))
}

/// The stdio front door, in this process.
fn over_stdio(rig: &Rig) -> Peer {
    let launched = StdioSession::begin(rig.core().mounts().default().unwrap().table()).unwrap();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (input, output) = split(theirs);
    tokio::spawn(launched.serve(
        StdioEnds { input, output, errors: tokio::io::sink() },
        StdioLimits { grace: GRACE, longest: LONGEST_MESSAGE },
    ));
    let (reader, writer) = split(ours);
    Peer::Stdio { reader: BufReader::new(reader).lines(), writer }
}

#[tokio::test]
async fn messages_are_the_same_on_every_transport() {
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
            "sse" => Rig::before_events(&legacy_sse_client::serve_demo().await).await,
            _ => Rig::command(&[binary.to_str().unwrap(), "__demo-server"]).await,
        };
        let peers = [over_http(rig.address()).await, over_events(&rig).await, over_stdio(&rig)];
        for (client, peer) in ["http", "sse", "stdio"].into_iter().zip(peers) {
            assert_eq!(peer.transcript().await, direct, "a client over {client}, a server over {upstream}");
        }
        assert_eq!(rig.complaints(), Vec::<String>::new(), "{upstream}");
    }
}

/// A client with pipes in front of a server of the HTTP+SSE transport, whose stream has begun.
async fn piped(server: &mut Server) -> (Rig, Peer, Exchange) {
    let rig = Rig::before_events(&format!("http://{}/sse", server.address())).await;
    let peer = over_stdio(&rig);
    let mut stream = server.next().await;
    stream.begin_stream().await;
    stream.write("event: endpoint\ndata: /m\n\n").await;
    (rig, peer, stream)
}

#[tokio::test]
async fn http_errors_become_json_rpc_errors_on_a_pipe() {
    let mut server = Server::start().await;
    let (rig, mut peer, _stream) = piped(&mut server).await;
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#;
    for (body, code, message) in [("", -31000, "answered HTTP 500"), (error, -32600, "no")] {
        peer.write(&json!({"jsonrpc": "2.0", "id": "x", "method": "ping"})).await;
        let length = body.len();
        server.next().await.answer(format!("HTTP/1.1 500 Oh\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        let told = peer.read().await;
        assert_eq!((&told["id"], &told["error"]["code"]), (&json!("x"), &json!(code)));
        assert!(told["error"]["message"].as_str().unwrap().contains(message), "{told}");
    }
    peer.write(&json!({"jsonrpc": "2.0", "method": "notifications/x"})).await;
    server.next().await.answer("HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n").await;
    rig.line(Level::Warn, "HTTP 400").await;
}

#[tokio::test]
async fn slow_post_acknowledgement_blocks_nothing() {
    let mut server = Server::start().await;
    let (_rig, mut peer, mut stream) = piped(&mut server).await;
    peer.write(&json!({"jsonrpc": "2.0", "id": 1, "method": "slow"})).await;
    let request = server.next().await;
    assert_eq!(request.head.all("content-type"), ["application/json"]);
    peer.write(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    let cancellation = server.next().await;
    assert_eq!(cancellation.message()["method"], "notifications/cancelled");
    cancellation.accept().await;
    // Comments and foreign events are no lines.
    stream.write(": ping\n\nevent: ping\ndata: 1\n\ndata: {\"id\":1,\ndata: \"result\":{}}\n\n").await;
    assert_eq!(peer.read().await["id"], 1);
    request.accept().await;
}

#[tokio::test]
async fn stdio_client_ends_with_the_server_stream() {
    let mut server = Server::start().await;
    let (rig, peer, stream) = piped(&mut server).await;
    drop(stream);
    let Peer::Stdio { mut reader, .. } = peer else { unreachable!("it has pipes") };
    assert_eq!(soon("the end", reader.next_line()).await.unwrap(), None);
    assert!(rig.closed(rig.session(1).await).await.contains("ended the event stream"));
}

#[tokio::test]
async fn shutdown_deletes_the_upstream_session() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    client.send(INITIALIZE).await;
    server.next().await.json_with("mcp-session-id: s\r\n", r#"{"jsonrpc":"2.0","id":0,"result":{}}"#).await;
    client.answer().await;
    client.message().await;
    let quitting = tokio::spawn(rig.quit(OnQuit::Forward));
    let goodbye = server.next().await;
    assert_eq!((goodbye.head.start.as_str(), goodbye.head.get("mcp-session-id")), ("DELETE /mcp HTTP/1.1", Some("s")));
    goodbye.accept().await;
    assert!(client.ends().await);
    soon("the end", quitting).await.unwrap();
}

#[tokio::test]
async fn transport_of_a_url_is_inferred_or_chosen() {
    let server = Server::start().await;
    let url = |path: &str| format!("http://{}{path}", server.address());
    for (path, chosen, said) in [
        ("/mcp", "auto", ""),
        ("/a/sse", "auto", " over HTTP+SSE"),
        ("/sse/?at=/mcp", "auto", " over HTTP+SSE"),
        ("/mcp?to=/sse", "auto", ""),
        ("/a/sse", "http", ""),
        ("/events", "sse", " over HTTP+SSE"),
    ] {
        let binary = Binary::run(&["--no-record", "--upstream", &url(path), "--transport", chosen]).await;
        let end = format!("/mcp -> {}{said}", Label::of_url(&url(path)));
        assert!(binary.greeting.ends_with(&end), "{}", binary.greeting);
        binary.signal("TERM");
        let (status, lines, _) = binary.end().await;
        assert_eq!(status.code(), Some(143));
        let spoken = if said.is_empty() { ": transport Streamable HTTP" } else { ": transport HTTP+SSE" };
        assert!(lines.iter().any(|line| line.contains(spoken)), "{lines:?}");
    }
}
