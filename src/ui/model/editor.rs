//! A message being edited: the text, what is wrong with it, how it differs. Sends nothing itself.

use std::time::{Duration, Instant};

use regex::Regex;
use tui_textarea::{CursorMove, TextArea, WrapMode};

use super::super::diff::{DiffLine, Sign, changed_paths, diff_json};
use super::super::json::{
    Folds, JsonFault, JsonTree, check, compact, fold, pretty, pretty_marked, splice, unfold, unmark,
};
use super::listed::ToolSchema;
use super::own_call::OwnCall;
use crate::envelope::{Direction, Seq, SessionId, Via};
use crate::event::Ticket;
use crate::lint::SchemaMisfit;
use crate::message::{Kind, Message};

/// Beyond this the text is checked only after a pause in typing.
pub(super) const LARGE: usize = 256 * 1024;
const PAUSE: Duration = Duration::from_millis(150);

/// Where the edited message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EditTarget {
    /// On, in place of the held one.
    Held(Ticket),
    /// Back, as the answer to the held request.
    Answer(Ticket),
    /// To the client of a session, in its server's name.
    Speak(SessionId),
    /// Out again, as a new request in the session.
    Resend(SessionId),
}

pub(crate) struct Editor {
    pub(crate) target: EditTarget,
    pub(crate) seq: Seq,
    pub(crate) direction: Direction,
    pub(crate) session: String,
    pub(crate) session_id: SessionId,
    pub(crate) original: Message,
    via: Via,
    /// Of the tool that is called.
    pub(crate) schema: Option<ToolSchema>,
    opened: Vec<String>,
    pub(crate) area: TextArea<'static>,
    pub(crate) verdict: DraftVerdict,
    /// In a narrow window: the diff has the place of the text.
    pub(crate) diff_shown: bool,
    /// The held message was released meanwhile.
    pub(crate) gone: bool,
    /// JSON in strings is written out, behind a mark.
    pub(crate) is_unfolded: bool,
    /// What went out from here last, of a call of the operator's own.
    pub(crate) call: Option<Box<OwnCall>>,
    stale: Option<Instant>,
}

/// What is known of the text as it stands.
#[derive(Default)]
pub(crate) struct DraftVerdict {
    pub(crate) fault: Option<JsonFault>,
    /// Why it is not JSON-RPC.
    pub(crate) flaw: Option<String>,
    pub(crate) kind: Option<Kind>,
    pub(crate) warning: Option<String>,
    /// What of the arguments does not fit the schema of the tool; `None` where that cannot be told.
    pub(crate) misfits: Option<Vec<SchemaMisfit>>,
    pub(crate) bytes: usize,
    pub(crate) diff: Vec<DiffLine>,
    pub(crate) paths: Vec<String>,
}

/// What the editor is opened on.
#[derive(Clone)]
pub(crate) struct EditSubject {
    pub(crate) target: EditTarget,
    pub(crate) seq: Seq,
    pub(crate) direction: Direction,
    pub(crate) session: String,
    pub(crate) session_id: SessionId,
    pub(crate) via: Via,
    pub(crate) message: Message,
    /// Of the tool that is called.
    pub(crate) schema: Option<ToolSchema>,
}

impl Editor {
    /// `None` where the message is not text. `draft`: what was typed the last time.
    pub(crate) fn open(subject: EditSubject, draft: Option<Vec<String>>) -> Option<Self> {
        let opened = lines(&shown_form(&subject.message)?);
        let is_unfolded = pretty(subject.message.raw()).is_some();
        let mut area = TextArea::new(draft.unwrap_or_else(|| opened.clone()));
        // One long line does not drag the others sideways.
        area.set_wrap_mode(WrapMode::Glyph);
        let mut editor = Self {
            target: subject.target,
            seq: subject.seq,
            direction: subject.direction,
            session: subject.session,
            session_id: subject.session_id,
            original: subject.message,
            via: subject.via,
            schema: subject.schema,
            opened,
            area,
            verdict: DraftVerdict::default(),
            diff_shown: false,
            gone: false,
            is_unfolded,
            call: None,
            stale: None,
        };
        editor.check();
        Some(editor)
    }

    /// What the text began as, where that is no message which came.
    pub(crate) fn form_words(&self) -> Option<&'static str> {
        match self.target {
            EditTarget::Answer(_) => Some("the skeleton"),
            _ => (self.seq.0 == 0).then_some("the form"),
        }
    }

    pub(crate) fn touched(&self) -> bool {
        self.area.lines() != self.opened
    }

    pub(crate) fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    /// The text without the marks of what stands in strings, everything at its place.
    fn unmarked(&self) -> String {
        self.unmarked_of(self.text())
    }

    fn unmarked_of(&self, text: String) -> String {
        if self.is_unfolded { unmark(&text).text } else { text }
    }

    /// Whether JSON that stands in a string is written out in the text.
    pub(crate) fn has_marks(&self) -> bool {
        self.is_unfolded && !unmark(&self.text()).places.is_empty()
    }

    /// What would be sent: the very bytes that came, but for those that were edited.
    pub(crate) fn message(&self) -> Message {
        if self.touched() { self.message_of(self.text()) } else { self.original.clone() }
    }

    fn message_of(&self, text: String) -> Message {
        let raw = self.original.raw();
        let text = if self.is_unfolded { fold(&text, raw) } else { text };
        // A line of a pipe must stay one line, and one that came compact should go compact.
        let one_line = self.via == Via::Stdio || !raw.contains(&b'\n');
        match splice(raw, &text, one_line) {
            // In a text of several lines, only the white space between them was edited.
            Some(same) if same == raw[..] && !one_line => Message::new(text),
            Some(spliced) => Message::new(spliced),
            None if one_line && check(&text).is_ok() => Message::new(compact(&text)),
            None => Message::new(text),
        }
    }

    /// The value at a path as it stands in the text: its token, with the quotes of a string.
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        let text = self.text();
        let place = JsonTree::new(&self.unmarked().into()).place(path)?;
        text.get(place).map(str::to_owned)
    }

    /// Puts another value at a path; returns `false` where there is no such place.
    pub(crate) fn put_value(&mut self, path: &str, token: &str) -> bool {
        let text = self.text_with(path, token);
        text.iter().for_each(|text| self.replace(text));
        text.is_some()
    }

    fn text_with(&self, path: &str, token: &str) -> Option<String> {
        let mut text = self.text();
        let place = JsonTree::new(&self.unmarked().into()).place(path)?;
        text.replace_range(place, token);
        Some(text)
    }

    /// What would be known of the text with another value at a path; `None` where there is no such place.
    pub(crate) fn verdict_with(&self, path: &str, token: &str) -> Option<DraftVerdict> {
        let text = self.text_with(path, token)?;
        let is_as_it_came = text == self.opened.join("\n");
        let message = if is_as_it_came { self.original.clone() } else { self.message_of(text.clone()) };
        Some(self.verdict_of(text, &message))
    }

    /// Puts the cursor on the value at a path and selects it, so that what is typed replaces it. Of a string that is what
    /// stands between its quotes; a container is not selected.
    pub(crate) fn select_value(&mut self, path: &str) {
        let text = self.unmarked();
        let Some(place) = JsonTree::new(&text.clone().into()).place(path) else { return };
        let (from, to) = match text.as_bytes()[place.start] {
            b'"' => (place.start + 1, place.end - 1),
            b'{' | b'[' => (place.start, place.start),
            _ => (place.start, place.end),
        };
        let (Some(start), Some(end)) = (jump_to(&text, from), jump_to(&text, to)) else { return };
        self.area.cancel_selection();
        self.area.move_cursor(start);
        if from < to {
            self.area.start_selection();
            self.area.move_cursor(end);
        }
    }

    /// Puts the cursor on the first argument of a call.
    pub(crate) fn select_first_argument(&mut self) {
        let tree = JsonTree::new(&self.unmarked().into());
        let rows = tree.rows(&Folds::default(), 0..50);
        let path = rows.into_iter().map(|row| row.path).find(|path| path.starts_with(".params.arguments."));
        path.iter().for_each(|path| self.select_value(path));
    }

    /// The text changed.
    pub(crate) fn changed(&mut self) {
        let bytes: usize = self.area.lines().iter().map(|line| line.len() + 1).sum();
        if bytes > LARGE { self.stale = Some(Instant::now()) } else { self.check() }
    }

    /// Checks a large text once its author pauses; returns how long until then.
    pub(crate) fn check_when_idle(&mut self, dirty: &mut bool) -> Option<Duration> {
        let left = PAUSE.saturating_sub(self.stale?.elapsed());
        if left.is_zero() {
            self.check();
            *dirty = true;
            return None;
        }
        Some(left)
    }

    pub(crate) fn check(&mut self) {
        self.stale = None;
        self.verdict = self.verdict_of(self.text(), &self.message());
    }

    fn verdict_of(&self, text: String, message: &Message) -> DraftVerdict {
        let fault = check(&self.unmarked_of(text)).err();
        let same = *message == self.original;
        DraftVerdict {
            flaw: if fault.is_none() { super::json_rpc::flaw(message) } else { None },
            kind: Some(message.kind()),
            warning: warning(&self.original, message).filter(|_| fault.is_none()),
            misfits: self.schema.as_ref().filter(|_| fault.is_none()).and_then(|schema| schema.misfits(message)),
            bytes: message.raw().len(),
            diff: if same || fault.is_some() { Vec::new() } else { self.diff(message) },
            paths: if same || fault.is_some() { Vec::new() } else { self.paths(message) },
            fault,
        }
    }

    fn diff(&self, message: &Message) -> Vec<DiffLine> {
        let diff = diff_json(&unfolded(self.original.raw()), &unfolded(message.raw()));
        if diff.iter().any(|line| line.sign != Sign::Same) { diff } else { Vec::new() }
    }

    fn paths(&self, message: &Message) -> Vec<String> {
        changed_paths(&unfolded(self.original.raw()), &unfolded(message.raw()))
            .into_iter()
            .map(|difference| difference.path)
            .collect()
    }

    pub(crate) fn replace(&mut self, text: &str) {
        let cursor = self.area.cursor();
        self.area.select_all();
        self.area.insert_str(text);
        let clamp = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        self.area.move_cursor(CursorMove::Jump(clamp(cursor.0), clamp(cursor.1)));
        self.changed();
    }

    /// Puts the cursor on what is no JSON.
    pub(crate) fn go_to_fault(&mut self) {
        if let Some(fault) = &self.verdict.fault {
            let at = |number: usize| u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX);
            self.area.cancel_selection();
            self.area.move_cursor(CursorMove::Jump(at(fault.line), at(fault.column)));
        }
    }

    /// Puts the cursor on the first match of a line.
    pub(crate) fn go_to_match(&mut self, row: usize, pattern: &Regex) {
        let Some(line) = self.area.lines().get(row) else { return };
        let column = pattern.find(line).map_or(0, |found| line[..found.start()].chars().count());
        let at = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        self.area.cancel_selection();
        self.area.move_cursor(CursorMove::Jump(at(row), at(column)));
    }

    /// Whether that changed anything; `None`: it is no JSON.
    pub(crate) fn format(&mut self) -> Option<bool> {
        let now = self.text();
        let text = if self.is_unfolded { pretty_marked(&now) } else { pretty(now.as_bytes()) }?;
        Some(self.replace_other(&now, &text))
    }

    /// Whether it was otherwise; as the two below.
    pub(crate) fn restore(&mut self) -> bool {
        self.replace_other(&self.text(), &self.opened.join("\n"))
    }

    fn replace_other(&mut self, now: &str, text: &str) -> bool {
        let differs = now != text;
        if differs {
            self.replace(text);
        }
        differs
    }

    pub(crate) fn undo(&mut self) -> bool {
        let undone = self.area.undo();
        self.changed();
        undone
    }

    pub(crate) fn redo(&mut self) -> bool {
        let redone = self.area.redo();
        self.changed();
        redone
    }

    pub(crate) fn toggle_diff(&mut self) {
        self.diff_shown = !self.diff_shown;
    }
}

/// The bytes with the JSON in strings written out, for a comparison of what it says.
fn unfolded(raw: &[u8]) -> Vec<u8> {
    unfold(raw).map_or_else(|| raw.to_vec(), |text| unmark(&text).text.into_bytes())
}

/// The move to a byte of the text; `None` where that is further than a cursor can be sent.
fn jump_to(text: &str, at: usize) -> Option<CursorMove> {
    let line = text[..at].matches('\n').count();
    let column = text[..at].rsplit('\n').next().unwrap_or_default().chars().count();
    Some(CursorMove::Jump(line.try_into().ok()?, column.try_into().ok()?))
}

/// The text an editor opens with: indented where it is JSON, else as it is; `None` where it is not text.
fn shown_form(message: &Message) -> Option<String> {
    match unfold(message.raw()).and_then(|text| pretty_marked(&text)).or_else(|| pretty(message.raw())) {
        Some(text) => Some(text),
        None => String::from_utf8(message.raw().to_vec()).ok(),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned()).collect()
}

fn warning(original: &Message, edited: &Message) -> Option<String> {
    if edited.kind() != original.kind() {
        return Some(format!("the kind changed: {} -> {}", original.kind().word(), edited.kind().word()));
    }
    match (original.id(), edited.id()) {
        (Some(was), Some(is)) if was != is => {
            Some(format!("id changed {} -> {}, its sender cannot match the reply", was.token(), is.token()))
        }
        _ => None,
    }
}
