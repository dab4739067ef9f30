//! Holding, and ending holds.

use std::sync::Arc;

use super::prompt::open_prompt;
use crate::envelope::{Direction, Envelope, ReplyTo, Subject};
use crate::event::{BlockError, Command, Decision, Held, Holding, Then, Ticket};
use crate::filter::Filter;
use crate::mcp::meta::requested_progress;
use crate::mcp::method::TOOLS_CALL;
use crate::message::{Kind, Message};
use crate::ui::diff::changed_paths;
use crate::ui::model::Model;
use crate::ui::model::answer::answer_skeleton;
use crate::ui::model::editor::{EditSubject, EditTarget, Editor};
use crate::ui::model::patience::ClientClock;
use crate::ui::model::popup::{BlockForm, Confirmation, Popup};
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::undo::UndoStep;

/// Above this many, forwarding all is asked.
const MANY: usize = 50;

pub(super) fn toggle(model: &mut Model) {
    let holding = &model.observed.holding;
    match (holding.on, model.observed.held.is_empty()) {
        (true, false) => model.popup = Some(Popup::Confirm(Confirmation::HoldOff)),
        (true, true) => turn_off(model, false),
        (false, _) if holding.filter.is_empty() => open_prompt(model, PromptKind::Hold),
        (false, _) => {
            let filter = holding.filter.clone();
            model.set_holding(Holding { on: true, filter });
        }
    }
}

pub(super) fn turn_off(model: &mut Model, forward: bool) {
    model.popup = None;
    let filter = model.observed.holding.filter.clone();
    model.set_holding(Holding { on: false, filter });
    if forward {
        forward_all_now(model);
    }
}

/// Sends the selected message on: its draft where there is one, else as it came.
pub(super) fn forward(model: &mut Model, then: Then) {
    match draft(model) {
        Ok(decision) => settle_selected(model, decision, then),
        Err(()) => model.warn("the draft is not JSON: `<held edit>` edits it, `<held original>` discards it"),
    }
}

/// `Err` where there is a draft that does not parse.
pub(super) fn draft(model: &Model) -> Result<Decision, ()> {
    let Some(held) = model.held_here() else { return Ok(Decision::Forward) };
    let Some(draft) = model.queue.drafts.get(&held.envelope.seq) else { return Ok(Decision::Forward) };
    let editor = subject(model).and_then(|subject| Editor::open(subject, Some(draft.to_vec()))).ok_or(())?;
    match editor.verdict.fault {
        None => Ok(Decision::Edit(editor.message())),
        Some(_) => Err(()),
    }
}

/// What the editor opens for the selected held message.
pub(super) fn subject(model: &Model) -> Option<EditSubject> {
    let held = model.held_here()?;
    let envelope = &held.envelope;
    let session = model.observed.sessions.get(envelope.session).map(|row| row.title().to_owned()).unwrap_or_default();
    Some(EditSubject {
        target: EditTarget::Held(held.ticket),
        seq: envelope.seq,
        direction: envelope.direction,
        session,
        session_id: envelope.session,
        via: envelope.transport.via,
        message: envelope.message.clone(),
        schema: None,
    })
}

fn settle_selected(model: &mut Model, decision: Decision, then: Then) {
    if let Some(ticket) = model.held_here().map(|held| held.ticket) {
        settle_ticket(model, ticket, decision, then);
    }
}

pub(super) fn settle_ticket(model: &mut Model, ticket: Ticket, decision: Decision, then: Then) {
    let Some(held) = model.observed.held.get(&ticket) else {
        return model.warn("it is not held any more");
    };
    if model.queue.sent.contains(&ticket) {
        return model.notify("already decided");
    }
    let said = sent_words(model, held, &decision, then);
    let (seq, gone) = (held.envelope.seq, gone_words(&held.envelope, &decision));
    model.undo.left(seq, &gone);
    model.undo.push(UndoStep::Gone(gone));
    model.queue.drafts.remove(&seq);
    model.queue.decided(&model.observed.held, ticket);
    model.send(Command::Settle { ticket, decision, then });
    model.notify(said);
}

/// What an operator needs to know of what was just sent: what of it, and whether that is the end of it.
fn sent_words(model: &Model, held: &Held, decision: &Decision, then: Then) -> String {
    let seq = held.envelope.seq;
    let mut words = match decision {
        Decision::Forward => format!("{seq} sent"),
        Decision::Edit(message) => match changed_paths(held.envelope.message.raw(), message.raw()).len() {
            0 => format!("{seq} sent, edited"),
            1 => format!("{seq} sent, 1 value changed"),
            many => format!("{seq} sent, {many} values changed"),
        },
        Decision::Block(BlockError::Result { .. }) => return format!("{seq} answered: its sender has your result"),
        Decision::Block(_) => return format!("{seq} blocked: its sender has the error"),
        Decision::Drop => return format!("{seq} dropped"),
    };
    match then {
        Then::HoldNext => words.push_str("; the next message of its session is held"),
        Then::HoldReply => words.push_str("; its reply is held too"),
        Then::Nothing if reply_will_be_held(model, held) => words.push_str("; its reply is held too"),
        Then::Nothing => {}
    }
    words
}

/// Why a decision is for good, and what can be done instead.
fn gone_words(held: &Envelope, decision: &Decision) -> String {
    let seq = held.seq;
    let is_call = held.kind() == Kind::Request && held.direction == Direction::ToServer;
    let again = if is_call { ": `<messages edit>` in the list edits it and sends it again" } else { "" };
    match decision {
        Decision::Forward | Decision::Edit(_) => format!("{seq} has gone out, and nothing takes that back{again}"),
        Decision::Block(_) => format!("{seq} is answered, and its sender has the answer{again}"),
        Decision::Drop => format!("{seq} was dropped, and its sender waits for nothing{again}"),
    }
}

/// Whether what is held now holds the reply to this request as well, as far as that can be known before it is there.
fn reply_will_be_held(model: &Model, held: &Held) -> bool {
    let (holding, request) = (&model.observed.holding, &held.envelope);
    let (Some(id), true, Kind::Request) = (request.message.id(), holding.on, request.kind()) else { return false };
    let Ok(filter) = Filter::parse(&holding.filter) else { return false };
    let name = request.name().map(Into::into);
    let subject = Subject { method: request.method().unwrap_or_default().into(), name };
    filter.matches(&Envelope {
        direction: request.direction.reverse(),
        message: Message::new(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, id.token())),
        reply_to: Some(ReplyTo { seq: request.seq, took: 0, subject: Arc::new(subject) }),
        ..request.clone()
    })
}

/// Has its client told progress while the selected request is held; says what that does not help.
pub(super) fn keep_patient(model: &mut Model) {
    let Some(held) = model.held_here() else { return };
    let (ticket, guessed) = (held.ticket, model.client_clock(held).is_some_and(ClientClock::is_guess));
    if requested_progress(&held.envelope.message).is_none() {
        return model.warn("it asks for no progress (no `progressToken`): nothing makes its client wait longer");
    }
    let session = model.observed.sessions.get(held.envelope.session);
    if session.is_some_and(|row| !row.is_of_command()) {
        return model
            .warn("its client cannot be told progress: its server is behind a URL, and no stream of ours is open");
    }
    model.send(Command::KeepPatient(ticket));
    // Measured: version 1 and 2 of the SDK give up after 60 s, whatever comes.
    let but =
        if guessed { "; the TypeScript SDK counts on, unless it is called with `resetTimeoutOnProgress`" } else { "" };
    model.notify(format!("its client is told progress every 10s while it is held, where a stream carries it{but}"));
}

pub(super) fn forward_all(model: &mut Model) {
    if model.observed.held.len() > MANY {
        model.popup = Some(Popup::Confirm(Confirmation::ForwardAll));
    } else {
        forward_all_now(model);
    }
}

pub(super) fn forward_all_now(model: &mut Model) {
    model.popup = None;
    let tickets: Vec<Ticket> = model.observed.held.keys().copied().collect();
    let replies = model.observed.held.values().filter(|held| reply_will_be_held(model, held)).count();
    let too = match replies {
        0 => "",
        1 => "; a reply to them is held too",
        _ => "; their replies are held too",
    };
    model.notify(format!("{} sent{too}", tickets.len()));
    let gone = format!("the {} that were sent have gone out, and nothing takes that back", tickets.len());
    model.observed.held.values().for_each(|held| model.undo.left(held.envelope.seq, &gone));
    model.undo.push(UndoStep::Gone(gone));
    model.queue.sent.extend(tickets);
    model.send(Command::ForwardAll);
}

pub(super) fn drop_selected(model: &mut Model) {
    let request = model.holds_request();
    settle_selected(model, Decision::Drop, Then::Nothing);
    if request {
        model.warn("dropped: its sender now waits for its time-out");
    }
}

pub(super) fn block(model: &mut Model) {
    let Some(held) = model.held_here() else { return };
    let envelope = &held.envelope;
    if envelope.kind() == Kind::Notification {
        // A notification has no answer, so there is none to fill in.
        return block_preset(model);
    }
    let method = envelope.method().unwrap_or("message");
    let what = format!("{} {method} {}", envelope.seq, envelope.name().unwrap_or_default());
    let form = BlockForm::new(held.ticket, what, method == TOOLS_CALL);
    model.popup = Some(Popup::Block(form));
}

pub(super) fn block_preset(model: &mut Model) {
    settle_selected(model, Decision::Block(BlockForm::preset()), Then::Nothing);
}

pub(super) fn send_block(model: &mut Model) {
    let Some(Popup::Block(form)) = &mut model.popup else { return };
    let (ticket, Some(error)) = (form.ticket, BlockForm::error(form)) else { return };
    model.popup = None;
    block_with(model, ticket, error);
}

fn block_with(model: &mut Model, ticket: Ticket, error: BlockError) {
    settle_ticket(model, ticket, Decision::Block(error), Then::Nothing);
}

/// `B`: a result of the operator's own, in the editor.
pub(super) fn answer(model: &mut Model) {
    let (Some(held), Some(subject)) = (model.held_here(), subject(model)) else { return };
    let (request, ticket) = (held.envelope.clone(), held.ticket);
    let session = model.observed.sessions.get(request.session);
    let protocol = session.and_then(|row| row.session.protocol.clone());
    let text = answer_skeleton(&model.observed.rows, &request, protocol.as_deref());
    let subject = EditSubject {
        target: EditTarget::Answer(ticket),
        direction: request.direction.reverse(),
        message: Message::new(text),
        ..subject
    };
    model.editor = Editor::open(subject, None).map(|mut editor| {
        editor.select_value(".result.content[0].text");
        editor
    });
}

/// Answers with the result of this reply; its id is the request's, whatever stands there.
pub(super) fn answer_with(model: &mut Model, ticket: Ticket, reply: &Message) {
    if let Some(result) = reply.member("result") {
        block_with(model, ticket, BlockError::Result { result: result.to_owned() });
    }
}

pub(super) fn revert(model: &mut Model) {
    if let Some(seq) = model.held_here().map(|held| held.envelope.seq) {
        model.set_draft(seq, None);
        model.notify("draft discarded: `<queue undo-last>` has it again");
    }
}

pub(super) fn next_field(model: &mut Model, by: isize) {
    if let Some(Popup::Block(form)) = &mut model.popup {
        form.next_field(by);
    }
}
