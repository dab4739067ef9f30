//! An MCP server behind a URL that speaks Streamable HTTP: one for all sessions, each exchange by itself. What comes back
//! is cut into messages here.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyDataStream, BodyExt as _};

use super::encoding::decoded;
pub use super::site::ExtraHeaders;
use super::site::{ResponseBody, Site, broken_off, too_long};
use super::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, Upstream, UpstreamError};
use crate::envelope::SseFields;
use crate::message::Message;
use crate::net::read::{BodyReadError, read_whole};
use crate::secret::Label;
use crate::sse::{Frame, Splitter};

/// A server that speaks Streamable HTTP, behind one URL.
pub struct HttpUpstream {
    site: Site,
}

impl HttpUpstream {
    /// # Errors
    /// Where `url` is no `http` or `https` URL, or the TLS roots cannot be loaded.
    pub fn new(url: &str, extra: ExtraHeaders) -> Result<Self, String> {
        Ok(Self::at(Site::new(url, extra)?))
    }

    pub fn at(site: Site) -> Self {
        Self { site }
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        let place = self.site.own(&outgoing.tail);
        let body = outgoing.message.map(|message| message.raw().clone()).unwrap_or_default();
        let response = self.site.send(outgoing.method, place, outgoing.headers, body.into()).await?;
        self.reply(response).await
    }

    async fn exchange_as_client(&self, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        let Outgoing { method, headers, message, tail } = outgoing;
        let body = message.map(|message| message.raw().clone()).unwrap_or_default();
        let response = self.site.send_following(method, &tail, headers, body).await?;
        self.reply(decoded(response)).await
    }

    async fn reply(&self, response: Response<ResponseBody>) -> Result<Reply, UpstreamError> {
        if is_event_stream(response.headers()) {
            let (parts, body) = response.into_parts();
            let items = ReplyBody::Stream(SseItems::of(body, &self.site).boxed());
            Ok(Reply { status: parts.status, headers: parts.headers, body: items })
        } else if response.headers().contains_key(CONTENT_ENCODING) {
            // Against what we asked for. It goes on untouched, and unread.
            let (parts, body) = response.into_parts();
            let label = self.site.label().clone();
            let items = body
                .into_data_stream()
                .map(move |chunk| chunk.map(Item::Filler).map_err(|error| broken_off(&label, &*error)));
            Ok(Reply { status: parts.status, headers: parts.headers, body: ReplyBody::Stream(items.boxed()) })
        } else {
            whole(response, &self.site).await
        }
    }
}

/// An answer that is no stream.
pub(super) async fn whole(response: Response<ResponseBody>, site: &Site) -> Result<Reply, UpstreamError> {
    let (parts, body) = response.into_parts();
    let body = read_whole(body, site.longest()).await.map_err(|error| match error {
        BodyReadError::TooLong => site.too_long(),
        BodyReadError::Broken(error) => broken_off(site.label(), &*error),
    })?;
    let body = if body.is_empty() { ReplyBody::Empty } else { ReplyBody::Whole(Message::cut_from(body)) };
    Ok(Reply { status: parts.status, headers: parts.headers, body })
}

impl Upstream for HttpUpstream {
    fn label(&self) -> &Label {
        self.site.label()
    }

    fn site(&self) -> Option<&Site> {
        Some(&self.site)
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        Box::pin(self.exchange(outgoing))
    }

    fn send_as_client(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        Box::pin(self.exchange_as_client(outgoing))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = |value: &HeaderValue| {
        let value = value.to_str().ok()?;
        Some(value.split(';').next()?.trim().eq_ignore_ascii_case("text/event-stream"))
    };
    !headers.contains_key(CONTENT_ENCODING) && headers.get(CONTENT_TYPE).and_then(essence).unwrap_or(false)
}

/// The items of an SSE response, each as soon as its last byte is here.
pub(super) struct SseItems {
    chunks: BodyDataStream<ResponseBody>,
    splitter: Splitter,
    ready: VecDeque<Item>,
    ended: bool,
    label: Label,
    /// Bytes that an event may have.
    longest: usize,
}

impl SseItems {
    pub(super) fn of(body: ResponseBody, site: &Site) -> Self {
        Self {
            chunks: body.into_data_stream(),
            splitter: Splitter::default(),
            ready: VecDeque::new(),
            ended: false,
            label: site.label().clone(),
            longest: site.longest(),
        }
    }
}

impl Stream for SseItems {
    type Item = Result<Item, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if self.splitter.pending() > self.longest {
                self.ended = true;
                return Poll::Ready(Some(Err(too_long(&self.label, self.longest))));
            }
            match ready!(self.chunks.poll_next_unpin(context)) {
                Some(Ok(chunk)) => {
                    let frames = self.splitter.push(chunk);
                    self.ready.extend(frames.into_iter().map(item));
                }
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(broken_off(&self.label, &*error))));
                }
                None => {
                    self.ended = true;
                    let torn = self.splitter.finish();
                    self.ready.extend(torn.map(Item::Filler));
                }
            }
        }
    }
}

fn item(frame: Frame) -> Item {
    let is_message = frame.fields.event.as_deref().is_none_or(|event| event == "message");
    match frame.message_data().filter(|_| is_message) {
        None => Item::Filler(frame.raw),
        Some(data) => {
            let message = Message::cut_from(data.clone());
            let fields = (frame.fields != SseFields::default()).then(|| Box::new(frame.fields));
            Item::Message(Incoming { message, framing: Framing::Sse { frame: frame.raw, fields } })
        }
    }
}
