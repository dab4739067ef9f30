//! Small things that every view is made of.

use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::style::Style;
use ratatui::symbols::merge::MergeStrategy;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear};

use crate::event::Timestamp;
use crate::text;
use crate::ui::layout::bordered;
use crate::ui::model::Model;
use crate::ui::model::motion::window;
use crate::ui::theme::{Role, Theme};

pub(super) fn theme(model: &Model) -> Theme {
    Theme::of(&model.settings)
}

/// Text made safe, cut and filled up to exactly so many cells.
pub(super) fn cell(content: &str, width: usize) -> String {
    text::pad(&short(content, width), width)
}

/// Text made safe, cut and filled up to exactly so many cells, pushed to the right.
pub(super) fn right(content: &str, width: usize) -> String {
    let cut = short(content, width);
    let room = width.saturating_sub(text::width(&cut));
    " ".repeat(room) + &cut
}

/// Text made safe and cut. Looks at no more of a long text than can be seen.
pub(super) fn short(content: &str, width: usize) -> String {
    let enough = content.char_indices().nth(width * 4 + 8).map_or(content.len(), |(at, _)| at);
    text::fit(&text::sanitize(&content[..enough]), width)
}

/// A pane: a frame with a title to the left, and another to the right where there is room.
pub(super) fn pane<'a>(
    model: &Model,
    focused: bool,
    title: impl Into<Line<'a>>,
    aside: impl Into<Line<'a>>,
) -> Block<'a> {
    let theme = theme(model);
    let block = if bordered(model.viewport) {
        Block::bordered().merge_borders(MergeStrategy::Exact)
    } else {
        Block::new().borders(Borders::TOP)
    };
    block
        .border_set(theme.border())
        .border_style(theme.frame(focused))
        .title_top(title.into().left_aligned())
        .title_top(aside.into().right_aligned())
}

/// Draws a box over everything else; returns the area inside it.
pub(super) fn popup(model: &Model, frame: &mut Frame<'_>, area: Rect, title: &str) -> Rect {
    let theme = theme(model);
    let block =
        Block::bordered().border_set(theme.border()).border_style(theme.style(Role::Accent)).title_top(Line::styled(
            format!(" {} ", short(title, usize::from(area.width.saturating_sub(6)))),
            theme.style(Role::Strong),
        ));
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    inner
}

/// Where a list lies above the line that is typed in, with room for `most` of its rows at once.
pub(super) fn above_prompt(body: Rect, rows: usize, most: u16) -> Rect {
    let height = u16::try_from(rows).unwrap_or(u16::MAX).min(most).saturating_add(2).min(body.height);
    Rect { y: body.bottom() - height, width: body.width.min(84), height, ..body }
}

/// The row of such a list that stands there, where this one is chosen.
pub(super) fn row_above_prompt(body: Rect, rows: usize, most: u16, chosen: usize, at: Position) -> Option<usize> {
    let inner = above_prompt(body, rows, most).inner(Margin::new(1, 1));
    let row = window(0, chosen.min(rows.checked_sub(1)?), rows, usize::from(inner.height))
        + usize::from(at.y.checked_sub(inner.y)?);
    (inner.contains(at) && row < rows).then_some(row)
}

/// One line at a place, if that place is there.
pub(super) fn put<'a>(frame: &mut Frame<'_>, area: Rect, row: usize, line: impl Into<Line<'a>>) {
    let row = u16::try_from(row).unwrap_or(u16::MAX);
    if row < area.height {
        let area = Rect { y: area.y + row, height: 1, ..area };
        frame.render_widget(line.into(), area);
    }
}

/// A row of a list as it is under the cursor: marked in its blank margin; of its colours those stay that mean something.
pub(super) fn cursor_row(model: &Model, line: &Line<'_>, focused: bool, width: usize) -> Line<'static> {
    let text = text_of(line);
    let margin = [1, 0].into_iter().find(|margin| text.get(*margin..=*margin) == Some(" "));
    let role = if focused { Role::Cursor } else { Role::FaintCursor };
    let mut spans = cursor_spans(model, line, role, width);
    let mut before = 0;
    for span in &mut spans {
        if let Some(at) = margin.and_then(|margin| margin.checked_sub(before)).filter(|at| *at < span.content.len()) {
            span.content.to_mut().replace_range(at..=at, ">");
            break;
        }
        before += span.content.len();
    }
    Line::from(spans)
}

/// All of a row, filled up, as it is under the cursor.
fn cursor_spans(model: &Model, line: &Line<'_>, role: Role, width: usize) -> Vec<Span<'static>> {
    let theme = theme(model);
    let styled = |span: &Span<'_>| {
        Span::styled(span.content.clone().into_owned(), theme.under_cursor(line.style.patch(span.style), role))
    };
    let mut spans: Vec<_> = line.spans.iter().map(styled).collect();
    let rest = width.saturating_sub(spans.iter().map(Span::width).sum());
    spans.push(Span::styled(" ".repeat(rest), theme.style(role)));
    spans
}

/// A row as it is under the cursor, without a mark: for lists whose margin means something.
pub(super) fn cursor_line(model: &Model, line: &Line<'_>, width: usize) -> Line<'static> {
    Line::from(cursor_spans(model, line, Role::Cursor, width))
}

fn text_of(line: &Line<'_>) -> String {
    line.spans.iter().map(|span| span.content.as_ref()).collect()
}

pub(super) fn styled<'a>(model: &Model, role: Role, text: impl Into<std::borrow::Cow<'a, str>>) -> Span<'a> {
    Span::styled(text, style(model, role))
}

pub(super) fn style(model: &Model, role: Role) -> Style {
    theme(model).style(role)
}

/// Time of day, to the millisecond or to the second.
pub(super) fn clock(zone: &TimeZone, time: Timestamp, width: usize) -> String {
    let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
    let Ok(stamp) = jiff::Timestamp::from_microsecond(micros) else { return String::new() };
    let time = stamp.to_zoned(zone.clone()).time();
    let mut text = format!("{:02}:{:02}:{:02}.{:03}", time.hour(), time.minute(), time.second(), time.millisecond());
    text.truncate(width);
    text
}

/// Returns the day and second of a time, as `03-14 10:04:07`.
pub(super) fn day_and_second(zone: &TimeZone, time: Timestamp) -> String {
    let micros = i64::try_from(time.0).unwrap_or(i64::MAX);
    let Ok(stamp) = jiff::Timestamp::from_microsecond(micros) else { return String::new() };
    let then = stamp.to_zoned(zone.clone());
    let (hour, minute, second) = (then.hour(), then.minute(), then.second());
    format!("{:02}-{:02} {hour:02}:{minute:02}:{second:02}", then.month(), then.day())
}

/// Returns a number with its thousands set apart: `1204` as `1,204`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
