//! An MCP server behind a URL.
//!
//! One `reqwest` client for all sessions, without anything that would show: no decompression, no redirects, no
//! cookies, no timeouts but that for connecting (mcp-wire.md §5.3: a silent tool may send no header for minutes).

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use super::{Framing, Incoming, Item, Outgoing, Reply, ReplyBody, Upstream, UpstreamError};
use crate::envelope::SseFields;
use crate::message::Message;
use crate::sse::{Frame, Splitter};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Headers the operator gives for the upstream, such as a token; they win over the client's.
pub type ExtraHeaders = Vec<(HeaderName, HeaderValue)>;

pub struct HttpUpstream {
    url: Url,
    label: String,
    client: reqwest::Client,
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
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(usize::MAX);
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| format!("no HTTP client: {}", innermost(&error)))?;
        Ok(Self { label: url.to_owned(), url: parsed, client, extra })
    }

    async fn exchange(&self, outgoing: Outgoing) -> Result<Reply, UpstreamError> {
        let mut headers = outgoing.headers;
        for (name, value) in &self.extra {
            headers.insert(name, value.clone());
        }
        let mut request = self.client.request(outgoing.method, self.url.clone()).headers(headers);
        if let Some(message) = outgoing.message {
            request = request.body(message.raw().clone());
        }
        let response = request.send().await.map_err(|error| self.failure(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = if is_event_stream(&headers) {
            ReplyBody::Stream(self.stream(response))
        } else if headers.contains_key(CONTENT_ENCODING) {
            // Against what we asked for. It goes on untouched, and unread.
            ReplyBody::Stream(response.bytes_stream().map(self.filler()).boxed())
        } else {
            let body = response.bytes().await.map_err(|error| self.failure(&error))?;
            if body.is_empty() { ReplyBody::Empty } else { ReplyBody::Whole(Message::cut_from(body)) }
        };
        Ok(Reply { status, headers, body })
    }

    fn stream(&self, response: reqwest::Response) -> BoxStream<'static, Result<Item, UpstreamError>> {
        SseItems {
            chunks: response.bytes_stream().boxed(),
            splitter: Splitter::default(),
            ready: VecDeque::new(),
            ended: false,
            label: self.label.clone(),
        }
        .boxed()
    }

    fn filler(&self) -> impl Fn(Result<Bytes, reqwest::Error>) -> Result<Item, UpstreamError> + Send + use<> {
        let label = self.label.clone();
        move |chunk| chunk.map(Item::Filler).map_err(|error| broken_off(&label, &error))
    }

    fn failure(&self, error: &reqwest::Error) -> UpstreamError {
        if error.is_connect() {
            UpstreamError::Unreachable { upstream: self.label.clone(), why: innermost(error) }
        } else {
            broken_off(&self.label, error)
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

fn broken_off(label: &str, error: &reqwest::Error) -> UpstreamError {
    UpstreamError::BrokenOff { upstream: label.to_owned(), why: innermost(error) }
}

/// The cause of all causes: the outer ones repeat the URL.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some(host) => {
            host == "localhost"
                || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
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
struct SseItems {
    chunks: BoxStream<'static, Result<Bytes, reqwest::Error>>,
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
                    return Poll::Ready(Some(Err(broken_off(&self.label, &error))));
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
