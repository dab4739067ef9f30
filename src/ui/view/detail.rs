//! One message in full.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::parts::{cell, cursor_line, pane, put, short, styled};
use super::status::duration;
use super::tapes::difference_lines;
use crate::envelope::{Envelope, Outcome};
use crate::event::Comparison;
use crate::message::Kind;
use crate::text;
use crate::ui::content::{PageRow, TextInk};
use crate::ui::diff::{DiffLine, Sign};
use crate::ui::json::{JsonCell, JsonRow};
use crate::ui::keymap::with_keys;
use crate::ui::layout::pictures;
use crate::ui::model::detail::DetailContent;
use crate::ui::model::observed::outcome_words;
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::{Model, Pane};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let edited = model.prompt.as_ref().is_some_and(|prompt| prompt.kind == PromptKind::Value);
    let focused = model.pane == Pane::Detail || edited;
    let tabs = tabs(model);
    let room = usize::from(area.width).saturating_sub(tabs.width() + 4);
    let title = model.detail.envelope().map_or_else(Line::default, |envelope| title(model, envelope, room));
    let block = pane(model, focused, title, tabs);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let lines = match model.detail.content() {
        None => vec![Line::from(styled(model, Role::Dim, " no message selected"))],
        Some(content) => content_lines(model, content, usize::from(inner.height), width),
    };
    for (at, line) in lines.into_iter().enumerate() {
        let under_cursor = focused && model.detail.top + at == model.detail.cursor;
        let line = if under_cursor { cursor_line(model, &line, width) } else { line };
        put(frame, inner, at, line);
    }
    for place in pictures(model, area) {
        for position in place.area.positions() {
            // A cell that is no longer so is under something else.
            frame.buffer_mut()[position].modifier.insert(Modifier::HIDDEN);
        }
    }
}

/// `#1191 result of #1189 · id 42 · 358ms · edited by you`, as much of it as fits.
fn title(model: &Model, envelope: &Envelope, room: usize) -> Line<'static> {
    let dot = super::parts::theme(model).glyphs().dot;
    let mut parts = vec![match &envelope.reply_to {
        _ if model.detail.is_draft() => format!("{} draft", envelope.seq),
        Some(to) => format!("{} {} of {}", envelope.seq, envelope.kind().word(), to.seq),
        None => format!("{} {}", envelope.seq, envelope.kind().word()),
    }];
    parts.extend(envelope.part_of.map(|began| format!("continues {began}")));
    if envelope.outcome != Outcome::Forwarded {
        parts.push(outcome_words(&envelope.outcome));
    }
    parts.extend(envelope.message.head().flaw.as_ref().map(ToString::to_string));
    parts.extend(envelope.message.id().map(|id| format!("id {}", id.display())));
    parts.extend(envelope.reply_to.as_ref().map(|to| duration(to.took)));
    parts.push(text::size(envelope.message.raw().len() as u64));
    let row = model.observed.sessions.get(envelope.session);
    parts.extend(row.map(|row| model.observed.sessions.title(row)));
    let mark = model.messages().0.mark(envelope.seq).filter(|mark| !mark.comment.is_empty());
    if let Some(mark) = mark {
        parts.insert(1, format!("; {}", text::sanitize(&mark.comment)));
    }
    let mut title = format!(" {}", parts[0]);
    for part in &parts[1..] {
        let part = format!(" {dot} {part}");
        if text::width(&title) + text::width(&part) < room {
            title.push_str(&part);
        }
    }
    let role = if envelope.kind() == Kind::Error { Role::Bad } else { Role::Strong };
    Line::from(styled(model, role, short(&title, room) + " "))
}

fn tabs(model: &Model) -> Line<'static> {
    let (tabs, current) = model.detail.tabs();
    let mut spans = Vec::new();
    for tab in tabs {
        if tab == current {
            spans.push(styled(model, Role::Accent, format!("[{}]", tab.title())));
        } else {
            spans.push(styled(model, Role::Dim, format!(" {} ", tab.title())));
        }
    }
    Line::from(spans)
}

/// The side whose name stands in a column of the frame's first line.
pub(crate) fn tab_at(model: &Model, area: Rect, column: u16) -> Option<usize> {
    let corner = u16::from(crate::ui::layout::bordered(model.viewport));
    let (tabs, _) = model.detail.tabs();
    let widths: Vec<usize> = tabs.iter().map(|tab| tab.title().len() + 2).collect();
    let right = usize::from(area.right().saturating_sub(corner));
    let mut end = right.checked_sub(widths.iter().sum())?;
    if usize::from(column) < end {
        return None;
    }
    widths.into_iter().position(|width| {
        end += width;
        usize::from(column) < end
    })
}

fn content_lines(model: &Model, content: &DetailContent, height: usize, width: usize) -> Vec<Line<'static>> {
    let range = model.detail.top..model.detail.top + height;
    match content {
        DetailContent::Tree(tree) => {
            tree.rows(&model.detail.folds, range).iter().map(|row| tree_row(model, row, width)).collect()
        }
        DetailContent::Page(page) => range.map_while(|row| page.row(row)).map(|row| page_row(model, row)).collect(),
        DetailContent::Lines(lines) => {
            let shown = range.map_while(|row| lines.row(row));
            shown.map(|line| Line::from(styled(model, Role::Plain, format!(" {}", short(line, width))))).collect()
        }
        DetailContent::Diff(lines) => {
            lines.iter().skip(range.start).take(height).map(|line| diff_line(model, line, width)).collect()
        }
        DetailContent::Shadow(comparison) => {
            let lines = shadow_heads(model, comparison, width).into_iter();
            let lines = lines.chain(difference_lines(model, &comparison.differences, width));
            lines.skip(range.start).take(height).collect()
        }
    }
}

fn page_row(model: &Model, row: &PageRow) -> Line<'static> {
    let PageRow::Words(spans) = row else { return Line::default() };
    let spans = spans.iter().map(|(ink, text)| {
        let text = if *ink == TextInk::Hint { hint(model, text) } else { text.clone() };
        Span::styled(text, ink_style(model, *ink))
    });
    Line::from_iter(std::iter::once(Span::raw(" ")).chain(spans))
}

/// The keys that write what is under the cursor, before what is said of them.
fn hint(model: &Model, text: &str) -> String {
    let Some(words) = text.strip_prefix("    ") else { return text.to_owned() };
    format!(" {}{words}", with_keys(&model.settings.keys, "<messages write> <write-menu write-value>"))
}

fn ink_style(model: &Model, ink: TextInk) -> Style {
    let of = |role| super::parts::style(model, role);
    match ink {
        TextInk::Plain => of(Role::Plain),
        TextInk::Strong => of(Role::Strong),
        TextInk::Emphasis => of(Role::Plain).add_modifier(Modifier::ITALIC),
        TextInk::Heading => of(Role::Accent),
        TextInk::Code => of(Role::JsonKey),
        TextInk::Link => of(Role::Plain).add_modifier(Modifier::UNDERLINED),
        TextInk::Dim | TextInk::Hint => of(Role::Dim),
        TextInk::Bad => of(Role::Bad),
    }
}

/// What is wrong, and how long both took.
fn shadow_heads(model: &Model, comparison: &Comparison, width: usize) -> [Line<'static>; 2] {
    let why = comparison.why.clone().unwrap_or_default();
    let took = |took: Option<u64>| took.map_or_else(|| "no reply".to_owned(), duration);
    let times = format!(" - primary {}   + shadow {}", took(comparison.took), took(comparison.shadow_took));
    [
        Line::from(styled(model, Role::Bad, short(&format!(" {why}"), width))),
        Line::from(styled(model, Role::Dim, short(&times, width))),
    ]
}

pub(super) fn diff_line(model: &Model, line: &DiffLine, width: usize) -> Line<'static> {
    let (sign, role) = match line.sign {
        Sign::Same => (" ", Role::Dim),
        Sign::Skipped => ("..", Role::Dim),
        Sign::Removed => ("-", Role::Bad),
        Sign::Added => ("+", Role::Good),
    };
    Line::from(styled(model, role, cell(&format!(" {sign} {}", line.text), width)))
}

fn tree_row(model: &Model, row: &JsonRow, width: usize) -> Line<'static> {
    let glyphs = super::parts::theme(model).glyphs();
    let fold = match (row.foldable, row.folded) {
        (false, _) => " ",
        (true, true) => glyphs.folded,
        (true, false) => glyphs.open,
    };
    let indent = " ".repeat(row.mark_cell());
    let mut spans = vec![Span::raw(indent), styled(model, Role::Dim, format!("{fold} "))];
    if let Some(key) = &row.key {
        spans.push(styled(model, Role::JsonKey, short(key, width)));
        spans.push(Span::raw("  "));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    spans.extend(value_spans(model, row, width.saturating_sub(used + 1)));
    let used: usize = spans.iter().map(Span::width).sum();
    if row.in_string && used + IN_STRING.len() < width {
        spans.push(styled(model, Role::Dim, IN_STRING));
    }
    Line::from(spans)
}

fn value_spans(model: &Model, row: &JsonRow, room: usize) -> Vec<Span<'static>> {
    let plain = |role, text: &str| vec![styled(model, role, short(text, room))];
    match &row.value {
        JsonCell::Object(0) => plain(Role::Dim, "{}"),
        JsonCell::Array(0) => plain(Role::Dim, "[]"),
        JsonCell::Object(len) if row.folded => plain(Role::Dim, &format!("{{{len}}}")),
        JsonCell::Array(len) => plain(Role::Dim, &format!("[{len}]")),
        JsonCell::Object(_) => Vec::new(),
        JsonCell::String { head, chars, lines } => string_spans(model, head, *chars, *lines, room),
        JsonCell::Number(number) => plain(Role::JsonNumber, number),
        JsonCell::Bool(value) => plain(Role::JsonWord, if *value { "true" } else { "false" }),
        JsonCell::Null => plain(Role::JsonWord, "null"),
        JsonCell::Text(text) => plain(Role::Plain, text),
    }
}

/// Behind a value that is the text of a string.
const IN_STRING: &str = "  JSON in a string";

/// The head of a string, and its true size where the head is not all.
fn string_spans(model: &Model, head: &str, chars: usize, lines: usize, room: usize) -> Vec<Span<'static>> {
    // The head is sanitized; it is all there is where it is as long as the string.
    if lines <= 1 && chars <= head.chars().count() && text::width(head) + 2 <= room {
        return vec![styled(model, Role::JsonString, format!("\"{head}\""))];
    }
    let count = super::parts::grouped(chars as u64);
    let size = if lines > 1 { format!(" ({count} chars, {lines} lines)") } else { format!(" ({count} chars)") };
    let head = short(head, room.saturating_sub(text::width(&size) + 2));
    vec![styled(model, Role::JsonString, format!("\"{head}\"")), styled(model, Role::Dim, size)]
}
