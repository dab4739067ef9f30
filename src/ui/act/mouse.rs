//! What the mouse does: the wheel moves, a click chooses, a click on what is chosen opens it, a border is dragged. What stands for a
//! key is that key.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{navigate, prompt};
use crate::ui::layout::{ScreenLayout, border_at, inner, metrics_parts, share_at};
use crate::ui::model::motion::Motion;
use crate::ui::model::popup::Popup;
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::seams::ListedLine;
use crate::ui::model::{Model, Pane, PaneBorder, ScreenKind};
use crate::ui::view::{command_at, completion_at, key_at, prefix_key_at, screen_at, session_at, tab_at};

/// Rows that the wheel moves at once.
const WHEEL: usize = 3;

/// Takes in what the mouse did; returns the key that it stands for.
pub(super) fn mouse(model: &mut Model, event: MouseEvent) -> Option<&'static str> {
    let at = Position::new(event.column, event.row);
    let plan = ScreenLayout::of(model, Rect::new(0, 0, model.viewport.width, model.viewport.height));
    match event.kind {
        MouseEventKind::ScrollDown => wheel(model, &plan, at, Motion::Down),
        MouseEventKind::ScrollUp => wheel(model, &plan, at, Motion::Up),
        MouseEventKind::Down(MouseButton::Left) => {
            let is_covered = model.popup.is_some() || model.editor.is_some() || model.prompt.is_some();
            model.borders.dragged = border_at(&plan, at).filter(|_| !is_covered);
            return click(model, &plan, at);
        }
        MouseEventKind::Drag(MouseButton::Left) => drag(model, &plan, at),
        MouseEventKind::Up(MouseButton::Left) => model.borders.dragged = None,
        _ => {}
    }
    None
}

/// Moves the border that the mouse holds.
fn drag(model: &mut Model, plan: &ScreenLayout, at: Position) {
    match (model.borders.dragged, plan.list, plan.detail) {
        (Some(PaneBorder::Sessions), ..) => model.borders.sessions = Some(at.x + 1),
        (Some(PaneBorder::Detail), Some(list), Some(detail)) => {
            let share = share_at(list, detail, at);
            model.borders.move_list(model.screen, model.viewport.wide, share);
        }
        _ => {}
    }
}

fn pane_at(plan: &ScreenLayout, at: Position) -> Option<(Pane, Rect)> {
    // Neighbours share a line, which has the title of the lower one.
    let panes = [(Pane::Detail, plan.detail), (Pane::List, plan.list), (Pane::Sessions, plan.sessions)];
    panes.into_iter().find_map(|(pane, area)| Some((pane, area.filter(|area| area.contains(at))?)))
}

/// Moves what is under the pointer; the keys stay where they are.
fn wheel(model: &mut Model, plan: &ScreenLayout, at: Position, motion: Motion) {
    if model.popup.is_none() && wheel_above_prompt(model, motion) {
        return;
    }
    let is_written = model.prompt.is_some() || model.editor.is_some() && model.own_call().is_none();
    if model.popup.is_none() && is_written {
        return;
    }
    let before = model.pane;
    if let Some((pane, _)) = pane_at(plan, at) {
        model.pane = pane;
    }
    for _ in 0..WHEEL {
        navigate::go(model, motion);
    }
    model.pane = before;
}

/// Moves the choice in what lies above the line that is typed in, where something does.
fn wheel_above_prompt(model: &mut Model, motion: Motion) -> bool {
    let by = if motion == Motion::Down { 1 } else { -1 };
    let Some(typed) = &model.prompt else { return false };
    match (typed.kind, &typed.completions) {
        (PromptKind::Command, _) => prompt::step(model, by * WHEEL.cast_signed()),
        (_, Some(_)) => prompt::complete(model, by),
        _ => return false,
    }
    true
}

/// A click in what lies above the line that is typed in: a command is carried out, a completion taken.
fn click_above_prompt(model: &mut Model, body: Rect, at: Position) -> Option<&'static str> {
    let typed = model.prompt.as_ref()?;
    if typed.kind == PromptKind::Command {
        let row = command_at(model, typed, body, at)?;
        prompt::choose(model, Some(row));
        return Some("enter");
    }
    let completions = typed.completions.as_ref()?;
    let by = completion_at(completions, body, at)?.cast_signed() - completions.at.cast_signed();
    if by != 0 {
        prompt::complete(model, by);
    }
    // It is taken: the next `tab` is about the next word.
    model.prompt.as_mut()?.completions = None;
    None
}

fn click(model: &mut Model, plan: &ScreenLayout, at: Position) -> Option<&'static str> {
    if plan.keys.contains(at) {
        return key_at(model, plan.keys, at.x - plan.keys.x, at.y - plan.keys.y);
    }
    if matches!(model.popup, Some(Popup::Prefix(_))) {
        return prefix_key_at(model, plan.body, at);
    }
    if model.popup.is_none() && model.prompt.is_some() {
        return click_above_prompt(model, plan.body, at);
    }
    if model.popup.is_some() || model.editor.is_some() {
        return None;
    }
    if let Some(bar) = plan.screens.filter(|bar| bar.contains(at)) {
        screen_at(model, bar.width, at.x - bar.x).into_iter().for_each(|screen| navigate::to_screen(model, screen));
        return None;
    }
    let (pane, area) = pane_at(plan, at)?;
    let was = std::mem::replace(&mut model.pane, pane);
    let area = if model.screen == ScreenKind::Metrics { metrics_parts(area, model.viewport)[1] } else { area };
    let inside = inner(area, model.viewport);
    if !inside.contains(at) {
        if pane == Pane::Detail && at.y == area.y && model.screen != ScreenKind::Tapes {
            tab_at(model, area, at.x).into_iter().for_each(|tab| model.detail.choose_tab(tab));
        }
        return None;
    }
    let (line, column) = (usize::from(at.y - inside.y), usize::from(at.x - inside.x));
    let has_heads = match model.screen {
        ScreenKind::Messages => pane == Pane::List && model.has_rows(),
        ScreenKind::Tapes => pane == Pane::List && model.tapes.selected().is_some(),
        _ => false,
    };
    if line == 0 && has_heads {
        navigate::sort_by_head(model, usize::from(inside.width), column);
        return None;
    }
    let is_fold = pane == Pane::Detail && model.detail.is_fold_mark(line, column);
    let chosen_before = choose(model, line, usize::from(inside.width))?;
    (is_fold || chosen_before && was == pane).then_some("enter")
}

/// Puts the cursor on a line of its pane; returns whether it was there, `None` where nothing is there.
fn choose(model: &mut Model, line: usize, width: usize) -> Option<bool> {
    match (model.screen, model.pane) {
        (ScreenKind::Messages, Pane::List) => {
            let (rows, list) = model.messages_mut();
            let Some(ListedLine::Message(position)) = list.lines(rows).get(line.checked_sub(1)?).cloned() else {
                return None;
            };
            let was = list.position(rows) == position;
            (position < list.len(rows)).then(|| list.go_to(rows, position))?;
            Some(was)
        }
        (ScreenKind::Messages, Pane::Sessions) => {
            let at = session_at(model, width, line)?;
            Some(std::mem::replace(&mut model.session_cursor.cursor, at) == at)
        }
        (ScreenKind::Messages | ScreenKind::Queue, Pane::Detail) => {
            let at = model.detail.top + line;
            (at < model.detail.len()).then(|| std::mem::replace(&mut model.detail.cursor, at) == at)
        }
        (ScreenKind::Queue, _) => {
            let at = model.queue.top + line.checked_sub(1)?;
            let was = model.queue.position(&model.observed.held) == at;
            let ticket = *model.observed.held.keys().nth(at)?;
            model.queue.select(ticket);
            Some(was)
        }
        _ => choose_elsewhere(model, line),
    }
}

fn choose_elsewhere(model: &mut Model, line: usize) -> Option<bool> {
    match (model.screen, model.pane) {
        (ScreenKind::Tapes, Pane::Detail) => {
            let replay = model.tapes.replay.as_mut()?;
            let at = replay.place.top + line.checked_sub(2)?;
            (at < replay.reports.len()).then(|| std::mem::replace(&mut replay.place.cursor, at) == at)
        }
        (ScreenKind::Tapes, _) => {
            let at = model.tapes.place.top + line.checked_sub(1).filter(|line| *line < model.tapes.place.height)?;
            let len = model.tapes.list.as_ref().map_or(0, Vec::len);
            (at < len).then(|| std::mem::replace(&mut model.tapes.place.cursor, at) == at)
        }
        (ScreenKind::Compare, _) => {
            let shown = model.compare.shown.as_mut()?;
            let at = shown.place.top + line.checked_sub(1)?;
            (at < shown.rows.len()).then(|| std::mem::replace(&mut shown.place.cursor, at) == at)
        }
        (ScreenKind::Lint, _) => None,
        (ScreenKind::Rules, _) => {
            let at = model.rules_screen.place.top + line.checked_sub(1)?;
            let figures = model.metrics.figures.clone()?;
            let was = model.rules_screen.place.cursor;
            (at < figures.rules.len()).then(|| model.rules_screen.select(at, &figures.rules)).map(|()| was == at)
        }
        (ScreenKind::Metrics, _) => {
            let at = model.metrics.place.top + line.checked_sub(1)?;
            (at < model.metrics.rows.len()).then(|| std::mem::replace(&mut model.metrics.place.cursor, at) == at)
        }
        _ => {
            let at = model.log.place.top + line;
            model.log.unfollowed = true;
            (at < model.log.len()).then(|| std::mem::replace(&mut model.log.place.cursor, at) == at)
        }
    }
}
