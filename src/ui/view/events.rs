//! The event log.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{cell, clock, cursor_row, pane, put, short, styled, theme};
use crate::event::{Level, LogLine};
use crate::text;
use crate::ui::layout::event_text_rows;
use crate::ui::model::Model;
use crate::ui::model::wrapped_text::WrappedText;
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let log = &model.log;
    let source = log.source.as_ref().map(|source| format!(" of {source}")).unwrap_or_default();
    let title = format!(" Events {}{source}, {} and above ", log.len(), log.level.word());
    let follow = if log.unfollowed { "" } else { " following " };
    let block = pane(model, true, styled(model, Role::Strong, title), Line::from(styled(model, Role::Dim, follow)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    if log.len() == 0 {
        return put(frame, inner, 0, styled(model, Role::Dim, " nothing to report"));
    }
    let rows = usize::from(inner.height).saturating_sub(event_text_rows(inner));
    if let Some(line) = log.selected() {
        draw_text(model, line, frame, inner, rows);
    }
    let shown = log.shown().enumerate().skip(log.place.top).take(rows);
    for (row, (at, line)) in shown.enumerate() {
        let mut cells = log_line(model, line, width);
        if at == log.place.cursor {
            cells = cursor_row(model, &cells, true, width);
        }
        put(frame, inner, row, cells);
    }
}

/// The line under the cursor in full, as far as there is room; `enter` shows all of it.
fn draw_text(model: &Model, line: &LogLine, frame: &mut Frame<'_>, area: Rect, from: usize) {
    let width = usize::from(area.width);
    let rule = theme(model).glyphs().line.repeat(width);
    put(frame, area, from, styled(model, Role::Dim, rule));
    let lines = line.text.lines().map(|line| text::sanitize(line).into_owned()).collect();
    let mut text = WrappedText::of(lines);
    text.wrap(width.saturating_sub(2), 0);
    let room = usize::from(area.height).saturating_sub(from + 1);
    for (at, row) in (0..room).map_while(|row| text.row(row)).enumerate() {
        put(frame, area, from + 1 + at, styled(model, Role::Plain, format!(" {row}")));
    }
}

fn log_line(model: &Model, line: &LogLine, width: usize) -> Line<'static> {
    let role = match line.level {
        Level::Error => Role::Bad,
        Level::Warn => Role::Held,
        Level::Info => Role::Plain,
        Level::Debug => Role::Dim,
    };
    let seq = line.seq.map(|seq| format!("{seq} ")).unwrap_or_default();
    let session = line.session.and_then(|id| model.observed.sessions.get(id));
    let session = session.map(|row| format!("{}: ", model.observed.sessions.title(row))).unwrap_or_default();
    let room = width.saturating_sub(30);
    Line::from(vec![
        styled(model, Role::Dim, format!(" {} ", clock(&model.settings.zone, line.at, 12))),
        styled(model, role, cell(line.level.word(), 6)),
        styled(model, Role::Dim, cell(&line.source, 8) + " "),
        styled(model, role, short(&format!("{seq}{session}{}", line.text), room)),
    ])
}
