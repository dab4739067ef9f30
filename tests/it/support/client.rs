//! An MCP client over HTTP that says exactly what the test says.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tapline::sse::Splitter;
use tokio::net::TcpStream;

use super::soon;
use super::wire::{Ending, Head, Wire};

/// A request without params.
pub(crate) fn request(id: u32, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}"}}"#)
}

/// One connection to the proxy.
pub(crate) struct Client {
    wire: Wire,
    address: SocketAddr,
    ending: Ending,
    /// Further header lines for all requests, each with its line end.
    pub(crate) headers: String,
    /// Where the upstream is mounted, such as `/a`; nothing for the one at the root.
    pub(crate) mount: String,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Bytes,
}

/// What came of a message.
pub(crate) struct Said {
    /// The id of the session, where it was given.
    pub(crate) session: Option<String>,
    pub(crate) messages: Vec<serde_json::Value>,
}

impl Response {
    pub(crate) fn status(&self) -> &str {
        self.head.second_word()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let wire = Wire::new(TcpStream::connect(address).await.unwrap());
        Self { wire, address, ending: Ending::Length(0), headers: String::new(), mount: String::new() }
    }

    /// The same client on another connection, where it is said to be now.
    pub(crate) async fn again(&self, address: SocketAddr) -> Self {
        Self { headers: self.headers.clone(), ..Self::connect(address).await }
    }

    /// Whether a message got an answer; none comes from a proxy that was killed.
    pub(crate) async fn is_answered(&mut self, body: &str) -> bool {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {}\r\n{}content-type: application/json\r\naccept: application/json, \
             text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            self.headers,
            body.len()
        );
        if self.wire.write(head.as_bytes()).await.is_err() {
            return false;
        }
        let Ok(Some(head)) = self.wire.head().await else { return false };
        let length = head.get("content-length").map(|length| length.parse().unwrap());
        let whole = self.wire.body(length.map_or(Ending::Close, Ending::Length)).await.is_ok();
        whole && head.second_word() == "200"
    }

    /// A message, with what every client sends along.
    pub(crate) async fn post(&mut self, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let head = format!(
            "content-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.request(&format!("POST {}/mcp", self.mount), &head, body).await;
    }

    /// Opens the listening stream.
    pub(crate) async fn get(&mut self) {
        self.request(&format!("GET {}/mcp", self.mount), "accept: text/event-stream\r\n", b"").await;
    }

    /// `start` is method and path; `head` has whole header lines.
    pub(crate) async fn request(&mut self, start: &str, head: &str, body: &[u8]) {
        let (address, headers) = (self.address, &self.headers);
        let head = format!("{start} HTTP/1.1\r\nhost: {address}\r\n{headers}{head}\r\n");
        self.write(head.as_bytes()).await;
        self.write(body).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon("room to write", self.wire.write(bytes)).await.unwrap();
    }

    /// For what the proxy may not want to read any more.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.write(bytes).await
    }

    /// Says that nothing more will be written.
    pub(crate) async fn half_close(&mut self) {
        self.wire.half_close().await;
    }

    /// Waits until the proxy has hung up, whatever it said before.
    pub(crate) async fn closed(mut self) {
        soon("the end of a connection", async { while matches!(self.wire.fill().await, Ok(true)) {} }).await;
    }

    /// The head of the response, as soon as it is there; [`Client::piece`] gives the body.
    pub(crate) async fn head(&mut self) -> Head {
        let head = soon("the head of a response", self.wire.head()).await.unwrap().expect("a response");
        self.ending = match (head.get("content-length"), head.get("transfer-encoding")) {
            (_, Some("chunked")) => Ending::Chunks,
            (Some(length), _) => Ending::Length(length.parse().unwrap()),
            (None, _) if head.second_word() == "204" => Ending::Length(0),
            (None, _) => Ending::Close,
        };
        head
    }

    /// What comes next of the body: `None` at its orderly end, an error where it breaks.
    pub(crate) async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        soon("more of a body", self.wire.piece(&mut self.ending)).await
    }

    /// The body from here until so many bytes are there.
    pub(crate) async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < length {
            body.extend_from_slice(&self.piece().await.unwrap().expect("more of a body"));
        }
        body
    }

    pub(crate) async fn rest(&mut self) -> Bytes {
        soon("the end of a body", self.wire.body(self.ending)).await.unwrap()
    }

    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await;
        Response { head, body: self.rest().await }
    }

    /// A message and its response.
    pub(crate) async fn call(&mut self, body: impl AsRef<[u8]>) -> Response {
        self.post(body).await;
        self.response().await
    }

    /// A message and everything that is said to it, be it a body or a stream. What the server asks meanwhile is answered on
    /// a second connection.
    pub(crate) async fn call_answering(
        &mut self,
        body: impl AsRef<[u8]>,
        second: &mut Self,
        answer: impl Fn(&serde_json::Value) -> serde_json::Value,
    ) -> Said {
        self.post(body).await;
        let head = self.head().await;
        let session = head.get("mcp-session-id").map(str::to_owned);
        let mut messages = Vec::new();
        if head.get("content-type") != Some("text/event-stream") {
            messages.extend(serde_json::from_slice(&self.rest().await));
            return Said { session, messages };
        }
        let mut splitter = Splitter::default();
        while let Some(piece) = self.piece().await.unwrap() {
            for frame in splitter.push(piece) {
                let message: serde_json::Value = serde_json::from_slice(frame.message_data().unwrap()).unwrap();
                if message.get("method").is_some() && message.get("id").is_some() {
                    assert_eq!(second.call(answer(&message["id"]).to_string()).await.status(), "202");
                }
                messages.push(message);
            }
        }
        Said { session, messages }
    }

    /// Goes through `initialize` and keeps the session's id in its headers.
    pub(crate) async fn initialize(&mut self) -> Response {
        let response = self.call(INITIALIZE).await;
        assert_eq!(response.status(), "200", "{response:?}");
        if let Some(id) = response.head.get("mcp-session-id") {
            self.headers = format!("mcp-session-id: {id}\r\n");
        }
        response
    }
}

/// The first message of a session.
pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}"#;
