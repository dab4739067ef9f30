//! What lies around the screen: keys and signals that come in, why it ends, and what only a real terminal can do.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender};

use super::graphics::{Graphics, PicturePlace};
use crate::event::TapeForm;

/// What comes in beside events.
#[derive(Clone, Debug)]
pub enum ScreenInput {
    Terminal(crossterm::event::Event),
    /// The window has another size: what is shown is drawn again.
    Resized,
    /// The command that a message was handed to has ended.
    Piped {
        command: String,
        output: PipedOutput,
    },
    /// A tape was written in another form, or was not, and why.
    Exported(Result<ExportedFile, String>),
    /// A picture was prepared beside the screen, and can be drawn now.
    PictureReady,
    /// A `SIGINT` from outside: once says how to quit, twice quits.
    Interrupt,
    /// `SIGTERM` or `SIGHUP`: quits without asking.
    Terminate,
}

/// What a command printed that a message was handed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipedOutput {
    pub printed: String,
    /// How it ended, and what it said, where that was not as it should.
    pub why: Option<String>,
}

/// Writes a tape in another form. Is told how much of how much is done and asked whether to go on; returns what of the tape is not as it
/// should be, or why it was not written.
pub type TapeWriter = fn(&Path, TapeForm, &dyn Fn(u64, u64) -> bool, &mut dyn io::Write) -> Result<Vec<String>, String>;

/// A file that a tape was written to in another form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedFile {
    pub file: PathBuf,
    pub bytes: u64,
    /// What of the tape is not as it should be.
    pub troubles: Vec<String>,
}

/// Why the screen ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The operator quit the screen.
    Quit,
    /// A signal, or the terminal went away.
    Terminated,
    /// The core stopped, and with it the screen.
    Stopped,
}

/// What became of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PicturesDrawn {
    AsWanted,
    /// One is left over that goes only when all is drawn again.
    Stale,
}

/// What only a real terminal can do.
pub trait TerminalHost {
    /// Puts text into the clipboard. Returns the name of the clipboard that took it.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    fn copy(&mut self, text: &str) -> io::Result<String>;

    /// Writes a file into the working directory, never over another. Says where.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn save(&mut self, name: &str, bytes: &[u8]) -> io::Result<PathBuf>;

    /// Shows a text in the operator's own pager.
    ///
    /// # Errors
    /// Where there is no pager, or the terminal cannot be taken again.
    fn page(&mut self, text: &str) -> io::Result<()>;

    /// Stops this process, the terminal given back, until it is continued. `word` is left on the terminal.
    ///
    /// # Errors
    /// Where the terminal cannot be taken again.
    fn suspend(&mut self, word: &str) -> io::Result<()>;

    /// Lets the operator's own editor change a text.
    ///
    /// # Errors
    /// Where there is no editor, or it failed.
    fn edit(&mut self, text: &str) -> io::Result<String>;

    /// Has a command read these bytes; what it prints comes in as [`ScreenInput::Piped`].
    ///
    /// # Errors
    /// Where it cannot be started, or the one before still runs.
    fn pipe(&mut self, command: &str, input: Vec<u8>) -> io::Result<()>;

    /// Stops that command, and all that it started; what it printed until then comes in.
    fn stop_pipe(&mut self) {}

    /// Writes a tape in another form to a new file in the working directory; what became of it comes in as [`ScreenInput::Exported`].
    ///
    /// # Errors
    /// Where it cannot be begun.
    fn export(&mut self, _: TapeWriter, _: PathBuf, _: TapeForm) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes the mouse, or leaves it to the terminal.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    fn mouse(&mut self, on: bool) -> io::Result<()>;

    /// Rings, or whatever the terminal does in its place.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    fn ring(&mut self) -> io::Result<()> {
        let mut terminal = io::stdout();
        terminal.write_all(b"\x07")?;
        terminal.flush()
    }

    /// Has these pictures on the screen, and no others; what is there already is not drawn again.
    ///
    /// # Errors
    /// Where the terminal cannot be written to.
    fn show_pictures(&mut self, _: Option<Graphics>, _: &[PicturePlace]) -> io::Result<PicturesDrawn> {
        Ok(PicturesDrawn::AsWanted)
    }

    /// Takes note that the screen is about to be cleared.
    fn forget_pictures(&mut self) {}

    /// Keeps these lines for the next run: filters that were used, `@NAME` before those that were given one.
    fn remember(&mut self, _lines: &[String]) {}

    /// Takes note that the window has another size.
    fn resized(&mut self) {}
}

/// The way of keys and signals to the screen.
pub fn input_channel() -> (Sender<ScreenInput>, Receiver<ScreenInput>) {
    // Typed by a person; when it is full, a key waits.
    crossbeam_channel::bounded(1024)
}
