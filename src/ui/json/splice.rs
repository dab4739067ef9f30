//! The least change of bytes that makes a JSON text say what an edited one says.

use super::scan::{BOM, JsonToken, Scanner};

/// Returns `raw` with no more of its bytes replaced than it takes to say what `edited` says; all others stay as they came,
/// white space and spelling included. `one_line`: what is put in gets no white space between its tokens.
///
/// `None` where either is not JSON.
pub(crate) fn splice(raw: &[u8], edited: &str, one_line: bool) -> Option<Vec<u8>> {
    let body = raw.strip_prefix(BOM).unwrap_or(raw);
    let (old, new) = (tokens(body)?, tokens(edited.as_bytes())?);
    let same = |(a, b): &(&JsonToken, &JsonToken)| is_same(body, a, edited.as_bytes(), b);
    let prefix = old.iter().zip(&new).take_while(same).count();
    if prefix == old.len() && prefix == new.len() {
        return Some(raw.to_vec());
    }
    let most = old.len().min(new.len()) - prefix;
    let suffix = old.iter().rev().zip(new.iter().rev()).take(most).take_while(same).count();
    let bom = &raw[..raw.len() - body.len()];
    // First without the commas around the change, then with them: a member that comes or goes takes its comma along.
    [inside, around].into_iter().find_map(|place| {
        let (from, to) = place(&old, prefix, suffix, body.len())?;
        let (new_from, new_to) = place(&new, prefix, suffix, edited.len())?;
        let text = &edited[new_from..new_to];
        let put = if one_line { compact(text) } else { text.to_owned() };
        let spliced = [&body[..from], put.as_bytes(), &body[to..]].concat();
        says(&spliced, edited.as_bytes(), &new).then(|| [bom, &spliced].concat())
    })
}

/// The tokens that differ, from the first byte to the last; `None` where there are none.
fn inside(tokens: &[JsonToken], prefix: usize, suffix: usize, _: usize) -> Option<(usize, usize)> {
    let changed = &tokens[prefix..tokens.len() - suffix];
    Some((changed.first()?.start, changed.last()?.end))
}

/// All between the tokens that do not differ.
fn around(tokens: &[JsonToken], prefix: usize, suffix: usize, len: usize) -> Option<(usize, usize)> {
    let from = prefix.checked_sub(1).map_or(0, |before| tokens[before].end);
    let to = tokens.get(tokens.len() - suffix).map_or(len, |after| after.start);
    (from <= to).then_some((from, to))
}

fn tokens(bytes: &[u8]) -> Option<Vec<JsonToken>> {
    let mut scanner = Scanner::new(bytes);
    let mut tokens = Vec::new();
    while let Some(token) = scanner.next().ok()? {
        tokens.push(token);
    }
    Some(tokens)
}

fn is_same(a: &[u8], of_a: &JsonToken, b: &[u8], of_b: &JsonToken) -> bool {
    of_a.kind == of_b.kind && a[of_a.start..of_a.end] == b[of_b.start..of_b.end]
}

/// Whether `bytes` are JSON of exactly these tokens.
fn says(bytes: &[u8], text: &[u8], wanted: &[JsonToken]) -> bool {
    tokens(bytes).is_some_and(|found| {
        found.len() == wanted.len() && found.iter().zip(wanted).all(|(a, b)| is_same(bytes, a, text, b))
    })
}

/// JSON without the white space between its tokens; numbers and escapes keep their text.
pub(crate) fn compact(text: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if !in_string && c.is_ascii_whitespace() {
            continue;
        }
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::json::pretty;

    /// Edits the indented form, as the editor does.
    fn check(raw: &str, from: &str, to: &str, expected: &str) {
        let edited = pretty(raw.as_bytes()).unwrap().replacen(from, to, 1);
        let spliced = splice(raw.as_bytes(), &edited, true).unwrap();
        assert_eq!(String::from_utf8_lossy(&spliced), expected);
    }

    #[test]
    fn splice_keeps_the_spelling_of_what_nobody_named() {
        check(
            "\u{feff}{ \"a\" : 1.50 ,\t\"b\":\"\\u0041\", \"c\": [1, 2 ] } \r",
            "2",
            "3e0",
            "\u{feff}{ \"a\" : 1.50 ,\t\"b\":\"\\u0041\", \"c\": [1, 3e0 ] } \r",
        );
        check(r#"{ "a": 1, "b": 2 }"#, "\"a\": 1,", "", r#"{"b": 2 }"#);
        check(r#"{ "a": 1, "b": 2 }"#, "2", "2, \"c\": {\"d\": [ ]}", r#"{ "a": 1, "b": 2,"c":{"d":[]}}"#);
        check(r#"{ "a": 1, "b": 2 }"#, ",\n  \"b\": 2", "", r#"{ "a": 1}"#);
        check("[ ]", "[]", "[ 1 ]", "[1]");
        check(r#"{ "a": {"b": 1} }"#, "{\n    \"b\": 1\n  }", "null", r#"{ "a": null }"#);
        check("1", "1", "{}", "{}");
    }

    #[test]
    fn splice_leaves_alone_what_is_not_json() {
        assert_eq!(splice(b"{}", "{", true), None);
        assert_eq!(splice(b"{", "{}", true), None);
    }
}
