//! An MCP server behind a URL.
//!
//! One client for all sessions carries requests; what comes back is cut into messages here.

mod client;

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyDataStream, BodyExt as _};
use reqwest::Url;

use self::client::{Body, BoxError, Client, Failure, innermost};
use super::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, Upstream, UpstreamError};
use crate::envelope::SseFields;
use crate::message::Message;
use crate::sse::{Frame, Splitter};

/// Headers the operator gives for the upstream, such as a token; they win over the client's.
pub type ExtraHeaders = Vec<(HeaderName, HeaderValue)>;

pub struct HttpUpstream {
    label: String,
    client: Client,
    extra: ExtraHeaders,
}

impl HttpUpstream {
    /// # Errors
    /// Where the URL is none, or not `http` or `https`; or where the TLS roots cannot be loaded.
    pub fn new(url: &str, extra: ExtraHeaders) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("`{url}` is not a URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("`{url}`: only http and https URLs can be an upstream"));
        }
        Ok(Self { label: url.to_owned(), client: Client::new(parsed)?, extra })
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        let mut headers = outgoing.headers;
        for (name, value) in &self.extra {
            headers.insert(name, value.clone());
        }
        let body = outgoing.message.map(|message| message.raw().clone()).unwrap_or_default();
        let response =
            self.client.send(outgoing.method, headers, body).await.map_err(|failure| self.failed(failure))?;
        let (parts, body) = response.into_parts();
        let body = if is_event_stream(&parts.headers) {
            ReplyBody::Stream(self.stream(body))
        } else if parts.headers.contains_key(CONTENT_ENCODING) {
            // Against what we asked for. It goes on untouched, and unread.
            ReplyBody::Stream(body.into_data_stream().map(self.filler()).boxed())
        } else {
            let body = body.collect().await.map_err(|error| broken_off(&self.label, &*error))?.to_bytes();
            if body.is_empty() { ReplyBody::Empty } else { ReplyBody::Whole(Message::cut_from(body)) }
        };
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    fn stream(&self, body: Body) -> BoxStream<'static, Result<Item, UpstreamError>> {
        SseItems {
            chunks: body.into_data_stream(),
            splitter: Splitter::default(),
            ready: VecDeque::new(),
            ended: false,
            label: self.label.clone(),
        }
        .boxed()
    }

    fn filler(&self) -> impl Fn(Result<Bytes, BoxError>) -> Result<Item, UpstreamError> + Send + use<> {
        let label = self.label.clone();
        move |chunk| chunk.map(Item::Filler).map_err(|error| broken_off(&label, &*error))
    }

    fn failed(&self, failure: Failure) -> UpstreamError {
        let (upstream, why) = (self.label.clone(), failure.why);
        if failure.unreachable {
            UpstreamError::Unreachable { upstream, why }
        } else {
            UpstreamError::BrokenOff { upstream, why }
        }
    }
}

impl Upstream for HttpUpstream {
    fn label(&self) -> &str {
        &self.label
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        Box::pin(self.exchange(outgoing))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

fn broken_off(label: &str, error: &(dyn Error + Send + Sync)) -> UpstreamError {
    UpstreamError::BrokenOff { upstream: label.to_owned(), why: innermost(error) }
}

pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let essence = |value: &HeaderValue| {
        let value = value.to_str().ok()?;
        Some(value.split(';').next()?.trim().eq_ignore_ascii_case("text/event-stream"))
    };
    !headers.contains_key(CONTENT_ENCODING) && headers.get(CONTENT_TYPE).and_then(essence).unwrap_or(false)
}

/// The items of an SSE response, each as soon as its last byte is here.
struct SseItems {
    chunks: BodyDataStream<Body>,
    splitter: Splitter,
    ready: VecDeque<Item>,
    ended: bool,
    label: String,
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
