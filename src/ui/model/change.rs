//! What happens to the model, and what it wants done outside.

use crate::event::{Command, Event};
use crate::ui::host::{Exit, ScreenInput};

/// What happens to the model.
pub(crate) enum Change {
    Input(ScreenInput),
    Event(Box<Event>),
    /// The feed lost so many events.
    Dropped(u64),
}

/// What the model wants done by others.
#[derive(Debug)]
pub(crate) enum Effect {
    Command(Command),
    Copy(String),
    /// Copies the selected row of the list as the screen shows it.
    CopyRow,
    /// Hands this text to the operator's own editor.
    EditOutside(String),
    Exit(Exit),
}
