//! What stands in place of secrets, read again: as a place where anything may stand in the other text.

use super::names::{NamedValue, is_secret_member};
use super::{BEGIN, DIGITS};

/// Whether a secret stood somewhere in this text.
pub(crate) fn has_mark(text: &str) -> bool {
    marks(text).next().is_some()
}

/// Whether a number that goes by this name is taken out of tapes: then it is another one on each.
pub(crate) fn is_secret_number(name: &str, token: &str) -> bool {
    is_secret_member(name, NamedValue::Number(token))
}

/// Reads a text that may be the one which `redacted` was before its secrets were taken out: each mark, and what stands there now.
/// `None` where it cannot be that text. `is_part` says what a secret cannot have in it.
pub(crate) fn secrets_of<'a>(
    redacted: &'a str,
    text: &'a str,
    is_part: impl Fn(&str) -> bool,
) -> Option<Vec<(&'a str, &'a str)>> {
    let places: Vec<_> = marks(redacted).collect();
    let first = places.first()?;
    let mut rest = text.strip_prefix(&redacted[..first.0])?;
    let mut secrets = Vec::new();
    for (at, (start, end)) in places.iter().enumerate() {
        let next = places.get(at + 1).map(|next| next.0);
        let after = &redacted[*end..next.unwrap_or(redacted.len())];
        let length = match next {
            // The last one goes as far as it can.
            None => rest.len().checked_sub(after.len()).filter(|length| rest.get(*length..) == Some(after))?,
            Some(_) => rest.find(after)?,
        };
        let secret = rest.get(..length).filter(|secret| !secret.is_empty() && is_part(secret))?;
        secrets.push((&redacted[*start..*end], secret));
        rest = &rest[length + after.len()..];
    }
    Some(secrets)
}

/// Replaces marks by what is known to have stood there; `None` where nothing is known.
pub(crate) fn with_secrets<'s>(text: &str, secret: impl Fn(&str) -> Option<&'s str>) -> Option<String> {
    let (mut now, mut copied) = (String::new(), 0);
    for (start, end) in marks(text) {
        if let Some(secret) = secret(&text[start..end]) {
            now.push_str(&text[copied..start]);
            now.push_str(secret);
            copied = end;
        }
    }
    now.push_str(&text[copied..]);
    (copied > 0).then_some(now)
}

/// Where marks begin and end.
fn marks(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices(BEGIN).filter_map(|(start, _)| {
        let digits = text.get(start + BEGIN.len()..)?;
        let end = start + BEGIN.len() + DIGITS + 1;
        let is_mark =
            digits.bytes().take(DIGITS).all(|byte| byte.is_ascii_hexdigit()) && text.get(end - 1..end)? == "]";
        is_mark.then_some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_where_marks_stand() {
        let read = |redacted, text| secrets_of(redacted, text, |secret| !secret.contains('"'));
        let mark = "[redacted:0a1b2c3d]";
        assert_eq!(read(mark, "hunter2"), Some(vec![(mark, "hunter2")]));
        assert_eq!(
            read("a [redacted:0a1b2c3d] b [redacted:ffffffff]", "a x b y z"),
            Some(vec![(mark, "x"), ("[redacted:ffffffff]", "y z")])
        );
        for (redacted, text) in
            [(mark, ""), ("a [redacted:0a1b2c3d]", "b x"), ("[redacted:0a1b2c3d] b", "x c"), ("a", "a"), (mark, "x\"y")]
        {
            assert_eq!(read(redacted, text), None, "{redacted} {text}");
        }
        assert!(has_mark("x [redacted:0a1b2c3d]") && !has_mark("[redacted]") && !has_mark("[redacted:0a1b2c3"));
        assert_eq!(
            with_secrets("x [redacted:0a1b2c3d] [redacted:ffffffff]", |it| (it == mark).then_some("y")).unwrap(),
            "x y [redacted:ffffffff]"
        );
    }
}
