//! Two tapes side by side: in the first column what differs, in the next two how it is on either tape.

use std::borrow::Cow;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{cell, cursor_row, grouped, pane, put, right, short, style, styled, theme};
use super::status::duration;
use crate::envelope::Seq;
use crate::event::{ChangeKind, Difference, TimingChange};
use crate::text;
use crate::ui::keymap::with_keys;
use crate::ui::layout::compared_text_rows;
use crate::ui::model::Model;
use crate::ui::model::compare_screen::{CompareRow, ShownComparison, ValueOwner, call_words};
use crate::ui::model::summary::plural;
use crate::ui::theme::Role;

/// The widths of the three columns.
struct Columns {
    what: usize,
    sides: [usize; 2],
}

impl Columns {
    fn of(width: usize) -> Self {
        let what = width * 2 / 5;
        let left = (width - what) / 2;
        Self { what, sides: [left, width - what - left] }
    }
}

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(shown) = &model.compare.shown else { return };
    let block = pane(model, true, styled(model, Role::Strong, " Two tapes "), aside(model, shown));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let columns = Columns::of(width);
    put(frame, inner, 0, Line::styled(head(shown, &columns), style(model, Role::Dim)));
    if shown.rows.is_empty() {
        let (role, words) = empty(shown);
        let words = with_keys(&model.settings.keys, &words);
        for (at, line) in wrapped(&words, width).into_iter().enumerate() {
            put(frame, inner, 1 + at, styled(model, role, line));
        }
        return;
    }
    let below = compared_text_rows(inner);
    let rows = usize::from(inner.height).saturating_sub(1 + below);
    for (line, (at, row)) in shown.rows.iter().enumerate().skip(shown.place.top).take(rows).enumerate() {
        let mut cells = row_line(model, shown, *row, &columns);
        if at == shown.place.cursor {
            cells = cursor_row(model, &cells, true, width);
        }
        put(frame, inner, line + 1, cells);
    }
    if below > 0 {
        draw_value(model, shown, frame, inner, rows + 1);
    }
}

fn head(shown: &ShownComparison, columns: &Columns) -> String {
    let [left, right] = shown.titles();
    let sides = [(columns.sides[0], format!("- {left}")), (columns.sides[1], format!("+ {right}"))];
    // A blank between the two, however long they are.
    let named = |name: &str, width: usize| text::fit_ends(&text::sanitize(name), width.saturating_sub(1));
    let sides = sides.map(|(width, name)| cell(&named(&name, width), width)).concat();
    cell(" what differs", columns.what) + &sides
}

/// How much is the same and how much is not.
fn aside(model: &Model, shown: &ShownComparison) -> Line<'static> {
    let Some(diff) = shown.diff() else { return Line::default() };
    let count = |number: usize| grouped(number as u64);
    let calls = if diff.same == 1 { "call" } else { "calls" };
    let mut spans = vec![styled(model, Role::Good, format!(" {} {calls} same, ", count(diff.same)))];
    spans.push(styled(model, Role::Held, format!("{} differ", count(diff.calls.len()))));
    if !diff.definitions.is_empty() {
        spans.push(styled(model, Role::Bad, format!(", {}", plural(diff.definitions.len(), "definitions"))));
    }
    if !diff.excused.is_empty() && model.viewport.width >= 80 {
        let values = plural(diff.excused.len(), "values");
        spans.push(styled(model, Role::Dim, format!(", {values} as from run to run")));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

fn empty(shown: &ShownComparison) -> (Role, String) {
    match (shown.runs(), shown.fault()) {
        (true, _) => (Role::Dim, " comparing; `<compared back>` stops".to_owned()),
        (false, Some(why)) => (Role::Bad, format!(" {why}")),
        (false, None) => (Role::Good, " nothing differs, but for what changes from run to run".to_owned()),
    }
}

fn wrapped(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text::sanitize(words).split_inclusive(' ') {
        let last = lines.last_mut().expect("one at least");
        if text::width(last) + text::width(word.trim_end()) > width && !last.trim().is_empty() {
            lines.push(format!(" {word}"));
        } else {
            last.push_str(word);
        }
    }
    lines
}

fn sign(kind: ChangeKind) -> (char, Role) {
    match kind {
        ChangeKind::Added => ('+', Role::Good),
        ChangeKind::Removed => ('-', Role::Bad),
        ChangeKind::Changed => ('~', Role::Held),
    }
}

fn row_line(model: &Model, shown: &ShownComparison, row: CompareRow, columns: &Columns) -> Line<'static> {
    let line = match row {
        CompareRow::Problem { side, at } => Some(problem_line(model, shown, (side, at), columns)),
        CompareRow::Definition(at) => shown.definition(at).map(|it| {
            let within = if it.within { ", while the session went on" } else { "" };
            change_line(model, it.kind, &format!("{} {}{within}", it.what, it.name), [None, None], columns)
        }),
        CompareRow::Call(at) => {
            shown.call(at).map(|it| change_line(model, it.kind, &call_words(it), [it.left, it.right], columns))
        }
        CompareRow::Value { of, at } => value_line(model, shown, (of, at), columns),
        CompareRow::Timing(at) => {
            shown.diff().and_then(|diff| diff.timings.get(at)).map(|it| timing_line(model, it, columns))
        }
    };
    line.unwrap_or_default()
}

/// A call or a definition; of a call its number on either tape.
fn change_line(
    model: &Model,
    kind: ChangeKind,
    what: &str,
    numbers: [Option<Seq>; 2],
    columns: &Columns,
) -> Line<'static> {
    let (sign, role) = sign(kind);
    let there = [kind != ChangeKind::Added, kind != ChangeKind::Removed];
    let side = |side: usize| match (numbers[side], there[side]) {
        (Some(seq), _) => seq.to_string(),
        (None, true) => "there".to_owned(),
        (None, false) => "not there".to_owned(),
    };
    let mut spans = vec![
        styled(model, role, format!(" {sign} ")),
        styled(model, Role::Strong, cell(what, columns.what.saturating_sub(4)) + " "),
    ];
    for at in [0, 1] {
        let role = if there[at] { Role::Accent } else { Role::Dim };
        spans.push(styled(model, role, cell(&side(at), columns.sides[at])));
    }
    Line::from(spans)
}

fn value_line(
    model: &Model,
    shown: &ShownComparison,
    (of, at): (ValueOwner, usize),
    columns: &Columns,
) -> Option<Line<'static>> {
    let value = shown.value(of, at)?;
    let room = columns.what.saturating_sub(6);
    let mut spans =
        vec![Span::raw("     "), styled(model, Role::JsonKey, text::pad(&end_of(&value.path, room), room) + " ")];
    let Difference { expected, got, .. } = value;
    let sides = [('-', Role::Bad, expected, got), ('+', Role::Good, got, expected)];
    for (width, (sign, role, value, other)) in columns.sides.into_iter().zip(sides) {
        let words = format!("{sign} {}", told(value, other, width));
        spans.push(styled(model, role, cell(&words, width.saturating_sub(1)) + " "));
    }
    Some(Line::from(spans))
}

/// A value where it is another than that of the other side.
fn told<'v>(value: &'v Option<String>, other: &Option<String>, width: usize) -> Cow<'v, str> {
    value.as_deref().map_or(Cow::Borrowed("nothing"), |it| text::from_parting(it, other.as_deref(), width))
}

/// The end of a path, which tells more than its beginning.
fn end_of(path: &str, width: usize) -> String {
    let path = text::sanitize(path);
    if text::width(&path) <= width {
        return path.into_owned();
    }
    let mut end = String::new();
    for c in path.chars().rev() {
        if text::width(&end) + text::width(c.encode_utf8(&mut [0; 4])) + 2 > width {
            break;
        }
        end.insert(0, c);
    }
    format!("..{end}")
}

fn timing_line(model: &Model, timing: &TimingChange, columns: &Columns) -> Line<'static> {
    let (word, role) = if timing.is_slower() { ("slower", Role::Bad) } else { ("faster", Role::Good) };
    let side = |took: u64, calls: usize, width: usize| {
        let took = right(&duration(took), 7);
        cell(&format!("{took} median of {}", grouped(calls as u64)), width)
    };
    Line::from(vec![
        styled(model, role, format!(" t {word} ")),
        styled(model, Role::Strong, cell(&timing.subject, columns.what.saturating_sub(11)) + " "),
        styled(model, Role::Plain, side(timing.left, timing.calls.0, columns.sides[0])),
        styled(model, Role::Plain, side(timing.right, timing.calls.1, columns.sides[1])),
    ])
}

fn problem_line(
    model: &Model,
    shown: &ShownComparison,
    (side, at): (usize, usize),
    columns: &Columns,
) -> Line<'static> {
    let why = shown.problem(side, at);
    let mut spans = vec![styled(model, Role::Held, cell(" ! not compared", columns.what))];
    if side == 1 {
        spans.push(Span::raw(" ".repeat(columns.sides[0])));
    }
    let room = if side == 0 { columns.sides[0] + columns.sides[1] } else { columns.sides[1] };
    spans.push(styled(model, Role::Held, short(why, room)));
    Line::from(spans)
}

/// The value under the cursor, with its whole path.
fn draw_value(model: &Model, shown: &ShownComparison, frame: &mut Frame<'_>, area: Rect, from: usize) {
    let width = usize::from(area.width);
    put(frame, area, from, styled(model, Role::Dim, theme(model).glyphs().line.repeat(width)));
    let Some(value) = shown.selected_value() else {
        let words = match shown.selected() {
            Some(CompareRow::Call(_)) => {
                let words = " `<compared open>` opens the tape at this call, `<compared pair>` the first tape";
                &with_keys(&model.settings.keys, words)
            }
            Some(CompareRow::Problem { side, at }) => {
                &format!(" {}: {}", shown.titles()[side], shown.problem(side, at))
            }
            Some(CompareRow::Timing(_)) => " beyond chance: the times of all calls of that name, by rank",
            _ => "",
        };
        return put(frame, area, from + 1, styled(model, Role::Dim, short(words, width)));
    };
    let Difference { path, expected, got } = value;
    let side = |sign: &str, value: &Option<String>, other: &Option<String>| {
        short(&format!("   {sign} {}", told(value, other, width)), width)
    };
    put(frame, area, from + 1, styled(model, Role::JsonKey, short(&format!(" {path}"), width)));
    put(frame, area, from + 2, styled(model, Role::Bad, side("-", expected, got)));
    put(frame, area, from + 3, styled(model, Role::Good, side("+", got, expected)));
}
