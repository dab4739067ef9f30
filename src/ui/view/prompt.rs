//! The line in which something is typed, and what is wrong with it.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::parts::{grouped, put, right, style, styled};
use crate::text;
use crate::ui::model::Model;
use crate::ui::model::prompt::{Prompt, PromptKind};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, prompt: &Prompt, frame: &mut Frame<'_>, area: Rect) {
    let label = format!(" {}", prompt.label());
    let mut spans = vec![styled(model, Role::Accent, label.clone())];
    spans.extend(typed(model, prompt));
    let note = note(model, prompt);
    let note_role = if prompt.error.is_some() { Role::Bad } else { Role::Dim };
    let used: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(area.width).saturating_sub(used + 1);
    if room > 4 {
        spans.push(styled(model, note_role, right(&note, room)));
    }
    put(frame, area, 0, Line::from(spans));
    let column = text::width(&label) + text::width(&text::sanitize(prompt.line.before_cursor()));
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, area.y));
}

/// What is typed, underlined from where it cannot be read.
fn typed(model: &Model, prompt: &Prompt) -> Vec<Span<'static>> {
    let text = prompt.line.text();
    let Some(error) = &prompt.error else {
        return vec![styled(model, Role::Plain, text::sanitize(text).into_owned())];
    };
    let at = text.char_indices().nth(error.column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let wrong = if at == text.len() { " ".to_owned() } else { text::sanitize(&text[at..]).into_owned() };
    vec![
        styled(model, Role::Plain, text::sanitize(&text[..at]).into_owned()),
        Span::styled(wrong, style(model, Role::Bad).add_modifier(Modifier::UNDERLINED)),
    ]
}

fn note(model: &Model, prompt: &Prompt) -> String {
    let (rows, list) = model.messages();
    match (&prompt.error, prompt.kind) {
        (Some(error), _) => format!("{} at column {}", error.why, error.column),
        (None, PromptKind::Filter) => {
            let scan = list.scanned(rows).map(|percent| format!("  scanning {percent}%")).unwrap_or_default();
            format!("{} of {}{scan}", grouped(list.len(rows) as u64), grouped(rows.len() as u64))
        }
        (None, PromptKind::Hold) => "holds requests and replies that match".to_owned(),
        (None, PromptKind::Goto) => "number of a message".to_owned(),
    }
}
