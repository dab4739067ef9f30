//! What a message may be done with, by its method.

use crate::mcp::method::{DISCOVER, PING, SUBSCRIPTIONS_LISTEN};
use crate::message::{Kind, Message};

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
    use crate::mcp::method::{INITIALIZE, TOOLS_CALL, TOOLS_LIST};

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
