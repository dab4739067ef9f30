//! By which protocol a terminal shows pictures, and how large its cells are.

use super::file::{ImageFile, ImageFormat};

/// The protocols for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphicsProtocol {
    Kitty,
    Iterm,
}

/// A terminal that shows pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graphics {
    pub protocol: GraphicsProtocol,
    /// Width and height of a cell in pixels.
    pub cell: (u16, u16),
}

/// Larger files are described: what is sent is written at once, and the screen waits for it.
const LARGEST: usize = 2 << 20;

impl Graphics {
    /// Why a picture cannot be shown.
    pub(crate) fn refuses(self, image: &ImageFile) -> Option<&'static str> {
        match self.protocol {
            _ if image.bytes.len() > LARGEST => Some("not drawn here, as it is larger than 2M"),
            GraphicsProtocol::Kitty if image.format != ImageFormat::Png => {
                Some("not drawn here: this terminal takes PNG")
            }
            GraphicsProtocol::Kitty | GraphicsProtocol::Iterm => None,
        }
    }

    /// Columns and rows of a picture of so many pixels where there is room for no more than `most`: its own size, or less.
    pub(crate) fn cells(self, pixels: (u32, u32), most: (u16, u16)) -> (u16, u16) {
        let (width, height) = (f64::from(pixels.0), f64::from(pixels.1));
        let room = |cells: u16, cell: u16| f64::from(cells) * f64::from(cell.max(1));
        let scale = (room(most.0, self.cell.0) / width).min(room(most.1, self.cell.1) / height).min(1.0);
        let cells = |pixels: f64, cell: u16, most: u16| {
            let cells = (pixels * scale / f64::from(cell.max(1))).ceil();
            (cells as u16).clamp(1, most.max(1))
        };
        (cells(width, self.cell.0, most.0), cells(height, self.cell.1, most.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_takes_its_own_size_or_the_room_there_is() {
        let graphics = Graphics { protocol: GraphicsProtocol::Kitty, cell: (10, 20) };
        assert_eq!(graphics.cells((95, 41), (80, 20)), (10, 3));
        assert_eq!(graphics.cells((1, 1), (80, 20)), (1, 1));
        assert_eq!(graphics.cells((1600, 800), (80, 20)), (80, 20));
        assert_eq!(graphics.cells((1600, 800), (80, 10)), (40, 10));
        assert_eq!(graphics.cells((u32::MAX, 1), (80, 10)), (80, 1));
        let odd = Graphics { cell: (0, 0), ..graphics };
        assert_eq!(odd.cells((100, 100), (0, 0)), (1, 1));
    }
}
