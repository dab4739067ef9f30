//! The hold queue: what waits, oldest first, and what was lately released.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::list::{arrow, kind_role, letter, subject};
use super::parts::{cell, clock, cursor_row, pane, put, right, short, style, styled};
use crate::envelope::{Envelope, Outcome};
use crate::event::Held;
use crate::text::micros_with_unit;
use crate::ui::keymap::with_keys;
use crate::ui::layout::held_rows;
use crate::ui::model::observed::{ReleasedHold, outcome_words};
use crate::ui::model::patience::{ClientClock, ClockState};
use crate::ui::model::summary::summary;
use crate::ui::model::{Model, Pane, age};
use crate::ui::theme::Role;

#[derive(Clone, Copy)]
struct QueueColumns {
    client: usize,
    subject: usize,
    gist: usize,
    left: usize,
    reason: usize,
}

impl QueueColumns {
    fn of(width: usize) -> Self {
        let client = if width >= 62 { 10 } else { 0 };
        let left = if width >= 44 { 6 } else { 0 };
        let fixed = MARGIN + POINT + ID + client + usize::from(client > 0) + HELD + left;
        let rest = width.saturating_sub(fixed);
        let subject = (rest * 45 / 100).clamp(10.min(rest), 30);
        let rest = rest.saturating_sub(subject + 1);
        let reason = if rest > 70 { rest - 48 } else { 0 };
        Self { client, subject, gist: rest - reason, left, reason }
    }
}

/// The marks and the number.
const MARGIN: usize = 8;
const POINT: usize = 4;
const ID: usize = 4;
const HELD: usize = 6;

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
        put(frame, inner, 0, styled(model, Role::Dim, short(&empty_words(model), width)));
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
    let selected = model.queue.selected(&model.observed.held);
    match (holding.on, selected, holding.filter.is_empty()) {
        (true, ..) => Line::from(styled(model, Role::Held, format!(" hold on: {} ", short(&holding.filter, room)))),
        // Breakpoints, rules, a step and a pause hold as well.
        (false, Some(held), _) => {
            Line::from(styled(model, Role::Held, format!(" held: {} ", short(&held.reason, room))))
        }
        (false, None, false) => {
            Line::from(styled(model, Role::Dim, format!(" hold off: {} ", short(&holding.filter, room))))
        }
        (false, None, true) => Line::from(styled(model, Role::Dim, " hold off ")),
    }
}

fn empty_words(model: &Model) -> String {
    let words = if model.observed.holding.on {
        " nothing is held: what matches stops here"
    } else {
        " nothing is held: `<queue hold>` says which messages to hold"
    };
    with_keys(&model.settings.keys, words)
}

fn header(model: &Model, columns: &QueueColumns) -> Line<'static> {
    let client = if columns.client > 0 { cell("client", columns.client) + " " } else { String::new() };
    let text = format!(
        "  {} d k {client}{}{} {}{}{}{}",
        right("#", 5),
        cell("id", ID),
        cell("method / name", columns.subject),
        cell("args or result", columns.gist),
        right("held", HELD),
        right(if columns.left > 0 { "left" } else { "" }, columns.left),
        right(if columns.reason > 0 { "why" } else { "" }, columns.reason),
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
    let mut spans = vec![
        styled(model, role, format!("{mark} ")),
        styled(model, Role::Dim, right(&envelope.seq.0.to_string(), 5) + " "),
        styled(model, Role::Plain, format!("{} ", arrow(envelope.direction))),
        styled(model, kind_role(envelope), format!("{} ", letter(envelope))),
    ];
    if columns.client > 0 {
        spans.push(styled(model, Role::Dim, cell(&peer(model, envelope), columns.client) + " "));
    }
    let id = envelope.message.id().map(|id| id.display().to_owned()).unwrap_or_default();
    spans.push(styled(model, Role::Plain, cell(&id, ID)));
    spans.extend(subject(model, envelope, columns.subject, false));
    spans.push(styled(model, Role::Plain, format!(" {}", cell(&summary(envelope), columns.gist))));
    spans.extend(clocks(model, held, columns, sent));
    if columns.reason > 0 {
        spans.push(styled(model, Role::Dim, right(&held.reason, columns.reason)));
    }
    Line::from(spans)
}

/// The client, which tells held calls apart; where it has no name, the server.
fn peer(model: &Model, envelope: &Envelope) -> String {
    let Some(row) = model.observed.sessions.get(envelope.session) else { return String::new() };
    let client = row.session.client.as_ref().map(|client| client.name.clone()).filter(|name| !name.is_empty());
    client.unwrap_or_else(|| row.title().to_owned())
}

/// How long it has been held, and how long its client will still wait, or when it goes on (`>`) or is blocked (`x`) by itself.
fn clocks(model: &Model, held: &Held, columns: &QueueColumns, sent: bool) -> [Span<'static>; 2] {
    let clock = model.client_clock(held);
    let due = held.deadline.map(|deadline| {
        let at = held.since.plus_micros(deadline.after);
        (at.0.saturating_sub(model.now.0), deadline.sends)
    });
    // What ends it first: that its client gives up, or what becomes of it by itself.
    let comes_first =
        |due: u64| clock.is_none_or(|clock| clock.was_wrong() || clock.left().is_none_or(|left| due <= left));
    let due = due.filter(|(due, _)| comes_first(*due));
    let state = due.map_or_else(|| clock.map_or(ClockState::Early, ClientClock::state), |_| ClockState::Late);
    let role = match (sent, state) {
        (true, _) => Role::Dim,
        (false, ClockState::Early) => Role::Plain,
        (false, ClockState::Late) => Role::Held,
        (false, ClockState::Last) => Role::Bad,
    };
    let waits = if sent { "sent".to_owned() } else { age(model.now.0.saturating_sub(held.since.0)) };
    let left = match due {
        _ if sent => String::new(),
        Some((due, sends)) => format!("{}{}", if sends { ">" } else { "x" }, age(due)),
        None => clock.map(ClientClock::left_words).unwrap_or_default(),
    };
    [styled(model, role, right(&waits, HELD)), styled(model, role, right(&left, columns.left))]
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
        Outcome::Edited(_) | Outcome::Answered(_) => ("*", Role::Edited),
        Outcome::Blocked(_) => ("x", Role::Bad),
        Outcome::Dropped(_) => ("-", Role::Bad),
        Outcome::Abandoned => ("?", Role::Held),
        Outcome::Injected(_) | Outcome::Withheld => ("+", Role::Accent),
    };
    let time = model.time_of(envelope).map(|time| clock(&model.settings.zone, time, 8)).unwrap_or_default();
    let subject = format!("{} {}", envelope.method().unwrap_or_default(), envelope.name().unwrap_or_default());
    let after = |held| match envelope.outcome {
        // As its row in the list has it: that tells what the patience of its client is.
        Outcome::Abandoned => format!(" after {}", micros_with_unit(held)),
        _ => format!(" after {}", age(held)),
    };
    let held = envelope.held.map(after).unwrap_or_default();
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
