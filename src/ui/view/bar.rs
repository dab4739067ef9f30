//! The last lines: what is being typed, and the keys that work here.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::parts::{grouped, put, right, short, style, styled};
use crate::text;
use crate::ui::keys::hints;
use crate::ui::model::Model;
use crate::ui::model::bar::{Asked, Bar};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, bar: &Bar, frame: &mut Frame<'_>, area: Rect) {
    let label = format!(" {}", bar.label());
    let mut spans = vec![styled(model, Role::Accent, label.clone())];
    spans.extend(typed(model, bar));
    let note = note(model, bar);
    let note_role = if bar.error.is_some() { Role::Bad } else { Role::Dim };
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(area.width).saturating_sub(used + 1);
    if room > 4 {
        spans.push(styled(model, note_role, right(&note, room)));
    }
    put(frame, area, 0, Line::from(spans));
    let column = text::width(&label) + text::width(&text::sanitize(bar.line.before_cursor()));
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, area.y));
}

/// What is typed, underlined from where it cannot be read.
fn typed(model: &Model, bar: &Bar) -> Vec<Span<'static>> {
    let text = bar.line.text();
    let Some(error) = &bar.error else {
        return vec![styled(model, Role::Plain, text::sanitize(text).into_owned())];
    };
    let at = text.char_indices().nth(error.column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let wrong = if at == text.len() { " ".to_owned() } else { text::sanitize(&text[at..]).into_owned() };
    vec![
        styled(model, Role::Plain, text::sanitize(&text[..at]).into_owned()),
        Span::styled(wrong, style(model, Role::Bad).add_modifier(Modifier::UNDERLINED)),
    ]
}

fn note(model: &Model, bar: &Bar) -> String {
    let (rows, list) = model.book();
    match (&bar.error, bar.asked) {
        (Some(error), _) => format!("{} at column {}", error.why, error.column),
        (None, Asked::Filter) => {
            let scan = list.scanned(rows).map(|percent| format!("  scanning {percent}%")).unwrap_or_default();
            format!("{} of {}{scan}", grouped(list.len(rows) as u64), grouped(rows.len() as u64))
        }
        (None, Asked::Hold) => "holds requests and replies that match".to_owned(),
        (None, Asked::Goto) => "number of a message".to_owned(),
    }
}

/// The key line, or for a moment what there is to say.
pub(super) fn draw_keys(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if let Some(notice) = &model.notice {
        let role = if notice.grave { Role::Held } else { Role::Accent };
        return put(frame, area, 0, styled(model, role, short(&format!(" {}", notice.text), usize::from(area.width))));
    }
    put(frame, area, 0, key_line(model, usize::from(area.width)));
}

/// Whole hints only, most useful first; the way to the help always has its place.
fn key_line(model: &Model, width: usize) -> Line<'static> {
    let all = hints(model);
    let cells = |(key, hint): &(&str, &str)| text::width(key) + text::width(hint) + 3;
    let help = all.iter().find(|(key, _)| *key == "?");
    let mut room = width.saturating_sub(1 + help.map_or(0, cells));
    let mut spans = vec![Span::raw(" ")];
    for hint in all.iter().filter(|hint| Some(*hint) != help) {
        if cells(hint) > room {
            break;
        }
        room -= cells(hint);
        spans.extend(hint_spans(model, *hint));
    }
    spans.extend(help.into_iter().flat_map(|help| hint_spans(model, *help)));
    Line::from(spans)
}

pub(super) fn hint_spans(model: &Model, (key, hint): (&'static str, &'static str)) -> [Span<'static>; 4] {
    [styled(model, Role::Accent, key), Span::raw(" "), styled(model, Role::Dim, hint), Span::raw("  ")]
}
