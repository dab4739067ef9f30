//! Writing: the bar, the editor, forms.

use crossterm::event::KeyEvent;

use super::hold::{settle_ticket, subject};
use super::{goto, suggested};
use crate::envelope::{Seq, SessionId};
use crate::event::{Command, Decision, Holding, Then};
use crate::message::Message;
use crate::ui::keymap::Action;
use crate::ui::keys::Key;
use crate::ui::model::bar::{Asked, Bar};
use crate::ui::model::editor::{Editor, Subject, Target};
use crate::ui::model::popup::Popup;
use crate::ui::model::{Effect, Model};

/// What a text must be to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    Json,
    Nothing,
}

/// A key that is text where something is typed.
pub(super) fn typed(model: &mut Model, key: &Key, event: KeyEvent) {
    match &mut model.popup {
        Some(Popup::Help(help)) => {
            help.search.key(key);
            help.top = 0;
        }
        Some(Popup::Block(form)) => {
            if let Some(line) = form.line() {
                line.key(key);
            }
        }
        // A key that is not on the list ends the prefix.
        Some(Popup::Prefix(_)) => model.popup = None,
        Some(_) => {}
        None => typed_below(model, key, event),
    }
}

fn typed_below(model: &mut Model, key: &Key, event: KeyEvent) {
    if let Some(bar) = &mut model.bar {
        if bar.line.key(key) {
            bar_changed(model);
        }
    } else if let Some(editor) = &mut model.editor
        && editor.area.input(event)
    {
        editor.changed();
    }
}

pub(super) fn paste(model: &mut Model, text: &str) {
    match (&mut model.popup, &mut model.bar, &mut model.editor) {
        (Some(Popup::Help(help)), _, _) => help.search.insert(text),
        (Some(Popup::Block(form)), _, _) => {
            if let Some(line) = form.line() {
                line.insert(text);
            }
        }
        (Some(_), _, _) | (None, None, None) => {}
        (None, Some(bar), _) => {
            bar.line.insert(text);
            bar_changed(model);
        }
        (None, None, Some(editor)) => {
            // Terminals paste line ends as carriage returns.
            editor.area.insert_str(text.replace("\r\n", "\n").replace('\r', "\n"));
            editor.changed();
        }
    }
}

pub(super) fn open_bar(model: &mut Model, asked: Asked) {
    let mut bar = Bar::new(asked, &suggested(model, asked));
    bar.before.clone_from(&model.list().filter);
    model.bar = Some(bar);
    if asked == Asked::Filter {
        let (rows, list) = model.book_mut();
        if std::mem::take(&mut list.filter_off) {
            list.refilter(rows);
        }
    }
}

/// The list follows the text while it parses, and stays with the last good one while it does not.
fn bar_changed(model: &mut Model) {
    let Some(bar) = model.bar.as_mut().filter(|bar| bar.asked != Asked::Goto) else { return };
    let Some(filter) = bar.parse() else { return };
    if bar.asked == Asked::Filter {
        set_filter(model, filter);
    }
}

pub(super) fn set_filter(model: &mut Model, filter: Option<(String, crate::filter::Filter)>) {
    let (rows, list) = model.book_mut();
    list.filter = filter;
    list.filter_off = false;
    list.refilter(rows);
}

pub(super) fn toggle_filter(model: &mut Model) {
    let (rows, list) = model.book_mut();
    list.filter_off = !list.filter_off;
    list.refilter(rows);
}

pub(super) fn history(model: &mut Model, by: isize) {
    let filters = &model.filters;
    let Some(bar) = &mut model.bar else { return };
    let here = bar.history.unwrap_or(filters.len());
    let there = here.saturating_add_signed(by).min(filters.len());
    bar.history = Some(there);
    bar.line = super::super::model::line::Line::new(filters.get(there).map_or("", String::as_str));
    bar_changed(model);
}

/// Leaves the bar as if it had not been opened.
pub(super) fn close_bar(model: &mut Model) {
    if let Some(bar) = model.bar.take().filter(|bar| bar.asked == Asked::Filter) {
        set_filter(model, bar.before);
    }
}

pub(super) fn accept_bar(model: &mut Model) {
    let Some(mut bar) = model.bar.take() else { return };
    if bar.asked == Asked::Goto {
        return goto(model, bar.line.text());
    }
    let Some(filter) = bar.parse() else {
        // Not done yet: the error stays under the text.
        model.bar = Some(bar);
        return;
    };
    let text = filter.map(|(text, _)| text).unwrap_or_default();
    match bar.asked {
        Asked::Hold if text.is_empty() => model.send(Command::SetHolding(Holding { on: false, filter: text })),
        Asked::Hold => model.send(Command::SetHolding(Holding { on: true, filter: text })),
        _ if !text.is_empty() => {
            model.filters.retain(|known| *known != text);
            model.filters.push(text);
        }
        _ => {}
    }
}

/// `e`: the held message, or else the request, into the editor.
pub(super) fn edit(model: &mut Model) {
    let Some(subject) = subject(model).or_else(|| resend_subject(model)) else { return };
    let draft = model.queue.drafts.get(&subject.seq).cloned();
    match Editor::open(subject, draft) {
        Some(editor) => model.editor = Some(editor),
        None => model.warn("it is not text, so it cannot be edited here"),
    }
}

fn resend_subject(model: &mut Model) -> Option<Subject> {
    let envelope = model.request_here()?.envelope.clone();
    let Some(session) = open_session(model, envelope.session) else {
        model.warn("no session is open to send it in");
        return None;
    };
    Some(Subject {
        target: Target::Resend(session),
        seq: envelope.seq,
        direction: envelope.direction,
        session: model.facts.sessions.get(session).map(|seat| seat.title().to_owned()).unwrap_or_default(),
        via: envelope.transport.via,
        message: envelope.message.clone(),
    })
}

/// The message's own session while it is open, else the newest that is.
fn open_session(model: &Model, own: SessionId) -> Option<SessionId> {
    let sessions = &model.facts.sessions;
    let own = sessions.get(own).filter(|seat| seat.closed().is_none());
    own.or_else(|| sessions.all().iter().rev().find(|seat| seat.closed().is_none())).map(|seat| seat.session.id)
}

pub(super) fn resend(model: &mut Model) {
    if let Some(subject) = resend_subject(model)
        && let Target::Resend(session) = subject.target
    {
        send_again(model, session, subject.seq, subject.message);
    }
}

fn send_again(model: &mut Model, session: SessionId, seq: Seq, message: Message) {
    model.send(Command::Send { session, message });
    model.say(format!("{seq} sent again; its reply is shown here and not delivered"));
}

/// Sends what the editor holds.
pub(super) fn send(model: &mut Model, strict: Strict) {
    let Some(editor) = &mut model.editor else { return };
    // The verdict may be behind a large text.
    editor.check();
    if strict == Strict::Json && editor.touched() && editor.verdict.fault.is_some() {
        return model.warn("it is not JSON: mend it, or `ctrl x` sends it raw");
    }
    let (target, seq, message, touched) = (editor.target, editor.seq, editor.message(), editor.touched());
    model.editor = None;
    model.queue.drafts.remove(&seq);
    match target {
        Target::Held(ticket) => {
            let decision = if touched { Decision::Edit(message) } else { Decision::Forward };
            settle_ticket(model, ticket, decision, Then::Nothing);
        }
        Target::Resend(session) => send_again(model, session, seq, message),
    }
}

/// Keeps what was written for the next time.
pub(super) fn leave_editor(model: &mut Model) {
    let Some(editor) = model.editor.take() else { return };
    if editor.touched() {
        model.queue.drafts.insert(editor.seq, editor.area.lines().to_vec());
        model.say(match editor.target {
            Target::Held(_) => "draft kept: `a` sends it, `e` opens it again, `V` forgets it",
            Target::Resend(_) => "draft kept: `e` opens it again",
        });
    } else {
        model.queue.drafts.remove(&editor.seq);
    }
}

pub(super) fn in_editor(model: &mut Model, action: Action) {
    let Some(editor) = &mut model.editor else { return };
    match action {
        Action::Outside => {
            let text = editor.text();
            model.effect(Effect::EditOutside(text));
        }
        Action::Format if !editor.format() => model.warn("it is not JSON, so it cannot be indented"),
        Action::Undo => editor.undo(),
        Action::Redo => editor.redo(),
        Action::Original => editor.restore(),
        Action::ToggleDiff => editor.toggle_diff(),
        _ => {}
    }
}
