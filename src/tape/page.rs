//! Reports that are one HTML file: nothing is fetched, and nothing that a peer said is markup or code.
//!
//! All of them have one frame: search, the buttons, how a difference and a drawing look. What is theirs is a script, and the JSON that it shows.

use crate::text::escape_markup;

const FRAME: &str = include_str!("../../assets/export/frame.html");

/// What shows the messages of a tape, the steps of a replay, and what differs between two tapes.
pub(super) const MESSAGES: &str = include_str!("../../assets/export/messages.js");
pub(super) const REPLAY: &str = include_str!("../../assets/export/replay.js");
pub(super) const DIFF: &str = include_str!("../../assets/export/diff.js");

/// So many items are in a page; a browser is slow with more.
pub(super) const MOST: usize = 20_000;

/// A page before and behind the JSON that it shows, which is [`harmless`].
pub(super) fn page(title: &str, script: &str) -> [String; 2] {
    let (before, behind) = FRAME.split_once("@DATA@").expect("the frame has a place for it");
    [before.replacen("@TITLE@", &escape_markup(title), 1), behind.replacen("@SCRIPT@", script.trim_end(), 1)]
}

/// JSON text, or a part of one, in which neither `</script>` nor `<!--` can stand.
pub(super) fn harmless(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
