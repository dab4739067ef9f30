//! An event stream towards the client: what is ready at one time goes out as one piece.
//!
//! Each piece is a chunk and a write of its own, which costs more than all the rest of an event's way. Nothing is ever
//! held back for something that is not there yet.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Fuse};
use futures_util::{Stream, StreamExt as _};

use crate::sse;
use crate::upstream::{Framing, Item, UpstreamError};

/// Enough for one piece.
const ENOUGH: usize = 16 << 10;
/// How often in a row the answer is "not yet" while there is something to send. The upstream's connection hands over one
/// event at a time, and has the next one only after its task had a turn; hyper asks a body twice in one turn of ours.
const PATIENCE: u8 = 2;

pub(in crate::proxy) struct CoalescedFrames {
    items: Fuse<BoxStream<'static, Result<Item, UpstreamError>>>,
    gathered: BytesMut,
    asked_in_vain: u8,
    /// Comes after what was gathered.
    error: Option<UpstreamError>,
}

impl CoalescedFrames {
    pub(in crate::proxy) fn new(items: BoxStream<'static, Result<Item, UpstreamError>>) -> Self {
        Self { items: items.fuse(), gathered: BytesMut::new(), asked_in_vain: 0, error: None }
    }

    fn gather(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.gathered.len() < ENOUGH && self.error.is_none() {
            match self.items.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(item))) => {
                    self.gathered.extend_from_slice(&frame(item));
                    self.asked_in_vain = 0;
                }
                Poll::Ready(Some(Err(error))) => self.error = Some(error),
                Poll::Ready(None) => break,
                Poll::Pending if self.gathered.is_empty() => return Poll::Pending,
                Poll::Pending if self.asked_in_vain == PATIENCE => break,
                Poll::Pending => {
                    self.asked_in_vain += 1;
                    // Asks to be woken after the others' turns, on this worker; waking ourselves would wake another one.
                    return std::pin::pin!(tokio::task::yield_now()).poll(context);
                }
            }
        }
        Poll::Ready(())
    }
}

impl Stream for CoalescedFrames {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        std::task::ready!(self.gather(context));
        self.asked_in_vain = 0;
        let gathered = self.gathered.split().freeze();
        if gathered.is_empty() {
            return Poll::Ready(self.error.take().map(Err));
        }
        Poll::Ready(Some(Ok(gathered)))
    }
}

/// An item as bytes of an event stream: its own frame, or one of ours around a line of a pipe.
fn frame(item: Item) -> Bytes {
    match item {
        Item::Filler(bytes) => bytes,
        Item::Message(incoming) => match incoming.framing {
            Framing::Sse { frame, .. } => frame,
            Framing::Line { .. } => sse::frame(incoming.message.raw()),
        },
    }
}
