//! The last line: the keys that work here, or for a moment what there is to say.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{put, short, styled};
use super::prompt::search_words;
use crate::text;
use crate::ui::keymap::hints;
use crate::ui::model::Model;
use crate::ui::theme::Role;

/// What there is to say for a moment, and the keys for which there is room beside it.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    put(frame, area, 0, whole_line(model, usize::from(area.width)).0);
}

/// The key whose hint stands in a column of the line.
pub(crate) fn key_at(model: &Model, width: u16, column: u16) -> Option<&'static str> {
    let (_, begin, keys) = whole_line(model, usize::from(width));
    let mut end = begin + 1;
    keys.into_iter().find_map(|(key, hint)| {
        end += text::width(key) + text::width(hint) + 3;
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
    if let Some(notice) = &model.notice {
        let role = if notice.grave { Role::Held } else { Role::Accent };
        return vec![styled(model, role, short(&format!(" {}", notice.text), width))];
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
    let cells = |(key, hint): &(&str, &str)| text::width(key) + text::width(hint) + 3;
    let help = all.iter().find(|(_, hint)| *hint == "help").copied();
    let mut room = width.saturating_sub(1 + help.as_ref().map_or(0, cells));
    let mut shown = Vec::new();
    for hint in all.iter().filter(|hint| Some(**hint) != help) {
        if cells(hint) > room {
            break;
        }
        room -= cells(hint);
        shown.push(*hint);
    }
    shown.extend(help);
    shown
}

pub(super) fn hint_spans(model: &Model, (key, hint): (&'static str, &'static str)) -> [Span<'static>; 4] {
    [styled(model, Role::Accent, key), Span::raw(" "), styled(model, Role::Dim, hint), Span::raw("  ")]
}
