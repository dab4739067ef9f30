//! All keys, those of this place first; typing narrows them.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::parts::{cell, popup, put, short, styled};
use crate::filter::OPERATORS;
use crate::text;
use crate::ui::keymap::Context;
use crate::ui::keys::{bindings, contexts_below};
use crate::ui::layout::centered;
use crate::ui::model::Model;
use crate::ui::model::popup::Help;
use crate::ui::theme::Role;

/// Signs in the list.
const SIGNS: [(&str, &str); 15] = [
    ("> <", "client to server, server to client"),
    ("Q R E N", "request, result, error, notification"),
    ("B ?", "batch, not JSON-RPC"),
    ("!", "held"),
    ("*", "edited"),
    ("x", "blocked: answered with an error here"),
    ("-", "dropped: not sent on, not answered"),
    ("+", "made here: a resent request, an answer of ours"),
    ("=", "reply to a resent request: shown, not delivered"),
    ("% (or not equal)", "a shadow answered otherwise, or not at all"),
    ("? (first column)", "gone: a peer hung up while it was held"),
    ("6s..", "held or without a reply so long"),
    ("dur", "from request to reply, in milliseconds"),
    ("+12 (sessions)", "came unseen"),
    ("dropped N (top)", "the screen could not keep up; everything is told again"),
];

const FILTERS: &str = "filters; joined by not, and, or, ( ), or ! & |";

/// A line of the help: a heading, or a key and what it does.
enum Row {
    Heading(&'static str),
    Entry(String, &'static str),
}

pub(super) fn draw(model: &Model, help: &Help, frame: &mut Frame<'_>, body: Rect) {
    let area = centered(body, 84, body.height.saturating_sub(2));
    let inner = popup(model, frame, area, "Help");
    let search = help.search.text();
    let prompt = " search: ";
    put(
        frame,
        inner,
        0,
        Line::from(vec![
            styled(model, Role::Accent, prompt),
            styled(model, Role::Plain, text::sanitize(search).into_owned()),
            styled(model, Role::Dim, if search.is_empty() { "type to narrow" } else { "" }),
        ]),
    );
    let column = text::width(prompt) + text::width(help.search.before_cursor());
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(inner.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(inner.x + column, inner.y));
    let rows = rows(model, &search.to_lowercase());
    let room = usize::from(inner.height).saturating_sub(2);
    let top = help.top.min(rows.len().saturating_sub(room));
    let width = usize::from(inner.width);
    for (at, row) in rows.iter().skip(top).take(room).enumerate() {
        put(frame, inner, at + 2, row_line(model, row, width));
    }
}

/// How far the help can be scrolled in a window of this height.
pub(crate) fn last_top(model: &Model, help: &Help, height: u16) -> usize {
    // The lines around the body, the box, and the search line with the one below it.
    let room = usize::from(height).saturating_sub(8);
    rows(model, &help.search.text().to_lowercase()).len().saturating_sub(room)
}

fn row_line(model: &Model, row: &Row, width: usize) -> Line<'static> {
    match row {
        Row::Heading(title) => Line::from(styled(model, Role::Strong, format!(" {title}"))),
        Row::Entry(key, what) => Line::from(vec![
            styled(model, Role::Accent, format!("   {}", cell(key, 20))),
            styled(model, Role::Plain, short(what, width.saturating_sub(24))),
        ]),
    }
}

fn rows(model: &Model, search: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for context in in_order(model) {
        let entries = bindings(context).map(|binding| (binding.keys.join(", "), binding.help));
        section(&mut rows, context.title(), entries, search);
    }
    section(&mut rows, "signs", SIGNS.iter().map(|(sign, what)| ((*sign).to_owned(), *what)), search);
    section(&mut rows, FILTERS, OPERATORS.iter().map(|(sign, what)| ((*sign).to_owned(), *what)), search);
    rows
}

/// What the keys were about before the help took them, then the rest.
fn in_order(model: &Model) -> Vec<Context> {
    let mut order: Vec<Context> = contexts_below(model);
    let rest: Vec<Context> = Context::ALL.into_iter().filter(|context| !order.contains(context)).collect();
    order.extend(rest);
    order
}

fn section(
    rows: &mut Vec<Row>,
    title: &'static str,
    entries: impl Iterator<Item = (String, &'static str)>,
    search: &str,
) {
    let found: Vec<Row> = entries
        .filter(|(key, what)| search.is_empty() || what.to_lowercase().contains(search) || key.contains(search))
        .map(|(key, what)| Row::Entry(key, what))
        .collect();
    if !found.is_empty() {
        rows.push(Row::Heading(title));
        rows.extend(found);
    }
}
