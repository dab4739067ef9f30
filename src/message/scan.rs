//! One pass over a message: whether it is JSON, what stands at its top level, and which words stand in it.
//!
//! A message is looked at many times on its way, for one thing each; a large one costs what looking costs. Here all of it is found
//! at once, as fast as memory is read. What this does not take may be JSON all the same (a key with escapes, very deep nesting): it
//! is read again with care, and only then is it said what is wrong with it.

use std::ops::Range;

use super::known_words::{KnownWord, KnownWords, LONGEST_WORD, word};
use super::members::{HeadMembers, HeadValue, Members};

/// Deeper than this nothing is read here.
const DEEPEST: u32 = 64;

/// A message up to this size is known to be UTF-8 before it is read; of a larger one that is found on the way, as most are ASCII.
const CHECKED: usize = 16 << 10;

/// Bytes of a string that are looked at eight at a time first.
const SHORT: usize = 24;
/// The highest bit of each of eight bytes.
const HIGH: u64 = 0x8080_8080_8080_8080;
/// One in each of eight bytes.
const ONES: u64 = 0x0101_0101_0101_0101;

/// What was found in a message that is JSON throughout.
pub(super) struct Scanned<'a> {
    /// The members of an object; `None` of an array.
    pub(super) members: Option<HeadMembers<'a>>,
    pub(super) words: KnownWords,
    /// It is on one line, and nothing stands around it.
    pub(super) is_line: bool,
}

/// Reads an object or an array in UTF-8 (RFC 8259); `None` for what is neither, and for what is to be read with more care.
pub(super) fn scan(raw: &[u8]) -> Option<Scanned<'_>> {
    let mut scan =
        if raw.len() <= CHECKED { WholeScan::of(std::str::from_utf8(raw).ok()?) } else { WholeScan::unchecked(raw) };
    scan.blank();
    let start = scan.at;
    let members = match scan.peek()? {
        b'{' => Some(scan.head_members()?),
        b'[' => {
            scan.value()?;
            None
        }
        _ => return None,
    };
    let end = scan.at;
    scan.blank();
    if scan.at != raw.len() || (scan.text.is_none() && scan.bits & 0x80 != 0 && std::str::from_utf8(raw).is_err()) {
        return None;
    }
    let is_line = start == 0 && end == raw.len() && !scan.has_line_end;
    Some(Scanned { members, words: scan.words, is_line })
}

/// The members of an object in a JSON text, blanks around it allowed; `None` where [`scan`] has none.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    let mut scan = PartScan::of(text);
    let mut members = Vec::with_capacity(5);
    scan.alone(|scan| {
        scan.members(|scan, key| {
            let value = scan.value()?;
            members.push((key.into(), text.get(value)?));
            Some(())
        })
    })?;
    Some(members)
}

/// [`members`], and those of the one that is called `holder`, from the same reading: the last of that name, and nothing where that is
/// no object.
pub(super) fn members_with<'a>(text: &'a str, holder: &str) -> Option<(Members<'a>, Option<Members<'a>>)> {
    let mut scan = PartScan::of(text);
    let (mut members, mut inner) = (Vec::with_capacity(5), None);
    scan.alone(|scan| {
        scan.members(|scan, key| {
            let start = scan.at;
            if key != holder {
                scan.value()?;
            } else if scan.peek()? == b'{' {
                let mut held = Vec::with_capacity(5);
                scan.members(|scan, key| {
                    let value = scan.value()?;
                    held.push((key.into(), text.get(value)?));
                    Some(())
                })?;
                inner = Some(held);
            } else {
                inner = None;
                scan.value()?;
            }
            members.push((key.into(), text.get(start..scan.at)?));
            Some(())
        })
    })?;
    Some((members, inner))
}

/// The items of an array, likewise.
pub(super) fn items(text: &str) -> Option<Vec<&str>> {
    let mut scan = PartScan::of(text);
    let mut items = Vec::new();
    scan.alone(|scan| {
        scan.items(|scan| {
            let value = scan.value()?;
            items.push(text.get(value)?);
            Some(())
        })
    })?;
    Some(items)
}

/// The scan of a message, of which more is asked than where its members stand.
type WholeScan<'a> = MessageScan<'a, true>;
/// The scan of a text that is known to be UTF-8, for its members alone.
type PartScan<'a> = MessageScan<'a, false>;

struct MessageScan<'a, const WHOLE: bool> {
    raw: &'a [u8],
    /// The same, where it is known to be UTF-8.
    text: Option<&'a str>,
    at: usize,
    /// All bytes of strings together: whether there is one beyond ASCII. Elsewhere none may stand.
    bits: u8,
    has_line_end: bool,
    words: KnownWords,
}

impl<'a, const WHOLE: bool> MessageScan<'a, WHOLE> {
    fn of(text: &'a str) -> Self {
        Self { text: Some(text), ..Self::unchecked(text.as_bytes()) }
    }

    fn unchecked(raw: &'a [u8]) -> Self {
        Self { raw, text: None, at: 0, bits: 0, has_line_end: false, words: KnownWords::default() }
    }

    /// What stands there, if that is UTF-8.
    fn text(&self, range: Range<usize>) -> Option<&'a str> {
        match self.text {
            Some(text) => text.get(range),
            None => std::str::from_utf8(&self.raw[range]).ok(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.raw.get(self.at).copied()
    }

    fn blank(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\n' | b'\r')) = self.peek() {
            self.has_line_end |= matches!(byte, b'\n' | b'\r');
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Reads a value with nothing but blanks around it.
    fn alone(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.blank();
        read(self)?;
        self.blank();
        (self.at == self.raw.len()).then_some(())
    }

    /// The members of the whole message, with those of `params`.
    fn head_members(&mut self) -> Option<HeadMembers<'a>> {
        let mut members = Vec::with_capacity(5);
        self.members(|scan, key| {
            let value = match key {
                "params" if scan.peek()? == b'{' => {
                    let mut params = Vec::with_capacity(5);
                    scan.members(|scan, key| {
                        let value = scan.value()?;
                        params.push((key.into(), &scan.raw[value]));
                        Some(())
                    })?;
                    HeadValue::Params(Some(params))
                }
                "params" => {
                    scan.value()?;
                    HeadValue::Params(None)
                }
                _ => {
                    let value = scan.value()?;
                    HeadValue::Token(&scan.raw[value])
                }
            };
            members.push((key.into(), value));
            Some(())
        })?;
        Some(members)
    }

    /// Goes through the members of an object; `read` takes the value of each.
    fn members(&mut self, mut read: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.eat(b'{')?;
        self.blank();
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            let key = self.key()?;
            // One with escapes may be any key.
            if key.has_escapes {
                return None;
            }
            let key = self.text(key.range)?;
            read(self, key)?;
            self.blank();
            if self.eat(b'}').is_some() {
                return Some(());
            }
            self.eat(b',')?;
            self.blank();
        }
    }

    /// Goes through the items of an array; `read` takes each.
    fn items(&mut self, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'[')?;
        self.blank();
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            read(self)?;
            self.blank();
            if self.eat(b']').is_some() {
                return Some(());
            }
            self.eat(b',')?;
            self.blank();
        }
    }

    /// A key, and what stands between it and its value.
    fn key(&mut self) -> Option<ScannedString> {
        let key = self.string()?;
        self.blank();
        self.eat(b':')?;
        self.blank();
        if WHOLE && self.raw[key.range.clone()] == *b"isError" && self.raw[self.at..].starts_with(b"true") {
            self.words.add(KnownWord::FailedResult);
        }
        Some(key)
    }

    /// Where a value stands, whatever is in it.
    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        match self.peek()? {
            b'{' | b'[' => self.nested()?,
            first => self.scalar(first)?,
        }
        Some(start..self.at)
    }

    /// Goes past an object or an array.
    fn nested(&mut self) -> Option<()> {
        let mut nesting = Nesting::default();
        loop {
            let is_within = match self.peek()? {
                bracket @ (b'{' | b'[') => self.enter(bracket == b'{', &mut nesting)?,
                first => {
                    self.scalar(first)?;
                    false
                }
            };
            if !is_within && self.end(&mut nesting)? {
                return Some(());
            }
        }
    }

    /// Goes past a value that has no others in it, and begins with this.
    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    /// Goes past a container with nothing in it, or to the first value that is in it. Returns whether it is in it.
    fn enter(&mut self, is_object: bool, nesting: &mut Nesting) -> Option<bool> {
        self.at += 1;
        self.blank();
        if self.eat(closing(is_object)).is_some() {
            return Some(false);
        }
        nesting.enter(is_object)?;
        if is_object {
            self.key()?;
        }
        Some(true)
    }

    /// Goes past what ends here, to the next value. Returns whether nothing is open any more.
    fn end(&mut self, nesting: &mut Nesting) -> Option<bool> {
        while let Some(is_object) = nesting.innermost() {
            self.blank();
            if self.eat(b',').is_some() {
                self.blank();
                if is_object {
                    self.key()?;
                }
                return Some(false);
            }
            self.eat(closing(is_object))?;
            nesting.leave();
        }
        Some(true)
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.raw[self.at..].starts_with(text).then(|| self.at += text.len())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        if self.eat(b'0').is_none() {
            self.digits()?;
        }
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Option<()> {
        let count = self.raw[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    /// Goes past a string.
    fn string(&mut self) -> Option<ScannedString> {
        self.eat(b'"')?;
        let (start, mut has_escapes) = (self.at, false);
        loop {
            self.plain();
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
        let range = start..self.at;
        let text = &self.raw[range.clone()];
        self.at += 1;
        if WHOLE
            && text.len() <= LONGEST_WORD
            && let Some(word) = word(text)
            // Of this one, its value decides.
            && word != KnownWord::FailedResult
        {
            self.words.add(word);
        }
        Some(ScannedString { range, has_escapes })
    }

    /// Goes to the next quote, backslash or control character.
    fn plain(&mut self) {
        // Most strings are short.
        if self.plain_within(SHORT) {
            self.plain_beyond();
        }
    }

    /// Skips plain characters of a long string.
    fn plain_beyond(&mut self) {
        // Without a branch for each byte, so that the compiler makes it one of many at a time.
        let rest = &self.raw[self.at..];
        let text = &rest[..memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
        let least = text.iter().fold(b' ', |least, byte| least.min(*byte));
        if least < b' ' {
            self.plain_within(usize::MAX);
            return;
        }
        if WHOLE {
            self.bits |= text.iter().fold(0, |bits, byte| bits | byte);
        }
        self.at += text.len();
    }

    /// Skips plain characters of a string, so many bytes at most. Returns whether none of them was one to stop at.
    fn plain_within(&mut self, most: usize) -> bool {
        let end = self.raw.len().min(self.at.saturating_add(most));
        while let Some(eight) = self.raw[self.at..end].first_chunk() {
            let eight = u64::from_le_bytes(*eight);
            let plain = stops_in(eight).trailing_zeros() / 8;
            if WHOLE {
                let within = eight & HIGH & !u64::MAX.checked_shl(8 * plain).unwrap_or(0);
                self.bits |= if within == 0 { 0 } else { 0x80 };
            }
            self.at += plain as usize;
            if plain < 8 {
                return false;
            }
        }
        for byte in &self.raw[self.at..end] {
            if stops(*byte) {
                return false;
            }
            self.bits |= byte;
            self.at += 1;
        }
        true
    }

    fn escape(&mut self) -> Option<()> {
        match self.raw.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                self.words.add(KnownWord::Meta);
                let digits = self.raw.get(self.at + 2..self.at + 6)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }
}

/// A string that was read.
struct ScannedString {
    /// What stands between its quotes.
    range: Range<usize>,
    has_escapes: bool,
}

fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

fn stops(byte: u8) -> bool {
    // Not `||`: it would be a branch.
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
}

/// Where among eight bytes, the first of them the lowest, those stand that [`stops`] is true of: the lowest bit that is set is the
/// highest of the first of them. Those above it may be wrong, as each subtraction borrows from what is above it.
fn stops_in(eight: u64) -> u64 {
    let is_zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let is_control = eight.wrapping_sub(ONES * u64::from(b' ')) & !eight;
    (is_control | is_zero(eight ^ (ONES * u64::from(b'"'))) | is_zero(eight ^ (ONES * u64::from(b'\\')))) & HIGH
}

/// The brackets that are open.
#[derive(Default)]
struct Nesting {
    /// One bit for each open container, set for objects and clear for arrays; the innermost is the lowest bit.
    objects: u64,
    depth: u32,
}

impl Nesting {
    fn enter(&mut self, is_object: bool) -> Option<()> {
        (self.depth < DEEPEST).then(|| {
            self.objects = self.objects << 1 | u64::from(is_object);
            self.depth += 1;
        })
    }

    /// Whether the innermost is that of an object; `None` where none is open.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.objects & 1 == 1)
    }

    fn leave(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::value::RawValue;

    use super::*;
    use crate::message::{items_of, members_of};

    fn words(raw: &str) -> KnownWords {
        let scanned = scan(raw.as_bytes()).expect(raw);
        assert_eq!(scanned.words, KnownWords::search(raw.as_bytes()), "{raw}");
        scanned.words
    }

    #[test]
    fn words_are_whole_strings_anywhere() {
        for (raw, word, expected) in [
            (r#"{"result":{"isError" : true}}"#, KnownWord::FailedResult, true),
            (r#"{"result":{"isError":false,"a":true}}"#, KnownWord::FailedResult, false),
            (r#"{"result":["isError",true]}"#, KnownWord::FailedResult, false),
            (r#"{"result":{"a":"input_required"}}"#, KnownWord::InputRequired, true),
            (r#"{"result":{"a":"input_required "}}"#, KnownWord::InputRequired, false),
            (r#"{"result":{"a":"\"input_required\\"}}"#, KnownWord::InputRequired, false),
            (r#"{"params":{"requestState":1}}"#, KnownWord::RequestState, true),
            (r#"{"params":{"inputResponses":{}}}"#, KnownWord::InputResponses, true),
            (r#"[[{"taskId":1}]]"#, KnownWord::TaskId, true),
            (r#"{"result":{"tools":[{"x-mcp-header":"a"}]}}"#, KnownWord::McpHeader, true),
            (r#"{"result":{"tools":[]}}"#, KnownWord::Tools, true),
            (r#"{"params":{"_meta":{}}}"#, KnownWord::Meta, true),
            (r#"{"params":{"meta":"_meta "}}"#, KnownWord::Meta, false),
        ] {
            assert_eq!(words(raw).has(word), expected, "{raw}");
        }
    }

    #[test]
    fn scan_tells_what_may_stand_in_a_line() {
        for (raw, expected) in [
            (r#"{"a":1}"#, true),
            ("{\"a\" :\t[1, {}, []]}", true),
            (r#"["é"]"#, true),
            (r#" {"a":1}"#, false),
            ("{\"a\":1}\n", false),
            ("{\"a\":\r1}", false),
        ] {
            assert_eq!(scan(raw.as_bytes()).expect(raw).is_line, expected, "{raw}");
        }
    }

    #[test]
    fn scan_leaves_to_others_what_it_does_not_know() {
        let deep = |depth| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(scan(deep(64).as_bytes()).is_some() && scan(deep(65).as_bytes()).is_none());
        assert!(scan(br#"{"\u0061":1}"#).is_none() && scan(br#"{"b":{"\u0061":1}}"#).is_some());
        for raw in [&b"{\"a\":\"\xff\"}"[..], b"{\"\xff\":1}", b"\xef\xbb\xbf{}", b"\"a\"", b"", b"{\"a\":\xc3}"] {
            assert!(scan(raw).is_none(), "{}", String::from_utf8_lossy(raw));
        }
    }

    #[test]
    fn value_with_half_of_a_surrogate_pair_is_a_member_and_a_key_with_one_is_none() {
        let read = members_of(r#"{"a":"\udaa0"}"#).expect("RFC 8259 section 8.2 allows it");
        assert_eq!(read, [("a".into(), r#""\udaa0""#)]);
        assert_eq!(items_of(r#"["\udaa0"]"#), [r#""\udaa0""#]);
        assert!(members_of(r#"{"\udaa0":1}"#).is_err());
    }

    /// Pieces of JSON, and of what is nearly JSON.
    fn pieces() -> impl Strategy<Value = String> {
        let long = "x".repeat(150);
        let piece = prop_oneof![
            8 => "[{}\\[\\],:]",
            4 => "\"[a-cé\\\\\"/]{0,3}\"",
            2 => Just(format!("\"{long}\"")),
            1 => Just(format!("\"{long}\u{1}\"")),
            2 => "-?[0-9]{1,2}(\\.[0-9]{0,2})?([eE][+-]?[0-9]?)?",
            1 => "\"\\\\u[0-9a-g]{3,4}\"",
            1 => Just("true".to_owned()),
            1 => Just("nul".to_owned()),
            1 => "[ \n\t\u{c}]",
        ];
        proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    /// JSON of any shape.
    fn json() -> impl Strategy<Value = String> {
        let leaf =
            prop_oneof!["\"[ -!#-\\[\\]-~é]{0,80}\"", "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,2})?", Just("null".to_owned())];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(|it| format!("[{}]", it.join(" , "))),
                proptest::collection::vec(("[a-c]{0,2}", inner), 0..4).prop_map(|it| {
                    let members: Vec<_> = it.into_iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    #[test]
    fn first_byte_to_stop_at_is_found_among_eight() {
        for byte in 0..=u8::MAX {
            for at in 0..8_u32 {
                for other in [b'a', b' ', b'!', 0x80, 0xff] {
                    let mut eight = [other; 8];
                    eight[at as usize] = byte;
                    let expected = if stops(byte) { at } else { 8 };
                    let found = stops_in(u64::from_le_bytes(eight)).trailing_zeros() / 8;
                    assert_eq!(found, expected, "{byte:#x} at {at} among {other:#x}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn members_with_those_of_one_are_what_each_is(body in json(), other in json(), twice: bool) {
            let twice = if twice { format!(",\"result\":{other}") } else { String::new() };
            let raw = format!("{{\"id\":1, \"result\" : {body}{twice}}}");
            let (members, inner) = members_with(&raw, "result").expect("it is an object");
            let alone = super::members(&raw).expect("it is an object");
            prop_assert_eq!(&members, &alone);
            prop_assert_eq!(inner, super::members(members.last().expect("it has two").1));
        }

        #[test]
        fn scan_takes_nothing_that_is_not_json(body in pieces(), is_object: bool) {
            let raw = if is_object { format!("{{\"a\":{body}}}") } else { format!("[{body}]") };
            if scan(raw.as_bytes()).is_some() {
                prop_assert!(serde_json::from_str::<IgnoredAny>(&raw).is_ok(), "{}", raw);
            }
        }

        /// What reads a text that is known to be nothing yet sees in it what a parser sees.
        #[test]
        fn members_and_items_are_those_of_a_parser(body in pieces(), value in json()) {
            for raw in [format!(" {{\"a\":{body}}}"), format!("[{body}]\n"), value] {
                let parsed: Option<Vec<&RawValue>> = serde_json::from_str(&raw).ok();
                let parsed = parsed.map(|items| items.into_iter().map(RawValue::get).collect::<Vec<_>>());
                prop_assert!(items(&raw).is_none_or(|items| Some(&items) == parsed.as_ref()), "{}", raw);
                prop_assert_eq!(items_of(&raw), parsed.unwrap_or_default());
                // Values by the grammar alone, as members are: half of a surrogate pair is JSON, and no `String`.
                let whole: Result<HashMap<String, &RawValue>, _> = serde_json::from_str(&raw);
                let read = members_of(&raw);
                prop_assert_eq!(whole.is_ok(), read.is_ok(), "{}", raw);
                for (key, text) in read.unwrap_or_default() {
                    let _: &RawValue = serde_json::from_str(text).expect(text);
                    prop_assert!(!text.is_empty() && text.trim() == text);
                    prop_assert!(whole.as_ref().is_ok_and(|whole| whole.contains_key(&*key)), "{} {}", key, text);
                }
            }
        }

        #[test]
        fn scan_takes_json(body in json(), params in json()) {
            let raw = format!("{{\"id\":1, \"result\" : {body},\"params\":{params}}}");
            let scanned = scan(raw.as_bytes()).expect("it is JSON");
            let members = scanned.members.expect("it is an object");
            prop_assert_eq!(members[1].1.token(), Some(body.as_str()));
            if params.starts_with('{') {
                let read = members_of(&params).expect("an object");
                let read: Vec<_> = read.into_iter().map(|(key, value)| (key, value.as_bytes())).collect();
                prop_assert_eq!(members[2].1.params(), Some(&read));
            } else {
                prop_assert!(members[2].1.params().is_none());
            }
        }
    }
}
