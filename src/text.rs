//! Text for a terminal: made harmless, measured in cells, cut and padded to fit; and numbers in few characters.
//!
//! Everything that a peer wrote passes [`sanitize`] before it is drawn: a terminal obeys control bytes, and a reader
//! is fooled by text that reorders or hides itself.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize as _, Deserializer};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Stands where text was cut off.
const CUT: &str = "..";

/// Returns `text` on one line, with every character that acts or hides instead of showing as a visible escape: `\n`, `\x1b`,
/// `\u{202e}`. A joiner between two emoji stays, as it makes them one.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    // Nearly all that is shown is plain, and seen to be so at once.
    let is_plain = text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if is_plain || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let joins = c == ZWJ && before.is_some_and(is_emoji) && chars.peek().copied().is_some_and(is_emoji);
        if joins || !is_unsafe(c) {
            safe.push(c);
        } else {
            push_escape(&mut safe, c);
        }
        before = Some(c);
    }
    Cow::Owned(safe)
}

/// Returns JSON with what acts or hides written as `\\u` escapes: the same values, and harmless in a terminal. Such characters stand in
/// its strings only.
pub fn harmless_json(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| byte < 0x7f) || !json.chars().any(acts_in_json) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts_in_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(safe, "\\u{unit:04x}").expect("a string takes everything");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Blanks and line ends between values stay.
fn acts_in_json(c: char) -> bool {
    is_unsafe(c) && c >= '\x7f'
}

/// Returns text of several lines, each made harmless.
pub fn sanitize_lines(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_unsafe(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(sanitize).collect::<Vec<_>>().join("\n"))
}

const ZWJ: char = '\u{200d}';

/// Whether a character does something to the terminal, or cannot be seen.
pub(crate) fn is_unsafe(c: char) -> bool {
    matches!(c,
        // C0, DEL and C1 controls.
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Reordering: marks, embeddings, overrides, isolates.
        | '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Line and paragraph separators.
        | '\u{2028}'..='\u{2029}'
        // No width: soft hyphen, joiners, fillers, operators, byte order mark, annotations, noncharacters, tags, selectors.
        | '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fe00}'..='\u{fe0d}' | '\u{1d173}'..='\u{1d17a}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{1f000}'..='\u{1faff}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}')
}

fn push_escape(safe: &mut String, c: char) {
    match c {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        c if u32::from(c) < 0x100 => write!(safe, "\\x{:02x}", u32::from(c)).expect("a string takes everything"),
        c => write!(safe, "\\u{{{:x}}}", u32::from(c)).expect("a string takes everything"),
    }
}

/// Text that is no markup in HTML.
pub fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns how many cells `text` takes, counted as ratatui draws it: one grapheme after the other.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.graphemes(true).map(str::width).sum() }
}

/// Returns `text` in at most `cells`; what is cut off leaves `..`. Never splits a grapheme.
pub fn fit(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let Some(room) = cells.checked_sub(CUT.len()) else {
        return ".".repeat(cells);
    };
    format!("{}{CUT}", head(text, room))
}

/// As [`fit`], of what is told by both its ends, as paths and commands are: what is cut out in between leaves `..`.
pub fn fit_ends(text: &str, cells: usize) -> String {
    let room = cells.saturating_sub(CUT.len());
    if width(text) <= cells || room < 6 {
        return fit(text, cells);
    }
    let before = head(text, room / 3);
    let mut rest = room - width(before);
    let from = text.grapheme_indices(true).rev().take_while(|(_, grapheme)| {
        let fits = grapheme.width() <= rest;
        rest = rest.saturating_sub(grapheme.width());
        fits
    });
    let from = from.last().map_or(text.len(), |(at, _)| at);
    format!("{before}{CUT}{}", &text[from..])
}

/// Of two texts of which `most` characters are to be shown, and that begin alike for longer than that would tell: this one from shortly before
/// the place where they part, behind `..`.
pub fn from_parting<'t>(text: &'t str, other: Option<&str>, most: usize) -> Cow<'t, str> {
    let alike = text.chars().zip(other.unwrap_or_default().chars()).take_while(|(one, other)| one == other).count();
    if alike <= most / 2 || text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let start = text.char_indices().nth(alike - most / 4).map_or(text.len(), |(at, _)| at);
    Cow::Owned(format!("{CUT}{}", &text[start..]))
}

/// At most so many characters of a value that is another than `other`, where they differ; of a longer one its size is told.
pub fn excerpt(text: &str, other: Option<&str>, most: usize) -> String {
    let shown = from_parting(text, other, most);
    match shown.char_indices().nth(most) {
        Some((end, _)) => format!("{}… ({} bytes)", &shown[..end], text.len()),
        None if shown.len() != text.len() => format!("{shown} ({} bytes)", text.len()),
        None => shown.into_owned(),
    }
}

/// Returns as much of `text` as fits into so many cells of a terminal.
fn head(text: &str, cells: usize) -> &str {
    let mut taken = 0;
    let end = text.grapheme_indices(true).find(|(_, grapheme)| {
        taken += grapheme.width();
        taken > cells
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// Returns a line in rows of so many cells, broken between words; of more than `most` rows the last is cut off.
pub fn in_rows(text: &str, cells: usize, most: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        let has_room = rows.len() < most;
        let row = rows.last_mut().expect("there is one");
        let is_full = !row.is_empty() && width(row) + 1 + width(word) > cells;
        if is_full && has_room {
            rows.push(word.to_owned());
            continue;
        }
        if !row.is_empty() {
            *row += " ";
        }
        *row += word;
        if is_full {
            break;
        }
    }
    rows.iter().map(|row| fit(row, cells)).collect()
}

/// Returns `text` in exactly `cells`: cut, or filled with spaces on the right.
pub fn pad(text: &str, cells: usize) -> String {
    let mut fitted = fit(text, cells);
    let fill = cells - width(&fitted);
    fitted.extend(std::iter::repeat_n(' ', fill));
    fitted
}

/// Writes a number of bytes in at most four characters: `118B`, `4.1k`, `97k`, `2.1M` (k is 1024).
pub fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    let mut value = to_float(bytes) / 1024.0;
    for unit in ["k", "M", "G", "T", "P"] {
        if value < 9.95 {
            return format!("{value:.1}{unit}");
        }
        if value < 999.5 {
            return format!("{value:.0}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.0}E")
}

/// Writes a number in at most four characters: `118`, `4.1k`, `97k`, `2.1M` (k is 1000).
pub fn count(number: u64) -> String {
    if number < 1000 {
        return number.to_string();
    }
    let mut value = to_float(number) / 1e3;
    for unit in ["k", "M", "G", "T", "P"] {
        if value < 9.95 {
            return format!("{value:.1}{unit}");
        }
        if value < 999.5 {
            return format!("{value:.0}{unit}");
        }
        value /= 1e3;
    }
    format!("{value:.0}E")
}

/// Writes how many things there are: `1 call`, `2 calls`.
pub fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Writes how many things are in some state: `1 message is`, `2 messages are`.
pub fn counted_are(number: impl TryInto<u64>, thing: &str) -> String {
    let text = counted(number, thing);
    let verb = if text.starts_with("1 ") { "is" } else { "are" };
    text + " " + verb
}

/// Writes `number` things in so many seconds as a rate a second: `12`, `0.4`.
pub fn rate(number: u64, seconds: u64) -> String {
    let rate = to_float(number) / to_float(seconds.max(1));
    if rate < 9.95 && number > 0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// Writes microseconds in at most five characters. Below a second it is milliseconds without a unit: `0.06`, `0.4`, `3.2`, `370`;
/// then seconds, minutes, hours and days: `1.1s`, `42s`, `2m05`, `1h30`, `3d`.
pub fn micros(micros: u64) -> String {
    let millis = to_float(micros) / 1e3;
    let seconds = micros / 1_000_000;
    match micros {
        0 => "0".to_owned(),
        1..95 => format!("{:.2}", millis.max(0.01)),
        95..9_950 => format!("{millis:.1}"),
        9_950..999_500 => format!("{millis:.0}"),
        999_500..9_950_000 => format!("{:.1}s", millis / 1e3),
        9_950_000..59_500_000 => format!("{:.0}s", millis / 1e3),
        59_500_000..3_600_000_000 => format!("{}m{:02}", seconds.max(60) / 60, seconds.max(60) % 60),
        3_600_000_000..86_400_000_000 => format!("{}h{:02}", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Writes microseconds as [`micros`] does, with a unit in any case: `0.06ms`, `370ms`, `1.1s`, `2m05s`, `1h30m`, `3d`.
pub fn micros_with_unit(time: u64) -> String {
    let unit = match time {
        0..999_500 => "ms",
        59_500_000..3_600_000_000 => "s",
        3_600_000_000..86_400_000_000 => "m",
        _ => "",
    };
    micros(time) + unit
}

/// Reads a duration in a file of settings, written as [`duration`] takes it; the type may be an `Option` as well.
///
/// # Errors
/// Where the value is no string, no duration, or a negative one.
pub fn written_duration<'de, D: Deserializer<'de>, T: From<Duration>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map(T::from).map_err(serde::de::Error::custom)
}

/// Reads a duration as people write it: `500ms`, `5s`, `1m30s`, `24h`, `30d`; a number alone is seconds. The one reader of times, for
/// options and files of settings alike.
///
/// # Errors
/// Where the text is no duration, or a negative one.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.trim().parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let span = text.trim().parse::<jiff::Span>().and_then(|span| span.to_duration(days));
    let span =
        span.map_err(|_| format!("invalid duration `{text}`; write it like `500ms`, `2s`, `1m30s`, `24h` or `30d`"))?;
    Duration::try_from(span).map_err(|_| format!("duration `{text}` must not be negative"))
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits at most")]
fn to_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAMILY: &str = "👩‍👩‍👧‍👦";

    #[test]
    fn excerpt_is_of_where_values_differ() {
        let long = format!("\"{}\"", "é".repeat(200));
        assert_eq!(excerpt(&long, None, 120), format!("\"{}… (402 bytes)", "é".repeat(119)));
        assert_eq!(excerpt("short", Some("shorter"), 5), "short");
        let (was, is) = (format!("{long} and so on"), format!("{long} and so forth, {}", "x".repeat(200)));
        assert_eq!(excerpt(&was, Some(&is), 120), format!("..{}\" and so on (412 bytes)", "é".repeat(21)));
        let shown = excerpt(&is, Some(&was), 120);
        assert!(
            shown.starts_with("..éé") && shown.contains("and so forth, xxx") && shown.ends_with("… (617 bytes)"),
            "{shown}"
        );
        assert!(excerpt(&long, Some(&was), 120).ends_with("é\" (402 bytes)"), "it ends where the other goes on");
        assert_eq!(from_parting(&long, Some("other"), 9), long.as_str());
    }

    #[test]
    fn sanitize_shows_what_acts_or_hides() {
        for (text, safe) in [
            ("plain", "plain"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\x1b[2J\x07\x7f\0", "\\x1b[2J\\x07\\x7f\\x00"),
            ("\u{9b}31m", "\\x9b31m"),
            ("user\u{202e}gpj.exe", "user\\u{202e}gpj.exe"),
            ("a\u{2066}b\u{2069}\u{200f}", "a\\u{2066}b\\u{2069}\\u{200f}"),
            ("in\u{200b}visible\u{feff}", "in\\u{200b}visible\\u{feff}"),
            ("a\u{200d}b", "a\\u{200d}b"),
            ("\u{e0041}tag\u{ffff}", "\\u{e0041}tag\\u{ffff}"),
            ("日本語 é e\u{301} שלום", "日本語 é e\u{301} שלום"),
            (FAMILY, FAMILY),
            ("❤\u{fe0f}\u{200d}🔥", "❤\u{fe0f}\u{200d}🔥"),
        ] {
            assert_eq!(sanitize(text), safe);
        }
        assert!(matches!(sanitize("plain ü"), Cow::Borrowed(_)));
    }

    #[test]
    fn harmless_json_has_the_same_values_and_acts_nowhere() {
        let text = "a\u{9b}31m\u{7f}b\u{202e}c\u{2066}\u{2028}\u{feff}\u{e0041} ü\u{1f600}";
        let json = serde_json::to_string_pretty(&serde_json::json!({ text: [text] })).expect("it is JSON");
        let safe = harmless_json(&json);
        assert!(!safe.chars().any(acts_in_json), "{safe}");
        assert!(safe.contains("\\u009b") && safe.contains("\\u202e") && safe.contains("ü\u{1f600}"), "{safe}");
        let read: serde_json::Value = serde_json::from_str(&safe).expect("it is JSON still");
        assert_eq!(read[text][0], text);
        assert!(matches!(harmless_json("{\"plain\": 1}"), Cow::Borrowed(_)));
    }

    #[test]
    fn width_is_in_cells() {
        for (text, cells) in
            [("", 0), ("abc", 3), ("日本", 4), ("e\u{301}", 1), (FAMILY, 2), ("שלום", 4), ("ｆｕｌｌ", 8), ("🇩🇪", 2)]
        {
            assert_eq!(width(text), cells, "{text}");
        }
    }

    #[test]
    fn fit_ends_keeps_what_tells_two_paths_apart() {
        for (cells, fitted) in
            [(32, "node /a/very/long/path/server.js"), (16, "node../server.js"), (7, "node .."), (2, "..")]
        {
            assert_eq!(fit_ends("node /a/very/long/path/server.js", cells), fitted);
        }
    }

    #[test]
    fn fit_keeps_graphemes_whole() {
        for (text, cells, fitted) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abc.."),
            ("abcdef", 2, ".."),
            ("abcdef", 1, "."),
            ("abcdef", 0, ""),
            ("日本語", 5, "日.."),
            ("日本語", 4, "日.."),
            ("ae\u{301}bcd", 4, "ae\u{301}.."),
            ("👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 5, "👩‍👩‍👧‍👦.."),
            ("שלום עולם", 6, "שלום.."),
        ] {
            assert_eq!(fit(text, cells), fitted);
        }
        assert_eq!(pad("日本語", 5), "日.. ");
        assert_eq!(pad("ab", 4), "ab  ");
    }

    #[test]
    fn size_takes_four_characters() {
        for (bytes, text) in [
            (0, "0B"),
            (118, "118B"),
            (999, "999B"),
            (1000, "1.0k"),
            (4198, "4.1k"),
            (99_328, "97k"),
            (1_048_000, "1.0M"),
            (2_202_010, "2.1M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn count_and_rate_are_short() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1.0k"), (97_400, "97k"), (999_600, "1.0M"), (u64::MAX, "18E")]
        {
            assert_eq!(count(number), text);
        }
        for (number, seconds, text) in
            [(0, 1, "0"), (12, 1, "12"), (2, 5, "0.4"), (9, 1, "9.0"), (300, 30, "10"), (7, 0, "7.0")]
        {
            assert_eq!(rate(number, seconds), text);
        }
    }

    #[test]
    fn micros_takes_five_characters() {
        for (time, text) in [
            (0, "0"),
            (3, "0.01"),
            (60, "0.06"),
            (94, "0.09"),
            (400, "0.4"),
            (3_210, "3.2"),
            (9_960, "10"),
            (370_000, "370"),
            (999_600, "1.0s"),
            (1_102_000, "1.1s"),
            (42_000_000, "42s"),
            (59_900_000, "1m00"),
            (125_000_000, "2m05"),
            (5_400_000_000, "1h30"),
            (300_000_000_000, "3d"),
        ] {
            assert_eq!(micros(time), text);
        }
    }

    #[test]
    fn duration_is_read_as_people_write_it() {
        for (text, seconds) in
            [("5s", 5), ("1m30s", 90), ("1m 30s", 90), ("24h", 86_400), ("30d", 2_592_000), ("0s", 0), (" 5 ", 5)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "soon", "5.", "-5", "-5s", "1 month", "5s!"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sanitize_leaves_nothing_unsafe_and_pad_is_exact(text in any::<String>(), cells in 0_usize..40) {
            let safe = sanitize(&text);
            prop_assert!(!safe.chars().any(|c| is_unsafe(c) && c != ZWJ));
            prop_assert!(width(&fit(&safe, cells)) <= cells);
            prop_assert!(width(&fit_ends(&safe, cells)) <= cells);
            prop_assert_eq!(width(&pad(&safe, cells)), cells);
        }

        #[test]
        fn size_and_micros_stay_short(number in any::<u64>(), shift in 0_u32..64) {
            prop_assert!(size(number >> shift).len() <= 4);
            prop_assert!(micros((number >> shift).min(8_000_000_000_000_000)).len() <= 6);
        }
    }
}
