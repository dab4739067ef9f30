//! Pending requests: those of clients that wait for their reply, and the server's own questions that wait for a client's.
//!
//! Both are registered, completed, cancelled and failed here and nowhere else, and both under the lock that guards the server they
//! were put to: a request registered for one process is answered by it, or told that it is lost.
//!
//! The server's own questions die with it. Their client is told so; a late answer is shown and not handed to the next process, which
//! may count from the same start.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::mcp::meta::{self, META, SUBSCRIPTION_ID, cancelled_id};
use crate::mcp::method;
use crate::mcp::semantics;
use crate::message::{Id, Kind, Message};
use crate::proxy::Audience;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::Items;
use crate::proxy::stream::subscription::{LegAudience, SubscriptionLeg};
use crate::upstream::UpstreamError;

/// Requests without a reply that are remembered for a client with one stream: a server that answers nothing must not cost
/// ever more.
const MOST_PENDING: usize = 10_000;

/// Whom a message of the server is for. Ids are those that the server knows.
pub(in crate::proxy) enum Recipient {
    /// The sender of this request: the message is its reply.
    Requester(Id),
    /// The sender of these requests in one batch: the message is the batch of their replies.
    Requesters(Vec<Id>),
    /// The sender of this request, which waits for more.
    Progress(Id),
    /// The client that listens by this request (revision 2026-07-28, `subscriptions/listen`).
    Subscriber(Id),
    /// The client that listens by this request, for the last time: the server ends the subscription by a cancellation.
    Unsubscribed(Id),
    /// The client, on whatever stream there is.
    Client,
    /// Tapline, which tells the server again what an earlier process was told.
    Player,
    /// No client: it is only shown.
    Unaddressed,
}

impl Recipient {
    /// The one request that the message belongs to.
    fn request(&self) -> Option<&Id> {
        match self {
            Self::Requester(id) | Self::Progress(id) | Self::Subscriber(id) | Self::Unsubscribed(id) => Some(id),
            Self::Requesters(_) | Self::Client | Self::Player | Self::Unaddressed => None,
        }
    }

    /// The request for which nothing comes after this message.
    pub(super) fn completed(&self) -> Option<&Id> {
        match self {
            Self::Requester(id) | Self::Unsubscribed(id) => Some(id),
            _ => None,
        }
    }
}

/// The reader of what belongs to a request.
#[derive(Clone)]
pub(super) enum ReplyReader {
    /// The client, on its one stream for everything.
    ClientStream,
    /// The client, on the response of its exchange. The requests of a batch share one.
    Exchange(Items),
    /// Tapline, which asked by itself or for the operator: the client gets nothing of it.
    Tapline(Items),
}

impl ReplyReader {
    /// The stream of an exchange, for whom it is.
    pub(super) fn exchange(items: Items, audience: Audience) -> Self {
        if audience.is_operator_only() { Self::Tapline(items) } else { Self::Exchange(items) }
    }

    fn items(&self) -> Option<&Items> {
        match self {
            Self::ClientStream => None,
            Self::Exchange(items) | Self::Tapline(items) => Some(items),
        }
    }
}

/// How far the server has come with a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum RequestProgress {
    Sent,
    /// Something of its stream has gone out.
    Streaming,
    /// The reply has come from the server, and may be held.
    Answered,
}

/// Whether the client still wants the reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interest {
    Awaited,
    /// It has taken the request back (`notifications/cancelled`), or leaves; a reply may come all the same.
    Cancelled,
}

/// What a request came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Enclosure {
    Single,
    Batch,
}

/// A request of a client that waits for its reply.
pub(super) struct PendingRequest {
    session: Arc<LiveSession>,
    /// The request with the id and progress token that the server knows it by.
    request: Message,
    reply_to: ReplyReader,
    enclosure: Enclosure,
    progress: RequestProgress,
    interest: Interest,
    progress_token: Option<Id>,
    /// What its client calls the request and its progress, where the child knows them by another name.
    client_id: Option<Id>,
    client_token: Option<Id>,
    /// Which part of a subscription it is that is open on other children, too; `None` for any other request.
    leg: Option<SubscriptionLeg>,
}

impl PendingRequest {
    pub(super) fn new(
        session: Arc<LiveSession>,
        request: Message,
        reply_to: ReplyReader,
        enclosure: Enclosure,
    ) -> Self {
        Self {
            session,
            request,
            reply_to,
            enclosure,
            progress: RequestProgress::Sent,
            interest: Interest::Awaited,
            progress_token: None,
            client_id: None,
            client_token: None,
            leg: None,
        }
    }

    /// A subscription as one of several children is to know it. `client_id`: what its client calls it.
    pub(super) fn of_leg(leg: SubscriptionLeg, request: Message, items: Items, client_id: Option<Id>) -> Self {
        let (session, reply_to) = (leg.session().clone(), ReplyReader::exchange(items, leg.audience()));
        Self { leg: Some(leg), client_id, ..Self::new(session, request, reply_to, Enclosure::Single) }
    }

    pub(super) fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }

    pub(super) fn request(&self) -> &Message {
        &self.request
    }

    pub(super) fn leg(&self) -> Option<&SubscriptionLeg> {
        self.leg.as_ref()
    }

    /// What its client calls it.
    pub(super) fn id(&self) -> Option<&Id> {
        self.client_id.as_ref().or(self.request.id())
    }

    pub(super) fn audience(&self) -> Audience {
        match self.reply_to {
            ReplyReader::Tapline(_) => Audience::OperatorOnly,
            ReplyReader::ClientStream | ReplyReader::Exchange(_) => Audience::Client,
        }
    }

    /// Fails the response that the request has, where nothing of it has gone out yet: its client reads a status that says why. Returns the
    /// request where it must be told by a JSON-RPC error instead.
    pub(super) fn fail_response(self, error: &UpstreamError) -> Option<Self> {
        match &self.reply_to {
            ReplyReader::Tapline(items) => {
                let _ = items.send(Err(error.clone()));
                None
            }
            ReplyReader::Exchange(items) if self.progress < RequestProgress::Streaming => {
                let _ = items.send(Err(error.clone()));
                None
            }
            ReplyReader::Exchange(_) | ReplyReader::ClientStream => Some(self),
        }
    }

    /// The response that its answer goes to, where it has one of its own.
    pub(super) fn response(&self) -> Option<&Items> {
        self.reply_to.items()
    }

    /// Whether it had a response of its own whose reader is gone.
    pub(super) fn has_no_reader(&self) -> bool {
        self.response().is_some_and(Items::is_closed)
    }

    /// Whether it only opens an ear (`subscriptions/listen`).
    pub(super) fn is_subscription(&self) -> bool {
        semantics::is_subscription(&self.request)
    }

    /// Notes that the reply has come from the server.
    pub(super) fn answer(&mut self) {
        self.progress = RequestProgress::Answered;
    }

    fn stream(&mut self) {
        self.progress = self.progress.max(RequestProgress::Streaming);
    }

    fn cancel(&mut self) {
        self.interest = Interest::Cancelled;
    }

    /// The server is gone for good: a client that still waits is told why.
    fn fail(mut self, error: &UpstreamError) {
        // A client that cancelled a request does not expect an answer: some clients fail over one that comes as they leave.
        if self.interest == Interest::Cancelled {
            return;
        }
        // What other children tell, too, goes on.
        let goes_on = self.leg.as_mut().is_some_and(|leg| !leg.end());
        // A client that has hung up does not need to know.
        if let Some(items) = self.reply_to.items().filter(|_| !goes_on) {
            let _ = items.send(Err(error.clone()));
        }
    }

    /// Whether another process of the server can be asked in place of the one that is gone: whatever became of the request there,
    /// nothing was changed by it. `greeted`: the process will have been through the handshake by then.
    fn can_be_resent(&self, greeted: bool) -> bool {
        let begins = self.request.method() == Some(method::INITIALIZE);
        let repeatable = semantics::is_repeatable(&self.request) || !greeted && begins;
        repeatable
            && self.audience() == Audience::Client
            && self.interest == Interest::Awaited
            && self.progress != RequestProgress::Streaming
            && self.enclosure == Enclosure::Single
    }

    /// For whom a message is that belongs to it, where it is a subscription that is open on several children.
    pub(super) fn leg_audience(&mut self, recipient: &Recipient, message: &Message) -> LegAudience {
        match &mut self.leg {
            None => LegAudience::Client,
            Some(leg) if recipient.completed().is_some() => leg.on_end(),
            Some(leg) => leg.on_message(message),
        }
    }

    /// A message in its client's own names; `None` where those are the server's, too.
    pub(super) fn restore_names(&self, recipient: &Recipient, message: &Message) -> Option<Message> {
        let client_id = self.client_id.as_ref().or(self.leg.as_ref().and_then(SubscriptionLeg::client_id));
        let client_id = client_id.map(Id::token);
        match recipient {
            Recipient::Progress(_) => {
                message.with_value(&["params", "progressToken"], self.client_token.as_ref()?.token())
            }
            Recipient::Subscriber(_) => message.with_value(&["params", META, SUBSCRIPTION_ID], client_id?),
            Recipient::Unsubscribed(_) => {
                let message = message.with_value(&["params", "requestId"], client_id?)?;
                Some(message.with_value(&["params", META, SUBSCRIPTION_ID], client_id?).unwrap_or(message))
            }
            _ => {
                let reply = message.with_value(&["id"], client_id?)?;
                // The last word of a subscription names it, too.
                Some(reply.with_value(&["result", META, SUBSCRIPTION_ID], client_id?).unwrap_or(reply))
            }
        }
    }
}

/// Where a message goes, as far as the requests in flight say it.
pub(super) enum Destination {
    /// Tapline reads it itself.
    Tapline(Items),
    /// The response of an exchange.
    Exchange(Items),
    /// No response: the client itself.
    Client,
}

impl From<&ReplyReader> for Destination {
    fn from(reply_to: &ReplyReader) -> Self {
        match reply_to {
            ReplyReader::Tapline(items) => Self::Tapline(items.clone()),
            ReplyReader::Exchange(items) => Self::Exchange(items.clone()),
            ReplyReader::ClientStream => Self::Client,
        }
    }
}

/// The requests of clients that wait for their reply, by the id that the server knows. A reply is found by the value of its id
/// ([`Id::known`]), whatever way the server spells it.
#[derive(Default)]
pub(super) struct PendingRequests(HashMap<Id, PendingRequest>);

impl PendingRequests {
    /// Registers a request; returns it in the names the server is to know. Clients without sessions share a child, and each counts its
    /// ids and progress tokens from the same start: what is taken gets another name on the way to the child, and its own again on the
    /// way back.
    pub(super) fn register(&mut self, mut pending: PendingRequest) -> Message {
        let mut request = pending.request;
        let taken = request.id().filter(|id| self.is_taken(id, &pending.session)).cloned();
        if let Some(own) = taken
            && let Some(renamed) = request.with_id(&Id::random())
        {
            pending.client_id = Some(own);
            request = renamed;
        }
        pending.progress_token = meta::requested_progress(&request);
        let taken = pending.progress_token.clone().filter(|token| self.is_token_taken(token, &pending.session));
        if let Some(own) = taken {
            let other = Id::random();
            if let Some(renamed) = request.with_value(&["params", META, "progressToken"], other.token()) {
                pending.client_token = Some(own);
                pending.progress_token = Some(other);
                request = renamed;
            }
        }
        pending.request = request.clone();
        self.register_as_is(pending);
        request
    }

    /// Whether a request with this id would be taken for another one. A server may give a number back as a string: where the other
    /// is another client's, that must not decide whose reply it is.
    fn is_taken(&self, id: &Id, by: &LiveSession) -> bool {
        let other = id.known(|id| self.0.contains_key(id)).and_then(|id| self.0.get_key_value(&id));
        other.is_some_and(|(other, pending)| other == id || pending.session.id() != by.id())
    }

    fn is_token_taken(&self, token: &Id, by: &LiveSession) -> bool {
        let mut others = self.0.values().filter_map(|pending| Some((pending.progress_token.as_ref()?, pending)));
        others.any(|(other, pending)| {
            other == token || pending.session.id() != by.id() && (token.may_mean(other) || other.may_mean(token))
        })
    }

    /// Registers a request under the names it has.
    pub(super) fn register_as_is(&mut self, pending: PendingRequest) {
        if let Some(id) = pending.request.id().cloned() {
            self.0.insert(id, pending);
        }
    }

    /// Registers what a message of the server's only client asks: its names are the server's.
    pub(super) fn register_all(&mut self, message: &Message, session: &Arc<LiveSession>) {
        if self.0.len() >= MOST_PENDING {
            return;
        }
        let enclosure = if message.kind() == Kind::Batch { Enclosure::Batch } else { Enclosure::Single };
        for request in message.elements().iter().chain([message]).filter(|it| it.kind() == Kind::Request) {
            let request = request.clone();
            self.register_as_is(PendingRequest::new(session.clone(), request, ReplyReader::ClientStream, enclosure));
        }
    }

    /// Takes a request out whose reply is here, or is not wanted any more.
    pub(super) fn complete(&mut self, id: &Id) -> Option<PendingRequest> {
        self.0.remove(id)
    }

    /// Takes out what clients still wait for, subscriptions left out.
    pub(super) fn take_awaited(&mut self) -> Vec<PendingRequest> {
        let is_awaited = |pending: &PendingRequest| {
            pending.interest == Interest::Awaited
                && pending.audience() == Audience::Client
                && !pending.is_subscription()
        };
        self.0.extract_if(|_, pending| is_awaited(pending)).map(|(_, pending)| pending).collect()
    }

    /// Takes out what a message asks.
    pub(super) fn take_asked(&mut self, message: &Message) -> Vec<PendingRequest> {
        let elements = message.elements();
        let requests = elements.iter().chain([message]).filter(|it| it.kind() == Kind::Request);
        requests.filter_map(|request| self.0.remove(request.id()?)).collect()
    }

    /// Takes out what a message asks, which the server never got. Returns whether there was anything.
    pub(super) fn withdraw(&mut self, message: &Message) -> bool {
        let elements = message.elements();
        let ids = elements.iter().chain([message]).filter_map(Message::id);
        ids.filter_map(|id| self.0.remove(id)).count() > 0
    }

    /// Notes that a client has taken a request back, where a message says so. The reply may come all the same.
    pub(super) fn cancel(&mut self, message: &Message) {
        if let Some(pending) = cancelled_id(message).and_then(|id| self.0.get_mut(&self.known(&id)?)) {
            pending.cancel();
        }
    }

    /// Notes that the replies of those that fit are not expected any more.
    pub(super) fn cancel_where(&mut self, fits: impl Fn(&PendingRequest) -> bool) {
        self.0.values_mut().filter(|pending| fits(pending)).for_each(PendingRequest::cancel);
    }

    /// Ends all: the server is gone for good, and waiting clients are told why.
    pub(super) fn fail_all(&mut self, error: &UpstreamError) {
        self.0.drain().for_each(|(_, pending)| pending.fail(error));
    }

    /// Takes out what the process that is gone can not answer any more, nor the next be asked instead. Returns those whose client is to be
    /// told.
    pub(super) fn fail_lost(&mut self, greeted: bool) -> Vec<PendingRequest> {
        let is_lost =
            |pending: &PendingRequest| pending.progress != RequestProgress::Answered && !pending.can_be_resent(greeted);
        let lost = self.0.extract_if(|_, pending| is_lost(pending)).map(|(_, pending)| pending);
        lost.filter(|pending| pending.interest == Interest::Awaited).collect()
    }

    /// Takes out all, without telling their clients.
    pub(super) fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }

    /// The requests of clients that have no answer yet.
    pub(super) fn unanswered(&self) -> Vec<Message> {
        let of_clients = self.0.values().filter(|pending| pending.audience() == Audience::Client);
        let unanswered = of_clients.filter(|pending| pending.progress != RequestProgress::Answered);
        unanswered.map(|pending| pending.request.clone()).collect()
    }

    /// The ids of those that fit.
    pub(super) fn ids_where(&self, fits: impl Fn(&PendingRequest) -> bool) -> Vec<Id> {
        self.0.iter().filter(|(_, pending)| fits(pending)).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id under which a request is registered that a peer means by this one.
    fn known(&self, id: &Id) -> Option<Id> {
        id.known(|id| self.0.contains_key(id))
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.0.contains_key(id)
    }

    pub(super) fn get(&self, id: &Id) -> Option<&PendingRequest> {
        self.0.get(id)
    }

    /// All pending requests, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingRequest> {
        self.0.values()
    }

    /// The one request that a message belongs to.
    pub(super) fn of_recipient(&mut self, recipient: &Recipient) -> Option<&mut PendingRequest> {
        self.0.get_mut(recipient.request()?)
    }

    /// Whom a message of the server is for. `has_stream`: its client has one stream for everything, and gets also what is no message.
    pub(super) fn recipient(&self, message: &Message, has_stream: bool) -> Recipient {
        match message.kind() {
            Kind::Result | Kind::Error => message
                .id()
                .map_or(Recipient::Client, |id| Recipient::Requester(self.known(id).unwrap_or_else(|| id.clone()))),
            // It cannot be read, and its client is to hear of it all the same: it would wait for nothing.
            Kind::Opaque if message.is_reply() => match message.replied_id().and_then(|id| self.known(id)) {
                Some(id) => Recipient::Requester(id),
                None if has_stream => Recipient::Client,
                None => Recipient::Unaddressed,
            },
            Kind::Batch if message.answers() => {
                let elements = message.elements();
                let ids = elements.iter().filter_map(Message::replied_id);
                Recipient::Requesters(ids.map(|id| self.known(id).unwrap_or_else(|| id.clone())).collect())
            }
            Kind::Notification if message.method() == Some(method::PROGRESS) => {
                let id = meta::reported_progress(message).and_then(|token| self.with_progress_token(token).cloned());
                id.map_or(Recipient::Client, Recipient::Progress)
            }
            Kind::Opaque if !has_stream => Recipient::Unaddressed,
            Kind::Notification => self.subscriber(message),
            Kind::Request | Kind::Batch | Kind::Opaque => Recipient::Client,
        }
    }

    fn subscriber(&self, message: &Message) -> Recipient {
        let listens = |id: &Id| self.0.get(id).is_some_and(PendingRequest::is_subscription);
        if let Some(id) = cancelled_id(message).and_then(|id| self.known(&id)).filter(listens) {
            return Recipient::Unsubscribed(id);
        }
        let listening = meta::subscription_id(message).and_then(|id| self.known(&id));
        listening.map_or(Recipient::Client, Recipient::Subscriber)
    }

    /// The request that asked for progress under this token: by its text, by its value, and then by what it may mean.
    fn with_progress_token(&self, token: &str) -> Option<&Id> {
        let find = |fits: &dyn Fn(&Id) -> bool| {
            let fitting = self.0.iter().find(|(_, pending)| pending.progress_token.as_ref().is_some_and(fits));
            fitting.map(|(id, _)| id)
        };
        find(&|other| other.token() == token).or_else(|| {
            let token = Id::from_token(token);
            find(&|other| *other == token).or_else(|| find(&|other| token.may_mean(other)))
        })
    }

    /// The request that something belongs to of which the server does not say so: one of the only session that waits for any.
    pub(super) fn sole(&self) -> Option<&Id> {
        let of_clients = self.0.iter().filter(|(_, pending)| pending.audience() == Audience::Client);
        let mut asking = of_clients.filter(|(_, pending)| !pending.is_subscription());
        let (first, of) = asking.next()?;
        asking.all(|(_, pending)| pending.session.id() == of.session.id()).then_some(first)
    }

    /// Where a message goes to its recipient. A request that it completes is pending no more.
    pub(super) fn destination(&mut self, recipient: &Recipient) -> Destination {
        match recipient {
            Recipient::Requester(id) | Recipient::Unsubscribed(id) => {
                self.complete(id).map_or(Destination::Client, |pending| (&pending.reply_to).into())
            }
            Recipient::Requesters(ids) => {
                let completed: Vec<_> = ids.iter().filter_map(|id| self.complete(id)).collect();
                let with_response = completed.iter().find(|pending| pending.response().is_some());
                with_response.map_or(Destination::Client, |pending| (&pending.reply_to).into())
            }
            Recipient::Progress(id) | Recipient::Subscriber(id) => {
                self.0.get_mut(id).map_or(Destination::Client, |pending| {
                    pending.stream();
                    (&pending.reply_to).into()
                })
            }
            Recipient::Client | Recipient::Player | Recipient::Unaddressed => Destination::Client,
        }
    }

    /// The response of any request in flight, to carry what the server says of its own accord.
    pub(super) fn open_response(&mut self) -> Option<Items> {
        self.0.values_mut().find_map(|pending| match &pending.reply_to {
            ReplyReader::Exchange(items) if !items.is_closed() => {
                let items = items.clone();
                pending.stream();
                Some(items)
            }
            _ => None,
        })
    }
}

/// The server's own questions that wait for a client's answer.
#[derive(Default)]
pub(super) struct PendingQuestions {
    open: HashSet<Id>,
    /// Those of a process that is gone.
    stale: HashSet<Id>,
    /// The server's names for questions that the client knows by another one.
    renamed: HashMap<Id, Id>,
}

/// What a message of a client is to the questions of the server.
#[derive(Debug, PartialEq)]
pub(super) enum QuestionAnswer {
    /// No answer, or one to a question that the client knows by the server's name.
    AsItIs,
    /// The answer under the name by which the server knows its question.
    Renamed(Message),
    /// It answers a process that is gone.
    Stale,
}

impl PendingQuestions {
    /// Registers what a message of the server asks. Returns it under another name where a client may still answer an earlier process
    /// under this one: processes count from the same start.
    pub(super) fn register(&mut self, message: &Message) -> Option<Message> {
        let Some(id) = message.id().filter(|_| message.kind() == Kind::Request) else { return self.cancelled(message) };
        if id.known(|id| self.stale.contains(id)).is_none() {
            self.open.insert(id.clone());
            return None;
        }
        let other = Id::random();
        let renamed = message.with_id(&other)?;
        self.renamed.insert(other.clone(), id.clone());
        self.open.insert(other);
        Some(renamed)
    }

    /// What takes back a question, under the name that the client knows.
    fn cancelled(&self, message: &Message) -> Option<Message> {
        let id = cancelled_id(message).filter(|_| !self.renamed.is_empty())?;
        let (other, _) = self.renamed.iter().find(|(_, own)| **own == id)?;
        message.with_value(&["params", "requestId"], other.token())
    }

    /// Completes the question that a message of a client answers.
    pub(super) fn complete(&mut self, reply: &Message) -> QuestionAnswer {
        let is_known = |id: &Id| self.open.contains(id) || self.stale.contains(id);
        let Some(id) = reply.replied_id().and_then(|id| id.known(is_known)) else { return QuestionAnswer::AsItIs };
        self.open.remove(&id);
        if self.stale.remove(&id) {
            return QuestionAnswer::Stale;
        }
        let own = self.renamed.remove(&id).and_then(|own| reply.with_id(&own));
        own.map_or(QuestionAnswer::AsItIs, QuestionAnswer::Renamed)
    }

    /// The process that asked is gone. Returns what it asked, as the client knows it; an answer that comes late is known by it.
    pub(super) fn fail_all(&mut self) -> Vec<Id> {
        let open: Vec<_> = self.open.drain().collect();
        self.stale.extend(open.iter().cloned());
        self.renamed.clear();
        open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Via;
    use crate::event::Origin;
    use crate::net::backlog::backlog;
    use crate::proxy::Stop;
    use crate::secret::Label;

    #[test]
    fn has_no_reader_tells_a_request_from_the_next_of_its_id() {
        let session = LiveSession::new((None, Label::of_command(["x"])), Via::Http, Origin::Client, &Stop::default());
        let asked = |items| {
            let request = Message::new(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
            let reader = ReplyReader::exchange(items, Audience::Client);
            PendingRequest::new(session.clone(), request, reader, Enclosure::Single)
        };
        let (mut requests, id) = (PendingRequests::default(), Id::from_token("1"));
        let ((first, hung_up), (second, _read)) = (backlog(), backlog());
        requests.register(asked(first));
        drop(hung_up);
        assert!(requests.get(&id).is_some_and(PendingRequest::has_no_reader));
        requests.complete(&id);
        requests.register(asked(second));
        assert!(!requests.get(&id).is_some_and(PendingRequest::has_no_reader), "its client waits");
    }

    #[test]
    fn question_of_a_fresh_process_is_none_that_a_late_answer_is_to() {
        let asks = Message::new(r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#);
        let says = |id: &Id| Message::new(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"n":1}}}}"#, id.token()));
        let (mut questions, seven) = (PendingQuestions::default(), Id::from_token("7"));
        assert_eq!(questions.register(&asks), None);
        assert_eq!(questions.fail_all(), std::slice::from_ref(&seven));
        let renamed = questions.register(&asks).expect("7 may still be answered");
        let other = renamed.id().unwrap().clone();
        let takes_back = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        let taken_back = questions.register(&Message::new(takes_back)).expect("the client knows another name");
        assert_eq!(cancelled_id(&taken_back), Some(other.clone()));
        assert_eq!(questions.complete(&says(&seven)), QuestionAnswer::Stale);
        assert_eq!(questions.complete(&says(&other)), QuestionAnswer::Renamed(says(&seven)));
        assert_eq!(questions.register(&asks), None, "what was answered is out of the way");
        assert_eq!(questions.complete(&says(&seven)), QuestionAnswer::AsItIs);
    }
}
