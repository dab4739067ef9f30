//! How a step goes out, and what comes back, as one stream of [`ExchangeEvent`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::envelope::SseFields;
use crate::headers::{self, LAST_EVENT_ID, NAME, SESSION, VERSION};
use crate::message::Message;
use crate::secret::REDACTED;
use crate::sse::Splitter;
use crate::tape::tokens::Tokens;
use crate::upstream::streamable::StreamableSession;
use crate::upstream::{Framing, Incoming, Item, Outgoing, ReplyBody, Upstream, UpstreamError};

const STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What happens in one exchange with the live server.
#[derive(Debug)]
pub(in crate::tape) enum ExchangeEvent {
    /// Status and headers are there: the server has accepted or refused the message.
    Started {
        status: StatusCode,
        headers: HeaderMap,
    },
    Message(Message),
    /// The stream can be resumed after this event.
    Resumable(SseFields),
    Failed(UpstreamError),
    /// The answer is over; nothing follows.
    Ended,
}

/// Sends after `pause`, and streams what happens, each with `tag`. Dropping the stream hangs up.
pub(in crate::tape) fn exchange<T: Copy + Send + 'static>(
    upstream: Arc<dyn Upstream>,
    outgoing: Outgoing,
    pause: Duration,
    tag: T,
) -> BoxStream<'static, (T, ExchangeEvent)> {
    let sent = async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        upstream.send(outgoing).await
    };
    let events = stream::once(sent).flat_map(|sent| match sent {
        Err(error) => one(ExchangeEvent::Failed(error)),
        Ok(reply) => {
            let started = ExchangeEvent::Started { status: reply.status, headers: reply.headers };
            one(started).chain(messages(reply.body)).boxed()
        }
    });
    events.chain(one(ExchangeEvent::Ended)).map(move |event| (tag, event)).boxed()
}

fn one(event: ExchangeEvent) -> BoxStream<'static, ExchangeEvent> {
    stream::iter([event]).boxed()
}

fn messages(body: ReplyBody) -> BoxStream<'static, ExchangeEvent> {
    match body {
        ReplyBody::Empty => stream::empty().boxed(),
        ReplyBody::Whole(message) => one(ExchangeEvent::Message(message)),
        ReplyBody::Stream(items) => items.flat_map(|item| stream::iter(events_of(item))).boxed(),
    }
}

fn events_of(item: Result<Item, UpstreamError>) -> Vec<ExchangeEvent> {
    match item {
        Err(error) => vec![ExchangeEvent::Failed(error)],
        // A priming event, for one, has an id and no message (2025-11-25, transports).
        Ok(Item::Filler(bytes)) => {
            let frames = Splitter::default().push(bytes);
            frames.into_iter().filter_map(|frame| cursor(frame.fields)).collect()
        }
        Ok(Item::Message(Incoming { message, framing })) => {
            let cursor = match framing {
                Framing::Sse { fields, .. } => fields.and_then(|fields| cursor(*fields)),
                Framing::Line { .. } => None,
            };
            cursor.into_iter().chain([ExchangeEvent::Message(message)]).collect()
        }
    }
}

fn cursor(fields: SseFields) -> Option<ExchangeEvent> {
    (fields.id.is_some() || fields.retry.is_some()).then_some(ExchangeEvent::Resumable(fields))
}

/// What the live server agreed to, to be put on every request that follows.
#[derive(Debug, Default)]
pub(in crate::tape) struct NegotiatedHeaders {
    pub(in crate::tape) session: StreamableSession,
    /// The revision that the recorded server answered `initialize` with.
    pub(in crate::tape) recorded_version: Option<HeaderValue>,
}

impl NegotiatedHeaders {
    /// Returns the headers of a POST: as recorded, without what was redacted or belongs to one connection.
    pub(in crate::tape) fn post(
        &self,
        recorded: Option<&HeaderMap>,
        message: &Message,
        tokens: &Tokens,
        extra: &HeaderMap,
    ) -> HeaderMap {
        let mut headers = recorded.map_or_else(HeaderMap::new, |recorded| {
            recorded.iter().filter(|(name, value)| is_sent(name, value)).map(|(n, v)| (n.clone(), v.clone())).collect()
        });
        for (name, value) in &mut headers {
            if (*name == NAME || name.as_str().starts_with("mcp-param-"))
                && let Some(live) = tokens.apply_to_header(value)
            {
                *value = live;
            }
        }
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("application/json, text/event-stream"));
        headers::mirror(message, &mut headers);
        // A legacy request follows what `initialize` agreed on; a modern one names its own revision.
        let follows = match headers.get(VERSION) {
            Some(recorded) => Some(recorded) == self.recorded_version.as_ref(),
            None => recorded.is_none_or(HeaderMap::is_empty),
        };
        if follows {
            put(&mut headers, VERSION, self.session.version.clone());
        }
        self.finish(headers, extra)
    }

    /// Returns the headers of the GET that opens the listening stream, and of the DELETE that ends the session.
    pub(in crate::tape) fn bare(&self, like: &HeaderMap, extra: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, STREAM);
        put(&mut headers, VERSION, like.get(VERSION).cloned());
        self.finish(headers, extra)
    }

    /// Returns the headers of the GET that resumes a broken stream after an event.
    pub(in crate::tape) fn resume(&self, after: HeaderValue, like: &HeaderMap, extra: &HeaderMap) -> HeaderMap {
        let mut headers = self.bare(like, extra);
        put(&mut headers, LAST_EVENT_ID, Some(after));
        headers
    }

    fn finish(&self, mut headers: HeaderMap, extra: &HeaderMap) -> HeaderMap {
        put(&mut headers, SESSION, self.session.id.clone());
        for (name, value) in extra {
            headers.insert(name.clone(), value.clone());
        }
        headers
    }
}

fn is_sent(name: &HeaderName, value: &HeaderValue) -> bool {
    const OF_ONE_CONNECTION: [HeaderName; 10] = [
        ACCEPT_ENCODING,
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HOST,
        HeaderName::from_static("keep-alive"),
        LAST_EVENT_ID,
        SESSION,
        TE,
        TRANSFER_ENCODING,
    ];
    value != REDACTED && !OF_ONE_CONNECTION.contains(name)
}

/// Unlike `extend`, replaces: some servers refuse a header that occurs twice.
fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

pub(in crate::tape) fn outgoing(method: Method, headers: HeaderMap, message: Option<Message>) -> Outgoing {
    Outgoing { method, headers, message, tail: String::new() }
}
