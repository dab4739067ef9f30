//! Who waits for what from a server with one stream, and so whom each of its messages is for.

use std::collections::{HashMap, VecDeque};

use super::{ClientPipe, Items};
use crate::message::{Id, Kind, Message};
use crate::upstream::{Item, UpstreamError};

/// Messages kept for a client that has no stream open to hear them on.
const MOST_WAITING: usize = 1_000;

#[derive(Default)]
pub(super) struct Router {
    /// Requests of the client that wait for their reply; the requests of a batch share one stream.
    pub(super) pending: HashMap<Id, Waiting>,
    /// The client's GET stream.
    pub(super) listener: Option<Items>,
    /// Set where the client has one stream, too: what nobody asked for by an exchange is for it.
    pub(super) client: Option<ClientPipe>,
    /// What nobody listened for yet.
    pub(super) backlog: VecDeque<Item>,
    /// Why the server is gone.
    pub(super) ended: Option<UpstreamError>,
}

pub(super) struct Waiting {
    pub(super) items: Items,
    pub(super) progress_token: Option<Box<str>>,
    /// Of the operator's own request: its stream is read by tapline alone.
    pub(super) withheld: bool,
    /// The client has taken the request back (`notifications/cancelled`); a reply may come all the same.
    pub(super) cancelled: bool,
    /// What its client calls the request and its progress, where the child knows them by another name.
    pub(super) own_id: Option<Id>,
    pub(super) own_token: Option<Box<str>>,
}

/// Whom a message of the server is for. Ids are those that the server knows.
pub(in crate::proxy) enum Address {
    /// Who asked this.
    Asker(Id),
    /// Who asked these in one batch.
    Askers(Vec<Id>),
    /// Who asked this, and waits for more.
    Progress(Id),
    /// Who listens by this request (revision 2026-07-28, `subscriptions/listen`).
    Subscriber(Id),
    /// The client, on whatever stream there is.
    Client,
    /// Nobody but the screen.
    Nobody,
}

impl Router {
    /// Clients without sessions share a child, and each counts its ids and progress tokens from the same start: what is
    /// taken gets another name on the way to the child, and its own again on the way back.
    pub(super) fn expect_reply(&mut self, mut request: Message, mut waiting: Waiting) -> Message {
        let taken = request.id().filter(|id| self.pending.contains_key(id)).cloned();
        if let Some(own) = taken
            && let Some(renamed) = request.with_id(&Id::random())
        {
            waiting.own_id = Some(own);
            request = renamed;
        }
        waiting.progress_token = progress_token(&request, "_meta");
        let taken = waiting.progress_token.clone().filter(|token| self.asked_with(token).is_some());
        if let Some(own) = taken {
            let other = Id::random();
            if let Some(renamed) = request.with_value(&["params", "_meta", "progressToken"], other.token()) {
                waiting.own_token = Some(own);
                waiting.progress_token = Some(other.token().into());
                request = renamed;
            }
        }
        if let Some(id) = request.id() {
            self.pending.insert(id.clone(), waiting);
        }
        request
    }

    fn asked_with(&self, token: &str) -> Option<&Id> {
        self.pending.iter().find(|(_, waiting)| waiting.progress_token.as_deref() == Some(token)).map(|(id, _)| id)
    }

    pub(super) fn address(&self, message: &Message) -> Address {
        match message.kind() {
            Kind::Result | Kind::Error => message.id().cloned().map_or(Address::Client, Address::Asker),
            Kind::Batch if message.answers() => {
                Address::Askers(message.elements().iter().filter_map(|element| element.id().cloned()).collect())
            }
            Kind::Notification if message.method() == Some("notifications/progress") => {
                let asked = progress_token(message, "").and_then(|token| self.asked_with(&token).cloned());
                asked.map_or(Address::Client, Address::Progress)
            }
            Kind::Opaque if self.client.is_none() => Address::Nobody,
            Kind::Notification => {
                let listening = subscription(message).filter(|id| self.pending.contains_key(id));
                listening.map_or(Address::Client, Address::Subscriber)
            }
            Kind::Request | Kind::Batch | Kind::Opaque => Address::Client,
        }
    }

    /// A stream for something the child says of its own accord.
    pub(super) fn open_stream(&self) -> Option<Items> {
        let in_flight = self.pending.values().filter(|waiting| !waiting.withheld).map(|waiting| &waiting.items);
        self.listener.iter().chain(in_flight).find(|items| !items.is_closed()).cloned()
    }

    /// Gives an item to a client with one stream, or keeps it for one that listens later.
    pub(super) fn keep(&mut self, item: Item) {
        if let Some(client) = &self.client {
            // Where it has gone, its session is about to end.
            drop(client.items.send(Ok(item)));
            return;
        }
        if self.backlog.len() == MOST_WAITING {
            self.backlog.pop_front();
        }
        self.backlog.push_back(item);
    }
}

/// In `_meta` of what belongs to a subscription, the id of the request that asked for it.
pub(super) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

fn subscription(message: &Message) -> Option<Id> {
    let params: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(message.member("params")?).ok()?;
    let meta: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(params.get("_meta")?.get()).ok()?;
    Some(Id::from_token(meta.get(SUBSCRIPTION)?.get()))
}

/// `progressToken` of a request's `params._meta`, or of a progress notification's `params` (`holder` empty).
fn progress_token(message: &Message, holder: &str) -> Option<Box<str>> {
    let params: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(message.member("params")?).ok()?;
    if holder.is_empty() {
        return Some(params.get("progressToken")?.get().into());
    }
    let meta: HashMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(params.get(holder)?.get()).ok()?;
    Some(meta.get("progressToken")?.get().into())
}
