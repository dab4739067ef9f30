//! The sessions beside the list, and below them what passed of each kind and which tools were called most.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{cell, clock, cursor_row, grouped, pane, put, right, short, styled, theme};
use super::status::duration;
use crate::event::SessionState;
use crate::text;
use crate::ui::model::session_list::SessionRow;
use crate::ui::model::{Model, Pane};
use crate::ui::theme::Role;

/// Lines of one session.
const ROW_LINES: usize = 3;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::Sessions;
    let sessions = &model.observed.sessions;
    let count = format!(" Sessions {}/{} ", sessions.open(), sessions.all().len());
    let block = pane(model, focused, styled(model, Role::Strong, count), Line::default());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let figures = figures(model, usize::from(inner.width));
    let room = usize::from(inner.height).saturating_sub(figures.len());
    let used = draw_rows(model, frame, Rect { height: u16::try_from(room).unwrap_or(inner.height), ..inner }, focused);
    for (at, line) in figures.into_iter().enumerate() {
        put(frame, inner, room.max(used) + at, line);
    }
}

/// Draws the sessions; returns how many lines they took.
fn draw_rows(model: &Model, frame: &mut Frame<'_>, area: Rect, focused: bool) -> usize {
    let width = usize::from(area.width);
    let rows = model.observed.sessions.all();
    let all = Line::from(styled(model, Role::Plain, cell(" all sessions", width)));
    let blocks = std::iter::once(vec![all]).chain(rows.iter().map(|row| session_lines(model, row, width)));
    let mut row = 0;
    for (position, lines) in blocks.enumerate().skip(model.session_cursor.top) {
        for (at, line) in lines.into_iter().enumerate() {
            let here = at == 0 && position == model.session_cursor.cursor;
            let line = if here { cursor_row(model, &line, focused, width) } else { line };
            put(frame, area, row, line);
            row += 1;
        }
    }
    row.min(usize::from(area.height))
}

fn session_lines(model: &Model, row: &SessionRow, width: usize) -> Vec<Line<'static>> {
    let glyphs = theme(model).glyphs();
    let (dot, dot_role) = match &row.session.state {
        SessionState::Closed { .. } => (glyphs.closed, Role::Dim),
        SessionState::Paused => (glyphs.live, Role::Held),
        SessionState::Failed { .. } => (glyphs.live, Role::Bad),
        SessionState::Closing { .. } => (glyphs.live, Role::Dim),
        SessionState::New | SessionState::Initializing | SessionState::Active => (glyphs.live, Role::Good),
    };
    let via = row.carrier();
    let room = width.saturating_sub(via.len() + 5);
    let name_role = if row.closed().is_some() { Role::Dim } else { Role::Strong };
    let head = Line::from(vec![
        styled(model, name_role, format!(" {} ", cell(&model.observed.sessions.title(row), room))),
        styled(model, Role::Dim, format!("{via} ")),
        styled(model, dot_role, dot),
    ]);
    let client = row.session.client.as_ref().map_or_else(String::new, |peer| format!("{} {}", peer.name, peer.version));
    let unread = if row.unread > 0 { format!(" +{}", grouped(row.unread)) } else { String::new() };
    let count = format!("{} msgs", grouped(row.messages));
    let room = width.saturating_sub(text::width(&count) + text::width(&unread) + 4);
    let who = Line::from(vec![
        styled(model, Role::Dim, format!("   {} ", cell(&client, room.saturating_sub(1)))),
        styled(model, Role::Dim, count),
        styled(model, Role::Accent, unread),
    ]);
    let mut lines = vec![head, who];
    lines.extend(state_line(model, row, width));
    lines.truncate(ROW_LINES);
    lines
}

/// The third line, only where there is something to say.
fn state_line(model: &Model, row: &SessionRow, width: usize) -> Option<Line<'static>> {
    let id = row.session.id;
    let held = model.observed.held.values().filter(|held| held.envelope.session == id).count();
    let mut spans = vec![Span::raw("   ")];
    if let SessionState::Paused = row.session.state {
        spans.push(styled(model, Role::Held, "paused  "));
    }
    if held > 0 {
        spans.push(styled(model, Role::Held, format!("{held} held  ")));
    }
    if row.errors > 0 {
        spans.push(styled(model, Role::Bad, format!("{} err  ", row.errors)));
    }
    let (role, why) = match &row.session.state {
        SessionState::Closed { reason } => (Role::Dim, format!("closed: {reason}")),
        SessionState::Closing { reason } => (Role::Dim, format!("closing: {reason}")),
        SessionState::Failed { why } => (Role::Bad, format!("restarting: {why}")),
        _ => (Role::Dim, String::new()),
    };
    if !why.is_empty() {
        spans.push(styled(model, role, short(&why, width.saturating_sub(4))));
    }
    (spans.len() > 1).then(|| Line::from(spans))
}

fn figures(model: &Model, width: usize) -> Vec<Line<'static>> {
    let stats = &model.observed.stats;
    let rule = |title: &str| {
        let line = theme(model).glyphs().line;
        let title = format!("{line}{title}");
        let rest = line.repeat(width.saturating_sub(text::width(&title)));
        Line::from(styled(model, Role::Dim, title + &rest))
    };
    let pair = |a: &str, b: u64, c: &str, d: u64| {
        let one = |name: &str, count: u64| format!(" {}{}", cell(name, 5), right(&grouped(count), width / 2 - 6));
        Line::from(styled(model, Role::Plain, one(a, b) + &one(c, d)))
    };
    let mut lines = vec![
        rule(" Kinds "),
        pair("req", stats.requests, "notif", stats.notifications),
        pair("res", stats.results, "err", stats.errors),
    ];
    let tools = stats.top_tools(4);
    if !tools.is_empty() {
        lines.push(rule(" Top tools, calls, p95 "));
    }
    lines.extend(tools.into_iter().map(|(name, tool)| {
        let p95 = tool.took.percentile(95).map(duration).unwrap_or_default();
        let text =
            format!(" {}{}{} ", cell(name, width.saturating_sub(13)), right(&grouped(tool.calls), 5), right(&p95, 6));
        Line::from(styled(model, Role::Plain, text))
    }));
    lines
}

/// When a session began.
pub(super) fn start_time(model: &Model, row: &SessionRow) -> String {
    clock(&model.settings.zone, row.session.started, 8)
}
