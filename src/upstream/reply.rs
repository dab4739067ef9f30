//! What an upstream answers to one exchange, in the terms of Streamable HTTP.

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderValue, StatusCode};
use futures_util::stream::BoxStream;

use super::{Item, UpstreamError};
use crate::message::Message;

/// What the upstream answers.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: ReplyBody,
}

/// What the body of a [`Reply`] carries.
pub enum ReplyBody {
    /// No message: `202 Accepted` and the like.
    Empty,
    /// The whole body is one message (or something that is none, and is passed on all the same).
    Whole(Message),
    /// Messages as they come.
    Stream(BoxStream<'static, Result<Item, UpstreamError>>),
}

impl Reply {
    /// Returns `202 Accepted` without a body: what a notification or a reply gets (2025-03-26 on, transports: sending messages).
    pub fn accepted() -> Self {
        Self { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), body: ReplyBody::Empty }
    }

    /// Returns `200 OK` with one message of ours as a JSON body.
    pub fn whole(message: Message) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status: StatusCode::OK, headers, body: ReplyBody::Whole(message) }
    }

    /// Returns `200 OK` with an event stream of ours.
    pub fn event_stream(items: BoxStream<'static, Result<Item, UpstreamError>>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
        Self { status: StatusCode::OK, headers, body: ReplyBody::Stream(items) }
    }
}
