//! What `RE` stands for in the table of operators: a text is looked for.

use regex::bytes::{Regex, RegexBuilder};

use super::cursor::{Cursor, FilterError, Word};

/// A regular expression with smart case.
#[derive(Clone, Debug)]
pub(super) struct TextPattern {
    /// The expression as a plain word, where it is one, as most are: in a short text a word is found before an expression
    /// has started.
    word: Option<Literal>,
    expression: Box<Regex>,
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
        let word = literal.then(|| Literal { text: word.text.as_bytes().into(), any_case });
        Ok(Self { word, expression: Box::new(expression) })
    }

    /// Is found in every text.
    pub(super) fn anything() -> Self {
        Self { word: None, expression: Box::new(Regex::new("").expect("nothing is a pattern")) }
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
