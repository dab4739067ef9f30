//! How the shadow's reply compares with the primary's.

use crate::envelope::Seq;
use crate::event::{Comparison, Difference, ShadowVerdict};
use crate::message::{Kind, Message};
use crate::tape::compare::{self, Rules, RunClocks};

/// Differences that are told of one reply; the rest is counted.
const MOST_DIFFERENCES: usize = 50;
/// Bytes that are told of one value.
const MOST_BYTES: usize = 2048;

/// A reply of the primary.
pub(super) struct Primary {
    pub(super) seq: Seq,
    pub(super) message: Message,
    /// Microseconds from the request.
    pub(super) took: u64,
}

/// Fills in what came of comparing.
pub(super) fn compare(comparison: &mut Comparison, expected: &Message, got: &Message, rules: &Rules) {
    let rules = Rules { clocks: Some(RunClocks::now()), ..rules.clone() };
    let mut differences = compare::compare(expected, got, &rules);
    let count = differences.len();
    differences.truncate(MOST_DIFFERENCES);
    differences.iter_mut().flat_map(|it| [&mut it.expected, &mut it.got]).flatten().for_each(cut);
    comparison.why = match (expected.kind(), got.kind(), count) {
        (_, _, 0) => None,
        (Kind::Result, Kind::Error, _) => Some(format!("an error in place of a result: {}", said(got))),
        (Kind::Error, Kind::Result, _) => Some(format!("a result in place of an error: {}", said(expected))),
        (_, _, 1) => Some("1 value differs".to_owned()),
        (_, _, count) => Some(format!("{count} values differ")),
    };
    comparison.verdict = if differences.is_empty() { ShadowVerdict::Same } else { ShadowVerdict::Differs };
    comparison.differences = differences;
}

/// What an error reply says.
pub(super) fn error_text(reply: &Message) -> Option<String> {
    let error: serde_json::Value = serde_json::from_str(reply.member("error")?).ok()?;
    Some(error.get("message")?.as_str()?.to_owned())
}

fn said(error: &Message) -> String {
    let mut text = error_text(error).unwrap_or_default();
    cut(&mut text);
    text
}

/// Leaves the beginning of a text that would fill memory.
fn cut(text: &mut String) {
    if text.len() > MOST_BYTES {
        let end = (0..=MOST_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
}

/// A difference in one line.
pub(super) fn line(difference: &Difference) -> String {
    let side = |value: &Option<String>| value.as_deref().unwrap_or("nothing").to_owned();
    format!("{} {} -> {}", difference.path, side(&difference.expected), side(&difference.got))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_text_is_bounded() {
        let array = |value: &str| {
            let values = vec![serde_json::Value::from(value.repeat(5000)); 60];
            Message::new(serde_json::json!({"id": 1, "result": values}).to_string())
        };
        let mut comparison = crate::shadow::session::tests::blank();
        compare(&mut comparison, &array("é"), &array("x"), &Rules::default());
        assert_eq!((comparison.differences.len(), comparison.why.as_deref()), (50, Some("60 values differ")));
        let longest = comparison.differences.iter().flat_map(|it| [&it.expected, &it.got]).flatten().map(String::len);
        assert!(longest.max().is_some_and(|longest| longest <= MOST_BYTES + '…'.len_utf8()));
    }
}
