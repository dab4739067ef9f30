//! Values that change from run to run by their nature: times, uuids, session ids, tokens, ports of this machine.
//!
//! A pair is passed over only where both sides have the same shape: a uuid that became the word `none` is a difference.

use std::borrow::Cow;

use crate::json::path::{JsonPath, PathStep};
use crate::json::scalar::{number, string};

/// Members whose values a server makes up, for the client to hand back as they are (mcp-wire.md §3, identifiers).
const TOKENS: [&str; 9] = [
    "nextCursor",
    "cursor",
    "taskId",
    "requestState",
    "sessionId",
    "progressToken",
    "elicitationId",
    "subscriptionId",
    "io.modelcontextprotocol/subscriptionId",
];

/// Members of `_meta` that carry a trace (W3C Trace Context).
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Whether two unequal values, as JSON text, differ only as two runs always do.
pub fn same(path: &JsonPath<'_>, expected: Option<&str>, got: Option<&str>) -> bool {
    let (Some(expected), Some(got)) = (expected, got) else {
        return false;
    };
    let key = path.nearest_key().unwrap_or_default();
    if let (Some(expected), Some(got)) = (string(expected), string(got)) {
        return is_message_id(path)
            || is_token_name(key) && is_token(&expected) && is_token(&got)
            || TRACE.contains(&key)
            || names_a_time(key) && same_epoch(&expected, &got)
            || mask(&expected) == mask(&got);
    }
    if number(expected).is_some() && number(got).is_some() {
        return is_message_id(path) || key == "progressToken" || names_a_time(key) && same_epoch(expected, got);
    }
    false
}

/// Whether the value is the message's own id.
fn is_message_id(path: &JsonPath<'_>) -> bool {
    matches!(path.steps(), [PathStep::Key(key)] if key == "id")
}

/// Whether a member of this name holds a token of the server's.
pub fn is_token_name(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    TOKENS.contains(&key) || plain.to_ascii_lowercase().ends_with("sessionid")
}

/// Nothing that a person would write: no word, no sentence.
pub fn is_token(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    visible && (text.len() >= 16 || text.len() >= 4 && text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// `createdAt`, `last_modified_time`, `timestamp`, `expires`.
fn names_a_time(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let parts = ["time", "date", "expires", "expiry", "created", "modified"];
    parts.iter().any(|part| lower.contains(part)) || key.ends_with("At") || lower.ends_with("_at") || lower == "ts"
}

/// Two numbers since 1970 in the same unit, of the years 2001 to 2100.
fn same_epoch(expected: &str, got: &str) -> bool {
    let unit = |text: &str| {
        let value = number(text)?;
        [1.0, 1e3, 1e6, 1e9].into_iter().find(|unit| (1e9 * unit..4.2e9 * unit).contains(&value))
    };
    unit(expected).is_some_and(|expected| unit(got) == Some(expected))
}

/// The text with every time, uuid and local port replaced by its kind.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let (mut copied, mut at) = (0, 0);
    while at < text.len() {
        let Some((kind, skip, length)) = volatile_at(text, at) else {
            at += 1;
            continue;
        };
        masked.push_str(&text[copied..at + skip]);
        masked.push_str(kind);
        at += skip + length;
        copied = at;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// The uuids in a text, in order.
pub fn uuids(text: &str) -> Vec<&str> {
    let mut uuids = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if starts_word(text, at) && is_uuid(&text.as_bytes()[at..]) {
            uuids.push(&text[at..at + UUID]);
            at += UUID;
        } else {
            at += 1;
        }
    }
    uuids
}

/// What begins here: its kind, how many bytes of it stay, and how many are replaced.
fn volatile_at(text: &str, at: usize) -> Option<(&'static str, usize, usize)> {
    let bytes = &text.as_bytes()[at..];
    if !starts_word(text, at) {
        return None;
    }
    if is_uuid(bytes) {
        return Some(("<uuid>", 0, UUID));
    }
    if let Some(length) = timestamp(bytes).or_else(|| time_of_day(bytes)) {
        return Some(("<time>", 0, length));
    }
    ["localhost:", "127.0.0.1:", "[::1]:"].into_iter().find_map(|host| {
        let digits = bytes.strip_prefix(host.as_bytes())?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=5).contains(&digits).then_some(("<port>", host.len(), digits))
    })
}

/// Whether no letter or digit stands right before.
fn starts_word(text: &str, at: usize) -> bool {
    at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric()
}

const UUID: usize = 36;

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() >= UUID
        && !bytes.get(UUID).is_some_and(u8::is_ascii_alphanumeric)
        && bytes[..UUID].iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Length of an RFC 3339 date and time; a zone may be absent, as many programs leave it out.
fn timestamp(bytes: &[u8]) -> Option<usize> {
    let shape = |bytes: &[u8], shape: &[u8]| {
        bytes.len() >= shape.len()
            && bytes.iter().zip(shape).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't' | b' '),
                _ => byte == shape,
            })
    };
    if !shape(bytes, b"0000-00-00T00:00:00") {
        return None;
    }
    let mut length = 19;
    if bytes.get(length) == Some(&b'.') {
        length += 1 + bytes[length + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    Some(match bytes.get(length) {
        Some(b'Z' | b'z') => length + 1,
        Some(b'+' | b'-') if shape(&bytes[length + 1..], b"00:00") => length + 6,
        Some(b'+' | b'-') if shape(&bytes[length + 1..], b"0000") => length + 5,
        _ => length,
    })
}

/// Length of a time of day with seconds, as `12:04:59`, `5:15:58 PM`; less could be a score or a ratio.
fn time_of_day(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let hours = digits(0);
    let is_clock = matches!(hours, 1 | 2)
        && [hours, hours + 3].into_iter().all(|colon| bytes.get(colon) == Some(&b':') && digits(colon + 1) == 2);
    if !is_clock {
        return None;
    }
    let length = hours + 6;
    // JavaScript puts a narrow no-break space before the half of the day.
    let half = [" ", "\u{202f}"].into_iter().find_map(|space| {
        let rest = bytes[length..].strip_prefix(space.as_bytes())?;
        let half = rest.get(..2)?;
        (half.eq_ignore_ascii_case(b"am") || half.eq_ignore_ascii_case(b"pm")).then_some(space.len() + 2)
    });
    Some(length + half.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, compare};
    use crate::message::Message;

    const UUID_A: &str = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
    const UUID_B: &str = "16fd2706-8baf-433b-82eb-8c7fada847da";

    fn is_same(key: &str, expected: &str, got: &str) -> bool {
        let message = |value: &str| Message::new(format!(r#"{{"result":{{"{key}":{value}}}}}"#));
        compare(&message(expected), &message(got), &Rules::default()).is_empty()
    }

    #[test]
    fn same_passes_over_what_changes_by_nature() {
        for (key, expected, got) in [
            ("text", r#""2026-11-23T16:55:01Z""#, r#""2027-01-02 03:04:05.678+01:00""#),
            ("text", r#""made 2026-11-23T16:55:01 by me""#, r#""made 2026-11-24T16:55:01 by me""#),
            ("text", r#""made at 5:15:58 PM""#, r#""made at 11:29:56 AM""#),
            ("text", "\"made at 5:15:58\u{202f}PM\"", "\"made at 17:29:56\""),
            ("createdAt", "1795452901000", "1795452999123"),
            ("mtime", "1795452901", "1795452999.5"),
            ("timestamp", r#""1795452901000""#, r#""1795452999123""#),
            ("url", r#""http://127.0.0.1:40123/x""#, r#""http://127.0.0.1:9/x""#),
            ("url", r#""http://localhost:1/a and http://[::1]:2/""#, r#""http://localhost:3/a and http://[::1]:4/""#),
            ("nextCursor", r#""eyJvZmZzZXQiOjF9""#, r#""eyJvZmZzZXQiOjJ9""#),
            ("taskId", r#""task-81""#, r#""task-1007""#),
            ("Mcp-Session-Id", r#""abcd1234abcd1234""#, r#""0123456789abcdef""#),
            ("progressToken", "1", "2"),
            ("traceparent", r#""00-1-2-01""#, r#""00-3-4-01""#),
        ] {
            assert!(is_same(key, expected, got), "{key}: {expected} {got}");
        }
        assert!(is_same("x", &format!("\"a {UUID_A}.\""), &format!("\"a {UUID_B}.\"")));
    }

    #[test]
    fn same_keeps_a_difference_of_shape() {
        for (key, expected, got) in [
            ("text", r#""2026-11-23T16:55:01Z""#, r#""yesterday""#),
            ("text", r#""at 2026-11-23T16:55:01Z""#, r#""on 2026-11-23T16:55:02Z""#),
            ("date", r#""2026-11-23""#, r#""2026-11-24""#),
            ("text", r#""won 3:1""#, r#""won 3:2""#),
            ("text", r#""1:2:3""#, r#""1:2:4""#),
            ("createdAt", "1795452901000", "1795452901"),
            ("createdAt", "1795452901000", "0"),
            ("createdAt", "1795452901000", r#""2026-11-23T16:55:01Z""#),
            ("count", "1795452901000", "1795452999123"),
            ("url", r#""http://example.com:1/""#, r#""http://example.com:2/""#),
            ("nextCursor", r#""eyJvZmZzZXQiOjF9""#, r#""end""#),
            ("nextCursor", r#""eyJvZmZzZXQiOjF9""#, "null"),
            ("taskId", r#""task-81""#, r#""a task of mine""#),
            ("progressToken", "1", r#""1""#),
            ("text", r#""250 ms""#, r#""300 ms""#),
        ] {
            assert!(!is_same(key, expected, got), "{key}: {expected} {got}");
        }
        assert!(!is_same("x", &format!("\"{UUID_A}\""), "\"none\""));
        assert!(!is_same("x", &format!("\"{UUID_A}\""), &format!("\"{UUID_B}0\"")));
        assert!(!is_same("x", &format!("\"{UUID_A}\""), &format!("\"x{UUID_B}\"")));
    }

    #[test]
    fn same_passes_over_ids_of_one_kind() {
        let same = |expected: &str, got: &str| {
            let message = |id: &str| Message::new(format!(r#"{{"id":{id},"result":{{}}}}"#));
            compare(&message(expected), &message(got), &Rules::default()).is_empty()
        };
        assert!(same("1", "2") && same("\"a\"", "\"b\""));
        assert!(!same("1", "\"1\"") && !same("1", "null"));
    }
}
