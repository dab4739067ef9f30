//! HTTP headers of MCP: which go on to the next hop, and which say what the message says.
//!
//! Answers are asked for uncompressed (`Accept-Encoding: identity`), so that they can be read and edited. A server that
//! compresses all the same is forwarded untouched and unread.

mod params;
pub mod rules;

use std::sync::{Arc, Weak};

use base64::Engine as _;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use parking_lot::Mutex;

pub use self::params::ParamHeaders;
use crate::envelope::is_noise;
use crate::envelope::shared::LatelyShared;
use crate::mcp::{era, meta};
use crate::message::Message;

/// The session (Streamable HTTP, revisions 2025-03-26 to 2025-11-25).
pub const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Where a stream is to be resumed (HTML, server-sent events).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// The revision of the protocol (from 2025-06-18 on).
pub const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The method in the body, for routers that read headers only (2026-07-28).
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The name in the body, for routers that read headers only (2026-07-28).
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");

const HOP_BY_HOP: [HeaderName; 8] =
    [CONNECTION, KEEP_ALIVE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION];

/// The headers of a session's latest message. The next one nearly always comes with the same, and shares them for as long
/// as they are in use.
#[derive(Default)]
pub struct Latest(Mutex<Weak<HeaderMap>>);

impl Latest {
    /// Those headers that are worth keeping, out of the read buffer they came in; and whether they are others than before.
    pub fn keep(&self, headers: &HeaderMap) -> (Arc<HeaderMap>, bool) {
        let kept = || headers.iter().filter(|(name, _)| !is_noise(name));
        let mut latest = self.0.lock();
        match latest.upgrade() {
            Some(latest) if latest.iter().eq(kept()) => (latest, false),
            _ => {
                let headers = Arc::new(kept().map(|(name, value)| (name.clone(), owned(value))).collect());
                *latest = Arc::downgrade(&headers);
                (headers, true)
            }
        }
    }

    /// Releases the memory of headers that are not in use any more.
    pub fn forget_dropped(&self) {
        let mut latest = self.0.lock();
        if latest.strong_count() == 0 {
            *latest = Weak::new();
        }
    }
}

/// Headers in a third of the room: a line each, of which the first byte says whether it is sensitive. The sessions of one client
/// have the same, once.
#[derive(Clone, Debug, Default)]
pub struct Packed(Arc<[u8]>);

static PACKED: LatelyShared<[u8]> = LatelyShared::new();

impl From<&HeaderMap> for Packed {
    fn from(headers: &HeaderMap) -> Self {
        Self(PACKED.share(pack(headers)))
    }
}

impl From<&Packed> for HeaderMap {
    fn from(packed: &Packed) -> Self {
        unpack(&packed.0)
    }
}

fn pack(headers: &HeaderMap) -> Box<[u8]> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        lines.push(u8::from(value.is_sensitive()));
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.push(b':');
        lines.extend_from_slice(value.as_bytes());
        // In no header value (RFC 9110 §5.5).
        lines.push(b'\n');
    }
    lines.into()
}

fn unpack(lines: &[u8]) -> HeaderMap {
    let header = |line: &[u8]| {
        let (sensitive, line) = line.split_first()?;
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        let mut value = HeaderValue::from_bytes(&value[1..]).ok()?;
        value.set_sensitive(*sensitive != 0);
        Some((HeaderName::from_bytes(name).ok()?, value))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.split(|byte| *byte == b'\n').filter_map(header) {
        headers.append(name, value);
    }
    headers
}

fn owned(value: &HeaderValue) -> HeaderValue {
    let mut owned = HeaderValue::from_bytes(value.as_bytes()).expect("it is a header value already");
    owned.set_sensitive(value.is_sensitive());
    owned
}

/// Removes what concerns one connection only (RFC 9110 §7.6.1), and what the next hop's client sets itself.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none of them: to look at the few that they have is less than to ask for each of these.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes a client's request headers fit for the upstream: its authority replaces `Host`, and answers are asked for
/// uncompressed, so that they can be read and edited (the client is not told otherwise: it takes identity too).
pub fn towards_upstream(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Takes out what only Streamable HTTP knows: a session id of ours is none of the server's business.
pub fn without_streamable(headers: &mut HeaderMap) {
    for name in [SESSION, LAST_EVENT_ID] {
        headers.remove(name);
    }
}

/// Makes the headers of a client's message fit for a request that has none.
pub fn without_message(headers: &mut HeaderMap) {
    without_streamable(headers);
    for name in [CONTENT_TYPE, CONTENT_LENGTH, METHOD, NAME] {
        headers.remove(name);
    }
}

/// Brings the headers that mirror the body in line with an edited message (revision 2026-07-28, transports: servers
/// refuse a mismatch with -32020). A client that mirrors nothing is not made to.
pub fn refresh(headers: &mut HeaderMap, message: &Message, params: &ParamHeaders) {
    if headers.contains_key(METHOD) {
        params.apply(message, headers);
        if let Some(version) = meta::protocol_version(message).and_then(|version| version.parse().ok()) {
            headers.insert(VERSION, version);
        }
    }
    let mirrors = headers.contains_key(METHOD);
    let Some(method) = message.method().filter(|_| mirrors || headers.contains_key(NAME)) else { return };
    if let Some(method) = HeaderValue::from_str(method).ok().filter(|_| mirrors) {
        headers.insert(METHOD, method);
    }
    match message.name() {
        Some(name) => {
            headers.insert(NAME, header_text(name));
        }
        None => {
            headers.remove(NAME);
        }
    }
}

/// Adds what a modern request must say in its headers, too (revision 2026-07-28, transports), where they do not say it:
/// it came over one stream with everything else, then. A legacy message is left as it is.
pub fn mirror(message: &Message, headers: &mut HeaderMap) {
    if headers.contains_key(METHOD) {
        return;
    }
    let Some(version) = meta::protocol_version(message).and_then(|version| version.parse().ok()) else { return };
    headers.insert(VERSION, version);
    if let Some(method) = message.method().and_then(|method| HeaderValue::from_str(method).ok()) {
        headers.insert(METHOD, method);
    }
    if let Some(name) = message.name() {
        headers.insert(NAME, header_text(name));
    }
}

/// Whether a message of an HTTP client follows a revision without a handshake, by itself or, of a notification, by its header.
pub fn is_modern(headers: &HeaderMap, message: &Message) -> bool {
    era::is_modern(message, || headers.get(VERSION)?.to_str().ok().map(str::to_owned))
}

/// Whether the headers that say what the message says, say something else: a server may go by either.
pub fn contradict(headers: &HeaderMap, message: &Message) -> bool {
    let differs = |name: &HeaderName, says: &dyn Fn(&[u8]) -> bool| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => false,
            (Some(value), None) => !says(value.as_bytes()),
            (Some(_), Some(_)) => true,
        }
    };
    // A reply and a batch have neither.
    differs(&METHOD, &|value| message.method().is_some_and(|method| method.as_bytes() == value))
        || differs(&NAME, &|value| message.name().is_some_and(|name| header_says(value, name)))
}

/// Whether a value is that text, plain or encoded.
fn header_says(value: &[u8], text: &str) -> bool {
    let encoded = value.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?="));
    let decoded = encoded.and_then(|encoded| base64::engine::general_purpose::STANDARD.decode(encoded).ok());
    value == text.as_bytes() && encoded.is_none() || decoded.is_some_and(|decoded| decoded == text.as_bytes())
}

/// Plain where it is visible ASCII, else `=?base64?…?=` (revision 2026-07-28, transports: value encoding).
fn header_text(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t')
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    let encoded;
    let value = if plain {
        text
    } else {
        encoded = format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text));
        &encoded
    };
    HeaderValue::from_str(value).expect("visible ASCII is a header value")
}

/// What [`header_text`] encoded; `None` where it is marked as base64 and is none, or is no text.
fn decoded_text(value: &str) -> Option<std::borrow::Cow<'_, str>> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(value.into());
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_shared_while_in_use_and_unpack_as_they_were() {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("Bearer a:b");
        secret.set_sensitive(true);
        headers.insert("authorization", secret);
        headers.append("x-twice", HeaderValue::from_static("one"));
        headers.append("x-twice", HeaderValue::from_bytes(b"\xfftwo\t:").unwrap());
        headers.insert("x-empty", HeaderValue::from_static(""));
        let latest = Latest::default();
        let (first, second) = (latest.keep(&headers), latest.keep(&headers));
        assert!(Arc::ptr_eq(&first.0, &second.0) && first.1 && !second.1);
        let unpacked = HeaderMap::from(&Packed::from(&*first.0));
        assert_eq!(unpacked, headers);
        assert!(unpacked["authorization"].is_sensitive() && !unpacked["x-empty"].is_sensitive());
        drop((first, second));
        assert!(latest.keep(&headers).1, "nobody had them");
    }

    #[test]
    fn names_are_encoded_as_the_sdks_do() {
        for (name, expected) in [
            ("echo", "echo"),
            ("écho", "=?base64?w6ljaG8=?="),
            (" x", "=?base64?IHg=?="),
            ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ] {
            assert_eq!(header_text(name), expected, "{name:?}");
        }
    }

    #[test]
    fn headers_contradict_a_message_that_says_something_else() {
        let call = |name: &str| {
            let params = serde_json::json!({ "name": name });
            Message::new(format!(r#"{{"id":1,"method":"tools/call","params":{params}}}"#))
        };
        for (name, method, header, expected) in [
            ("a", None, None, false),
            ("a", Some("tools/call"), Some("a"), false),
            ("écho", Some("tools/call"), Some("=?base64?w6ljaG8=?="), false),
            ("a", Some("tools/call"), Some("=?base64?YQ==?="), false),
            ("a", Some("ping"), Some("a"), true),
            ("a", Some("tools/call"), Some("b"), true),
            ("a", Some("Tools/Call"), None, true),
            ("=?base64?YQ==?=", Some("tools/call"), Some("=?base64?YQ==?="), true),
        ] {
            let named = [(METHOD, method), (NAME, header)];
            let headers = named.into_iter().filter_map(|(name, value)| Some((name, value?.parse().ok()?))).collect();
            assert_eq!(contradict(&headers, &call(name)), expected, "{name} {method:?} {header:?}");
        }
        let twice = [(METHOD, "tools/call"), (METHOD, "tools/call")];
        let twice = twice.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        assert!(contradict(&twice, &call("a")));
    }

    #[test]
    fn mirrored_headers_follow_an_edit_and_none_is_added() {
        let message = Message::new(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"b"}}"#);
        let mut legacy = HeaderMap::new();
        refresh(&mut legacy, &message, &ParamHeaders::default());
        assert!(legacy.is_empty());
        let mut modern = HeaderMap::new();
        modern.insert(METHOD, HeaderValue::from_static("tools/call"));
        modern.insert(NAME, HeaderValue::from_static("a"));
        refresh(&mut modern, &message, &ParamHeaders::default());
        assert_eq!(modern[NAME], "b");
        modern.insert(VERSION, HeaderValue::from_static("2026-07-28"));
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01"}"#;
        let message = Message::new(format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"b",{meta}}}}}"#));
        refresh(&mut modern, &message, &ParamHeaders::default());
        assert_eq!(modern.get_all(VERSION).iter().collect::<Vec<_>>(), ["2027-01-01"]);
    }

    #[test]
    fn hop_by_hop_headers_stay_on_their_hop() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, x-mine"));
        headers.insert("x-mine", HeaderValue::from_static("1"));
        headers.insert("x-other", HeaderValue::from_static("1"));
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }
}
