//! Seams: lines in the list of messages, between two of them, where a session went on otherwise than before.

use std::ops::Range;

use crate::envelope::{Seq, SessionId};

/// A line of the list as it is on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListedLine<'a> {
    /// The message at this position.
    Message(usize),
    /// What happened there, for people.
    Seam(&'a str),
}

/// The seams of all sessions, in order.
#[derive(Default)]
pub(crate) struct SeamLines(Vec<SeamLine>);

struct SeamLine {
    /// The last message before it.
    after: Seq,
    session: SessionId,
    text: String,
}

impl SeamLines {
    /// Takes one in; what is told again is known.
    pub(super) fn put(&mut self, after: Seq, session: SessionId, text: String) {
        let at = self.0.partition_point(|seam| seam.after <= after);
        let is_it = |seam: &SeamLine| seam.after == after && seam.session == session && seam.text == text;
        if !self.0[..at].iter().rev().take_while(|seam| seam.after == after).any(is_it) {
            self.0.insert(at, SeamLine { after, session, text });
        }
    }

    /// Those of the sessions that are shown which stand behind a message of these numbers.
    pub(super) fn behind(&self, seqs: Range<Seq>, is_shown: impl Fn(SessionId) -> bool) -> impl Iterator<Item = &str> {
        let from = self.0.partition_point(|seam| seam.after < seqs.start);
        let there = self.0[from..].iter().take_while(move |seam| seam.after < seqs.end);
        there.filter(move |seam| is_shown(seam.session)).map(|seam| seam.text.as_str())
    }

    /// Forgets those of messages that are gone.
    pub(super) fn trim(&mut self, first: Seq) {
        self.0.retain(|seam| seam.after >= first);
    }
}
