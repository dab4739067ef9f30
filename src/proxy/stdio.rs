//! The stdio front door: tapline is the server that a client launches.
//!
//! Its stdin and stdout belong to the protocol, its stderr to the server's. A line that nobody edited leaves as the bytes
//! that came, line end included. When the client closes our stdin the server's is closed at once, what it still says is
//! passed on, and we end as it ends (mcp-wire.md §2.1: the client waits two seconds at the most).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::bridge::Bridge;
use super::exchange::{Connection, Link};
use super::pipe::{ClientPipe, PipeLink, message_of, one_line};
use super::{Arrival, Pass, Passage};
use crate::envelope::{Direction, Transport, Via};
use crate::message::Message;
use crate::upstream::stdio::LineBuffer;
use crate::upstream::{Framing, Item, Upstream as _, UpstreamError};

/// The client's pipes, and ours for the server's stderr.
pub struct Ends<R, W, E> {
    pub input: R,
    pub output: W,
    pub errors: E,
}

/// Serves one client until it or the server goes. The connection is closed when this returns.
pub async fn serve<R, W, E>(connection: &Arc<Connection>, ends: Ends<R, W, E>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
    E: AsyncWrite + Unpin + Send + 'static,
{
    // Unbounded: a client that reads slowly must not hold up what it has to say itself.
    let (items, to_write) = mpsc::unbounded_channel();
    let (stderr, errors) = mpsc::unbounded_channel();
    let mut writing = tokio::spawn(write_items(to_write, ends.output));
    let writing_errors = tokio::spawn(write_bytes(errors, ends.errors));
    // Writing ends when the server's side lets go of these, and not when we do.
    let answers = items.downgrade();
    let client = match &connection.link {
        Link::Pipe(link) => {
            link.attach(ClientPipe { items, stderr });
            Client::Relayed(link.clone())
        }
        Link::Exchanges(_) => {
            drop(stderr);
            Client::Bridged(Bridge::new(connection.clone(), items))
        }
    };
    let left = tokio::select! {
        () = read(connection, &client, &answers, ends.input) => true,
        // The server has gone, or the client reads no more.
        _ = &mut writing => false,
    };
    if left {
        client.leave(connection).await;
        drop(client);
        drop(writing.await);
    } else {
        connection.close().await;
    }
    drop(writing_errors.await);
}

/// The way of answers of ours to the client, for as long as the server's side is there.
type Answers = mpsc::WeakUnboundedSender<Result<Item, UpstreamError>>;

/// How the client's lines reach the server.
enum Client {
    /// As lines: the server has pipes, too.
    Relayed(Arc<PipeLink>),
    /// As HTTP exchanges.
    Bridged(Arc<Bridge>),
}

impl Client {
    /// Ends the server's side, and waits until all it had to say is out.
    async fn leave(&self, connection: &Arc<Connection>) {
        match self {
            Self::Relayed(_) => connection.close().await,
            Self::Bridged(bridge) => bridge.leave().await,
        }
    }
}

/// Reads the client's lines until there are no more. A held line stands aside; those after it go on.
async fn read(connection: &Arc<Connection>, client: &Client, answers: &Answers, mut input: impl AsyncRead + Unpin) {
    let mut lines = LineBuffer::default();
    let mut held: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        let read = tokio::select! {
            read = input.read_buf(&mut lines.buffer) => read,
            Some(()) = held.next() => continue,
        };
        let ended = !matches!(read, Ok(1..));
        while let Some(line) = lines.next_line().or_else(|| if ended { lines.rest() } else { None }) {
            match (message_of(&line), client) {
                (None, Client::Relayed(link)) => drop(link.write(line).await),
                (None, Client::Bridged(_)) => {}
                (Some(message), Client::Bridged(bridge)) => bridge.take(message).await,
                (Some(message), Client::Relayed(link)) => {
                    let arrival = Arrival::new(Direction::ToServer, Transport::new(Via::Stdio), message);
                    match connection.proxy.pass(&connection.session, arrival) {
                        Pass::Now(passage) => carry_out(link, answers, passage, line).await,
                        Pass::Held(pass) => {
                            held.push(async move { carry_out(link, answers, pass.await, line).await }.boxed());
                        }
                    }
                }
            }
        }
        if ended {
            return;
        }
    }
}

async fn carry_out(link: &PipeLink, answers: &Answers, passage: Passage, line: Bytes) {
    match passage {
        // A child that takes nothing any more is about to be heard of.
        Passage::Send { message, edited } => drop(link.write(if edited { one_line(&message) } else { line }).await),
        Passage::Answer(answer) => {
            if let Some(items) = answers.upgrade() {
                drop(items.send(Ok(line_of(answer))));
            }
        }
        Passage::Nothing => {}
    }
}

/// A message of ours for a client with a pipe.
pub(super) fn line_of(message: Message) -> Item {
    let line = one_line(&message);
    Item::Message(crate::upstream::Incoming { message, framing: Framing::Line { line } })
}

async fn write_items(
    mut items: mpsc::UnboundedReceiver<Result<Item, UpstreamError>>,
    mut output: impl AsyncWrite + Unpin,
) {
    while let Some(item) = items.recv().await {
        // Why the server went is on the screen; a pipe has no way to say it but to end.
        let Ok(item) = item else { return };
        if output.write_all(&bytes_of(item)).await.is_err() {
            return;
        }
        // One write for what is there already, none held back for more.
        if items.is_empty() && output.flush().await.is_err() {
            return;
        }
    }
    drop(output.flush().await);
}

fn bytes_of(item: Item) -> Bytes {
    match item {
        Item::Filler(bytes) => bytes,
        Item::Message(incoming) => match incoming.framing {
            Framing::Line { line } => line,
            Framing::Sse { .. } => one_line(&incoming.message),
        },
    }
}

async fn write_bytes(mut pieces: mpsc::UnboundedReceiver<Bytes>, mut output: impl AsyncWrite + Unpin) {
    while let Some(piece) = pieces.recv().await {
        if output.write_all(&piece).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}
