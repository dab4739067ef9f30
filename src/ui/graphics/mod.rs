//! Pictures on terminals that can show them; elsewhere they are described.
//!
//! Only Kitty's protocol and iTerm2's are spoken, by the few lines of `encode`, and only where the terminal answered that it takes them
//! (`query`). Both take files as they are, Kitty's of the format PNG. `ratatui-image` would do more (Sixel, every format), and costs 39 CPU
//! seconds of building for its 29 crates (colour spaces, quantisers, decoders), a third of what all the rest costs. Where Sixel is all a
//! terminal has, the description stands, and `w v` writes the file.
//!
//! A picture is drawn when all its cells are in sight: `view` leaves them blank and marked, and what lies over them takes the mark away. It is
//! drawn once, and taken away when it is no longer wanted (`board`).

mod board;
mod encode;
mod file;
mod protocol;
mod query;

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
