//! Exchanges of an HTTP client with a server that has one stream: what is asked, and the response that carries the answers.

use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::mpsc;

use crate::envelope::{Direction, Transport};
use crate::headers;
use crate::mcp::meta::{self, cancelled_id};
use crate::message::{Id, Kind, Message};
use crate::proxy::Audience;
use crate::proxy::error::ProxyError;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::pending::{PendingRequest, Router};
use crate::proxy::stream::subscription::FanoutSubscription;
use crate::proxy::stream::{Items, StreamServer, Tenancy};
use crate::upstream::framing::one_line;
use crate::upstream::pipe::Pipe;
use crate::upstream::sse::EventPipe;
use crate::upstream::{Item, Outgoing, Reply, ReplyBody, UpstreamError};

impl StreamServer {
    /// One exchange of a client, already through the spine.
    pub(in crate::proxy) async fn exchange(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
    ) -> Result<Reply, UpstreamError> {
        self.exchange_as(session, outgoing, audience, None).await
    }

    /// As [`StreamServer::exchange`], for a subscription that others will [`join`](StreamServer::join).
    pub(in crate::proxy) async fn exchange_as(
        self: &Arc<Self>,
        session: &Arc<LiveSession>,
        outgoing: Outgoing,
        audience: Audience,
        subscription: Option<Arc<FanoutSubscription>>,
    ) -> Result<Reply, UpstreamError> {
        match (&outgoing.method, outgoing.message) {
            (&Method::POST, Some(message)) => {
                let asking = Asking { session: session.clone(), message, audience, subscription };
                self.post(asking, outgoing.headers).await
            }
            (&Method::GET, _) => Ok(self.listen(session)),
            _ => Ok(self.refuse(session, &ProxyError::BadMethod("POST, GET"))),
        }
    }

    fn refuse(&self, session: &LiveSession, refusal: &ProxyError) -> Reply {
        let answer = refusal.reply_to(None);
        self.proxy.record_error(&answer, Some(session.id()));
        answer.into_reply()
    }

    async fn post(self: &Arc<Self>, asking: Asking, headers: HeaderMap) -> Result<Reply, UpstreamError> {
        let is_modern = meta::protocol_version(&asking.message).is_some();
        if is_modern && headers.contains_key(headers::VERSION) && cancelled_id(&asking.message).is_some() {
            // Revision 2026-07-28, cancellation: over HTTP, hanging up cancels, and this says it once more. For the server,
            // which several clients share, the id may be that of another client's request.
            return Ok(Reply::accepted());
        }
        let (items, answers) = mpsc::unbounded_channel();
        let mut answers = Answers { answers, waited_for: None };
        let (handed, requests) = loop {
            let (pipe, noted) = self.server(|router| self.expect_replies(router, &asking, &items)).await?;
            let Noted::Requests(message, requests) = noted else { return Ok(Reply::accepted()) };
            let id = message.id().filter(|_| is_modern && requests == 1).cloned();
            answers.waited_for = id.map(|id| WaitedFor { link: self.clone(), id: Some(id) });
            match self.hand_in(&pipe, &message, &headers, &mut answers).await? {
                Handed::Nowhere if !self.forget(&message).is_empty() || requests == 0 => {
                    if let Some(waited_for) = answers.waited_for.take() {
                        waited_for.no_more();
                    }
                    self.other_than(&pipe).await?;
                }
                handed => break (handed, requests),
            }
        };
        // From here on the stream ends with the last reply.
        drop(items);
        let first = match handed {
            Handed::Refused(reply) => return Ok(reply),
            Handed::Taken | Handed::Nowhere if requests == 0 => return Ok(Reply::accepted()),
            Handed::Taken | Handed::Nowhere => answers.answers.recv().await,
            Handed::Answered(first) => Some(first),
        };
        match first {
            // Cancelled, and never answered: a stream without a reply, which is how servers of their own end it.
            None => Ok(event_stream(Vec::new(), answers)),
            Some(Err(error)) => Err(error),
            // Nothing came before the reply: no stream is needed to carry it.
            Some(Ok(Item::Message(first))) if requests == 1 && first.message.kind().is_reply() => {
                Ok(Reply::whole(first.message))
            }
            Some(Ok(first)) => Ok(event_stream(vec![first], answers)),
        }
    }

    /// Hands the message of an exchange to the server.
    async fn hand_in(
        &self,
        pipe: &Pipe,
        message: &Message,
        headers: &HeaderMap,
        answers: &mut Answers,
    ) -> Result<Handed, UpstreamError> {
        let events = match pipe {
            Pipe::Child(child) => {
                let taken = child.write(one_line(message)).await;
                return Ok(if taken { Handed::Taken } else { Handed::Nowhere });
            }
            Pipe::Events(events) => events.clone(),
        };
        let mut headers = headers.clone();
        headers::without_streamable(&mut headers);
        let handed = message.clone();
        let mut posting = async move { events.post(&handed, Some(headers)).await }.boxed();
        let posted = tokio::select! {
            biased;
            posted = &mut posting => posted,
            // Some servers say that they have a request only when all is done; hanging up might undo it.
            Some(first) = answers.answers.recv() => {
                tokio::spawn(posting);
                return Ok(Handed::Answered(first));
            }
        };
        if !posted.as_ref().is_ok_and(|reply| reply.status.is_success()) {
            self.forget(message);
        }
        posted.map(|reply| if reply.status.is_success() { Handed::Taken } else { Handed::Refused(reply) })
    }

    /// Notes who waits for the replies to a message; gives it in the names the server is to know, and how many there will be.
    fn expect_replies(&self, router: &mut Router, asking: &Asking, items: &Items) -> Noted {
        let Asking { session, message, audience, subscription } = asking;
        let waiting = |request: Message, batched| PendingRequest {
            audience: *audience,
            batched,
            ..PendingRequest::new(session.clone(), request, Some(items.clone()))
        };
        if matches!(self.home, Tenancy::Shared) {
            router.spoke_last = Some(session.clone());
        }
        match message.kind() {
            Kind::Request => {
                let leg = subscription.as_ref().and_then(|subscription| subscription.opened(items));
                Noted::Requests(router.expect_reply(leg.unwrap_or_else(|| waiting(message.clone(), false))), 1)
            }
            // Batches are of a time when each client had a session, and a child, of its own: no name is taken.
            Kind::Batch => {
                let requests = message.elements().into_iter().filter(|element| element.kind() == Kind::Request);
                let count = requests.map(|request| router.expect_reply(waiting(request, true))).count();
                Noted::Requests(message.clone(), count)
            }
            _ if self.pool.is_some() && router.is_stale(message) => Noted::Stale,
            _ => {
                router.take_back(message);
                self.remember_begun(message);
                Noted::Requests(message.clone(), 0)
            }
        }
    }

    fn listen(&self, session: &LiveSession) -> Reply {
        let mut router = self.router.lock();
        if router.listener.as_ref().is_some_and(|listener| !listener.is_closed()) {
            return self.refuse(session, &ProxyError::Listening);
        }
        let (items, answers) = mpsc::unbounded_channel();
        if !router.is_over() {
            router.listener = Some(items);
        }
        event_stream(router.backlog.drain(..).collect(), Answers { answers, waited_for: None })
    }

    /// Tells the server that nobody waits for this reply any more.
    pub(in crate::proxy) fn cancel(&self, id: &Id) {
        let (waiting, pipe) = {
            let mut router = self.router.lock();
            (router.pending.remove(id), router.pipe.clone())
        };
        let (Some(waiting), Some(pipe)) = (waiting, pipe) else { return };
        let own = waiting.id().unwrap_or(id);
        let message = Message::new(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{},"reason":"the client hung up"}}}}"#,
            own.token()
        ));
        let transport = Transport::new(self.carrier);
        let message = self.proxy.originate(&waiting.session, Direction::ToServer, transport, message);
        let message = message.with_value(&["params", "requestId"], id.token()).unwrap_or(message);
        match &*pipe {
            Pipe::Child(child) => {
                if !child.offer(one_line(&message)) {
                    tracing::debug!("a cancellation was not taken");
                }
            }
            Pipe::Events(events) => post_aside(events, message),
        }
    }
}

/// What a client sends, and whose it is.
struct Asking {
    session: Arc<LiveSession>,
    message: Message,
    audience: Audience,
    /// It is a subscription for more than one child.
    subscription: Option<Arc<FanoutSubscription>>,
}

/// What was noted of it.
enum Noted {
    /// In the names the server is to know, and how many requests it has.
    Requests(Message, usize),
    /// It answers a server that is gone.
    Stale,
}

/// What became of a message that was handed in.
enum Handed {
    Taken,
    /// The server takes nothing any more.
    Nowhere,
    /// The server answers already, and has not said yet that it has the message.
    Answered(Result<Item, UpstreamError>),
    Refused(Reply),
}

/// The end of a stream that somebody reads.
struct Answers {
    answers: mpsc::UnboundedReceiver<Result<Item, UpstreamError>>,
    /// Kept for its end.
    waited_for: Option<WaitedFor>,
}

/// Dropped before the reply came, it cancels the request: for HTTP, revision 2026-07-28 has no other word for it.
/// In older ones a client that hangs up may come back for the reply.
struct WaitedFor {
    link: Arc<StreamServer>,
    id: Option<Id>,
}

impl WaitedFor {
    /// The server never had it.
    fn no_more(mut self) {
        self.id = None;
    }
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.link.cancel(&id);
        }
    }
}

/// Posts a message of ours. What the server says meanwhile does not wait for its answer to a POST.
pub(in crate::proxy) fn post_aside(events: &Arc<EventPipe>, message: Message) {
    let events = events.clone();
    tokio::spawn(async move {
        if let Err(error) = events.post(&message, None).await {
            tracing::debug!(%error, "a message of tapline was not taken");
        }
    });
}

fn event_stream(first: Vec<Item>, rest: Answers) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    let rest = futures_util::stream::unfold(rest, |mut rest| async move { Some((rest.answers.recv().await?, rest)) });
    let items = futures_util::stream::iter(first.into_iter().map(Ok)).chain(rest);
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Stream(items.boxed()) }
}
