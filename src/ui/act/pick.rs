//! Choosing: sessions, what to copy, which tape to play.

use crate::event::Command;
use crate::filter::Filter;
use crate::ui::json::{JsonCell, pretty};
use crate::ui::keymap::Action;
use crate::ui::model::board::What;
use crate::ui::model::popup::Popup;
use crate::ui::model::tapes::Place;
use crate::ui::model::{Effect, Model, Screen};
use crate::ui::view::row_text;

pub(super) fn session_popup(model: &mut Model) {
    let only = model.list().only;
    let found = model.facts.sessions.all().iter().position(|seat| Some(seat.session.id) == only);
    model.popup = Some(Popup::Sessions(Place { cursor: found.map_or(0, |at| at + 1), ..Place::default() }));
}

/// Shows only one session; 0 is all of them.
pub(super) fn narrow(model: &mut Model, seat: usize) {
    let only = seat.checked_sub(1).and_then(|at| model.facts.sessions.all().get(at)).map(|seat| seat.session.id);
    model.seat.cursor = seat;
    let (rows, list) = model.live_mut();
    list.only = only;
    list.refilter(rows);
    list.follow(rows);
    model.facts.sessions.read(only);
}

/// Shows the messages that a row of the metrics is of.
pub(super) fn measured(model: &mut Model) {
    let Some(what) = model.board.selected().map(|row| row.what.clone()) else { return };
    if let What::Session(id) = what {
        let seats = model.facts.sessions.all();
        let Some(at) = seats.iter().position(|seat| seat.session.id == id) else {
            return model.warn("that session is not here");
        };
        super::travel::to_screen(model, Screen::Messages);
        return narrow(model, at + 1);
    }
    let filter = what.filter().and_then(|text| Some((text.clone(), Filter::parse(&text).ok()?)));
    let Some(filter) = filter else { return model.warn("no filter tells these from the rest") };
    super::travel::to_screen(model, Screen::Messages);
    super::write::set_filter(model, Some(filter));
}

/// Asks for another process of the server of the session under the cursor.
pub(super) fn restart(model: &mut Model) {
    if let Some(session) = model.session_under_cursor().map(|seat| seat.session.id) {
        model.send(Command::Restart(session));
        model.say("asked for the server to be started anew");
    }
}

pub(super) fn next_field(model: &mut Model, by: isize) {
    if let Some(Popup::Block(form)) = &mut model.popup {
        form.next_field(by);
    }
}

pub(super) fn copy(model: &mut Model, action: Action) {
    if let Some(Popup::Pager(pager)) = &model.popup {
        let text = pager.text.clone();
        return model.effect(Effect::Copy(text));
    }
    match wanted(model, action) {
        Some(text) => model.effect(Effect::Copy(text)),
        None => model.warn("there is nothing of that kind to copy here"),
    }
}

fn wanted(model: &Model, action: Action) -> Option<String> {
    let row = model.selected()?;
    let message = &row.envelope.message;
    match action {
        Action::CopyMessage => Some(String::from_utf8_lossy(message.raw()).into_owned()),
        Action::CopyBody => {
            let body = ["params", "result", "error"].into_iter().find_map(|key| message.member(key))?;
            Some(pretty(body.as_bytes()).unwrap_or_else(|| body.to_owned()))
        }
        Action::CopyValue => value(model),
        Action::CopyPath => Some(model.detail.row()?.path),
        Action::CopyId => Some(message.id()?.display().to_owned()),
        Action::CopyRow => Some(row_text(model, row)),
        _ => None,
    }
}

fn value(model: &Model) -> Option<String> {
    let row = model.detail.row()?;
    match row.value {
        JsonCell::Number(text) | JsonCell::Text(text) => Some(text),
        JsonCell::Bool(value) => Some(value.to_string()),
        JsonCell::Null => Some("null".to_owned()),
        JsonCell::Object(_) | JsonCell::Array(_) | JsonCell::String { .. } => model.detail.value_text(&row.path),
    }
}

pub(super) fn play(model: &mut Model) {
    if let Some(tape) = model.tapes.selected().map(|tape| tape.path.clone()) {
        let speed = model.tapes.speed;
        model.send(Command::Replay { tape, speed });
        model.screen = Screen::Tapes;
    }
}
