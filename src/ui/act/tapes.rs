//! Opening tapes, and playing them.

use crate::event::{Command, Speed, TapeEdit};
use crate::ui::model::popup::{Confirmation, Popup};
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::{Model, Pane, ScreenKind};

pub(super) fn open_tape(model: &mut Model, pane: Pane) {
    let step = model.tapes.replay.as_ref().filter(|_| pane == Pane::Detail);
    let path = match step {
        Some(replay) => Some(replay.tape.clone()),
        None => model.tapes.selected().map(|tape| tape.path.clone()),
    };
    model.tapes.goal = step.and_then(|replay| replay.selected()).map(|step| step.seq);
    model.compare.is_below_tape = false;
    if let Some(path) = path {
        model.send(Command::OpenTape(path));
    }
}

pub(super) fn play(model: &mut Model, by_step: bool) {
    if let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) {
        // Who lets each message go needs no pace.
        let speed = if by_step { Speed::Max } else { model.tapes.speed };
        let ignore = model.tapes.ignored(&tape).to_vec();
        model.send(Command::Replay { tape, speed, by_step, ignore });
        model.screen = ScreenKind::Tapes;
    }
}

/// The next message goes now; where no tape is played, one is, step by step.
pub(super) fn step(model: &mut Model) {
    match &mut model.tapes.replay {
        Some(replay) if replay.runs() => {
            replay.waiting = None;
            model.send(Command::StepReplay);
        }
        _ => play(model, true),
    }
}

pub(super) fn next_fail(model: &mut Model) {
    if let Some(replay) = &mut model.tapes.replay
        && !replay.next_fail()
    {
        model.notify("no other step failed");
    }
}

/// What the server answered is what the tape expects from now on.
pub(super) fn accept_reply(model: &mut Model) {
    let replay = model.tapes.replay.as_ref();
    let Some((tape, step)) = replay.and_then(|replay| Some((replay.tape.clone(), replay.selected()?))) else { return };
    let (request, words) = (step.seq, format!("step {}: what the server answered goes onto the tape", step.step));
    model.notify(words);
    model.send(Command::AcceptReply { tape, request });
}

pub(super) fn ignore_paths(model: &mut Model) {
    let paths = model.tapes.settling_paths().join(", ");
    let Some((tape, ignored)) = model.tapes.turn_ignored() else { return };
    let how = if model.tapes.is_settled() { "ignored from here on" } else { "counts again" };
    model.notify(format!("{how}: {paths}"));
    if model.tapes.running() {
        model.send(Command::IgnoreInReplay { tape, paths: ignored });
    }
}

/// `enter` in the line of a name or a note.
pub(super) fn name_or_note(model: &mut Model) {
    let Some(prompt) = model.prompt.take() else { return };
    let text = prompt.line.text().trim().to_owned();
    if text.is_empty() {
        return;
    }
    tend(model, if prompt.kind == PromptKind::TapeName { TapeEdit::Rename(text) } else { TapeEdit::Note(text) });
}

pub(super) fn ask_delete(model: &mut Model) {
    if !is_recorded_now(model) {
        model.popup = Some(Popup::Confirm(Confirmation::DeleteTape));
    }
}

pub(super) fn delete(model: &mut Model) {
    model.popup = None;
    tend(model, TapeEdit::Delete);
}

fn tend(model: &mut Model, edit: TapeEdit) {
    if is_recorded_now(model) {
        return;
    }
    let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) else { return };
    model.notify(match &edit {
        TapeEdit::Rename(name) => format!("renamed to {name}"),
        TapeEdit::Note(_) => "the note is on the tape".to_owned(),
        TapeEdit::Delete => "deleted".to_owned(),
    });
    model.send(Command::TendTape { tape, edit });
}

/// Whether a session still writes to the tape, which is said then.
pub(super) fn is_recorded_now(model: &mut Model) -> bool {
    let path = model.tapes.selected().map(|tape| tape.path.clone());
    let open = model.observed.sessions.all().iter().filter(|row| row.closed().is_none());
    let is_open = open.filter_map(|row| row.session.tape.as_deref()).any(|tape| Some(tape) == path.as_deref());
    if is_open {
        model.warn("a session is being recorded to this tape: it can be changed when that has ended");
    }
    is_open
}
