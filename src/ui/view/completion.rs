//! What the word of a filter may become, above the line it is typed in.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::parts::{above_prompt, cell, cursor_row, popup, put, row_above_prompt, short, styled};
use crate::text::sanitize;
use crate::ui::model::Model;
use crate::ui::model::completion::Completions;
use crate::ui::model::motion::window;
use crate::ui::theme::Role;

/// Completions that are seen at once.
const ROWS: u16 = 8;

pub(super) fn draw(model: &Model, completions: &Completions, frame: &mut Frame<'_>, body: Rect) {
    let all = &completions.all;
    let area = above_prompt(body, all.len(), ROWS);
    let inner = popup(model, frame, area, &format!("{} of {}", completions.at + 1, all.len()));
    let (width, room) = (usize::from(inner.width), usize::from(inner.height));
    let top = window(0, completions.at, all.len(), room);
    for (line, (at, completion)) in all.iter().enumerate().skip(top).take(room).enumerate() {
        let word = cell(&sanitize(&completion.word), width / 2);
        let about = short(&format!(" {}", sanitize(&completion.about)), width.saturating_sub(width / 2 + 1));
        let cells =
            Line::from(vec![Span::raw(" "), styled(model, Role::Strong, word), styled(model, Role::Dim, about)]);
        put(frame, inner, line, if at == completions.at { cursor_row(model, &cells, true, width) } else { cells });
    }
}

/// The completion that stands there.
pub(crate) fn completion_at(completions: &Completions, body: Rect, at: Position) -> Option<usize> {
    row_above_prompt(body, completions.all.len(), ROWS, completions.at, at)
}
