//! The line in which something is typed: a filter, a hold filter, the number of a message.

use super::jump::goto;
use crate::event::{Command, Holding};
use crate::filter::Filter;
use crate::ui::model::Model;
use crate::ui::model::input_line::Line;
use crate::ui::model::prompt::{Asked, Bar};

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
pub(super) fn bar_changed(model: &mut Model) {
    let Some(bar) = model.bar.as_mut().filter(|bar| bar.asked != Asked::Goto) else { return };
    let Some(filter) = bar.parse() else { return };
    if bar.asked == Asked::Filter {
        set_filter(model, filter);
    }
}

pub(super) fn set_filter(model: &mut Model, filter: Option<(String, Filter)>) {
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
    bar.line = Line::new(filters.get(there).map_or("", String::as_str));
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

/// The suggestion for a first hold filter. Never the handshake: holding that stops a client before it begins.
const HOLD_SUGGESTION: &str = "~m tools/call";

fn suggested(model: &Model, asked: Asked) -> String {
    match asked {
        Asked::Filter => model.list().filter.as_ref().map(|(text, _)| text.clone()).unwrap_or_default(),
        Asked::Hold if model.facts.holding.filter.is_empty() => HOLD_SUGGESTION.to_owned(),
        Asked::Hold => model.facts.holding.filter.clone(),
        Asked::Goto => String::new(),
    }
}
