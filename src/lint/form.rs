//! The form of a message, whatever it says: JSON-RPC 2.0, and what its carrier asks for.

use super::catalogue::{BATCH, HTTP_STATUS, JSON_RPC_FORM, NOT_JSON_RPC, STDOUT_NOISE};
use super::found::{FindingSink, JudgedMessage, quoted};
use crate::envelope::{Direction, Via};
use crate::message::Kind;

/// The members that JSON-RPC has.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
/// The one revision with batches.
const WITH_BATCHES: &str = "2025-03-26";

/// Looks at what is no message at all.
pub(super) fn check_opaque(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    if !is_meant_as_message(judged) {
        return;
    }
    let flaw = judged.message.head().flaw.as_deref().unwrap_or("not JSON-RPC");
    let text = format!("{flaw}: {}", quoted(&String::from_utf8_lossy(judged.message.raw())));
    let is_stdout = judged.is_stdio() && judged.direction() == Direction::ToClient;
    out.report(if is_stdout { &STDOUT_NOISE } else { &NOT_JSON_RPC }, judged, text);
}

/// An HTTP body that is no JSON, or comes with a status of its own, is an answer of the transport.
fn is_meant_as_message(judged: &JudgedMessage<'_>) -> bool {
    let transport = &judged.envelope.transport;
    match transport.via {
        Via::Stdio => true,
        Via::Sse => {
            let event = transport.sse.as_ref().and_then(|sse| sse.event.as_deref());
            event.is_none_or(|event| event == "message") && !judged.message.raw().is_empty()
        }
        Via::Http if judged.direction() == Direction::ToServer => true,
        Via::Http => {
            let kind = judged.header(&http::header::CONTENT_TYPE).unwrap_or_default();
            transport.status == Some(200) && memchr::memmem::find(kind, b"json").is_some()
        }
    }
}

/// Looks at the status that a server's message came with. A 401 or 403 asks for a token, 405 and 400 are how clients find out
/// what a server speaks.
pub(super) fn check_status(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let status = judged.envelope.transport.status.unwrap_or_default();
    if judged.direction() == Direction::ToServer || !(matches!(status, 404 | 429) || (500..600).contains(&status)) {
        return;
    }
    let text = match judged.message.kind() {
        Kind::Error => format!("a JSON-RPC error came with status {status}"),
        _ => format!("status {status}: {}", quoted(&String::from_utf8_lossy(judged.message.raw()))),
    };
    out.report(&HTTP_STATUS, judged, text);
}

/// Looks at an array of messages.
pub(super) fn check_batch(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    if &*judged.revision != WITH_BATCHES {
        out.report(&BATCH, judged, format!("revision {} has no batches", judged.revision));
    }
}

/// Looks at a message that can be read.
pub(super) fn check_form(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let message = judged.message;
    if let Some(flaw) = &message.head().flaw {
        out.report(&JSON_RPC_FORM, judged, flaw.to_string());
    }
    if judged.at(&["jsonrpc"]) != Some("\"2.0\"") {
        out.report(&JSON_RPC_FORM, judged, "`jsonrpc` is not \"2.0\"".to_owned());
    }
    match message.kind() {
        Kind::Error if judged.at(&["result"]).is_some() => {
            out.report(&JSON_RPC_FORM, judged, "`result` beside `error`".to_owned());
        }
        Kind::Notification if judged.at(&["id"]).is_some() => {
            out.report(&JSON_RPC_FORM, judged, "a notification with an id of null".to_owned());
        }
        _ => {}
    }
    if let Some((extra, _)) = judged.members().iter().find(|(key, _)| !MEMBERS.contains(&&**key)) {
        out.report(&JSON_RPC_FORM, judged, format!("the member {} beside those of JSON-RPC", quoted(extra)));
    }
}
