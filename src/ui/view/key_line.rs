//! The last line: the keys that work here, and beside them for a moment what there is to say; above them where both have no room.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use super::parts::{put, short, styled};
use super::prompt::search_words;
use crate::text;
use crate::ui::keymap::{hints, with_keys};
use crate::ui::model::Model;
use crate::ui::theme::Role;

/// Cells of keys that stand beside what is said, if it is to stand beside them.
const KEYS: usize = 40;
/// Rows of what is said above them.
const ROWS: usize = 3;

/// What there is to say for a moment, and the keys for which there is room beside it.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    put(frame, area, 0, whole_line(model, usize::from(area.width)).0);
}

/// What there is to say for a moment, at the end of what lies above the keys, where there is no room beside them.
pub(super) fn draw_above(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let Some((text, role)) = notice(model).filter(|_| !is_beside(model, width)) else { return };
    let rows = in_rows(&text, width.saturating_sub(2));
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { y: area.y + area.height - height, height, ..area };
    frame.render_widget(Clear, area);
    for (at, row) in rows.iter().enumerate() {
        put(frame, area, at, styled(model, role, format!(" {row}")));
    }
}

/// A text in a few rows, broken between words.
fn in_rows(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        let has_room = rows.len() < ROWS;
        let row = rows.last_mut().expect("there is one");
        let is_full = !row.is_empty() && text::width(row) + 1 + text::width(word) > width;
        if is_full && has_room {
            rows.push(word.to_owned());
        } else if row.is_empty() {
            row.push_str(word);
        } else {
            *row += " ";
            *row += word;
        }
    }
    rows.iter().map(|row| short(row, width)).collect()
}

fn notice(model: &Model) -> Option<(String, Role)> {
    let notice = model.notice.as_ref()?;
    let text = with_keys(&model.settings.keys, &notice.text);
    Some((text::sanitize(&text).into_owned(), if notice.grave { Role::Held } else { Role::Accent }))
}

/// Whether what is said leaves room for keys in their line.
fn is_beside(model: &Model, width: usize) -> bool {
    let keys: usize = hints(model).iter().map(cells).sum();
    notice(model).is_none_or(|(text, _)| text::width(&text) + 3 + keys.min(KEYS) <= width)
}

/// What a hint needs.
fn cells((key, hint): &(&str, &str)) -> usize {
    text::width(key) + text::width(hint) + 3
}

/// The key whose hint stands in a column of the line.
pub(crate) fn key_at(model: &Model, width: u16, column: u16) -> Option<&'static str> {
    let (_, begin, keys) = whole_line(model, usize::from(width));
    let mut end = begin + 1;
    keys.into_iter().find_map(|(key, hint)| {
        end += cells(&(key, hint));
        (usize::from(column) > begin && usize::from(column) < end).then_some(key)
    })
}

/// The line, where the keys begin in it, and which they are.
fn whole_line(model: &Model, width: usize) -> (Line<'static>, usize, Vec<(&'static str, &'static str)>) {
    let mut spans = said(model, width);
    let used: usize = spans.iter().map(Span::width).sum();
    let begin = if used == 0 { 0 } else { used + 1 };
    let rest = width.saturating_sub(begin);
    if used > 0 && rest < 12 {
        return (Line::from(spans), width, Vec::new());
    }
    if used > 0 {
        spans.push(Span::raw(" "));
    }
    let keys = shown_keys(model, rest);
    spans.push(Span::raw(" "));
    spans.extend(keys.iter().flat_map(|hint| hint_spans(model, *hint)));
    (Line::from(spans), begin, keys)
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

/// Whole hints only, most useful first; the way to the help always has its place.
fn shown_keys(model: &Model, width: usize) -> Vec<(&'static str, &'static str)> {
    let all = hints(model);
    let help = all.iter().find(|(_, hint)| *hint == "help").copied();
    let mut room = width.saturating_sub(1 + help.as_ref().map_or(0, cells));
    let mut shown = Vec::new();
    for hint in all.iter().filter(|hint| Some(**hint) != help) {
        let Some(rest) = room.checked_sub(cells(hint)) else { break };
        room = rest;
        shown.push(*hint);
    }
    shown.extend(help);
    shown
}

pub(super) fn hint_spans(model: &Model, (key, hint): (&'static str, &'static str)) -> [Span<'static>; 4] {
    [styled(model, Role::Accent, key), Span::raw(" "), styled(model, Role::Dim, hint), Span::raw("  ")]
}
