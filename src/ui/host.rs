//! What lies around the screen: keys and signals that come in, why it ends, and what only a real terminal can do.

use std::io::{self, Write as _};
use std::path::PathBuf;

use crossbeam_channel::{Receiver, Sender};

use super::graphics::{Graphics, PicturePlace};

/// What comes in beside events.
#[derive(Clone, Debug)]
pub enum ScreenInput {
    Terminal(crossterm::event::Event),
    /// The window has another size: what is shown is drawn again.
    Resized,
    /// What a command printed that a message was handed to, or why there is nothing.
    Piped {
        command: String,
        output: Result<String, String>,
    },
    /// A picture was prepared beside the screen, and can be drawn now.
    PictureReady,
    /// A `SIGINT` from outside: once says how to quit, twice quits.
    Interrupt,
    /// `SIGTERM` or `SIGHUP`: quits without asking.
    Terminate,
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

/// What a command printed that failed, with why at its end; only why where it printed nothing.
pub(super) fn failed(output: &str, how: &str, said: &str) -> Result<String, String> {
    let why = if said.is_empty() { how.to_owned() } else { format!("{how}: {said}") };
    if output.is_empty() { Err(why) } else { Ok(format!("{}\n\n{why}\n", output.trim_end())) }
}

/// The way of keys and signals to the screen.
pub fn input_channel() -> (Sender<ScreenInput>, Receiver<ScreenInput>) {
    // Typed by a person; when it is full, a key waits.
    crossbeam_channel::bounded(1024)
}

#[cfg(test)]
mod tests {
    use super::failed;

    #[test]
    fn failed_command_says_why_below_what_it_printed() {
        let failed = |output: &str, said| failed(output, "ended with 3", said);
        assert_eq!(failed("", ""), Err("ended with 3".to_owned()));
        assert_eq!(failed("", "no such file"), Err("ended with 3: no such file".to_owned()));
        assert_eq!(failed("one\n", "broken"), Ok("one\n\nended with 3: broken\n".to_owned()));
    }
}
