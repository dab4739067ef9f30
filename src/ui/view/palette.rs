//! The commands that what is typed after `:` may mean, above the line it is typed in.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::parts::{above_prompt, cell, cursor_row, popup, put, row_above_prompt, short, styled};
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
    let inner = popup(model, frame, above_prompt(body, rows.len(), ROWS), "Commands");
    let (width, room) = (usize::from(inner.width), usize::from(inner.height));
    let chosen = prompt.chosen().map(|chosen| chosen.min(rows.len() - 1));
    let top = window(0, chosen.unwrap_or(0), rows.len(), room);
    for (line, (at, row)) in rows.iter().enumerate().skip(top).take(room).enumerate() {
        let cells = row_line(model, row, width);
        put(frame, inner, line, if Some(at) == chosen { cursor_row(model, &cells, true, width) } else { cells });
    }
}

/// The row of the palette that stands there.
pub(crate) fn command_at(model: &Model, prompt: &Prompt, body: Rect, at: Position) -> Option<usize> {
    row_above_prompt(body, palette(model, prompt.line.text()).len(), ROWS, prompt.chosen().unwrap_or(0), at)
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
