//! What a server offers, to choose a call from.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::parts::{cell, cursor_row, popup, put, short, styled};
use crate::text;
use crate::ui::layout::{centered, offers_height};
use crate::ui::model::Model;
use crate::ui::model::offers::{OfferList, ServerOffer};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, list: &OfferList, frame: &mut Frame<'_>, body: Rect) {
    let title = model.observed.sessions.get(list.session).map(|row| model.observed.sessions.title(row));
    let title = format!("Call something of {}", title.unwrap_or_default());
    let inner = popup(model, frame, centered(body, 100, offers_height(body, list)), &title);
    let width = usize::from(inner.width);
    let search = text::sanitize(list.search.text()).into_owned();
    let hint =
        if search.is_empty() { "type to narrow; `enter` opens the request with arguments of its schema" } else { "" };
    let label = " search: ";
    let spans = vec![
        styled(model, Role::Accent, label),
        styled(model, Role::Plain, search),
        styled(model, Role::Dim, short(hint, width.saturating_sub(label.len()))),
    ];
    put(frame, inner, 0, Line::from(spans));
    let column = label.len() + text::width(list.search.before_cursor());
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(inner.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(inner.x + column, inner.y));
    for (line, about) in list.about.iter().enumerate() {
        put(frame, inner, line + 1, styled(model, Role::Dim, short(&format!(" {}", text::sanitize(about)), width)));
    }
    let head = 2 + list.about.len();
    let rows = usize::from(inner.height).saturating_sub(head);
    for (line, (at, offer)) in list.shown().enumerate().skip(list.place.top).take(rows).enumerate() {
        let cells = offer_line(model, offer, width);
        let cells = if at == list.place.cursor { cursor_row(model, &cells, true, width) } else { cells };
        put(frame, inner, line + head, cells);
    }
}

fn offer_line(model: &Model, offer: &ServerOffer, width: usize) -> Line<'static> {
    let name = (width / 3).clamp(12, 36);
    Line::from(vec![
        styled(model, Role::Dim, format!("  {}", cell(offer.kind, 10))),
        styled(model, Role::Strong, cell(&offer.name, name) + " "),
        styled(model, Role::Plain, short(&offer.about, width.saturating_sub(name + 14))),
    ])
}
