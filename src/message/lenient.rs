//! Whom a reply is for that is not quite JSON: it holds a `NaN`, a byte that is no UTF-8, a raw line end in a string.
//!
//! Looks for the top-level members of an object as far as it can: strings, and what brackets enclose, are stepped over unread.

use std::ops::Range;

/// Where the id stands in what says that it is a reply; `None` for anything else.
pub(super) fn replied_id(raw: &[u8]) -> Option<Range<usize>> {
    let (mut id, mut is_reply) = (None, false);
    let bom = if raw.starts_with(super::BOM) { super::BOM.len() } else { 0 };
    let mut scan = MemberScan { raw, at: bom };
    scan.eat(b'{')?;
    while let Some((key, value)) = scan.member() {
        match &raw[key] {
            b"\"id\"" => id = Some(value),
            b"\"method\"" => return None,
            b"\"result\"" | b"\"error\"" => is_reply = true,
            _ => {}
        }
        if scan.eat(b',').is_none() {
            break;
        }
    }
    let id = id.filter(|_| is_reply)?;
    let text = &raw[id.clone()];
    let (start, token) = (id.start + text.len() - text.trim_ascii_start().len(), text.trim_ascii());
    let name: serde_json::Value = serde_json::from_slice(token).ok()?;
    (name.is_string() || name.is_number()).then_some(start..start + token.len())
}

struct MemberScan<'a> {
    raw: &'a [u8],
    at: usize,
}

impl MemberScan<'_> {
    fn eat(&mut self, byte: u8) -> Option<()> {
        self.at += self.raw.get(self.at..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        (self.raw.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// Where the next key and its value stand.
    fn member(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        self.eat(b'"')?;
        let key = self.at - 1;
        self.string();
        let key = key..self.at;
        self.eat(b':')?;
        let value = self.at;
        self.value();
        Some((key, value..self.at))
    }

    /// Goes past a string that has begun.
    fn string(&mut self) {
        while let Some(byte) = self.raw.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                break;
            }
        }
        self.at = self.at.min(self.raw.len());
    }

    /// Goes to the comma or the bracket that ends a value.
    fn value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.raw.get(self.at) {
            match byte {
                b',' | b'}' | b']' if depth == 0 => return,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if *byte == b'"' {
                self.string();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replied_id_is_found_in_what_is_not_quite_json() {
        let found = |raw: &[u8]| replied_id(raw).map(|id| String::from_utf8_lossy(&raw[id]).into_owned());
        let five = Some("5".to_owned());
        for raw in [
            &br#"{"jsonrpc":"2.0","id":5,"result":{"value":NaN}}"#[..],
            b"{\"jsonrpc\":\"2.0\",\"id\": 5 ,\"result\":{\"text\":\"\xff\"}}",
            b" {\"result\":{\"id\":6,\"a\":[\"}\\\"\",{}]},\"id\":5}",
            br#"{"id":6,"id":5,"error":{"code":1,}}"#,
            b"{\"id\":5,\"result\":{\"text\":\"a\tb",
        ] {
            assert_eq!(found(raw), five, "{}", String::from_utf8_lossy(raw));
        }
        for raw in [
            &br#"{"id":5,"method":"a","params":NaN}"#[..],
            br#"{"id":null,"result":NaN}"#,
            br#"{"id":NaN,"result":1}"#,
            br#"{"id":{"a":5},"result":NaN}"#,
            b"{\"id\":\"\xff\",\"result\":1}",
            br#"{"id":5,"resul":NaN}"#,
            b"{'id':5,'result':1}",
            b"[{\"id\":5,\"result\":NaN}]",
            b"",
            b"{",
            b"{\"",
            b"{\"id\":5,\"result\\",
        ] {
            assert_eq!(found(raw), None, "{}", String::from_utf8_lossy(raw));
        }
    }
}
