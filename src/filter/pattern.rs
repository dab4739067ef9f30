//! What `RE` stands for in the table of operators: a text is looked for.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use super::cursor::{Cursor, FilterError, Word};
use super::summary::OWN_WORDS;

/// A regular expression with smart case.
#[derive(Clone, Debug)]
pub(super) struct TextPattern {
    /// The expression as a plain word, where it is one, as most are: in a short text a word is found before an expression
    /// has started.
    word: Option<Literal>,
    /// Of a word it is built once a text is looked at in which the word is not looked for by itself: in a filter of hundreds of words,
    /// most never meet one.
    expression: OnceLock<Box<Regex>>,
    /// Whether it may be in the words that a row of a result has of its own.
    may_be_own: bool,
}

#[derive(Clone, Debug)]
struct Literal {
    text: Box<[u8]>,
    any_case: bool,
}

/// Longer texts are searched faster by the expression.
const SHORT: usize = 64;
/// The expression of a longer word may be too large, which is to be said at once.
const LONGEST_WORD: usize = 256;

impl TextPattern {
    pub(super) fn read(cursor: &Cursor<'_>, word: &Word) -> Result<Self, FilterError> {
        let any_case = !has_upper_case(&word.text);
        let built = |text: &str| {
            built(text, any_case)
                .map_err(|error| cursor.fail_at(word.at, format!("invalid pattern: {}", reason(&error))))
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b':' | b'@');
        let is_literal = !word.text.is_empty() && word.text.bytes().all(plain);
        let literal = is_literal.then(|| Literal { text: word.text.as_bytes().into(), any_case });
        let (expression, in_own) = match &literal {
            Some(literal) if word.text.len() <= LONGEST_WORD => (OnceLock::new(), literal.is_in(OWN_WORDS.as_bytes())),
            _ => {
                let expression = built(&word.text)?;
                let in_own = expression.is_match(OWN_WORDS.as_bytes());
                (OnceLock::from(Box::new(expression)), in_own)
            }
        };
        let may_be_own = in_own || word_of_own(&word.text.to_lowercase());
        Ok(Self { word: literal, expression, may_be_own })
    }

    /// Whether it may be found in what a row says of a result, and not in the message.
    pub(super) fn may_be_own(&self) -> bool {
        self.may_be_own
    }

    /// Is found in every text.
    pub(super) fn anything() -> Self {
        let expression = Regex::new("").expect("nothing is a pattern");
        Self { word: None, expression: OnceLock::from(Box::new(expression)), may_be_own: true }
    }

    /// The word that it is, where it is one; then whatever matches has it, in one case or another.
    pub(super) fn word(&self) -> Option<&str> {
        std::str::from_utf8(&self.word.as_ref()?.text).ok()
    }

    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match &self.word {
            // A letter of another alphabet that is the same in another case takes more bytes, never fewer.
            Some(word) if text.len() < word.text.len() => false,
            Some(word) if *text == *word.text => true,
            // Beyond ASCII, letters of another alphabet may be the same in another case.
            Some(word) if text.len() <= SHORT && text.is_ascii() => word.is_in(text),
            _ => self.expression().is_match(text),
        }
    }

    fn expression(&self) -> &Regex {
        self.expression.get_or_init(|| {
            let any_case = self.word.as_ref().is_some_and(|word| word.any_case);
            Box::new(built(self.word().unwrap_or_default(), any_case).expect("a short word is an expression"))
        })
    }
}

fn built(text: &str, any_case: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(any_case).size_limit(1 << 20).build()
}

/// Whether a part of a text is a word of a row, or a number, of which it has some.
fn word_of_own(text: &str) -> bool {
    let own = OWN_WORDS.to_lowercase();
    text.split_whitespace()
        .any(|part| own.contains(part) || (part.len() < 7 && part.bytes().all(|it| it.is_ascii_digit())))
}

impl Literal {
    fn is_in(&self, text: &[u8]) -> bool {
        let mut places = text.windows(self.text.len());
        if self.any_case {
            places.any(|place| place.eq_ignore_ascii_case(&self.text))
        } else {
            places.any(|place| *place == *self.text)
        }
    }
}

/// The last line says what is wrong; those before draw where, in a font we do not have.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// Escapes such as `\S` are no upper-case letters.
fn has_upper_case(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c.is_uppercase() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TextPattern {
        let mut cursor = Cursor::new(text);
        let word = cursor.word().unwrap();
        TextPattern::read(&cursor, &word).unwrap()
    }

    #[test]
    fn expression_of_a_word_is_built_when_a_long_text_asks_for_it() {
        let word = pattern("word1");
        assert!(word.expression.get().is_none() && word.is_match(b"a WORD1 b") && !word.is_match(b"word"));
        assert!(word.expression.get().is_none(), "short texts need none");
        assert!(word.is_match(format!("{} Word1", "x ".repeat(SHORT)).as_bytes()) && word.expression.get().is_some());
        assert!(!pattern("Word1").is_match("word1 ".repeat(SHORT).as_bytes()), "with its upper case");
        assert!(pattern("wor.1").expression.get().is_some(), "what may be no expression is read at once");
    }
}
