//! A word that every message has which a filter matches: where it is not found, in a stretch of a tape or in many messages that lie
//! together, none of them has to be looked at.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

/// Looks for a word in any case in JSON text as it is written.
#[derive(Debug)]
pub struct NeededWord {
    /// Letters of other alphabets that are the same in another case are found by it.
    word: Regex,
    /// How the word may be hidden: behind an escape, or in base64.
    hidden: [Finder<'static>; 3],
}

impl NeededWord {
    /// Of a word that has signs in it that are escaped in JSON, its longest part that has none.
    pub(super) fn of(word: &str) -> Option<Self> {
        let parts = word.split(|c: char| matches!(c, '"' | '\\') || c.is_control());
        let word = parts.max_by_key(|part| part.len()).filter(|part| !part.is_empty())?;
        let word = RegexBuilder::new(&regex::escape(word)).case_insensitive(true).build().ok()?;
        Some(Self { word, hidden: [Finder::new(r"\u"), Finder::new(r"\/"), Finder::new("\"b64\":")] })
    }

    /// Whether a message that the filter matches may be in this text.
    pub fn may_be_in(&self, text: &[u8]) -> bool {
        self.word.is_match(text) || self.hidden.iter().any(|it| it.find(text).is_some())
    }
}
