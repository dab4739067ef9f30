//! Which messages of a client the shadow is sent: those that leave the world as it is, unless writes are allowed.

use std::collections::HashSet;

use serde::Deserialize;

use super::options::WritePolicy;
use crate::mcp::method;
use crate::message::Message;

/// Requests that read, or that set what only their own session sees.
const HARMLESS: [&str; 13] = [
    method::INITIALIZE,
    method::PING,
    method::DISCOVER,
    method::TOOLS_LIST,
    method::RESOURCES_LIST,
    method::RESOURCE_TEMPLATES_LIST,
    method::RESOURCES_READ,
    method::RESOURCES_SUBSCRIBE,
    method::RESOURCES_UNSUBSCRIBE,
    method::PROMPTS_LIST,
    method::PROMPTS_GET,
    method::COMPLETION_COMPLETE,
    method::LOGGING_SET_LEVEL,
];

/// Notifications without which a server would see another client. Progress is not among them: its token is the primary's.
const NEWS: [&str; 3] = [method::INITIALIZED, method::ROOTS_LIST_CHANGED, method::TASKS_STATUS];

/// What one session may do at the shadow.
pub(super) struct Policy {
    writes: WritePolicy,
    /// Tools that the primary has marked as such in this session.
    read_only: HashSet<String>,
}

impl Policy {
    pub(super) fn new(writes: WritePolicy) -> Self {
        Self { writes, read_only: HashSet::new() }
    }

    /// # Errors
    /// Why the shadow is not sent this request.
    pub(super) fn admit(&self, request: &Message) -> Result<(), String> {
        let method = request.method().unwrap_or_default();
        match (method, self.writes) {
            // It has no reply while it is open, and would hold a stream open that is not read.
            (method::SUBSCRIPTIONS_LISTEN, _) => Err("a subscription has no reply to compare".to_owned()),
            (_, WritePolicy::Sent) => Ok(()),
            (method::TOOLS_CALL, WritePolicy::Kept) => {
                let tool = request.name().unwrap_or_default();
                let known = self.read_only.contains(tool);
                known
                    .then_some(())
                    .ok_or_else(|| format!("`{tool}` is not marked read-only; `--shadow-writes` sends it"))
            }
            (method, WritePolicy::Kept) if HARMLESS.contains(&method) || method.starts_with(method::TASKS) => Ok(()),
            (method, WritePolicy::Kept) => {
                Err(format!("it is not known whether `{method}` only reads; `--shadow-writes` sends it"))
            }
        }
    }

    pub(super) fn admits_news(&self, notification: &Message) -> bool {
        let method = notification.method().unwrap_or_default();
        match self.writes {
            WritePolicy::Kept => NEWS.contains(&method),
            WritePolicy::Sent => method != method::PROGRESS,
        }
    }

    /// Learns from a list of tools, also from a page of one. What a list says last of a tool counts.
    pub(super) fn learn(&mut self, listed: &Message) {
        let tools = listed.member("result").and_then(|result| serde_json::from_str::<ListedTools>(result).ok());
        for tool in tools.unwrap_or_default().tools {
            // Absent means that it writes (2025-03-26 on, tool annotations).
            if tool.annotations.unwrap_or_default().read_only == Some(true) {
                self.read_only.insert(tool.name);
            } else {
                self.read_only.remove(&tool.name);
            }
        }
    }
}

#[derive(Default, Deserialize)]
struct ListedTools {
    tools: Vec<ListedTool>,
}

#[derive(Deserialize)]
struct ListedTool {
    name: String,
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "readOnlyHint")]
    read_only: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, name: &str) -> Message {
        Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"{name}"}}}}"#))
    }

    fn list(tools: &str) -> Message {
        Message::new(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tools}]}}}}"#))
    }

    #[test]
    fn policy_admits_what_only_reads() {
        let (kept, sent) = (Policy::new(WritePolicy::Kept), Policy::new(WritePolicy::Sent));
        for (method, reads) in [
            ("initialize", true),
            ("tasks/get", true),
            ("resources/subscribe", true),
            ("logging/setLevel", true),
            ("tools/call", false),
            ("acme/deploy", false),
            ("tools/callx", false),
        ] {
            let request = request(method, "rm");
            assert_eq!((kept.admit(&request).is_ok(), sent.admit(&request).is_ok()), (reads, true), "{method}");
        }
        assert!(sent.admit(&request("subscriptions/listen", "")).is_err());
        let news = |method: &str| Message::new(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#));
        assert!(kept.admits_news(&news("notifications/initialized")) && !kept.admits_news(&news("acme/fire")));
        assert!(sent.admits_news(&news("acme/fire")) && !sent.admits_news(&news("notifications/progress")));
    }

    #[test]
    fn policy_learns_read_only_tools_from_the_latest_list() {
        let mut policy = Policy::new(WritePolicy::Kept);
        let reads = |policy: &Policy, tool: &str| policy.admit(&request("tools/call", tool)).is_ok();
        policy.learn(&list(
            r#"{"name":"a","annotations":{"readOnlyHint":true}},{"name":"b","annotations":{}},{"name":"c"}"#,
        ));
        policy.learn(&list(r#"{"name":"d","annotations":{"readOnlyHint":true,"destructiveHint":true}}"#));
        assert_eq!(["a", "b", "c", "d", ""].map(|tool| reads(&policy, tool)), [true, false, false, true, false]);
        policy.learn(&list(r#"{"name":"a","annotations":{"readOnlyHint":false}}"#));
        for no_list in [r#"{"result":{"tools":7}}"#, r#"{"error":{}}"#, "[]", "\u{0}"] {
            policy.learn(&Message::new(no_list.to_owned()));
        }
        assert!(!reads(&policy, "a") && reads(&policy, "d"));
    }
}
