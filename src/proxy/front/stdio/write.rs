//! What a client that launched us is told, on its way out: in as few writes as come together, and, once all is over, for no
//! longer than its reader takes something of it.

use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::net::backlog::BacklogReader;
use crate::upstream::output::{StderrPiece, one_line};
use crate::upstream::{Framing, Item, UpstreamError};

/// Bytes of the server's stderr that are written at once.
const MOST_GATHERED: usize = 256 << 10;

/// Writes to stdout or stderr of this process, with a limit to how long its reader is waited for.
pub(super) struct OutputWriter<W> {
    output: W,
    /// Cancelled when all is over.
    ending: CancellationToken,
    /// How long nothing may be taken then.
    limit: Duration,
}

impl<W: AsyncWrite + Unpin> OutputWriter<W> {
    pub(super) fn new(output: W, ending: CancellationToken, limit: Duration) -> Self {
        Self { output, ending, limit }
    }

    /// Returns whether all was taken.
    async fn write(&mut self, mut bytes: Bytes) -> bool {
        while bytes.has_remaining() {
            let written = tokio::select! {
                biased;
                written = self.output.write(&bytes) => written,
                () = given_up(&self.ending, self.limit) => return false,
            };
            match written {
                Ok(written @ 1..) => bytes.advance(written),
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }

    async fn flush(&mut self) -> bool {
        tokio::select! {
            biased;
            flushed = self.output.flush() => flushed.is_ok(),
            () = given_up(&self.ending, self.limit) => false,
        }
    }
}

async fn given_up(ending: &CancellationToken, limit: Duration) {
    ending.cancelled().await;
    tokio::time::sleep(limit).await;
}

/// Writes items to the client until there are no more, or its pipe is closed.
pub(super) async fn write_items(
    mut items: BacklogReader<Result<Item, UpstreamError>>,
    mut output: OutputWriter<impl AsyncWrite + Unpin>,
) {
    while let Some(item) = items.recv().await {
        // Why the server went is on the screen; a pipe has no way to say it but to end.
        let Ok(item) = item else { return };
        if !output.write(bytes_of(item)).await {
            return;
        }
        // One write for what is there already, none held back for more.
        if items.is_empty() && !output.flush().await {
            return;
        }
    }
    // A client that reads no more misses nothing that it wants.
    output.flush().await;
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

/// Writes the server's stderr, what has come meanwhile in one piece.
pub(super) async fn write_stderr(
    mut pieces: mpsc::UnboundedReceiver<StderrPiece>,
    mut output: OutputWriter<impl AsyncWrite + Unpin>,
) {
    while let Some(first) = pieces.recv().await {
        let mut gathered = vec![first];
        while gathered.iter().map(|piece| piece.bytes.len()).sum::<usize>() < MOST_GATHERED
            && let Ok(piece) = pieces.try_recv()
        {
            gathered.push(piece);
        }
        let bytes = match &gathered[..] {
            [only] => only.bytes.clone(),
            several => several
                .iter()
                .fold(BytesMut::new(), |mut all, piece| {
                    all.extend_from_slice(&piece.bytes);
                    all
                })
                .freeze(),
        };
        // Their room is given back when they are written.
        if !output.write(bytes).await || !output.flush().await {
            return;
        }
    }
}
