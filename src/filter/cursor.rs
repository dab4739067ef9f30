//! A place in the text of a filter, and the words that stand there. It knows no operator.

/// An expression that is no filter, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} at column {column}")]
pub struct FilterError {
    /// Where it goes wrong, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub why: String,
}

/// The text of a filter, and the place up to which it was read.
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// Where reading stands, in bytes.
    at: usize,
}

/// A bare word, or the argument of an operator.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
    /// Where it began, in bytes.
    pub(super) at: usize,
}

impl Word {
    /// The form that reads back as this word.
    pub(super) fn source(&self) -> String {
        if self.quoted { format!("\"{}\"", self.text.replace('"', "\\\"")) } else { self.text.clone() }
    }
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The argument of `operator`, which `needs` it to be this.
    pub(super) fn argument(&mut self, operator: &str, needs: &str) -> Result<Word, FilterError> {
        self.skip_space();
        if !self.is_at_argument() {
            return Err(self.fail(format!("`~{operator}` needs {needs}")));
        }
        self.word()
    }

    fn is_at_argument(&self) -> bool {
        !matches!(self.peek(), None | Some(')' | '|' | '&' | '~'))
            && !["and", "or", "not"].iter().any(|word| self.is_at_word(word))
    }

    /// Whether an argument follows that need not: not where the next part of the filter is a negation or a group.
    pub(super) fn has_argument(&mut self) -> bool {
        self.skip_space();
        self.is_at_argument() && !["!", "(~", "(!"].iter().any(|part| self.rest().starts_with(part))
    }

    pub(super) fn word(&mut self) -> Result<Word, FilterError> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted_word(quote),
            _ => self.plain_word(),
        }
    }

    /// In quotes, `\"` and `\'` are quotes; every other backslash stays, as patterns need it.
    fn quoted_word(&mut self, quote: char) -> Result<Word, FilterError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        loop {
            match self.bump() {
                None => return Err(self.fail_at(start, "the quote is never closed")),
                Some(c) if c == quote => return Ok(Word { text, quoted: true, at: start }),
                Some('\\') => match self.bump() {
                    Some(c @ ('"' | '\'')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => {}
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn plain_word(&mut self) -> Result<Word, FilterError> {
        let start = self.at;
        let mut brackets = 0_usize;
        while let Some(c) = self.peek() {
            match c {
                c if c.is_whitespace() => break,
                '&' | ')' if brackets == 0 => break,
                '|' if brackets == 0 && self.is_at_joint() => break,
                ')' => brackets -= 1,
                '(' => brackets += 1,
                '\\' if !self.is_escape() => return Err(self.fail("a word cannot end in `\\`; quote it")),
                '\\' => self.at += 1,
                _ => {}
            }
            self.bump();
        }
        if brackets > 0 {
            return Err(self.fail_at(start, "a bracket in this pattern is never closed; quote a pattern with spaces"));
        }
        Ok(Word { text: self.text[start..self.at].to_owned(), quoted: false, at: start })
    }

    fn is_escape(&self) -> bool {
        self.rest().chars().nth(1).is_some_and(|c| !c.is_whitespace())
    }

    /// Whether the `|` here joins two parts, rather than two branches of one pattern.
    fn is_at_joint(&self) -> bool {
        let after = self.rest()[1..].trim_start_matches(['(', '!']);
        after.chars().next().is_none_or(|c| c.is_whitespace() || "~)&|".contains(c))
    }

    pub(super) fn take_joint(&mut self, sign: char, word: &str) -> bool {
        self.skip_space();
        if self.is_at_word(word) {
            self.at += word.len();
            return true;
        }
        self.eat(sign)
    }

    pub(super) fn is_at_word(&self, word: &str) -> bool {
        self.rest().strip_prefix(word).is_some_and(|after| {
            after.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '!' | '~' | '&' | '|'))
        })
    }

    pub(super) fn eat(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(sign);
        self.at += if there { sign.len_utf8() } else { 0 };
        there
    }

    pub(super) fn eat_str(&mut self, text: &str) -> bool {
        let there = self.rest().starts_with(text);
        self.at += if there { text.len() } else { 0 };
        there
    }

    /// Goes on behind the next `length` bytes, which end where a character does.
    pub(super) fn skip(&mut self, length: usize) {
        self.at += length;
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    pub(super) fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Where reading stands, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> &str {
        &self.text[start..self.at]
    }

    pub(super) fn fail(&self, why: impl Into<String>) -> FilterError {
        self.fail_at(self.at, why)
    }

    pub(super) fn fail_at(&self, at: usize, why: impl Into<String>) -> FilterError {
        FilterError { column: self.text[..at].chars().count() + 1, why: why.into() }
    }
}
