//! What JSON-RPC 2.0 asks of a message, for the editor: a proxy forwards anything, but its operator should know.

use serde_json::Value;

use crate::message::{Kind, Message};

/// The first thing that is not as JSON-RPC wants it.
pub(super) fn flaw(message: &Message) -> Option<String> {
    if let Some(flaw) = &message.head().flaw {
        return Some(flaw.to_string());
    }
    if message.kind() == Kind::Batch {
        return message.elements().iter().find_map(flaw);
    }
    let raw = |key| message.member(key).and_then(|text| serde_json::from_str::<Value>(text).ok());
    if raw("jsonrpc") != Some(Value::from("2.0")) {
        return Some("`jsonrpc` is not \"2.0\"".to_owned());
    }
    let has_id = matches!(message.kind(), Kind::Request | Kind::Result);
    if has_id && !raw("id").is_some_and(|id| id.is_string() || id.is_number()) {
        return Some("`id` is neither a string nor a number".to_owned());
    }
    if raw("params").is_some_and(|params| !params.is_object() && !params.is_array()) {
        return Some("`params` is neither an object nor an array".to_owned());
    }
    raw("error").and_then(|error| error_flaw(&error))
}

fn error_flaw(error: &Value) -> Option<String> {
    if !error.get("code").is_some_and(Value::is_i64) {
        return Some("`error.code` is not a whole number".to_owned());
    }
    (!error.get("message").is_some_and(Value::is_string)).then(|| "`error.message` is not a string".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_found() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{}}"#, None),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#, None),
            (r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#, None),
            (r#"{"id":1,"method":"m"}"#, Some("`jsonrpc` is not \"2.0\"")),
            (r#"{"jsonrpc":"2.0","id":[],"method":"m"}"#, Some("`id` is neither a string nor a number")),
            (r#"{"jsonrpc":"2.0","method":"m","params":1}"#, Some("`params` is neither an object nor an array")),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1"}}"#, Some("`error.code` is not a whole number")),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, Some("`error.message` is not a string")),
            (r#"[{"jsonrpc":"2.0","id":1,"result":{}},{}]"#, Some("neither `method`, `result` nor `error`")),
        ] {
            assert_eq!(flaw(&Message::new(text)).as_deref(), expected, "{text}");
        }
    }
}
