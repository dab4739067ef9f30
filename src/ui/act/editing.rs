//! The editor: opening it on a message, and sending what it holds.

use std::sync::Arc;

use super::hold::{self, settle_ticket, subject};
use crate::envelope::{Seq, SessionId};
use crate::event::{Command, Decision, Then};
use crate::message::Message;
use crate::ui::keymap::Action;
use crate::ui::model::detail::DetailTab;
use crate::ui::model::editor::{EditSubject, EditTarget, Editor};
use crate::ui::model::listed::ToolSchema;
use crate::ui::model::own_call::OwnCall;
use crate::ui::model::undo::UndoStep;
use crate::ui::model::{Effect, Model};

/// What a text must be to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strict {
    Json,
    Nothing,
}

/// `e`: the held message, or else the request, into the editor.
///
/// Opens the editor with the value under the tree's cursor selected; where the tree's cursor was not moved, the likeliest value.
pub(super) fn edit(model: &mut Model) {
    let Some(subject) = edit_subject(model) else { return };
    let draft = model.queue.drafts.get(&subject.seq).map(|draft| draft.to_vec());
    let path = path_in_tree(model, subject.seq);
    match Editor::open(subject, draft) {
        Some(mut editor) => {
            path.iter().for_each(|path| editor.select_value(path));
            model.editor = Some(editor);
        }
        None => model.warn("it is not text, so it cannot be edited here"),
    }
}

/// The message that an edit here is of: the held one, or else the request.
pub(super) fn edit_subject(model: &mut Model) -> Option<EditSubject> {
    let subject = subject(model).or_else(|| resend_subject(model))?;
    Some(EditSubject { schema: schema_of(model, subject.session_id, &subject.message), ..subject })
}

/// What the server of a session says of the arguments of a call.
pub(super) fn schema_of(model: &Model, session: SessionId, call: &Message) -> Option<ToolSchema> {
    let revision = model.observed.sessions.get(session).and_then(|row| row.session.protocol.clone());
    ToolSchema::of(model.messages().0, session, call, revision.as_deref().unwrap_or_default())
}

/// Where in the message that the tree shows an edit begins.
fn path_in_tree(model: &mut Model, seq: Seq) -> Option<String> {
    model.show_detail();
    if model.detail.envelope()?.seq != seq || model.detail.tabs().1 != DetailTab::Tree {
        return None;
    }
    if model.detail.cursor == 0 {
        model.detail.go_to_likely_value();
    }
    Some(model.detail.row()?.path)
}

fn resend_subject(model: &mut Model) -> Option<EditSubject> {
    let envelope = model.request_here()?.envelope;
    let Some(session) = open_session(model, envelope.session) else {
        model.warn("no session is open to send it in");
        return None;
    };
    Some(EditSubject {
        target: EditTarget::Resend(session),
        seq: envelope.seq,
        direction: envelope.direction,
        session: model.observed.sessions.get(session).map(|row| row.title().to_owned()).unwrap_or_default(),
        session_id: session,
        via: envelope.transport.via,
        message: envelope.message.clone(),
        schema: None,
    })
}

/// The message's own session while it is open, else the newest that is.
fn open_session(model: &Model, own: SessionId) -> Option<SessionId> {
    let sessions = &model.observed.sessions;
    let own = sessions.get(own).filter(|row| row.closed().is_none());
    own.or_else(|| sessions.all().iter().rev().find(|row| row.closed().is_none())).map(|row| row.session.id)
}

pub(super) fn resend(model: &mut Model) {
    if let Some(subject) = resend_subject(model)
        && let EditTarget::Resend(session) = subject.target
    {
        send_again(model, session, subject.seq, subject.message);
    }
}

fn send_again(model: &mut Model, session: SessionId, seq: Seq, message: Message) {
    model.send(Command::Send { session, message });
    model.undo.push(UndoStep::Gone(format!("{seq} has gone out again, and nothing takes that back")));
    let past = passed_by(model);
    model.notify(format!("{seq} sent again{past}; its reply is shown here and not delivered"));
}

/// Sends what the editor holds.
pub(super) fn send(model: &mut Model, strict: Strict) {
    let Some(editor) = &mut model.editor else { return };
    // The verdict may be behind a large text.
    editor.check();
    if strict == Strict::Json && editor.touched() && editor.verdict.fault.is_some() {
        return model.warn("it is not JSON: correct it, or `ctrl x` sends it raw");
    }
    let (target, seq, message, touched) = (editor.target, editor.seq, editor.message(), editor.touched());
    if matches!(target, EditTarget::Answer(_)) && message.member("result").is_none() {
        return model.warn("an answer needs a `result`; `<held block>` answers with an error");
    }
    if let (EditTarget::Resend(session), Seq(0)) = (target, seq) {
        return call(model, session, message);
    }
    model.editor = None;
    model.queue.drafts.remove(&seq);
    match target {
        EditTarget::Held(ticket) => {
            let decision = if touched { Decision::Edit(message) } else { Decision::Forward };
            settle_ticket(model, ticket, decision, Then::Nothing);
        }
        EditTarget::Answer(ticket) => hold::answer_with(model, ticket, &message),
        EditTarget::Speak(session) => {
            model.send(Command::Speak { session, message });
            model.notify("sent to the client in its server's name");
        }
        EditTarget::Resend(session) => send_again(model, session, seq, message),
    }
}

/// What does not touch a message of the operator's own, where it would touch those of a client.
fn passed_by(model: &Model) -> &'static str {
    let (holds, rules) = (model.observed.holding.on, model.rules().iter().any(|rule| rule.is_on));
    match (holds, rules) {
        (true, true) => ", past hold and rules",
        (true, false) => ", past the hold",
        (false, true) => ", past the rules",
        (false, false) => "",
    }
}

/// Sends a call of the operator's own; the editor stays, and shows what comes back.
fn call(model: &mut Model, session: SessionId, message: Message) {
    let call = OwnCall::new(session, message.clone(), model.now);
    let past = passed_by(model);
    model.notify(if call.waits() {
        format!("sent{past}: what comes back is shown here")
    } else {
        format!("sent{past}: a notification has no reply")
    });
    model.send(Command::Send { session, message });
    if let Some(editor) = &mut model.editor {
        editor.call = Some(Box::new(call));
        editor.diff_shown = false;
    }
}

/// Gives up the call that the form waits for.
pub(super) fn cancel_call(model: &mut Model) {
    let now = model.now;
    let Some(call) = model.editor.as_mut().and_then(|editor| editor.call.as_deref_mut()) else { return };
    let session = call.session();
    let row = call.request().and_then(|seq| model.observed.rows.get(seq));
    // It goes out under an id of its own.
    let Some((seq, id)) = row.and_then(|row| Some((row.envelope.seq, row.envelope.message.id()?.clone()))) else {
        return model.warn("the call is on its way out: it can be cancelled once it is in the list");
    };
    call.cancel(now);
    model.send(Command::Cancel { session, id });
    model.notify(format!("{seq} is cancelled"));
}

/// Sends the request as one of the operator's, where its own client waits no longer.
pub(super) fn send_as_new(model: &mut Model) {
    let Some((seq, session, message)) = model.editor.as_mut().map(|editor| {
        editor.check();
        (editor.seq, editor.session_id, editor.message())
    }) else {
        return;
    };
    if model.editor.as_ref().is_some_and(|editor| editor.verdict.fault.is_some()) {
        return model.warn("it is not JSON: correct it first, `ctrl g` goes there");
    }
    let Some(session) = open_session(model, session) else { return model.warn("no session is open to send it in") };
    model.editor = None;
    model.queue.drafts.remove(&seq);
    send_again(model, session, seq, message);
}

/// Keeps what was written for the next time.
pub(super) fn close_editor(model: &mut Model) {
    let Some(editor) = model.editor.take() else { return };
    if let Some(call) = editor.call.as_ref().filter(|call| call.waits()) {
        let which = call.request().map_or_else(|| "the call".to_owned(), |seq| seq.to_string());
        model.notify(format!(
            "{which} goes on: it is in the list, and its reply will be, where `<messages pair>` leads"
        ));
    }
    if editor.seq.0 == 0 || matches!(editor.target, EditTarget::Answer(_)) {
        // A message of the operator's own is none that a draft could be of.
        return;
    }
    if editor.touched() {
        model.set_draft(editor.seq, Some(Arc::new(editor.area.lines().to_vec())));
        model.notify(match editor.target {
            EditTarget::Held(ticket) if model.observed.held.contains_key(&ticket) => {
                "draft kept: `<held forward>` sends it, `<held edit>` opens it again, `<held original>` discards it"
            }
            EditTarget::Held(_) => "it is not held any more: the draft is kept, and `<messages edit>` opens it again",
            EditTarget::Answer(_) | EditTarget::Speak(_) | EditTarget::Resend(_) => {
                "draft kept: `<messages edit>` opens it again"
            }
        });
    } else {
        model.set_draft(editor.seq, None);
    }
}

pub(super) const NOTHING_TO_UNDO: &str = "nothing was changed that could be undone";
pub(super) const NOTHING_TO_REDO: &str = "nothing was undone that could be done again";

pub(super) fn change_text(model: &mut Model, action: Action) {
    let Some(editor) = &mut model.editor else { return };
    match action {
        Action::Outside => {
            let text = editor.text();
            model.effect(Effect::EditOutside(text));
        }
        Action::Format => match editor.format() {
            Some(true) => {}
            Some(false) => model.notify("it is indented already"),
            None => model.warn("it is not JSON, so it cannot be indented"),
        },
        Action::Undo if !editor.undo() => model.notify(NOTHING_TO_UNDO),
        Action::Redo if !editor.redo() => model.notify(NOTHING_TO_REDO),
        Action::Original if !editor.restore() => model.notify("it stands as it came"),
        Action::GoToFault => editor.go_to_fault(),
        Action::ToggleDiff => editor.toggle_diff(),
        _ => {}
    }
}
