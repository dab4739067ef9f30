//! The answer of a server that answers HTTP exchanges, on its way back through the spine.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::envelope::{Direction, Seq, Transport, Via};
use crate::event::Level;
use crate::headers;
use crate::message::Message;
use crate::proxy::arrival::{Arrival, Audience};
use crate::proxy::exchange::connection::{Connection, ServerLink};
use crate::proxy::exchange::request::ReplyGuard;
use crate::proxy::session::OpenResponse;
use crate::proxy::spine::{Disposition, Pass};
use crate::upstream::{Framing, Incoming, Item, Outgoing, UpstreamError};

/// What all messages of one response have in common.
pub(super) struct ResponseContext {
    pub(super) status: StatusCode,
    pub(super) headers: Arc<HeaderMap>,
    pub(super) audience: Audience,
    /// The request that it answers.
    pub(super) request: Option<Seq>,
}

impl ResponseContext {
    /// Takes a message of the response through the spine. `framing`: its frame, where the response is a stream.
    pub(super) fn pass(&self, connection: &Connection, message: Message, framing: Option<&Framing>) -> Pass {
        let sse = match framing {
            Some(Framing::Sse { fields, .. }) => fields.clone(),
            _ => None,
        };
        let via = if framing.is_some() { Via::Sse } else { Via::Http };
        let transport = Transport { via, status: Some(self.status.as_u16()), headers: Some(self.headers.clone()), sse };
        let Self { audience, request, .. } = *self;
        let arrival = Arrival { audience, request, ..Arrival::new(Direction::ToClient, transport, message) };
        connection.proxy.pass(&connection.session, arrival)
    }
}

/// A stream of the server on its way through the spine. A held message stands aside; what comes after it flows on.
pub(super) struct ResponseStream {
    connection: Arc<Connection>,
    upstream: BoxStream<'static, Result<Item, UpstreamError>>,
    context: ResponseContext,
    request_headers: Arc<HeaderMap>,
    held: FuturesUnordered<BoxFuture<'static, (Disposition, Framing)>>,
    ended: bool,
    guard: Option<ReplyGuard>,
    heard: Option<Arc<OpenResponse>>,
}

impl ResponseStream {
    pub(super) fn new(
        connection: Arc<Connection>,
        upstream: BoxStream<'static, Result<Item, UpstreamError>>,
        context: ResponseContext,
        request_headers: Arc<HeaderMap>,
        guard: Option<ReplyGuard>,
    ) -> Self {
        let held = FuturesUnordered::new();
        let heard = guard.as_ref().and_then(|guard| guard.has_begun(context.status.as_u16()));
        Self { connection, upstream, context, request_headers, held, ended: false, guard, heard }
    }

    /// What the server says next; when it does is noted.
    fn poll_server(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Item, UpstreamError>>> {
        let next = self.upstream.poll_next_unpin(context);
        if let (Poll::Ready(Some(Ok(_))), Some(heard)) = (&next, &self.heard) {
            heard.hear(self.connection.session.elapsed());
        }
        next
    }

    fn admit(&mut self, incoming: Incoming) -> Option<Item> {
        let Incoming { message, framing } = incoming;
        match self.context.pass(&self.connection, message, Some(&framing)) {
            Pass::Now(disposition) => self.finish(disposition, framing),
            Pass::Held(held) => {
                self.held.push(held.map(|disposition| (disposition, framing)).boxed());
                None
            }
        }
    }

    fn finish(&self, disposition: Disposition, framing: Framing) -> Option<Item> {
        match disposition {
            Disposition::Send { .. } if self.context.audience == Audience::OperatorOnly => None,
            Disposition::Send { message, edited, twice, .. } => {
                self.connection.learn_params(&message);
                let framing = if edited { framing.around(&message) } else { framing };
                let framing = if twice { framing.twice() } else { framing };
                Some(Item::Message(Incoming { message, framing }))
            }
            Disposition::Answer(answer) => {
                self.answer_server(answer);
                None
            }
            _ => None,
        }
    }

    /// Sends the server an answer that we made in the client's place, because its request was blocked.
    fn answer_server(&self, answer: Message) {
        let ServerLink::Exchanges(upstream) = &self.connection.link else { return };
        let mut headers = HeaderMap::clone(&self.request_headers);
        headers::towards_upstream(&mut headers);
        // The exchange it belongs to may be a GET: these are of a POST.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.remove(headers::LAST_EVENT_ID);
        let tail = self.connection.last_tail();
        let outgoing = Outgoing { method: Method::POST, headers, message: Some(answer), tail };
        let (connection, upstream) = (self.connection.clone(), upstream.clone());
        tokio::spawn(async move {
            if let Err(error) = connection.send_on(&upstream, outgoing).await {
                connection.log(Level::Error, format!("the server did not get the answer to its request: {error}"));
            }
        });
    }
}

impl Stream for ResponseStream {
    type Item = Result<Item, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(Some((disposition, framing))) = self.held.poll_next_unpin(context) {
                match self.finish(disposition, framing) {
                    Some(item) => return Poll::Ready(Some(Ok(item))),
                    None => continue,
                }
            }
            if self.ended {
                return if self.held.is_empty() { Poll::Ready(None) } else { Poll::Pending };
            }
            match self.poll_server(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.ended = true;
                    self.guard.iter_mut().for_each(ReplyGuard::is_over);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.guard.iter_mut().for_each(ReplyGuard::is_over);
                    // A restart that was asked for is no failure of anything.
                    let is_meant = matches!(error, UpstreamError::Restarted { .. });
                    self.connection.log(if is_meant { Level::Info } else { Level::Error }, error.to_string());
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(Item::Filler(_)))) if self.context.audience == Audience::OperatorOnly => {}
                Poll::Ready(Some(Ok(Item::Filler(bytes)))) => return Poll::Ready(Some(Ok(Item::Filler(bytes)))),
                Poll::Ready(Some(Ok(Item::Message(incoming)))) => {
                    if let Some(item) = self.admit(incoming) {
                        return Poll::Ready(Some(Ok(item)));
                    }
                }
            }
        }
    }
}
