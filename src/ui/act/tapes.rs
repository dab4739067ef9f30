//! Opening tapes, and playing them.

use super::comparing::values_text;
use crate::event::{Command, Speed, TapeEdit};
use crate::ui::model::popup::{Confirmation, Pager, Popup};
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::tapes_screen::ReplayRun;
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

pub(super) fn play(model: &mut Model) {
    if let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) {
        let by_step = model.tapes.by_step;
        // Who lets each message go needs no pace.
        let speed = if by_step { Speed::Max } else { model.tapes.speed };
        let ignore = model.tapes.ignored(&tape).to_vec();
        model.send(Command::Replay { tape, speed, by_step, ignore });
        model.screen = ScreenKind::Tapes;
    }
}

/// The next message goes now; where no tape is played, one is, step by step.
pub(super) fn step(model: &mut Model) {
    let selected = model.tapes.selected().map(|tape| tape.path.as_path());
    let is_over = |replay: &ReplayRun| model.tapes.by_step && selected == Some(&replay.tape);
    match &model.tapes.replay {
        Some(replay) if replay.runs() => {
            model.tapes.replay.iter_mut().for_each(|replay| replay.waiting = None);
            model.send(Command::StepReplay);
        }
        // One key too many would take away all that was found.
        Some(replay) if is_over(replay) => {
            model.notify("the replay has ended; `<tapes play>` plays it again, step by step");
        }
        _ => {
            model.tapes.by_step = true;
            play(model);
        }
    }
}

/// The differences of the step in full.
pub(super) fn read_step(model: &mut Model) {
    let Some(step) = model.step() else { return };
    let differences = step.differences.iter().map(|it| format!("{}\n{}", it.path, values_text(it)));
    let excused = step.excused.iter().map(|it| format!("{}  {}, which does not count\n", it.path, it.kind));
    let text = differences.chain(excused).collect::<Vec<_>>().join("\n");
    let mut pager = Pager::new(format!("step {}   - expected   + got", step.step), text);
    pager.is_diff = true;
    model.popup = Some(Popup::Pager(pager));
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
