//! Values that a server made up, and what another makes up in their place.
//!
//! A cursor, a task id, a request state: the client hands it back to whom it got it from, and the other server would not know
//! it. *Recorded* is the server whose replies the client saw: the one of a tape, or the one that a shadow is compared with.

use std::collections::HashMap;
use std::ops::Range;

use http::HeaderValue;

use crate::json::scalar::string;
use crate::message::Message;
use crate::tape::compare::{visit_differences, volatile};

/// Recorded value to live value.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, String>);

impl Tokens {
    /// Learns from a recorded reply and the live one, where they stand at the same place.
    pub(crate) fn learn(&mut self, recorded: &Message, live: &Message) {
        visit_differences(recorded, live, &mut |path, recorded, live| {
            let (Some(recorded), Some(live)) = (recorded.and_then(string), live.and_then(string)) else {
                return;
            };
            if path.nearest_key().is_some_and(|key| is_handle(key, &recorded, &live)) {
                self.0.insert(recorded.into_owned(), live.into_owned());
            } else if volatile::mask(&recorded) == volatile::mask(&live) {
                let pairs = volatile::uuids(&recorded).into_iter().zip(volatile::uuids(&live));
                self.0.extend(pairs.map(|(recorded, live)| (recorded.to_owned(), live.to_owned())));
            }
        });
    }

    /// The live value for a recorded one.
    pub(crate) fn live(&self, recorded: &str) -> Option<&str> {
        self.0.get(recorded).map(String::as_str)
    }

    /// The message with every string value that is a known recorded one replaced; all else byte for byte.
    pub(crate) fn apply(&self, message: &Message) -> Message {
        if self.0.is_empty() {
            return message.clone();
        }
        let Ok(text) = std::str::from_utf8(message.raw()) else {
            return message.clone();
        };
        let mut raw = String::with_capacity(text.len());
        let mut copied = 0;
        for token in string_values(text) {
            let Some(live) = string(&text[token.clone()]).and_then(|recorded| self.0.get(&*recorded)) else {
                continue;
            };
            raw.push_str(&text[copied..token.start]);
            raw.push_str(&serde_json::Value::from(live.as_str()).to_string());
            copied = token.end;
        }
        if copied == 0 {
            return message.clone();
        }
        raw.push_str(&text[copied..]);
        Message::new(raw)
    }

    /// A mirrored header (`Mcp-Name`, `Mcp-Param-*`) whose value is a known recorded one.
    pub(crate) fn apply_to_header(&self, value: &HeaderValue) -> Option<HeaderValue> {
        self.live(value.to_str().ok()?)?.parse().ok()
    }
}

/// Whether a member of this name holds something to hand back: by the protocol, or by the look of name and values.
fn is_handle(key: &str, recorded: &str, live: &str) -> bool {
    let named = ["Id", "_id", "Token", "_token", "Cursor", "_cursor", "Handle", "_handle", "State", "_state"];
    volatile::is_token_name(key)
        || (named.iter().any(|end| key.ends_with(end)) || matches!(key, "id" | "token" | "handle"))
            && volatile::is_token(recorded)
            && volatile::is_token(live)
}

/// Where the string values stand in a JSON text, quotes included; keys are none.
fn string_values(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + memchr::memchr(b'"', &text.as_bytes()[at..])?;
            at = end_of_string(text.as_bytes(), start)?;
            if !text[at..].trim_start().starts_with(':') {
                return Some(start..at);
            }
        }
    })
}

fn end_of_string(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', &json[at..])?;
        match json[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
        if at > json.len() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(recorded: &str, live: &str) -> Tokens {
        let mut tokens = Tokens::default();
        tokens.learn(&Message::new(recorded.to_owned()), &Message::new(live.to_owned()));
        tokens
    }

    #[test]
    fn tokens_replace_what_the_server_made_up() {
        let tokens = tokens(
            r#"{"result":{"nextCursor":"p2","task":{"taskId":"t-1"},"name":"old","text":"key 6fa459ea-ee8a-3ca4-894e-db77e160355e"}}"#,
            r#"{"result":{"nextCursor":"q\"2","task":{"taskId":"t-9"},"name":"new","text":"key 16fd2706-8baf-433b-82eb-8c7fada847da"}}"#,
        );
        let sent = r#"{ "params":{"cursor" : "p2","p2":"p2 ","a":["t-1","old",12345678901234567890],"u":"6fa459ea-ee8a-3ca4-894e-db77e160355e","\ud83d":"\ud83d\"p2"}}"#;
        let expected = r#"{ "params":{"cursor" : "q\"2","p2":"p2 ","a":["t-9","old",12345678901234567890],"u":"16fd2706-8baf-433b-82eb-8c7fada847da","\ud83d":"\ud83d\"p2"}}"#;
        assert_eq!(tokens.apply(&Message::new(sent)).raw(), expected);
    }

    #[test]
    fn tokens_leave_what_is_no_json() {
        let tokens = tokens(r#"{"nextCursor":"p2"}"#, r#"{"nextCursor":"q2"}"#);
        for raw in [&b"\xff\"p2\""[..], b"\"p2", b"\"p2\\", b"\"\\", b""] {
            assert_eq!(tokens.apply(&Message::new(raw)).raw(), raw);
        }
    }

    #[test]
    fn tokens_are_known_by_their_look() {
        let tokens = tokens(r#"{"jobId":"job-17","userId":"me"}"#, r#"{"jobId":"job-18","userId":"you"}"#);
        assert_eq!((tokens.live("job-17"), tokens.live("me")), (Some("job-18"), None));
    }
}
