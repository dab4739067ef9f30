//! Which action a key means where, and which keys work now.

use super::binding::{Action, KeyBinding};
use super::context::KeyContext;
use super::table::BINDINGS;
use crate::ui::key_press::KeyPress;
use crate::ui::model::popup::{Confirmation, Popup, Prefix};
use crate::ui::model::{Model, Pane, ScreenKind};
use crate::ui::settings::KeyChoice;

/// Where the keys go now, innermost first. Whatever lies over the screen takes them all.
pub(crate) fn contexts(model: &Model) -> Vec<KeyContext> {
    match &model.popup {
        Some(Popup::Pager(_)) if model.prompt.is_some() => contexts_below(model),
        Some(Popup::Pager(_)) => vec![KeyContext::Search, KeyContext::Pager],
        Some(popup) => vec![popup_context(popup)],
        None => contexts_below(model),
    }
}

/// Where the keys of what lies below the popup go, innermost first.
pub(crate) fn contexts_below(model: &Model) -> Vec<KeyContext> {
    if let Some(prompt) = &model.prompt {
        return vec![KeyContext::Prompt(prompt.kind)];
    }
    if model.rules_screen.editor.is_some() {
        return vec![KeyContext::RuleEditor];
    }
    if model.editor.is_some() {
        return vec![KeyContext::Editor];
    }
    contexts_of_screen(model)
}

/// Where the keys of the screen itself go, innermost first.
pub(super) fn contexts_of_screen(model: &Model) -> Vec<KeyContext> {
    let mut contexts = match (model.screen, model.pane) {
        (ScreenKind::Queue, Pane::Detail) => vec![KeyContext::Queue, KeyContext::Detail],
        (ScreenKind::Queue, _) => vec![KeyContext::Queue],
        (ScreenKind::Messages, Pane::Detail) => vec![KeyContext::Detail, KeyContext::List],
        (ScreenKind::Messages, Pane::Sessions) => vec![KeyContext::Sessions],
        (ScreenKind::Messages, Pane::List) => vec![KeyContext::List],
        (ScreenKind::Tapes, Pane::Detail) => vec![KeyContext::Steps, KeyContext::Tapes],
        (ScreenKind::Tapes, _) => vec![KeyContext::Tapes],
        (ScreenKind::Compare, _) => vec![KeyContext::Compare],
        (ScreenKind::Metrics, _) => vec![KeyContext::Metrics],
        (ScreenKind::Events, _) => vec![KeyContext::Events],
        (ScreenKind::Lint, _) => vec![KeyContext::Lint],
        (ScreenKind::Rules, _) => vec![KeyContext::Rules],
    };
    if model.screen == ScreenKind::Messages && model.held_here().is_some() {
        contexts.insert(0, KeyContext::Held);
    }
    contexts.splice(0..0, [KeyContext::Piping, KeyContext::Search]);
    contexts.extend([KeyContext::Move, KeyContext::Everywhere]);
    contexts
}

fn popup_context(popup: &Popup) -> KeyContext {
    match popup {
        Popup::Prefix(Prefix::Go) => KeyContext::Go,
        Popup::Prefix(Prefix::Fold) => KeyContext::Fold,
        Popup::Prefix(Prefix::Copy) => KeyContext::Copy,
        Popup::Prefix(Prefix::Write) => KeyContext::Write,
        Popup::Prefix(Prefix::Export) => KeyContext::Export,
        Popup::Prefix(Prefix::Toggle) => KeyContext::Toggle,
        Popup::Sessions(_) => KeyContext::PickSession,
        Popup::Help(_) => KeyContext::Help,
        Popup::Block(_) => KeyContext::Block,
        Popup::Rule(_) => KeyContext::Rule,
        Popup::Offers(_) => KeyContext::Offers,
        Popup::Play(_) => KeyContext::Play,
        Popup::Confirm(Confirmation::Quit) => KeyContext::AskQuit,
        Popup::Confirm(Confirmation::ForwardAll) => KeyContext::AskAll,
        Popup::Confirm(Confirmation::HoldOff) => KeyContext::AskHold,
        Popup::Confirm(Confirmation::DeleteTape) => KeyContext::AskTape,
        Popup::Confirm(Confirmation::RemoveRule) => KeyContext::AskRemoveRule,
        Popup::Pager(_) => KeyContext::Pager,
    }
}

/// What a key means here; `None`: nothing, or it is text.
pub(crate) fn meaning(model: &Model, key: &KeyPress) -> Option<&'static KeyBinding> {
    contexts(model).into_iter().find_map(|context| {
        let mut bindings = bindings(&model.settings.keys, context);
        bindings.find(|(it, keys)| keys.contains(&key.name.as_str()) && (it.when)(model)).map(|(it, _)| it)
    })
}

/// What a key that means nothing here is good for: the reason why not now, or where else.
pub(crate) fn why_not(model: &Model, key: &KeyPress) -> String {
    let name = &key.name;
    let of = |context: KeyContext| {
        let mut bindings = bindings(&model.settings.keys, context);
        bindings.find(|(_, keys)| keys.contains(&name.as_str())).map(|(binding, _)| binding)
    };
    // What is everywhere, and now nowhere, says least of this place.
    let is_aside = |context: &KeyContext| matches!(context, KeyContext::Search | KeyContext::Piping);
    let (aside, here): (Vec<_>, Vec<_>) = contexts(model).into_iter().partition(is_aside);
    if let Some(binding) = here.into_iter().chain(aside).find_map(of) {
        if matches!(binding.action, Action::Screen(_)) {
            return format!("`{name}`: you are there already, this screen shows {}", binding.help);
        }
        return format!("`{name}` ({}): there is nothing here for that", binding.help);
    }
    let elsewhere = [KeyContext::List, KeyContext::Detail, KeyContext::Queue, KeyContext::Tapes, KeyContext::Metrics];
    let elsewhere = elsewhere.into_iter().chain([KeyContext::Sessions, KeyContext::Events, KeyContext::Rules]);
    match { elsewhere }.find_map(|context| Some((context, of(context)?))) {
        Some((context, binding)) => {
            format!("`{name}` does nothing here; in {}: {}", context.title(), binding.help)
        }
        None => format!(
            "`{name}` does nothing here: `<everywhere help>` lists the keys, `<everywhere command>` the commands"
        ),
    }
}

/// The rows of one context, in the order of their use, each with its keys as the operator wants them; there may be none.
pub(crate) fn bindings(
    own: &KeyChoice,
    context: KeyContext,
) -> impl Iterator<Item = (&'static KeyBinding, &'static [&'static str])> {
    let rows = BINDINGS.iter().enumerate().filter(move |(_, binding)| binding.on == context);
    rows.map(|(row, binding)| (binding, own.0.get(&row).copied().unwrap_or(binding.keys)))
}

/// The key of an action, in the first place that has it.
pub(crate) fn first_key(own: &KeyChoice, action: Action) -> Option<&'static str> {
    let mut all = KeyContext::ALL.into_iter().flat_map(|context| bindings(own, context));
    all.find(|(binding, _)| binding.action == action)?.1.first().copied()
}

/// A text in which commands stand as `<place command>`, by their names in files, with the keys that they have now. A command without a
/// key stands there as it is typed.
pub(crate) fn with_keys(own: &KeyChoice, text: &str) -> String {
    let (mut said, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('<') {
        said += before;
        let found = after.split_once('>').and_then(|(named, after)| Some((key_of(own, named)?, after)));
        let (key, after) = found.unwrap_or(("<".to_owned(), after));
        said += &key;
        rest = after;
    }
    said + rest
}

fn key_of(own: &KeyChoice, named: &str) -> Option<String> {
    let (place, command) = named.split_once(' ')?;
    let place = KeyContext::ALL.into_iter().find(|it| it.name_in_file() == Some(place))?;
    let (_, keys) = bindings(own, place).find(|(binding, _)| binding.action.name() == command)?;
    Some(keys.first().map_or_else(|| format!(":{command}"), |key| (*key).to_owned()))
}

/// The screens there are, by their keys.
pub(crate) fn screens(model: &Model) -> impl Iterator<Item = (&'static str, &'static str, ScreenKind)> {
    bindings(&model.settings.keys, KeyContext::Everywhere).filter_map(|(binding, keys)| match binding.action {
        Action::Screen(screen) => Some((keys.first().copied().unwrap_or_default(), binding.hint, screen)),
        _ => None,
    })
}

/// The key that leaves what is here.
pub(crate) fn way_out(model: &Model) -> Option<&'static str> {
    let leaves = |action| matches!(action, Action::Back | Action::Cancel | Action::Quit);
    contexts(model).into_iter().find_map(|context| {
        let mut bindings = bindings(&model.settings.keys, context);
        let is_one =
            |binding: &KeyBinding| leaves(binding.action) && !binding.hint(model).is_empty() && (binding.when)(model);
        bindings.find(|(binding, _)| is_one(binding)).and_then(|(_, keys)| keys.first().copied())
    })
}

/// The key line: what works here and now, most useful first. Of a key that two contexts know, only the inner one.
pub(crate) fn hints(model: &Model) -> Vec<(&'static str, &'static str)> {
    let mut hints: Vec<(&str, &str)> = Vec::new();
    // What is held for a moment takes its keys with it, and would have the line change with each message.
    let is_brief = model.held_here().is_some_and(|held| !model.awaits_person(held));
    for context in contexts(model).into_iter().filter(|context| *context != KeyContext::Held || !is_brief) {
        for (binding, keys) in bindings(&model.settings.keys, context) {
            let is_in_bar = model.viewport.bar && matches!(binding.action, Action::Screen(_));
            let is_shown = !is_in_bar && !binding.hint(model).is_empty() && (binding.when)(model);
            if let Some(first) = keys.first().filter(|_| is_shown)
                && hints.iter().all(|(key, _)| key != first)
            {
                hints.push((first, binding.hint(model)));
            }
        }
    }
    hints
}
