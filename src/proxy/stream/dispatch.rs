//! What a server with one stream says: in whose names, and to whom it is given.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Url;
use tokio::sync::mpsc;

use crate::envelope::SessionId;
use crate::mcp::meta::{META, SUBSCRIPTION_ID};
use crate::message::{Id, Message};
use crate::proxy::Audience;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::handshake::HandshakeState;
use crate::proxy::stream::pending::{PendingRequest, Recipient, Router};
use crate::proxy::stream::request::post_aside;
use crate::proxy::stream::subscription::LegAudience;
use crate::proxy::stream::{StreamServer, Tenancy};
use crate::sse;
use crate::upstream::framing::one_line;
use crate::upstream::pipe::Pipe;
use crate::upstream::{Incoming, Item};

/// A message of the server, in the names of whom it is for.
pub(in crate::proxy) struct Dispatched {
    /// `None`: of several clients none is there that it could be told to.
    pub(in crate::proxy) session: Option<Arc<LiveSession>>,
    pub(in crate::proxy) address: Recipient,
    pub(in crate::proxy) incoming: Incoming,
    pub(in crate::proxy) audience: Audience,
}

/// What the pump does with the rest of what a server says.
impl StreamServer {
    pub(in crate::proxy) fn resolve_recipient(&self, incoming: Incoming) -> Dispatched {
        let mut router = self.router.lock();
        let address = self.address(&mut router, &incoming.message);
        let waiting = match &address {
            Recipient::Requester(id)
            | Recipient::Progress(id)
            | Recipient::Subscriber(id)
            | Recipient::Unsubscribed(id) => router.pending.get_mut(id),
            _ => None,
        };
        let Some(waiting) = waiting else {
            let session = self.owner(&router, &address);
            return Dispatched { session, address, incoming, audience: Audience::Client };
        };
        let heard = waiting.leg.as_mut().map_or(LegAudience::Client, |leg| leg.hear(&address, &incoming.message));
        if !matches!(heard, LegAudience::Client) {
            let session = waiting.session.clone();
            if let Recipient::Requester(id) | Recipient::Unsubscribed(id) = &address {
                router.pending.remove(id);
            }
            drop(router);
            if matches!(heard, LegAudience::Differs) {
                self.tell_difference(&session);
            }
            return Dispatched {
                session: Some(session),
                address: Recipient::Nobody,
                incoming,
                audience: Audience::OperatorOnly,
            };
        }
        if matches!(address, Recipient::Requester(_)) {
            waiting.answered = true;
            self.remember(waiting, &incoming.message);
        }
        let (session, audience) = (Some(waiting.session.clone()), waiting.audience);
        let incoming = match restored(&address, waiting, &incoming.message) {
            Some(message) => Incoming { framing: incoming.framing.around(&message), message },
            None => incoming,
        };
        Dispatched { session, address, incoming, audience }
    }

    fn address(&self, router: &mut Router, message: &Message) -> Recipient {
        let address = router.address(message);
        match (&self.home, address) {
            (Tenancy::Dedicated(_), address) => {
                if self.pool.is_some() {
                    router.asks(message);
                }
                address
            }
            // Whose it is can only be guessed: told to the wrong one, it would be a secret given away.
            (Tenancy::Shared, Recipient::Client) => {
                router.sole().cloned().map_or(Recipient::Nobody, Recipient::Progress)
            }
            (Tenancy::Shared, Recipient::Requester(id)) if !router.pending.contains_key(&id) => Recipient::Nobody,
            (Tenancy::Shared, address) => address,
        }
    }

    /// Whose message it is that answers nobody: of several clients, shown with what was said last.
    fn owner(&self, router: &Router, address: &Recipient) -> Option<Arc<LiveSession>> {
        match (&self.home, address) {
            (Tenancy::Dedicated(session), _) => Some(session.clone()),
            (Tenancy::Shared, Recipient::Requesters(ids)) => {
                ids.iter().find_map(|id| Some(router.pending.get(id)?.session.clone()))
            }
            (Tenancy::Shared, _) => router.spoke_last.clone().filter(|session| !session.closed().is_cancelled()),
        }
    }

    /// Learns what another process of the server would have to be told.
    fn remember(&self, waiting: &PendingRequest, reply: &Message) {
        if self.pool.is_some() && !waiting.audience.is_operator_only() && HandshakeState::cares(&waiting.request) {
            self.handshake.send_modify(|handshake| handshake.answered(&waiting.request, reply));
        }
    }

    /// Whose log says what the server writes to stderr.
    pub(in crate::proxy) fn voice(&self) -> Option<SessionId> {
        match &self.home {
            Tenancy::Dedicated(session) => Some(session.id()),
            Tenancy::Shared => self.router.lock().spoke_last.as_ref().map(|session| session.id()),
        }
    }

    /// Gives a message of the child to whom it is for.
    pub(in crate::proxy) fn deliver(&self, address: Recipient, incoming: Incoming) {
        let mut router = self.router.lock();
        let item = Item::Message(incoming);
        let items = match address {
            Recipient::Nobody => return,
            Recipient::Requester(id) | Recipient::Unsubscribed(id) => match router.pending.remove(&id) {
                Some(PendingRequest { audience: Audience::OperatorOnly, items, .. }) => {
                    if let Some(items) = items {
                        drop(items.send(Ok(item)));
                    }
                    return;
                }
                waiting => waiting.and_then(|waiting| waiting.items),
            },
            Recipient::Requesters(ids) => {
                let waiting: Vec<_> = ids.iter().filter_map(|id| router.pending.remove(id)).collect();
                waiting.into_iter().find_map(|waiting| waiting.items)
            }
            Recipient::Progress(id) | Recipient::Subscriber(id) => router.pending.get_mut(&id).and_then(|waiting| {
                waiting.begun = true;
                waiting.items.clone()
            }),
            Recipient::Client => router.open_stream(),
        };
        let unsent = match items {
            Some(items) => items.send(Ok(item)).err().and_then(|mpsc::error::SendError(item)| item.ok()),
            None => Some(item),
        };
        // Of several clients, none is told what another hung up on.
        if let Some(item) = unsent.filter(|_| matches!(self.home, Tenancy::Dedicated(_))) {
            router.keep(item);
        }
    }

    /// Bytes without a message: of no interest but to a client that gets every byte.
    pub(in crate::proxy) fn filler(&self, bytes: Bytes) {
        if let Some(client) = self.router.lock().client.as_ref().filter(|client| client.carrier == self.carrier) {
            drop(client.items.send(Ok(Item::Filler(bytes))));
        }
    }

    /// The one event that changes on its way (revision 2024-11-05, transports: the `endpoint` event): it must name an
    /// address of ours. Where that is the one it names, it leaves in the frame it came in.
    pub(in crate::proxy) fn endpoint(&self, frame: &Bytes, reference: &str, url: &Url) {
        let router = self.router.lock();
        let Some(client) = &router.client else { return };
        let Some(announce) = &client.announce else { return };
        let address = announce(url);
        let frame = if address == reference { frame.clone() } else { sse::replace_data(frame, address.as_bytes()) };
        drop(client.items.send(Ok(Item::Filler(frame))));
    }

    pub(in crate::proxy) fn stderr(&self, line: Bytes) {
        if let Some(stderr) = self.router.lock().client.as_ref().and_then(|client| client.stderr.as_ref()) {
            drop(stderr.send(line));
        }
    }

    /// Hands the server an answer that we made in the client's place.
    pub(in crate::proxy) async fn answer_server(&self, answer: Message) {
        let pipe = self.router.lock().pipe.clone();
        match pipe.as_deref() {
            // A child that takes nothing any more is about to be heard of.
            Some(Pipe::Child(child)) => drop(child.write(one_line(&answer)).await),
            Some(Pipe::Events(events)) => post_aside(events, answer),
            None => {}
        }
    }
}

/// A message in its client's own names; `None` where those are the server's, too.
fn restored(address: &Recipient, waiting: &PendingRequest, message: &Message) -> Option<Message> {
    let own_id = waiting.renamed().map(Id::token);
    match address {
        Recipient::Progress(_) => message.with_value(&["params", "progressToken"], waiting.own_token.as_ref()?),
        Recipient::Subscriber(_) => message.with_value(&["params", META, SUBSCRIPTION_ID], own_id?),
        Recipient::Unsubscribed(_) => {
            let message = message.with_value(&["params", "requestId"], own_id?)?;
            Some(message.with_value(&["params", META, SUBSCRIPTION_ID], own_id?).unwrap_or(message))
        }
        _ => {
            let reply = message.with_value(&["id"], own_id?)?;
            // The last word of a subscription names it, too.
            Some(reply.with_value(&["result", META, SUBSCRIPTION_ID], own_id?).unwrap_or(reply))
        }
    }
}
