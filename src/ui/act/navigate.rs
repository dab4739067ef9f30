//! Going about: motion, screens, panes, jumps.

use super::comparing;
use super::editing::close_editor;
use super::jump::show_message;
use super::prompt::set_filter;
use super::rules::{self, show_hits};
use super::tapes::open_tape;
use crate::event::Command;
use crate::filter::Filter;
use crate::ui::json::pretty;
use crate::ui::model::lint_screen::LintScreenRow;
use crate::ui::model::message_list::MessageOrder;
use crate::ui::model::metrics_screen::MetricsSubject;
use crate::ui::model::motion::Motion;
use crate::ui::model::popup::{Pager, Popup};
use crate::ui::model::{Model, Pane, ScreenKind};
use crate::ui::view::{column_at, tape_order_at};

pub(super) fn go(model: &mut Model, motion: Motion) {
    if let Some(popup) = &mut model.popup {
        let sessions = model.observed.sessions.all().len() + 1;
        return go_in_popup(popup, motion, sessions);
    }
    if let Some(editor) = &mut model.editor {
        return editor.call.iter_mut().for_each(|call| call.go(motion));
    }
    match (model.screen, model.pane) {
        (ScreenKind::Messages | ScreenKind::Queue, Pane::Detail) => model.detail.go(motion),
        (ScreenKind::Messages, Pane::Sessions) => {
            let sessions = model.observed.sessions.all().len() + 1;
            model.session_cursor.go(motion, sessions);
        }
        (ScreenKind::Messages, Pane::List) => {
            let (rows, list) = model.messages_mut();
            list.go(rows, motion);
            mark_read(model);
        }
        (ScreenKind::Queue, _) => model.queue.go(&model.observed.held, motion),
        (ScreenKind::Tapes, Pane::Detail) => {
            if let Some(replay) = &mut model.tapes.replay {
                replay.go(motion);
            }
        }
        (ScreenKind::Tapes, _) => {
            let len = model.tapes.list.as_ref().map_or(0, Vec::len);
            model.tapes.place.go(motion, len);
        }
        (ScreenKind::Compare, _) => model.compare.go(motion),
        (ScreenKind::Metrics, _) => {
            let len = model.metrics.rows.len();
            model.metrics.place.go(motion, len);
        }
        (ScreenKind::Events, _) => model.log.go(motion),
        (ScreenKind::Lint, _) => {
            let len = model.observed.found.rows().len();
            model.lint.go(motion, len);
        }
        (ScreenKind::Rules, _) => {
            let figures = model.metrics.figures.clone();
            model.rules_screen.go(motion, figures.as_ref().map_or(&[], |figures| &figures.rules));
        }
    }
}

fn go_in_popup(popup: &mut Popup, motion: Motion, sessions: usize) {
    match popup {
        Popup::Sessions(place) => place.go(motion, sessions),
        Popup::Help(help) => help.top = motion.from(help.top, usize::MAX, 20),
        Popup::Pager(pager) => {
            let lines = pager.lines.len().saturating_sub(pager.height) + 1;
            pager.top = motion.from(pager.top, lines, pager.height);
        }
        Popup::Block(form) => form.step(if motion == Motion::Up { -1 } else { 1 }),
        Popup::Offers(list) => {
            let len = list.shown().count();
            list.place.go(motion, len);
        }
        Popup::Rule(form) => form.next_field(if motion == Motion::Up { -1 } else { 1 }),
        Popup::Play(form) => form.next_field(if motion == Motion::Up { -1 } else { 1 }),
        Popup::Prefix(_) | Popup::Confirm(_) => {}
    }
}

/// At the end of the list everything has been seen.
fn mark_read(model: &mut Model) {
    if model.tape.is_none() && model.list().follows() {
        let only = model.list().only;
        model.observed.sessions.mark_read(only);
    }
}

pub(super) fn to_screen(model: &mut Model, screen: ScreenKind) {
    model.screen = screen;
    model.pane = Pane::List;
    model.zoomed = false;
    match screen {
        ScreenKind::Tapes => model.send(Command::ListTapes),
        ScreenKind::Events => model.log.unread = 0,
        ScreenKind::Messages => {
            model.tape = None;
            mark_read(model);
        }
        ScreenKind::Queue | ScreenKind::Compare | ScreenKind::Metrics | ScreenKind::Lint | ScreenKind::Rules => {}
    }
}

pub(super) fn next_pane(model: &mut Model, by: isize) {
    let sessions = model.screen == ScreenKind::Messages && model.viewport.wide && model.tape.is_none();
    let panes: &[Pane] =
        if sessions { &[Pane::Sessions, Pane::List, Pane::Detail] } else { &[Pane::List, Pane::Detail] };
    let position = panes.iter().position(|pane| *pane == model.pane).unwrap_or(0);
    model.pane = panes[(position.cast_signed() + by).rem_euclid(panes.len().cast_signed()).cast_unsigned()];
    stand_on_value(model);
}

/// Puts the cursor on a value of a held message, which is most likely opened to be changed.
fn stand_on_value(model: &mut Model) {
    if model.pane == Pane::Detail && model.holds() {
        model.show_detail();
        if model.detail.cursor == 0 {
            model.detail.go_to_likely_value();
        }
    }
}

/// `enter`: into what is under the cursor.
pub(super) fn open(model: &mut Model) {
    match (model.screen, model.pane) {
        (ScreenKind::Messages | ScreenKind::Queue, Pane::Detail) => read_string(model),
        (ScreenKind::Messages, Pane::Sessions) => model.narrow_to_session(model.session_cursor.cursor),
        (ScreenKind::Messages, Pane::List) | (ScreenKind::Queue, _) => {
            model.pane = Pane::Detail;
            stand_on_value(model);
        }
        (ScreenKind::Tapes, pane) => open_tape(model, pane),
        (ScreenKind::Compare, _) => comparing::open(model),
        (ScreenKind::Metrics, _) => open_metrics_row(model),
        (ScreenKind::Lint, _) => open_findings(model),
        (ScreenKind::Rules, _) => show_hits(model),
        (ScreenKind::Events, _) => {
            if let Some(seq) = model.event_line().and_then(|line| line.seq) {
                model.tape = None;
                show_message(model, seq);
            }
        }
    }
}

fn read_string(model: &mut Model) {
    if let Some((path, text)) = model.detail.long_string() {
        // JSON within a string is read as JSON.
        let is_json = text.trim_start().starts_with(['{', '[']);
        let text = pretty(text.as_bytes()).filter(|_| is_json).unwrap_or(text);
        model.popup = Some(Popup::Pager(Pager::new(path, text)));
    }
}

/// Shows the messages that a row of the metrics is of.
fn open_metrics_row(model: &mut Model) {
    let Some(what) = model.metrics.selected().map(|row| row.what.clone()) else { return };
    if let MetricsSubject::Session(id) = what {
        let sessions = model.observed.sessions.all();
        let Some(at) = sessions.iter().position(|row| row.session.id == id) else {
            return model.warn("that session is not here");
        };
        to_screen(model, ScreenKind::Messages);
        return model.narrow_to_session(at + 1);
    }
    let filter = what.filter().and_then(|text| Some((text.clone(), Filter::parse(&text).ok()?)));
    let Some(filter) = filter else { return model.warn("no filter tells these from the rest") };
    to_screen(model, ScreenKind::Messages);
    set_filter(model, Some(filter));
}

/// Shows the messages in which the selected lint was found, with the cursor on the latest.
fn open_findings(model: &mut Model) {
    let rows = model.observed.found.rows();
    let Some(LintScreenRow::Code(group)) = rows.get(model.lint.cursor) else { return };
    let (seq, text) = (group.finding.seq, format!("~lint ^{}$", group.finding.code));
    let Ok(filter) = Filter::parse(&text) else { return };
    to_screen(model, ScreenKind::Messages);
    set_filter(model, Some((text, filter)));
    show_message(model, seq);
}

/// `esc` and `q`: one step out.
pub(super) fn back(model: &mut Model) {
    if model.rules_screen.editor.is_some() {
        rules::close_editor(model);
    } else if model.editor.is_some() {
        close_editor(model);
    } else if model.zoomed {
        model.zoomed = false;
    } else if model.pane != Pane::List {
        model.pane = Pane::List;
    } else if model.tape.take().is_some() {
        let is_compared = std::mem::take(&mut model.compare.is_below_tape);
        model.screen = if is_compared { ScreenKind::Compare } else { ScreenKind::Tapes };
    } else if model.screen == ScreenKind::Compare {
        comparing::leave(model);
    } else if model.screen != ScreenKind::Messages {
        to_screen(model, ScreenKind::Messages);
    } else {
        model.notify("`<everywhere quit>` quits");
    }
}

pub(super) fn to_pair(model: &mut Model) {
    if let Some(seq) = model.selected_pair().map(|row| row.envelope.seq) {
        show_message(model, seq);
    }
}

/// The next error below the cursor, from the top again after the last.
pub(super) fn next_error(model: &mut Model) {
    let (rows, list) = model.messages_mut();
    let (here, len) = (list.position(rows), list.len(rows));
    let is_error = |at: &usize| list.is_failure(rows, *at);
    match (here + 1..len).chain(0..here.min(len)).find(is_error) {
        Some(position) => list.go_to(rows, position),
        None => model.notify("no other error"),
    }
}

pub(super) fn next_held(model: &mut Model) {
    let here = model.selected().map(|row| row.envelope.seq);
    let held: Vec<_> = model.observed.held.values().map(|held| (held.ticket, held.envelope.seq)).collect();
    let next = held.iter().find(|(_, seq)| Some(*seq) > here).or(held.first());
    match (model.screen, next) {
        (ScreenKind::Queue, Some((ticket, _))) => model.queue.select(*ticket),
        (_, Some((_, seq))) => {
            model.tape = None;
            show_message(model, *seq);
        }
        (_, None) => {}
    }
}

/// `o`: by something else; `O`: the other way around.
pub(super) fn sort(model: &mut Model, by: usize) {
    if model.screen == ScreenKind::Tapes {
        model.tapes.sort(by == 0);
        return model.notify(model.tapes.order_words().unwrap_or("newest first"));
    }
    let (rows, list) = model.messages_mut();
    let sorted = list.sort(rows, by == 0);
    say_order(model, sorted);
}

/// Sorts by the column of which the head stands in that cell, the other way around where it is so sorted.
pub(super) fn sort_by_head(model: &mut Model, width: usize, cell: usize) {
    if model.screen == ScreenKind::Tapes {
        let Some(order) = tape_order_at(model, width, cell) else { return };
        model.tapes.sort_by(order);
        return model.notify(model.tapes.order_words().unwrap_or("newest first"));
    }
    let Some(order) = column_at(model, width, cell).and_then(MessageOrder::of) else { return };
    let (rows, list) = model.messages_mut();
    let sorted = list.sort_by(rows, order);
    say_order(model, sorted);
}

fn say_order(model: &mut Model, sorted: bool) {
    let (_, list) = model.messages();
    let words = list.order_words().unwrap_or("in the order of their time");
    if sorted {
        model.notify(words);
    } else {
        model.warn("more than 100,000 rows are not sorted: a filter makes them fewer");
    }
}

pub(super) fn follow(model: &mut Model) {
    if model.screen == ScreenKind::Events {
        return model.log.toggle_follow();
    }
    let (rows, list) = model.messages_mut();
    let follows = list.follows();
    if follows {
        list.unfollowed = true;
    } else {
        list.follow(rows);
    }
    mark_read(model);
    if !model.list_is_seen() {
        model.notify(if follows { "the list stays where it is" } else { "the list follows what comes" });
    }
}
