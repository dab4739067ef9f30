//! The stdio front door: tapline is the server that a client launches.
//!
//! Its stdin and stdout belong to the protocol, its stderr to the server's. A line that nobody edited leaves as the bytes
//! that came, line end included. When the client closes our stdin the server's is closed at once, what it still says is
//! passed on, and we end as it ends (mcp-wire.md §2.1: the client waits two seconds at the most).

mod process_io;

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::envelope::Via;
use crate::event::Origin;
use crate::net::lines::LineBuffer;
use crate::proxy::exchange::Connection;
pub use crate::proxy::front::stdio::process_io::{BlockingFlags, StdioInput, StdioOutput};
use crate::proxy::front::stream_client::{LineSender, StreamClient};
use crate::proxy::sessions::{NewSession, SessionTable, Startup};
use crate::proxy::stream::ClientStream;
use crate::upstream::framing::{message_of, one_line};
use crate::upstream::{Framing, Item, Upstream as _, UpstreamError};

/// The client's pipes, and ours for the server's stderr.
pub struct StdioEnds<R, W, E> {
    pub input: R,
    pub output: W,
    pub errors: E,
}

/// The session of the client that launched us.
pub struct StdioSession {
    connection: Arc<Connection>,
    startup: Startup,
}

impl StdioSession {
    /// Begins the session. Its server is not heard before [`StdioSession::serve`]: nothing it says at once is lost.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub fn begin(table: &Arc<SessionTable>) -> Result<Self, UpstreamError> {
        let (connection, startup) = table.begin(NewSession::new(Via::Stdio, Origin::Client))?;
        Ok(Self { connection, startup })
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Serves the client until it or the server goes. The connection is closed when this returns.
    pub async fn serve<R, W, E>(self, ends: StdioEnds<R, W, E>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin + Send + 'static,
        E: AsyncWrite + Unpin + Send + 'static,
    {
        let Self { connection, startup } = self;
        // Unbounded: a client that reads slowly must not hold up what it has to say itself.
        let (items, to_write) = mpsc::unbounded_channel();
        let (stderr, errors) = mpsc::unbounded_channel();
        let mut writing = tokio::spawn(write_items(to_write, ends.output));
        let writing_errors = tokio::spawn(write_bytes(errors, ends.errors));
        let pipe = ClientStream { items, carrier: Via::Stdio, stderr: Some(stderr), announce: None };
        let mut sender = LineSender::new(StreamClient::attach(&connection, pipe, HeaderMap::new()));
        startup.run();
        let has_left = tokio::select! {
            () = read(&mut sender, ends.input) => true,
            // The server has gone, or the client reads no more.
            _ = &mut writing => false,
        };
        let client = sender.stop().await;
        if has_left {
            client.disconnect().await;
            drop(client);
            let _ = writing.await;
        } else {
            connection.close().await;
        }
        let _ = writing_errors.await;
    }
}

/// Reads the client's lines until there are no more. A held line stands aside; those after it go on.
async fn read(sender: &mut LineSender, mut input: impl AsyncRead + Unpin) {
    let mut lines = LineBuffer::default();
    loop {
        let read = tokio::select! {
            read = input.read_buf(&mut lines.buffer) => read,
            Some(()) = sender.next_held() => continue,
        };
        let ended = !matches!(read, Ok(1..));
        while let Some(line) = lines.next_line().or_else(|| if ended { lines.take_rest() } else { None }) {
            match message_of(&line) {
                None => sender.send_blank_line(line).await,
                Some(message) => sender.send(message, line).await,
            }
        }
        if ended {
            return;
        }
    }
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
    // A client that reads no more misses nothing that it wants.
    let _ = output.flush().await;
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
