//! Drawing. Reads the model, changes nothing of it.

mod block_form;
mod columns;
mod compare;
mod completion;
mod detail;
mod editor;
mod events;
mod help;
mod key_line;
mod lint;
mod list;
mod metrics;
mod offers;
mod paint;
mod palette;
mod parts;
mod play_form;
mod popups;
mod prompt;
mod queue;
mod rule_form;
mod rules;
mod screens;
mod sessions;
mod status;
mod tape_columns;
mod tapes;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;

use super::clusters::settle;
use super::graphics::PicturePlace;
use super::layout::{ScreenLayout, inner, pictures};
use super::model::popup::Popup;
use super::model::prompt::PromptKind;
use super::model::{Model, Pane, ScreenKind};
use crate::text::is_unsafe;

pub(crate) use completion::completion_at;
pub(crate) use detail::tab_at;
pub(crate) use key_line::key_at;
pub(crate) use list::{column_at, row_text};
pub(crate) use palette::command_at;
pub(crate) use popups::prefix_key_at;
pub(crate) use screens::screen_at;
pub(crate) use sessions::session_at;
pub(crate) use tape_columns::tape_order_at;

/// Draws everything that is text; returns the pictures that are in sight.
pub(crate) fn draw(model: &Model, frame: &mut Frame<'_>) -> Vec<PicturePlace> {
    let plan = ScreenLayout::of(model, frame.area());
    if plan.tiny {
        status::draw_tiny(model, frame, plan.status);
    } else {
        draw_all(model, frame, &plan);
    }
    neutralize(frame.buffer_mut());
    settle(frame.buffer_mut());
    let places = plan.detail.map_or_else(Vec::new, |detail| pictures(model, detail));
    places.into_iter().filter(|place| is_in_sight(frame.buffer_mut(), place)).collect()
}

/// Nothing was drawn over it: its cells are as the detail left them.
fn is_in_sight(buffer: &Buffer, place: &PicturePlace) -> bool {
    place
        .area
        .positions()
        .all(|at| buffer.cell(at).is_some_and(|cell| cell.symbol() == " " && cell.modifier.contains(Modifier::HIDDEN)))
}

fn draw_all(model: &Model, frame: &mut Frame<'_>, plan: &ScreenLayout) {
    status::draw(model, frame, plan.status);
    if let Some(area) = plan.screens {
        screens::draw(model, frame, area);
    }
    if let Some(rule) = &model.rules_screen.editor {
        rules::draw_editor(model, rule, frame, plan.body);
    } else if model.editor.is_some() {
        editor::draw(model, frame, plan.body);
    } else {
        draw_screen(model, frame, plan);
    }
    if let (Some(area), Some(prompt)) = (plan.prompt, &model.prompt) {
        if prompt.kind == PromptKind::Command {
            palette::draw(model, prompt, frame, plan.body);
        }
        if let Some(completions) = &prompt.completions {
            completion::draw(model, completions, frame, plan.body);
        }
        prompt::draw(model, prompt, frame, area);
    }
    key_line::draw(model, frame, plan.keys);
    draw_popup(model, frame, plan);
    key_line::draw_above(model, frame, plan.body);
}

fn draw_popup(model: &Model, frame: &mut Frame<'_>, plan: &ScreenLayout) {
    match &model.popup {
        None => {}
        Some(Popup::Prefix(_)) => popups::draw_prefix(model, frame, plan.body),
        Some(Popup::Sessions(place)) => popups::draw_sessions(model, place, frame, plan.body),
        Some(Popup::Help(help)) => help::draw(model, help, frame, plan.body),
        Some(Popup::Offers(list)) => offers::draw(model, list, frame, plan.body),
        Some(Popup::Rule(form)) => rule_form::draw(model, form, frame, plan.body),
        Some(Popup::Play(form)) => play_form::draw(model, form, frame, plan.body),
        Some(Popup::Block(form)) => block_form::draw(model, form, frame, plan.body),
        Some(Popup::Confirm(ask)) => popups::draw_confirmation(model, *ask, frame, plan.body),
        Some(Popup::Pager(pager)) => popups::draw_pager(model, pager, frame),
    }
}

fn draw_screen(model: &Model, frame: &mut Frame<'_>, plan: &ScreenLayout) {
    // Neighbours share a border, and the pane that has the keys draws it last. In ASCII borders do not merge: there the
    // lower one is drawn last, as it has its title on the shared line.
    let mut panes = [(Pane::Sessions, plan.sessions), (Pane::List, plan.list), (Pane::Detail, plan.detail)];
    if !model.settings.ascii {
        panes.sort_by_key(|(pane, _)| *pane == model.pane);
    }
    for (pane, area) in panes {
        let Some(area) = area else { continue };
        match (model.screen, pane) {
            (ScreenKind::Messages, Pane::Sessions) => sessions::draw(model, frame, area),
            (ScreenKind::Messages, Pane::List) => list::draw(model, frame, area),
            (ScreenKind::Messages | ScreenKind::Queue, Pane::Detail) => detail::draw(model, frame, area),
            (ScreenKind::Queue, _) => queue::draw(model, frame, area),
            (ScreenKind::Tapes, Pane::Detail) => tapes::draw_replay(model, frame, area),
            (ScreenKind::Tapes, _) => tapes::draw(model, frame, area),
            (ScreenKind::Compare, _) => compare::draw(model, frame, area),
            (ScreenKind::Metrics, _) => metrics::draw(model, frame, area),
            (ScreenKind::Events, _) => events::draw(model, frame, area),
            (ScreenKind::Lint, _) => lint::draw(model, frame, area),
            (ScreenKind::Rules, _) => rules::draw(model, frame, area),
        }
        if let Some(search) = model.search.as_ref().filter(|_| pane == model.pane) {
            paint::matches(parts::theme(model), frame.buffer_mut(), inner(area, model.viewport), &search.pattern);
        }
    }
}

/// The last net: whatever a widget put into the buffer, nothing that commands a terminal leaves it.
fn neutralize(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        // An emoji may hold joiners; a lone one was made visible before it came here.
        if cell.symbol().chars().any(|c| c != '\u{200d}' && is_unsafe(c)) {
            cell.set_symbol("?");
        }
    }
}
