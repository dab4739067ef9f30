//! Text to [`Expr`]: one function for each level of the grammar.

use super::cursor::{Cursor, FilterError};
use super::expression::{Expr, JoinedParts};
use super::saved::{SavedFilters, is_name};
use super::term::Term;

/// More brackets and negations than this are a mistake, and would be a risk to the stack.
const MAX_DEPTH: usize = 64;

/// Reads a whole filter; the empty text matches everything.
///
/// # Errors
/// The first thing that makes no sense, and where it stands.
pub(super) fn parse(text: &str, saved: &SavedFilters) -> Result<Expr, FilterError> {
    parse_nested(text, saved, 0)
}

/// Reads a filter that so many others have led to by their names.
pub(super) fn parse_nested(text: &str, saved: &SavedFilters, nested: usize) -> Result<Expr, FilterError> {
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0, saved, nested };
    parser.cursor.skip_space();
    if parser.cursor.is_at_end() {
        return Ok(Expr::Term(Term::all()));
    }
    let expr = parser.any()?;
    match parser.cursor.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.cursor.fail("`)` without `(`")),
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    /// How many brackets and negations are around.
    depth: usize,
    saved: &'a SavedFilters,
    /// How many saved filters are around.
    nested: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.every()?];
        while self.cursor.take_joint('|', "or") {
            parts.push(self.every()?);
        }
        Ok(join(parts, Expr::Any))
    }

    fn every(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.factor()?];
        while self.cursor.take_joint('&', "and") || self.has_factor() {
            parts.push(self.factor()?);
        }
        Ok(join(parts, Expr::Every))
    }

    /// Whether another part follows without a joint.
    fn has_factor(&self) -> bool {
        !matches!(self.cursor.peek(), None | Some(')' | '|' | '&')) && !self.cursor.is_at_word("or")
    }

    fn factor(&mut self) -> Result<Expr, FilterError> {
        self.cursor.skip_space();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.cursor.fail("too many brackets inside each other"));
        }
        let expr = match self.cursor.peek() {
            None | Some(')' | '|' | '&') => Err(self.cursor.fail("something is missing")),
            Some('(') => self.group(),
            Some('!') => self.negation(1),
            Some(_) if self.cursor.is_at_word("not") => self.negation("not".len()),
            Some('~') => self.operator().map(Expr::Term),
            Some('@') => self.saved(),
            Some(_) if self.cursor.is_at_word("and") || self.cursor.is_at_word("or") => {
                Err(self.cursor.fail("something is missing"))
            }
            Some(_) => self.cursor.word().and_then(|word| Term::bare(&self.cursor, &word)).map(Expr::Term),
        }?;
        self.depth -= 1;
        self.cursor.skip_space();
        Ok(expr)
    }

    fn negation(&mut self, length: usize) -> Result<Expr, FilterError> {
        self.cursor.skip(length);
        Ok(Expr::Not(Box::new(self.factor()?)))
    }

    fn group(&mut self) -> Result<Expr, FilterError> {
        let opening = self.cursor.at();
        self.cursor.skip(1);
        let expr = self.any()?;
        if !self.cursor.eat(')') {
            return Err(self.cursor.fail_at(opening, "`(` is never closed"));
        }
        Ok(expr)
    }

    fn saved(&mut self) -> Result<Expr, FilterError> {
        let start = self.cursor.at();
        self.cursor.skip(1);
        let name: String = self.cursor.rest().chars().take_while(|c| is_name(*c)).collect();
        self.cursor.skip(name.len());
        let rest = self.cursor.rest();
        if name.is_empty() || rest.starts_with(|c: char| !c.is_whitespace() && !"()&|!~@".contains(c)) {
            return Err(self.cursor.fail_at(start, "`@` needs the name of a saved filter; quotes look for the text"));
        }
        self.saved.read(&name, self.nested).map_err(|why| self.cursor.fail_at(start, why))
    }

    fn operator(&mut self) -> Result<Term, FilterError> {
        let start = self.cursor.at();
        self.cursor.skip(1);
        let name: String = self.cursor.rest().chars().take_while(char::is_ascii_alphanumeric).collect();
        self.cursor.skip(name.len());
        Term::operator(&mut self.cursor, start, &name)
    }
}

fn join(mut parts: Vec<Expr>, many: fn(JoinedParts) -> Expr) -> Expr {
    if parts.len() > 1 {
        return many(JoinedParts::new(parts));
    }
    parts.pop().expect("every level of the grammar reads at least one part")
}
