//! The event log.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::parts::{cell, clock, cursor_row, pane, put, short, styled};
use crate::event::{Level, LogLine};
use crate::ui::model::Model;
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let log = &model.log;
    let title = format!(" Events {}, {} and above ", log.len(), log.level.word());
    let follow = if log.unfollowed { "" } else { " following " };
    let block = pane(model, true, styled(model, Role::Strong, title), Line::from(styled(model, Role::Dim, follow)));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    if log.len() == 0 {
        return put(frame, inner, 0, styled(model, Role::Dim, " nothing to report"));
    }
    let shown = log.shown().enumerate().skip(log.place.top).take(usize::from(inner.height));
    for (row, (at, line)) in shown.enumerate() {
        let mut cells = log_line(model, line, width);
        if at == log.place.cursor {
            cells = cursor_row(model, &cells, true, width);
        }
        put(frame, inner, row, cells);
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
    let session = session.map(|row| format!("{}: ", row.title())).unwrap_or_default();
    let room = width.saturating_sub(30);
    Line::from(vec![
        styled(model, Role::Dim, format!(" {} ", clock(&model.settings.zone, line.at, 12))),
        styled(model, role, cell(line.level.word(), 6)),
        styled(model, Role::Dim, cell(&line.source, 8) + " "),
        styled(model, role, short(&format!("{seq}{session}{}", line.text), room)),
    ])
}
