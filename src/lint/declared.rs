//! Capabilities: what each side declared, and what was used of it.

use serde_json::Value;

use super::calls::UnansweredCall;
use super::catalogue::{
    CAPABILITY_OWN_UNDECLARED, CAPABILITY_REFUSED, CAPABILITY_UNDECLARED, LIST_CHANGED_UNDECLARED, LintRule,
};
use super::found::{FindingSink, JudgedMessage, quoted};
use crate::envelope::Direction;
use crate::mcp::error_code::protocol::METHOD_NOT_FOUND;
use crate::mcp::meta::{CLIENT_CAPABILITIES, META, read};
use crate::mcp::method::{
    COMPLETION_COMPLETE, ELICITATION_CREATE, LOG_MESSAGE, LOGGING_SET_LEVEL, PROMPTS_GET, PROMPTS_LIST,
    PROMPTS_LIST_CHANGED, RESOURCE_TEMPLATES_LIST, RESOURCES_LIST, RESOURCES_LIST_CHANGED, RESOURCES_READ,
    RESOURCES_SUBSCRIBE, RESOURCES_UNSUBSCRIBE, RESOURCES_UPDATED, ROOTS_LIST, ROOTS_LIST_CHANGED,
    SAMPLING_CREATE_MESSAGE, TOOLS_CALL, TOOLS_LIST, TOOLS_LIST_CHANGED,
};
use crate::message::Message;

/// What a method needs its receiver to have declared: members of `capabilities`, the outermost first.
fn needed_of_receiver(method: &str, revision: &str) -> Option<&'static [&'static str]> {
    Some(match method {
        TOOLS_LIST | TOOLS_CALL => &["tools"],
        PROMPTS_LIST | PROMPTS_GET => &["prompts"],
        RESOURCES_LIST | RESOURCE_TEMPLATES_LIST | RESOURCES_READ => &["resources"],
        RESOURCES_SUBSCRIBE | RESOURCES_UNSUBSCRIBE => &["resources", "subscribe"],
        // Revision 2024-11-05 has completion, and no capability for it.
        COMPLETION_COMPLETE if revision > "2024-11-05" => &["completions"],
        LOGGING_SET_LEVEL => &["logging"],
        ROOTS_LIST => &["roots"],
        SAMPLING_CREATE_MESSAGE => &["sampling"],
        ELICITATION_CREATE => &["elicitation"],
        _ => return None,
    })
}

/// What a notification needs its sender to have declared.
fn needed_of_sender(method: &str) -> Option<(&'static LintRule, &'static [&'static str])> {
    Some(match method {
        LOG_MESSAGE => (&CAPABILITY_OWN_UNDECLARED, &["logging"]),
        RESOURCES_UPDATED => (&CAPABILITY_OWN_UNDECLARED, &["resources", "subscribe"]),
        TOOLS_LIST_CHANGED => (&LIST_CHANGED_UNDECLARED, &["tools", "listChanged"]),
        PROMPTS_LIST_CHANGED => (&LIST_CHANGED_UNDECLARED, &["prompts", "listChanged"]),
        RESOURCES_LIST_CHANGED => (&LIST_CHANGED_UNDECLARED, &["resources", "listChanged"]),
        ROOTS_LIST_CHANGED => (&LIST_CHANGED_UNDECLARED, &["roots", "listChanged"]),
        _ => return None,
    })
}

/// What both sides declared; `None` of a side that has not spoken yet.
#[derive(Debug, Default)]
pub(super) struct DeclaredCapabilities {
    client: Option<Value>,
    server: Option<Value>,
}

impl DeclaredCapabilities {
    /// A request that may declare what its client has: `initialize`, or one of 2026-07-28 or later.
    pub(super) fn learn_client(&mut self, message: &Message) {
        let declared = read(message, &["params", META, CLIENT_CAPABILITIES])
            .or_else(|| read(message, &["params", "capabilities"]));
        self.client = declared.filter(Value::is_object).or(self.client.take());
    }

    /// The result of `initialize` or `server/discover`.
    pub(super) fn learn_server(&mut self, message: &Message) {
        self.server = read(message, &["result", "capabilities"]).filter(Value::is_object).or(self.server.take());
    }

    /// What the receiver of a message that goes this way declared.
    fn of_receiver(&self, direction: Direction) -> Option<&Value> {
        match direction {
            Direction::ToServer => self.server.as_ref(),
            Direction::ToClient => self.client.as_ref(),
        }
    }

    /// Whether a method is one that its receiver has not declared; `None` where that is not known.
    pub(super) fn lacks(&self, direction: Direction, method: &str, revision: &str) -> Option<bool> {
        let path = needed_of_receiver(method, revision)?;
        Some(!has(self.of_receiver(direction)?, path))
    }

    /// Looks at a request or notification.
    pub(super) fn check(&self, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let Some(method) = judged.message.method() else { return };
        let direction = judged.direction();
        if let Some(path) = needed_of_receiver(method, &judged.revision)
            && self.lacks(direction, method, &judged.revision) == Some(true)
        {
            let side = if direction == Direction::ToServer { "server" } else { "client" };
            let text = format!("{} needs `{}`, which the {side} has not declared", quoted(method), path.join("."));
            out.report(&CAPABILITY_UNDECLARED, judged, text);
        }
        if let Some((rule, path)) = needed_of_sender(method)
            && self.of_receiver(direction.reverse()).is_some_and(|declared| !has(declared, path))
        {
            let text = format!("{} needs `{}` among its sender's capabilities", quoted(method), path.join("."));
            out.report(rule, judged, text);
        }
    }

    /// Looks at an error reply: what was declared is there.
    pub(super) fn check_refusal(&self, call: &UnansweredCall, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        let code = judged.at(&["error", "code"]).and_then(|code| code.parse::<i64>().ok());
        // Resources without templates are resources all the same.
        if code != Some(METHOD_NOT_FOUND) || &*call.method == RESOURCE_TEMPLATES_LIST {
            return;
        }
        if self.lacks(judged.direction().reverse(), &call.method, &call.revision) == Some(false) {
            let path = needed_of_receiver(&call.method, &call.revision).unwrap_or_default();
            let text = format!("{} was refused as unknown, and `{}` is declared", quoted(&call.method), path.join("."));
            out.report(&CAPABILITY_REFUSED, judged, text);
        }
    }
}

fn has(declared: &Value, path: &[&str]) -> bool {
    let found = path.iter().try_fold(declared, |value, member| value.get(member));
    found.is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)))
}
