//! What a hook is told of a message.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::HookSpec;
use crate::envelope::{Direction, Envelope};
use crate::message::{Id, Kind, Message};

static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// One message as a hook gets it.
#[derive(Debug)]
pub struct HookCall {
    id: u64,
    message: Message,
    rule: String,
    event: String,
    phase: &'static str,
    context: Value,
}

impl HookCall {
    /// What a hook is asked about a message that is about to pass.
    pub fn of(envelope: &Envelope, rule: &str) -> Self {
        let is_reply = envelope.kind().is_reply();
        let context = json!({
            "session": envelope.session.0.to_string(),
            "seq": envelope.seq.0,
            "direction": envelope.direction.word(),
            "from": if envelope.direction == Direction::ToServer { "client" } else { "server" },
            "via": envelope.transport.via.word(),
            "kind": envelope.kind().word(),
            "id": envelope.message.id().map(Id::token),
            "name": envelope.name(),
            "rule": rule,
        });
        Self {
            id: LAST_ID.fetch_add(1, Ordering::Relaxed) + 1,
            message: envelope.message.clone(),
            rule: rule.to_owned(),
            event: envelope.method().unwrap_or("unknown").to_owned(),
            phase: if is_reply { "response" } else { "request" },
            context,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    /// The request, in one line. What the message says stands in it as it is spelled.
    pub(super) fn request(&self, spec: &HookSpec) -> String {
        let text = |value: &str| Value::from(value).to_string();
        let payload = payload(&self.message).unwrap_or("null");
        let config = spec.config.as_ref().map_or_else(String::new, |config| format!(r#""config":{config},"#));
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"interceptor/invoke","params":{{"name":{},"event":{},"phase":"{}",{config}"timeoutMs":{},"payload":{payload},"context":{}}}}}"#,
            self.id,
            text(&self.rule),
            text(&self.event),
            self.phase,
            spec.timeout.as_millis(),
            self.context,
        );
        // White space between tokens; inside a string these two are escaped.
        line.replace(['\n', '\r'], " ")
    }
}

/// What a message is about: its parameters, its result or its error.
pub(super) fn payload(message: &Message) -> Option<&str> {
    message.member(payload_key(message))
}

/// The member that holds it.
pub(super) fn payload_key(message: &Message) -> &'static str {
    match message.kind() {
        Kind::Result => "result",
        Kind::Error => "error",
        _ => "params",
    }
}
