//! The client for plain HTTP on this machine: hyper's own connections, each kept for the next request when its answer has been read.
//!
//! hyper-util's client does the same for any number of hosts and versions, on any thread. Its way through pool, connector and a task
//! for each connection that comes back was a twelfth of what a call cost (`cargo bench`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body as Relayed;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use reqwest::Url;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::client::{CONNECT_TIMEOUT, KEEP_ALIVE, MOST_IDLE, RequestFailure, ResponseBody};
use crate::net::innermost_cause;

/// The body of a request: whole, or as it comes.
pub(super) type NearBody = Either<Full<Bytes>, Relayed>;

/// Connections to one server on this machine, all of one thread.
pub(super) struct NearClient {
    host: Box<str>,
    port: u16,
    host_header: HeaderValue,
    idle: Arc<IdleConnections>,
}

#[derive(Default)]
struct IdleConnections {
    /// The one that came back last goes first.
    connections: Mutex<Vec<IdleConnection>>,
    is_swept: AtomicBool,
}

struct IdleConnection {
    sender: SendRequest<NearBody>,
    since: Instant,
}

impl NearClient {
    /// A client for the server of a URL that has a host.
    pub(super) fn new(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let header = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Some(Self {
            host: host.trim_matches(['[', ']']).into(),
            port: url.port_or_known_default()?,
            host_header: header.parse().ok()?,
            idle: Arc::default(),
        })
    }

    /// Sends a request; once more where its connection was closed over it and nothing had been sent.
    pub(super) async fn send(&self, mut request: Request<NearBody>) -> Result<Response<ResponseBody>, RequestFailure> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        request.headers_mut().entry(HOST).or_insert_with(|| self.host_header.clone());
        loop {
            let (mut sender, is_fresh) = match self.idle.check_out() {
                Some(sender) => (sender, false),
                None => (Box::pin(self.connect()).await?, true),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(response.map(|body| {
                        let body = ReturningBody { body, sender: Some(sender), idle: self.idle.clone() };
                        body.map_err(Into::into).boxed_unsync()
                    }));
                }
                Err(mut error) => match error.take_message().filter(|_| !is_fresh) {
                    Some(unsent) => request = unsent,
                    None => {
                        let why = innermost_cause(&error.into_error());
                        return Err(RequestFailure { unreachable: false, why });
                    }
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<NearBody>, RequestFailure> {
        let unreachable = |why| RequestFailure { unreachable: true, why };
        let connecting = TcpStream::connect((&*self.host, self.port));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| unreachable("connection timed out".to_owned()))?
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .and_then(|stream| keep_alive(&stream).map(|()| stream))
            .map_err(|error| unreachable(error.to_string()))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(innermost_cause(&error)))?;
        tokio::spawn(async move {
            // The sender's own call fails with the error.
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection to the server broke");
            }
        });
        Ok(sender)
    }
}

/// A port of this machine may lead into a container or through a tunnel, whose end is not reported: a stream that listens for days is
/// asked whether it is still there, as `reqwest`'s are.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))
}

impl IdleConnections {
    /// The connection that came back last, of those that are still good.
    fn check_out(&self) -> Option<SendRequest<NearBody>> {
        let mut connections = self.connections.lock();
        let mut at = connections.len();
        while at > 0 {
            at -= 1;
            let IdleConnection { sender, since } = &connections[at];
            if sender.is_closed() || since.elapsed() > MOST_IDLE {
                connections.swap_remove(at);
            } else if sender.is_ready() {
                return Some(connections.remove(at).sender);
            }
        }
        None
    }

    fn give_back(self: &Arc<Self>, sender: SendRequest<NearBody>) {
        if sender.is_closed() {
            return;
        }
        self.connections.lock().push(IdleConnection { sender, since: Instant::now() });
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            let idle = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(MOST_IDLE + Duration::from_secs(1)).await;
                    if idle.upgrade().is_none_or(|idle| idle.sweep()) {
                        return;
                    }
                }
            });
        }
    }

    /// Closes connections that were idle for long. Returns whether none is left.
    fn sweep(&self) -> bool {
        let mut connections = self.connections.lock();
        connections.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() <= MOST_IDLE);
        let is_empty = connections.is_empty();
        self.is_swept.store(!is_empty, Ordering::Relaxed);
        is_empty
    }
}

/// An answer; when it has been read to its end, its connection is free for another.
struct ReturningBody {
    body: Incoming,
    sender: Option<SendRequest<NearBody>>,
    idle: Arc<IdleConnections>,
}

impl Body for ReturningBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) {
            self.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl ReturningBody {
    fn give_back(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.idle.give_back(sender);
        }
    }
}

impl Drop for ReturningBody {
    fn drop(&mut self) {
        // One that is left in the middle is closed.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// A server that answers each request with the number of its connection and `rest`, and closes the connection where it is told so;
    /// tells of each connection that has ended.
    async fn server(closes: bool, rest: &'static str) -> (NearClient, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let (ended, ends) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 1.. {
                let (mut stream, _) = listener.accept().await.expect("it listens");
                let ended = ended.clone();
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    while let Ok(1..) = stream.read(&mut request).await {
                        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{number:02}{rest}");
                        stream.write_all(answer.as_bytes()).await.expect("it is read");
                        if closes {
                            break;
                        }
                    }
                    drop(stream);
                    // The test may be over.
                    let _ = ended.send(());
                });
            }
        });
        let url = format!("http://{address}/").parse().expect("it is a URL");
        (NearClient::new(&url).expect("it has a host"), ends)
    }

    async fn ask(client: &NearClient) -> Response<ResponseBody> {
        let request = Request::new(Either::Left(Full::new(Bytes::new())));
        client.send(request).await.unwrap_or_else(|failure| panic!("{}", failure.why))
    }

    async fn read(client: &NearClient) -> Bytes {
        ask(client).await.into_body().collect().await.expect("it is whole").to_bytes()
    }

    #[tokio::test]
    async fn connection_is_kept_for_the_next_request() {
        let (client, _ends) = server(false, "ab").await;
        for _ in 0..3 {
            assert_eq!(read(&client).await, "01ab");
        }
    }

    #[tokio::test]
    async fn connection_that_was_closed_is_replaced() {
        let (client, mut ends) = server(true, "ab").await;
        for expected in ["01ab", "02ab", "03ab"] {
            assert_eq!(read(&client).await, expected);
            ends.recv().await.expect("it closes");
        }
    }

    #[tokio::test]
    async fn connection_of_an_answer_that_was_left_is_no_others() {
        let (client, mut ends) = server(false, "").await;
        drop(ask(&client).await);
        ends.recv().await.expect("it is closed");
        assert_eq!(
            ask(&client).await.into_body().frame().await.expect("a frame").expect("it is read").into_data().ok(),
            Some(Bytes::from_static(b"02"))
        );
    }

    #[tokio::test]
    async fn server_that_is_not_there_is_unreachable() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let url = format!("http://{}/", listener.local_addr().expect("it listens"));
        drop(listener);
        let client = NearClient::new(&url.parse().expect("it is a URL")).expect("it has a host");
        let failure = client.send(Request::new(Either::Left(Full::default()))).await.expect_err("nobody listens");
        assert!(failure.unreachable && failure.why.starts_with("Connection refused"), "{}", failure.why);
    }
}
