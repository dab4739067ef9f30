//! Tapes to the left; to the right what one is, or how its replay goes.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::parts::{cell, cursor_row, day_and_minute, grouped, pane, put, right, short, style, styled, theme};
use super::status::duration;
use crate::event::{Difference, StepReport, StepVerdict, TapeInfo};
use crate::text;
use crate::ui::keymap::with_keys;
use crate::ui::layout::step_rows;
use crate::ui::model::session_list::upstream_name;
use crate::ui::model::tapes_screen::{ReplayRun, tape_title};
use crate::ui::model::{Model, Pane};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::List;
    let tapes = &model.tapes;
    let count = tapes.list.as_ref().map_or(String::new(), |list| format!("{} ", list.len()));
    let order = tapes.order_words().map(|order| styled(model, Role::Accent, format!("{order} ")));
    let title = Line::from_iter([styled(model, Role::Strong, format!(" Tapes {count}"))].into_iter().chain(order));
    let pace = styled(model, Role::Dim, format!(" pace {} ", tapes.speed_words()));
    let block = pane(model, focused, title, Line::from(pace));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let Some(list) = tapes.list.as_ref().filter(|list| !list.is_empty()) else {
        let words = if tapes.list.is_some() { " no tape yet: sessions record here" } else { " looking for tapes" };
        return put(frame, inner, 0, styled(model, Role::Dim, short(words, width)));
    };
    let facts = tapes.selected().map_or_else(Vec::new, |tape| tape_facts(model, tape, width));
    let room = usize::from(inner.height).saturating_sub(if inner.height > 12 { facts.len() + 1 } else { 0 });
    let top = crate::ui::model::motion::window(tapes.place.top, tapes.place.cursor, list.len(), room);
    for (line, (at, tape)) in list.iter().enumerate().skip(top).take(room).enumerate() {
        let mut cells = tape_line(model, (at, tape), width);
        if at == tapes.place.cursor {
            cells = cursor_row(model, &cells, focused, width);
        }
        put(frame, inner, line, cells);
    }
    if room < usize::from(inner.height) {
        for (at, line) in facts.into_iter().enumerate() {
            put(frame, inner, room + 1 + at, line);
        }
    }
}

fn tape_line(model: &Model, (at, tape): (usize, &TapeInfo), width: usize) -> Line<'static> {
    // Who it is of, where there is room for that.
    let peers = if width >= 64 { (width - 16) * 55 / 100 } else { 0 };
    let client = tape.client.as_ref().map(|peer| peer.name.clone()).unwrap_or_default();
    let server = upstream_name(&tape.upstream);
    let name = cell(&(branch_sign(model, at, tape) + &tape_name(model, tape)), width.saturating_sub(16 + peers));
    let role = if tape.problems.is_empty() { Role::Plain } else { Role::Held };
    let is_marked = model.compare.marked.as_ref() == Some(&tape.path);
    let mut spans = vec![styled(model, role, format!("{}{name}", if is_marked { '*' } else { ' ' }))];
    if peers > 0 {
        let half = peers * 2 / 5;
        spans.push(styled(model, Role::Accent, format!(" {}", cell(&client, half - 1))));
        spans.push(styled(model, Role::Dim, format!(" {}", cell(server, peers - half - 1))));
    }
    spans.push(styled(model, Role::Dim, right(&grouped(tape.messages), 8)));
    spans.push(styled(model, Role::Dim, right(&text::size(tape.bytes), 6) + " "));
    Line::from(spans)
}

/// Where it left another tape, which stands above it, unless that is not here.
fn branch_sign(model: &Model, at: usize, tape: &TapeInfo) -> String {
    let Some(parent) = tape.parent else { return String::new() };
    let corner = if model.settings.ascii { "`-" } else { "└" };
    match model.tapes.depths.get(at).copied().unwrap_or_default() {
        0 => format!("from {} of {} (gone) ", parent.seq, parent.session.short()),
        depth => format!("{}{corner} from {} ", "  ".repeat(depth.min(8) - 1), parent.seq),
    }
}

/// What tells tapes apart at a glance: of a name that tapline gave, the stamp reads as a time of here.
fn tape_name(model: &Model, tape: &TapeInfo) -> String {
    let title = tape_title(&tape.path);
    match title.split_once("Z-") {
        Some((stamp, rest)) if stamp.len() == 15 && stamp.chars().all(|c| c.is_ascii_digit() || c == 'T') => {
            format!("{} {rest}", day_and_minute(&model.settings.zone, tape.started))
        }
        _ => title,
    }
}

fn tape_facts(model: &Model, tape: &TapeInfo, width: usize) -> Vec<Line<'static>> {
    let made = day_and_minute(&model.settings.zone, tape.started);
    let client = tape.client.as_ref().map(|peer| format!("{} {}", peer.name, peer.version)).unwrap_or_default();
    let mut facts = vec![format!("made {made}"), format!("of {}", tape.upstream)];
    if !client.is_empty() {
        facts.push(format!("by {client}"));
    }
    if let Some(parent) = tape.parent {
        let list = model.tapes.list.iter().flatten();
        let title = list.filter(|it| it.session == Some(parent.session)).map(|it| tape_title(&it.path)).next();
        let title = title.unwrap_or_else(|| format!("session {}, whose tape is not here", parent.session.short()));
        facts.push(format!("branched off at {} of {title}", parent.seq));
    }
    facts.extend(tape.protocol.as_ref().map(|protocol| format!("protocol {protocol}")));
    let mut lines: Vec<Line<'static>> =
        facts.iter().map(|fact| styled(model, Role::Dim, short(&format!(" {fact}"), width)).into()).collect();
    let problems = tape.problems.iter().take(2);
    lines.extend(problems.map(|problem| Line::from(styled(model, Role::Held, short(&format!(" {problem}"), width)))));
    lines
}

pub(super) fn draw_replay(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::Detail;
    let Some(replay) = &model.tapes.replay else {
        let block = pane(model, focused, styled(model, Role::Strong, " Replay "), Line::default());
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let words = " `<tapes play>` plays the tape against the running upstream and compares every reply";
        return put(
            frame,
            inner,
            0,
            styled(model, Role::Dim, short(&with_keys(&model.settings.keys, words), usize::from(inner.width))),
        );
    };
    let title = format!(" {} as client > {} ", tape_title(&replay.tape), replay.target);
    let room = usize::from(area.width).saturating_sub(4);
    let block = pane(model, focused, styled(model, Role::Strong, short(&title, room)), Line::default());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    put(frame, inner, 0, progress(model, replay, width));
    put(frame, inner, 1, step_header(model, width));
    let rows = step_rows(usize::from(inner.height));
    for (line, (at, step)) in replay.reports.iter().enumerate().skip(replay.place.top).take(rows).enumerate() {
        let mut cells = step_line(model, step, width);
        if at == replay.place.cursor {
            cells = cursor_row(model, &cells, focused, width);
        }
        put(frame, inner, line + 2, cells);
    }
    if let Some(step) = replay.selected() {
        draw_differences(model, step, frame, inner, rows + 2);
    }
}

fn progress(model: &Model, replay: &ReplayRun, width: usize) -> Line<'static> {
    let glyphs = theme(model).glyphs();
    let (done, all) = (replay.reports.len(), replay.steps.max(replay.reports.len()));
    let bar = (width / 4).clamp(8, 30);
    let full = (bar * done).checked_div(all).unwrap_or(bar);
    let failed = replay.count(StepVerdict::Fail);
    let percent = (done * 100).checked_div(all).unwrap_or(100);
    let mut spans = vec![
        Span::raw(" "),
        styled(model, if failed > 0 { Role::Bad } else { Role::Good }, glyphs.full.repeat(full)),
        styled(model, Role::Dim, glyphs.empty.repeat(bar - full)),
        styled(model, Role::Strong, format!("  {done}/{all}  {percent}%  ")),
        styled(model, Role::Good, format!("pass {}  ", replay.count(StepVerdict::Pass))),
        styled(model, if failed > 0 { Role::Bad } else { Role::Dim }, format!("fail {failed}  ")),
        styled(model, Role::Dim, format!("skip {}  ", replay.count(StepVerdict::Skip))),
    ];
    match &replay.end {
        None => spans.push(styled(model, Role::Accent, "running")),
        Some(Ok(summary)) => spans.push(styled(model, Role::Dim, format!("done in {}", duration(summary.took)))),
        Some(Err(why)) => spans.push(styled(model, Role::Bad, short(&format!("stopped: {why}"), width))),
    }
    Line::from(spans)
}

fn subject_width(width: usize) -> usize {
    (width / 3).clamp(14, 40)
}

fn step_header(model: &Model, width: usize) -> Line<'static> {
    let subject = cell("method / name", subject_width(width));
    let text = format!(" {}  {subject} verdict {}  why", right("step", 5), right("took (was)", 16));
    Line::styled(short(&text, width), style(model, Role::Dim))
}

fn step_line(model: &Model, step: &StepReport, width: usize) -> Line<'static> {
    let (word, role) = match step.verdict {
        StepVerdict::Pass => ("pass", Role::Good),
        StepVerdict::Fail => ("FAIL", Role::Bad),
        StepVerdict::Skip => ("skip", Role::Dim),
    };
    let room = subject_width(width);
    let subject = format!("{} {}", step.method, step.name.as_deref().unwrap_or_default());
    let took = match (step.took, step.recorded) {
        (Some(took), Some(recorded)) => format!("{} ({})", duration(took), duration(recorded)),
        (Some(took), None) => duration(took),
        (None, _) => String::new(),
    };
    let why = step.why.clone().unwrap_or_default();
    Line::from(vec![
        styled(model, Role::Dim, format!(" {}  ", right(&step.step.to_string(), 5))),
        styled(model, Role::Plain, cell(&subject, room) + " "),
        styled(model, role, cell(word, 7)),
        styled(model, Role::Dim, format!(" {}  ", right(&took, 16))),
        styled(model, Role::Plain, short(&why, width.saturating_sub(35 + room))),
    ])
}

fn draw_differences(model: &Model, step: &StepReport, frame: &mut Frame<'_>, area: Rect, from: usize) {
    let width = usize::from(area.width);
    let line = theme(model).glyphs().line;
    let title = format!("{line} Step {}: expected - got + ", step.step);
    let rule = line.repeat(width.saturating_sub(text::width(&title)));
    put(frame, area, from, styled(model, Role::Dim, title + &rule));
    let words = match (&step.why, step.verdict) {
        (Some(why), _) => why.as_str(),
        (None, StepVerdict::Pass) if step.excused.is_empty() => "as recorded",
        (None, StepVerdict::Pass) => "as recorded, but for what changes from run to run",
        (None, _) => "nothing to compare",
    };
    put(frame, area, from + 1, styled(model, Role::Dim, short(&format!(" {words}"), width)));
    let excused = step.excused.iter().map(|it| {
        let text = format!(" ~ {}  {}", it.path, it.kind);
        styled(model, Role::Dim, short(&text, width)).into()
    });
    for (at, line) in difference_lines(model, &step.differences, width).chain(excused).enumerate() {
        put(frame, area, from + 2 + at, line);
    }
}

/// Three lines a value: where it stands, what was expected, what was got.
pub(super) fn difference_lines<'a>(
    model: &'a Model,
    differences: &'a [Difference],
    width: usize,
) -> impl Iterator<Item = Line<'static>> + 'a {
    differences.iter().flat_map(move |difference| {
        let side = |sign: &str, value: &Option<String>| {
            short(&format!("   {sign} {}", value.as_deref().unwrap_or("nothing")), width)
        };
        [
            styled(model, Role::JsonKey, short(&format!(" {}", difference.path), width)).into(),
            styled(model, Role::Bad, side("-", &difference.expected)).into(),
            styled(model, Role::Good, side("+", &difference.got)).into(),
        ]
    })
}
