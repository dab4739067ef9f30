//! What the keys are about: the message, session or step under the cursor, and what can be done with it.

use std::sync::Arc;

use super::message_rows::Row;
use super::popup::Popup;
use super::session_list::Seat;
use super::state::{Model, Screen};
use crate::envelope::Direction;
use crate::event::{Held, LogLine, SessionState, StepReport, StepVerdict};
use crate::message::Kind;

impl Model {
    /// The message that keys on this screen are about.
    pub(crate) fn selected(&self) -> Option<&Row> {
        match self.screen {
            Screen::Messages => {
                let (rows, list) = self.book();
                list.selected(rows)
            }
            Screen::Queue => self.facts.rows.of(self.queue.selected(&self.facts.held)?.envelope.seq),
            Screen::Tapes | Screen::Metrics | Screen::Events => None,
        }
    }

    /// The other message of the selected one's exchange.
    pub(crate) fn selected_pair(&self) -> Option<&Row> {
        let rows = if self.screen == Screen::Queue { &self.facts.rows } else { self.book().0 };
        rows.pair_of(self.selected()?)
    }

    /// The selected message, where it is held.
    pub(crate) fn held_here(&self) -> Option<&Arc<Held>> {
        match self.screen {
            Screen::Messages if self.tape.is_none() => self.facts.held_as(self.selected()?.envelope.seq),
            Screen::Queue => self.queue.selected(&self.facts.held),
            _ => None,
        }
    }

    /// The request that the selected message is, or answers.
    pub(crate) fn request_here(&self) -> Option<&Row> {
        let is_request =
            |row: &&Row| row.envelope.kind() == Kind::Request && row.envelope.direction == Direction::ToServer;
        self.selected().filter(is_request).or_else(|| self.selected_pair().filter(is_request))
    }

    pub(crate) fn can_resend(&self) -> bool {
        self.screen == Screen::Messages && self.held_here().is_none() && self.request_here().is_some()
    }

    /// In the popup that is open, or the pane beside the list; none where the cursor is on all of them.
    pub(crate) fn session_under_cursor(&self) -> Option<&Seat> {
        let place = match &self.popup {
            Some(Popup::Sessions(place)) => place,
            _ => &self.seat,
        };
        self.facts.sessions.all().get(place.cursor.checked_sub(1)?)
    }

    pub(crate) fn can_pause(&self) -> bool {
        let can = |seat: &Seat| matches!(seat.session.state, SessionState::Active | SessionState::Paused);
        self.session_under_cursor().is_some_and(can)
    }

    /// Only a command can be started anew.
    pub(crate) fn can_restart(&self) -> bool {
        let is_command = |seat: &Seat| !seat.session.upstream.starts_with("http");
        self.session_under_cursor().is_some_and(|seat| seat.closed().is_none() && is_command(seat))
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.selected().is_some()
    }

    pub(crate) fn has_pair(&self) -> bool {
        self.screen == Screen::Messages && self.selected_pair().is_some()
    }

    pub(crate) fn holds(&self) -> bool {
        self.held_here().is_some()
    }

    pub(crate) fn holds_request(&self) -> bool {
        self.held_here().is_some_and(|held| held.envelope.kind() == Kind::Request)
    }

    pub(crate) fn has_draft(&self) -> bool {
        self.held_here().is_some_and(|held| self.queue.drafts.contains_key(&held.envelope.seq))
    }

    pub(crate) fn has_fails(&self) -> bool {
        self.tapes.replay.as_ref().is_some_and(|replay| replay.count(StepVerdict::Fail) > 0)
    }

    pub(crate) fn step(&self) -> Option<&StepReport> {
        self.tapes.replay.as_ref()?.selected()
    }

    pub(crate) fn event_line(&self) -> Option<&LogLine> {
        self.log.selected()
    }

    pub(crate) fn event_has_message(&self) -> bool {
        self.event_line().and_then(|line| line.seq).is_some_and(|seq| self.facts.rows.of(seq).is_some())
    }

    pub(crate) fn editor_gone(&self) -> bool {
        self.editor.as_ref().is_some_and(|editor| editor.gone)
    }

    pub(crate) fn editor_is_narrow(&self) -> bool {
        !self.shape.wide
    }

    pub(crate) fn has_panes(&self) -> bool {
        !matches!(self.screen, Screen::Metrics | Screen::Events)
    }
}
