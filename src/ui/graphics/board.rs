//! Which pictures the terminal shows now, and what brings it to those that are wanted. What is there already is not drawn again.

use std::sync::Arc;

use super::encode::{at, iterm, kitty, kitty_delete, kitty_move};
use super::{Graphics, GraphicsProtocol, PicturePlace};

#[derive(Default)]
pub(crate) struct PictureBoard {
    protocol: Option<GraphicsProtocol>,
    /// Each with the name that the terminal knows it by.
    shown: Vec<(PicturePlace, u32)>,
    last: u32,
}

impl PictureBoard {
    /// What is to be written so that these are shown and no others; nothing where one is left over that goes only when the screen is
    /// cleared.
    pub(crate) fn show(&mut self, graphics: Option<Graphics>, wanted: &[PicturePlace]) -> Option<String> {
        self.protocol = graphics.map(|graphics| graphics.protocol).or(self.protocol);
        let Some(protocol) = self.protocol else { return Some(String::new()) };
        let is_same = |one: &PicturePlace, other: &PicturePlace| Arc::ptr_eq(&one.image, &other.image);
        let is_there = |place: &PicturePlace| wanted.iter().any(|it| is_same(it, place) && it.area == place.area);
        if protocol == GraphicsProtocol::Iterm && !self.shown.iter().all(|(place, _)| is_there(place)) {
            return None;
        }
        let mut written = String::new();
        self.shown.retain(|(place, id)| {
            let stays = wanted.iter().any(|it| is_same(it, place));
            written += &if stays { String::new() } else { kitty_delete(*id) };
            stays
        });
        for place in wanted {
            match self.shown.iter_mut().find(|(known, _)| is_same(known, place)) {
                Some((known, _)) if known.area == place.area => {}
                Some((known, id)) => {
                    known.area = place.area;
                    written += &at(place.area, &kitty_move(*id, place.area));
                }
                None => {
                    self.last += 1;
                    let file = &place.image.bytes;
                    let drawn = match protocol {
                        GraphicsProtocol::Kitty => kitty(self.last, place.area, file),
                        GraphicsProtocol::Iterm => iterm(place.area, file),
                    };
                    written += &at(place.area, &drawn);
                    self.shown.push((place.clone(), self.last));
                }
            }
        }
        Some(written)
    }

    /// The screen is about to be cleared: what is to be written so that nothing is left over.
    pub(crate) fn forget(&mut self) -> String {
        let gone = std::mem::take(&mut self.shown);
        let is_kitty = self.protocol == Some(GraphicsProtocol::Kitty);
        gone.iter().filter(|_| is_kitty).map(|(_, id)| kitty_delete(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::super::ImageFile;
    use super::*;

    fn place(x: u16) -> PicturePlace {
        let image = ImageFile::read(b"GIF89a\x02\0\x03\0".to_vec()).unwrap();
        PicturePlace { image: Arc::new(image), area: Rect { x, y: 2, width: 3, height: 4 } }
    }

    fn on(protocol: GraphicsProtocol) -> Option<Graphics> {
        Some(Graphics { protocol, cell: (8, 16) })
    }

    #[test]
    fn kitty_picture_is_drawn_once_moved_and_taken_away() {
        let (mut board, kitty, first) = (PictureBoard::default(), on(GraphicsProtocol::Kitty), place(1));
        let drawn = board.show(kitty, std::slice::from_ref(&first)).unwrap();
        assert!(drawn.starts_with("\x1b7\x1b[3;2H\x1b_Ga=T,f=100,i=1,"), "{drawn:?}");
        assert_eq!(board.show(kitty, std::slice::from_ref(&first)).unwrap(), "", "it is there");
        let moved = PicturePlace { area: Rect { y: 1, ..first.area }, ..first };
        let drawn = board.show(kitty, &[moved.clone(), place(9)]).unwrap();
        assert!(drawn.starts_with("\x1b7\x1b[2;2H\x1b_Ga=p,i=1,") && drawn.contains("a=T,f=100,i=2,"), "{drawn:?}");
        assert_eq!(board.show(kitty, &[moved]).unwrap(), "\x1b_Ga=d,d=I,i=2,q=2\x1b\\");
        assert_eq!(board.show(None, &[]).unwrap(), "\x1b_Ga=d,d=I,i=1,q=2\x1b\\", "they were turned off");
        board.show(kitty, &[place(1)]);
        assert_eq!((board.forget().as_str(), board.forget().as_str()), ("\x1b_Ga=d,d=I,i=3,q=2\x1b\\", ""));
    }

    #[test]
    fn iterm_picture_goes_when_the_screen_is_cleared() {
        let (mut board, iterm, first) = (PictureBoard::default(), on(GraphicsProtocol::Iterm), place(1));
        assert!(board.show(iterm, std::slice::from_ref(&first)).unwrap().contains("1337;File=inline=1"));
        assert_eq!(board.show(iterm, std::slice::from_ref(&first)).unwrap(), "");
        assert_eq!(board.show(iterm, &[]), None);
        assert_eq!(board.forget(), "");
        assert_eq!(board.show(iterm, &[]).unwrap(), "");
    }
}
