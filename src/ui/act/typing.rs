//! Keys and pastes that are text.

use crossterm::event::KeyEvent;

use super::prompt::prompt_changed;
use super::rules;
use super::value::toggled;
use crate::ui::key_press::KeyPress;
use crate::ui::keymap::why_not;
use crate::ui::model::Model;
use crate::ui::model::popup::Popup;

/// A key that is text where something is typed.
pub(super) fn typed(model: &mut Model, key: &KeyPress, event: KeyEvent) {
    match &mut model.popup {
        Some(Popup::Pager(_)) if model.prompt.is_some() => typed_below(model, key, event),
        Some(Popup::Help(help)) => {
            help.search.key(key);
            help.top = 0;
        }
        Some(Popup::Block(form)) => {
            if let Some(line) = form.line() {
                line.key(key);
            }
        }
        Some(Popup::Offers(list)) => {
            list.search.key(key);
            list.place.cursor = 0;
        }
        Some(Popup::Rule(form)) => {
            if form.line().is_some_and(|line| line.key(key)) {
                rules::changed(model);
            }
        }
        Some(Popup::Play(form)) => {
            form.fault = None;
            if let Some(line) = form.line() {
                line.key(key);
            }
        }
        // A key that is not on the list ends the prefix.
        Some(Popup::Prefix(_)) => {
            model.notify(why_not(model, key));
            model.popup = None;
        }
        Some(_) => model.notify(why_not(model, key)),
        None => typed_below(model, key, event),
    }
}

fn typed_below(model: &mut Model, key: &KeyPress, event: KeyEvent) {
    if let Some(prompt) = &mut model.prompt {
        if toggled(prompt, key) || prompt.line.key(key) {
            prompt_changed(model);
        }
    } else if let Some(editor) = &mut model.rules_screen.editor {
        if editor.area.input(event) {
            rules::edited(model);
        }
    } else if let Some(editor) = &mut model.editor {
        if editor.area.input(event) {
            editor.changed();
        }
    } else {
        model.notify(why_not(model, key));
    }
}

pub(super) fn paste(model: &mut Model, text: &str) {
    if let (None, None, Some(editor)) = (&model.popup, &model.prompt, &mut model.rules_screen.editor) {
        editor.area.insert_str(lines_of(text));
        return rules::edited(model);
    }
    match (&mut model.popup, &mut model.prompt, &mut model.editor) {
        (Some(Popup::Help(help)), _, _) => help.search.insert(text),
        (Some(Popup::Block(form)), _, _) => {
            if let Some(line) = form.line() {
                line.insert(text);
            }
        }
        (Some(Popup::Offers(list)), _, _) => list.search.insert(text),
        (Some(Popup::Rule(form)), _, _) => {
            if let Some(line) = form.line() {
                line.insert(text);
                rules::changed(model);
            }
        }
        (Some(Popup::Play(form)), _, _) => {
            form.fault = None;
            if let Some(line) = form.line() {
                line.insert(text);
            }
        }
        (Some(Popup::Pager(_)) | None, Some(prompt), _) => {
            prompt.line.insert(text);
            prompt_changed(model);
        }
        (Some(_), _, _) | (None, None, None) => {}
        (None, None, Some(editor)) => {
            editor.area.insert_str(lines_of(text));
            editor.changed();
        }
    }
}

/// Terminals paste line ends as carriage returns.
fn lines_of(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
