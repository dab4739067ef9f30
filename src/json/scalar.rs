//! What one JSON token that is no container says, however it is spelled.

use std::borrow::Cow;

/// The text of a JSON string token; `None` for any other token, and for a string that is no Unicode text (half of a
/// surrogate pair).
pub(crate) fn string(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(token).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// JSON text with the escapes in its strings resolved, as people read it: for looking something up, as it may be no JSON any
/// more. What is no escape stays.
pub(crate) fn unescaped(json: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut at) = memchr::memchr(b'\\', json) else {
        return Cow::Borrowed(json);
    };
    let mut text = json[..at].to_vec();
    while at < json.len() {
        let length = push_escape(&json[at..], &mut text);
        at += length;
        let plain = memchr::memchr(b'\\', &json[at..]).unwrap_or(json.len() - at);
        text.extend_from_slice(&json[at..at + plain]);
        at += plain;
    }
    Cow::Owned(text)
}

/// Appends what the escape at the start of `json` stands for, and returns its length.
fn push_escape(json: &[u8], text: &mut Vec<u8>) -> usize {
    let unit = |from: usize| {
        let digits = std::str::from_utf8(json.get(from..from + 4)?).ok()?;
        u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
    };
    let plain = match json.get(1) {
        Some(c @ (b'"' | b'\\' | b'/')) => *c,
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'u') => {
            let (high, low) = (unit(2), unit(8).filter(|_| json.get(6..8) == Some(b"\\u")));
            let pair = match (high, low) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).map(|c| (c, 12))
                }
                (high, _) => high.and_then(char::from_u32).map(|c| (c, 6)),
            };
            if let Some((c, length)) = pair {
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return length;
            }
            b'\\'
        }
        _ => b'\\',
    };
    text.push(plain);
    if plain == b'\\' && json.get(1) != Some(&b'\\') { 1 } else { 2 }
}

/// The value of a JSON number token, as near as a float comes to it; `None` for any other token.
pub(crate) fn number(token: &str) -> Option<f64> {
    // A token that begins so can be nothing else; `parse` alone would take `nan` and `inf`.
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| token.parse().ok())?
}

/// Whether two numbers are equal beyond doubt: above 2^53, floats no longer tell neighbours apart.
pub(crate) fn is_same_number(left: f64, right: f64) -> bool {
    left == right && left.abs() < 9_007_199_254_740_992.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::unescaped;

    #[test]
    fn unescaped_is_what_people_read() {
        for (json, text) in [
            (r#"{"a":"Stra\u00dfe \"x\"\n\/"}"#, "{\"a\":\"Straße \"x\"\n/\"}"),
            (r"\ud83d\ude00 \ud83d \uzzzz \q \u12", "😀 \\ud83d \\uzzzz \\q \\u12"),
            ("\\", "\\"),
            (r"\\u00df", r"\u00df"),
            ("plain", "plain"),
        ] {
            assert_eq!(String::from_utf8_lossy(&unescaped(json.as_bytes())), text, "{json}");
        }
    }

    proptest! {
        #[test]
        fn unescaped_resolves_what_serde_escapes(text: String) {
            let json = serde_json::Value::from(text.as_str()).to_string();
            let read = unescaped(json.as_bytes());
            prop_assert_eq!(&read[1..read.len() - 1], text.as_bytes());
        }

        #[test]
        fn unescaped_survives_anything(json: Vec<u8>, more in r"(\\|u|d8|dc|[0-9a-f\x22]){0,30}") {
            unescaped(&json);
            unescaped(more.as_bytes());
        }
    }
}
