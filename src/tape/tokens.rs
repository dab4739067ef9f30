//! Values that a server made up, and what another makes up in their place.
//!
//! A cursor, a task id, a request state: the client hands it back to whom it got it from, and the other server would not know
//! it. *Recorded* is the server whose replies the client saw: the one of a tape, or the one that a shadow is compared with.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

use http::HeaderValue;

use crate::json::scalar::string;
use crate::message::Message;
use crate::tape::compare::{self, LearnedValues, Rules, RunClocks, is_token, names_a_process};
use crate::tape::redact::with_secrets;

/// Recorded value to live value.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, String>);

/// Shorter words are not replaced inside a text: they could be anything.
const SHORTEST_IN_TEXT: usize = 4;
/// A word has so many parts that may be a value alone.
const MOST_PARTS: usize = 12;

impl Tokens {
    /// Learns from a recorded reply and the live one, where they stand at the same place.
    pub(crate) fn learn(&mut self, recorded: &Message, live: &Message) {
        let rules = Rules { clocks: Some(RunClocks::now()), ..Rules::default() };
        self.know(compare::judge(recorded, live, &rules, &LearnedValues::NOTHING).handles);
    }

    /// Takes in what a comparison found to be handed back.
    pub(crate) fn know(&mut self, handles: Vec<(String, String)>) {
        self.0.extend(handles);
    }

    /// The live value for a recorded one.
    pub(crate) fn live(&self, recorded: &str) -> Option<&str> {
        self.0.get(recorded).map(String::as_str)
    }

    /// The text with every recorded value in it replaced; `None` where there is none.
    pub(crate) fn live_text(&self, text: &str) -> Option<String> {
        if let Some(live) = self.live(text) {
            return Some(live.to_owned());
        }
        if let Some(unredacted) = with_secrets(text, |mark| self.live(mark)) {
            return Some(unredacted);
        }
        let mut replaced = String::new();
        let mut copied = 0;
        for word in words(text) {
            let mut parts = parts(text, word);
            while let Some((place, live)) = parts.find_map(|place| Some((place.clone(), self.live(&text[place])?))) {
                if place.start >= copied && place.len() >= SHORTEST_IN_TEXT {
                    replaced.push_str(&text[copied..place.start]);
                    replaced.push_str(live);
                    copied = place.end;
                }
            }
        }
        if copied == 0 {
            return None;
        }
        replaced.push_str(&text[copied..]);
        Some(replaced)
    }

    /// The message with every known recorded value in its values replaced, also inside text; all else byte for byte. Its
    /// outermost members, such as its id, are the client's own.
    pub(crate) fn apply(&self, message: &Message) -> Message {
        if self.0.is_empty() {
            return message.clone();
        }
        let Ok(text) = std::str::from_utf8(message.raw()) else {
            return message.clone();
        };
        let mut raw = String::with_capacity(text.len());
        let mut copied = 0;
        for scalar in scalars(text) {
            let token = &text[scalar.place.clone()];
            let key = scalar.key.and_then(|key| string(&text[key])).unwrap_or_default();
            let Some(live) = self.live_token(token, &key) else {
                continue;
            };
            raw.push_str(&text[copied..scalar.place.start]);
            raw.push_str(&live);
            copied = scalar.place.end;
        }
        if copied == 0 {
            return message.clone();
        }
        raw.push_str(&text[copied..]);
        Message::new(raw)
    }

    /// What stands in place of a string or number token.
    fn live_token(&self, token: &str, key: &str) -> Option<String> {
        let Some(text) = string(token).filter(|_| token.starts_with('"')) else {
            let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
            let is_told = token.len() >= SHORTEST_IN_TEXT || names_a_process(key);
            return self.live(token).filter(is_number).filter(|_| is_told && key != "progressToken").map(str::to_owned);
        };
        let is_short = text.len() < SHORTEST_IN_TEXT && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_short && !names_a_process(key) {
            return None;
        }
        self.live_text(&text).map(|live| serde_json::Value::from(live).to_string())
    }

    /// A mirrored header (`Mcp-Name`, `Mcp-Param-*`) in which a recorded value stands.
    pub(crate) fn apply_to_header(&self, value: &HeaderValue) -> Option<HeaderValue> {
        self.live_text(value.to_str().ok()?)?.parse().ok()
    }
}

/// What a client says in the course of a session, and where first: so that what a server says before is known to be made up
/// by the server and sent back.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerTokens {
    /// By hash: a tape may have many.
    first: HashMap<u64, usize>,
    hasher: RandomState,
}

/// Beyond this number words are not remembered.
const MOST_WORDS: usize = 1 << 20;

impl ServerTokens {
    /// Takes in what a message of the client says; `place` is where it stands.
    pub(crate) fn note(&mut self, message: &Message, place: usize) {
        let Ok(text) = std::str::from_utf8(message.raw()) else {
            return;
        };
        for scalar in scalars(text) {
            let token = &text[scalar.place];
            let said = string(token).unwrap_or(Cow::Borrowed(token));
            for word in std::iter::once(0..said.len()).chain(words(&said)) {
                if is_token(&said[word.clone()]) && self.first.len() < MOST_WORDS {
                    self.first.entry(self.hasher.hash_one(&said[word])).or_insert(place);
                }
            }
        }
    }

    /// Whether it is said after this place, and not before.
    pub(crate) fn is_only_after(&self, word: &str, place: usize) -> bool {
        self.first.get(&self.hasher.hash_one(word)).is_some_and(|first| *first > place)
    }
}

/// Letters, digits, and `_` and `-` between them.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + bytes[at..].iter().position(u8::is_ascii_alphanumeric)?;
        let length = bytes[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
            .count();
        at = start + length;
        let spare = bytes[start..at].iter().rev().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        Some(start..at - spare)
    })
}

/// Everything in a word that may be a value alone, longest first.
fn parts(text: &str, word: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let cuts = text[word.clone()].match_indices(['_', '-']).map(|(at, _)| word.start + at);
    let cuts: Vec<_> = cuts.take(MOST_PARTS).collect();
    let starts: Vec<_> = std::iter::once(word.start).chain(cuts.iter().map(|cut| cut + 1)).collect();
    let ends: Vec<_> = std::iter::once(word.end).chain(cuts.into_iter().rev()).collect();
    starts
        .into_iter()
        .flat_map(move |start| ends.clone().into_iter().filter(move |end| *end > start).map(move |end| start..end))
}

/// A string or number in a JSON text that is the value of something, and no outermost member.
struct Scalar {
    place: Range<usize>,
    /// Where the nearest key before it stands.
    key: Option<Range<usize>>,
}

fn scalars(text: &str) -> impl Iterator<Item = Scalar> {
    let bytes = text.as_bytes();
    // The members of the messages in a batch are outermost as well.
    let outermost = if text.trim_start().starts_with('[') { 2 } else { 1 };
    let (mut at, mut depth, mut key) = (0, 0_usize, None);
    std::iter::from_fn(move || {
        loop {
            match *bytes.get(at)? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let place = at..end_of_string(bytes, at)?;
                    at = place.end;
                    if text[at..].trim_start().starts_with(':') {
                        key = Some(place);
                    } else if depth > outermost {
                        return Some(Scalar { place, key: key.clone() });
                    }
                    continue;
                }
                b'-' | b'0'..=b'9' => {
                    let is_part =
                        |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
                    let place = at..at + bytes[at..].iter().take_while(is_part).count();
                    at = place.end;
                    if depth > outermost {
                        return Some(Scalar { place, key: key.clone() });
                    }
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    })
}

fn end_of_string(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        match json[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
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
    fn tokens_are_replaced_inside_text_and_as_numbers() {
        let tokens = tokens(
            r#"{"result":{"pid":81,"ppid":40812,"text":"started task_3025aa9c"}}"#,
            r#"{"result":{"pid":93,"ppid":50002,"text":"started task_99f0c1d2"}}"#,
        );
        let sent = r#"{"id":40812,"params":{"pid":81,"line":81,"n":[40812,408123],"path":"/out/task_3025aa9c/x","cmd":"{\"id\":\"task_3025aa9c-1\"} 40812 task_3025aa9cd"}}"#;
        let expected = r#"{"id":40812,"params":{"pid":93,"line":81,"n":[50002,408123],"path":"/out/task_99f0c1d2/x","cmd":"{\"id\":\"task_99f0c1d2-1\"} 50002 task_3025aa9cd"}}"#;
        assert_eq!(tokens.apply(&Message::new(sent)).raw(), expected);
    }

    #[test]
    fn said_words_are_made_up_where_they_come_first_from_the_server() {
        let mut said = ServerTokens::default();
        said.note(&Message::new(r#"{"id":77777,"params":{"a":"abc1"}}"#), 1);
        said.note(&Message::new(r#"{"params":{"a":"x abc1 q9zz","n":4242,"m":12}}"#), 5);
        assert!(said.is_only_after("q9zz", 3) && said.is_only_after("4242", 3));
        for word in ["abc1", "77777", "12", "zzz9"] {
            assert!(!said.is_only_after(word, 3), "{word}");
        }
        assert!(!said.is_only_after("q9zz", 6));
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
