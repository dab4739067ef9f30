//! Opening tapes, and playing them.

use crate::event::Command;
use crate::ui::model::{Model, Pane, ScreenKind};

pub(super) fn open_tape(model: &mut Model, pane: Pane) {
    let step = model.tapes.replay.as_ref().filter(|_| pane == Pane::Detail);
    let path = match step {
        Some(replay) => Some(replay.tape.clone()),
        None => model.tapes.selected().map(|tape| tape.path.clone()),
    };
    model.tapes.goal = step.and_then(|replay| replay.selected()).map(|step| step.seq);
    if let Some(path) = path {
        model.send(Command::OpenTape(path));
    }
}

pub(super) fn play(model: &mut Model) {
    if let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) {
        let speed = model.tapes.speed;
        model.send(Command::Replay { tape, speed });
        model.screen = ScreenKind::Tapes;
    }
}

pub(super) fn next_fail(model: &mut Model) {
    if let Some(replay) = &mut model.tapes.replay {
        replay.next_fail();
    }
}
