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
    let width = usize::from(area.width);
    let mut spans = Vec::new();
    if let Some(notice) = &model.notice {
        let role = if notice.grave { Role::Held } else { Role::Accent };
        spans.push(styled(model, role, short(&format!(" {}", notice.text), width)));
    } else if let Some((typed, words)) = model.search_status().map(|it| it.typed).zip(search_words(model))
        && model.prompt.is_none()
    {
        spans.push(styled(model, Role::Accent, short(&format!(" /{typed}"), width / 3)));
        spans.push(styled(model, Role::Dim, format!("  {words} ")));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    if used == 0 {
        return put(frame, area, 0, key_line(model, width));
    }
    let rest = width.saturating_sub(used + 1);
    if rest >= 12 {
        spans.push(Span::raw(" "));
        spans.extend(key_line(model, rest).spans);
    }
    put(frame, area, 0, Line::from(spans));
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
