//! Terms joined by *and*, *or* and *not*.

use std::fmt;

use super::term::{Marks, Term};
use crate::envelope::Envelope;

/// A filter as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Term(Term),
    Not(Box<Self>),
    /// Two or more parts, all of which have to match.
    Every(Vec<Self>),
    /// Two or more parts, one of which has to match.
    Any(Vec<Self>),
}

impl Expr {
    pub(super) fn matches(&self, envelope: &Envelope, marks: Marks) -> bool {
        match self {
            Self::Term(term) => term.matches(envelope, marks),
            Self::Not(inner) => !inner.matches(envelope, marks),
            Self::Every(parts) => parts.iter().all(|part| part.matches(envelope, marks)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(envelope, marks)),
        }
    }

    pub(super) fn reads_body(&self) -> bool {
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
