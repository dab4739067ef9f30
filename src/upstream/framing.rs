//! What messages of a stream are framed by: a line of a pipe, or an event of an SSE stream. An unedited message leaves in the frame it
//! came in.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::envelope::{SseFields, Transport, Via};
use crate::message::Message;
use crate::sse;

/// Bytes that one message of an upstream may have, unless something else is said: a line, an event, a body. One without end would fill memory.
pub const LONGEST_MESSAGE: usize = 256 << 20;

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
    let mut line = BytesMut::with_capacity(raw.len() + 1);
    if memchr::memchr2(b'\n', b'\r', raw).is_none() {
        line.put_slice(raw);
    } else {
        line.extend(raw.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
    }
    line.put_u8(b'\n');
    line.freeze()
}
