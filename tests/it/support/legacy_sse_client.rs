//! Both sides of the HTTP+SSE transport of 2024-11-05: a client that sees every byte, and the demo's server.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response as Answer};
use axum::routing::{get, post};
use parking_lot::Mutex;
use tapline::demo::server::{ServerOptions, serve_stdio};
use tapline::sse::{Frame, Splitter};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, WriteHalf, split};

use super::{Client, Response};

const JSON: &str = "content-type: application/json\r\n";

/// A client whose stream is open.
pub(crate) struct LegacySseClient {
    stream: Client,
    poster: Client,
    splitter: Splitter,
    frames: VecDeque<Frame>,
    /// Where it posts, as the `endpoint` event says.
    pub(crate) address: String,
    /// The event that said so.
    pub(crate) endpoint: Frame,
}

impl LegacySseClient {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "").await
    }

    /// `headers` has whole header lines, which all its requests have.
    pub(crate) async fn open_with(address: SocketAddr, headers: &str) -> Self {
        Self::open_at(address, "/sse", headers).await
    }

    pub(crate) async fn open_at(address: SocketAddr, path: &str, headers: &str) -> Self {
        let (mut stream, mut poster) = (Client::connect(address).await, Client::connect(address).await);
        headers.clone_into(&mut poster.headers);
        stream.request(&format!("GET {path}"), &format!("accept: text/event-stream\r\n{headers}"), b"").await;
        let head = stream.head().await;
        assert_eq!((head.second_word(), head.get("content-type")), ("200", Some("text/event-stream")), "{head:?}");
        Self::listen(stream, poster).await
    }

    async fn listen(stream: Client, poster: Client) -> Self {
        let endpoint = Frame { raw: Bytes::new(), data: None, fields: Default::default() };
        let (splitter, frames) = (Splitter::default(), VecDeque::new());
        let mut client = Self { stream, poster, splitter, frames, address: String::new(), endpoint };
        client.endpoint = client.frame().await.expect("an endpoint event");
        assert_eq!(client.endpoint.fields.event.as_deref(), Some("endpoint"), "{:?}", client.endpoint);
        client.address = String::from_utf8(client.endpoint.data.clone().unwrap().to_vec()).unwrap();
        client
    }

    /// The next event; `None` when the stream has ended in good order, or has been broken.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        while self.frames.is_empty() {
            let piece = self.stream.piece().await.ok()??;
            self.frames.extend(self.splitter.push(piece));
        }
        self.frames.pop_front()
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> serde_json::Value {
        loop {
            let frame = self.frame().await.expect("a message");
            if let Some(data) = frame.message_data() {
                return serde_json::from_slice(data).unwrap();
            }
        }
    }

    /// Whether the stream ends in good order, with nothing more in it.
    pub(crate) async fn ends(&mut self) -> bool {
        self.frames.is_empty() && matches!(self.stream.piece().await, Ok(None))
    }

    pub(crate) async fn post(&mut self, body: impl AsRef<[u8]>) -> Response {
        self.send(body).await;
        self.answer().await
    }

    /// Posts a message; [`LegacySseClient::answer`] waits for what is said to that.
    pub(crate) async fn send(&mut self, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let start = format!("POST {}", self.address);
        self.poster.request(&start, &format!("{JSON}content-length: {}\r\n", body.len()), body).await;
    }

    pub(crate) async fn answer(&mut self) -> Response {
        self.poster.response().await
    }

    /// Hangs up the stream; the other connection stays.
    pub(crate) fn hang_up(self) -> (Client, String) {
        (self.poster, self.address)
    }
}

/// Clients of the demo's server, by the query of their address.
type Desk = Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<WriteHalf<DuplexStream>>>>>>;

/// Serves the demo on a free port; gives the URL.
pub(crate) async fn serve_demo() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/sse", get(open)).route("/message", post(take)).with_state(Desk::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/sse")
}

async fn open(State(desk): State<Desk>) -> Answer {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = split(theirs);
    tokio::spawn(async move { serve_stdio(reader, writer, ServerOptions::default()).await });
    let (reader, writer) = split(ours);
    let query = format!("sessionId={}", uuid::Uuid::new_v4());
    let endpoint = format!("event: endpoint\ndata: /message?{query}\n\n");
    desk.lock().insert(query, Arc::new(tokio::sync::Mutex::new(writer)));
    let lines = futures_util::stream::unfold(BufReader::new(reader).lines(), |mut lines| async move {
        let line = lines.next_line().await.ok()??;
        Some((format!("event: message\ndata: {line}\n\n"), lines))
    });
    let events = futures_util::StreamExt::chain(futures_util::stream::iter([endpoint]), lines);
    let events = futures_util::StreamExt::map(events, Ok::<_, Infallible>);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn take(State(desk): State<Desk>, RawQuery(query): RawQuery, body: Bytes) -> Answer {
    let client = desk.lock().get(&query.unwrap_or_default()).cloned();
    let Some(client) = client else { return (StatusCode::NOT_FOUND, "no such session").into_response() };
    client.lock().await.write_all(&[&body[..], b"\n"].concat()).await.unwrap();
    (StatusCode::ACCEPTED, "Accepted").into_response()
}
