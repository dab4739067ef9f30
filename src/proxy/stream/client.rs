//! The client's side of a server with one stream: where its client can be reached.

use std::collections::VecDeque;

use reqwest::Url;
use tokio::sync::mpsc;

use crate::envelope::Via;
use crate::net::backlog::{Backlog, RoomShare};
use crate::upstream::output::{MOST_UNREAD, StderrPiece};
use crate::upstream::{Item, UpstreamError};

/// Messages kept for a client that has no stream open to hear them on; no more than [`MOST_UNREAD`] bytes.
const MOST_BUFFERED: usize = 1_000;

/// A stream that a client, or tapline itself, reads. Sending never waits; the reader of the server takes room for what waits
/// here, and stops where there is none.
pub(in crate::proxy) type Items = Backlog<Result<Item, UpstreamError>>;

/// The ends of a client that has one stream for everything, too.
pub(in crate::proxy) struct ClientStream {
    pub(in crate::proxy) items: Items,
    /// The transport of its stream. Bytes without a message pass only where the server has that transport, too.
    pub(in crate::proxy) carrier: Via,
    /// Takes a child's stderr, as it came.
    pub(in crate::proxy) stderr: Option<mpsc::UnboundedSender<StderrPiece>>,
    /// Returns the address under which the client reaches the server's endpoint.
    pub(in crate::proxy) announce: Option<Announce>,
}

/// Makes the address that a client of the HTTP+SSE transport is given for the one that the server named.
pub(in crate::proxy) type Announce = Box<dyn Fn(&Url) -> String + Send>;

impl ClientStream {
    /// Sends an item down the stream. Where its reader has gone, its session is about to end.
    pub(super) fn send(&self, item: Item, share: RoomShare) {
        let _ = self.items.send_in(Ok(item), share);
    }
}

/// The two kinds of client.
pub(super) enum ClientSide {
    /// It has one stream for everything: a process with pipes, or one of the HTTP+SSE transport.
    Stream(ClientStream),
    /// It has exchanges, each with a response of its own.
    Exchanges(ExchangeClient),
}

/// What a client with exchanges hears beside their responses.
#[derive(Default)]
pub(super) struct ExchangeClient {
    /// The listening stream (GET) of the client, where one is open.
    listener: Option<Items>,
    /// What came while no stream was open, and its bytes.
    buffered: VecDeque<Item>,
    bytes: usize,
}

impl Default for ClientSide {
    fn default() -> Self {
        Self::Exchanges(ExchangeClient::default())
    }
}

impl ClientSide {
    /// The stream of a client that has one for everything.
    pub(super) fn stream(&self) -> Option<&ClientStream> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Exchanges(_) => None,
        }
    }

    /// Sends everything to a client with one stream from now on, beginning with what was buffered for it.
    pub(super) fn attach(&mut self, stream: ClientStream) {
        if let Self::Exchanges(client) = self {
            client.take_buffered().into_iter().for_each(|item| stream.send(item, RoomShare::default()));
        }
        *self = Self::Stream(stream);
    }

    /// Ends the streams that carry what the server says of its own accord.
    pub(super) fn end(&mut self, error: &UpstreamError) {
        match self {
            Self::Exchanges(client) => client.listener = None,
            Self::Stream(stream) => {
                // What broke for us must not look to the client as if it had ended in good order.
                if error.is_broken() {
                    let _ = stream.items.send(Err(error.clone()));
                }
                *self = Self::default();
            }
        }
    }
}

impl ExchangeClient {
    /// The GET stream, where the client has one open.
    pub(super) fn listener(&self) -> Option<Items> {
        self.listener.clone().filter(|listener| !listener.is_closed())
    }

    pub(super) fn listen(&mut self, items: Items) {
        self.listener = Some(items);
    }

    /// Takes out what was kept for a client that had no stream open.
    pub(super) fn take_buffered(&mut self) -> Vec<Item> {
        self.bytes = 0;
        self.buffered.drain(..).collect()
    }

    /// Keeps an item for a stream that the client opens later; the oldest go where there are too many.
    pub(super) fn buffer(&mut self, item: Item) {
        self.bytes += item.size();
        self.buffered.push_back(item);
        while self.buffered.len() > MOST_BUFFERED || self.bytes > MOST_UNREAD && self.buffered.len() > 1 {
            self.bytes -= self.buffered.pop_front().map_or(0, |oldest| oldest.size());
        }
    }
}
