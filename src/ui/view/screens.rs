//! The bar of screens: which there are, by which key, and what waits on each.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{grouped, put, styled};
use crate::text;
use crate::ui::keymap::screens;
use crate::ui::model::{Model, ScreenKind};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let mut spans = Vec::new();
    for (screen, words, badge) in parts(model) {
        let role = if screen == model.screen { Role::Cursor } else { Role::Dim };
        spans.push(styled(model, role, words));
        spans.push(styled(model, Role::Held, badge));
        spans.push(Span::raw(" "));
    }
    put(frame, area, 0, Line::from(spans));
}

/// The screen whose name stands in a column of the bar.
pub(crate) fn screen_at(model: &Model, column: u16) -> Option<ScreenKind> {
    let mut end = 0;
    parts(model).into_iter().find_map(|(screen, words, badge)| {
        end += text::width(&words) + text::width(&badge) + 1;
        (usize::from(column) < end).then_some(screen)
    })
}

fn parts(model: &Model) -> Vec<(ScreenKind, String, String)> {
    screens(model).map(|(key, name, screen)| (screen, format!(" {key} {name} "), badge(model, screen))).collect()
}

/// What waits there, in as few cells as can be.
fn badge(model: &Model, screen: ScreenKind) -> String {
    let count = match screen {
        ScreenKind::Messages if model.screen != screen => model.live_unseen() as u64,
        ScreenKind::Queue => model.observed.held.len() as u64,
        ScreenKind::Events => model.log.unread as u64,
        _ => 0,
    };
    match screen {
        ScreenKind::Tapes if model.tapes.running() => "playing ".to_owned(),
        _ if count > 0 => format!("{} ", grouped(count)),
        _ => String::new(),
    }
}
