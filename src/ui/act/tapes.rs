//! Opening tapes, and playing them.

use std::path::PathBuf;

use super::comparing::values_text;
use crate::event::{Command, ReplayRequest, ServeRequest, Speed, TapeEdit, TapeForm};
use crate::ui::host::ExportedFile;
use crate::ui::model::play_form::{PlayChoices, PlayField, PlayForm};
use crate::ui::model::popup::{Confirmation, Pager, Popup};
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::tapes_screen::{ReplayRun, tape_title};
use crate::ui::model::{Effect, Model, Pane, ScreenKind};

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
        let PlayChoices { speed, by_step, volatile, stops_at_failure, .. } = model.tapes.choices;
        let ignore = model.tapes.ignored(&tape).to_vec();
        model.send(Command::Replay(ReplayRequest { tape, speed, by_step, ignore, volatile, stops_at_failure }));
        model.screen = ScreenKind::Tapes;
    }
}

/// The next message goes now; where no tape is played, one is, step by step.
pub(super) fn step(model: &mut Model) {
    let selected = model.tapes.selected().map(|tape| tape.path.as_path());
    let is_over = |replay: &ReplayRun| model.tapes.choices.by_step && selected == Some(&replay.tape);
    match &model.tapes.replay {
        _ if model.tapes.reading.is_some() => model.notify("the tape is still being read"),
        Some(replay) if replay.runs() && replay.waiting.is_none() => {
            model.notify("no message waits to be sent: the one before is not answered yet");
        }
        Some(replay) if replay.runs() => {
            model.tapes.replay.iter_mut().for_each(|replay| replay.waiting = None);
            model.send(Command::StepReplay);
        }
        // One key too many would take away all that was found.
        Some(replay) if is_over(replay) => {
            model.notify("the replay has ended; `<tapes play>` plays it again, step by step");
        }
        _ => {
            (model.tapes.choices.by_step, model.tapes.choices.speed) = (true, Speed::Max);
            play(model);
        }
    }
}

/// The tape answers clients from here on, or no more.
pub(super) fn serve(model: &mut Model) {
    let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) else { return };
    if model.is_served() {
        return model.send(Command::StopServing(tape));
    }
    if model.tapes.to_be_served.as_ref() == Some(&tape) {
        return model.notify("it is being read, and answers in a moment");
    }
    let PlayChoices { speed, order, repeats, tells_nearest, .. } = model.tapes.choices;
    let ignore = model.tapes.ignored(&tape).to_vec();
    model.tapes.to_be_served = Some(tape.clone());
    model.notify(format!("{} is read, to answer clients", tape_title(&tape)));
    model.send(Command::Serve(ServeRequest { tape, speed, order, repeats, tells_nearest, ignore }));
}

pub(super) fn copy_address(model: &mut Model) {
    if let Some(url) = model.served().map(|served| served.url.clone()) {
        model.effect(Effect::Copy(url));
    }
}

pub(super) fn open_options(model: &mut Model) {
    let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) else { return };
    let form = PlayForm::new(tape.clone(), model.tapes.choices, model.tapes.ignored(&tape));
    model.popup = Some(Popup::Play(Box::new(form)));
}

/// `enter` in the form: that is how tapes are played from here on.
pub(super) fn keep_options(model: &mut Model) {
    let Some(Popup::Play(mut form)) = model.popup.take() else { return };
    match form.paths() {
        Err(why) => {
            (form.fault, form.field) = (Some(why), PlayField::Ignore);
            model.popup = Some(Popup::Play(form));
        }
        Ok(paths) => {
            model.tapes.choices = form.choices;
            if paths != model.tapes.ignored(&form.tape) {
                model.tapes.ignore(form.tape.clone(), paths.clone());
                ignore_in_replay(model, form.tape, paths);
            }
        }
    }
}

pub(super) fn export(model: &mut Model, form: TapeForm) {
    let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) else { return };
    if let Some((file, _)) = &model.exporting {
        let words = format!("{file} is still being written");
        return model.warn(words);
    }
    let (stem, ending) = form.file_name(&tape_title(&tape));
    model.exporting = Some((format!("{stem}.{ending}"), model.now));
    model.effect(Effect::Export { tape, form });
}

pub(super) fn exported(model: &mut Model, written: Result<ExportedFile, String>) {
    let file = model.exporting.take().map(|(file, _)| file).unwrap_or_default();
    match written {
        Err(why) => model.warn(format!("{file} is not written: {why}")),
        Ok(ExportedFile { file, bytes, troubles }) => {
            let words = format!("{} written to {}", crate::text::size(bytes), file.display());
            match troubles.first() {
                None => model.notify(words),
                Some(first) => model.warn(format!("{words}, but {first}")),
            }
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
    ignore_in_replay(model, tape, ignored);
}

/// A replay that runs ignores them from the next reply on.
fn ignore_in_replay(model: &mut Model, tape: PathBuf, paths: Vec<String>) {
    if model.tapes.running() {
        model.send(Command::IgnoreInReplay { tape, paths });
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
