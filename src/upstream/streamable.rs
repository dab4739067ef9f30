//! What a client of Streamable HTTP has to remember of its server (revisions 2025-03-26 to 2025-11-25, transports): the session, and
//! how far a stream was read.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::envelope::SseFields;
use crate::headers::{SESSION, VERSION};
use crate::mcp::meta;
use crate::message::Message;

/// What the answer to `initialize` settled, to be put on every request after it.
#[derive(Clone, Debug, Default)]
pub struct StreamableSession {
    /// `Mcp-Session-Id`, where the server gave one.
    pub id: Option<HeaderValue>,
    /// `MCP-Protocol-Version`: the revision agreed on.
    pub version: Option<HeaderValue>,
}

impl StreamableSession {
    /// Remembers the session id in the headers of the answer to `initialize`; where there is none, the one before stays.
    pub fn note_headers(&mut self, headers: &HeaderMap) {
        if let Some(id) = headers.get(SESSION) {
            self.id = Some(id.clone());
        }
    }

    /// Remembers the revision that the result of `initialize` names.
    pub fn note_result(&mut self, result: &Message) {
        self.version = meta::agreed_version(result).and_then(|version| HeaderValue::from_str(&version).ok());
    }

    /// Puts session id and revision on a request, where it has none: a server may refuse a header that occurs twice.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        let known = [(SESSION, &self.id), (VERSION, &self.version)];
        for (name, value) in known.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))) {
            headers.entry(name).or_insert(value);
        }
    }
}

/// How far an event stream was read, so that it can be resumed (2025-11-25, transports: resumability).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPosition {
    /// Id of the last event that had one: the value of `Last-Event-ID`.
    pub last_event_id: Option<String>,
    /// How long the server wants a client to stay away before it resumes.
    pub retry: Option<Duration>,
}

impl StreamPosition {
    /// Remembers what an event says of resuming; what it does not say stays.
    pub fn note(&mut self, fields: &SseFields) {
        if let Some(id) = &fields.id {
            self.last_event_id = Some(id.clone());
        }
        if let Some(retry) = fields.retry.as_ref().and_then(|retry| retry.parse().ok()) {
            self.retry = Some(Duration::from_millis(retry));
        }
    }

    /// Returns the value of `Last-Event-ID`, where the stream can be resumed.
    pub fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.last_event_id.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streamable_session_adds_what_was_agreed_and_overwrites_nothing() {
        let mut session = StreamableSession::default();
        session.note_headers(&HeaderMap::from_iter([(SESSION, HeaderValue::from_static("s1"))]));
        session.note_headers(&HeaderMap::new());
        session.note_result(&Message::new(r#"{"id":1,"jsonrpc":"2.0","result":{"protocolVersion":"2025-11-25"}}"#));
        let mut headers = HeaderMap::from_iter([(VERSION, HeaderValue::from_static("2025-06-18"))]);
        session.add_to(&mut headers);
        assert_eq!(
            (&headers[SESSION], &headers[VERSION]),
            (&"s1".parse().expect("a value"), &"2025-06-18".parse().expect("a value"))
        );
    }

    #[test]
    fn stream_position_keeps_what_an_event_does_not_say() {
        let mut position = StreamPosition::default();
        let fields = |id: Option<&str>, retry: Option<&str>| SseFields {
            id: id.map(str::to_owned),
            retry: retry.map(str::to_owned),
            ..SseFields::default()
        };
        position.note(&fields(Some("e1"), Some("250")));
        position.note(&fields(None, Some("soon")));
        assert_eq!(
            (position.header(), position.retry),
            (Some(HeaderValue::from_static("e1")), Some(Duration::from_millis(250)))
        );
    }
}
