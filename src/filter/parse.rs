//! Text to [`Expr`]: a cursor, and one function for each level of the grammar.

use super::term::Term;
use super::{Expr, FilterError};

/// More brackets and negations than this are a mistake, and would be a risk to the stack.
const MAX_DEPTH: usize = 64;

/// # Errors
/// The first thing that makes no sense.
pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    let mut cursor = Cursor { text, at: 0, depth: 0 };
    cursor.skip_space();
    if cursor.is_at_end() {
        return Ok(Expr::Term(Term::all()));
    }
    let expr = cursor.any()?;
    match cursor.peek() {
        None => Ok(expr),
        Some(_) => Err(cursor.fail("`)` without `(`")),
    }
}

/// Where reading stands.
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    depth: usize,
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

impl Cursor<'_> {
    fn any(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.every()?];
        while self.take_joint('|', "or") {
            parts.push(self.every()?);
        }
        Ok(join(parts, Expr::Any))
    }

    fn every(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.factor()?];
        while self.take_joint('&', "and") || self.has_factor() {
            parts.push(self.factor()?);
        }
        Ok(join(parts, Expr::Every))
    }

    /// Whether another part follows without a joint.
    fn has_factor(&self) -> bool {
        !matches!(self.peek(), None | Some(')' | '|' | '&')) && !self.is_at_word("or")
    }

    fn factor(&mut self) -> Result<Expr, FilterError> {
        self.skip_space();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fail("too many brackets inside each other"));
        }
        let expr = match self.peek() {
            None | Some(')' | '|' | '&') => Err(self.fail("something is missing")),
            Some('(') => self.group(),
            Some('!') => self.negation(1),
            Some(_) if self.is_at_word("not") => self.negation("not".len()),
            Some('~') => self.operator().map(Expr::Term),
            Some(_) if self.is_at_word("and") || self.is_at_word("or") => Err(self.fail("something is missing")),
            Some(_) => self.word().and_then(|word| Term::bare(self, &word)).map(Expr::Term),
        }?;
        self.depth -= 1;
        self.skip_space();
        Ok(expr)
    }

    fn negation(&mut self, length: usize) -> Result<Expr, FilterError> {
        self.at += length;
        Ok(Expr::Not(Box::new(self.factor()?)))
    }

    fn group(&mut self) -> Result<Expr, FilterError> {
        let opening = self.at;
        self.at += 1;
        let expr = self.any()?;
        if !self.take(')') {
            return Err(self.fail_at(opening, "`(` is never closed"));
        }
        Ok(expr)
    }

    fn operator(&mut self) -> Result<Term, FilterError> {
        let start = self.at;
        self.at += 1;
        let name: String = self.rest().chars().take_while(char::is_ascii_alphanumeric).collect();
        self.at += name.len();
        Term::operator(self, start, &name)
    }

    /// The argument of `operator`, which `needs` it to be this.
    pub(super) fn argument(&mut self, operator: &str, needs: &str) -> Result<Word, FilterError> {
        self.skip_space();
        let missing = matches!(self.peek(), None | Some(')' | '|' | '&' | '~'))
            || ["and", "or", "not"].iter().any(|word| self.is_at_word(word));
        if missing {
            return Err(self.fail(format!("`~{operator}` needs {needs}")));
        }
        self.word()
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

    fn take_joint(&mut self, sign: char, word: &str) -> bool {
        self.skip_space();
        if self.is_at_word(word) {
            self.at += word.len();
            return true;
        }
        self.take(sign)
    }

    fn is_at_word(&self, word: &str) -> bool {
        self.rest().strip_prefix(word).is_some_and(|after| {
            after.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '!' | '~' | '&' | '|'))
        })
    }

    pub(super) fn take(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(sign);
        self.at += if there { sign.len_utf8() } else { 0 };
        there
    }

    pub(super) fn take_str(&mut self, text: &str) -> bool {
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

    /// In bytes.
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

fn join(mut parts: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    if parts.len() > 1 {
        return many(parts);
    }
    parts.pop().expect("every level of the grammar reads at least one part")
}
