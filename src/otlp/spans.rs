//! From events to spans: a request is remembered until its reply, and is a span then.

use std::collections::{BTreeMap, HashMap};

use memchr::memmem;
use serde::Deserialize;
use uuid::Uuid;

use super::wire::{Attribute, OtlpSpan, SERVER, Status};
use crate::envelope::{Author, Envelope, Outcome, Seq, SessionId, Via};
use crate::event::{Event, Timestamp};
use crate::mcp::method;
use crate::message::{Kind, Message};

/// Requests without a reply that are remembered.
const MOST_OPEN: usize = 10_000;
/// OpenTelemetry's words for what a method with few names is about (semantic conventions, MCP).
const NAMED: [(&str, &str); 2] = [(method::TOOLS_CALL, "mcp.tool"), (method::PROMPTS_GET, "mcp.prompt")];

#[derive(Default)]
pub(super) struct Spans {
    started: HashMap<SessionId, Timestamp>,
    open: BTreeMap<Seq, OpenSpan>,
    forgotten: u64,
}

/// A request that waits for its reply.
struct OpenSpan {
    session: SessionId,
    span: OtlpSpan,
    last: Timestamp,
}

impl Spans {
    /// The spans that end with this event.
    pub(super) fn on_event(&mut self, event: &Event) -> Vec<OtlpSpan> {
        match event {
            Event::SessionOpened(session) => {
                self.started.insert(session.id, session.started);
            }
            Event::SessionClosed { session, .. } => {
                self.started.remove(session);
                let (ended, open) =
                    std::mem::take(&mut self.open).into_iter().partition(|(_, it)| it.session == *session);
                self.open = open;
                return unanswered(ended);
            }
            Event::Passed(envelope) => return self.passed(envelope).into_iter().collect(),
            _ => {}
        }
        Vec::new()
    }

    /// Those that nothing will end any more.
    pub(super) fn rest(&mut self) -> Vec<OtlpSpan> {
        unanswered(std::mem::take(&mut self.open))
    }

    /// How many requests were given up since the last call, because there were too many.
    pub(super) fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    fn passed(&mut self, envelope: &Envelope) -> Option<OtlpSpan> {
        let at = self.started.get(&envelope.session)?.plus_micros(envelope.at);
        if envelope.kind() == Kind::Request {
            let open = OpenSpan { session: envelope.session, span: begun(envelope, at), last: at };
            self.open.insert(envelope.seq, open);
            if self.open.len() > MOST_OPEN {
                self.open.pop_first();
                self.forgotten += 1;
            }
        }
        let request = self.open.remove(&envelope.reply_to.as_ref()?.seq)?;
        Some(ended(request.span, envelope, at))
    }
}

fn unanswered(open: BTreeMap<Seq, OpenSpan>) -> Vec<OtlpSpan> {
    let end = |OpenSpan { mut span, last, .. }| {
        span.end_time_unix_nano = nanos(Timestamp::now().max(last));
        span.attributes.push(Attribute::text("error.type", "unanswered"));
        span.status = Status { code: 2, message: "no reply".to_owned() };
        span
    };
    open.into_values().map(end).collect()
}

fn begun(envelope: &Envelope, at: Timestamp) -> OtlpSpan {
    let (message, method) = (&envelope.message, envelope.method().unwrap_or_default());
    let named = NAMED.iter().find(|(known, _)| *known == method).and_then(|(_, key)| Some((*key, envelope.name()?)));
    let context = context(message);
    let mut attributes = vec![
        Attribute::text("rpc.system", "jsonrpc"),
        Attribute::text("rpc.method", method),
        Attribute::text("mcp.session", envelope.session.short()),
        Attribute::text("network.transport", if envelope.transport.via == Via::Stdio { "pipe" } else { "tcp" }),
        Attribute::text("tapline.direction", envelope.direction.word()),
        Attribute::number("tapline.seq", number(envelope.seq.0)),
    ];
    attributes.extend(message.id().map(|id| Attribute::text("jsonrpc.request.id", id.display())));
    attributes.extend(named.map(|(key, name)| Attribute::text(key, name)));
    attributes.extend(envelope.held.map(|micros| Attribute::number("tapline.held_us", number(micros))));
    let (trace_id, parent_span_id, trace_state) = match context {
        Some(TraceContext { trace, parent, state }) => (trace, Some(parent), state),
        None => (Uuid::new_v4().simple().to_string(), None, None),
    };
    OtlpSpan {
        trace_id,
        span_id: span_id(),
        parent_span_id,
        trace_state,
        name: named.map_or_else(|| method.to_owned(), |(_, name)| format!("{method} {name}")),
        kind: SERVER,
        start_time_unix_nano: nanos(at),
        end_time_unix_nano: 0,
        attributes,
        status: Status::default(),
    }
}

fn ended(mut span: OtlpSpan, reply: &Envelope, at: Timestamp) -> OtlpSpan {
    span.end_time_unix_nano = nanos(at).max(span.start_time_unix_nano);
    if let Some((kind, message)) = failure(reply) {
        span.attributes.push(Attribute::text("error.type", kind));
        span.status = Status { code: 2, message };
    }
    span
}

/// What went wrong: in a word for machines, and as it was said.
fn failure(reply: &Envelope) -> Option<(String, String)> {
    #[derive(Default, Deserialize)]
    struct Error {
        code: i64,
        message: String,
    }
    let message = &reply.message;
    match message.kind() {
        Kind::Error => {
            let error = message.member("error").and_then(|error| serde_json::from_str(error).ok());
            let Error { code, message } = error.unwrap_or_default();
            let kind = match reply.outcome {
                Outcome::Injected(Author::Tapline) => "upstream".to_owned(),
                _ => code.to_string(),
            };
            Some((kind, message))
        }
        _ if message.is_failed_result() => Some(("tool_error".to_owned(), "the tool says that it failed".to_owned())),
        _ => None,
    }
}

/// The span that a request of the client is part of.
struct TraceContext {
    trace: String,
    parent: String,
    state: Option<String>,
}

/// Reads W3C Trace Context from `_meta` of the params (revision 2026-07-28, trace context).
fn context(request: &Message) -> Option<TraceContext> {
    #[derive(Deserialize)]
    struct Params {
        _meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        traceparent: String,
        tracestate: Option<serde_json::Value>,
    }
    memmem::find(request.raw(), b"\"traceparent\"")?;
    let Params { _meta: meta } = serde_json::from_str(request.member("params")?).ok()?;
    let (trace, parent) = traceparent(&meta.traceparent)?;
    let state = meta.tracestate.as_ref().and_then(serde_json::Value::as_str).map(str::to_owned);
    Some(TraceContext { trace, parent, state })
}

/// Trace and parent of `00-<32 hex>-<16 hex>-<2 hex>`; later versions may say more after that (Trace Context §3.2).
fn traceparent(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('-');
    let mut hex = |length: usize| {
        let part = parts.next()?;
        let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (part.len() == length && is_hex).then_some(part)
    };
    let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_something = |id: &str| id.bytes().any(|byte| byte != b'0');
    let fits = version != "ff" && (version != "00" || parts.next().is_none());
    (fits && is_something(trace) && is_something(parent)).then(|| (trace.to_owned(), parent.to_owned()))
}

/// Never zero: a random UUID has bits that are always set.
fn span_id() -> String {
    Uuid::new_v4().simple().to_string()[16..].to_owned()
}

fn nanos(at: Timestamp) -> u64 {
    at.0.saturating_mul(1000)
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn traceparent_follows_the_standard() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00f067aa0ba902b7";
        for (text, read) in [
            (format!("00-{trace}-{parent}-01"), true),
            (format!("00-{trace}-{parent}-00"), true),
            (format!("cc-{trace}-{parent}-01-what-comes-later"), true),
            (format!("00-{trace}-{parent}-01-more"), false),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{parent}"), false),
            (format!("00-{trace}-{parent}-1"), false),
            (String::new(), false),
        ] {
            let expected = read.then(|| (trace.to_owned(), parent.to_owned()));
            assert_eq!(traceparent(&text), expected, "{text}");
        }
    }

    #[test]
    fn span_id_is_hex_and_not_zero() {
        for _ in 0..100 {
            let id = span_id();
            assert!(id.len() == 16 && id.bytes().any(|byte| byte != b'0'), "{id}");
            assert!(u64::from_str_radix(&id, 16).is_ok());
        }
    }

    proptest! {
        #[test]
        fn traceparent_never_panics(text in any::<String>(), cut in 0_usize..60) {
            traceparent(&text);
            let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            prop_assert_eq!(traceparent(&good[..cut.min(good.len())]).is_some(), cut >= good.len());
        }
    }
}
