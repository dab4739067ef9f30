//! The sessions beside the list, and below them what passed of each kind and which tools were called most.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{cell, clock, cursor_row, grouped, pane, put, right, short, styled, theme};
use super::status::duration;
use crate::event::SessionState;
use crate::event::figures::EndpointFigures;
use crate::text;
use crate::ui::model::session_list::SessionRow;
use crate::ui::model::wrapped_text::WrappedText;
use crate::ui::model::{Model, Pane};
use crate::ui::theme::Role;

/// Lines of one session.
const ROW_LINES: usize = 6;

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

/// The session on a line of the pane, 0 for all of them.
pub(crate) fn session_at(model: &Model, width: usize, line: usize) -> Option<usize> {
    let rows = model.observed.sessions.all().iter();
    let heights = std::iter::once(1).chain(rows.map(|row| session_lines(model, row, width).len()));
    let mut end = 0;
    heights.enumerate().skip(model.session_cursor.top).find_map(|(at, height)| {
        end += height;
        (line < end).then_some(at)
    })
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
    let name_role = if row.closed().is_some() { Role::Dim } else { Role::Strong };
    let title = model.observed.sessions.short_title(row, width.saturating_sub(4));
    let head = Line::from(vec![
        styled(model, name_role, format!(" {} ", cell(&title, width.saturating_sub(4)))),
        styled(model, dot_role, dot),
    ]);
    let client = row.session.client.as_ref().map_or_else(String::new, |peer| format!("{} {}", peer.name, peer.version));
    let who = Line::from(vec![
        styled(model, Role::Dim, format!("   {} ", cell(&client, width.saturating_sub(via.len() + 5)))),
        styled(model, Role::Dim, via),
    ]);
    let mut lines = vec![head, who];
    lines.extend(counts_lines(model, row, width));
    lines.extend(reason_lines(model, row, width));
    lines.truncate(ROW_LINES);
    lines
}

/// How many messages it had, and what of them the operator must know; below each other where they have no room in one line.
fn counts_lines(model: &Model, row: &SessionRow, width: usize) -> Vec<Line<'static>> {
    let id = row.session.id;
    let held = model.observed.held.values().filter(|held| held.envelope.session == id).count();
    let mut spans = vec![styled(model, Role::Dim, format!("   {} msgs", grouped(row.messages)))];
    if row.unread > 0 {
        spans.push(styled(model, Role::Accent, format!(" +{}", grouped(row.unread))));
    }
    let mut grave = Vec::new();
    if held > 0 {
        grave.push(styled(model, Role::Held, format!("  {held} held")));
    }
    if row.stats.errors > 0 {
        grave.push(styled(model, Role::Bad, format!("  {} err", grouped(row.stats.errors))));
    }
    let needed: usize = spans.iter().chain(&grave).map(Span::width).sum();
    if needed <= width {
        return vec![Line::from_iter(spans.into_iter().chain(grave))];
    }
    let below = std::iter::once(Span::raw(" ")).chain(grave);
    vec![Line::from(spans), Line::from_iter(below)]
}

/// Why it is not as others are, in up to two lines.
fn reason_lines(model: &Model, row: &SessionRow, width: usize) -> Vec<Line<'static>> {
    let (role, why) = match &row.session.state {
        SessionState::Closed { reason } => (Role::Dim, format!("closed: {reason}")),
        SessionState::Closing { reason } => (Role::Dim, format!("closing: {reason}")),
        SessionState::Failed { why } => (Role::Bad, format!("restarting: {why}")),
        SessionState::Paused => (Role::Held, "paused".to_owned()),
        SessionState::New | SessionState::Initializing | SessionState::Active => return Vec::new(),
    };
    let mut text = WrappedText::of(vec![text::sanitize(&why).into_owned()]);
    text.wrap(width.saturating_sub(4), 0);
    let first = text.row(0).unwrap_or_default().trim().to_owned();
    let rest: Vec<_> = (1..).map_while(|row| text.row(row)).map(|row| row.trim().to_owned()).collect();
    let rest = short(&rest.join(" "), width.saturating_sub(4));
    let rows = [first, rest].into_iter().filter(|row| !row.is_empty());
    rows.map(|row| Line::from(styled(model, role, format!("   {row}")))).collect()
}

/// Of the session that the list is narrowed to, else of all.
fn figures(model: &Model, width: usize) -> Vec<Line<'static>> {
    let only = model.list().only.and_then(|id| model.observed.sessions.get(id));
    let stats = only.map_or(&model.observed.stats, |row| &row.stats);
    let rule = |title: &str| {
        let line = theme(model).glyphs().line;
        let title = format!("{line}{title}");
        let rest = line.repeat(width.saturating_sub(text::width(&title)));
        Line::from(styled(model, Role::Dim, title + &rest))
    };
    let pair = |a: &str, b: u64, c: &str, d: u64| {
        let one = |name: &str, count: u64| {
            let room = (width / 2).saturating_sub(6);
            let exact = grouped(count);
            let shown = if exact.len() < room { exact } else { text::count(count) };
            format!(" {}{}", cell(name, 5), right(&shown, room))
        };
        Line::from(styled(model, Role::Plain, one(a, b) + &one(c, d)))
    };
    let mut lines = vec![
        rule(if only.is_some() { " Kinds, this session " } else { " Kinds " }),
        pair("req", stats.requests, "notif", stats.notifications),
        pair("res", stats.results, "fail", stats.errors),
    ];
    let tools = top_tools(model, only);
    if !tools.is_empty() {
        lines.push(rule(if only.is_some() { " Top tools, calls " } else { " Top tools, calls, p90 " }));
    }
    lines.extend(tools.into_iter().map(|(tool, calls, p90)| {
        let name = cell(tool, width.saturating_sub(14));
        let text = format!(" {name}{}{} ", right(&text::count(calls), 5), right(&p90, 7));
        Line::from(styled(model, Role::Plain, text))
    }));
    lines
}

/// The tools that were called most: how often, and what nine of ten calls took, which is known of all sessions together.
fn top_tools<'a>(model: &'a Model, only: Option<&'a SessionRow>) -> Vec<(&'a str, u64, String)> {
    const MOST: usize = 4;
    if let Some(row) = only {
        return row.top_tools(MOST).into_iter().map(|(tool, calls)| (tool, calls, String::new())).collect();
    }
    let tools = model.metrics.top_tools(MOST).into_iter();
    let p90 = |tool: &EndpointFigures| if tool.took.count > 0 { duration(tool.took.p90) } else { String::new() };
    tools.map(|tool| (tool.name.as_deref().unwrap_or_default(), tool.calls, p90(tool))).collect()
}

/// When a session began.
pub(super) fn start_time(model: &Model, row: &SessionRow) -> String {
    clock(&model.settings.zone, row.session.started, 8)
}
