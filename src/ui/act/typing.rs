//! Keys and pastes that are text.

use crossterm::event::KeyEvent;

use super::prompt::prompt_changed;
use crate::ui::key_press::KeyPress;
use crate::ui::model::Model;
use crate::ui::model::popup::Popup;

/// A key that is text where something is typed.
pub(super) fn typed(model: &mut Model, key: &KeyPress, event: KeyEvent) {
    match &mut model.popup {
        Some(Popup::Help(help)) => {
            help.search.key(key);
            help.top = 0;
        }
        Some(Popup::Block(form)) => {
            if let Some(line) = form.line() {
                line.key(key);
            }
        }
        // A key that is not on the list ends the prefix.
        Some(Popup::Prefix(_)) => model.popup = None,
        Some(_) => {}
        None => typed_below(model, key, event),
    }
}

fn typed_below(model: &mut Model, key: &KeyPress, event: KeyEvent) {
    if let Some(prompt) = &mut model.prompt {
        if prompt.line.key(key) {
            prompt_changed(model);
        }
    } else if let Some(editor) = &mut model.editor
        && editor.area.input(event)
    {
        editor.changed();
    }
}

pub(super) fn paste(model: &mut Model, text: &str) {
    match (&mut model.popup, &mut model.prompt, &mut model.editor) {
        (Some(Popup::Help(help)), _, _) => help.search.insert(text),
        (Some(Popup::Block(form)), _, _) => {
            if let Some(line) = form.line() {
                line.insert(text);
            }
        }
        (Some(_), _, _) | (None, None, None) => {}
        (None, Some(prompt), _) => {
            prompt.line.insert(text);
            prompt_changed(model);
        }
        (None, None, Some(editor)) => {
            // Terminals paste line ends as carriage returns.
            editor.area.insert_str(text.replace("\r\n", "\n").replace('\r', "\n"));
            editor.changed();
        }
    }
}
