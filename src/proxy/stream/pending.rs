//! Who waits for what from a server with one stream, and so whom each of its messages is for.
//!
//! A pending request and its server go together: it is registered under the lock under which the child to write to is
//! read. So it is answered by the child it was registered for, failed with it, or asked again; none hangs between two
//! children.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::mcp::meta::{self, cancelled_id};
use crate::mcp::method;
use crate::message::{Id, Kind, Message};
use crate::proxy::Audience;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::subscription::SubscriptionLeg;
use crate::proxy::stream::{ClientStream, Items};
use crate::upstream::pipe::Pipe;
use crate::upstream::{Item, UpstreamError};

/// Messages kept for a client that has no stream open to hear them on.
const MOST_WAITING: usize = 1_000;
/// Requests without a reply that are remembered for a client with one stream: a server that answers nothing must not cost
/// ever more.
const MOST_ASKED: usize = 10_000;

/// Requests that another process of the server may be asked in place of one that is gone: whatever became of them there, nothing
/// was changed by it.

pub(in crate::proxy) struct Router {
    pub(in crate::proxy) server: Lifecycle,
    /// The latest there was.
    pub(in crate::proxy) pipe: Option<Arc<Pipe>>,
    /// Why another is to take its place, where that was asked for.
    pub(in crate::proxy) asked_anew: Option<String>,
    /// Whoever made it go did not mean another to come.
    pub(in crate::proxy) leaving: bool,
    /// Requests of clients that wait for their reply; the requests of a batch share one stream.
    pub(in crate::proxy) pending: HashMap<Id, PendingRequest>,
    /// The server's own requests that the client has not answered, and those of a server that is gone.
    pub(in crate::proxy) questions: HashSet<Id>,
    pub(in crate::proxy) stale: HashSet<Id>,
    /// The client's GET stream.
    pub(in crate::proxy) listener: Option<Items>,
    /// Set where the client has one stream, too: what nobody asked for by an exchange is for it.
    pub(in crate::proxy) client: Option<ClientStream>,
    /// What nobody listened for yet.
    pub(in crate::proxy) backlog: VecDeque<Item>,
    /// Of several clients, the one that spoke last.
    pub(in crate::proxy) spoke_last: Option<Arc<LiveSession>>,
}

/// Whether messages can go to the server.
pub(in crate::proxy) enum Lifecycle {
    /// It is being started; with what its clients are told if it takes too long.
    Starting(UpstreamError),
    Up(Arc<Pipe>),
    /// It is gone for good, and why.
    Gone(UpstreamError),
}

pub(in crate::proxy) struct PendingRequest {
    pub(in crate::proxy) session: Arc<LiveSession>,
    /// As the server knows it.
    pub(in crate::proxy) request: Message,
    /// `None`: its client has one stream for everything.
    pub(in crate::proxy) items: Option<Items>,
    pub(in crate::proxy) progress_token: Option<Box<str>>,
    /// Of a request that is not its client's own: its stream is read by tapline alone.
    pub(in crate::proxy) audience: Audience,
    /// The client has taken the request back (`notifications/cancelled`); a reply may come all the same.
    pub(in crate::proxy) cancelled: bool,
    /// Something of its stream has gone out.
    pub(in crate::proxy) begun: bool,
    /// Its reply has come, and may be held.
    pub(in crate::proxy) answered: bool,
    /// One of a batch.
    pub(in crate::proxy) batched: bool,
    /// What its client calls the request and its progress, where the child knows them by another name.
    pub(in crate::proxy) own_id: Option<Id>,
    pub(in crate::proxy) own_token: Option<Box<str>>,
    /// Of a subscription that is open on other children, too.
    pub(in crate::proxy) leg: Option<SubscriptionLeg>,
}

impl PendingRequest {
    pub(in crate::proxy) fn new(session: Arc<LiveSession>, request: Message, items: Option<Items>) -> Self {
        Self {
            session,
            request,
            items,
            progress_token: None,
            audience: Audience::Client,
            cancelled: false,
            begun: false,
            answered: false,
            batched: false,
            own_id: None,
            own_token: None,
            leg: None,
        }
    }

    /// What its client calls it.
    pub(in crate::proxy) fn id(&self) -> Option<&Id> {
        self.own_id.as_ref().or(self.request.id())
    }

    /// What its client calls that which the child knows by another name.
    pub(in crate::proxy) fn renamed(&self) -> Option<&Id> {
        self.own_id.as_ref().or(self.leg.as_ref().and_then(SubscriptionLeg::client_id))
    }

    /// Whether another process of the server can be asked in place of the one that is gone. `greeted`: it will have been through the
    /// handshake by then.
    pub(in crate::proxy) fn can_be_asked_again(&self, greeted: bool) -> bool {
        let begins = self.request.method() == Some(method::INITIALIZE);
        let repeatable = method::is_repeatable(&self.request) || !greeted && begins;
        repeatable && !(self.audience.is_operator_only() || self.cancelled || self.begun || self.batched)
    }
}

/// Whom a message of the server is for. Ids are those that the server knows.
pub(in crate::proxy) enum Recipient {
    /// Who asked this.
    Requester(Id),
    /// Who asked these in one batch.
    Requesters(Vec<Id>),
    /// Who asked this, and waits for more.
    Progress(Id),
    /// Who listens by this request (revision 2026-07-28, `subscriptions/listen`).
    Subscriber(Id),
    /// The same, for the last time: the server ends the subscription by a cancellation.
    Unsubscribed(Id),
    /// The client, on whatever stream there is.
    Client,
    /// Nobody but the screen.
    Nobody,
}

impl Router {
    pub(in crate::proxy) fn new(server: Lifecycle) -> Self {
        let pipe = if let Lifecycle::Up(pipe) = &server { Some(pipe.clone()) } else { None };
        Self {
            server,
            pipe,
            asked_anew: None,
            leaving: false,
            pending: HashMap::new(),
            questions: HashSet::new(),
            stale: HashSet::new(),
            listener: None,
            client: None,
            backlog: VecDeque::new(),
            spoke_last: None,
        }
    }

    pub(in crate::proxy) fn is_over(&self) -> bool {
        matches!(self.server, Lifecycle::Gone(_))
    }

    /// Clients without sessions share a child, and each counts its ids and progress tokens from the same start: what is
    /// taken gets another name on the way to the child, and its own again on the way back.
    pub(in crate::proxy) fn expect_reply(&mut self, mut waiting: PendingRequest) -> Message {
        let mut request = waiting.request;
        let taken = request.id().filter(|id| self.pending.contains_key(id)).cloned();
        if let Some(own) = taken
            && let Some(renamed) = request.with_id(&Id::random())
        {
            waiting.own_id = Some(own);
            request = renamed;
        }
        waiting.progress_token = meta::requested_progress(&request).map(Into::into);
        let taken = waiting.progress_token.clone().filter(|token| self.asked_with(token).is_some());
        if let Some(own) = taken {
            let other = Id::random();
            if let Some(renamed) = request.with_value(&["params", "_meta", "progressToken"], other.token()) {
                waiting.own_token = Some(own);
                waiting.progress_token = Some(other.token().into());
                request = renamed;
            }
        }
        waiting.request = request.clone();
        if let Some(id) = request.id() {
            self.pending.insert(id.clone(), waiting);
        }
        request
    }

    /// As [`Router::expect_reply`], for a message as it is, of the only client that the server has: its names are the server's.
    pub(in crate::proxy) fn note(&mut self, message: &Message, session: &Arc<LiveSession>) {
        if self.pending.len() >= MOST_ASKED {
            return;
        }
        for request in message.elements().iter().chain([message]).filter(|it| it.kind() == Kind::Request) {
            let batched = message.kind() == Kind::Batch;
            let waiting = PendingRequest { batched, ..PendingRequest::new(session.clone(), request.clone(), None) };
            self.pending.extend(request.id().cloned().map(|id| (id, waiting)));
        }
    }

    /// A client has taken a request back.
    pub(in crate::proxy) fn take_back(&mut self, message: &Message) {
        if let Some(waiting) = cancelled_id(message).and_then(|id| self.pending.get_mut(&id)) {
            waiting.cancelled = true;
        }
    }

    /// Whether a reply of the client's is for a server that is gone. One that has come since may count its requests from the same start.
    pub(in crate::proxy) fn is_stale(&mut self, reply: &Message) -> bool {
        let Some(id) = reply.id().filter(|_| reply.kind().is_reply()) else { return false };
        self.questions.remove(id);
        self.stale.remove(id)
    }

    /// The server asks something of its own accord.
    pub(in crate::proxy) fn asks(&mut self, message: &Message) {
        if let Some(id) = message.id().filter(|_| message.kind() == Kind::Request) {
            self.stale.remove(id);
            self.questions.insert(id.clone());
        }
    }

    fn asked_with(&self, token: &str) -> Option<&Id> {
        self.pending.iter().find(|(_, waiting)| waiting.progress_token.as_deref() == Some(token)).map(|(id, _)| id)
    }

    pub(in crate::proxy) fn address(&self, message: &Message) -> Recipient {
        match message.kind() {
            Kind::Result | Kind::Error => message.id().cloned().map_or(Recipient::Client, Recipient::Requester),
            Kind::Batch if message.answers() => {
                Recipient::Requesters(message.elements().iter().filter_map(|element| element.id().cloned()).collect())
            }
            Kind::Notification if message.method() == Some("notifications/progress") => {
                let asked = meta::reported_progress(message).and_then(|token| self.asked_with(token).cloned());
                asked.map_or(Recipient::Client, Recipient::Progress)
            }
            Kind::Opaque if self.client.is_none() => Recipient::Nobody,
            Kind::Notification => self.subscriber(message),
            Kind::Request | Kind::Batch | Kind::Opaque => Recipient::Client,
        }
    }

    fn subscriber(&self, message: &Message) -> Recipient {
        let listens = |id: &Id| self.pending.get(id).is_some_and(PendingRequest::listens);
        if let Some(id) = cancelled_id(message).filter(listens) {
            return Recipient::Unsubscribed(id);
        }
        let listening = meta::subscription_id(message).filter(|id| self.pending.contains_key(id));
        listening.map_or(Recipient::Client, Recipient::Subscriber)
    }

    /// The request that something belongs to of which the server does not say so: one of the only session that waits for any.
    pub(in crate::proxy) fn sole(&self) -> Option<&Id> {
        let mut asking =
            self.pending.iter().filter(|(_, waiting)| !waiting.audience.is_operator_only() && !waiting.listens());
        let (first, of) = asking.next()?;
        asking.all(|(_, waiting)| waiting.session.id() == of.session.id()).then_some(first)
    }

    /// A stream for something the child says of its own accord.
    pub(in crate::proxy) fn open_stream(&mut self) -> Option<Items> {
        if let Some(listener) = self.listener.as_ref().filter(|listener| !listener.is_closed()) {
            return Some(listener.clone());
        }
        let mut in_flight = self.pending.values_mut().filter(|waiting| !waiting.audience.is_operator_only());
        in_flight.find_map(|waiting| {
            let items = waiting.items.clone().filter(|items| !items.is_closed())?;
            waiting.begun = true;
            Some(items)
        })
    }

    /// Gives an item to a client with one stream, or keeps it for one that listens later.
    pub(in crate::proxy) fn keep(&mut self, item: Item) {
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

impl PendingRequest {
    pub(in crate::proxy) fn listens(&self) -> bool {
        method::is_subscription(&self.request)
    }
}
