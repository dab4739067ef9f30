//! Pictures on terminals that can show them; elsewhere they are described.
//!
//! Kitty's protocol, iTerm2's and Sixel are spoken, by the few lines of `encode` and `sixel`, and only where the terminal answered that it
//! takes them (`query`). iTerm2's takes every file as it is, Kitty's those of the format PNG; all else is decoded (`decode`), beside the
//! screen, and within a budget. `ratatui-image` would do that and more, and costs 39 CPU seconds of building for its 29 crates (colour
//! spaces, quantisers, decoders), a third of what all the rest costs; the three decoders here cost 6.
//!
//! A picture is drawn when all its cells are in sight: `view` leaves them blank and marked, and what lies over them takes the mark away. It is
//! drawn once, and taken away when it is no longer wanted (`board`).

mod board;
mod decode;
mod encode;
mod file;
mod png;
mod protocol;
mod query;
#[cfg(test)]
mod samples;
mod sixel;

use std::sync::Arc;

use ratatui::layout::Rect;

pub(crate) use board::PictureBoard;
pub(crate) use file::ImageFile;
pub use protocol::{Graphics, GraphicsProtocol};
pub(crate) use query::{TerminalAnswers, is_colourful, question, read_answers};

/// A picture, and the cells that it is drawn on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PicturePlace {
    pub(crate) image: Arc<ImageFile>,
    pub(crate) area: Rect,
}
