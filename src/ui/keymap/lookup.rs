//! Which action a key means where, and which keys work now.

use super::table::{BINDINGS, Binding, Context};
use crate::ui::key_press::Key;
use crate::ui::model::popup::{Ask, Popup, Prefix};
use crate::ui::model::{Model, Pane, Screen};

/// Where the keys go now, innermost first. Whatever lies over the screen takes them all.
pub(crate) fn contexts(model: &Model) -> Vec<Context> {
    match &model.popup {
        Some(popup) => vec![popup_context(popup)],
        None => contexts_below(model),
    }
}

/// The same, of what a popup lies over.
pub(crate) fn contexts_below(model: &Model) -> Vec<Context> {
    if let Some(bar) = &model.bar {
        return vec![Context::Bar(bar.asked)];
    }
    if model.editor.is_some() {
        return vec![Context::Editor];
    }
    let mut contexts = match (model.screen, model.pane) {
        (Screen::Queue, Pane::Detail) => vec![Context::Queue, Context::Detail],
        (Screen::Queue, _) => vec![Context::Queue],
        (Screen::Messages, Pane::Detail) => vec![Context::Detail, Context::List],
        (Screen::Messages, Pane::Sessions) => vec![Context::Sessions],
        (Screen::Messages, Pane::List) => vec![Context::List],
        (Screen::Tapes, Pane::Detail) => vec![Context::Steps, Context::Tapes],
        (Screen::Tapes, _) => vec![Context::Tapes],
        (Screen::Metrics, _) => vec![Context::Metrics],
        (Screen::Events, _) => vec![Context::Events],
    };
    if model.screen == Screen::Messages && model.held_here().is_some() {
        contexts.insert(0, Context::Held);
    }
    contexts.extend([Context::Move, Context::Everywhere]);
    contexts
}

fn popup_context(popup: &Popup) -> Context {
    match popup {
        Popup::Prefix(Prefix::Go) => Context::Go,
        Popup::Prefix(Prefix::Fold) => Context::Fold,
        Popup::Prefix(Prefix::Copy) => Context::Copy,
        Popup::Sessions(_) => Context::PickSession,
        Popup::Help(_) => Context::Help,
        Popup::Block(_) => Context::Block,
        Popup::Ask(Ask::Quit) => Context::AskQuit,
        Popup::Ask(Ask::ForwardAll) => Context::AskAll,
        Popup::Ask(Ask::HoldOff) => Context::AskHold,
        Popup::Pager(_) => Context::Pager,
    }
}

/// What a key means here; `None`: nothing, or it is text.
pub(crate) fn meaning(model: &Model, key: &Key) -> Option<&'static Binding> {
    contexts(model).into_iter().find_map(|context| {
        bindings(context).find(|binding| binding.keys.contains(&key.name.as_str()) && (binding.when)(model))
    })
}

/// The keys of one context, in the order of their use.
pub(crate) fn bindings(context: Context) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.on == context)
}

/// The key line: what works here and now, most useful first. Of a key that two contexts know, only the inner one.
pub(crate) fn hints(model: &Model) -> Vec<(&'static str, &'static str)> {
    let mut hints: Vec<(&str, &str)> = Vec::new();
    for context in contexts(model) {
        for binding in bindings(context).filter(|binding| !binding.hint.is_empty() && (binding.when)(model)) {
            if hints.iter().all(|(key, _)| *key != binding.keys[0]) {
                hints.push((binding.keys[0], binding.hint));
            }
        }
    }
    hints
}
