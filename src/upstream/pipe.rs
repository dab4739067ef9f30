//! A server with one stream for everything it says: a child's stdout, or the event stream of the HTTP+SSE transport.
//!
//! What goes to such a server gets no answer where it is handed in; every reply comes on the stream, where each item
//! keeps the frame it came in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::sse::EventPipe;
use super::stdio::ChildPipe;
use super::{Item, UpstreamError};
use crate::net::backlog::{ByteRoom, RoomShare};

/// Bytes of what a server said that may wait for who reads it; then the server is not read, as with a pipe. Its client's own messages go on.
pub const MOST_UNREAD: usize = 16 << 20;
/// How long a server is not read before somebody hears of it.
pub const STALLED: Duration = Duration::from_secs(10);

/// What is said then, where it keeps nobody else waiting.
pub fn unread_by_its_only_client() -> String {
    let most = MOST_UNREAD >> 20;
    format!("the client does not read: {most} MiB wait for it, and the server is not read until it does")
}

/// What comes out of the server.
#[derive(Debug)]
pub enum Output {
    /// A message, or bytes of the stream that carry none; and the room it takes until it is where it belongs.
    Item(Item, RoomShare),
    /// Where messages are to be posted, in the event that said so.
    Endpoint { frame: Bytes, reference: String, url: Url },
    /// So much waits of what the server said that it has not been read for [`STALLED`].
    Stalled,
    /// A piece of stderr.
    Stderr(StderrPiece),
    /// Lines that the server did not take: it has closed its stdin, and lives on.
    Untaken(Vec<Bytes>),
    /// The stream is asked for again; the text says why.
    Attempt(String),
    /// The last word: the server has ended and everything it said has been given out.
    Ended(UpstreamError),
}

/// Lines of a child's stderr as they came, each with its terminator where it has one; and their part of what may wait for its reader,
/// given back when this is dropped.
#[derive(Debug)]
pub struct StderrPiece {
    pub bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl StderrPiece {
    pub(super) fn new(bytes: Bytes, room: OwnedSemaphorePermit) -> Self {
        Self { bytes, _room: room }
    }
}

/// Where the reader of a server puts what it said.
pub(super) struct OutputSender {
    outputs: mpsc::Sender<Output>,
    room: ByteRoom,
}

impl OutputSender {
    pub(super) fn new(outputs: mpsc::Sender<Output>) -> Self {
        Self { outputs, room: ByteRoom::new(MOST_UNREAD) }
    }

    /// Hands out an item as soon as there is room for it, or `over`, after which nothing more comes that could fill memory. `false`
    /// where nobody hears it.
    pub(super) async fn item(&self, item: Item, over: impl Future<Output = ()>) -> bool {
        let size = item.size();
        let share = match self.room.try_take(size) {
            Some(share) => share,
            None => self.wait_for(size, over).await,
        };
        self.outputs.send(Output::Item(item, share)).await.is_ok()
    }

    async fn wait_for(&self, size: usize, over: impl Future<Output = ()>) -> RoomShare {
        let (mut over, mut share) = (std::pin::pin!(over), std::pin::pin!(self.room.take(size)));
        loop {
            tokio::select! {
                share = &mut share => return share,
                () = &mut over => return RoomShare::default(),
                () = tokio::time::sleep(STALLED) => {
                    let _ = self.outputs.send(Output::Stalled).await;
                }
            }
        }
    }
}

/// The way to the server, and to its end. Dropping the last one ends it.
pub enum Pipe {
    Child(ChildPipe),
    Events(Arc<EventPipe>),
}

impl Pipe {
    /// Ends the server's part, and waits until it is gone.
    pub async fn close(&self) {
        match self {
            Self::Child(child) => child.close().await,
            Self::Events(events) => events.close().await,
        }
    }
}
