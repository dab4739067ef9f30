//! What `RE` stands for in the table of operators: a text is looked for.

use regex::bytes::{Regex, RegexBuilder};

use super::cursor::{Cursor, FilterError, Word};
use super::summary::OWN_WORDS;

/// A regular expression with smart case.
#[derive(Clone, Debug)]
pub(super) struct TextPattern {
    /// The expression as a plain word, where it is one, as most are: in a short text a word is found before an expression
    /// has started.
    word: Option<Literal>,
    expression: Box<Regex>,
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

impl TextPattern {
    pub(super) fn read(cursor: &Cursor<'_>, word: &Word) -> Result<Self, FilterError> {
        let any_case = !has_upper_case(&word.text);
        let expression = RegexBuilder::new(&word.text)
            .case_insensitive(any_case)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| cursor.fail_at(word.at, format!("invalid pattern: {}", reason(&error))))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/' | b':' | b'@');
        let literal = !word.text.is_empty() && word.text.bytes().all(plain);
        let word_text = word.text.to_lowercase();
        let word = literal.then(|| Literal { text: word.text.as_bytes().into(), any_case });
        let may_be_own = expression.is_match(OWN_WORDS.as_bytes()) || word_of_own(&word_text);
        Ok(Self { word, expression: Box::new(expression), may_be_own })
    }

    /// Whether it may be found in what a row says of a result, and not in the message.
    pub(super) fn may_be_own(&self) -> bool {
        self.may_be_own
    }

    /// Is found in every text.
    pub(super) fn anything() -> Self {
        Self { word: None, expression: Box::new(Regex::new("").expect("nothing is a pattern")), may_be_own: true }
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
            _ => self.expression.is_match(text),
        }
    }
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
