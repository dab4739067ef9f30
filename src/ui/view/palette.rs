//! The commands that what is typed after `:` may mean, above the line it is typed in.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{cell, cursor_row, popup, put, short, styled};
use crate::ui::keymap::{PaletteRow, palette};
use crate::ui::model::Model;
use crate::ui::model::motion::window;
use crate::ui::model::prompt::Prompt;
use crate::ui::theme::Role;

/// Commands that are seen at once.
const ROWS: u16 = 12;

pub(super) fn draw(model: &Model, prompt: &Prompt, frame: &mut Frame<'_>, body: Rect) {
    let rows = palette(model, prompt.line.text());
    if rows.is_empty() {
        return;
    }
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).min(ROWS).saturating_add(2).min(body.height);
    let width = body.width.min(84);
    let area = Rect { y: body.bottom() - height, width, height, ..body };
    let inner = popup(model, frame, area, "Commands");
    let (width, room) = (usize::from(inner.width), usize::from(inner.height));
    let chosen = prompt.chosen().map(|chosen| chosen.min(rows.len() - 1));
    let top = window(0, chosen.unwrap_or(0), rows.len(), room);
    for (line, (at, row)) in rows.iter().enumerate().skip(top).take(room).enumerate() {
        let cells = row_line(model, row, width);
        put(frame, inner, line, if Some(at) == chosen { cursor_row(model, &cells, true, width) } else { cells });
    }
}

fn row_line(model: &Model, row: &PaletteRow, width: usize) -> Line<'static> {
    let (name, help) = if row.works { (Role::Strong, Role::Plain) } else { (Role::Dim, Role::Dim) };
    let not = if row.works { "" } else { "not here: " };
    Line::from(vec![
        Span::raw("  "),
        styled(model, name, cell(row.name, 18)),
        styled(model, if row.works { Role::Accent } else { Role::Dim }, cell(&row.keys, 10)),
        styled(model, help, short(&format!("{not}{}", row.help), width.saturating_sub(31))),
    ])
}
