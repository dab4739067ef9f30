//! What is written to a terminal for a picture.
//!
//! - Kitty: <https://sw.kovidgoyal.net/kitty/graphics-protocol/>. Pieces of at most 4096 bytes of base64, `m=1` on all but the last. `q=2`: no
//!   answers, which would be taken for keys; `C=1`: the cursor stays; `i`, `p`: names, by which a picture is moved and taken away.
//!   What is no PNG is sent as pixels, packed (`o=z`).
//! - iTerm2: <https://iterm2.com/documentation-images.html>. The file as it is, its place in cells.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use ratatui::layout::Rect;

use super::decode::Pixels;

/// Bytes of base64 in a piece of Kitty's protocol.
const PIECE: usize = 4096;

/// To the first cell of a place, and back to where the cursor was.
pub(super) fn at(area: Rect, drawn: &str) -> String {
    format!("\x1b7\x1b[{};{}H{drawn}\x1b8", area.y + 1, area.x + 1)
}

/// Draws a file of the format PNG.
pub(super) fn kitty(id: u32, area: Rect, file: &[u8]) -> String {
    kitty_data(id, area, "f=100", file)
}

/// Draws pixels.
pub(super) fn kitty_pixels(id: u32, area: Rect, pixels: &Pixels) -> String {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    // A vector takes everything.
    let _ = packed.write_all(&pixels.rgba);
    let form = format!("f=32,o=z,s={},v={}", pixels.size.0, pixels.size.1);
    kitty_data(id, area, &form, &packed.finish().unwrap_or_default())
}

/// `form`: of which form the data is.
fn kitty_data(id: u32, area: Rect, form: &str, data: &[u8]) -> String {
    let data = STANDARD.encode(data);
    let mut drawn = String::with_capacity(data.len() + data.len() / 64 + 100);
    let count = data.len().div_ceil(PIECE);
    for (number, piece) in data.as_bytes().chunks(PIECE).enumerate() {
        let more = u8::from(number + 1 < count);
        // Base64 is ASCII.
        let piece = String::from_utf8_lossy(piece);
        let _ = match number {
            0 => write!(drawn, "\x1b_Ga=T,{form},{},m={more};{piece}\x1b\\", kitty_place(id, area)),
            _ => write!(drawn, "\x1b_Gm={more},q=2;{piece}\x1b\\"),
        };
    }
    drawn
}

fn kitty_place(id: u32, area: Rect) -> String {
    format!("i={id},p=1,c={},r={},C=1,q=2", area.width, area.height)
}

/// Moves a picture that the terminal has.
pub(super) fn kitty_move(id: u32, area: Rect) -> String {
    format!("\x1b_Ga=p,{}\x1b\\", kitty_place(id, area))
}

/// Takes it away, and its data.
pub(super) fn kitty_delete(id: u32) -> String {
    format!("\x1b_Ga=d,d=I,i={id},q=2\x1b\\")
}

pub(super) fn iterm(area: Rect, file: &[u8]) -> String {
    let (size, data) = (file.len(), STANDARD.encode(file));
    let (width, height) = (area.width, area.height);
    format!("\x1b]1337;File=inline=1;size={size};width={width};height={height};preserveAspectRatio=1:{data}\x07")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { x: 4, y: 9, width: 3, height: 2 };

    #[test]
    fn kitty_is_sent_in_pieces_and_asks_for_no_answer() {
        assert_eq!(kitty(7, AREA, b"hello!"), "\x1b_Ga=T,f=100,i=7,p=1,c=3,r=2,C=1,q=2,m=0;aGVsbG8h\x1b\\");
        let large = kitty(7, AREA, &[0; 7000]);
        let pieces: Vec<_> = large.split_terminator("\x1b\\").collect();
        assert_eq!(pieces.len(), 3);
        assert!(pieces[0].starts_with("\x1b_Ga=T,") && pieces[0].contains(",m=1;"));
        assert!(pieces[1].starts_with("\x1b_Gm=1,q=2;") && pieces[2].starts_with("\x1b_Gm=0,q=2;"));
        let data: String = pieces.iter().map(|piece| piece.split_once(';').unwrap().1).collect();
        assert_eq!(STANDARD.decode(data).unwrap(), [0; 7000]);
        assert_eq!(kitty_move(7, AREA), "\x1b_Ga=p,i=7,p=1,c=3,r=2,C=1,q=2\x1b\\");
        assert_eq!(kitty_delete(7), "\x1b_Ga=d,d=I,i=7,q=2\x1b\\");
    }

    #[test]
    fn kitty_gets_pixels_of_what_it_cannot_read() {
        use std::io::Read as _;
        let pixels = Pixels { size: (2, 1), rgba: (0..8).collect() };
        let drawn = kitty_pixels(7, AREA, &pixels);
        let data = drawn.strip_prefix("\x1b_Ga=T,f=32,o=z,s=2,v=1,i=7,p=1,c=3,r=2,C=1,q=2,m=0;").unwrap();
        let packed = STANDARD.decode(data.strip_suffix("\x1b\\").unwrap()).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, pixels.rgba);
    }

    #[test]
    fn iterm_gets_the_file_and_its_cells() {
        let file = "\x1b]1337;File=inline=1;size=6;width=3;height=2;preserveAspectRatio=1:aGVsbG8h\x07";
        assert_eq!(at(AREA, &iterm(AREA, b"hello!")), format!("\x1b7\x1b[10;5H{file}\x1b8"));
    }
}
