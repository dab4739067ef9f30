//! The line in which something is typed: a filter, a hold filter, a command, what is searched for.

use super::search::search_changed;
use super::value::judge;
use crate::event::Holding;
use crate::filter::{Filter, FilterPlace};
use crate::ui::keymap::palette;
use crate::ui::model::Model;
use crate::ui::model::completion::Completions;
use crate::ui::model::input_line::InputLine;
use crate::ui::model::prompt::{Prompt, PromptKind};
use crate::ui::model::tapes_screen::tape_title;

pub(super) fn open_prompt(model: &mut Model, asked: PromptKind) {
    let mut prompt = Prompt::new(asked, &suggested(model, asked));
    if asked == PromptKind::Pipe {
        // The last command once more, or another in its place.
        prompt.line = InputLine::selected(&model.piped);
    }
    prompt.before.clone_from(&model.list().filter);
    if asked == PromptKind::Search {
        prompt.searched = model.search.take();
    }
    model.prompt = Some(prompt);
    if asked == PromptKind::Filter {
        let (rows, list) = model.messages_mut();
        list.anchor = list.cursor;
        if std::mem::take(&mut list.filter_off) {
            list.refilter(rows);
        }
    }
}

/// The list follows the text while it parses, and stays with the last good one while it does not.
pub(super) fn prompt_changed(model: &mut Model) {
    let Some(prompt) = &mut model.prompt else { return };
    (prompt.choice, prompt.completions) = (0, None);
    match prompt.kind {
        PromptKind::Search => return search_changed(model),
        PromptKind::Value => return judge(model),
        PromptKind::Command | PromptKind::Pipe | PromptKind::Comment | PromptKind::TapeName | PromptKind::TapeNote => {
            return;
        }
        PromptKind::Filter | PromptKind::Hold => {}
    }
    let Some(filter) = prompt.parse(&model.settings.filters) else { return };
    if prompt.kind == PromptKind::Filter {
        set_filter(model, filter);
    }
}

pub(super) fn set_filter(model: &mut Model, filter: Option<(String, Filter)>) {
    let anchored = model.prompt.is_some();
    let (rows, list) = model.messages_mut();
    list.anchor = list.anchor.filter(|_| anchored);
    list.filter = filter;
    list.filter_off = false;
    list.refilter(rows);
}

pub(super) fn toggle_filter(model: &mut Model) {
    let (rows, list) = model.messages_mut();
    list.filter_off = !list.filter_off;
    list.refilter(rows);
}

/// One row for each exchange, or for each message.
pub(super) fn toggle_pairs(model: &mut Model) {
    let (rows, list) = model.messages_mut();
    list.pairs = !list.pairs;
    list.refilter(rows);
    let words = if list.pairs { "one row for each exchange" } else { "one row for each message" };
    model.notify(words);
}

/// To another row of the palette, or another of the filters there were.
pub(super) fn step(model: &mut Model, by: isize) {
    let Some(prompt) = &model.prompt else { return };
    if prompt.kind == PromptKind::Command {
        let last = palette(model, prompt.line.text()).len().saturating_sub(1);
        let row = prompt.chosen().map(|row| row.min(last));
        let there = row.map_or(by.checked_sub(1), |row| row.cast_signed().checked_add(by));
        return choose(model, there.and_then(|there| usize::try_from(there).ok()).map(|there| there.min(last)));
    }
    let filters = &model.filters;
    let Some(prompt) = &mut model.prompt else { return };
    let here = prompt.history.unwrap_or(filters.len());
    let there = here.saturating_add_signed(by).min(filters.len());
    prompt.history = Some(there);
    prompt.line = InputLine::new(filters.get(there).map_or("", String::as_str));
    prompt_changed(model);
}

/// Chooses a row of the palette; none, where nothing is typed yet.
pub(super) fn choose(model: &mut Model, row: Option<usize>) {
    let Some(prompt) = &mut model.prompt else { return };
    let before = usize::from(prompt.line.text().trim().is_empty());
    prompt.choice = row.map_or(0, |row| row + before);
}

/// `tab` in a filter: the word before the cursor goes on as something that was seen here.
pub(super) fn complete(model: &mut Model, by: isize) {
    let Some(prompt) = &model.prompt else { return };
    let completions = match &prompt.completions {
        Some(begun) => {
            let mut next = begun.clone();
            next.step(by);
            Some(next)
        }
        None => Completions::of(model, prompt.line.before_cursor(), prompt.line.after_cursor()),
    };
    let Some(completions) = completions else {
        return model.notify("nothing that was seen here begins so; `~` and `tab` list the operators");
    };
    let line = completions.line();
    if line == prompt.line.text() {
        return model.notify("that is all of the word");
    }
    if let Some(prompt) = &mut model.prompt {
        prompt.line = InputLine::new(&line);
    }
    prompt_changed(model);
    if let Some(prompt) = &mut model.prompt {
        // A single one is done with: the next `tab` is about the next word.
        prompt.completions = Some(completions).filter(|completions| completions.all.len() > 1);
    }
}

/// Leaves the prompt as if it had not been opened.
pub(super) fn close_prompt(model: &mut Model) {
    let Some(prompt) = model.prompt.take() else { return };
    match prompt.kind {
        PromptKind::Filter => set_filter(model, prompt.before),
        PromptKind::Search => model.search = prompt.searched,
        _ => {}
    }
}

pub(super) fn accept_prompt(model: &mut Model) {
    let Some(mut prompt) = model.prompt.take() else { return };
    let Some(filter) = prompt.parse(&model.settings.filters) else {
        // Not done yet: the error stays under the text.
        model.prompt = Some(prompt);
        return;
    };
    let place = if prompt.kind == PromptKind::Hold { FilterPlace::Wire } else { FilterPlace::List };
    if let Some(note) = filter.iter().flat_map(|(_, filter)| filter.notes(place)).next() {
        model.warn(note);
    }
    // The tapline that holds may know no named filters, or others.
    let written_out = prompt.kind == PromptKind::Hold && filter.as_ref().is_some_and(|(text, _)| text.contains('@'));
    let text = filter.map(|(text, filter)| if written_out { filter.to_string() } else { text }).unwrap_or_default();
    match prompt.kind {
        PromptKind::Hold if text.is_empty() => model.set_holding(Holding { on: false, filter: text }),
        PromptKind::Hold => {
            remember(model, text.clone());
            model.set_holding(Holding { on: true, filter: text });
        }
        _ if !text.is_empty() => {
            remember(model, text);
        }
        _ => {}
    }
}

/// The newest of the filters that were typed, for this run and the next.
fn remember(model: &mut Model, text: String) {
    model.filters.retain(|known| *known != text);
    model.filters.push(text);
    model.remember_filters();
}

/// `:filter save NAME`: what the list is filtered by, under a name.
pub(super) fn save_filter(model: &mut Model, name: &str) {
    let Some(text) = model.list().filter.as_ref().map(|(text, _)| text.clone()) else {
        return model.warn("there is no filter to save: `<messages filter>` makes one");
    };
    let name = name.trim_start_matches('@');
    if let Err(why) = model.settings.filters.put(name, &text) {
        return model.warn(why);
    }
    model.saved.retain(|known| known != name);
    model.saved.push(name.to_owned());
    model.remember_filters();
    model.notify(format!("`@{name}` is `{text}`, here and in later runs"));
}

/// The suggestion for a first hold filter. Never the handshake: holding that stops a client before it begins. Requests only:
/// after a call is let go, being asked again for its reply is not expected.
const HOLD_SUGGESTION: &str = "~m tools/call & ~q";

fn suggested(model: &Model, asked: PromptKind) -> String {
    match asked {
        PromptKind::Filter => model.list().filter.as_ref().map(|(text, _)| text.clone()).unwrap_or_default(),
        PromptKind::Hold if model.observed.holding.filter.is_empty() => HOLD_SUGGESTION.to_owned(),
        PromptKind::Hold => model.observed.holding.filter.clone(),
        PromptKind::TapeName => model.tapes.selected().map(|tape| tape_title(&tape.path)).unwrap_or_default(),
        _ => String::new(),
    }
}
