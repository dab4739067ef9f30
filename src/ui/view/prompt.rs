//! The line in which something is typed, and what is wrong with it.

use std::ops::Range;

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::parts::{grouped, put, right, short, style, styled};
use crate::text;
use crate::ui::model::Model;
use crate::ui::model::prompt::{Prompt, PromptKind};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, prompt: &Prompt, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let label = format!(" {}", short(&prompt.label(), width / 2));
    let mut spans = vec![styled(model, Role::Accent, label.clone())];
    // What is wrong may just have been said, in full.
    let is_said = |note: &String| model.notice.as_ref().is_some_and(|notice| notice.text == *note);
    let note = Some(note(model, prompt)).filter(|note| !is_said(note)).unwrap_or_default();
    let note_role = note_role(prompt);
    // What is typed has most of the line; what is known of it has the rest, and what speaks against it is always seen.
    let reserved = if note_role == Role::Dim { 0 } else { (text::width(&note) + 2).min(width / 2) };
    let room = width.saturating_sub(text::width(&label) + 1 + reserved);
    let (before, after) = (prompt.line.before_cursor(), prompt.line.after_cursor());
    let from = before.len() - kept(before.chars().rev(), room);
    let column = text::width(&text::sanitize(&before[from..]));
    let to = before.len() + kept(after.chars(), room.saturating_sub(column));
    spans.extend(typed(model, prompt, from..to));
    let used: usize = spans.iter().map(Span::width).sum();
    let left = width.saturating_sub(used + 1);
    if left > 4 {
        spans.push(styled(model, note_role, right(&format!("  {note}"), left)));
    }
    put(frame, area, 0, Line::from(spans));
    let column = u16::try_from(text::width(&label) + column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position(Position::new(area.x + column, area.y));
}

/// Wrong, warned of, or only to be known.
fn note_role(prompt: &Prompt) -> Role {
    match is_wrong(prompt) {
        true => Role::Bad,
        false if prompt.value.as_ref().is_some_and(|value| value.warning().is_some()) => Role::Held,
        false => Role::Dim,
    }
}

/// How many bytes of these characters are shown in so many cells: of a text of megabytes, no others are looked at.
fn kept(chars: impl Iterator<Item = char>, mut room: usize) -> usize {
    let fits = |c: &char| {
        let cells = text::width(&text::sanitize(c.encode_utf8(&mut [0; 4])));
        let fits = cells <= room;
        room = room.saturating_sub(cells);
        fits
    };
    chars.take_while(fits).map(char::len_utf8).sum()
}

/// How many matches there are, and which the cursor is on.
pub(super) fn search_words(model: &Model) -> Option<String> {
    let status = model.search_status()?;
    let count = grouped(status.count as u64);
    let more = if status.done { "" } else { ", searching" };
    Some(match (status.at, status.count) {
        (Some(at), _) => format!("{} of {count}{more}", grouped(at as u64)),
        (None, 0) if status.done => "not found".to_owned(),
        (None, 1) => format!("1 match{more}"),
        (None, _) => format!("{count} matches{more}"),
    })
}

fn is_wrong(prompt: &Prompt) -> bool {
    let value = prompt.value.as_ref();
    prompt.error.is_some()
        || prompt.fault.is_some()
        || value.is_some_and(|value| value.token(prompt.line.text()).is_err())
}

/// What is typed, as far as it is `shown`, underlined from where it cannot be read.
fn typed(model: &Model, prompt: &Prompt, shown: Range<usize>) -> Vec<Span<'static>> {
    let text = prompt.line.text();
    let safe = |range: Range<usize>| text::sanitize(&text[range]).into_owned();
    let Some(error) = &prompt.error else {
        let role = if prompt.line.is_selected() { Role::Cursor } else { Role::Plain };
        return vec![styled(model, role, safe(shown))];
    };
    let at = text.char_indices().nth(error.column.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    let wrong = if at == text.len() { " ".to_owned() } else { safe(at.clamp(shown.start, shown.end)..shown.end) };
    vec![
        styled(model, Role::Plain, safe(shown.start..at.clamp(shown.start, shown.end))),
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
        (None, PromptKind::Comment) => "found by `~comment`; an empty line removes it".to_owned(),
        (None, PromptKind::TapeName) => "a word, without directory and ending".to_owned(),
        (None, PromptKind::TapeNote) => "written onto the tape; `tapline tape show` has it".to_owned(),
        (None, PromptKind::Pipe) => "such as `jq .params`; what it prints is shown".to_owned(),
        (None, PromptKind::Command) => "a command, a number, or a path such as `.params`".to_owned(),
        (None, PromptKind::Search) => match &prompt.fault {
            Some(why) => why.clone(),
            None => search_words(model).unwrap_or_else(|| "text; `\\r` first for an expression".to_owned()),
        },
        (None, PromptKind::Value) => match &prompt.value {
            Some(value) => value.note(prompt.line.text()),
            None => String::new(),
        },
    }
}
