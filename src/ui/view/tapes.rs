//! The tapes, below them what one is, and beside them how its replay goes.

use std::borrow::Cow;
use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::list::end_of;
use super::parts::{cell, cursor_row, day_and_second, grouped, pane, put, right, short, style, styled, theme};
use super::status::duration;
use super::tape_columns::{TapeColumn, TapeColumns};
use crate::event::{Difference, Peer, ServedTape, StepReport, StepVerdict, TapeInfo};
use crate::text;
use crate::ui::keymap::with_keys;
use crate::ui::layout::{step_rows, tape_fact_rows};
use crate::ui::model::tapes_screen::{ReplayRun, server_name, tape_title, tools_words};
use crate::ui::model::{Model, Pane};
use crate::ui::theme::Role;

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::List;
    let tapes = &model.tapes;
    let block = pane(model, focused, title(model), aside(model));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let Some(list) = tapes.list.as_ref().filter(|list| !list.is_empty()) else {
        let words = if tapes.list.is_some() { " no tape yet: sessions record here" } else { " looking for tapes" };
        return put(frame, inner, 0, styled(model, Role::Dim, short(words, width)));
    };
    let columns = TapeColumns::of(width, tapes.needs);
    put(frame, inner, 0, columns.header(model));
    for (line, (at, tape)) in list.iter().enumerate().skip(tapes.place.top).take(tapes.place.height).enumerate() {
        let mut cells = tape_line(model, (at, tape), &columns);
        if at == tapes.place.cursor {
            cells = cursor_row(model, &cells, focused, width);
        }
        put(frame, inner, 1 + line, cells);
    }
    let rows = tape_fact_rows(inner);
    let facts = tapes.selected().map_or_else(Vec::new, |tape| tape_facts(model, tape, width));
    for (at, line) in facts.into_iter().take(rows.saturating_sub(1)).enumerate() {
        put(frame, inner, usize::from(inner.height) + 1 + at - rows, line);
    }
}

fn title(model: &Model) -> Line<'static> {
    let tapes = &model.tapes;
    let count = tapes.list.as_ref().map_or(String::new(), |list| format!("{} ", list.len()));
    let order = tapes.order_words().map(|order| styled(model, Role::Accent, format!("{order} ")));
    Line::from_iter([styled(model, Role::Strong, format!(" Tapes {count}"))].into_iter().chain(order))
}

/// How many are still being read, and how fast the next is played.
fn aside(model: &Model) -> Line<'static> {
    let unread = model.tapes.list.iter().flatten().filter(|tape| tape.tools.is_none()).count();
    let unread = if unread > 0 { format!(" reading {},", grouped(unread as u64)) } else { String::new() };
    let served = model.metrics.figures.as_ref().map_or(0, |figures| figures.served.len());
    let serving = if served > 0 { format!(" serving {served},") } else { String::new() };
    styled(model, Role::Dim, format!("{unread}{serving} pace {} ", model.tapes.choices.pace_words())).into()
}

fn tape_line(model: &Model, (at, tape): (usize, &TapeInfo), columns: &TapeColumns) -> Line<'static> {
    let role = if tape.problems.is_empty() { Role::Plain } else { Role::Held };
    let is_marked = model.compare.marked.as_ref() == Some(&tape.path);
    let sign = match served(model, tape) {
        _ if is_marked => "*",
        Some(_) => "=",
        None => " ",
    };
    let mut spans = vec![styled(model, Role::Good, sign)];
    for (column, width) in columns.shown() {
        let (text, role) = match column {
            TapeColumn::Name => (tape_name(model, at, tape, width), role),
            TapeColumn::Client => {
                (tape.client.as_ref().map(|peer| peer.name.clone()).unwrap_or_default(), Role::Accent)
            }
            TapeColumn::Server => (server_name(tape).to_owned(), Role::Dim),
            TapeColumn::Tools => {
                (tools_words(tape, times(model)), if tape.tools.is_some() { Role::Plain } else { Role::Dim })
            }
            TapeColumn::Note => (tape.notes.first().cloned().unwrap_or_default(), Role::Strong),
            TapeColumn::Messages if tape.tools.is_none() && tape.messages == 0 => (String::new(), Role::Dim),
            TapeColumn::Messages => (grouped(tape.messages), Role::Dim),
            TapeColumn::Size => (text::size(tape.bytes), Role::Dim),
        };
        let cells = if column.is_number() { right(&text, width) } else { cell(&text, width) };
        spans.push(styled(model, role, columns.gap(column).to_owned() + &cells));
    }
    Line::from(spans)
}

/// What a tape does as a server, where it is one.
fn served<'m>(model: &'m Model, tape: &TapeInfo) -> Option<&'m ServedTape> {
    let served = &model.metrics.figures.as_ref()?.served;
    served.iter().find(|served| served.tape == tape.path)
}

/// How often stands behind this sign.
fn times(model: &Model) -> char {
    if model.settings.ascii { 'x' } else { '×' }
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

/// Room below which the rest of a name says nothing beside its time.
const LEAST_REST: usize = 8;
/// Room below which only its end tells it from others.
const BOTH_ENDS: usize = 16;

/// What tells tapes apart at a glance: of a name that tapline gave, the stamp reads as a time of here. Names begin alike, so it is their
/// middle that goes where there is no room.
fn tape_name(model: &Model, at: usize, tape: &TapeInfo, width: usize) -> String {
    let (sign, title) = (branch_sign(model, at, tape), text::sanitize(&tape_title(&tape.path)).into_owned());
    let room = width.saturating_sub(text::width(&sign));
    let name = match title.split_once("Z-") {
        Some((stamp, rest)) if stamp.len() == 15 && stamp.chars().all(|c| c.is_ascii_digit() || c == 'T') => {
            let time = day_and_second(&model.settings.zone, tape.started);
            let left = room.saturating_sub(time.len() + 1);
            match text::width(rest) > left {
                true if left < LEAST_REST => time,
                true if left < BOTH_ENDS => format!("{time} {}", end_of(rest, left)),
                _ => format!("{time} {}", text::fit_ends(rest, left)),
            }
        }
        _ => text::fit_ends(&title, room),
    };
    sign + &name
}

/// All that is known of a tape, what a person is to see first.
fn tape_facts(model: &Model, tape: &TapeInfo, width: usize) -> Vec<Line<'static>> {
    let mut facts: Vec<_> = tape.problems.iter().take(2).map(|problem| (Role::Held, problem.clone())).collect();
    facts.extend(served(model, tape).map(|served| {
        let ServedTape { url, answered, missed, .. } = served;
        let words = format!("serves at {url}: {answered} answered, {missed} not on it");
        (if *missed > 0 { Role::Held } else { Role::Good }, words)
    }));
    facts.extend(tape.notes.iter().take(3).map(|note| (Role::Strong, note.clone())));
    if tape.tools.as_ref().is_none_or(|tools| !tools.is_empty()) {
        facts.push((Role::Plain, format!("tools {}", tools_words(tape, times(model)))));
    }
    if let Some(parent) = tape.parent {
        let list = model.tapes.list.iter().flatten();
        let title = list.filter(|it| it.session == Some(parent.session)).map(|it| tape_title(&it.path)).next();
        let title = title.unwrap_or_else(|| format!("session {}, whose tape is not here", parent.session.short()));
        facts.push((Role::Dim, format!("branched off at {} of {title}", parent.seq)));
    }
    let peer = |peer: &Option<Arc<Peer>>| peer.as_ref().map(|peer| peer.text());
    let server = peer(&tape.server).map(|server| format!("{server} at ")).unwrap_or_default();
    facts.push((Role::Dim, format!("of {server}{}", tape.upstream)));
    facts.extend(peer(&tape.client).map(|client| (Role::Dim, format!("by {client}"))));
    let protocol = tape.protocol.as_ref().map(|protocol| format!(", protocol {protocol}")).unwrap_or_default();
    let made = day_and_second(&model.settings.zone, tape.started);
    facts.push((Role::Dim, format!("made {made}{protocol}, {}", tape_title(&tape.path))));
    facts.into_iter().map(|(role, fact)| styled(model, role, short(&format!(" {fact}"), width)).into()).collect()
}

pub(super) fn draw_replay(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let focused = model.pane == Pane::Detail;
    let Some(replay) = &model.tapes.replay else { return };
    let title = format!(" {} as client > {} ", tape_title(&replay.tape), replay.target);
    let ignored = match model.tapes.ignored(&replay.tape).len() {
        0 => Line::default(),
        ignored => styled(model, Role::Dim, format!(" ignores {} ", text::counted(ignored, "path"))).into(),
    };
    let room = usize::from(area.width).saturating_sub(4 + ignored.width());
    let title = text::fit_ends(&text::sanitize(&title), room);
    let block = pane(model, focused, styled(model, Role::Strong, title), ignored);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    put(frame, inner, 0, progress(model, replay, width));
    put(frame, inner, 1, wait_line(model, width).unwrap_or_else(|| step_header(model, width)));
    let rows = step_rows(usize::from(inner.height));
    for (line, (at, step)) in replay.reports.iter().enumerate().skip(replay.place.top).take(rows).enumerate() {
        let mut cells = step_line(model, (replay, step), width);
        if at == replay.place.cursor {
            cells = cursor_row(model, &cells, focused, width);
        }
        put(frame, inner, line + 2, cells);
    }
    if let Some(step) = replay.selected() {
        draw_differences(model, (replay, step), frame, inner, rows + 2);
    }
}

fn progress(model: &Model, replay: &ReplayRun, width: usize) -> Line<'static> {
    let glyphs = theme(model).glyphs();
    let (done, all) = (replay.done(), replay.steps.max(replay.reports.len()));
    let bar = (width / 4).clamp(8, 30);
    let full = (bar * done).checked_div(all).unwrap_or(bar);
    let failed = replay.failed();
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
    if replay.accepted() > 0 {
        spans.push(styled(model, Role::Good, format!("accepted {}  ", replay.accepted())));
    }
    match &replay.end {
        None => spans.push(styled(model, Role::Accent, "running")),
        Some(Ok(summary)) if summary.stopped => {
            spans.push(styled(model, Role::Bad, format!("stopped after {}", duration(summary.took))));
        }
        Some(Ok(summary)) => spans.push(styled(model, Role::Dim, format!("done in {}", duration(summary.took)))),
        Some(Err(why)) => spans.push(styled(model, Role::Bad, short(&format!("stopped: {why}"), width))),
    }
    Line::from(spans)
}

/// What is sent next, and when, in the place of the columns' heads.
fn wait_line(model: &Model, width: usize) -> Option<Line<'static>> {
    let waiting = model.tapes.waiting()?;
    let words = match waiting.until {
        Some(until) => {
            let left = until.0.saturating_sub(model.now.0).div_ceil(1_000_000) * 1_000_000;
            format!(" next in {}, `<tapes send-next>` sends it now: {}", duration(left), waiting.next)
        }
        None => format!(" `<tapes send-next>` sends the next: {}", waiting.next),
    };
    let words = with_keys(&model.settings.keys, &words);
    Some(styled(model, Role::Accent, short(&words, width)).into())
}

fn subject_width(width: usize) -> usize {
    (width / 3).clamp(14, 40)
}

fn step_header(model: &Model, width: usize) -> Line<'static> {
    let subject = cell("method / name", subject_width(width));
    let text = format!(" {}  {subject} verdict {}  why", right("step", 5), right("took (was)", 16));
    Line::styled(short(&text, width), style(model, Role::Dim))
}

fn step_line(model: &Model, (replay, step): (&ReplayRun, &StepReport), width: usize) -> Line<'static> {
    let (word, role) = match step.verdict {
        StepVerdict::Fail if replay.is_accepted(step) => ("accept", Role::Good),
        StepVerdict::Pass => ("pass", Role::Good),
        StepVerdict::Fail => ("FAIL", Role::Bad),
        StepVerdict::Skip => ("skip", Role::Dim),
    };
    let room = subject_width(width);
    // Whose it is, where several are played.
    let session = step.session.map(|session| format!("{} ", session.short())).unwrap_or_default();
    let subject = format!("{session}{} {}", step.method, step.name.as_deref().unwrap_or_default());
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

fn draw_differences(
    model: &Model,
    (replay, step): (&ReplayRun, &StepReport),
    frame: &mut Frame<'_>,
    area: Rect,
    from: usize,
) {
    let width = usize::from(area.width);
    let line = theme(model).glyphs().line;
    let title = format!("{line} Step {}: expected - got + ", step.step);
    let rule = line.repeat(width.saturating_sub(text::width(&title)));
    put(frame, area, from, styled(model, Role::Dim, title + &rule));
    let words = step_words(model, replay, step);
    put(frame, area, from + 1, styled(model, Role::Dim, short(&format!(" {words}"), width)));
    let excused = step.excused.iter().map(|it| {
        let text = format!(" ~ {}  {}", it.path, it.kind);
        styled(model, Role::Dim, short(&text, width)).into()
    });
    let mut lines: Vec<_> = difference_lines(model, &step.differences, width).chain(excused).collect();
    let room = usize::from(area.height).saturating_sub(from + 2);
    if let Some(unseen) = lines.len().checked_sub(room).filter(|unseen| *unseen > 0) {
        lines.truncate(room.saturating_sub(1));
        let more = format!(" .. {}: `<tapes read-step>` shows all", text::counted(unseen + 1, "more line"));
        lines.push(styled(model, Role::Dim, with_keys(&model.settings.keys, &more)).into());
    }
    for (at, line) in lines.into_iter().enumerate() {
        put(frame, area, from + 2 + at, line);
    }
}

/// What became of a step, in a line.
fn step_words<'a>(model: &Model, replay: &ReplayRun, step: &'a StepReport) -> Cow<'a, str> {
    let words = match (&step.why, step.verdict) {
        _ if replay.is_accepted(step) => "accepted: the tape expects now what was got",
        (Some(why), StepVerdict::Fail) if model.tapes.is_settled() => {
            return format!("{why}; ignored from here on").into();
        }
        (Some(why), _) => why.as_str(),
        (None, StepVerdict::Pass) if step.excused.is_empty() => "as recorded",
        (None, _) if ReplayRun::passed_by_ignoring(step) && !model.tapes.is_settled() => {
            "passed, as what differs was ignored; it counts from here on"
        }
        (None, StepVerdict::Pass) => "as recorded, but for what changes from run to run",
        (None, _) => "nothing to compare",
    };
    words.into()
}

/// Three lines a value: where it stands, what was expected, what was got.
pub(super) fn difference_lines<'a>(
    model: &'a Model,
    differences: &'a [Difference],
    width: usize,
) -> impl Iterator<Item = Line<'static>> + 'a {
    differences.iter().flat_map(move |difference| {
        let Difference { path, expected, got } = difference;
        let side = |sign: &str, value: &Option<String>, other: &Option<String>| {
            let value = value.as_deref().map(|it| text::from_parting(it, other.as_deref(), width));
            short(&format!("   {sign} {}", value.as_deref().unwrap_or("nothing")), width)
        };
        [
            styled(model, Role::JsonKey, short(&format!(" {path}"), width)).into(),
            styled(model, Role::Bad, side("-", expected, got)).into(),
            styled(model, Role::Good, side("+", got, expected)).into(),
        ]
    })
}
