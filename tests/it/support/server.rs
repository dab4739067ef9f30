//! An HTTP server that the test plays: each request comes to it in turn, to look at and to answer byte by byte.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot};

use super::soon;
use super::wire::{Ending, Head, Wire};

/// Listens on a free port; requests wait in the order they came.
pub(crate) struct Server {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Exchange>,
}

/// A server whose port is its own, and refuses connections until it is opened.
pub(crate) struct Shut {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Shut {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { address: socket.local_addr().unwrap(), socket }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn open(self) -> Server {
        Server::on(self.socket.listen(64).unwrap())
    }
}

/// A request that waits for its answer.
pub(crate) struct Exchange {
    pub(crate) head: Head,
    pub(crate) body: Bytes,
    wire: Wire,
    /// The way back to the connection's loop, for the next request.
    again: oneshot::Sender<Wire>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at(IpAddr::from([127, 0, 0, 1])).await
    }

    pub(crate) async fn start_at(ip: IpAddr) -> Self {
        Self::on(TcpListener::bind((ip, 0)).await.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Wire::new(stream), sender.clone()));
            }
        });
        Self { address, requests }
    }

    /// The URL of a server that answers every request the same way.
    pub(crate) async fn answering(answer: fn(&Exchange) -> String) -> String {
        let mut server = Self::start().await;
        let url = server.url();
        tokio::spawn(async move {
            while let Some(exchange) = server.requests.recv().await {
                let answer = answer(&exchange);
                exchange.json(answer).await;
            }
        });
        url
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) async fn next(&mut self) -> Exchange {
        soon("a request", self.requests.recv()).await.unwrap()
    }

    /// The next request, however long that takes.
    pub(crate) async fn next_if_any(&mut self) -> Option<Exchange> {
        self.requests.recv().await
    }

    /// Whether nothing has come that [`Server::next`] has not given out. Ask after something that must have come later.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.requests.is_empty()
    }
}

async fn serve(mut wire: Wire, requests: mpsc::UnboundedSender<Exchange>) {
    while let Ok(Some(head)) = wire.head().await {
        let ending = match (head.get("content-length"), head.get("transfer-encoding")) {
            (Some(length), _) => Ending::Length(length.parse().unwrap()),
            (None, Some("chunked")) => Ending::Chunks,
            (None, _) => Ending::Length(0),
        };
        let Ok(body) = wire.body(ending).await else { return };
        let (again, next) = oneshot::channel();
        if requests.send(Exchange { head, body, wire, again }).is_err() {
            return;
        }
        match next.await {
            Ok(back) => wire = back,
            Err(_) => return,
        }
    }
}

impl Exchange {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn message(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon("room to write", self.wire.write(bytes.as_ref())).await.unwrap();
    }

    /// Bytes that are a whole response; the connection lives on.
    pub(crate) async fn answer(mut self, response: impl AsRef<[u8]>) {
        self.write(response).await;
        drop(self.again.send(self.wire));
    }

    pub(crate) async fn json(self, body: impl AsRef<[u8]>) {
        self.json_with("", body).await;
    }

    /// `headers` has whole header lines.
    pub(crate) async fn json_with(self, headers: &str, body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n");
        self.answer([head.as_bytes(), body].concat()).await;
    }

    pub(crate) async fn accept(self) {
        self.answer("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await;
    }

    /// Begins an event stream that ends with the connection.
    pub(crate) async fn begin_stream(&mut self) {
        self.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await;
    }

    /// The stream of an answer that comes as events: dropped, it is ended in good order.
    pub(crate) async fn stream(mut self, events: impl AsRef<[u8]>) {
        self.begin_stream().await;
        self.write(events).await;
    }

    /// Breaks the connection.
    pub(crate) fn reset(self) {
        self.wire.reset();
    }

    /// Waits until the other side has hung up.
    pub(crate) async fn hung_up(mut self) {
        let hung_up = async { while matches!(self.wire.fill().await, Ok(true)) {} };
        soon("the end of a connection", hung_up).await;
    }
}
