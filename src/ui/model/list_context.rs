//! What a list knows of its messages beside their envelopes, for the filter.

use super::message_rows::{MessageRow, MessageRows, RowState};
use crate::envelope::{Envelope, Outcome, Seq, SessionId};
use crate::event::Session;
use crate::filter::{MessageContext, MessageHistory, NearFocus};
use crate::message::Kind;

/// The rows of a list, and what their filter asked to have remembered.
pub(crate) struct ListContext<'a> {
    pub(crate) rows: &'a MessageRows,
    pub(crate) history: Option<&'a MessageHistory>,
    pub(crate) focus: Option<&'a NearFocus>,
}

impl MessageContext for ListContext<'_> {
    fn client(&self, session: SessionId) -> Option<String> {
        self.rows.session(session)?.client_text()
    }

    fn server_names(&self, session: SessionId) -> Vec<String> {
        self.rows.session(session).map(Session::server_names).unwrap_or_default()
    }

    fn upstream(&self, session: SessionId) -> Option<String> {
        Some(self.rows.session(session)?.upstream.to_string())
    }

    fn started(&self, session: SessionId) -> Option<u64> {
        Some(self.rows.session(session)?.started.0)
    }

    fn now(&self) -> Option<u64> {
        Some(self.rows.now.0)
    }

    fn is_open(&self, envelope: &Envelope) -> bool {
        // Its client may have hung up: after it was sent on, or while it was held.
        let is_over =
            |row: &MessageRow| matches!(row.state, RowState::GivenUp(_)) || row.envelope.outcome == Outcome::Abandoned;
        let waits = |row: MessageRow| row.reply.is_none() && !is_over(&row);
        envelope.kind() == Kind::Request && self.rows.get(envelope.seq).is_some_and(waits)
    }

    fn history(&self) -> Option<&MessageHistory> {
        self.history
    }

    fn is_near(&self, envelope: &Envelope) -> bool {
        self.focus.is_some_and(|focus| focus.covers(envelope))
    }

    fn lints(&self, seq: Seq) -> Vec<String> {
        self.rows.findings(seq).iter().map(|finding| finding.code.clone()).collect()
    }

    fn is_marked(&self, seq: Seq) -> bool {
        self.rows.mark(seq).is_some_and(|mark| mark.is_marked)
    }

    fn comment(&self, seq: Seq) -> Option<String> {
        self.rows.mark(seq).map(|mark| mark.comment.clone()).filter(|text| !text.is_empty())
    }

    fn diverged(&self, seq: Seq) -> bool {
        self.rows.divergence(seq).is_some()
    }
}
