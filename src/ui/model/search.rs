//! What is searched for, and what of it was found.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use super::detail::DetailTab;
use crate::envelope::Seq;

/// Bytes of what is searched for: it is read again at every key.
const LONGEST: usize = 4000;

/// What is searched for, and what was found where the cursor is.
pub(crate) struct Search {
    pub(super) typed: String,
    pub(crate) pattern: Regex,
    pub(crate) place: Option<SearchPlace>,
    /// Where each match is, in order: the number of a message, or of a row.
    pub(super) found: Vec<u64>,
    pub(super) scan: SearchScan,
    /// A jump that waits until there is something to jump to.
    pub(super) wanted: Option<SearchJump>,
}

/// A jump to a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SearchJump {
    pub(crate) forward: bool,
    /// The match under the cursor will do.
    pub(crate) inclusive: bool,
}

/// Where is searched. Another value is another content: all that was found is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchPlace {
    /// A list of messages: which, the live ones or a tape's, and how often its filter has changed.
    Messages(bool, u64),
    Detail(Seq, DetailTab, usize),
    Queue,
    Sessions,
    Tapes,
    Compare,
    Steps,
    Metrics,
    Events,
    Lint,
    Rules,
    Pager,
    /// The text of a message that is edited.
    Editor,
}

/// How far a search is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SearchScan {
    /// From here it began, and up to here it goes after the end.
    pub(super) start: u64,
    /// The place that is searched next.
    pub(super) next: u64,
    /// It went past the end, and goes on from the top.
    pub(super) wrapped: bool,
    pub(super) done: bool,
    /// Found since it went on from the top.
    pub(super) early: usize,
}

/// What is to be said of a search.
pub(crate) struct SearchStatus<'a> {
    pub(crate) typed: &'a str,
    /// Which of the matches the cursor is on, from 1.
    pub(crate) at: Option<usize>,
    pub(crate) count: usize,
    pub(crate) done: bool,
}

impl Search {
    /// Small letters find large ones as well; `\r` before it makes it a regular expression. `None`: nothing is searched for.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub(crate) fn of(typed: &str) -> Result<Option<Self>, String> {
        let (text, source) = match typed.strip_prefix("\\r") {
            Some(expression) => (expression.trim_start(), Cow::Borrowed(expression.trim_start())),
            None => (typed, Cow::Owned(regex::escape(typed))),
        };
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > LONGEST {
            return Err(format!("more than {LONGEST} bytes are not searched for"));
        }
        let pattern = RegexBuilder::new(&source).case_insensitive(!text.chars().any(char::is_uppercase)).build();
        let pattern = pattern.map_err(|error| {
            error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })?;
        let (found, scan) = (Vec::new(), SearchScan::default());
        Ok(Some(Self { typed: typed.to_owned(), pattern, place: None, found, scan, wanted: None }))
    }

    /// The nearest match after a place, or before it; around the end. `None` where it is not known yet, or there is none.
    pub(super) fn nearest(&self, here: u64, SearchJump { forward, inclusive }: SearchJump) -> Option<u64> {
        let found = &self.found;
        if forward {
            let at = found.partition_point(|it| *it < here || (*it == here && !inclusive));
            // Before the scan is through, only what it went past in one go is surely the nearest.
            let known = self.scan.done || here >= self.scan.start;
            let wrapped = || found.first().filter(|_| self.scan.done || self.scan.early > 0);
            return found.get(at).filter(|_| known).or_else(wrapped).copied();
        }
        if !self.scan.done {
            return None;
        }
        let at = found.partition_point(|it| *it < here);
        at.checked_sub(1).map(|at| found[at]).or(found.last().copied())
    }
}

impl Search {
    pub(super) fn put(&mut self, found: u64) {
        let in_order = self.scan.done || !self.scan.wrapped || self.scan.start == 0;
        if in_order {
            self.found.push(found);
        } else {
            self.found.insert(self.scan.early, found);
            self.scan.early += 1;
        }
    }
}
