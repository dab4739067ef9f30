//! Holding, and ending holds.

use super::prompt::open_prompt;
use crate::event::{BlockError, Command, Decision, Holding, Then, Ticket};
use crate::mcp::method::TOOLS_CALL;
use crate::message::Kind;
use crate::ui::model::Model;
use crate::ui::model::editor::{EditSubject, EditTarget, Editor};
use crate::ui::model::popup::{BlockForm, Confirmation, Popup};
use crate::ui::model::prompt::PromptKind;

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
            model.send(Command::SetHolding(Holding { on: true, filter }));
        }
    }
}

pub(super) fn turn_off(model: &mut Model, forward: bool) {
    model.popup = None;
    let filter = model.observed.holding.filter.clone();
    model.send(Command::SetHolding(Holding { on: false, filter }));
    if forward {
        forward_all_now(model);
    }
}

/// Sends the selected message on: its draft where there is one, else as it came.
pub(super) fn forward(model: &mut Model, then: Then) {
    match draft(model) {
        Ok(decision) => settle_selected(model, decision, then),
        Err(()) => model.warn("the draft is not JSON: `e` edits it, `V` discards it"),
    }
}

/// `Err` where there is a draft that does not parse.
fn draft(model: &Model) -> Result<Decision, ()> {
    let Some(held) = model.held_here() else { return Ok(Decision::Forward) };
    let Some(draft) = model.queue.drafts.get(&held.envelope.seq) else { return Ok(Decision::Forward) };
    let editor = subject(model).and_then(|subject| Editor::open(subject, Some(draft.clone()))).ok_or(())?;
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
        via: envelope.transport.via,
        message: envelope.message.clone(),
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
    model.queue.drafts.remove(&held.envelope.seq);
    model.queue.decided(&model.observed.held, ticket);
    model.send(Command::Settle { ticket, decision, then });
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
    model.queue.sent.extend(tickets);
    model.send(Command::ForwardAll);
}

pub(super) fn drop_selected(model: &mut Model) {
    let request = model.holds_request();
    settle_selected(model, Decision::Drop, Then::Nothing);
    if request {
        model.warn("dropped: its sender now waits for its timeout");
    }
}

pub(super) fn block(model: &mut Model) {
    let Some(held) = model.held_here() else { return };
    let envelope = &held.envelope;
    if envelope.kind() == Kind::Notification {
        // Nobody waits for an answer, so there is none to fill in.
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

pub(super) fn revert(model: &mut Model) {
    if let Some(seq) = model.held_here().map(|held| held.envelope.seq) {
        model.queue.drafts.remove(&seq);
        model.notify("draft discarded");
    }
}

pub(super) fn next_field(model: &mut Model, by: isize) {
    if let Some(Popup::Block(form)) = &mut model.popup {
        form.next_field(by);
    }
}
