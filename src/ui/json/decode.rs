//! JSON strings as text.

/// The text of a valid JSON string, at most `limit` characters of it. What is no text (a lone surrogate, a byte that
/// is not UTF-8) stays an escape or becomes `U+FFFD`.
pub(crate) fn decode(token: &[u8], limit: usize) -> String {
    let inner = token.strip_prefix(b"\"").unwrap_or(token);
    let mut inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let mut text = String::new();
    let mut room = limit;
    while room > 0 && !inner.is_empty() {
        let plain = memchr::memchr(b'\\', inner).unwrap_or(inner.len());
        if plain > 0 {
            // Four bytes hold any character, so no more are worth reading.
            let piece = String::from_utf8_lossy(&inner[..plain.min(room.saturating_mul(4))]);
            room -= push_chars(&mut text, &piece, room);
            inner = &inner[plain..];
        } else {
            let (c, length) = decode_escape(inner);
            match c {
                Some(c) => text.push(c),
                None => text.push_str(&String::from_utf8_lossy(&inner[..length])),
            }
            room -= 1;
            inner = &inner[length..];
        }
    }
    text
}

/// Returns the text of a valid JSON string, its escapes decoded.
pub(crate) fn unquote(token: &str) -> String {
    decode(token.as_bytes(), usize::MAX)
}

fn push_chars(text: &mut String, piece: &str, room: usize) -> usize {
    let end = piece.char_indices().nth(room).map_or(piece.len(), |(at, _)| at);
    text.push_str(&piece[..end]);
    piece[..end].chars().count()
}

/// How many bytes spell the first character of what stands in a valid string.
pub(super) fn unit_length(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'\\') => decode_escape(bytes).1,
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    }
}

/// The escape at the beginning of `bytes` and its length; `None` for half of a surrogate pair.
fn decode_escape(bytes: &[u8]) -> (Option<char>, usize) {
    let simple = match bytes.get(1) {
        Some(b'b') => '\x08',
        Some(b'f') => '\x0c',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return decode_unicode(bytes),
        Some(other) => char::from(*other),
        None => return (None, bytes.len()),
    };
    (Some(simple), 2)
}

fn decode_unicode(bytes: &[u8]) -> (Option<char>, usize) {
    let first = unit(bytes);
    let second = bytes.get(6..).and_then(unit);
    match (first, second) {
        (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
            (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), 12)
        }
        (Some(unit), _) => (char::from_u32(unit), 6),
        (None, _) => (None, bytes.len().min(6)),
    }
}

/// The UTF-16 unit of a `\uXXXX` at the beginning of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// How many characters and lines the text of a valid JSON string has, without decoding it.
pub(crate) fn measure(token: &[u8]) -> (usize, usize) {
    // Every byte that does not continue a character begins one; an escape is one character of several bytes.
    let begins = token.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let (mut excess, mut lines, mut at) = (0, 1, 0);
    while let Some(found) = memchr::memchr(b'\\', &token[at..]) {
        at += found;
        let (_, length) = decode_escape(&token[at..]);
        lines += usize::from(token.get(at + 1) == Some(&b'n'));
        excess += length - 1;
        at += length;
    }
    (begins.saturating_sub(excess + 2), lines)
}
