//! JSON that stands in strings, written out as JSON: `{"text":"{\"a\":1}"}` as `{"text":@{"a":1}}`.
//!
//! The mark says that the object or array behind it goes back as a string. It travels with the text, so whatever is moved,
//! added or taken away around it, what is a string stays one.

use super::decode::{unit_length, unquote};
use super::scan::{BOM, JsonToken, Scanner, TokenKind, check, value_end};
use super::splice::{compact, splice};

/// Stands before what is a string on the wire.
const MARK: char = '@';

/// Strings in strings in strings: deeper, they stay strings.
const MAX_DEPTH: usize = 4;

/// Larger bodies are shown as they are: looking into all their strings would take longer than a key may.
const MAX_BYTES: usize = 2 << 20;

/// A text with its marks taken out, a blank in the place of each, and where what they mark begins.
pub(crate) struct Unmarked {
    pub(crate) text: String,
    pub(crate) places: Vec<usize>,
}

/// The text with the JSON in its strings written out; `None` where there is none, or the text is no JSON.
pub(crate) fn unfold(raw: &[u8]) -> Option<String> {
    let body = raw.strip_prefix(BOM).unwrap_or(raw);
    let is_likely =
        body.len() <= MAX_BYTES && [b"\"{", b"\"["].iter().any(|it| memchr::memmem::find(body, *it).is_some());
    let text = std::str::from_utf8(body).ok().filter(|_| is_likely)?;
    let mut out = String::with_capacity(text.len());
    let mut tokens = Vec::new();
    unfold_into(text, 0, &mut out, &mut tokens)?;
    (!tokens.is_empty()).then_some(out)
}

/// Appends `text` unfolded, and the strings that were, as they are spelled, each before those within it.
fn unfold_into(text: &str, depth: usize, out: &mut String, strings: &mut Vec<String>) -> Option<()> {
    let mut scanner = Scanner::new(text.as_bytes());
    let mut done = 0;
    while let Some(token) = scanner.next().ok()? {
        let spelled = &text[token.start..token.end];
        let Some(inner) = inner(spelled, token, depth) else { continue };
        out.push_str(&text[done..token.start]);
        out.push(MARK);
        strings.push(spelled.to_owned());
        unfold_into(&inner, depth + 1, out, strings)?;
        done = token.end;
    }
    out.push_str(&text[done..]);
    Some(())
}

/// The object or array that a string is the text of.
fn inner(spelled: &str, token: JsonToken, depth: usize) -> Option<String> {
    let is_likely = token.kind == TokenKind::Scalar && (spelled.starts_with("\"{") || spelled.starts_with("\"["));
    if !is_likely || depth >= MAX_DEPTH {
        return None;
    }
    // Half a character would not come back as it was.
    let text = serde_json::from_str::<String>(spelled).ok()?;
    check(&text).is_ok().then_some(text)
}

/// Takes the marks out.
pub(crate) fn unmark(text: &str) -> Unmarked {
    let (mut places, mut in_string, mut escaped) = (Vec::new(), false, false);
    for (at, c) in text.char_indices() {
        // No string goes on behind the end of its line, so one that is never closed does not hide all that follows.
        in_string = (in_string ^ (c == '"' && !escaped)) && c != '\n';
        escaped = in_string && c == '\\' && !escaped;
        if c == MARK && !in_string && text[at + 1..].starts_with(['{', '[']) {
            places.push(at + 1);
        }
    }
    let mut plain = text.to_owned();
    for place in &places {
        plain.replace_range(place - 1..*place, " ");
    }
    Unmarked { text: plain, places }
}

/// Indents a marked text; `None` for what is not JSON.
pub(crate) fn pretty_marked(text: &str) -> Option<String> {
    let Unmarked { text: plain, places } = unmark(text);
    let mut pretty = super::scan::pretty(plain.as_bytes())?;
    // The tokens of both are the same, so the marks go before those before which they stood.
    let marked: Vec<usize> =
        starts(&plain)?.zip(starts(&pretty)?).filter(|(at, _)| places.contains(at)).map(|(_, at)| at).collect();
    marked.into_iter().rev().for_each(|at| pretty.insert(at, MARK));
    Some(pretty)
}

fn starts(text: &str) -> Option<impl Iterator<Item = usize> + use<>> {
    let mut scanner = Scanner::new(text.as_bytes());
    let mut starts = Vec::new();
    while let Some(token) = scanner.next().ok()? {
        starts.push(token.start);
    }
    Some(starts.into_iter())
}

/// A marked text with strings in place of what is marked. Those that `raw` has too keep all of their spelling that was not edited.
pub(crate) fn fold(text: &str, raw: &[u8]) -> String {
    let places = unmark(text).places;
    let was = strings_of(raw);
    let mut folded = text.to_owned();
    // From the last to the first: what stands within a string is a string already when that is made.
    for (number, place) in places.iter().enumerate().rev() {
        let end = value_end(folded.as_bytes(), *place);
        let Some(json) = folded.get(*place..end).filter(|json| check(json).is_ok()) else { continue };
        let known = was.get(number).filter(|_| was.len() == places.len());
        let token = known.map_or_else(|| quoted(&compact(json)), |known| respelled(known, json));
        folded.replace_range(place - 1..end, &token);
    }
    folded
}

fn strings_of(raw: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    let text = std::str::from_utf8(raw.strip_prefix(BOM).unwrap_or(raw)).unwrap_or_default();
    let whole = unfold_into(text, 0, &mut String::new(), &mut strings);
    whole.map(|()| strings).unwrap_or_default()
}

/// The string of `json`, with what it shares with the string `was` spelled as there.
fn respelled(was: &str, json: &str) -> String {
    let old = unquote(was);
    let new = splice(old.as_bytes(), json, !old.contains('\n')).and_then(|bytes| String::from_utf8(bytes).ok());
    let new = new.unwrap_or_else(|| compact(json));
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    let (a, b) = (chars(&old), chars(&new));
    let before = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let most = a.len().min(b.len()) - before;
    let after = a.iter().rev().zip(b.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let places = places(was);
    let changed: String = b[before..b.len() - after].iter().collect();
    let changed = quoted(&changed);
    let (head, tail) = (&was[..places[before]], &was[places[a.len() - after]..]);
    let token = format!("{head}{}{tail}", &changed[1..changed.len() - 1]);
    if unquote(&token) == new { token } else { quoted(&new) }
}

/// Where each character of a string begins in its spelling, and where the last ends.
fn places(token: &str) -> Vec<usize> {
    let (mut places, mut at) = (Vec::new(), 1);
    while at < token.len() - 1 {
        places.push(at);
        at += unit_length(&token.as_bytes()[at..]);
    }
    places.push(at);
    places
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unfolds, indents, edits and folds as the editor does.
    fn edited(raw: &str, from: &str, to: &str) -> String {
        let text = pretty_marked(&unfold(raw.as_bytes()).unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        let folded = fold(&text.replacen(from, to, 1), raw.as_bytes());
        String::from_utf8(splice(raw.as_bytes(), &folded, true).unwrap()).unwrap()
    }

    #[test]
    fn json_in_a_string_goes_back_with_the_least_change() {
        let raw = r#"{ "n":1.0, "text" : "{\"city\": \"R\u00f6m\\n\",\u0020\"nights\":2 }", "b":"@{"}"#;
        assert_eq!(edited(raw, "1.0", "1.0"), raw, "untouched");
        assert_eq!(edited(raw, "2", "33"), raw.replace(":2 ", ":33 "));
        assert_eq!(edited(raw, "1.0", "2"), raw.replace("1.0", "2"));
        assert_eq!(edited(raw, "\"nights\"", "\"n\\\"\""), raw.replace("nights", r#"n\\\""#));
    }

    #[test]
    fn json_in_strings_in_strings_is_unfolded_too() {
        let inner = serde_json::json!({"b": [1, 2]}).to_string();
        let middle = serde_json::json!({"a": inner}).to_string();
        let raw = serde_json::json!({"t": middle, "u": "[3]"}).to_string();
        assert_eq!(unfold(raw.as_bytes()).unwrap(), r#"{"t":@{"a":@{"b":[1,2]}},"u":@[3]}"#);
        assert_eq!(edited(&raw, "2", "7"), raw.replace('2', "7"));
        assert_eq!(edited(&raw, "3", "7"), raw.replace('3', "7"));
    }

    #[test]
    fn marks_travel_with_what_they_mark() {
        let raw = r#"{"c":[{"t":"{\"a\":1}"}]}"#;
        let moved = fold("{\"c\":[{\"t\":\"new\"},{\"t\":@{\"a\": 1}},{\"t\":@[ 2 ]}]}", raw.as_bytes());
        assert_eq!(moved, r#"{"c":[{"t":"new"},{"t":"{\"a\":1}"},{"t":"[2]"}]}"#);
        assert_eq!(fold("{\"c\":@{\"a\":}}", raw.as_bytes()), "{\"c\":@{\"a\":}}", "what is no JSON stays");
    }

    #[test]
    fn strings_that_are_no_json_stay_strings() {
        for raw in [
            r#"{"a":"{x}","b":"[1","c":"5","{\"k\":1}":2}"#,
            "[",
            "\"\\ud800\"",
            "{\"a\":\"{\\\"b\\\":\\\"\\ud800\\\"}\"",
        ] {
            assert_eq!(unfold(raw.as_bytes()), None, "{raw}");
        }
    }
}
