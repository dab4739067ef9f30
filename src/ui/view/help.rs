//! All keys, those of this place first; typing narrows them.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

use super::parts::{cell, cursor_row, popup, put, short, styled};
use crate::text;
use crate::ui::help::{HelpRow, help_rows, help_width, marked_row};
use crate::ui::layout::centered;
use crate::ui::model::Model;
use crate::ui::model::popup::Help;
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, help: &Help, frame: &mut Frame<'_>, body: Rect) {
    let area = centered(body, help_width(body.width), body.height.saturating_sub(2));
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
    let search = search.to_lowercase();
    let rows = help_rows(model, &search, help_width(model.viewport.width));
    let marked = marked_row(&rows, &search);
    let room = usize::from(inner.height).saturating_sub(2);
    let top = help.top.min(rows.len().saturating_sub(room));
    let width = usize::from(inner.width);
    for (at, row) in rows.iter().enumerate().skip(top).take(room) {
        let line = row_line(model, row, width);
        let line = if Some(at) == marked { cursor_row(model, &line, true, width) } else { line };
        put(frame, inner, at - top + 2, line);
    }
}

fn row_line(model: &Model, row: &HelpRow, width: usize) -> Line<'static> {
    match row {
        HelpRow::Heading(title) => Line::from(styled(model, Role::Strong, format!(" {title}"))),
        HelpRow::Entry(key, what, _) => Line::from(vec![
            styled(model, Role::Accent, format!("   {}", cell(key, 20))),
            styled(model, Role::Plain, short(what, width.saturating_sub(24))),
        ]),
    }
}
