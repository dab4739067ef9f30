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
use crate::proxy::stream::handshake::Recollection;
use crate::proxy::stream::pending::{Address, Router, Waiting};
use crate::proxy::stream::request::post_aside;
use crate::proxy::stream::subscription::Heard;
use crate::proxy::stream::{Home, PipeLink};
use crate::sse;
use crate::upstream::framing::one_line;
use crate::upstream::pipe::Pipe;
use crate::upstream::{Incoming, Item};

/// A message of the server, in the names of whom it is for.
pub(in crate::proxy) struct Recognized {
    /// `None`: of several clients none is there that it could be told to.
    pub(in crate::proxy) session: Option<Arc<LiveSession>>,
    pub(in crate::proxy) address: Address,
    pub(in crate::proxy) incoming: Incoming,
    pub(in crate::proxy) audience: Audience,
}

/// What the pump does with the rest of what a server says.
impl PipeLink {
    pub(in crate::proxy) fn recognize(&self, incoming: Incoming) -> Recognized {
        let mut router = self.router.lock();
        let address = self.address(&mut router, &incoming.message);
        let waiting = match &address {
            Address::Asker(id) | Address::Progress(id) | Address::Subscriber(id) | Address::Unsubscribed(id) => {
                router.pending.get_mut(id)
            }
            _ => None,
        };
        let Some(waiting) = waiting else {
            let session = self.owner(&router, &address);
            return Recognized { session, address, incoming, audience: Audience::Client };
        };
        let heard = waiting.leg.as_mut().map_or(Heard::Client, |leg| leg.hear(&address, &incoming.message));
        if !matches!(heard, Heard::Client) {
            let session = waiting.session.clone();
            if let Address::Asker(id) | Address::Unsubscribed(id) = &address {
                router.pending.remove(id);
            }
            drop(router);
            if matches!(heard, Heard::Differs) {
                self.tell_difference(&session);
            }
            return Recognized {
                session: Some(session),
                address: Address::Nobody,
                incoming,
                audience: Audience::OperatorOnly,
            };
        }
        if matches!(address, Address::Asker(_)) {
            waiting.answered = true;
            self.remember(waiting, &incoming.message);
        }
        let (session, audience) = (Some(waiting.session.clone()), waiting.audience);
        let incoming = match restored(&address, waiting, &incoming.message) {
            Some(message) => Incoming { framing: incoming.framing.around(&message), message },
            None => incoming,
        };
        Recognized { session, address, incoming, audience }
    }

    fn address(&self, router: &mut Router, message: &Message) -> Address {
        let address = router.address(message);
        match (&self.home, address) {
            (Home::One(_), address) => {
                if self.pool.is_some() {
                    router.asks(message);
                }
                address
            }
            // Whose it is can only be guessed: told to the wrong one, it would be a secret given away.
            (Home::Many, Address::Client) => router.sole().cloned().map_or(Address::Nobody, Address::Progress),
            (Home::Many, Address::Asker(id)) if !router.pending.contains_key(&id) => Address::Nobody,
            (Home::Many, address) => address,
        }
    }

    /// Whose message it is that answers nobody: of several clients, shown with what was said last.
    fn owner(&self, router: &Router, address: &Address) -> Option<Arc<LiveSession>> {
        match (&self.home, address) {
            (Home::One(session), _) => Some(session.clone()),
            (Home::Many, Address::Askers(ids)) => {
                ids.iter().find_map(|id| Some(router.pending.get(id)?.session.clone()))
            }
            (Home::Many, _) => router.spoke_last.clone().filter(|session| !session.closed().is_cancelled()),
        }
    }

    /// Learns what another process of the server would have to be told.
    fn remember(&self, waiting: &Waiting, reply: &Message) {
        if self.pool.is_some() && !waiting.audience.is_operator_only() && Recollection::cares(&waiting.request) {
            self.recollection.send_modify(|recollection| recollection.answered(&waiting.request, reply));
        }
    }

    /// Whose log says what the server writes to stderr.
    pub(in crate::proxy) fn voice(&self) -> Option<SessionId> {
        match &self.home {
            Home::One(session) => Some(session.id()),
            Home::Many => self.router.lock().spoke_last.as_ref().map(|session| session.id()),
        }
    }

    /// Gives a message of the child to whom it is for.
    pub(in crate::proxy) fn deliver(&self, address: Address, incoming: Incoming) {
        let mut router = self.router.lock();
        let item = Item::Message(incoming);
        let items = match address {
            Address::Nobody => return,
            Address::Asker(id) | Address::Unsubscribed(id) => match router.pending.remove(&id) {
                Some(Waiting { audience: Audience::OperatorOnly, items, .. }) => {
                    if let Some(items) = items {
                        drop(items.send(Ok(item)));
                    }
                    return;
                }
                waiting => waiting.and_then(|waiting| waiting.items),
            },
            Address::Askers(ids) => {
                let waiting: Vec<_> = ids.iter().filter_map(|id| router.pending.remove(id)).collect();
                waiting.into_iter().find_map(|waiting| waiting.items)
            }
            Address::Progress(id) | Address::Subscriber(id) => router.pending.get_mut(&id).and_then(|waiting| {
                waiting.begun = true;
                waiting.items.clone()
            }),
            Address::Client => router.open_stream(),
        };
        let unsent = match items {
            Some(items) => items.send(Ok(item)).err().and_then(|mpsc::error::SendError(item)| item.ok()),
            None => Some(item),
        };
        // Of several clients, none is told what another hung up on.
        if let Some(item) = unsent.filter(|_| matches!(self.home, Home::One(_))) {
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
fn restored(address: &Address, waiting: &Waiting, message: &Message) -> Option<Message> {
    let own_id = waiting.renamed().map(Id::token);
    match address {
        Address::Progress(_) => message.with_value(&["params", "progressToken"], waiting.own_token.as_ref()?),
        Address::Subscriber(_) => message.with_value(&["params", META, SUBSCRIPTION_ID], own_id?),
        Address::Unsubscribed(_) => {
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
