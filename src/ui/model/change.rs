//! What happens to the model, and what it wants done outside.

use std::path::PathBuf;

use crate::event::{Command, Event, TapeForm};
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
    /// Writes a file of this name, or one near it, to the working directory.
    Save {
        name: String,
        bytes: Vec<u8>,
    },
    /// Writes a tape in another form to a new file in the working directory. That it is done comes in later.
    Export {
        tape: PathBuf,
        form: TapeForm,
    },
    /// Shows this text in the operator's own pager.
    Page(String),
    /// Stops the process and gives the terminal back to the shell, until it is continued; the text to print there.
    Suspend(&'static str),
    /// Runs a command, which reads these bytes. What it prints comes in later.
    Pipe {
        command: String,
        input: Vec<u8>,
    },
    /// Stops that command.
    StopPipe,
    Repaint,
    /// Keeps filters for the next run.
    Remember(Vec<String>),
    /// Rings.
    Bell,
    /// The mouse is ours, or the terminal's.
    Mouse(bool),
    Exit(Exit),
}
