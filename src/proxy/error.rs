//! Every error of ours on its way to a client: the one place that says what it is in each language: HTTP status, JSON-RPC
//! error, line of the log, name in the metrics.
//!
//! Makes plain values. The doors give an [`ErrorReply`] the form of their carrier, `Proxy::record_error` counts and logs it.
//!
//! Statuses decide what a client believes of the server (mcp-wire.md §5.4): an upstream that cannot be reached is
//! a 502, never a 4xx. The codes are outside -32768..-32000, so that none is taken for the server's. One exception: in front of a
//! command tapline is the server of the HTTP transport. What breaks its rules gets the statuses and codes of the protocol, and a probe for
//! the revision without handshakes that the command does not answer gets a 4xx, by which clients fall back.

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::auth::Denied;
use crate::event::{BlockError, Level};
use crate::headers::rules::RuleBreak;
use crate::limits::LimitExceeded;
use crate::mcp::error_code::ErrorCode;
use crate::message::{Id, Kind, Message};
use crate::proxy::paths::{ENDPOINT, STREAM};
use crate::upstream::{Reply, ReplyBody, UpstreamError};

/// Why a request gets an error of ours in place of an answer of the server's.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("{0}")]
    Forbidden(String),
    #[error("no MCP endpoint at `{path}`; {}", endpoint_hint(.endpoints))]
    NotFound { path: String, endpoints: Vec<String> },
    /// The status and the meaning are the protocol's: the client is to start a new session (2025-03-26 on, session management).
    #[error("session not found: it has ended, or its server has; initialize again")]
    UnknownSession,
    #[error("a request without a session must be `initialize`")]
    NoSession,
    #[error("the body is larger than {0} bytes; `--max-body` raises the limit")]
    TooLarge(usize),
    #[error("a batch of more than {0} messages; send several")]
    LongBatch(usize),
    #[error("the body cannot be taken: {0}")]
    BadBody(String),
    #[error("the method is not one of {0}")]
    BadMethod(&'static str),
    /// The stream that gave the address has ended, and the session with it (2024-11-05, transports).
    #[error("no session has this address: its event stream has ended; open another")]
    UnknownEndpoint,
    #[error("the answer would be an event stream, and the client does not accept one")]
    NoEvents,
    /// A second listening stream of a session: there is one at a time, as with servers of the SDKs.
    #[error("the session has a listening stream already")]
    Listening,
    #[error("tapline does not relay websockets")]
    Websocket,
    #[error("tapline ended before the server answered")]
    Ended,
    /// In front of a command tapline is the server of the transport: status and code are the protocol's.
    #[error("{0}")]
    Rule(#[from] Box<RuleBreak>),
    #[error("{0}")]
    Denied(#[from] Box<Denial>),
    #[error("{0}")]
    Limited(#[from] LimitExceeded),
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
}

/// A client that is not let in, or not so far.
#[derive(Debug, thiserror::Error)]
#[error("{denied}")]
pub struct Denial {
    pub(in crate::proxy) denied: Denied,
    /// What goes with it: the challenge, and the headers that let a web page read it.
    pub(in crate::proxy) headers: HeaderMap,
}

/// What every side needs to know of an error, but for its words.
struct ErrorInfo {
    status: StatusCode,
    level: Level,
    /// The value of the label `kind` in the metrics: it never changes, since dashboards count on it.
    label: &'static str,
}

impl ProxyError {
    /// The HTTP status that goes with it.
    pub fn status(&self) -> StatusCode {
        self.info().status
    }

    /// What this asks for cannot be read for certain, and there are rules for it.
    pub fn unclear() -> Self {
        Self::Denied(Box::new(Denial { denied: Denied::Unclear, headers: HeaderMap::new() }))
    }

    /// The value of the label `kind` in the metrics, which never changes.
    pub fn label(&self) -> &'static str {
        self.info().label
    }

    /// The error for the request with that id, and what is logged of it.
    pub fn reply_to(&self, id: Option<&Id>) -> ErrorReply {
        let ErrorInfo { status, level, label } = self.info();
        let log_text = match self {
            Self::Upstream(error) => Some(error.to_string()),
            Self::Ended => Some("a request got no answer: tapline ended before the server answered".to_owned()),
            // Not each request that is over a limit is news.
            Self::Limited(excess) if !excess.first => None,
            Self::Denied(denial) => Some(format!("refused a request: {}", denial.denied.for_the_operator())),
            error => Some(format!("refused a request: {error}")),
        };
        ErrorReply { status, headers: self.headers(), message: self.message(id), level, log_text, label }
    }

    fn info(&self) -> ErrorInfo {
        use Level::{Error, Info, Warn};
        let (status, level, label) = match self {
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, Warn, "forbidden"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, Warn, "no_endpoint"),
            Self::UnknownSession => (StatusCode::NOT_FOUND, Warn, "unknown_session"),
            Self::NoSession => (StatusCode::BAD_REQUEST, Warn, "no_session"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Warn, "too_large"),
            Self::LongBatch(_) => (StatusCode::PAYLOAD_TOO_LARGE, Warn, "long_batch"),
            Self::BadBody(_) => (StatusCode::BAD_REQUEST, Warn, "bad_body"),
            Self::BadMethod(_) => (StatusCode::METHOD_NOT_ALLOWED, Warn, "bad_method"),
            Self::UnknownEndpoint => (StatusCode::NOT_FOUND, Warn, "unknown_endpoint"),
            Self::NoEvents => (StatusCode::NOT_ACCEPTABLE, Warn, "no_events_accepted"),
            Self::Listening => (StatusCode::CONFLICT, Info, "listening_already"),
            Self::Websocket => (StatusCode::NOT_IMPLEMENTED, Warn, "websocket"),
            Self::Rule(rule) => (rule.status, Warn, "against_the_rules"),
            Self::Denied(denial) => match denial.denied.status() {
                StatusCode::UNAUTHORIZED => (StatusCode::UNAUTHORIZED, Warn, "unauthorized"),
                StatusCode::SERVICE_UNAVAILABLE => (StatusCode::SERVICE_UNAVAILABLE, Error, "keys_unavailable"),
                status => (status, Warn, "not_permitted"),
            },
            Self::Limited(_) => (StatusCode::TOO_MANY_REQUESTS, Warn, "limited"),
            Self::Ended => (StatusCode::BAD_GATEWAY, Warn, "tapline_ended"),
            Self::Upstream(error @ UpstreamError::Busy { .. }) => {
                (StatusCode::GATEWAY_TIMEOUT, Error, UpstreamFailure::describe(error).label)
            }
            Self::Upstream(error @ UpstreamError::NotModern { .. }) => {
                (StatusCode::BAD_REQUEST, Warn, UpstreamFailure::describe(error).label)
            }
            Self::Upstream(error @ UpstreamError::Restarted { .. }) => {
                (StatusCode::BAD_GATEWAY, Info, UpstreamFailure::describe(error).label)
            }
            Self::Upstream(error) => (StatusCode::BAD_GATEWAY, Error, UpstreamFailure::describe(error).label),
        };
        ErrorInfo { status, level, label }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::BadMethod(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Rule(rule) if rule.status == StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            Self::Denied(denial) => headers.extend(denial.headers.clone()),
            Self::Limited(excess) => headers.extend(excess.early.seconds().map(|wait| (RETRY_AFTER, wait.into()))),
            _ => {}
        }
        headers
    }

    /// What refused the request at the front door, as a label of the metrics; `None` where it came in.
    pub fn refused_by(&self) -> Option<&'static str> {
        match self {
            Self::Forbidden(_) => Some("guard"),
            Self::Denied(_) => Some("auth"),
            Self::Limited(_) => Some("limit"),
            _ => None,
        }
    }

    fn message(&self, id: Option<&Id>) -> Message {
        match self {
            Self::Upstream(error) => upstream_failed(error, id),
            Self::Rule(rule) => {
                let data = rule.data.as_ref().map(ToString::to_string);
                Message::error_reply(id, rule.code, &format!("tapline: {self}"), data.as_deref())
            }
            Self::Denied(_) => Message::error_reply(id, ErrorCode::Denied.number(), &format!("tapline: {self}"), None),
            Self::Limited(excess) => {
                let (limit, early) = (&*excess.limit, excess.early.millis());
                let data = serde_json::json!({ "tapline": { "limit": limit, "retryAfterMs": early } });
                Message::error_reply(
                    id,
                    ErrorCode::LimitReached.number(),
                    &format!("tapline: {self}"),
                    Some(&data.to_string()),
                )
            }
            Self::Ended => Message::error_reply(id, ErrorCode::Ended.number(), &format!("tapline: {self}"), None),
            _ => Message::error_reply(id, ErrorCode::Refused.number(), &format!("tapline: {self}"), None),
        }
    }
}

fn endpoint_hint(endpoints: &[String]) -> String {
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

/// An error of ours in every language: HTTP status and headers, JSON-RPC message, log line, name in the metrics.
#[derive(Debug)]
pub struct ErrorReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The JSON-RPC error for the client.
    pub message: Message,
    pub level: Level,
    /// For the screen and the log, where it is worth a line there.
    pub log_text: Option<String>,
    /// The value of the label `kind` in the metrics, which never changes.
    pub label: &'static str,
}

impl ErrorReply {
    /// Returns the error as the reply of an HTTP exchange.
    pub fn into_reply(self) -> Reply {
        Reply { status: self.status, headers: self.headers, body: ReplyBody::Whole(self.message) }
    }
}

/// An HTTP error of a server, as the error that a request gets where there is no place for a status.
pub fn server_refused(upstream: &str, reply: &Reply, id: Option<&Id>) -> ErrorReply {
    ErrorReply {
        status: reply.status,
        headers: HeaderMap::new(),
        message: http_error(upstream, reply, id),
        level: Level::Warn,
        log_text: Some(format!("the server refused a message: HTTP {}", reply.status)),
        label: "server_refused",
    }
}

fn http_error(upstream: &str, reply: &Reply, id: Option<&Id>) -> Message {
    if let ReplyBody::Whole(body) = &reply.body
        && body.kind() == Kind::Error
    {
        // Servers answer what they cannot attribute with a null id: the client would never match it.
        let id = id.cloned().unwrap_or_else(|| Id::from_token("null"));
        return body.with_id(&id).unwrap_or_else(|| body.clone());
    }
    let text = format!("tapline: {upstream} answered HTTP {}", reply.status);
    let data = serde_json::json!({ "tapline": { "status": reply.status.as_u16() } }).to_string();
    Message::error_reply(id, ErrorCode::UpstreamFailed.number(), &text, Some(&data))
}

/// The error that a held message's sender gets as tapline ends, where the operator wants held messages to fail.
pub fn ended_while_held() -> BlockError {
    let message = "tapline ended while this message was held".to_owned();
    BlockError::JsonRpc { code: ErrorCode::Ended.number(), message, data: None }
}

/// The error that a held message's sender gets where the operator only stops watching.
pub fn left_while_held() -> BlockError {
    let message = "the operator of tapline left while this message was held".to_owned();
    BlockError::JsonRpc { code: ErrorCode::OperatorLeft.number(), message, data: None }
}

/// An upstream's failure: which upstream, its name in the metrics, and what the reader can do about it.
struct UpstreamFailure<'a> {
    upstream: &'a str,
    label: &'static str,
    hint: &'static str,
}

impl<'a> UpstreamFailure<'a> {
    fn describe(error: &'a UpstreamError) -> Self {
        let (upstream, label, hint) = match error {
            UpstreamError::Unreachable { upstream, .. } => {
                (upstream, "unreachable", "is the server running, and is this its URL?")
            }
            UpstreamError::CannotStart { command, .. } => {
                (command, "cannot_start", "is it installed, and on the PATH of tapline?")
            }
            UpstreamError::NoDescriptors { command, .. } => (
                command,
                "no_descriptors",
                "tapline has as many open files as it may: end sessions, or raise `ulimit -n`",
            ),
            UpstreamError::Exited { command, .. } => {
                (command, "exited", "run the command by itself to see what it needs")
            }
            UpstreamError::TakesNothing { command } => {
                (command, "takes_nothing", "it lives on; a new session starts another one")
            }
            UpstreamError::ReadsNothing { command, .. } => {
                (command, "reads_nothing", "it may be busy with what it was asked before: ask again later")
            }
            UpstreamError::TooLong { upstream, .. } => (upstream, "too_long", "`--max-message` allows longer ones"),
            UpstreamError::SessionEnded { command } => {
                (command, "session_ended", "a session is ended by DELETE, when all is answered")
            }
            UpstreamError::Busy { command, .. } => {
                (command, "busy", "close a session that is not needed, or allow more")
            }
            UpstreamError::NotModern { command, .. } => {
                (command, "not_modern", "a client that also speaks an older revision begins with `initialize`")
            }
            UpstreamError::Restarted { command, .. } => (command, "restarted", "the new one can be asked again"),
            UpstreamError::NotResumed { command, .. } => (command, "not_resumed", "the client has to initialize again"),
            UpstreamError::NoStream { upstream, .. } => (
                upstream,
                "no_stream",
                "is this the URL of its event stream? `--transport http` speaks Streamable HTTP to it",
            ),
            UpstreamError::Redirected { upstream, .. } => {
                (upstream, "redirected", "if the server has moved, its new URL is to be given")
            }
            UpstreamError::SessionForgotten { upstream } => {
                (upstream, "session_forgotten", "the request was not sent again, as it may do something: send it again")
            }
            UpstreamError::NoAnswer { upstream, .. } => (upstream, "no_answer", SEE_ITS_LOG),
            UpstreamError::BrokenOff { upstream, .. } => (upstream, "broken_off", SEE_ITS_LOG),
            UpstreamError::StreamEnded { upstream } => (upstream, "stream_ended", SEE_ITS_LOG),
        };
        Self { upstream, label, hint }
    }
}

const SEE_ITS_LOG: &str = "the server's own log may say why";

/// Says which upstream, what happened, and what to try.
fn upstream_failed(error: &UpstreamError, id: Option<&Id>) -> Message {
    let UpstreamFailure { upstream, hint, .. } = UpstreamFailure::describe(error);
    let data = serde_json::json!({ "tapline": { "upstream": upstream, "hint": hint } });
    let text = format!("tapline: {error}; {hint}");
    Message::error_reply(id, ErrorCode::UpstreamFailed.number(), &text, Some(&data.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Label;

    fn all() -> Vec<ProxyError> {
        let upstream = || Label::of_url("http://127.0.0.1:1/mcp");
        let why = || "reset".to_owned();
        let failures = [
            UpstreamError::Unreachable { upstream: upstream(), why: why() },
            UpstreamError::CannotStart { command: Label::of_command(["cat"]), why: why() },
            UpstreamError::NoDescriptors { command: Label::of_command(["cat"]), why: why() },
            UpstreamError::Exited {
                command: Label::of_command(["cat"]),
                status: "status 1".to_owned(),
                stderr: Vec::new(),
            },
            UpstreamError::TakesNothing { command: Label::of_command(["cat"]) },
            UpstreamError::Restarted { command: Label::of_command(["cat"]), why: why() },
            UpstreamError::SessionEnded { command: Label::of_command(["cat"]) },
            UpstreamError::ReadsNothing { command: Label::of_command(["cat"]), waiting: 1 },
            UpstreamError::TooLong { upstream: upstream(), most: 1 },
            UpstreamError::NoAnswer { upstream: upstream(), why: why() },
            UpstreamError::BrokenOff { upstream: upstream(), why: why() },
            UpstreamError::NoStream { upstream: upstream(), why: why() },
            UpstreamError::StreamEnded { upstream: upstream() },
            UpstreamError::Redirected { upstream: upstream(), why: why() },
            UpstreamError::SessionForgotten { upstream: upstream() },
        ];
        let ours = [
            ProxyError::Forbidden(why()),
            ProxyError::NotFound { path: "/x".to_owned(), endpoints: vec![ENDPOINT.to_owned()] },
            ProxyError::UnknownSession,
            ProxyError::NoSession,
            ProxyError::TooLarge(1),
            ProxyError::LongBatch(1),
            ProxyError::BadBody(why()),
            ProxyError::BadMethod("GET"),
            ProxyError::UnknownEndpoint,
            ProxyError::NoEvents,
            ProxyError::Listening,
            ProxyError::Websocket,
            ProxyError::Ended,
        ];
        ours.into_iter().chain(failures.map(ProxyError::Upstream)).collect()
    }

    #[test]
    fn error_has_a_unique_label_and_looks_like_ours() {
        let mut labels = Vec::new();
        for error in all() {
            let answer = error.reply_to(Some(&Id::from_token("7")));
            assert!(answer.label.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{}", answer.label);
            labels.push(answer.label);
            let message = answer.message.value().expect("it is JSON");
            assert_eq!(message["id"], 7);
            let code = message["error"]["code"].as_i64().expect("it has a code");
            assert!(!(-32768..=-32000).contains(&code), "{code} is the protocol's");
            assert!(message["error"]["message"].as_str().expect("it has words").starts_with("tapline: "));
            assert!(answer.log_text.is_some());
        }
        let count = labels.len();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), count, "two errors have one name");
    }

    #[test]
    fn upstream_failure_is_never_the_fault_of_the_client() {
        for error in all() {
            if matches!(error, ProxyError::Upstream(_) | ProxyError::Ended) {
                assert_eq!(error.status(), StatusCode::BAD_GATEWAY, "{error}");
            }
        }
    }

    #[test]
    fn server_error_keeps_its_words_and_gets_the_id_of_its_request() {
        let body = Message::new(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#);
        let reply = |body| Reply { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body };
        let (theirs, none) = (reply(ReplyBody::Whole(body)), reply(ReplyBody::Empty));
        let id = Id::from_token("7");
        let told = |reply| server_refused("x", reply, Some(&id)).message.value().expect("it is JSON");
        assert_eq!((&told(&theirs)["id"], &told(&theirs)["error"]["code"]), (&7.into(), &(-32600).into()));
        assert_eq!(told(&none)["error"]["data"]["tapline"]["status"], 400);
    }
}
