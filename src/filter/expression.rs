//! Terms joined by *and*, *or* and *not*.

use std::fmt;

use super::context::{MessageContext, ScanCost};
use super::term::{Outline, Term};
use crate::envelope::Envelope;
use crate::message::Message;

/// A filter as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Term(Term),
    Not(Box<Self>),
    /// Tests that all have to match (`&`).
    Every(JoinedParts),
    /// Tests of which one has to match (`|`).
    Any(JoinedParts),
}

/// Two or more parts: as they were typed, and asked so that the cheapest comes first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JoinedParts {
    typed: Vec<Expr>,
    /// The order in which the tests are tried, the cheapest first: indices into `typed`.
    order: Box<[usize]>,
}

impl JoinedParts {
    pub(super) fn new(typed: Vec<Expr>) -> Self {
        let mut order: Vec<usize> = (0..typed.len()).collect();
        order.sort_by_key(|at| typed[*at].cost());
        Self { typed, order: order.into() }
    }

    fn cheapest_first(&self) -> impl Iterator<Item = &Expr> {
        self.order.iter().map(|at| &self.typed[*at])
    }
}

impl Expr {
    /// Whether the messages match together: each test is met by one of them, or by none.
    pub(super) fn matches(&self, together: &[&Envelope], context: &dyn MessageContext) -> bool {
        match self {
            Self::Term(term) => together.iter().any(|envelope| term.matches(envelope, context)),
            Self::Not(inner) => !inner.matches(together, context),
            Self::Every(parts) => parts.cheapest_first().all(|part| part.matches(together, context)),
            Self::Any(parts) => parts.cheapest_first().any(|part| part.matches(together, context)),
        }
    }

    /// What it says of every message of this outline, or of this one of them; `None` where that depends on more.
    pub(super) fn decides(&self, outline: &Outline<'_>, message: Option<&Message>) -> Option<bool> {
        // One part that is `what` settles it; what no part settles is open where one of them is.
        let settled = |parts: &JoinedParts, what: bool| {
            let mut all = Some(!what);
            for part in parts.cheapest_first() {
                match part.decides(outline, message) {
                    Some(said) if said == what => return Some(what),
                    Some(_) => {}
                    None => all = None,
                }
            }
            all
        };
        match self {
            Self::Term(term) => term.decides(outline, message),
            Self::Not(inner) => inner.decides(outline, message).map(|said| !said),
            Self::Every(parts) => settled(parts, false),
            Self::Any(parts) => settled(parts, true),
        }
    }

    pub(super) fn cost(&self) -> ScanCost {
        let mut most = ScanCost::Index;
        self.each_term(&mut |term| most = most.max(term.cost()));
        most
    }

    /// A word that the line of every message has that it matches, in one case or another: the longest that is known.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Term(term) => term.literal(),
            Self::Every(parts) => parts.typed.iter().filter_map(Self::literal).max_by_key(|word| word.len()),
            Self::Not(_) | Self::Any(_) => None,
        }
    }

    /// Shows every term, in the order in which they were typed.
    pub(super) fn each_term<'a>(&'a self, see: &mut dyn FnMut(&'a Term)) {
        match self {
            Self::Term(term) => see(term),
            Self::Not(inner) => inner.each_term(see),
            Self::Every(parts) | Self::Any(parts) => parts.typed.iter().for_each(|part| part.each_term(see)),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => term.fmt(f),
            Self::Not(inner) => write!(f, "!{}", GroupedExpr(inner)),
            Self::Every(parts) => write_joined(f, &parts.typed, " & "),
            Self::Any(parts) => write_joined(f, &parts.typed, " | "),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, parts: &[Expr], joint: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { joint })?;
        write!(f, "{}", GroupedExpr(part))?;
    }
    Ok(())
}

/// A part of a larger expression: in brackets where it would come apart without them.
struct GroupedExpr<'a>(&'a Expr);

impl fmt::Display for GroupedExpr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Every(_) | Expr::Any(_) => write!(f, "({})", self.0),
            Expr::Term(_) | Expr::Not(_) => self.0.fmt(f),
        }
    }
}
