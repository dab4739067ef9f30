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

mod number;
mod parse;
mod query;
mod term;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::envelope::Envelope;
use term::Term;

/// A parsed expression.
#[derive(Clone, Debug)]
pub struct Filter {
    source: Box<str>,
    expr: Expr,
}

/// What is known of a message beside its envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// A shadow answered otherwise, or not at all.
    pub diverged: bool,
}

/// Why an expression is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why} at column {column}")]
pub struct FilterError {
    /// In characters, from 1.
    pub column: usize,
    pub why: String,
}

/// Every operator: how it is written, and what it matches.
pub const OPERATORS: &[(&str, &str)] = &[
    ("~q", "requests"),
    ("~r", "replies, results and errors (also `~s`)"),
    ("~s", "replies, results and errors (also `~r`)"),
    ("~n", "notifications"),
    ("~e", "errors: of JSON-RPC, a tool result with `isError`, an HTTP status from 400"),
    ("~m RE", "method; a reply has that of its request"),
    ("~tool RE", "name of the tool that is called, or that answers"),
    ("~name RE", "name of the tool or prompt, or URI of the resource"),
    ("~c2s", "from the client to the server"),
    ("~s2c", "from the server to the client"),
    ("~id ID", "JSON-RPC id, exactly"),
    ("~sid RE", "session id (tapline's)"),
    ("~via http|sse|stdio", "what carried it"),
    ("~b RE", "body"),
    ("~bq RE", "body of a request or notification"),
    ("~bs RE", "body of a reply"),
    ("~h RE", "a header, as `name: value`"),
    ("~hq RE", "a header of the client's"),
    ("~hs RE", "a header of the server's"),
    ("~t RE", "content type"),
    ("~c N|A..B|CMP", "HTTP status: `404`, `400..499`, `>=400`"),
    ("~code N|A..B|CMP", "JSON-RPC error code: `-32601`, `-32099..-32000`"),
    ("~err RE", "text of an error"),
    ("~dur CMP|A..B", "time to the reply: `>500ms`, `<=2s`, `1s..5s`; replies only"),
    ("~size CMP|A..B", "bytes: `>10k`, `1k..1M`"),
    ("~seq N|A..B|CMP", "number of the message: `1194`, `100..200`"),
    ("~j PATH [OP VALUE]", "JSON value: `.a.b[0]`, `[*]`, `..key`; OP one of = != < <= > >= =~ ^= $= *="),
    ("~rule RE", "changed or stopped by the rule of this name"),
    ("~held", "held, now or before"),
    ("~edited", "sent on changed"),
    ("~blocked", "answered with an error instead of sent on"),
    ("~dropped", "neither sent on nor answered"),
    ("~invalid", "not, or not quite, JSON-RPC"),
    ("~orphan", "replies to no request that was seen"),
    ("~shadow", "requests that a shadow answered otherwise or not at all, and their replies; on the screen only"),
    ("~all", "everything"),
];

impl Filter {
    /// The empty expression matches everything.
    ///
    /// # Errors
    /// The first thing that makes no sense, and where it stands.
    pub fn parse(expression: &str) -> Result<Self, FilterError> {
        Ok(Self { source: expression.into(), expr: parse::parse(expression)? })
    }

    pub fn matches(&self, envelope: &Envelope) -> bool {
        self.matches_marked(envelope, Marks::default())
    }

    pub fn matches_marked(&self, envelope: &Envelope, marks: Marks) -> bool {
        self.expr.matches(envelope, marks)
    }

    /// As it was typed. [`Display`](fmt::Display) gives it as it was understood.
    pub fn expression(&self) -> &str {
        &self.source
    }

    /// Whether it has to look into bodies: such a scan is slow, and belongs off the drawing thread.
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

#[derive(Clone, Debug, PartialEq)]
enum Expr {
    Term(Term),
    Not(Box<Self>),
    /// Two or more.
    Every(Vec<Self>),
    /// Two or more.
    Any(Vec<Self>),
}

impl Expr {
    fn matches(&self, envelope: &Envelope, marks: Marks) -> bool {
        match self {
            Self::Term(term) => term.matches(envelope, marks),
            Self::Not(inner) => !inner.matches(envelope, marks),
            Self::Every(parts) => parts.iter().all(|part| part.matches(envelope, marks)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(envelope, marks)),
        }
    }

    fn reads_body(&self) -> bool {
        match self {
            Self::Term(term) => term.reads_body(),
            Self::Not(inner) => inner.reads_body(),
            Self::Every(parts) | Self::Any(parts) => parts.iter().any(Self::reads_body),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => term.fmt(f),
            Self::Not(inner) => write!(f, "!{}", Grouped(inner)),
            Self::Every(parts) => write_joined(f, parts, " & "),
            Self::Any(parts) => write_joined(f, parts, " | "),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], joint: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { joint })?;
        write!(f, "{}", Grouped(part))?;
    }
    Ok(())
}

/// A part of a larger expression: in brackets where it would come apart without them.
struct Grouped<'a>(&'a Expr);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Every(_) | Expr::Any(_) => write!(f, "({})", self.0),
            Expr::Term(_) | Expr::Not(_) => self.0.fmt(f),
        }
    }
}
