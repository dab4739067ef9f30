//! The filter language: which messages to show, and which to hold.
//!
//! ```text
//! ~tool write_.* & !~e          a tool by name, without the errors
//! (~m tools/ | ~m prompts/) ~dur >500ms
//! ~j .params.arguments.path ^= /etc
//! ```
//! `!` `&` `|` `( )`, or the words `not and or`; side by side means *and*. A word ends at white space, so a pattern
//! with spaces stands in quotes; `a|b` without spaces is one pattern, and so is `(a|b)c`. Patterns are regular
//! expressions that run in linear time, and ignore case unless they have an upper-case letter. A bare word is looked
//! for in the method, the name and the id.
//!
//! A filter answers from one [`Envelope`] alone: it knows no neighbours and reads no clock, so it can run anywhere,
//! and gives the same answer on a tape as it gave live. What became known of a message after it passed stands beside it,
//! in its [`Marks`].

mod cursor;
mod expression;
mod number;
mod parse;
mod pattern;
mod query;
mod term;

#[cfg(test)]
mod tests;

use std::fmt;

use self::expression::Expr;
use crate::envelope::Envelope;

pub use self::cursor::FilterError;
pub use self::term::{Marks, OPERATORS};

/// A parsed expression, ready to be asked of any number of messages.
#[derive(Clone, Debug)]
pub struct Filter {
    source: Box<str>,
    expr: Expr,
}

impl Filter {
    /// Reads an expression; the empty one matches everything.
    ///
    /// # Errors
    /// The first thing that makes no sense, and where it stands.
    pub fn parse(expression: &str) -> Result<Self, FilterError> {
        Ok(Self { source: expression.into(), expr: parse::parse(expression)? })
    }

    /// Returns whether a message matches, of which nothing is known beside its envelope.
    pub fn matches(&self, envelope: &Envelope) -> bool {
        self.matches_marked(envelope, Marks::default())
    }

    /// Returns whether a message matches, given what became known of it after it passed.
    pub fn matches_marked(&self, envelope: &Envelope, marks: Marks) -> bool {
        self.expr.matches(envelope, marks)
    }

    /// Returns the expression as it was typed; [`Display`](fmt::Display) writes it as it was understood.
    pub fn expression(&self) -> &str {
        &self.source
    }

    /// Returns whether it has to look into bodies: such a scan is slow, and belongs off the drawing thread.
    pub fn reads_body(&self) -> bool {
        self.expr.reads_body()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

/// Equal are filters that were understood alike, however they were spaced.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}
