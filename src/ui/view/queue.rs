//! The hold queue: what waits, oldest first, and what was lately released.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::list::{arrow, subject};
use super::parts::{cell, clock, cursor_row, pane, put, right, short, style, styled};
use crate::envelope::Outcome;
use crate::event::Held;
use crate::message::Kind;
use crate::ui::layout::held_rows;
use crate::ui::model::observed::{ReleasedHold, outcome_words};
use crate::ui::model::{Model, Pane, age};
use crate::ui::theme::Role;

#[derive(Clone, Copy)]
struct QueueColumns {
    point: usize,
    session: usize,
    subject: usize,
    reason: usize,
}

impl QueueColumns {
    fn of(width: usize) -> Self {
        let session = if width >= 60 { 12 } else { 0 };
        let point = if width >= 50 { 9 } else { 1 };
        let fixed = 9 + point + 1 + session + usize::from(session > 0) + 5 + 8;
        let rest = width.saturating_sub(fixed);
        let reason = if rest > 44 { rest - 34 } else { 0 };
        Self { point, session, subject: rest - reason, reason }
    }
}

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::List;
    let held = &model.observed.held;
    let title = styled(model, Role::Strong, format!(" Held {} ", held.len()));
    let block = pane(model, focused, title, policy(model, area.width));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let rows = held_rows(inner, held.len(), model.observed.released.len());
    if held.is_empty() {
        put(frame, inner, 0, styled(model, Role::Dim, short(empty_words(model), width)));
    } else {
        let columns = QueueColumns::of(width);
        put(frame, inner, 0, header(model, &columns));
        let selected = model.queue.position(held);
        for (line, (at, held)) in held.values().enumerate().skip(model.queue.top).take(rows).enumerate() {
            let mut cells = held_line(model, held, &columns);
            if at == selected {
                cells = cursor_row(model, &cells, focused, width);
            }
            put(frame, inner, line + 1, cells);
        }
    }
    draw_released(model, frame, inner, rows + 1);
}

/// What holds, in the frame's own line.
fn policy(model: &Model, width: u16) -> Line<'static> {
    let holding = &model.observed.holding;
    let room = usize::from(width).saturating_sub(26);
    match (holding.on, holding.filter.is_empty()) {
        (true, _) => Line::from(styled(model, Role::Held, format!(" hold on: {} ", short(&holding.filter, room)))),
        (false, false) => Line::from(styled(model, Role::Dim, format!(" hold off: {} ", short(&holding.filter, room)))),
        (false, true) => Line::from(styled(model, Role::Dim, " hold off ")),
    }
}

fn empty_words(model: &Model) -> &'static str {
    if model.observed.holding.on {
        " nothing is held: what matches stops here"
    } else {
        " nothing is held: `i` says which messages to hold"
    }
}

fn header(model: &Model, columns: &QueueColumns) -> Line<'static> {
    let session = if columns.session > 0 { cell("session", columns.session) + " " } else { String::new() };
    let text = format!(
        "  {} {} {session}{} {} {}{}",
        right("#", 5),
        cell(if columns.point > 1 { "point" } else { "d" }, columns.point),
        cell("id", 4),
        cell("method / name", columns.subject),
        right("held", 6),
        right(if columns.reason > 0 { "why" } else { "" }, columns.reason.saturating_sub(1)),
    );
    Line::styled(text, style(model, Role::Dim))
}

fn held_line(model: &Model, held: &Held, columns: &QueueColumns) -> Line<'static> {
    let envelope = &held.envelope;
    let sent = model.queue.sent.contains(&held.ticket);
    let drafted = model.queue.drafts.contains_key(&envelope.seq);
    let (mark, role) = match (sent, drafted) {
        (true, _) => (" ", Role::Dim),
        (false, true) => ("*", Role::Edited),
        (false, false) => ("!", Role::Held),
    };
    let arrow = arrow(envelope.direction);
    let kind = if envelope.kind() == Kind::Notification { "notif" } else { envelope.kind().word() };
    let point = if columns.point > 1 { format!("{kind} {arrow}") } else { arrow.to_owned() };
    let mut spans = vec![
        styled(model, role, format!("{mark} ")),
        styled(model, Role::Dim, right(&envelope.seq.0.to_string(), 5) + " "),
        styled(model, Role::Plain, cell(&point, columns.point) + " "),
    ];
    if columns.session > 0 {
        let name = model.observed.sessions.get(envelope.session).map_or("", |row| row.title());
        spans.push(styled(model, Role::Dim, cell(name, columns.session) + " "));
    }
    let id = envelope.message.id().map(|id| id.display().to_owned()).unwrap_or_default();
    spans.push(styled(model, Role::Plain, cell(&id, 4) + " "));
    spans.extend(subject(model, envelope, columns.subject));
    let waits = if sent { "sent".to_owned() } else { age(model.now.0.saturating_sub(held.since.0)) };
    spans.push(styled(model, if sent { Role::Dim } else { Role::Held }, right(&waits, 7)));
    if columns.reason > 0 {
        spans.push(styled(model, Role::Dim, right(&held.reason, columns.reason)));
    }
    Line::from(spans)
}

fn draw_released(model: &Model, frame: &mut Frame<'_>, area: Rect, from: usize) {
    let released = &model.observed.released;
    if released.is_empty() {
        return;
    }
    let width = usize::from(area.width);
    let line = super::parts::theme(model).glyphs().line;
    let rule = format!("{line} Released ");
    let rest = line.repeat(width.saturating_sub(11));
    put(frame, area, from, styled(model, Role::Dim, rule + &rest));
    let room = usize::from(area.height).saturating_sub(from + 1);
    for (at, released) in released.iter().take(room).enumerate() {
        put(frame, area, from + 1 + at, released_line(model, released, width));
    }
}

fn released_line(model: &Model, released: &ReleasedHold, width: usize) -> Line<'static> {
    let envelope = &released.envelope;
    let (mark, role) = match envelope.outcome {
        Outcome::Forwarded => (" ", Role::Dim),
        Outcome::Edited(_) => ("*", Role::Edited),
        Outcome::Blocked(_) => ("x", Role::Bad),
        Outcome::Dropped(_) => ("-", Role::Bad),
        Outcome::Abandoned => ("?", Role::Held),
        Outcome::Injected(_) | Outcome::Withheld => ("+", Role::Accent),
    };
    let time = model.time_of(envelope).map(|time| clock(&model.settings.zone, time, 8)).unwrap_or_default();
    let subject = format!("{} {}", envelope.method().unwrap_or_default(), envelope.name().unwrap_or_default());
    let held = envelope.held.map(|held| format!(" after {}", age(held))).unwrap_or_default();
    let words = format!("{}{held}", outcome_words(&envelope.outcome));
    let half = width.saturating_sub(20) / 2;
    Line::from(vec![
        styled(model, role, format!("{mark} ")),
        styled(model, Role::Dim, right(&envelope.seq.0.to_string(), 5) + " "),
        styled(model, Role::Dim, cell(&time, 8) + "  "),
        styled(model, Role::Plain, cell(&subject, half) + " "),
        styled(model, role, short(&words, width.saturating_sub(19 + half))),
    ])
}
