//! What a server with one stream says: in whose names, and to whom it is delivered.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;

use crate::envelope::SessionId;
use crate::event::{Level, LogLine};
use crate::mcp::method;
use crate::message::Message;
use crate::net::backlog::{RoomShare, UnreadEntry};
use crate::proxy::Audience;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::{ClientSide, ClientStream, ExchangeClient};
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::pending::{Destination, PendingRequest, PendingRequests, Recipient};
use crate::proxy::stream::server::{ServerState, StreamServer, Tenancy};
use crate::proxy::stream::subscription::LegAudience;
use crate::sse;
use crate::upstream::pipe::StderrPiece;
use crate::upstream::{Incoming, Item};

/// A message of the server, in the names of whom it is for.
pub(super) struct Dispatched {
    /// `None`: of several clients none is there that it could be shown with.
    pub(super) session: Option<Arc<LiveSession>>,
    pub(super) recipient: Recipient,
    pub(super) incoming: Incoming,
    pub(super) audience: Audience,
}

/// What becomes of everything that the server says.
impl StreamServer {
    /// Finds whom a message of the server is for, and puts it in the names that its client knows.
    pub(super) fn resolve_recipient(&self, incoming: Incoming) -> Dispatched {
        let mut state = self.state.lock();
        let recipient = self.recipient(&mut state, &incoming.message);
        let Some(pending) = state.requests.of_recipient(&recipient) else {
            let session = self.owner(&state, &recipient);
            return Dispatched { session, recipient, incoming, audience: Audience::Client };
        };
        let leg_audience = pending.leg_audience(&recipient, &incoming.message);
        if leg_audience != LegAudience::Client {
            let session = pending.session().clone();
            let completed = recipient.completed().and_then(|id| state.requests.complete(id));
            drop(state);
            drop(completed);
            if leg_audience == LegAudience::ScreenAsItDiffers {
                self.log_difference(&session);
            }
            let audience = Audience::OperatorOnly;
            return Dispatched { session: Some(session), recipient: Recipient::Nobody, incoming, audience };
        }
        if matches!(recipient, Recipient::Requester(_)) {
            pending.answer();
            self.learn(pending, &incoming.message);
        }
        let (session, audience) = (Some(pending.session().clone()), pending.audience());
        let incoming = match pending.restore_names(&recipient, &incoming.message) {
            Some(message) => Incoming { framing: incoming.framing.around(&message), message },
            None => incoming,
        };
        Dispatched { session, recipient, incoming, audience }
    }

    fn recipient(&self, state: &mut ServerState, message: &Message) -> Recipient {
        let recipient = state.requests.recipient(message, state.client.stream().is_some());
        match (&self.tenancy, recipient) {
            (Tenancy::Dedicated(_), recipient) => {
                if self.pool.is_some() {
                    state.questions.register(message);
                }
                recipient
            }
            // It names its request, which is gone: it is no other's.
            (Tenancy::Shared, Recipient::Client) if message.method() == Some(method::PROGRESS) => Recipient::Nobody,
            // Whose it is can only be guessed: told to the wrong one, it would be a secret given away.
            (Tenancy::Shared, Recipient::Client) => {
                state.requests.sole().cloned().map_or(Recipient::Nobody, Recipient::Progress)
            }
            (Tenancy::Shared, Recipient::Requester(id)) if !state.requests.contains(&id) => Recipient::Nobody,
            (Tenancy::Shared, recipient) => recipient,
        }
    }

    /// Whose message it is that belongs to no request: of several clients, it is shown with the one that spoke last.
    fn owner(&self, state: &ServerState, recipient: &Recipient) -> Option<Arc<LiveSession>> {
        match (&self.tenancy, recipient) {
            (Tenancy::Dedicated(session), _) => Some(session.clone()),
            (Tenancy::Shared, Recipient::Requesters(ids)) => {
                ids.iter().find_map(|id| Some(state.requests.get(id)?.session().clone()))
            }
            (Tenancy::Shared, Recipient::Nobody) if state.requests.sole().is_some() => {
                state.requests.sole().and_then(|id| Some(state.requests.get(id)?.session().clone()))
            }
            (Tenancy::Shared, _) => state.last_session.clone().filter(|session| !session.closed().is_cancelled()),
        }
    }

    /// Learns what another process of the server would have to be told.
    fn learn(&self, pending: &PendingRequest, reply: &Message) {
        let is_clients = !pending.audience().is_operator_only();
        if self.pool.is_some() && is_clients && HandshakeState::is_relevant(pending.request()) {
            self.handshake.send_modify(|handshake| handshake.on_reply(pending.request(), reply));
        }
    }

    /// Whose log says what the server writes to stderr.
    pub(super) fn log_session(&self) -> Option<SessionId> {
        match &self.tenancy {
            Tenancy::Dedicated(session) => Some(session.id()),
            Tenancy::Shared => self.state.lock().last_session.as_ref().map(|session| session.id()),
        }
    }

    /// Delivers a message of the server to its recipient: down the one stream of a client that has one, else on the response that it
    /// belongs to. `share`: the room that it takes until it is read.
    pub(super) fn deliver(&self, recipient: &Recipient, incoming: Incoming, share: RoomShare) {
        if matches!(recipient, Recipient::Nobody) {
            return;
        }
        let mut state = self.state.lock();
        let ServerState { requests, client, .. } = &mut *state;
        let item = Item::Message(incoming);
        match client {
            ClientSide::Stream(stream) => deliver_to_stream(stream, requests, recipient, (item, share)),
            ClientSide::Exchanges(client) => {
                let unsent = deliver_to_exchange(client, requests, recipient, (item, share));
                // Of several clients, none is told what another hung up on.
                if let (Some(item), Tenancy::Dedicated(_)) = (unsent, &self.tenancy) {
                    client.buffer(item);
                }
            }
        }
    }

    /// Passes on bytes without a message: of no interest but to a client that gets every byte.
    pub(super) fn deliver_filler(&self, bytes: Bytes, share: RoomShare) {
        if let Some(stream) = self.state.lock().client.stream().filter(|stream| stream.carrier == self.carrier) {
            stream.send(Item::Filler(bytes), share);
        }
    }

    /// Passes on the one event that changes on its way (revision 2024-11-05, transports: the `endpoint` event): it must name an address
    /// of ours. Where that is the one it names, it leaves in the frame it came in.
    pub(super) fn deliver_endpoint(&self, frame: &Bytes, reference: &str, url: &Url) {
        let state = self.state.lock();
        let Some(stream) = state.client.stream() else { return };
        let Some(announce) = &stream.announce else { return };
        let address = announce(url);
        let frame = if address == reference { frame.clone() } else { sse::replace_data(frame, address.as_bytes()) };
        stream.send(Item::Filler(frame), RoomShare::default());
    }

    /// Passes on a piece of stderr.
    pub(super) fn deliver_stderr(&self, piece: StderrPiece) {
        if let Some(stderr) = self.state.lock().client.stream().and_then(|stream| stream.stderr.as_ref()) {
            let _ = stderr.send(piece);
        }
    }

    fn log_difference(&self, session: &LiveSession) {
        let text =
            "a child accepts a different part of a subscription than the first: the client gets what the first accepts";
        self.proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session.id()));
    }
}

/// The main road of a client with one stream: everything that is for the client goes down it, whatever it answers. Only what answers
/// tapline's own requests goes elsewhere.
fn deliver_to_stream(
    stream: &ClientStream,
    requests: &mut PendingRequests,
    recipient: &Recipient,
    (item, share): (Item, RoomShare),
) {
    match requests.destination(recipient) {
        Destination::Client => stream.send(item, share),
        Destination::Tapline(items) => {
            let _ = items.send_in(Ok(item), share);
        }
        Destination::Exchange(items) => {
            if let Err(UnreadEntry(Ok(item))) = items.send_in(Ok(item), share) {
                stream.send(item, RoomShare::default());
            }
        }
    }
}

/// The road of a client with exchanges: a reply, and what comes before it, goes on the response of its request; what belongs to none
/// on the listening stream, or, where there is none, along with a request in flight. Returns what nobody took.
fn deliver_to_exchange(
    client: &ExchangeClient,
    requests: &mut PendingRequests,
    recipient: &Recipient,
    (item, share): (Item, RoomShare),
) -> Option<Item> {
    let items = match requests.destination(recipient) {
        Destination::Tapline(items) => {
            let _ = items.send_in(Ok(item), share);
            return None;
        }
        Destination::Exchange(items) => Some(items),
        Destination::Client if matches!(recipient, Recipient::Client) => {
            client.listener().or_else(|| requests.open_response())
        }
        Destination::Client => None,
    };
    match items {
        Some(items) => items.send_in(Ok(item), share).err().and_then(|UnreadEntry(item)| item.ok()),
        None => Some(item),
    }
}
