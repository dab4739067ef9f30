//! Which pictures the terminal shows now, and what brings it to those that are wanted. What is there already is not drawn again.

use std::sync::{Arc, OnceLock};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::decode::decode;
use super::encode::{at, iterm, kitty, kitty_delete, kitty_move, kitty_pixels};
use super::sixel::sixel;
use super::{Graphics, GraphicsProtocol, PicturePlace};

pub(crate) struct PictureBoard {
    graphics: Option<Graphics>,
    /// Each with the name that the terminal knows it by.
    shown: Vec<(PicturePlace, u32)>,
    last: u32,
    /// Those that the terminal does not take as the files they are, as they are wanted.
    prepared: Vec<PreparedPicture>,
    /// One is decoded at a time: that takes memory.
    turn: Arc<Mutex<()>>,
    /// Says that one is ready.
    wake: Arc<dyn Fn() + Send + Sync>,
}

/// What is written for a picture that had to be decoded.
struct PreparedPicture {
    place: PicturePlace,
    graphics: Graphics,
    name: u32,
    /// Empty for as long as it is worked on; nothing in it where the file is damaged.
    drawn: Arc<OnceLock<Option<String>>>,
}

/// Of more prepared pictures those are kept that are in sight.
const MOST_PREPARED: usize = 8;

impl PictureBoard {
    /// Sends the word when a picture is ready that is wanted.
    pub(crate) fn new<T: Clone + Send + Sync + 'static>(to: Sender<T>, word: T) -> Self {
        // A screen that has ended wants none.
        let wake = Arc::new(move || drop(to.send(word.clone())));
        Self { graphics: None, shown: Vec::new(), last: 0, prepared: Vec::new(), turn: Arc::default(), wake }
    }

    /// What is to be written so that these are shown and no others; nothing where one is left over that goes only when the screen is
    /// cleared.
    pub(crate) fn show(&mut self, graphics: Option<Graphics>, wanted: &[PicturePlace]) -> Option<String> {
        self.graphics = graphics.or(self.graphics);
        let Some(graphics) = self.graphics else { return Some(String::new()) };
        let is_there = |place: &PicturePlace| wanted.iter().any(|it| is_same(it, place) && it.area == place.area);
        // The pictures of others lie on the cells like letters.
        if graphics.protocol != GraphicsProtocol::Kitty && !self.shown.iter().all(|(place, _)| is_there(place)) {
            return None;
        }
        let mut written = String::new();
        self.shown.retain(|(place, id)| {
            let stays = wanted.iter().any(|it| is_same(it, place));
            written += &if stays { String::new() } else { kitty_delete(*id) };
            stays
        });
        if self.prepared.len() > MOST_PREPARED {
            self.prepared.retain(|it| wanted.iter().any(|place| is_same(place, &it.place)));
        }
        for place in wanted {
            match self.shown.iter_mut().find(|(known, _)| is_same(known, place)) {
                Some((known, _)) if known.area == place.area => {}
                Some((known, id)) => {
                    known.area = place.area;
                    written += &at(place.area, &kitty_move(*id, place.area));
                }
                None => {
                    if let Some((name, drawn)) = self.drawn(graphics, place) {
                        written += &at(place.area, &drawn);
                        self.shown.push((place.clone(), name));
                    }
                }
            }
        }
        Some(written)
    }

    /// What draws a picture, and the name that it gets; nothing where it is to be decoded first, which is begun.
    fn drawn(&mut self, graphics: Graphics, place: &PicturePlace) -> Option<(u32, String)> {
        if graphics.takes(&place.image) {
            self.last += 1;
            let drawn = match graphics.protocol {
                GraphicsProtocol::Kitty => kitty(self.last, place.area, &place.image.bytes),
                _ => iterm(place.area, &place.image.bytes),
            };
            return Some((self.last, drawn));
        }
        let size = |place: &PicturePlace| (place.area.width, place.area.height);
        let known = self
            .prepared
            .iter()
            .find(|it| is_same(&it.place, place) && size(&it.place) == size(place) && it.graphics == graphics);
        if let Some(known) = known {
            return Some((known.name, known.drawn.get()?.clone()?));
        }
        self.last += 1;
        let prepared =
            PreparedPicture { place: place.clone(), graphics, name: self.last, drawn: Arc::new(OnceLock::new()) };
        self.begin(&prepared);
        self.prepared.push(prepared);
        None
    }

    /// Decodes a picture on a thread of its own.
    fn begin(&self, prepared: &PreparedPicture) {
        let (place, graphics, name) = (prepared.place.clone(), prepared.graphics, prepared.name);
        let (drawn, turn, wake) = (prepared.drawn.clone(), self.turn.clone(), self.wake.clone());
        let work = move || {
            let found = {
                let _turn = turn.lock();
                prepare(graphics, &place, name)
            };
            if found.is_none() {
                place.image.set_broken();
            }
            drawn.get_or_init(|| found);
            wake();
        };
        // Without a thread it stays what it is: described.
        let _ = std::thread::Builder::new().name("picture".to_owned()).spawn(work);
    }

    /// The screen is about to be cleared: what is to be written so that nothing is left over.
    pub(crate) fn forget(&mut self) -> String {
        let gone = std::mem::take(&mut self.shown);
        let is_kitty = self.graphics.is_some_and(|graphics| graphics.protocol == GraphicsProtocol::Kitty);
        gone.iter().filter(|_| is_kitty).map(|(_, id)| kitty_delete(*id)).collect()
    }
}

fn is_same(one: &PicturePlace, other: &PicturePlace) -> bool {
    Arc::ptr_eq(&one.image, &other.image)
}

/// Pixels are sent to Kitty for no more than this many: it makes them larger by itself.
const MOST_SENT: f64 = 512.0 * 1024.0;

fn prepare(graphics: Graphics, place: &PicturePlace, name: u32) -> Option<String> {
    let room = graphics.pixels((place.area.width, place.area.height));
    let pixels = decode(&place.image)?;
    Some(match graphics.protocol {
        GraphicsProtocol::Kitty => {
            let less = (MOST_SENT / (f64::from(room.0) * f64::from(room.1))).sqrt().min(1.0);
            let most = ((f64::from(room.0) * less) as u32, (f64::from(room.1) * less) as u32);
            kitty_pixels(name, place.area, &pixels.within(most))
        }
        _ => sixel(&pixels.within(room)),
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use crossbeam_channel::Receiver;
    use ratatui::layout::Rect;

    use super::super::ImageFile;
    use super::super::samples::SQUARES;
    use super::*;

    fn place(x: u16) -> PicturePlace {
        of(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x03".to_vec(), x)
    }

    fn of(file: Vec<u8>, x: u16) -> PicturePlace {
        let area = Rect { x, y: 2, width: 3, height: 4 };
        PicturePlace { image: Arc::new(ImageFile::read(file).unwrap()), area }
    }

    fn board() -> (PictureBoard, Receiver<()>) {
        let (to, from) = crossbeam_channel::unbounded();
        (PictureBoard::new(to, ()), from)
    }

    fn on(protocol: GraphicsProtocol) -> Option<Graphics> {
        Some(Graphics { protocol, cell: (8, 16) })
    }

    #[test]
    fn kitty_picture_is_drawn_once_moved_and_taken_away() {
        let ((mut board, _), kitty, first) = (board(), on(GraphicsProtocol::Kitty), place(1));
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
        let ((mut board, _), iterm, first) = (board(), on(GraphicsProtocol::Iterm), place(1));
        assert!(board.show(iterm, std::slice::from_ref(&first)).unwrap().contains("1337;File=inline=1"));
        assert_eq!(board.show(iterm, std::slice::from_ref(&first)).unwrap(), "");
        assert_eq!(board.show(iterm, &[]), None);
        assert_eq!(board.forget(), "");
        assert_eq!(board.show(iterm, &[]).unwrap(), "");
    }

    #[test]
    fn picture_that_is_no_file_for_the_terminal_is_decoded_beside_the_screen() {
        for (protocol, head) in [
            (GraphicsProtocol::Kitty, "\x1b7\x1b[3;2H\x1b_Ga=T,f=32,o=z,s=8,v=8,i=1,p=1,c=3,r=4,"),
            (GraphicsProtocol::Sixel, "\x1b7\x1b[3;2H\x1bP0;1;0q\"1;1;8;8#0;2;"),
        ] {
            for (format, base64) in SQUARES {
                let ((mut board, ready), graphics) = (board(), on(protocol));
                let first = of(STANDARD.decode(base64).unwrap(), 1);
                assert_eq!(board.show(graphics, std::slice::from_ref(&first)).unwrap(), "", "{format}: begun");
                ready.recv().unwrap();
                let drawn = board.show(graphics, std::slice::from_ref(&first)).unwrap();
                assert!(drawn.starts_with(head), "{format}: {drawn:?}");
                assert_eq!(board.show(graphics, std::slice::from_ref(&first)).unwrap(), "", "{format}: it is there");
                board.forget();
                assert_eq!(board.show(graphics, std::slice::from_ref(&first)).unwrap(), drawn, "not decoded again");
            }
        }
    }

    #[test]
    fn sixel_goes_when_the_screen_is_cleared() {
        let ((mut board, ready), sixel) = (board(), on(GraphicsProtocol::Sixel));
        let first = of(STANDARD.decode(SQUARES[0].1).unwrap(), 1);
        board.show(sixel, std::slice::from_ref(&first));
        ready.recv().unwrap();
        assert!(board.show(sixel, std::slice::from_ref(&first)).unwrap().contains("\x1bP0;1;0q"));
        assert_eq!(
            (board.show(sixel, &[]), board.forget(), board.show(sixel, &[])),
            (None, String::new(), Some(String::new()))
        );
    }

    #[test]
    fn picture_that_is_damaged_is_known_to_be() {
        let ((mut board, ready), kitty) = (board(), on(GraphicsProtocol::Kitty));
        let torn = of(b"GIF89a\x02\0\x03\0".to_vec(), 1);
        assert!(kitty.unwrap().refuses(&torn.image).is_none());
        board.show(kitty, std::slice::from_ref(&torn));
        ready.recv().unwrap();
        assert_eq!(board.show(kitty, std::slice::from_ref(&torn)).unwrap(), "");
        assert!(kitty.unwrap().refuses(&torn.image).is_some());
    }
}
