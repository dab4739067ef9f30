//! The last line: the keys that work here, or for a moment what there is to say.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{put, short, styled};
use crate::text;
use crate::ui::keymap::hints;
use crate::ui::model::Model;
use crate::ui::theme::Role;

/// The key line, or for a moment what there is to say.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
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
