//! The screen: reads events, writes commands, knows nothing else of the core.
//!
//! # How it is started
//!
//! ```text
//! let (keys, input) = ui::input_channel();                // `keys.clone()` for the handler of signals
//! let exit = ui::show(ui::Settings::default(), feed_reader, (keys, input), |command| …)?;
//! ```
//!
//! [`show`] takes the terminal, runs [`run`] on the calling thread (give it a thread of its own) and gives the
//! terminal back before it returns, also on a panic. Keys come from a thread that `show` starts. `SIGTERM` and
//! `SIGHUP` are sent in as [`ScreenInput::Terminate`], a `SIGINT` from outside as [`ScreenInput::Interrupt`]; ctrl c itself is a
//! key here. Quitting sends [`Quit`], and again to force; the screen stays until the core has stopped, and shows what
//! it waits for. One that only watches ([`Settings::attached`]) goes at once. It never blocks on the core: commands go
//! out through a closure that must not wait. A screen that comes late is sent a [`Resync`] by the code that attaches it.
//! While the operator's own editor has the terminal nothing is read; what is lost meanwhile is asked for again.
//!
//! [`Quit`]: crate::event::Command::Quit
//! [`Resync`]: crate::event::Command::Resync
//!
//! # Where things are
//!
//! `event_loop` waits, changes, draws. `model` is everything on the screen as plain data; `update` is the one way to change
//! it: by an event of the core (`model::on_event`), or by a key, which `act` carries out. Which key means what where is in the
//! one table of keys, `keymap`, which the key line and the help are read from too. `layout` says where everything goes,
//! `view` draws it and changes nothing, `theme` has the colours; `term` is the real terminal, `piping` runs
//! the commands that messages are handed to, `saving` writes files. `text`, `json` and `diff` turn
//! a peer's bytes into what can be shown; `content` lays out what messages say to people, `graphics` has their pictures.
//!
//! Imports go one way: `event_loop` → `view`, `update` → `act` → `keymap`, `layout` → `model` → `json`, `diff`. No two files
//! of `ui` import each other, and each `mod.rs` only declares and re-exports.
//!
//! Architecture invariant: nothing here is async, and nothing from a peer reaches the terminal unsanitized
//! (`text::sanitize`, and `view`'s last net).

#[cfg(test)]
mod tests;

mod act;
mod clusters;
mod content;
pub mod diff;
mod event_loop;
mod graphics;
mod help;
mod host;
pub mod json;
mod key_press;
mod keymap;
mod layout;
mod model;
mod piping;
mod saving;
mod settings;
mod term;
mod theme;
mod update;
mod view;

pub use event_loop::{ScreenIo, run};
pub use graphics::{Graphics, GraphicsProtocol, PicturePlace};
pub use help::keys;
pub use host::{Exit, ExportedFile, PicturesDrawn, PipedOutput, ScreenInput, TapeWriter, TerminalHost, input_channel};
pub use keymap::{KeyChange, KeyMistake, key_choice};
pub use settings::{ArchiveWriter, ColorTheme, KeyChoice, ListColumn, Settings};
pub use term::{give_back_keys, graphics_here, show};
