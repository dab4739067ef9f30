//! Every error of ours on its way to a client: the one place that turns it into an HTTP status and a JSON-RPC error.
//!
//! Statuses decide what a client believes of the server (mcp-wire.md §5.4): an upstream that cannot be reached is
//! a 502, never a 4xx. The codes are outside -32768..-32000, so that nobody takes them for the server's.

use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::admission::Denial;
use super::http::ENDPOINT;
use super::sse::STREAM;
use crate::limits::Excess;
use crate::message::{Id, Kind, Message};
use crate::upstream::{Reply, ReplyBody, UpstreamError};

/// The upstream cannot be reached, or broke off.
pub const UPSTREAM_FAILED: i64 = -31000;
/// Blocked by the operator or a rule.
pub const BLOCKED: i64 = -31001;
/// tapline ended while the message was held.
pub const ENDED: i64 = -31002;
/// tapline does not take this request.
pub const REFUSED: i64 = -31003;
/// The client's token is none that is taken here, or lacks a scope.
pub const DENIED: i64 = -31010;
/// A limit of ours is reached.
pub const LIMITED: i64 = -31011;

/// Why a request got no further than the front door.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Forbidden(String),
    #[error("no MCP endpoint at `{path}`; {}", places(.endpoints))]
    NotFound { path: String, endpoints: Vec<String> },
    /// The status and the meaning are the protocol's: the client is to start anew (2025-03-26 on, session management).
    #[error("session not found: it has ended, or its server has; initialize again")]
    UnknownSession,
    #[error("a request without a session must be `initialize`")]
    NoSession,
    #[error("the body is larger than {0} bytes; `--max-body` raises the limit")]
    TooLarge(usize),
    #[error("the body cannot be taken: {0}")]
    BadBody(String),
    #[error("the method is not one of {0}")]
    BadMethod(&'static str),
    /// The stream that gave the address has ended, and the session with it (2024-11-05, transports).
    #[error("no session has this address: its event stream has ended; open another")]
    UnknownEndpoint,
    #[error("the answer would be an event stream, and the client does not accept one")]
    NoEvents,
    #[error("tapline does not relay websockets")]
    Websocket,
    #[error("tapline ended before the server answered")]
    Ended,
    #[error("{0}")]
    Denied(#[from] Box<Denial>),
    #[error("{0}")]
    Limited(#[from] Excess),
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound { .. } | Self::UnknownSession | Self::UnknownEndpoint => StatusCode::NOT_FOUND,
            Self::NoSession | Self::BadBody(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoEvents => StatusCode::NOT_ACCEPTABLE,
            Self::Websocket => StatusCode::NOT_IMPLEMENTED,
            Self::Denied(denial) => denial.denied.status(),
            Self::Limited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Ended | Self::Upstream(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The headers that say what would do instead.
    pub fn headers(&self) -> HeaderMap {
        let one = |header| HeaderMap::from_iter([header]);
        match self {
            Self::BadMethod(allowed) => one((ALLOW, HeaderValue::from_static(allowed))),
            Self::Denied(denial) => denial.headers.clone(),
            Self::Limited(excess) => {
                excess.early.seconds().map(|wait| one((RETRY_AFTER, wait.into()))).unwrap_or_default()
            }
            _ => HeaderMap::new(),
        }
    }

    /// Whether it is worth a line in the log: not each request that is over a limit is.
    pub fn is_news(&self) -> bool {
        !matches!(self, Self::Limited(excess) if !excess.first)
    }

    /// What did not let the request in, in a word for who counts.
    pub fn by(&self) -> Option<&'static str> {
        match self {
            Self::Forbidden(_) => Some("guard"),
            Self::Denied(_) => Some("auth"),
            Self::Limited(_) => Some("limit"),
            _ => None,
        }
    }

    /// The body that goes with it, for the request with that id.
    pub fn message(&self, id: Option<&Id>) -> Message {
        match self {
            Self::Upstream(error) => upstream_failed(error, id),
            Self::Denied(_) => Message::error_reply(id, DENIED, &format!("tapline: {self}"), None),
            Self::Limited(excess) => {
                let (limit, early) = (&*excess.limit, excess.early.millis());
                let data = serde_json::json!({ "tapline": { "limit": limit, "retryAfterMs": early } });
                Message::error_reply(id, LIMITED, &format!("tapline: {self}"), Some(&data.to_string()))
            }
            _ => Message::error_reply(id, REFUSED, &format!("tapline: {self}"), None),
        }
    }
}

fn places(endpoints: &[String]) -> String {
    match endpoints {
        [endpoint] => {
            let prefix = endpoint.strip_suffix(ENDPOINT).unwrap_or_default();
            format!("it is `{endpoint}`, or `{prefix}{STREAM}` for the older transport")
        }
        endpoints => {
            let each = endpoints.join("`, `");
            format!("there are `{each}`, and `{STREAM}` in place of `{ENDPOINT}` for the older transport")
        }
    }
}

/// An HTTP error of a server, as the error that a request gets where there is no place for a status.
pub fn http_error(label: &str, reply: &Reply, id: Option<&Id>) -> Message {
    if let ReplyBody::Whole(body) = &reply.body
        && body.kind() == Kind::Error
    {
        // Servers answer what they cannot attribute with a null id: the client would never match it.
        let id = id.cloned().unwrap_or_else(|| Id::from_token("null"));
        return body.with_id(&id).unwrap_or_else(|| body.clone());
    }
    let text = format!("tapline: {label} answered HTTP {}", reply.status);
    let data = serde_json::json!({ "tapline": { "status": reply.status.as_u16() } }).to_string();
    Message::error_reply(id, UPSTREAM_FAILED, &text, Some(&data))
}

/// Says which upstream, what happened, and what to try.
fn upstream_failed(error: &UpstreamError, id: Option<&Id>) -> Message {
    let (upstream, hint) = match error {
        UpstreamError::Unreachable { upstream, .. } => (upstream, "is the server running, and is this its URL?"),
        UpstreamError::CannotStart { command, .. } => (command, "is it installed, and on the PATH of tapline?"),
        UpstreamError::Exited { command, .. } => (command, "run the command by itself to see what it needs"),
        UpstreamError::NoStream { upstream, .. } => {
            (upstream, "is this the URL of its event stream? `--transport http` speaks Streamable HTTP to it")
        }
        UpstreamError::BrokenOff { upstream, .. } | UpstreamError::StreamEnded { upstream } => {
            (upstream, "the server's own log may say why")
        }
    };
    let data = serde_json::json!({ "tapline": { "upstream": upstream, "hint": hint } });
    let text = format!("tapline: {error}; {hint}");
    Message::error_reply(id, UPSTREAM_FAILED, &text, Some(&data.to_string()))
}
