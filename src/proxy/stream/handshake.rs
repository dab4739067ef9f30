//! What a server must be told again for another process of it to take over a session.
//!
//! Learnt from what passes, as the server had it: the handshake, the subscriptions that stand, the log level. A plain value, so that it
//! can be kept where tapline itself ends.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mcp::method::NOTIFICATIONS;
use crate::mcp::{meta, method};
use crate::message::{Id, Kind, Message};

/// What one legacy session has agreed on with its server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HandshakeState {
    /// `initialize`, as it was sent; set once it is answered.
    initialize: Option<Message>,
    /// What its result said.
    agreed: AgreedTerms,
    /// Whether the client sent `notifications/initialized` after the handshake.
    initialized: bool,
    /// `resources/subscribe` of each URI that is subscribed to.
    subscriptions: Vec<Message>,
    /// The client's latest `logging/setLevel`, as it was sent.
    log_level: Option<Message>,
}

/// What a server promised in its result of `initialize`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct AgreedTerms {
    protocol: String,
    capabilities: Value,
}

/// The lists that a server may tell to have changed.
const LISTS: [&str; 3] = ["tools", "prompts", "resources"];

impl HandshakeState {
    /// Whether there is a handshake to go through again.
    pub fn has_handshake(&self) -> bool {
        self.initialize.is_some()
    }

    /// Whether the answer to a request would be remembered.
    pub(in crate::proxy) fn is_relevant(request: &Message) -> bool {
        let methods =
            [method::INITIALIZE, method::RESOURCES_SUBSCRIBE, method::RESOURCES_UNSUBSCRIBE, method::LOGGING_SET_LEVEL];
        request.method().is_some_and(|method| methods.contains(&method))
    }

    /// Learns from the reply to a request.
    pub(in crate::proxy) fn on_reply(&mut self, request: &Message, reply: &Message) {
        if reply.kind() != Kind::Result {
            return;
        }
        match request.method() {
            Some(method::INITIALIZE) => {
                // A client may begin once more on the stream it has.
                *self = Self { initialize: Some(request.clone()), agreed: AgreedTerms::read(reply), ..Self::default() };
            }
            Some(method::RESOURCES_SUBSCRIBE) => {
                self.unsubscribe(request);
                self.subscriptions.push(request.clone());
            }
            Some(method::RESOURCES_UNSUBSCRIBE) => self.unsubscribe(request),
            Some(method::LOGGING_SET_LEVEL) => self.log_level = Some(request.clone()),
            _ => {}
        }
    }

    /// Learns that the server was sent `notifications/initialized`.
    pub(in crate::proxy) fn on_initialized(&mut self) {
        self.initialized = true;
    }

    fn unsubscribe(&mut self, request: &Message) {
        self.subscriptions.retain(|subscription| subscription.name() != request.name());
    }

    /// Returns `initialize` once more, under an id that no client has; `None` where there was no handshake.
    pub(in crate::proxy) fn initialize(&self) -> Option<Message> {
        self.initialize.as_ref()?.with_id(&Id::random())
    }

    /// Returns what follows `initialize`, in order.
    pub(in crate::proxy) fn after_initialize(&self) -> Vec<Message> {
        let initialized = self.initialized.then(initialized);
        let again = self.log_level.iter().chain(&self.subscriptions).filter_map(|it| it.with_id(&Id::random()));
        initialized.into_iter().chain(again).collect()
    }

    /// Returns what another process must be told that has come as far as `reached` by another way.
    pub(in crate::proxy) fn beyond(&self, reached: &Self) -> Vec<Message> {
        let level = |it: &Self| it.log_level.as_ref().and_then(|asked| asked.member("params").map(str::to_owned));
        let log_level = self.log_level.iter().filter(|_| level(self) != level(reached));
        let has = |it: &Self, name: Option<&str>| it.subscriptions.iter().any(|asked| asked.name() == name);
        let subscribe = self.subscriptions.iter().filter(|asked| !has(reached, asked.name()));
        let again = log_level.chain(subscribe).filter_map(|it| it.with_id(&Id::random()));
        let ended = reached.subscriptions.iter().filter(|asked| !has(self, asked.name()));
        let unsubscribe = json!(method::RESOURCES_UNSUBSCRIBE).to_string();
        let ended = ended.filter_map(|it| it.with_id(&Id::random())?.with_value(&["method"], &unsubscribe));
        again.chain(ended).collect()
    }

    /// Compares what another process of the server promises with what was agreed. Returns the notifications that let the client look
    /// again: of the lists for which both the server it knows and this one said that they would tell of changes.
    ///
    /// # Errors
    /// Where the server does not go on with what was agreed: in words.
    pub(in crate::proxy) fn compare(&self, reply: &Message) -> Result<Vec<Message>, String> {
        if reply.kind() != Kind::Result {
            let why = reply.member("error").unwrap_or_default();
            return Err(format!("it refused `initialize`: {why}"));
        }
        let new = AgreedTerms::read(reply);
        if new.protocol != self.agreed.protocol {
            let (new, old) = (new.protocol, &self.agreed.protocol);
            return Err(format!("it answers in revision `{new}`, and the client has agreed on `{old}`"));
        }
        let told = LISTS.iter().filter(|list| self.agreed.tells(list) && new.tells(list));
        let told = told.map(|list| json!({"jsonrpc": "2.0", "method": format!("{NOTIFICATIONS}{list}/list_changed")}));
        Ok(told.map(|it| Message::new(it.to_string())).collect())
    }

    /// Says what was sent again, for a person: the rest of a sentence.
    pub(in crate::proxy) fn summary(&self) -> String {
        if !self.has_handshake() {
            return String::new();
        }
        let subscriptions = match self.subscriptions.len() {
            0 => String::new(),
            1 => ", 1 subscription".to_owned(),
            many => format!(", {many} subscriptions"),
        };
        let log_level = if self.log_level.is_some() { ", log level" } else { "" };
        format!(": `initialize`{subscriptions}{log_level} sent again")
    }
}

impl AgreedTerms {
    fn read(reply: &Message) -> Self {
        let capabilities = meta::read(reply, &["result", "capabilities"]).unwrap_or_default();
        Self { protocol: meta::agreed_version(reply).unwrap_or_default(), capabilities }
    }

    fn tells(&self, list: &str) -> bool {
        self.capabilities[list]["listChanged"] == true
    }
}

/// Says that the client has completed the handshake.
fn initialized() -> Message {
    let method = method::INITIALIZED;
    Message::new(format!(r#"{{"jsonrpc":"2.0","method":"{method}"}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::new(text.to_owned())
    }

    fn result(capabilities: &str) -> Message {
        message(&format!(
            r#"{{"id":0,"result":{{"protocolVersion":"2025-11-25","capabilities":{{{capabilities}}},"serverInfo":{{}}}}}}"#
        ))
    }

    fn after(requests: &[(&str, &str)]) -> HandshakeState {
        let mut handshake = HandshakeState::default();
        let initialize = message(r#"{"id":0,"method":"initialize","params":{"n":1.10}}"#);
        let lists = r#""tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{}"#;
        handshake.on_reply(&initialize, &result(lists));
        handshake.on_initialized();
        for (request, reply) in requests {
            handshake.on_reply(&message(request), &message(reply));
        }
        handshake
    }

    fn words(messages: &[Message]) -> Vec<String> {
        let word = |it: &Message| format!("{} {}", it.method().unwrap_or_default(), it.name().unwrap_or_default());
        messages.iter().map(|it| word(it).trim().to_owned()).collect()
    }

    #[test]
    fn handshake_state_repeats_what_stands_and_nothing_else() {
        let ok = r#"{"id":1,"result":{}}"#;
        let handshake = after(&[
            (r#"{"id":1,"method":"resources/subscribe","params":{"uri":"a"}}"#, ok),
            (r#"{"id":2,"method":"resources/subscribe","params":{"uri":"b"}}"#, ok),
            (r#"{"id":3,"method":"resources/subscribe","params":{"uri":"a"}}"#, ok),
            (r#"{"id":4,"method":"resources/unsubscribe","params":{"uri":"b"}}"#, ok),
            (r#"{"id":5,"method":"resources/subscribe","params":{"uri":"c"}}"#, r#"{"id":5,"error":{"code":1}}"#),
            (r#"{"id":6,"method":"logging/setLevel","params":{"level":"info"}}"#, ok),
            (r#"{"id":7,"method":"logging/setLevel","params":{"level":"debug"}}"#, ok),
            (r#"{"id":8,"method":"tools/call","params":{"name":"x"}}"#, ok),
        ]);
        let greeting = handshake.initialize().expect("there was a handshake");
        assert_eq!(greeting.member("params"), Some(r#"{"n":1.10}"#));
        assert!(greeting.id().is_some_and(|id| id.token().starts_with("\"tapline-")));
        let rest = handshake.after_initialize();
        assert_eq!(words(&rest), ["notifications/initialized", "logging/setLevel", "resources/subscribe a"]);
        assert!(rest[1].member("params").is_some_and(|params| params.contains("debug")));
        assert_eq!(handshake.summary(), ": `initialize`, 1 subscription, log level sent again");
    }

    #[test]
    fn beyond_a_process_that_was_told_less_stands_what_the_client_agreed_on_later() {
        let ok = r#"{"id":1,"result":{}}"#;
        let level = (r#"{"id":6,"method":"logging/setLevel","params":{"level":"info"}}"#, ok);
        let subscribe = |uri: &str| format!(r#"{{"id":1,"method":"resources/subscribe","params":{{"uri":"{uri}"}}}}"#);
        let (a, b) = (subscribe("a"), subscribe("b"));
        let client = after(&[level, (&b, ok)]);
        let beyond = client.beyond(&after(&[(&a, ok)]));
        assert_eq!(words(&beyond), ["logging/setLevel", "resources/subscribe b", "resources/unsubscribe a"]);
        assert!(beyond.iter().all(|it| it.id().is_some_and(|id| id.token().starts_with("\"tapline-"))));
        assert_eq!(words(&client.beyond(&client)), <[&str; 0]>::default());
    }

    #[test]
    fn handshake_state_survives_being_written_down() {
        let handshake =
            after(&[(r#"{"id":6,"method":"logging/setLevel","params":{"level":"info"}}"#, r#"{"id":6,"result":{}}"#)]);
        let written = serde_json::to_string(&handshake).expect("it is JSON");
        assert_eq!(serde_json::from_str::<HandshakeState>(&written).expect("it is JSON"), handshake);
        assert!(written.contains(r#"{"n":1.10}"#), "{written}");
        assert_eq!(serde_json::from_str::<HandshakeState>("{}").expect("all may be absent"), HandshakeState::default());
    }

    #[test]
    fn compare_tells_of_lists_that_both_servers_tell_of() {
        let handshake = after(&[]);
        let told = handshake.compare(&result(r#""tools":{"listChanged":true},"resources":{"listChanged":true}"#));
        assert_eq!(words(&told.expect("it goes on")), ["notifications/tools/list_changed"]);
    }

    #[test]
    fn compare_says_why_a_server_does_not_go_on() {
        let handshake = after(&[]);
        let refused = handshake.compare(&message(r#"{"id":0,"error":{"code":-32022,"message":"no"}}"#));
        assert_eq!(refused, Err(r#"it refused `initialize`: {"code":-32022,"message":"no"}"#.to_owned()));
        let other = handshake.compare(&message(r#"{"id":0,"result":{"protocolVersion":"2024-11-05"}}"#));
        assert!(other.is_err_and(|why| why.contains("2024-11-05") && why.contains("2025-11-25")));
        assert!(!HandshakeState::default().has_handshake());
    }
}
