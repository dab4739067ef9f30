//! A server inside this process that stands where a child would: it hears messages and says messages, and whatever is true of a child
//! (sessions, transports, ids, its end) is true of it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Item;
use super::output::{Output, OutputSender, StderrPiece, message_of};
use crate::message::Message;
use crate::net::backlog::BacklogReader;
use crate::secret::Label;

/// Bytes of its log that may wait for who reads it; more are left out.
const LOG_WAITING: usize = 1 << 20;

/// A server inside this process.
pub trait EmbeddedServer: Send + Sync + 'static {
    /// What it is, for people.
    fn label(&self) -> Label;

    /// Serves one client until that says nothing more.
    fn serve(self: Arc<Self>, ends: EmbeddedEnds) -> BoxFuture<'static, ()>;
}

/// What a child has its pipes for.
pub struct EmbeddedEnds {
    lines: BacklogReader<Bytes>,
    /// Nothing more comes.
    input_closing: CancellationToken,
    /// The server is to leave.
    closing: CancellationToken,
    items: OutputSender,
    outputs: mpsc::Sender<Output>,
    log_room: Arc<Semaphore>,
}

impl EmbeddedEnds {
    pub(super) fn new(
        lines: BacklogReader<Bytes>,
        input_closing: CancellationToken,
        closing: CancellationToken,
        outputs: mpsc::Sender<Output>,
    ) -> Self {
        let items = OutputSender::new(outputs.clone());
        Self { lines, input_closing, closing, items, outputs, log_room: Arc::new(Semaphore::new(LOG_WAITING)) }
    }

    /// The next message of the client; `None` after the last. Nothing is lost where the future is dropped.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            let line = tokio::select! {
                biased;
                line = self.lines.recv() => line?,
                () = self.input_closing.cancelled() => return None,
            };
            if let Some(message) = message_of(&line) {
                return Some(message);
            }
        }
    }

    /// Cancelled once the server is to leave, whatever is still to be said.
    pub fn closing(&self) -> CancellationToken {
        self.closing.clone()
    }

    /// Says something to the client, as soon as there is room for it. `false` where the client is gone.
    pub async fn say(&self, message: Message) -> bool {
        self.items.item(Item::line(message), self.closing.cancelled()).await
    }

    /// Says something to the operator, as a child does on stderr.
    pub async fn log(&self, text: &str) {
        let size = u32::try_from(text.len() + 1).unwrap_or(u32::MAX);
        if let Ok(room) = self.log_room.clone().try_acquire_many_owned(size) {
            let piece = StderrPiece::new(Bytes::from(format!("{text}\n")), room);
            let _ = self.outputs.send(Output::Stderr(piece)).await;
        }
    }
}
