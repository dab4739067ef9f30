//! The message list: one row a message, only those on the screen formatted.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::columns::MessageColumns;
use super::lint::level_role;
use super::parts::{cell, clock, cursor_row, grouped, pane, put, right, short, style, styled, theme};
use super::status::duration;
use crate::envelope::{Direction, Envelope, Outcome};
use crate::message::{Id, Kind};
use crate::text;
use crate::ui::keymap::with_keys;
use crate::ui::model::column_needs::{ColumnNeeds, subject_words};
use crate::ui::model::message_rows::{MessageRow, MessageRows, RowState};
use crate::ui::model::patience::{ClientClock, ClockState};
use crate::ui::model::seams::ListedLine;
use crate::ui::model::session_list::SessionRow;
use crate::ui::model::summary::{FAILED, is_http_error, row_gist};
use crate::ui::model::tapes_screen::{OpenTape, tape_title};
use crate::ui::model::wrapped_text::WrappedText;
use crate::ui::model::{Model, Pane, age};
use crate::ui::settings::ListColumn;
use crate::ui::theme::Role;

/// Cells before the first column: the mark of a row, and that of a note.
const MARKS: usize = 2;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::List && model.editor.is_none();
    let block = pane(model, focused, title(model, area.width), list_status(model));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (rows, list) = model.messages();
    if list.len(rows) == 0 {
        return draw_empty(model, frame, inner);
    }
    let width = usize::from(inner.width);
    let columns = columns(model, width);
    put(frame, inner, 0, header(model, &columns));
    let cursor = list.position(rows);
    for (line, listed) in list.lines(rows).into_iter().enumerate() {
        let cells = match listed {
            ListedLine::Seam(text) => seam_line(model, text, width),
            ListedLine::Message(position) => {
                let Some(row) = list.row(rows, position) else { continue };
                let cells = row_line(model, &row, &columns);
                if position == cursor { cursor_row(model, &cells, focused, width) } else { cells }
            }
        };
        put(frame, inner, line + 1, cells);
    }
}

fn columns(model: &Model, width: usize) -> MessageColumns {
    let (rows, list) = model.messages();
    let last = rows.len().checked_sub(1).and_then(|last| rows.seq_at(last));
    let digits = last.map_or(1, |seq| seq.0.to_string().len());
    MessageColumns::of(width, ColumnNeeds { digits, ..list.needs }, &model.settings.columns)
}

/// The column whose head stands in that cell of the list's first line.
pub(crate) fn column_at(model: &Model, width: usize, cell: usize) -> Option<ListColumn> {
    let (columns, mut end) = (columns(model, width), MARKS);
    columns.shown().find_map(|(column, width)| {
        end += columns.gap(column).len() + width;
        (cell >= MARKS && cell < end).then_some(column)
    })
}

/// A line across the list: the session goes on otherwise from here on.
fn seam_line(model: &Model, text: &str, width: usize) -> Line<'static> {
    let line = theme(model).glyphs().line;
    let text = format!("{} {} ", line.repeat(2), short(text, width.saturating_sub(6)));
    let rest = width.saturating_sub(text::width(&text));
    Line::from(styled(model, Role::Accent, text + &line.repeat(rest)))
}

fn title(model: &Model, width: u16) -> Line<'static> {
    let (rows, list) = model.messages();
    let name = list_name(model.tape.as_ref(), width);
    // Those of a shadow are left out where it is not chosen, and so not counted. In pairs replies have no row of their own.
    let is_chosen = list.only.is_some() || list.filter.is_some() || list.pairs;
    let all = if is_chosen { rows.len() - list.left_apart() } else { list.len(rows) };
    let mut spans = vec![styled(model, Role::Strong, format!(" {name} {} ", grouped(all as u64)))];
    spans.extend(left_out(model).map(|words| styled(model, Role::Dim, words)));
    let apart = (rows.len() as u64).saturating_sub(all as u64);
    if apart > 0 && model.tape.is_none() {
        spans.push(styled(model, Role::Dim, format!("+ {} of the shadow (s) ", grouped(apart))));
    }
    if let Some(row) = list.only.and_then(|only| model.observed.sessions.get(only)) {
        let title = model.observed.sessions.short_title(row, 24);
        spans.push(styled(model, Role::Accent, format!("only {} ", short(&title, 24))));
    }
    if list.pairs {
        spans.push(styled(model, Role::Accent, "in pairs "));
    }
    if let Some(order) = list.order_words() {
        spans.push(styled(model, Role::Accent, format!("{order} ")));
    }
    if let Some((filter, _)) = &list.filter {
        let room = usize::from(width).saturating_sub(50).max(12);
        let role = if list.filter_off { Role::Dim } else { Role::Accent };
        let off = if list.filter_off { "filter off: " } else { "filter: " };
        spans.push(styled(model, role, format!("{off}{} ", short(filter, room))));
    }
    if is_chosen {
        spans.push(styled(model, Role::Dim, format!("{} shown ", grouped(list.len(rows) as u64))));
    }
    Line::from(spans)
}

/// What is listed. Both ends of a tape's name tell it from others: when it began, and its session.
fn list_name(tape: Option<&OpenTape>, width: u16) -> String {
    let room = (usize::from(width) / 3).clamp(8, 40);
    let Some(tape) = tape else { return "Messages".to_owned() };
    let titled = text::fit_ends(&text::sanitize(&tape_title(&tape.path)), room);
    match tape.is_whole {
        true if width < 60 => format!("Tape {titled} (recorded)"),
        true => format!("Tape {titled} (recorded, not live)"),
        false => format!("Tape {titled} (being read)"),
    }
}

/// Messages for which there is no memory.
fn left_out(model: &Model) -> impl Iterator<Item = String> {
    let is_recorded = || model.observed.sessions.all().iter().any(|row| row.session.tape.is_some());
    let place = match model.tape.is_some() || is_recorded() {
        true => "older on tape",
        false => "older gone, on no tape",
    };
    let later = model.tape.as_ref().map_or(0, |tape| tape.later);
    let counts = [(model.messages().0.older, place), (later, "behind, on tape")];
    counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, place)| format!("+ {} {place} ", grouped(count)))
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
        let text = " no message passes the filter; `~b WORD` looks into all of each message";
        return put(frame, area, 1, styled(model, Role::Dim, short(text, usize::from(area.width))));
    }
    if let Some(tape) = &model.tape {
        let text = if tape.is_whole { " no message is on this tape" } else { " no message was read yet" };
        return put(frame, area, 1, styled(model, Role::Dim, short(text, usize::from(area.width))));
    }
    let mut lines = vec![(Role::Plain, "nothing has passed yet".to_owned())];
    if let Some(url) = model.front_url() {
        lines.push((Role::Plain, format!("point a client at {url}")));
        lines.push((Role::Plain, String::new()));
        lines.extend(model.settings.hints.iter().map(|hint| (Role::Accent, hint.replace("URL", url))));
        lines.extend(model.first_curl().map(|line| (Role::Accent, line)));
        lines.push((Role::Dim, with_keys(&model.settings.keys, "`<messages copy>` copies the line of curl")));
        lines.push((Role::Dim, "or see it all with a server and a client of its own: tapline demo".to_owned()));
    }
    let mut text = WrappedText::of(lines.iter().map(|(_, line)| text::sanitize(line).into_owned()).collect());
    text.wrap(usize::from(area.width).saturating_sub(2), 0);
    let rows: Vec<_> = text.rows().iter().map(|(line, _)| lines[*line].0).collect();
    for (at, role) in rows.into_iter().enumerate() {
        put(frame, area, at + 1, styled(model, role, format!(" {}", text.row(at).unwrap_or_default())));
    }
}

fn header(model: &Model, columns: &MessageColumns) -> Line<'static> {
    let mut text = " ".repeat(MARKS);
    for (column, width) in columns.shown() {
        text.push_str(columns.gap(column));
        text.push_str(&match column {
            ListColumn::Number => right("#", width),
            ListColumn::Time => cell("time", width),
            ListColumn::Session => cell("session", width),
            ListColumn::Kind => cell("d k", width),
            ListColumn::Id => cell("id", width),
            ListColumn::Name => cell("method / name", width),
            ListColumn::Content => cell("args or result", width),
            ListColumn::Size => right("size", width),
            ListColumn::Duration => right("dur", width),
        });
    }
    Line::styled(text, style(model, Role::Dim))
}

fn row_line(model: &Model, row: &MessageRow, columns: &MessageColumns) -> Line<'static> {
    let (mark, mark_role) = mark(row);
    let (note, note_role) = note(model, &row.envelope);
    let mut spans = vec![styled(model, mark_role, mark), styled(model, note_role, note)];
    let mut after = None;
    for (column, width) in columns.shown() {
        let gap = columns.gap(column);
        match spans.last_mut() {
            Some(last) if after.is_some_and(|it| it != ListColumn::Name) => last.content.to_mut().push_str(gap),
            _ => spans.push(styled(model, Role::Plain, gap)),
        }
        spans.extend(column_spans(model, row, column, width, columns.whole));
        after = Some(column);
    }
    Line::from(spans)
}

fn column_spans(model: &Model, row: &MessageRow, column: ListColumn, width: usize, whole: bool) -> Vec<Span<'static>> {
    let envelope = &*row.envelope;
    let one = |role, text: String| vec![styled(model, role, text)];
    match column {
        ListColumn::Number => one(Role::Dim, right(&envelope.seq.0.to_string(), width)),
        ListColumn::Time => one(Role::Dim, cell(&time(model, envelope, width), width)),
        ListColumn::Session => one(Role::Dim, cell(session_title(model, envelope), width)),
        ListColumn::Kind => {
            let arrow = styled(model, Role::Plain, format!("{} ", arrow(envelope.direction)));
            vec![arrow, styled(model, kind_role(envelope), letter(envelope))]
        }
        ListColumn::Id => one(Role::Plain, cell(envelope.message.id().map_or("", Id::display), width)),
        ListColumn::Name => subject(model, envelope, width, whole),
        ListColumn::Content => gist_spans(model, row, width),
        ListColumn::Size => one(Role::Dim, right(&text::size(envelope.message.raw().len() as u64), width)),
        ListColumn::Duration => {
            let (took, role) = took(model, row);
            one(role, right(&took, width))
        }
    }
}

fn session_title<'a>(model: &'a Model, envelope: &Envelope) -> &'a str {
    model.observed.sessions.get(envelope.session).map_or("", SessionRow::title)
}

/// The row where there is room for hardly anything.
pub(super) fn tiny_line(model: &Model, row: &MessageRow, width: usize) -> Line<'static> {
    let envelope = &*row.envelope;
    let (mark, mark_role) = mark(row);
    let room = width.saturating_sub(6);
    let mut spans = vec![
        styled(model, mark_role, mark),
        styled(model, Role::Plain, format!("{} ", arrow(envelope.direction))),
        styled(model, kind_role(envelope), format!("{} ", letter(envelope))),
    ];
    spans.extend(subject(model, envelope, room / 2, false));
    let gist = row_gist(envelope);
    spans.push(styled(model, gist_role(envelope, &gist), format!(" {}", short(&gist, room - room / 2))));
    Line::from(spans)
}

/// The row as one line of text, for the clipboard.
pub(crate) fn row_text(model: &Model, row: &MessageRow) -> String {
    let mut needs = ColumnNeeds { digits: 5, ..ColumnNeeds::default() };
    needs.grow(&row.envelope);
    let line = row_line(model, row, &MessageColumns::of(160, needs, &model.settings.columns));
    line.spans.iter().map(|span| span.content.as_ref()).collect::<String>().trim_end().to_owned()
}

fn time(model: &Model, envelope: &Envelope, width: usize) -> String {
    match model.time_of(envelope) {
        Some(time) => clock(&model.settings.zone, time, width),
        None => format!("+{}.{:03}", envelope.at / 1_000_000, envelope.at / 1000 % 1000),
    }
}

/// What is known of the message besides: a shadow answered otherwise, what lint found in the colour of the worst, a mark, a comment.
fn note(model: &Model, envelope: &Envelope) -> (&'static str, Role) {
    let (rows, glyphs) = (model.messages().0, theme(model).glyphs());
    let worst = rows.findings(envelope.seq).iter().map(|finding| finding.level).max();
    match (rows.divergence(envelope.seq), rows.mark(envelope.seq), worst) {
        (Some(_), ..) => (glyphs.differs, Role::Bad),
        (None, Some(mark), _) if mark.is_marked => ("m", Role::Accent),
        (None, _, Some(level)) => (glyphs.found, level_role(level)),
        (None, Some(_), None) => (";", Role::Accent),
        (None, None, None) => (" ", Role::Plain),
    }
}

/// What happened to the message, in one glyph; words are in the gist and in the detail.
pub(super) fn mark(row: &MessageRow) -> (&'static str, Role) {
    match (row.state, &row.envelope.outcome) {
        (RowState::Held(_), _) => ("!", Role::Held),
        (RowState::Settled, _) | (_, Outcome::Forwarded) => (" ", Role::Plain),
        (_, Outcome::Edited(_) | Outcome::Answered(_)) => ("*", Role::Edited),
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

pub(super) fn letter(envelope: &Envelope) -> &'static str {
    match envelope.kind() {
        _ if is_http_error(envelope) => "E",
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
        _ if is_http_error(envelope) => Role::Bad,
        Kind::Request => Role::Accent,
        Kind::Result => Role::Good,
        Kind::Error | Kind::Opaque => Role::Bad,
        Kind::Notification | Kind::Batch => Role::Dim,
    }
}

/// Where there is a name it is what the eye looks for, so the method gives way to it.
pub(super) fn subject(model: &Model, envelope: &Envelope, width: usize, whole: bool) -> Vec<Span<'static>> {
    let (method, name) = subject_words(envelope, whole);
    let Some(name) = name else { return vec![styled(model, Role::Plain, cell(&method, width))] };
    let room = width.saturating_sub(text::width(&method) + 1);
    // Of an address the end tells it from others.
    let is_uri = name.contains("://");
    if room < 8.min(text::width(name)) || (is_uri && text::width(name) > room) {
        let name = if is_uri { end_of(name, width) } else { cell(name, width) };
        return vec![styled(model, Role::Strong, name)];
    }
    vec![
        styled(model, Role::Dim, short(&method, width)),
        styled(model, Role::Strong, cell(&format!(" {name}"), room + 1)),
    ]
}

/// The end of a text, where it does not fit, filled up.
pub(super) fn end_of(content: &str, width: usize) -> String {
    let content = text::sanitize(content);
    if text::width(&content) <= width {
        return cell(&content, width);
    }
    let (mut used, mut from) = (2, content.len());
    for (at, c) in content.char_indices().rev() {
        used += text::width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        from = at;
    }
    cell(&format!("..{}", &content[from..]), width)
}

/// What a row says, and in the row of a whole exchange what was answered: red where that failed.
fn gist_spans(model: &Model, row: &MessageRow, width: usize) -> Vec<Span<'static>> {
    let (rows, list) = model.messages();
    let own = row_gist(&row.envelope);
    let reply = row.reply.filter(|_| list.pairs).and_then(|seq| rows.get(seq));
    let Some(reply) = reply else {
        return vec![styled(model, gist_role(&row.envelope, &own), cell(&own, width))];
    };
    let answer = row_gist(&reply.envelope);
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
        _ if is_http_error(envelope) => Role::Bad,
        _ => Role::Plain,
    }
}

/// The colour of a held message: red once its client is about to give up.
pub(super) fn clock_role(clock: ClientClock) -> Role {
    match clock.state() {
        ClockState::Early | ClockState::Late => Role::Held,
        ClockState::Last => Role::Bad,
    }
}

/// Duration of the exchange, or how long it has been open or held, or after how long its sender gave it up.
fn took(model: &Model, row: &MessageRow) -> (String, Role) {
    let running = |micros| format!("{}{}", theme(model).glyphs().folded, age(micros));
    if let RowState::Held(ticket) = row.state {
        let held = model.observed.held.get(&ticket);
        let since = held.map_or(model.now, |held| held.since);
        let role = held.and_then(|held| model.client_clock(held)).map_or(Role::Held, clock_role);
        return (running(model.now.0.saturating_sub(since.0)), role);
    }
    if let Some(took) = model.messages().0.took(row) {
        return (duration(took), Role::Dim);
    }
    if let Some(after) = MessageRows::given_up_after(row) {
        return (format!("x{}", duration(after)), Role::Bad);
    }
    (model.open_age(row).map(running).unwrap_or_default(), Role::Accent)
}
