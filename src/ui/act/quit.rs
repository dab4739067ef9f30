//! Quitting: asked about what is held, told to by a signal, or at once.

use crate::event::{Command, OnQuit};
use crate::ui::host::Exit;
use crate::ui::model::Model;
use crate::ui::model::popup::{Confirmation, Popup};

/// Handles ctrl c, which in raw mode is a key, and SIGINT.
pub(super) fn interrupt(model: &mut Model) {
    if model.quitting.interrupted || model.quitting.leaving.is_some() {
        return quit(model, model.settings.on_quit.unwrap_or_default());
    }
    model.quitting.interrupted = true;
    let fate = match model.settings.on_quit.unwrap_or_default() {
        _ if model.observed.held.is_empty() => "",
        OnQuit::Forward => "; what is held is forwarded",
        OnQuit::Fail => "; what is held is answered with an error",
    };
    model.warn(format!("ctrl c again quits{fate}"));
}

pub(super) fn quit(model: &mut Model, held: OnQuit) {
    model.quit(held, Exit::Quit);
}

pub(super) fn ask_quit(model: &mut Model) {
    match model.settings.on_quit {
        None if !model.observed.held.is_empty() && model.quitting.leaving.is_none() => {
            model.popup = Some(Popup::Confirm(Confirmation::Quit));
        }
        held => quit(model, held.unwrap_or_default()),
    }
}

pub(super) fn quit_and_forward(model: &mut Model) {
    if model.settings.attached {
        // Leaving alone would let nothing go where others watch as well.
        model.send(Command::ForwardAll);
    }
    quit(model, OnQuit::Forward);
}
