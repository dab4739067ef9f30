//! What the sender of a blocked message gets in place of what it waits for.

use serde::{Deserialize, Serialize};

use crate::message::{Id, Kind, Message};

/// The answer to a blocked request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockError {
    /// A JSON-RPC error; `data` is raw JSON.
    JsonRpc { code: i64, message: String, data: Option<String> },
    /// A tool result with `isError: true` and this text (what a tool that fails answers).
    ToolResult { text: String },
    /// A result of the operator's own, as raw JSON.
    Result { result: String },
}

impl BlockError {
    /// Returns what answers a blocked request, or takes the place of a blocked reply; of a batch, element by element. `None` for a
    /// message without an id.
    pub fn instead_of(&self, message: &Message) -> Option<Message> {
        match message.kind() {
            Kind::Notification | Kind::Opaque => None,
            Kind::Request | Kind::Result | Kind::Error => Some(self.reply_to(message.id())),
            Kind::Batch => {
                let answers: Vec<_> = message.elements().iter().filter_map(|it| self.instead_of(it)).collect();
                let answers: Vec<&[u8]> = answers.iter().map(|answer| answer.raw().as_ref()).collect();
                (!answers.is_empty()).then(|| Message::new([b"[", answers.join(&b',').as_slice(), b"]"].concat()))
            }
        }
    }

    /// Returns the reply that the request with this id gets.
    pub fn reply_to(&self, id: Option<&Id>) -> Message {
        match self {
            Self::Result { result } => {
                let id = id.map_or("null", Id::token);
                Message::new(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
            }
            Self::JsonRpc { code, message, data } => Message::error_reply(id, *code, message, data.as_deref()),
            Self::ToolResult { text } => {
                let id = id.map_or("null", Id::token);
                let text = serde_json::Value::from(text.as_str());
                Message::new(format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":{text}}}],"isError":true}}}}"#
                ))
            }
        }
    }
}
