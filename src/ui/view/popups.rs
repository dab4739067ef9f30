//! The small boxes: next keys, sessions to choose from, questions, a long text.

use ratatui::Frame;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::text::{Line, Span};

use super::key_line::hint_spans;
use super::paint;
use super::parts::{cell, cursor_row, grouped, popup, put, right, short, styled};
use super::sessions::start_time;
use crate::event::SessionState;
use crate::text;
use crate::ui::keymap::{Action, first_key, hints};
use crate::ui::layout::{centered, pager as pager_area};
use crate::ui::model::Model;
use crate::ui::model::motion::ListCursor;
use crate::ui::model::popup::{Confirmation, Pager, Popup, Prefix};
use crate::ui::model::session_list::SessionRow;
use crate::ui::model::summary::plural;
use crate::ui::model::tapes_screen::tape_title;
use crate::ui::theme::Role;

/// The keys that may follow, in the lower right corner, where they hide least.
pub(super) fn draw_prefix(model: &Model, frame: &mut Frame<'_>, body: Rect) {
    let title = prefix_title(model);
    let hints = hints(model);
    let inner = popup(model, frame, prefix_area(&hints, &title, body), &title);
    for (at, hint) in hints.into_iter().enumerate() {
        let [key, space, what, _] = hint_spans(model, hint);
        put(frame, inner, at, Line::from(vec![Span::raw(" "), key, space.clone(), space, what]));
    }
}

/// The key that was pressed, and what it is about.
fn prefix_title(model: &Model) -> String {
    let (opens, title) = match &model.popup {
        Some(Popup::Prefix(Prefix::Go)) => (Action::Go, "go to"),
        Some(Popup::Prefix(Prefix::Fold)) => (Action::FoldMenu, "fold"),
        Some(Popup::Prefix(Prefix::Write)) => (Action::WriteMenu, "write a file here"),
        Some(Popup::Prefix(Prefix::Export)) => (Action::ExportMenu, "write the tape here as"),
        Some(Popup::Prefix(Prefix::Toggle)) => (Action::ToggleMenu, "on or off"),
        _ => (Action::CopyMenu, "copy"),
    };
    match first_key(&model.settings.keys, opens) {
        Some(key) => format!("{key}: {title}"),
        None => title.to_owned(),
    }
}

fn prefix_area(hints: &[(&str, &str)], title: &str, body: Rect) -> Rect {
    let widest = hints.iter().map(|(key, hint)| text::width(key) + text::width(hint)).max().unwrap_or(0);
    // The title stands between two corners, with a space and a line at each side.
    let widest = widest.max(text::width(title).saturating_sub(1));
    let width = u16::try_from(widest + 7).unwrap_or(u16::MAX).max(18).min(body.width);
    let height = u16::try_from(hints.len() + 2).unwrap_or(u16::MAX).min(body.height);
    Rect { x: body.right() - width, y: body.bottom() - height, width, height }
}

/// The key that may follow, whose line stands there.
pub(crate) fn prefix_key_at(model: &Model, body: Rect, at: Position) -> Option<&'static str> {
    let hints = hints(model);
    let inner = prefix_area(&hints, &prefix_title(model), body).inner(Margin::new(1, 1));
    inner.contains(at).then(|| hints.get(usize::from(at.y - inner.y)).map(|(key, _)| *key))?
}

pub(super) fn draw_sessions(model: &Model, place: &ListCursor, frame: &mut Frame<'_>, body: Rect) {
    let rows = model.observed.sessions.all();
    let height = u16::try_from(rows.len() + 4).unwrap_or(u16::MAX);
    let inner = popup(model, frame, centered(body, 96, height), "Sessions");
    let width = usize::from(inner.width);
    let room = usize::from(inner.height).saturating_sub(1);
    let columns = SessionColumns::of(width);
    let head = format!(
        " {} {}{}{}{}  {}",
        cell("server", columns.server),
        cell("by", 6),
        cell("client", columns.client),
        right("msgs", 7),
        right("new", columns.unread),
        if columns.state >= 14 { "since or state" } else { "since" },
    );
    put(frame, inner, 0, styled(model, Role::Dim, short(&head, width)));
    let all = Line::from(styled(model, Role::Plain, cell(" all sessions", width)));
    let lines = std::iter::once(all).chain(rows.iter().map(|row| session_line(model, row, &columns)));
    let top = crate::ui::model::motion::window(place.top, place.cursor, rows.len() + 1, room);
    for (row, (at, line)) in lines.enumerate().skip(top).take(room).enumerate() {
        let line = if at == place.cursor { cursor_row(model, &line, true, width) } else { line };
        put(frame, inner, row + 1, line);
    }
}

/// Names have what is left of the line.
struct SessionColumns {
    server: usize,
    client: usize,
    unread: usize,
    state: usize,
}

impl SessionColumns {
    fn of(width: usize) -> Self {
        let unread = if width >= 56 { 6 } else { 0 };
        let rest = width.saturating_sub(2 + 6 + 7 + unread + 2);
        let state = (rest / 3).max(8).min(rest);
        let server = (rest - state) * 55 / 100;
        Self { server, client: rest - state - server, unread, state }
    }
}

fn session_line(model: &Model, row: &SessionRow, columns: &SessionColumns) -> Line<'static> {
    let client = row.session.client.as_ref().map(|peer| format!("{} {}", peer.name, peer.version)).unwrap_or_default();
    let state = match &row.session.state {
        SessionState::Closed { reason } => format!("closed: {reason}"),
        SessionState::Closing { reason } => format!("closing: {reason}"),
        SessionState::Failed { .. } => "restarting".to_owned(),
        SessionState::Paused => "paused".to_owned(),
        SessionState::New | SessionState::Initializing | SessionState::Active => start_time(model, row),
    };
    let state = if row.is_shadow() { format!("shadow, {state}") } else { state };
    let role = if row.closed().is_some() { Role::Dim } else { Role::Strong };
    Line::from(vec![
        styled(
            model,
            role,
            format!(" {} ", cell(&model.observed.sessions.short_title(row, columns.server), columns.server)),
        ),
        styled(model, Role::Dim, cell(row.session.via.word(), 6)),
        styled(model, Role::Plain, cell(&client, columns.client)),
        styled(model, Role::Plain, right(&grouped(row.messages), 7)),
        styled(model, Role::Accent, right(&unread(row), columns.unread)),
        styled(model, Role::Dim, format!("  {}", short(&state, columns.state))),
    ])
}

fn unread(row: &SessionRow) -> String {
    if row.unread > 0 { format!("+{}", grouped(row.unread)) } else { String::new() }
}

pub(super) fn draw_confirmation(model: &Model, ask: Confirmation, frame: &mut Frame<'_>, body: Rect) {
    let title = match ask {
        Confirmation::Quit if model.settings.attached => "Detach",
        Confirmation::Quit => "Quit",
        Confirmation::DeleteTape => "Delete a tape",
        Confirmation::ForwardAll => "Forward all",
        Confirmation::HoldOff => "Hold off",
        Confirmation::RemoveRule => "Take a rule away",
    };
    let inner = popup(model, frame, centered(body, 64, 7), title);
    let width = usize::from(inner.width);
    for (at, line) in question(model, ask, width.saturating_sub(2)).into_iter().enumerate() {
        put(frame, inner, 1 + at, styled(model, Role::Plain, short(&format!("  {line}"), width)));
    }
    let mut keys = vec![Span::raw("  ")];
    for hint in hints(model) {
        keys.extend(hint_spans(model, hint));
    }
    put(frame, inner, 3, Line::from(keys));
}

/// What is asked, in a line or two.
fn question(model: &Model, ask: Confirmation, width: usize) -> Vec<String> {
    let held = model.observed.held.len();
    let (messages, them) = if held == 1 { ("message is", "it") } else { ("messages are", "them") };
    let question = match ask {
        Confirmation::Quit if model.settings.attached => {
            format!("{held} {messages} held; tapline runs on. What becomes of {them}?")
        }
        Confirmation::Quit => format!("{held} {messages} still held. What becomes of {them}?"),
        Confirmation::DeleteTape => {
            let name = model.tapes.selected().map(|tape| tape_title(&tape.path)).unwrap_or_default();
            // Names begin alike.
            let name = text::fit_ends(&text::sanitize(&name), width.saturating_sub("Delete ?".len()));
            return vec![format!("Delete {name}?"), "It cannot be taken back.".to_owned()];
        }
        Confirmation::ForwardAll => format!("Send all {held} held messages on?"),
        Confirmation::RemoveRule => {
            format!("Take the rule `{}` away?", model.selected_rule().map_or("", |rule| &rule.name))
        }
        Confirmation::HoldOff => format!("Hold goes off, and {held} {messages} held. What becomes of {them}?"),
    };
    vec![question]
}

pub(super) fn draw_pager(model: &Model, pager: &Pager, frame: &mut Frame<'_>) {
    let area = pager_area(frame.area());
    let size = pager.text.chars().count();
    let lines = plural(pager.text.lines().count(), "lines");
    let title = format!("{}  {} chars, {lines}", pager.title, grouped(size as u64));
    let inner = popup(model, frame, area, &title);
    let shown = pager.lines.iter().skip(pager.top).take(usize::from(inner.height));
    let middle = pager.middle();
    for (row, line) in shown.enumerate() {
        let role = match line.as_bytes().first() {
            _ if middle == Some(pager.top + row) => Role::Strong,
            Some(b'-') if pager.is_diff => Role::Bad,
            Some(b'+') if pager.is_diff => Role::Good,
            _ => Role::Plain,
        };
        put(frame, inner, row, styled(model, role, text::sanitize(line).into_owned()));
    }
    if let Some(search) = &model.search {
        paint::matches(super::parts::theme(model), frame.buffer_mut(), inner, &search.pattern);
    }
}
