//! By which protocol a terminal shows pictures, and how large its cells are.

use super::decode::Pixels;
use super::file::{ImageFile, ImageFormat};

/// The protocols for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphicsProtocol {
    Kitty,
    Iterm,
    Sixel,
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
        let has_room = self.takes(image) || Pixels::fits(image.size);
        let reasons = [
            (image.bytes.len() > LARGEST, "not drawn here, as it is larger than 2M"),
            (!has_room, "not drawn here, as it has more than twelve million pixels"),
            (image.is_broken(), "not drawn here: it is damaged, or of a rare form"),
        ];
        reasons.into_iter().find(|(holds, _)| *holds).map(|(_, why)| why)
    }

    /// Whether the terminal takes the file as it is.
    pub(super) fn takes(self, image: &ImageFile) -> bool {
        match self.protocol {
            GraphicsProtocol::Kitty => image.format == ImageFormat::Png,
            GraphicsProtocol::Iterm => true,
            GraphicsProtocol::Sixel => false,
        }
    }

    /// The pixels that lie on so many cells. Those of Sixel lie as they are, in bands of six rows: none begins below.
    pub(super) fn pixels(self, (columns, rows): (u16, u16)) -> (u32, u32) {
        let of = |cells: u16, cell: u16| u32::from(cells.max(1)) * u32::from(cell.max(1));
        let (width, height) = (of(columns, self.cell.0), of(rows, self.cell.1));
        match self.protocol {
            GraphicsProtocol::Sixel => (width, (height / 6 * 6).max(6)),
            _ => (width, height),
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
        let sixel = Graphics { protocol: GraphicsProtocol::Sixel, ..graphics };
        assert_eq!((graphics.pixels((3, 2)), sixel.pixels((3, 2))), ((30, 40), (30, 36)));
        let odd = Graphics { cell: (0, 0), ..graphics };
        assert_eq!(odd.cells((100, 100), (0, 0)), (1, 1));
    }
}
