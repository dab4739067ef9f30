//! What `params`, `result` and their `_meta` say, by the name the protocol has for it. Values are JSON text, as it came.

use serde::de::DeserializeOwned;

use crate::mcp::method;
use crate::message::{Id, Message};

/// The holder of metadata in `params` and in `result`.
pub const META: &str = "_meta";

/// Keys of `_meta` (revision 2026-07-28, basic: per-request metadata).
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `params._meta`: the client's name and version (2026-07-28).
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// `result._meta`: the server's name and version (2026-07-28).
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// `params._meta`: the least severe log messages that the client wants of this request; none without it (2026-07-28).
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// In what belongs to a subscription, the id of the request that opened it.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The value at a path of members, read as what it should be; `None` where it is absent or something else.
pub fn read<T: DeserializeOwned>(message: &Message, path: &[&str]) -> Option<T> {
    serde_json::from_str(message.at(path)?).ok()
}

/// The revision that a request of 2026-07-28 or later says it follows.
pub fn protocol_version(message: &Message) -> Option<String> {
    read(message, &["params", META, PROTOCOL_VERSION])
}

/// The revision that the reply to `initialize` settles on.
pub fn agreed_version(reply: &Message) -> Option<String> {
    read(reply, &["result", "protocolVersion"])
}

/// Whether the reply to `initialize` or `server/discover` says that its server sends log messages.
pub fn declares_logging(reply: &Message) -> bool {
    reply.at(&["result", "capabilities", "logging"]).is_some_and(|it| it.starts_with('{'))
}

/// The token under which a request asks for progress.
pub fn requested_progress(request: &Message) -> Option<Id> {
    request.at(&["params", META, "progressToken"]).map(Id::from_token)
}

/// The token that a `notifications/progress` is about.
pub fn reported_progress(notification: &Message) -> Option<&str> {
    (notification.method() == Some(method::PROGRESS)).then(|| notification.at(&["params", "progressToken"]))?
}

/// The request that a `notifications/cancelled` takes back.
pub fn cancelled_id(message: &Message) -> Option<Id> {
    (message.method() == Some(method::CANCELLED)).then(|| message.at(&["params", "requestId"]))?.map(Id::from_token)
}

/// The subscription that a notification belongs to.
pub fn subscription_id(notification: &Message) -> Option<Id> {
    notification.at(&["params", META, SUBSCRIPTION_ID]).map(Id::from_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_values_are_found_at_their_place_only() {
        let meta = r#""_meta":{"progressToken":"a\u0062","io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let request = Message::new(format!(r#"{{"id":1,"method":"tools/call","params":{{{meta}}}}}"#));
        assert_eq!(requested_progress(&request), Some(Id::from_token("\"ab\"")));
        assert_eq!(protocol_version(&request).as_deref(), Some("2026-07-28"));
        assert_eq!(reported_progress(&request), None);
        let escaped = Message::new(r#"{"id":1,"method":"x","params":{"\u005fmeta":{"progressToken":7}}}"#);
        assert_eq!(requested_progress(&escaped), Some(Id::from_token("7")));
        let progress = Message::new(r#"{"method":"notifications/progress","params":{"progressToken":7,"progress":1}}"#);
        assert_eq!(reported_progress(&progress), Some("7"));
        let cancelled = Message::new(r#"{"method":"notifications/cancelled","params":{"requestId":"x"}}"#);
        assert_eq!(cancelled_id(&cancelled), Some(Id::from_token("\"x\"")));
        assert_eq!(cancelled_id(&progress), None);
        for garbage in ["", "[]", "{", r#"{"method":"notifications/cancelled","params":[1]}"#] {
            assert_eq!(cancelled_id(&Message::new(garbage)), None, "{garbage}");
        }
    }
}
