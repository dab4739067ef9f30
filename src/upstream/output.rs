//! What servers say: each message in the frame it came in, a line of a pipe or an event of an SSE stream, so that an unedited one leaves
//! in that frame; and, of a server with one stream for everything, how it is handed out to the server's reader.
//!
//! What goes to such a server gets no answer where it is handed in; every reply comes on the stream.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::error::UpstreamError;
use crate::envelope::{SseFields, Transport, Via};
use crate::message::Message;
use crate::net::backlog::{ByteRoom, RoomShare};
use crate::net::read::joined;
use crate::sse;

/// Bytes that one message of an upstream may have, unless something else is said: a line, an event, a body. One without end would fill memory.
pub const LONGEST_MESSAGE: usize = 256 << 20;
/// Bytes of a server's messages that may wait for their reader; then the server is not read, as with a pipe. Its client's own messages go on.
pub const MOST_UNREAD: usize = 16 << 20;
/// How long a server is not read before that is reported.
pub const STALLED: Duration = Duration::from_secs(10);

/// One piece of a stream.
#[derive(Clone, Debug)]
pub enum Item {
    Message(Incoming),
    /// Bytes of the stream that carry no message: comments, priming events, a torn end. Passed on as they are.
    Filler(Bytes),
}

/// A message from the upstream, with what framed it.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub message: Message,
    pub framing: Framing,
}

/// The frame a message came in, so that an unedited one can leave as the bytes that arrived.
#[derive(Clone, Debug)]
pub enum Framing {
    /// One line of a pipe; `line` includes its terminator.
    Line { line: Bytes },
    /// One SSE event; `frame` includes comments and the blank line.
    Sse { frame: Bytes, fields: Option<Box<SseFields>> },
}

impl Item {
    /// How many bytes it is on its carrier.
    pub fn size(&self) -> usize {
        match self {
            Self::Filler(bytes) => bytes.len(),
            Self::Message(incoming) => incoming.size(),
        }
    }

    /// Returns a message of ours, framed as a line.
    pub fn line(message: Message) -> Self {
        let line = one_line(&message);
        Self::Message(Incoming { message, framing: Framing::Line { line } })
    }
}

impl Incoming {
    /// How many bytes it is on its carrier.
    pub fn size(&self) -> usize {
        match &self.framing {
            Framing::Line { line } => line.len(),
            Framing::Sse { frame, .. } => frame.len(),
        }
    }
}

impl Framing {
    /// Returns this frame with another message in it: an SSE event keeps its comments and fields.
    pub fn around(self, message: &Message) -> Self {
        match self {
            Self::Line { .. } => Self::Line { line: one_line(message) },
            Self::Sse { frame, fields } => Self::Sse { frame: sse::replace_data(&frame, message.raw()), fields },
        }
    }

    /// Returns this frame two times over.
    pub fn twice(self) -> Self {
        let twice = |bytes: &Bytes| Bytes::from([bytes.as_ref(), bytes.as_ref()].concat());
        match self {
            Self::Line { line } => Self::Line { line: twice(&line) },
            Self::Sse { frame, fields } => Self::Sse { frame: twice(&frame), fields },
        }
    }

    /// The facts of the carrier that the frame tells.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Line { .. } => Transport::new(Via::Stdio),
            Self::Sse { fields, .. } => Transport { sse: fields.clone(), ..Transport::new(Via::Sse) },
        }
    }
}

/// Returns what a line of a pipe is: a message, or, where it is empty, bytes without one.
pub fn item_of(line: Bytes) -> Item {
    match message_of(&line) {
        Some(message) => Item::Message(Incoming { message, framing: Framing::Line { line } }),
        None => Item::Filler(line),
    }
}

/// The message of a line: without the line end, and nothing for an empty line.
pub fn message_of(line: &Bytes) -> Option<Message> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    Some(Message::new(line.slice(..=end)))
}

/// A message as one line of a pipe. White space between tokens may hold line ends, strings may not: a blank does as well.
pub fn one_line(message: &Message) -> Bytes {
    let raw = message.raw();
    if memchr::memchr2(b'\n', b'\r', raw).is_none() {
        return joined(&[raw, b"\n"]);
    }
    let mut line = BytesMut::with_capacity(raw.len() + 1);
    line.extend(raw.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    line.put_u8(b'\n');
    line.freeze()
}

/// The text about a client that does not read for [`STALLED`], and is the only one of its server.
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

    /// Hands out an item as soon as there is room for it, or `over`, after which nothing more comes that could fill memory. Returns
    /// `false` where the receiver is gone.
    pub(super) async fn item(&self, item: Item, over: impl Future<Output = ()>) -> bool {
        let size = item.size();
        let share = match self.room.try_acquire(size) {
            Some(share) => share,
            None => self.wait_for(size, over).await,
        };
        self.outputs.send(Output::Item(item, share)).await.is_ok()
    }

    async fn wait_for(&self, size: usize, over: impl Future<Output = ()>) -> RoomShare {
        let (mut over, mut share) = (std::pin::pin!(over), std::pin::pin!(self.room.acquire(size)));
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
