//! What the keys are about: the message, session or step under the cursor, and what can be done with it.

use std::sync::Arc;

use super::editor::Editor;
use super::lint_screen::LintScreenRow;
use super::message_rows::MessageRow;
use super::own_call::OwnCall;
use super::play_form::PlayField;
use super::popup::Popup;
use super::rule_form::RuleField;
use super::session_list::SessionRow;
use super::state::{Model, ScreenKind};
use crate::envelope::{Direction, Seq};
use crate::event::{Held, LogLine, RuleStatus, ServedTape, SessionState, StepReport};
use crate::mcp::method::INITIALIZE;
use crate::message::Kind;

impl Model {
    /// Whether something that was found is under the cursor of its screen, and not a server's name.
    pub(crate) fn is_on_finding(&self) -> bool {
        matches!(self.observed.found.rows().get(self.lint.cursor), Some(LintScreenRow::Code(_)))
    }

    /// The message that keys on this screen are about.
    pub(crate) fn selected(&self) -> Option<MessageRow> {
        match self.screen {
            ScreenKind::Messages => {
                let (rows, list) = self.messages();
                list.selected(rows)
            }
            ScreenKind::Queue => self.observed.rows.get(self.queue.selected(&self.observed.held)?.envelope.seq),
            ScreenKind::Tapes
            | ScreenKind::Compare
            | ScreenKind::Metrics
            | ScreenKind::Events
            | ScreenKind::Lint
            | ScreenKind::Rules => None,
        }
    }

    /// Shows only one session; 0 is all of them.
    pub(crate) fn narrow_to_session(&mut self, row: usize) {
        let only = row.checked_sub(1).and_then(|at| self.observed.sessions.all().get(at)).map(|row| row.session.id);
        self.session_cursor.cursor = row;
        let (rows, list) = self.live_mut();
        list.only = only;
        list.refilter(rows);
        list.follow(rows);
        self.observed.sessions.mark_read(only);
    }

    /// The other message of the selected one's exchange.
    pub(crate) fn selected_pair(&self) -> Option<MessageRow> {
        let rows = if self.screen == ScreenKind::Queue { &self.observed.rows } else { self.messages().0 };
        rows.pair_of(&self.selected()?)
    }

    /// The selected message, where it is held.
    pub(crate) fn held_here(&self) -> Option<&Arc<Held>> {
        match self.screen {
            ScreenKind::Messages if self.tape.is_none() => self.observed.held_as(self.selected()?.envelope.seq),
            ScreenKind::Queue => self.queue.selected(&self.observed.held),
            _ => None,
        }
    }

    /// The request that the selected message is, or answers.
    pub(crate) fn request_here(&self) -> Option<MessageRow> {
        let is_request =
            |row: &MessageRow| row.envelope.kind() == Kind::Request && row.envelope.direction == Direction::ToServer;
        self.selected().filter(is_request).or_else(|| self.selected_pair().filter(is_request))
    }

    pub(crate) fn can_resend(&self) -> bool {
        // One that is held for a moment has passed before it could be read that it is not to be sent again.
        let is_free = self.held_here().is_none_or(|held| !self.awaits_person(held));
        self.screen == ScreenKind::Messages && is_free && self.request_here().is_some()
    }

    /// The cursor is on a value of a message that can still go out: a held one, or a request.
    pub(crate) fn can_edit_value(&self) -> bool {
        let is_own = || self.selected().is_some_and(|row| Some(row.envelope.seq) == self.request_here_seq());
        self.detail.value().is_some() && (self.held_here().is_some() || (self.can_resend() && is_own()))
    }

    fn request_here_seq(&self) -> Option<Seq> {
        self.request_here().map(|row| row.envelope.seq)
    }

    /// In the popup that is open, or the pane beside the list; none where the cursor is on all of them.
    pub(crate) fn session_under_cursor(&self) -> Option<&SessionRow> {
        let place = match &self.popup {
            Some(Popup::Sessions(place)) => place,
            _ => &self.session_cursor,
        };
        self.observed.sessions.all().get(place.cursor.checked_sub(1)?)
    }

    pub(crate) fn can_pause(&self) -> bool {
        let can = |row: &SessionRow| matches!(row.session.state, SessionState::Active | SessionState::Paused);
        self.session_under_cursor().is_some_and(can)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.session_under_cursor().is_some_and(|row| matches!(row.session.state, SessionState::Paused))
    }

    /// Whether a person can do something about what is held.
    pub(crate) fn awaits_person(&self, held: &Held) -> bool {
        held.awaits_person(self.now)
    }

    /// Whether the server of the session under the cursor can be restarted: only a command can.
    pub(crate) fn can_restart(&self) -> bool {
        self.session_under_cursor().is_some_and(|row| row.closed().is_none() && row.is_of_command())
    }

    /// Whether the request here could be sent again to a URL: it came over HTTP, and it is known where to.
    pub(crate) fn has_url(&self) -> bool {
        self.request_here().is_some() && self.url().is_some()
    }

    /// Where clients come in, where that is a URL.
    pub(crate) fn url(&self) -> Option<&str> {
        self.observed.front.as_ref().map(|(url, _)| url.as_str()).filter(|url| url.starts_with("http"))
    }

    /// The message that a rule can be made of: the selected one, or in an empty queue the one that was decided last.
    pub(crate) fn subject_of_rule(&self) -> Option<MessageRow> {
        let last = self.observed.released.front().filter(|_| self.screen == ScreenKind::Queue);
        self.selected().or_else(|| self.observed.rows.get(last?.envelope.seq))
    }

    /// The rules of the core, as it told them last.
    pub(crate) fn rules(&self) -> &[RuleStatus] {
        self.metrics.figures.as_ref().map_or(&[], |figures| &figures.rules)
    }

    /// What is wrong with their files, as the core told it last.
    pub(crate) fn rule_faults(&self) -> &[String] {
        self.metrics.figures.as_ref().map_or(&[], |figures| &figures.rule_faults)
    }

    /// The rule under the cursor.
    pub(crate) fn selected_rule(&self) -> Option<&RuleStatus> {
        self.rules().get(self.rules_screen.place.cursor)
    }

    pub(crate) fn rule_has_fault(&self) -> bool {
        self.rules_screen.editor.as_ref().is_some_and(|editor| !editor.faults.is_empty())
    }

    /// In the form of a rule the cursor is on what it does.
    pub(crate) fn chooses_deed(&self) -> bool {
        matches!(&self.popup, Some(Popup::Rule(form)) if form.field == RuleField::Action)
    }

    /// In the form of how tapes are played the cursor is on a choice.
    pub(crate) fn chooses_play(&self) -> bool {
        matches!(&self.popup, Some(Popup::Play(form)) if form.field != PlayField::Ignore)
    }

    /// The chosen tape, where it answers clients.
    pub(crate) fn served(&self) -> Option<&ServedTape> {
        let tape = self.tapes.selected()?;
        self.metrics.figures.as_ref()?.served.iter().find(|served| served.tape == tape.path)
    }

    pub(crate) fn is_served(&self) -> bool {
        self.served().is_some()
    }

    pub(crate) fn can_export(&self) -> bool {
        self.settings.tape_writer.is_some() && self.tapes.selected().is_some()
    }

    /// Where clients come in; of several front doors, or none over HTTP, there is no address to give.
    pub(crate) fn front_url(&self) -> Option<&str> {
        self.observed.front.as_ref().map(|(url, _)| url.as_str()).filter(|url| url.contains("://"))
    }

    /// What any server answers, while nothing has passed.
    pub(crate) fn first_curl(&self) -> Option<String> {
        let url = self.front_url().filter(|_| self.tape.is_none() && self.observed.rows.len() == 0)?;
        let params = r#"{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}"#;
        let hello = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{INITIALIZE}","params":{params}}}"#);
        let headers = "-H 'content-type: application/json' -H 'accept: application/json, text/event-stream'";
        Some(format!("curl -sS {url} {headers} -d '{hello}'"))
    }

    pub(crate) fn has_rows(&self) -> bool {
        self.selected().is_some()
    }

    pub(crate) fn has_pair(&self) -> bool {
        self.screen == ScreenKind::Messages && self.selected_pair().is_some()
    }

    pub(crate) fn holds(&self) -> bool {
        self.held_here().is_some()
    }

    pub(crate) fn holds_request(&self) -> bool {
        self.held_here().is_some_and(|held| held.envelope.kind() == Kind::Request)
    }

    /// The line is of a value for which the schema names some.
    pub(crate) fn has_picks(&self) -> bool {
        let value = self.prompt.as_ref().and_then(|prompt| prompt.value.as_ref());
        value.is_some_and(|value| !value.rule.picks.is_empty())
    }

    pub(crate) fn has_draft(&self) -> bool {
        self.held_here().is_some_and(|held| self.queue.drafts.contains_key(&held.envelope.seq))
    }

    /// Whether a message of a replay can be let go, or a replay be begun.
    pub(crate) fn can_step(&self) -> bool {
        self.tapes.selected().is_some() || self.tapes.running()
    }

    /// Whether a command reads a message.
    pub(crate) fn pipes(&self) -> bool {
        self.piping.is_some()
    }

    pub(crate) fn has_fails(&self) -> bool {
        self.tapes.replay.as_ref().is_some_and(|replay| replay.failed() > 0)
    }

    /// Whether the chosen step has a reply that its tape does not expect.
    pub(crate) fn can_accept(&self) -> bool {
        let replay = self.tapes.replay.as_ref();
        let step = replay.and_then(|replay| Some((replay, replay.selected()?)));
        step.is_some_and(|(replay, step)| !step.differences.is_empty() && !replay.is_accepted(step))
    }

    pub(crate) fn can_ignore(&self) -> bool {
        !self.tapes.settling_paths().is_empty()
    }

    pub(crate) fn step(&self) -> Option<&StepReport> {
        self.tapes.replay.as_ref()?.selected()
    }

    /// Whether there is more to read of the chosen step than its line.
    pub(crate) fn step_differs(&self) -> bool {
        self.step().is_some_and(|step| !step.differences.is_empty() || !step.excused.is_empty())
    }

    pub(crate) fn event_line(&self) -> Option<&LogLine> {
        self.log.selected()
    }

    pub(crate) fn event_has_message(&self) -> bool {
        self.event_line().and_then(|line| line.seq).is_some_and(|seq| self.observed.rows.state(seq).is_some())
    }

    pub(crate) fn editor_gone(&self) -> bool {
        self.editor.as_ref().is_some_and(|editor| editor.gone)
    }

    /// The reply to a call of the operator's own is longer than its pane.
    pub(crate) fn reply_is_long(&self) -> bool {
        self.own_call().is_some_and(OwnCall::can_scroll)
    }

    pub(crate) fn editor_has_fault(&self) -> bool {
        self.editor.as_ref().is_some_and(|editor| editor.verdict.fault.is_some())
    }

    /// A request that is held no longer can still go out as one of the operator's.
    pub(crate) fn can_send_as_new(&self) -> bool {
        let is_request = |editor: &Editor| editor.verdict.kind == Some(Kind::Request);
        let sends = |editor: &Editor| editor.gone && editor.direction == Direction::ToServer && is_request(editor);
        self.editor.as_ref().is_some_and(sends)
    }

    pub(crate) fn can_send_edit(&self) -> bool {
        !self.editor_gone() || self.can_send_as_new()
    }

    /// The difference has no place of its own beside the text.
    pub(crate) fn editor_is_narrow(&self) -> bool {
        !self.viewport.wide || self.own_call().is_some()
    }

    pub(crate) fn has_panes(&self) -> bool {
        match self.screen {
            ScreenKind::Messages | ScreenKind::Queue => true,
            ScreenKind::Tapes => self.tapes.replay.is_some(),
            _ => false,
        }
    }
}
