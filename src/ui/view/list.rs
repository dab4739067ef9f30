//! The message list: one row a message, only those on the screen formatted.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::lint::level_role;
use super::parts::{cell, clock, cursor_row, grouped, pane, put, right, short, style, styled, theme};
use crate::envelope::{Direction, Envelope, Outcome, Seq};
use crate::mcp::method::NOTIFICATIONS;
use crate::message::Kind;
use crate::text;
use crate::ui::model::message_rows::{MessageRow, RowState};
use crate::ui::model::patience::{ClientClock, ClockState};
use crate::ui::model::summary::{FAILED, summary};
use crate::ui::model::tapes_screen::tape_title;
use crate::ui::model::{Model, Pane, age};
use crate::ui::theme::Role;

/// Widths of the columns, from the room there is.
#[derive(Clone, Copy)]
struct MessageColumns {
    seq: usize,
    time: usize,
    id: usize,
    subject: usize,
    gist: usize,
    size: usize,
    took: usize,
}

impl MessageColumns {
    fn of(width: usize, digits: usize) -> Self {
        let wide = width >= 88;
        let seq = digits.max(if wide { 5 } else { 4 });
        let (time, size, took) = match width {
            88.. => (12, 6, 6),
            70..88 => (8, 0, 6),
            _ => (0, 0, 6),
        };
        let subject = (width * if wide { 29 } else { 27 } / 100).clamp(12, 40);
        let id = 4;
        // Two for the marks, and one between all.
        let fixed = 2 + seq + 1 + if time > 0 { time + 1 } else { 0 } + 4 + id + 1 + subject + 1 + size + took;
        Self { seq, time, id, subject, gist: width.saturating_sub(fixed), size, took }
    }
}

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::List && model.editor.is_none();
    let block = pane(model, focused, title(model, area.width), list_status(model));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (rows, list) = model.messages();
    if list.len(rows) == 0 {
        return draw_empty(model, frame, inner);
    }
    let digits = rows.seq_at(rows.len() - 1).map_or(1, |seq| seq.0.to_string().len());
    let width = usize::from(inner.width);
    let columns = MessageColumns::of(width, digits);
    put(frame, inner, 0, header(model, &columns));
    let cursor = list.position(rows);
    for line in 0..usize::from(inner.height.saturating_sub(1)) {
        let position = list.top + line;
        let Some(row) = list.row(rows, position) else { break };
        let mut cells = row_line(model, &row, &columns);
        if position == cursor {
            cells = cursor_row(model, &cells, focused, width);
        }
        put(frame, inner, line + 1, cells);
    }
}

fn title(model: &Model, width: u16) -> Line<'static> {
    let (rows, list) = model.messages();
    let name = match &model.tape {
        Some(tape) => format!("Tape {} (recorded, not live)", tape_title(&tape.path)),
        None => "Messages".to_owned(),
    };
    // Those of a shadow are left out where nothing is chosen, and so not counted.
    let all = if list.only.is_none() && list.filter.is_none() { list.len(rows) } else { rows.len() };
    let mut spans = vec![styled(model, Role::Strong, format!(" {} {} ", short(&name, 60), grouped(all as u64)))];
    if rows.older > 0 {
        spans.push(styled(model, Role::Dim, format!("+ {} older on tape ", grouped(rows.older))));
    }
    if let Some(row) = list.only.and_then(|only| model.observed.sessions.get(only)) {
        spans.push(styled(model, Role::Accent, format!("only {} ", short(row.title(), 20))));
    }
    if let Some((filter, _)) = &list.filter {
        let room = usize::from(width).saturating_sub(50).max(12);
        let role = if list.filter_off { Role::Dim } else { Role::Accent };
        let off = if list.filter_off { "filter off: " } else { "filter: " };
        spans.push(styled(model, role, format!("{off}{} ", short(filter, room))));
        spans.push(styled(model, Role::Dim, format!("{} shown ", grouped(list.len(rows) as u64))));
    }
    Line::from(spans)
}

fn list_status(model: &Model) -> Line<'static> {
    let (rows, list) = model.messages();
    let scan = list.scanned(rows).map(|percent| styled(model, Role::Dim, format!(" scanning {percent}% ")));
    let state = match (model.tape.is_some(), list.follows(), list.unseen) {
        (true, ..) | (_, false, 0) => Span::default(),
        (_, true, _) => styled(model, Role::Dim, " following "),
        (_, false, unseen) => styled(model, Role::Held, format!(" {} new below ", grouped(unseen as u64))),
    };
    Line::from_iter(scan.into_iter().chain([state]))
}

fn draw_empty(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (rows, _) = model.messages();
    if rows.len() > 0 {
        return put(frame, area, 1, styled(model, Role::Dim, " no message passes the filter"));
    }
    // Of several front doors, or none over HTTP, there is no address to give.
    let front = model.observed.front.as_ref().filter(|(url, _)| url.contains("://"));
    let lines = [
        " nothing has passed yet".to_owned(),
        front.map(|(url, _)| format!(" point a client at {url}")).unwrap_or_default(),
    ];
    for (at, line) in lines.iter().enumerate() {
        put(frame, area, at + 1, styled(model, Role::Dim, short(line, usize::from(area.width))));
    }
}

fn header(model: &Model, columns: &MessageColumns) -> Line<'static> {
    let time = if columns.time > 0 { cell("time", columns.time) + " " } else { String::new() };
    let text = format!(
        "  {} {time}d k {} {} {}{}{}",
        right("#", columns.seq),
        cell("id", columns.id),
        cell("method / name", columns.subject),
        cell("args or result", columns.gist),
        right(if columns.size > 0 { "size" } else { "" }, columns.size),
        right("dur", columns.took),
    );
    Line::styled(text, style(model, Role::Dim))
}

fn row_line(model: &Model, row: &MessageRow, columns: &MessageColumns) -> Line<'static> {
    let envelope = &*row.envelope;
    let (mark, mark_role) = mark(row);
    let letter_role = kind_role(envelope);
    let (badge, badge_role) = badge(model, envelope.seq);
    let mut spans = vec![
        styled(model, mark_role, mark),
        styled(model, badge_role, badge),
        styled(model, Role::Dim, right(&envelope.seq.0.to_string(), columns.seq) + " "),
    ];
    if columns.time > 0 {
        spans.push(styled(model, Role::Dim, cell(&time(model, envelope, columns.time), columns.time) + " "));
    }
    let id = envelope.message.id().map(|id| id.display().to_owned()).unwrap_or_default();
    spans.push(styled(model, Role::Plain, format!("{} ", arrow(envelope.direction))));
    spans.push(styled(model, letter_role, format!("{} ", letter(envelope.kind()))));
    spans.push(styled(model, Role::Plain, cell(&id, columns.id) + " "));
    spans.extend(subject(model, envelope, columns.subject));
    spans.push(styled(model, Role::Plain, " "));
    spans.extend(gist_spans(model, row, columns.gist));
    if columns.size > 0 {
        let size = text::size(envelope.message.raw().len() as u64);
        spans.push(styled(model, Role::Dim, right(&size, columns.size)));
    }
    let (took, took_role) = took(model, row);
    spans.push(styled(model, took_role, right(&took, columns.took)));
    Line::from(spans)
}

/// What is wrong with a message: a shadow answered otherwise, else what lint found, in the colour of the worst.
fn badge(model: &Model, seq: Seq) -> (&'static str, Role) {
    let (rows, glyphs) = (model.messages().0, theme(model).glyphs());
    if rows.divergence(seq).is_some() {
        return (glyphs.differs, Role::Bad);
    }
    let worst = rows.findings(seq).iter().map(|finding| finding.level).max();
    worst.map_or((" ", Role::Plain), |level| (glyphs.found, level_role(level)))
}

/// The row as one line of text, for the clipboard.
pub(crate) fn row_text(model: &Model, row: &MessageRow) -> String {
    let line = row_line(model, row, &MessageColumns::of(160, 6));
    line.spans.iter().map(|span| span.content.as_ref()).collect::<String>().trim_end().to_owned()
}

fn time(model: &Model, envelope: &Envelope, width: usize) -> String {
    match model.time_of(envelope) {
        Some(time) => clock(&model.settings.zone, time, width),
        None => format!("+{}.{:03}", envelope.at / 1_000_000, envelope.at / 1000 % 1000),
    }
}

/// What happened to the message, in one glyph; words are in the gist and in the detail.
pub(super) fn mark(row: &MessageRow) -> (&'static str, Role) {
    match (row.state, &row.envelope.outcome) {
        (RowState::Held(_), _) => ("!", Role::Held),
        (RowState::Settled, _) | (_, Outcome::Forwarded) => (" ", Role::Plain),
        (_, Outcome::Edited(_)) => ("*", Role::Edited),
        (_, Outcome::Blocked(_)) => ("x", Role::Bad),
        (_, Outcome::Dropped(_)) => ("-", Role::Bad),
        (_, Outcome::Injected(_)) => ("+", Role::Accent),
        (_, Outcome::Withheld) => ("=", Role::Accent),
        (_, Outcome::Abandoned) => ("?", Role::Dim),
    }
}

pub(super) fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToServer => ">",
        Direction::ToClient => "<",
    }
}

pub(super) fn letter(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "Q",
        Kind::Result => "R",
        Kind::Error => "E",
        Kind::Notification => "N",
        Kind::Batch => "B",
        Kind::Opaque => "?",
    }
}

pub(super) fn kind_role(envelope: &Envelope) -> Role {
    match envelope.kind() {
        Kind::Request => Role::Accent,
        Kind::Result => Role::Good,
        Kind::Error | Kind::Opaque => Role::Bad,
        Kind::Notification | Kind::Batch => Role::Dim,
    }
}

/// Method and name; where there is a name it is what the eye looks for, so the method gives way to it.
pub(super) fn subject(model: &Model, envelope: &Envelope, width: usize) -> Vec<Span<'static>> {
    let method = &*text::sanitize(envelope.method().unwrap_or_default());
    let fits = |method: &str, name: &str| text::width(method) + 1 + text::width(name) <= width;
    let Some(name) = envelope.name() else {
        // The letter of the kind says that it is a notification.
        let cut = if text::width(method) > width { method.strip_prefix(NOTIFICATIONS) } else { None };
        return vec![styled(model, Role::Plain, cell(cut.unwrap_or(method), width))];
    };
    let last = method.rsplit('/').next().unwrap_or_default();
    match [method, last].into_iter().find(|method| fits(method, name)) {
        Some(method) => {
            let room = width - text::width(method);
            vec![
                styled(model, Role::Dim, short(method, width)),
                styled(model, Role::Strong, cell(&format!(" {name}"), room)),
            ]
        }
        None => vec![styled(model, Role::Strong, cell(name, width))],
    }
}

/// What a row says, and in the row of a whole exchange what was answered: red where that failed.
fn gist_spans(model: &Model, row: &MessageRow, width: usize) -> Vec<Span<'static>> {
    let (rows, list) = model.messages();
    let own = gist(&row.envelope);
    let reply = row.reply.filter(|_| list.pairs).and_then(|seq| rows.get(seq));
    let Some(reply) = reply else {
        return vec![styled(model, gist_role(&row.envelope, &own), cell(&own, width))];
    };
    let answer = gist(&reply.envelope);
    let role = gist_role(&reply.envelope, &answer);
    // Each has half of it, and what the other leaves.
    let room = width.saturating_sub(3);
    let asked = short(&own, room - (room / 2).min(text::width(&text::sanitize(&answer))));
    let rest = room.saturating_sub(text::width(&asked));
    vec![styled(model, Role::Plain, asked), styled(model, Role::Dim, " > "), styled(model, role, cell(&answer, rest))]
}

fn gist_role(envelope: &Envelope, gist: &str) -> Role {
    match envelope.kind() {
        Kind::Error => Role::Bad,
        Kind::Result if gist.starts_with(FAILED) => Role::Bad,
        _ => Role::Plain,
    }
}

/// What a row says of its message: that a peer went away outweighs what it was about.
fn gist(envelope: &Envelope) -> String {
    let gist = summary(envelope);
    match envelope.outcome {
        Outcome::Abandoned => format!("gone while held  {gist}"),
        Outcome::Dropped(_) => format!("dropped  {gist}"),
        Outcome::Blocked(_) => format!("blocked  {gist}"),
        _ => gist,
    }
}

/// The colour of a held message: red once its client is about to give up.
pub(super) fn clock_role(clock: ClientClock) -> Role {
    match clock.state() {
        ClockState::Early | ClockState::Late => Role::Held,
        ClockState::Last => Role::Bad,
    }
}

/// Duration of the exchange, or how long it has been open or held.
fn took(model: &Model, row: &MessageRow) -> (String, Role) {
    if let RowState::Held(ticket) = row.state {
        let held = model.observed.held.get(&ticket);
        let since = held.map_or(model.now, |held| held.since);
        let role = held.and_then(|held| model.client_clock(held)).map_or(Role::Held, clock_role);
        return (age(model.now.0.saturating_sub(since.0)) + "..", role);
    }
    if let Some(took) = model.messages().0.took(row) {
        return (text::micros(took), Role::Dim);
    }
    let open = model.open_age(row).map(|open| age(open) + "..").unwrap_or_default();
    (open, Role::Dim)
}
