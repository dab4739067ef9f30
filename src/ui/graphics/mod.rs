//! Pictures on terminals that can show them.

mod file;
mod protocol;

use std::sync::Arc;

use ratatui::layout::Rect;

pub(crate) use file::ImageFile;
pub use protocol::{Graphics, GraphicsProtocol};

/// A picture, and the cells that it is drawn on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PicturePlace {
    pub(crate) image: Arc<ImageFile>,
    pub(crate) area: Rect,
}
