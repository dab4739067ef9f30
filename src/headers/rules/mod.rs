//! What Streamable HTTP demands of a client's request, as the server of the transport: in front of a command, that is tapline.
//!
//! Plain functions of values: what arrived, the session that it names, what tools want in headers → accepted, or why not. In front of a
//! server that speaks HTTP they are not asked: there the server says what it takes.
//!
//! Where the specification leaves room, the SDK servers decide: `Accept` takes wildcards as Python does, bodies are refused as
//! TypeScript refuses them, an envelope tells the era before the header does (`@modelcontextprotocol/server`, inbound classification).
//! Of a revision that is newer than tapline nothing is known: its requests are refused with what is supported, as the revision says.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{METHOD, NAME, ParamHeaders, SESSION, VERSION, decoded_text};
use crate::mcp::era::{LEGACY_REVISIONS, MODERN_REVISIONS, is_modern_revision};
use crate::mcp::error_code::{ErrorCode, protocol};
use crate::mcp::meta::{self, CLIENT_CAPABILITIES, META, PROTOCOL_VERSION};
use crate::mcp::method;
use crate::message::{Kind, Message, read_members, without_bom};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// A rule of the transport that a request breaks, and what its client is told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct RuleBreak {
    pub status: StatusCode,
    /// The code of the JSON-RPC error.
    pub code: i64,
    pub text: String,
    pub data: Option<Value>,
}

/// The session that a request names.
pub enum NamedSession<'a> {
    Unnamed,
    /// There is none of that name, or none of this client's.
    Unknown,
    /// It is there; with the revision that it has agreed on, where it has.
    Known(&'a (dyn Fn() -> Option<String> + Sync)),
}

/// Where a request belongs that keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPlace {
    /// In the session that it names.
    NamedSession,
    /// It begins a session.
    NewSession,
    /// Revision 2026-07-28 or later: no session is named, and one that is does not count.
    Sessionless,
}

/// A request as it arrived.
#[derive(Clone, Copy)]
pub struct ArrivedRequest<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    pub message: Option<&'a Message>,
}

impl RuleBreak {
    fn new(status: StatusCode, code: i64, text: impl Into<String>) -> Self {
        Self { status, code, text: text.into(), data: None }
    }

    fn bad(code: i64, text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, text)
    }

    fn mismatch(text: impl Into<String>) -> Self {
        Self::bad(protocol::HEADER_MISMATCH, format!("header and body disagree: {}", text.into()))
    }

    fn unsupported(requested: &str) -> Self {
        let text = format!("unsupported protocol version `{requested}`; `--lenient` asks the server itself");
        let data = json!({ "supported": MODERN_REVISIONS, "requested": requested });
        Self { data: Some(data), ..Self::bad(protocol::UNSUPPORTED_VERSION, text) }
    }
}

/// What can be said of a request alone, whatever came before it.
impl ArrivedRequest<'_> {
    /// # Errors
    /// The rule that it breaks.
    pub fn check_form(&self) -> Result<(), RuleBreak> {
        if twice(self.headers, &SESSION) {
            return Err(RuleBreak::bad(protocol::INVALID_REQUEST, "`Mcp-Session-Id` stands there twice"));
        }
        match self.message {
            Some(message) => {
                self.check_accepts(&[JSON, EVENTS])?;
                self.check_content_type()?;
                check_body(message)
            }
            None if self.method == Method::GET => self.check_accepts(&[EVENTS]),
            None => Ok(()),
        }
    }

    /// A message of a client of HTTP+SSE (revision 2024-11-05, transports): any refusal is a 400, as of the SDK servers.
    /// `is_judged`: the server behind does not judge for itself what a message is.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_sse_post(&self, is_judged: bool) -> Result<(), RuleBreak> {
        let message = self.message.filter(|message| is_judged || message.kind() == Kind::Opaque);
        let checked = self.check_content_type().and_then(|()| message.map_or(Ok(()), check_body));
        checked.map_err(|rule| RuleBreak { status: StatusCode::BAD_REQUEST, ..rule })
    }

    fn check_content_type(&self) -> Result<(), RuleBreak> {
        let value = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
        if essence.trim().eq_ignore_ascii_case(JSON) {
            return Ok(());
        }
        let text = format!("`Content-Type` must be `{JSON}`, and is `{}`", value.unwrap_or_default());
        Err(RuleBreak::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, protocol::INVALID_REQUEST, text))
    }

    fn check_accepts(&self, wanted: &[&str]) -> Result<(), RuleBreak> {
        let values = self.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<&str> = values.flat_map(|value| value.split(',')).filter_map(accepted_range).collect();
        if wanted.iter().all(|wanted| ranges.iter().any(|range| range_has(range, wanted))) {
            return Ok(());
        }
        let text = format!("`Accept` must have `{}`", wanted.join("` and `"));
        Err(RuleBreak::new(StatusCode::NOT_ACCEPTABLE, protocol::INVALID_REQUEST, text))
    }
}

/// What depends on the session, and on the revision.
impl ArrivedRequest<'_> {
    /// Finds where a request belongs whose form is in order.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_place(&self, session: &NamedSession<'_>) -> Result<RequestPlace, RuleBreak> {
        let version = self.headers.get(VERSION).map(|value| value.to_str().unwrap_or_default().trim());
        let says_modern = version.is_some_and(is_modern_revision);
        let Some(message) = self.message else { return self.place_bodiless(session, version) };
        let claimed = message.at(&["params", META, PROTOCOL_VERSION]);
        // One that says that it follows a revision without handshakes is a method of that revision, which does not have it.
        let begins = message.method() == Some(method::INITIALIZE) && claimed.is_none();
        let speaks = matches!(message.kind(), Kind::Request | Kind::Notification) && !begins;
        // A server that has agreed on a modern revision in a handshake has its clients' later requests.
        let agreed_modern =
            || matches!(session, NamedSession::Known(agreed) if agreed().is_some_and(|it| is_modern_revision(&it)));
        if speaks {
            match claimed.map(|claimed| serde_json::from_str::<String>(claimed).ok()) {
                Some(claimed) if claimed.as_deref().is_none_or(is_modern_revision) && !agreed_modern() => {
                    self.check_modern(message, claimed.as_deref(), version)?;
                    return Ok(RequestPlace::Sessionless);
                }
                None if says_modern && !matches!(session, NamedSession::Known(_)) => {
                    self.check_unclaimed(message, version.unwrap_or_default())?;
                    return Ok(RequestPlace::Sessionless);
                }
                _ => {}
            }
        } else if says_modern && !matches!(session, NamedSession::Known(_)) {
            let what = if begins { "`initialize`" } else { "a reply or a batch" };
            let text = format!("revision {} has no place for {what}", version.unwrap_or_default());
            let code = if begins { protocol::HEADER_MISMATCH } else { protocol::INVALID_REQUEST };
            return Err(RuleBreak::bad(code, text));
        }
        self.place_legacy(message, session, version)
    }

    fn place_bodiless(&self, session: &NamedSession<'_>, version: Option<&str>) -> Result<RequestPlace, RuleBreak> {
        let is_agreed = || matches!(session, NamedSession::Known(agreed) if agreed().as_deref() == version);
        if let Some(version) = version.filter(|version| MODERN_REVISIONS.contains(version))
            && !is_agreed()
        {
            let text = format!("revision {version} knows `POST` only");
            return Err(RuleBreak::new(StatusCode::METHOD_NOT_ALLOWED, protocol::INVALID_REQUEST, text));
        }
        in_session(session)?;
        self.check_agreed(session, version)?;
        Ok(RequestPlace::NamedSession)
    }

    fn place_legacy(
        &self,
        message: &Message,
        session: &NamedSession<'_>,
        version: Option<&str>,
    ) -> Result<RequestPlace, RuleBreak> {
        if message.method() == Some(method::INITIALIZE) {
            return match session {
                NamedSession::Unnamed => Ok(RequestPlace::NewSession),
                NamedSession::Unknown => Err(unknown_session()),
                NamedSession::Known(_) => {
                    Err(RuleBreak::bad(protocol::INVALID_REQUEST, "the session is initialized already"))
                }
            };
        }
        in_session(session)?;
        self.check_agreed(session, version)?;
        if message.kind() == Kind::Batch {
            check_batch(message, session, version)?;
        }
        Ok(RequestPlace::NamedSession)
    }

    /// The header of a session's request names a revision with a handshake, or whatever its server agreed on.
    fn check_agreed(&self, session: &NamedSession<'_>, version: Option<&str>) -> Result<(), RuleBreak> {
        if twice(self.headers, &VERSION) {
            return Err(RuleBreak::bad(protocol::INVALID_REQUEST, "`MCP-Protocol-Version` stands there twice"));
        }
        let is_agreed =
            |version| matches!(session, NamedSession::Known(agreed) if agreed().as_deref() == Some(version));
        match version.filter(|version| is_modern_revision(version)) {
            Some(version) if !is_agreed(version) => {
                let known = LEGACY_REVISIONS.join("`, `");
                let text = format!("unsupported `MCP-Protocol-Version` `{version}`; there are `{known}`");
                Err(RuleBreak::bad(protocol::INVALID_REQUEST, text))
            }
            _ => Ok(()),
        }
    }
}

/// The rules of revision 2026-07-28.
impl ArrivedRequest<'_> {
    /// A message that says of itself that it follows the revision.
    fn check_modern(&self, message: &Message, claimed: Option<&str>, version: Option<&str>) -> Result<(), RuleBreak> {
        let claimed = claimed.ok_or_else(|| missing_meta(PROTOCOL_VERSION))?;
        let is_request = message.kind() == Kind::Request;
        if is_request && meta::read::<Map<String, Value>>(message, &["params", META, CLIENT_CAPABILITIES]).is_none() {
            return Err(missing_meta(CLIENT_CAPABILITIES));
        }
        self.check_once()?;
        match version {
            Some(version) if version == claimed => {}
            None if !is_request => {}
            None => return Err(RuleBreak::mismatch("`MCP-Protocol-Version` is missing")),
            Some(version) => {
                let text = format!("`MCP-Protocol-Version` says `{version}`, the body `{claimed}`");
                return Err(RuleBreak::mismatch(text));
            }
        }
        if !MODERN_REVISIONS.contains(&claimed) {
            return Err(RuleBreak::unsupported(claimed));
        }
        self.check_method(message)?;
        if message.method() == Some(method::INITIALIZE) {
            // Servers built with the SDKs do not agree on what it is on a pipe of this revision. Over HTTP they do.
            let text = format!("revision {claimed} has no `initialize`");
            return Err(RuleBreak::new(StatusCode::NOT_FOUND, protocol::METHOD_NOT_FOUND, text));
        }
        if is_request { self.check_name(message) } else { Ok(()) }
    }

    /// A message that follows the revision by its header alone: that will do for a notification.
    fn check_unclaimed(&self, message: &Message, version: &str) -> Result<(), RuleBreak> {
        self.check_once()?;
        if !MODERN_REVISIONS.contains(&version) {
            return Err(RuleBreak::unsupported(version));
        }
        if message.kind() == Kind::Request {
            return Err(missing_meta(PROTOCOL_VERSION));
        }
        self.check_method(message)
    }

    fn check_once(&self) -> Result<(), RuleBreak> {
        match [VERSION, METHOD, NAME].iter().find(|name| twice(self.headers, name)) {
            Some(name) => Err(RuleBreak::mismatch(format!("`{name}` stands there twice"))),
            None => Ok(()),
        }
    }

    fn check_method(&self, message: &Message) -> Result<(), RuleBreak> {
        let body = message.method().unwrap_or_default();
        match self.text(&METHOD) {
            Some(header) if header == body => Ok(()),
            None if message.kind() == Kind::Notification => Ok(()),
            Some(header) => Err(RuleBreak::mismatch(format!("`Mcp-Method` says `{header}`, the body `{body}`"))),
            None => Err(RuleBreak::mismatch("`Mcp-Method` is missing")),
        }
    }

    fn check_name(&self, message: &Message) -> Result<(), RuleBreak> {
        let (member, is_required) = match message.method().unwrap_or_default() {
            method::TOOLS_CALL | method::PROMPTS_GET => ("name", true),
            method::RESOURCES_READ => ("uri", true),
            // The Python SDK does not send it.
            method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL => ("taskId", false),
            _ => return Ok(()),
        };
        // What is missing in the body the server says.
        let Some(body) = meta::read::<String>(message, &["params", member]) else { return Ok(()) };
        match self.text(&NAME) {
            None if is_required => Err(RuleBreak::mismatch("`Mcp-Name` is missing")),
            None => Ok(()),
            Some(header) => match decoded_text(header) {
                Some(decoded) if decoded == body => Ok(()),
                Some(decoded) => Err(RuleBreak::mismatch(format!("`Mcp-Name` says `{decoded}`, the body `{body}`"))),
                None => Err(RuleBreak::mismatch(format!("`Mcp-Name` is not base64: `{header}`"))),
            },
        }
    }

    /// Whether the headers repeat the arguments as the tool wants them; of a tool that was never listed nothing is known.
    ///
    /// # Errors
    /// That they do not.
    pub fn check_params(&self, tools: &ParamHeaders) -> Result<(), RuleBreak> {
        match self.message {
            Some(message) => tools.check(message, self.headers).map_err(RuleBreak::mismatch),
            None => Ok(()),
        }
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_default().trim())
    }
}

/// The status of an answer that says itself what it is (revision 2026-07-28, transports): a server behind pipes has none to give.
/// `None` where it is the usual one.
pub fn status_of(request: &Message, reply: &Message) -> Option<StatusCode> {
    let code = meta::read::<i64>(reply, &["error", "code"])?;
    match code {
        protocol::METHOD_NOT_FOUND => Some(StatusCode::NOT_FOUND),
        protocol::HEADER_MISMATCH | protocol::MISSING_CAPABILITY | protocol::UNSUPPORTED_VERSION => {
            Some(StatusCode::BAD_REQUEST)
        }
        // Every server of the revision knows this one: one that does not is older, and its client falls back by a status.
        _ if request.method() == Some(method::DISCOVER) => Some(StatusCode::BAD_REQUEST),
        _ => None,
    }
}

fn twice(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// A media range, unless its weight is zero.
fn accepted_range(range: &str) -> Option<&str> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next()?;
    let refused = parts.any(|part| part.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0));
    (!refused).then_some(range)
}

fn range_has(range: &str, media_type: &str) -> bool {
    let (kind, _) = media_type.split_once('/').unwrap_or_default();
    let all_of_kind = range.strip_suffix("/*").is_some_and(|of| of.eq_ignore_ascii_case(kind));
    range == "*/*" || all_of_kind || range.eq_ignore_ascii_case(media_type)
}

fn in_session(session: &NamedSession<'_>) -> Result<(), RuleBreak> {
    match session {
        NamedSession::Known(_) => Ok(()),
        NamedSession::Unknown => Err(unknown_session()),
        NamedSession::Unnamed => {
            Err(RuleBreak::bad(ErrorCode::Refused.number(), "a request without a session must be `initialize`"))
        }
    }
}

fn unknown_session() -> RuleBreak {
    let text = "session not found: it has ended, or its server has; initialize again";
    RuleBreak::new(StatusCode::NOT_FOUND, ErrorCode::Refused.number(), text)
}

fn missing_meta(key: &str) -> RuleBreak {
    RuleBreak::bad(protocol::INVALID_PARAMS, format!("`{META}` of the request: `{key}` is missing or invalid"))
}

fn check_body(message: &Message) -> Result<(), RuleBreak> {
    let why = message.head().flaw.as_deref().unwrap_or_default();
    match message.kind() {
        Kind::Opaque if serde_json::from_slice::<serde::de::IgnoredAny>(without_bom(message.raw())).is_ok() => {
            Err(RuleBreak::bad(protocol::INVALID_REQUEST, format!("the body is not a JSON-RPC message: {why}")))
        }
        Kind::Opaque => Err(RuleBreak::bad(protocol::PARSE_ERROR, format!("the body cannot be read: {why}"))),
        Kind::Batch => {
            let elements = message.elements();
            if elements.is_empty() {
                return Err(RuleBreak::bad(protocol::INVALID_REQUEST, "the batch is empty"));
            }
            elements.iter().try_for_each(check_members)
        }
        _ => check_members(message),
    }
}

/// JSON-RPC 2.0 §4 and §5, and what MCP makes of them (basic: messages).
fn check_members(message: &Message) -> Result<(), RuleBreak> {
    let members = read_members(message.raw()).unwrap_or_default();
    let member = |name: &str| members.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value);
    let first = |name: &str| member(name).and_then(|text| text.bytes().next());
    let is_id = match member("id") {
        Some("null") => {
            message.kind() == Kind::Error || message.method().is_some_and(|it| it.starts_with(method::NOTIFICATIONS))
        }
        Some(token) => token.starts_with('"') || token.parse::<f64>().is_ok_and(|id| id.fract() == 0.0),
        None => matches!(message.kind(), Kind::Notification | Kind::Error),
    };
    let wrong = [
        (member("jsonrpc") != Some("\"2.0\""), "`jsonrpc` must be `\"2.0\"`"),
        (message.kind() == Kind::Opaque, "it is neither a request nor a reply"),
        (!is_id, "`id` must be a string or an integer"),
        (first("method").is_some_and(|first| first != b'"'), "`method` must be a string"),
        (first("params").is_some_and(|first| first != b'{' && first != b'n'), "`params` must be an object"),
        (member("result").is_some() && member("error").is_some(), "it has both `result` and `error`"),
    ];
    match wrong.iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, why)) => {
            Err(RuleBreak::bad(protocol::INVALID_REQUEST, format!("the body is not a JSON-RPC message: {why}")))
        }
        None => Ok(()),
    }
}

/// Batches came with 2025-03-26 and went with 2025-06-18; a handshake is never in one.
fn check_batch(message: &Message, session: &NamedSession<'_>, version: Option<&str>) -> Result<(), RuleBreak> {
    let agreed = if let NamedSession::Known(agreed) = session { agreed() } else { None };
    let revision = agreed.as_deref().or(version).unwrap_or("2025-03-26");
    if !["2024-10-07", "2024-11-05", "2025-03-26"].contains(&revision) {
        return Err(RuleBreak::bad(protocol::INVALID_REQUEST, format!("revision {revision} has no batches")));
    }
    if message.elements().iter().any(|element| element.method() == Some(method::INITIALIZE)) {
        return Err(RuleBreak::bad(protocol::INVALID_REQUEST, "`initialize` must not be in a batch"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
