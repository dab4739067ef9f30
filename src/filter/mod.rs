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
//! for in the method, the name, the id and the arguments of a call, and in what a row of the list shows of any other message: not in all
//! of a reply, or a hold would stop every list that names a tool.
//!
//! A filter answers from one [`Envelope`], and from what the place knows beside it in which it is asked, its
//! [`MessageContext`]: a list, a tape, the wire. It reads no clock and has no neighbours of its own, so the one evaluation serves
//! everywhere and gives the same answer on a tape as it gave live. What a place cannot know matches nothing there;
//! [`Filter::notes`] says so.

mod context;
mod cursor;
mod expression;
mod history;
mod moment;
mod near;
mod needed;
mod number;
mod parse;
mod pattern;
mod query;
mod saved;
pub(crate) mod summary;
mod term;

#[cfg(test)]
mod tests;

use std::fmt;

use self::expression::Expr;
use self::term::Term;
use crate::envelope::Envelope;
use crate::message::Message;

pub use self::context::{FilterPlace, MessageContext, NothingKnown, ScanCost};
pub use self::cursor::FilterError;
pub use self::history::MessageHistory;
pub use self::near::NearFocus;
pub use self::needed::NeededWord;
pub use self::saved::SavedFilters;
pub(crate) use self::term::error_texts;
pub use self::term::{OPERATORS, Outline};

/// A parsed expression, ready to be asked of any number of messages.
#[derive(Clone, Debug)]
pub struct Filter {
    source: Box<str>,
    expr: Expr,
}

impl Filter {
    /// Reads an expression that uses no saved filters; the empty one matches everything.
    ///
    /// # Errors
    /// The first thing that makes no sense, and where it stands.
    pub fn parse(expression: &str) -> Result<Self, FilterError> {
        Self::parse_with(expression, &SavedFilters::default())
    }

    /// Reads an expression in which `@NAME` is one of the saved filters; [`Display`](fmt::Display) writes those out.
    ///
    /// # Errors
    /// The first thing that makes no sense, and where it stands.
    pub fn parse_with(expression: &str, saved: &SavedFilters) -> Result<Self, FilterError> {
        Ok(Self { source: expression.into(), expr: parse::parse(expression, saved)? })
    }

    /// The filter that matches everything.
    pub fn all() -> Self {
        Self { source: "~all".into(), expr: Expr::Term(Term::all()) }
    }

    /// Returns whether a message matches, of which nothing is known beside its envelope.
    pub fn matches(&self, envelope: &Envelope) -> bool {
        self.matches_in(envelope, &NothingKnown)
    }

    /// Returns whether a message matches, given what is known where it is asked.
    pub fn matches_in(&self, envelope: &Envelope, context: &dyn MessageContext) -> bool {
        self.expr.matches(&[envelope], context)
    }

    /// Returns whether a request and its reply match as one: what one of the two says, both say.
    pub fn matches_together(&self, request: &Envelope, reply: &Envelope, context: &dyn MessageContext) -> bool {
        self.expr.matches(&[request, reply], context)
    }

    /// What it says of every message of this outline; `None` where that depends on more.
    pub fn decides(&self, outline: &Outline<'_>) -> Option<bool> {
        self.expr.decides(outline, None)
    }

    /// What it says of a message of this outline; `None` where that depends on more than what the message says.
    pub fn decides_on(&self, outline: &Outline<'_>, message: &Message) -> Option<bool> {
        self.expr.decides(outline, Some(message))
    }

    /// Returns the expression as it was typed; [`Display`](fmt::Display) writes it as it was understood.
    pub fn expression(&self) -> &str {
        &self.source
    }

    /// What has to be looked at to answer.
    pub fn cost(&self) -> ScanCost {
        self.expr.cost()
    }

    /// Returns whether it has to look into bodies: such a scan is slow, and belongs off the drawing thread.
    pub fn reads_body(&self) -> bool {
        self.cost() == ScanCost::Body
    }

    /// Whether it can be answered only with the messages before at hand: see [`MessageHistory`].
    pub fn asks_history(&self) -> bool {
        self.has_term(Term::asks_history)
    }

    /// Whether it asks what is under the cursor: see [`NearFocus`].
    pub fn asks_focus(&self) -> bool {
        self.has_term(|term| term.operator_name() == "near")
    }

    /// Whether it asks which requests wait for a reply.
    pub fn asks_replies(&self) -> bool {
        self.has_term(|term| term.operator_name() == "open")
    }

    /// Whether it asks what people noted of a message.
    pub fn asks_marks(&self) -> bool {
        self.has_term(|term| matches!(term.operator_name(), "marked" | "comment"))
    }

    /// One line for each part that matches nothing in this place, and why.
    pub fn notes(&self, place: FilterPlace) -> Vec<String> {
        let mut notes = Vec::new();
        self.expr.each_term(&mut |term| {
            if let Some(why) = term.unknown_in(place) {
                notes.push(format!("`{term}` matches nothing: {why}"));
            }
        });
        notes
    }

    /// The filter as it was understood, what it costs, and because of which parts.
    pub fn explain(&self, place: FilterPlace) -> String {
        let cost = self.cost();
        let mut because = Vec::new();
        self.expr.each_term(&mut |term| {
            if term.cost() == cost && cost != ScanCost::Index {
                because.push(format!("`{term}`"));
            }
        });
        let because = if because.is_empty() { String::new() } else { format!(", for {}", because.join(" and ")) };
        let notes = self.notes(place).join("; ");
        let notes = if notes.is_empty() { notes } else { format!("; {notes}") };
        format!("`{self}`: {cost}{because}{notes}")
    }

    /// A word that stands on the line of a tape of every message that matches, in one case or another; `None` where there is no such
    /// word.
    pub fn needed_word(&self) -> Option<NeededWord> {
        self.expr.literal().and_then(NeededWord::of)
    }

    fn has_term(&self, is_it: impl Fn(&Term) -> bool) -> bool {
        let mut has = false;
        self.expr.each_term(&mut |term| has |= is_it(term));
        has
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
