//! A server with one stream for everything it says: a child's stdout, or the event stream of the HTTP+SSE transport.
//!
//! What goes to such a server gets no answer where it is handed in; every reply comes on the stream, where each item
//! keeps the frame it came in.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;
use tokio::sync::OwnedSemaphorePermit;

use super::sse::EventPipe;
use super::stdio::ChildPipe;
use super::{Item, UpstreamError};

/// What comes out of the server.
#[derive(Debug)]
pub enum Output {
    /// A message, or bytes of the stream that carry none.
    Item(Item),
    /// Where messages are to be posted, in the event that said so.
    Endpoint { frame: Bytes, reference: String, url: Url },
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
