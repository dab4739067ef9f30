//! The last line, two in a narrow window: the keys that work here, and beside them for a moment what there is to say; above them where
//! both have no room.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use super::parts::{put, short, styled};
use super::prompt::search_words;
use crate::text;
use crate::ui::keymap::{hints, way_out, with_keys};
use crate::ui::model::tapes_screen::tape_title;
use crate::ui::model::{Model, age};
use crate::ui::theme::Role;

/// Cells of keys that stand beside what is said, if it is to stand beside them.
const KEYS: usize = 40;
/// Rows of what is said above them.
const ROWS: usize = 3;

/// What there is to say for a moment, and the keys for which there is room beside it.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    for (at, row) in key_rows(model, area.width, area.height).into_iter().enumerate() {
        put(frame, area, at, row.line(model));
    }
}

/// What there is to say for a moment, at the end of what lies above the keys, where there is no room beside them.
pub(super) fn draw_above(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let Some((text, role)) = notice(model).filter(|_| !is_beside(model, width)) else { return };
    let rows = text::in_rows(&text, width.saturating_sub(2), ROWS);
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { y: area.y + area.height - height, height, ..area };
    frame.render_widget(Clear, area);
    for (at, row) in rows.iter().enumerate() {
        put(frame, area, at, styled(model, role, format!(" {row}")));
    }
}

fn notice(model: &Model) -> Option<(String, Role)> {
    let Some(notice) = &model.notice else {
        return piping(model).or_else(|| reading(model)).or_else(|| reading_aside(model));
    };
    let text = with_keys(&model.settings.keys, &notice.text);
    Some((text::sanitize(&text).into_owned(), if notice.grave { Role::Held } else { Role::Accent }))
}

/// The command that reads a message, while it runs and nothing else is to be said.
fn piping(model: &Model) -> Option<(String, Role)> {
    let (pipe, age) = model.piped_for()?;
    let command = text::sanitize(&pipe.command);
    let words = match pipe.is_stopping {
        true => format!("`{command}` is being stopped"),
        false => {
            format!("`{command}` runs, {age}: {}", with_keys(&model.settings.keys, "`<piping pipe-stop>` stops it"))
        }
    };
    Some((words, Role::Accent))
}

/// How far a large tape is read that is to be played.
fn reading(model: &Model) -> Option<(String, Role)> {
    let (tape, read, of) = model.tapes.reading.as_ref()?;
    let (name, percent) = (tape_title(tape), (read * 100).checked_div(*of).unwrap_or(100).min(100));
    let key = with_keys(&model.settings.keys, "`<tapes stop>` stops that");
    let words = format!("{} is read to be played: {percent}% of {}; {key}", text::sanitize(&name), text::size(*of));
    Some((words, Role::Accent))
}

/// The tape that is about to answer clients, or is written to a file.
fn reading_aside(model: &Model) -> Option<(String, Role)> {
    if let Some(tape) = &model.tapes.to_be_served {
        return Some((format!("{} is read, to answer clients", text::sanitize(&tape_title(tape))), Role::Accent));
    }
    let (file, since) = model.exporting.as_ref()?;
    let age = age(model.now.0.saturating_sub(since.0));
    Some((format!("{} is being written, {age}", text::sanitize(file)), Role::Accent))
}

/// Whether what is said leaves room for keys in their line.
fn is_beside(model: &Model, width: usize) -> bool {
    let keys: usize = hints(model).iter().map(cells).sum();
    notice(model).is_none_or(|(text, _)| text::width(&text) + 3 + keys.min(KEYS) <= width)
}

/// What a hint needs.
fn cells((key, hint): &Hint) -> usize {
    text::width(key) + text::width(hint) + 3
}

/// The key whose hint stands there, counted from the first of the rows.
pub(crate) fn key_at(model: &Model, area: Rect, column: u16, row: u16) -> Option<&'static str> {
    let row = key_rows(model, area.width, area.height).into_iter().nth(usize::from(row))?;
    let mut end = row.begin() + 1;
    row.keys.iter().find_map(|hint| {
        let begin = end;
        end += cells(hint);
        (begin..end).contains(&usize::from(column)).then_some(hint.0)
    })
}

type Hint = (&'static str, &'static str);

/// One of the rows.
#[derive(Default)]
struct KeyRow {
    said: Vec<Span<'static>>,
    keys: Vec<Hint>,
}

impl KeyRow {
    /// Where the keys begin.
    fn begin(&self) -> usize {
        let used: usize = self.said.iter().map(Span::width).sum();
        if used == 0 { 0 } else { used + 1 }
    }

    fn line(self, model: &Model) -> Line<'static> {
        let gap = if self.said.is_empty() { " " } else { "  " };
        let keys = self.keys.into_iter().flat_map(|hint| hint_spans(model, hint));
        Line::from_iter(self.said.into_iter().chain([Span::raw(gap)]).chain(keys))
    }
}

fn key_rows(model: &Model, width: u16, height: u16) -> Vec<KeyRow> {
    let width = usize::from(width);
    let first = KeyRow { said: said(model, width), keys: Vec::new() };
    let rest = width.saturating_sub(first.begin() + 1);
    // Beside what is said, a key or two are none.
    let first_room = if first.said.is_empty() || rest >= 11 { rest } else { 0 };
    let rooms =
        std::iter::once(first_room).chain(std::iter::repeat_n(width.saturating_sub(1), usize::from(height) - 1));
    let (rooms, mut said): (Vec<usize>, _) = (rooms.collect(), vec![first]);
    if rooms == [0] {
        return said;
    }
    said.resize_with(rooms.len(), KeyRow::default);
    let keys = shown_keys(model, &rooms);
    said.into_iter().zip(keys).map(|(row, keys)| KeyRow { keys, ..row }).collect()
}

/// What there is to say for a moment, or what is searched for.
fn said(model: &Model, width: usize) -> Vec<Span<'static>> {
    if let Some((text, role)) = notice(model).filter(|_| is_beside(model, width)) {
        return vec![styled(model, role, format!(" {text}"))];
    }
    let status = model.search_status().map(|it| it.typed).zip(search_words(model));
    match status.filter(|_| model.prompt.is_none()) {
        Some((typed, words)) => vec![
            styled(model, Role::Accent, short(&format!(" /{typed}"), width / 3)),
            styled(model, Role::Dim, format!("  {words} ")),
        ],
        None => Vec::new(),
    }
}

/// What is shown in rows of so many cells: whole hints only, most useful first; the ways out and to the help always have their place.
fn shown_keys(model: &Model, rooms: &[usize]) -> Vec<Vec<Hint>> {
    let all = hints(model);
    let kept = |hint: &Hint| hint.1 == "help" || way_out(model).is_some_and(|key| hint.0 == key);
    let (kept, others): (Vec<Hint>, Vec<Hint>) = all.iter().partition(|hint| kept(hint));
    // In one row, if that has room for all.
    let whole = [rooms.first().copied().unwrap_or_default()];
    let (rows, rest) = in_rooms(&others, &kept, &whole);
    if rooms.len() < 2 || rest == 0 { rows } else { in_rooms(&others, &kept, rooms).0 }
}

/// Lays hints out, and these at the end of the last row; says how many had no room.
fn in_rooms(others: &[Hint], last: &[Hint], rooms: &[usize]) -> (Vec<Vec<Hint>>, usize) {
    let mut others = others.iter().copied().peekable();
    let mut rows: Vec<Vec<Hint>> = Vec::new();
    for (row, room) in rooms.iter().enumerate() {
        let reserved = if row + 1 == rooms.len() { last.iter().map(cells).sum() } else { 0 };
        let mut room = room.saturating_sub(reserved);
        rows.push(Vec::new());
        while let Some(hint) = others.next_if(|hint| cells(hint) <= room) {
            room -= cells(&hint);
            rows[row].push(hint);
        }
    }
    rows.last_mut().expect("there is a row").extend(last);
    (rows, others.count())
}

pub(super) fn hint_spans(model: &Model, (key, hint): (&'static str, &'static str)) -> [Span<'static>; 4] {
    [styled(model, Role::Accent, key), Span::raw(" "), styled(model, Role::Dim, hint), Span::raw("  ")]
}
