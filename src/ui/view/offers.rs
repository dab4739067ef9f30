//! What a server offers, to choose a call from.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::list::end_of;
use super::parts::{cell, cursor_row, popup, put, right, short, styled};
use super::tapes::difference_lines;
use crate::text;
use crate::ui::layout::{offers, offers_parts};
use crate::ui::model::Model;
use crate::ui::model::offers::{NOTHING_CALLED_SO, OfferChange, OfferList, ServerOffer};
use crate::ui::model::wrapped_text::WrappedText;
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, list: &OfferList, frame: &mut Frame<'_>, body: Rect) {
    let title = model.observed.sessions.get(list.session).map(|row| model.observed.sessions.title(row));
    let title = format!("Call something of {}", title.unwrap_or_default());
    let inner = popup(model, frame, offers(body), &title);
    let [heads, rows, facts] = offers_parts(inner, list);
    draw_heads(model, list, frame, heads);
    let width = usize::from(rows.width);
    let shown = list.shown().enumerate().skip(list.place.top).take(usize::from(rows.height));
    for (line, (at, offer)) in shown.enumerate() {
        let cells = offer_line(model, offer, width);
        let cells = if at == list.place.cursor { cursor_row(model, &cells, true, width) } else { cells };
        put(frame, rows, line, cells);
    }
    if list.shown().next().is_none() {
        put(frame, rows, 0, styled(model, Role::Dim, short(&format!("  {NOTHING_CALLED_SO}"), width)));
    }
    if let Some(offer) = list.chosen() {
        let lines = fact_lines(model, offer, usize::from(facts.width));
        lines.into_iter().enumerate().for_each(|(row, line)| put(frame, facts, row, line));
    }
}

/// What is searched for, and what the server says of itself.
fn draw_heads(model: &Model, list: &OfferList, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let search = text::sanitize(list.search.text()).into_owned();
    let label = " search: ";
    let hint = match "type to narrow; `enter` writes the request by its schema" {
        _ if !search.is_empty() => "",
        hint if label.len() + hint.len() < width => hint,
        _ => "type to narrow",
    };
    let spans =
        vec![styled(model, Role::Accent, label), styled(model, Role::Plain, search), styled(model, Role::Dim, hint)];
    put(frame, area, 0, Line::from(spans));
    let column = label.len() + text::width(list.search.before_cursor());
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, area.y));
    let rows = list.about_rows(width);
    let room = usize::from(area.height).saturating_sub(2);
    for (line, row) in rows.iter().take(room).enumerate() {
        // That there is more is seen at the end of what there is room for.
        let cut = if line + 1 == room && rows.len() > room { ".." } else { "" };
        put(frame, area, line + 1, styled(model, Role::Dim, short(&format!(" {row}"), width - cut.len()) + cut));
    }
}

fn change_sign(change: &OfferChange) -> (&'static str, Role) {
    match change {
        OfferChange::None => ("", Role::Plain),
        OfferChange::Added => ("+", Role::Good),
        OfferChange::Removed => ("-", Role::Bad),
        OfferChange::Changed(_) => ("*", Role::Held),
    }
}

/// Of an address the end tells it from others.
fn name_cell(name: &str, width: usize) -> String {
    if name.contains("://") { end_of(name, width) } else { cell(name, width) }
}

/// Columns of the number of tokens.
const TOKENS: usize = 5;

fn offer_line(model: &Model, offer: &ServerOffer, width: usize) -> Line<'static> {
    let name = (width * 2 / 5).clamp(12, 36);
    let (sign, role) = change_sign(&offer.change);
    let tokens = offer.tokens().map(text::count).unwrap_or_default();
    Line::from(vec![
        styled(model, Role::Dim, format!("  {}", cell(offer.kind, 10))),
        styled(model, role, cell(sign, 2)),
        styled(model, Role::Strong, name_cell(&offer.name, name)),
        styled(model, Role::Dim, right(&tokens, TOKENS) + "  "),
        styled(model, Role::Plain, short(&offer.about, width.saturating_sub(name + TOKENS + 16))),
    ])
}

/// How the one under the cursor changed, what can be filled in, and what it says of itself.
fn fact_lines(model: &Model, offer: &ServerOffer, width: usize) -> Vec<Line<'static>> {
    let (_, role) = change_sign(&offer.change);
    let said = |role, words: &str| Line::from(styled(model, role, short(words, width)));
    let mut lines = match &offer.change {
        OfferChange::None => Vec::new(),
        OfferChange::Added => vec![said(role, " new since you saw the list")],
        OfferChange::Removed => vec![said(role, " the server lists it no longer")],
        OfferChange::Changed(differences) => {
            let head = said(role, " changed since you saw it:");
            std::iter::once(head).chain(difference_lines(model, differences, width)).collect()
        }
    };
    // The list may have no room for all of it.
    let name = text::sanitize(&offer.name).into_owned();
    let mut facts = WrappedText::of(std::iter::once(name).chain(offer.facts()).collect());
    facts.wrap(width.saturating_sub(1), 0);
    let rows = (0..facts.rows().len()).filter_map(|row| facts.row(row));
    lines.extend(rows.map(|row| said(Role::Plain, &format!(" {row}"))));
    lines
}
