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
    for tab in tabs(model, usize::from(area.width)) {
        let role = if tab.screen == model.screen { Role::Cursor } else { Role::Dim };
        spans.push(styled(model, role, tab.words));
        spans.push(styled(model, Role::Held, tab.badge));
        spans.push(Span::raw(" "));
    }
    put(frame, area, 0, Line::from(spans));
}

/// The screen whose name stands in a column of the bar.
pub(crate) fn screen_at(model: &Model, width: u16, column: u16) -> Option<ScreenKind> {
    let mut end = 0;
    tabs(model, usize::from(width)).into_iter().find_map(|tab| {
        end += tab.width();
        (usize::from(column) < end).then_some(tab.screen)
    })
}

struct ScreenTab {
    screen: ScreenKind,
    words: String,
    badge: String,
}

impl ScreenTab {
    fn width(&self) -> usize {
        text::width(&self.words) + text::width(&self.badge) + 1
    }
}

/// How much is said of each screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TabForm {
    Spaced,
    Dense,
    /// A name only for the screen that is shown, and for those where something waits.
    Keys,
}

/// All of them, said as fully as there is room.
fn tabs(model: &Model, width: usize) -> Vec<ScreenTab> {
    let of =
        |form| -> Vec<_> { screens(model).map(|(key, name, screen)| tab(model, key, name, screen, form)).collect() };
    let fits = |tabs: &Vec<ScreenTab>| tabs.iter().map(ScreenTab::width).sum::<usize>() <= width + 1;
    [TabForm::Spaced, TabForm::Dense].into_iter().map(of).find(fits).unwrap_or_else(|| of(TabForm::Keys))
}

fn tab(model: &Model, key: &str, name: &str, screen: ScreenKind, form: TabForm) -> ScreenTab {
    let badge = badge(model, screen);
    let name = if form == TabForm::Dense && screen == ScreenKind::Messages { "msgs" } else { name };
    let (words, badge) = match form {
        TabForm::Spaced => (format!(" {key} {name} "), badge),
        TabForm::Keys if screen != model.screen && badge.is_empty() => (key.to_owned(), badge),
        // What belongs together stands together.
        TabForm::Dense | TabForm::Keys if badge.is_empty() => (format!("{key} {name}"), badge),
        TabForm::Dense | TabForm::Keys => (format!("{key} {name} "), badge.trim_end().to_owned()),
    };
    ScreenTab { screen, words, badge }
}

/// What waits there, in as few cells as can be.
fn badge(model: &Model, screen: ScreenKind) -> String {
    let count = match screen {
        ScreenKind::Messages if model.screen != screen => model.live_unseen() as u64,
        ScreenKind::Queue => model.observed.awaiting(model.now).count() as u64,
        ScreenKind::Events => model.log.unread as u64,
        _ => 0,
    };
    match screen {
        ScreenKind::Tapes if model.tapes.running() => "playing ".to_owned(),
        _ if count > 0 => format!("{} ", grouped(count)),
        _ => String::new(),
    }
}
