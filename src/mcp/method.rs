//! The methods that tapline knows by name, and what it knows of them.

use crate::message::{Kind, Message};

pub const INITIALIZE: &str = "initialize";
pub const INITIALIZED: &str = "notifications/initialized";
pub const DISCOVER: &str = "server/discover";
pub const PING: &str = "ping";
pub const CANCELLED: &str = "notifications/cancelled";
pub const PROGRESS: &str = "notifications/progress";
pub const TOOLS_CALL: &str = "tools/call";
pub const TOOLS_LIST: &str = "tools/list";
pub const PROMPTS_LIST: &str = "prompts/list";
pub const PROMPTS_GET: &str = "prompts/get";
pub const RESOURCES_LIST: &str = "resources/list";
pub const RESOURCE_TEMPLATES_LIST: &str = "resources/templates/list";
pub const RESOURCES_READ: &str = "resources/read";
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
pub const RESOURCES_UPDATED: &str = "notifications/resources/updated";
pub const SUBSCRIPTIONS_LISTEN: &str = "subscriptions/listen";
pub const SUBSCRIPTIONS_ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
pub const ROOTS_LIST_CHANGED: &str = "notifications/roots/list_changed";
pub const COMPLETION_COMPLETE: &str = "completion/complete";
pub const LOGGING_SET_LEVEL: &str = "logging/setLevel";
/// A line of the server's log.
pub const LOG_MESSAGE: &str = "notifications/message";
pub const TASKS_GET: &str = "tasks/get";
pub const TASKS_RESULT: &str = "tasks/result";
pub const TASKS_UPDATE: &str = "tasks/update";
pub const TASKS_STATUS: &str = "notifications/tasks/status";
pub const TASKS_CANCEL: &str = "tasks/cancel";
/// What the names of all methods begin with that are about a task.
pub const TASKS: &str = "tasks/";

/// Whether a server may get a message twice without doing anything twice: a `ping`, a discovery or a list. Never
/// `tools/call`, whatever its annotations say, nor `initialize`, whose first session would be left behind.
pub fn is_repeatable(message: &Message) -> bool {
    let method = message.method().filter(|_| message.kind() == Kind::Request);
    method.is_some_and(|method| matches!(method, PING | DISCOVER) || method.ends_with("/list"))
}

/// Whether a message only opens an ear (revision 2026-07-28, subscriptions): its response ends with the subscription.
pub fn is_subscription(message: &Message) -> bool {
    message.method() == Some(SUBSCRIPTIONS_LISTEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_repeatable_only_where_nothing_happens_twice() {
        let request = |method: &str| Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#));
        for method in [PING, DISCOVER, TOOLS_LIST, "resources/templates/list", "tasks/list"] {
            assert!(is_repeatable(&request(method)), "{method}");
        }
        for method in [INITIALIZE, TOOLS_CALL, "resources/read", SUBSCRIPTIONS_LISTEN, "completion/complete"] {
            assert!(!is_repeatable(&request(method)), "{method}");
        }
        assert!(!is_repeatable(&Message::new(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#)), "a batch");
        assert!(!is_repeatable(&Message::new(r#"{"jsonrpc":"2.0","method":"tools/list"}"#)), "a notification");
    }
}
