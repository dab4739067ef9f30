//! Sixel (<https://vt100.net/docs/vt3xx-gp/chapter14.html>): six rows of pixels at a time, colour by colour, of at most 255 colours, found by
//! cutting the colours that there are in halves (median cut). What is not seen is left as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::decode::Pixels;

/// Rows in a band.
const BAND: usize = 6;
const MOST_COLOURS: usize = 255;
/// Bits of each part of a colour that are looked at.
const BITS: u32 = 5;

/// Draws them from the first cell of a place on.
pub(super) fn sixel(pixels: &Pixels) -> String {
    let (width, height) = (pixels.size.0 as usize, pixels.size.1 as usize);
    let colours: Vec<Option<u16>> =
        pixels.rgba.chunks_exact(4).map(|pixel| (pixel[3] >= 128).then(|| rough(pixel))).collect();
    let (palette, numbers) = palette(pixels, &colours);
    let mut drawn = format!("\x1bP0;1;0q\"1;1;{width};{height}");
    for (number, colour) in palette.iter().enumerate() {
        let [red, green, blue] = colour.map(|part| (u32::from(part) * 100 + 127) / 255);
        let _ = write!(drawn, "#{number};2;{red};{green};{blue}");
    }
    for band in colours.chunks(width.max(1) * BAND) {
        draw_band(band, width, &numbers, &mut drawn);
    }
    drawn + "\x1b\\"
}

/// A colour by its first bits.
fn rough(pixel: &[u8]) -> u16 {
    pixel[..3].iter().fold(0, |colour, part| colour << BITS | u16::from(part >> (8 - BITS)))
}

fn draw_band(band: &[Option<u16>], width: usize, numbers: &[u8], drawn: &mut String) {
    let mut lines: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for (at, colour) in band.iter().enumerate() {
        if let Some(colour) = colour {
            let line = lines.entry(numbers[usize::from(*colour)]).or_insert_with(|| vec![0; width]);
            line[at % width] |= 1 << (at / width);
        }
    }
    for (number, line) in lines {
        let _ = write!(drawn, "#{number}");
        let end = line.iter().rposition(|sixel| *sixel != 0).map_or(0, |at| at + 1);
        for run in line[..end].chunk_by(|one, other| one == other) {
            let sixel = char::from(b'?' + run[0]);
            if run.len() > 3 {
                let _ = write!(drawn, "!{}{sixel}", run.len());
            } else {
                run.iter().for_each(|_| drawn.push(sixel));
            }
        }
        drawn.push('$');
    }
    drawn.push('-');
}

/// The colours to draw with, and which of them each rough colour is.
fn palette(pixels: &Pixels, colours: &[Option<u16>]) -> (Vec<[u8; 3]>, Vec<u8>) {
    // How often each is there, and the sums of what it stands for.
    let mut counted = vec![[0_u64; 4]; 1 << (3 * BITS)];
    for (pixel, colour) in pixels.rgba.chunks_exact(4).zip(colours) {
        let Some(colour) = colour else { continue };
        let sums = &mut counted[usize::from(*colour)];
        sums[3] += 1;
        sums.iter_mut().zip(&pixel[..3]).for_each(|(sum, part)| *sum += u64::from(*part));
    }
    let used: Vec<u16> = (0..=u16::MAX >> 1).filter(|colour| counted[usize::from(*colour)][3] > 0).collect();
    let mut boxes: Vec<Vec<u16>> = if used.is_empty() { Vec::new() } else { vec![used] };
    while boxes.len() < MOST_COLOURS {
        let Some((at, part)) = widest(&boxes) else { break };
        let mut colours = boxes.swap_remove(at);
        colours.sort_unstable_by_key(|colour| part_of(*colour, part));
        let half: u64 = colours.iter().map(|colour| counted[usize::from(*colour)][3]).sum::<u64>() / 2;
        let mut before = 0;
        let middle = colours.iter().position(|colour| {
            before += counted[usize::from(*colour)][3];
            before > half
        });
        let rest = colours.split_off(middle.unwrap_or(1).clamp(1, colours.len() - 1));
        boxes.extend([colours, rest]);
    }
    let mut numbers = vec![0; counted.len()];
    let mean = |(number, colours): (usize, Vec<u16>)| {
        let mut sums = [0; 4];
        for colour in colours {
            numbers[usize::from(colour)] = number as u8;
            sums.iter_mut().zip(counted[usize::from(colour)]).for_each(|(sum, more)| *sum += more);
        }
        [0, 1, 2].map(|part| (sums[part] / sums[3].max(1)) as u8)
    };
    let palette = boxes.into_iter().enumerate().map(mean).collect();
    (palette, numbers)
}

/// Red, green or blue of a rough colour.
fn part_of(colour: u16, part: u32) -> u16 {
    colour >> ((2 - part) * BITS) & ((1 << BITS) - 1)
}

/// Where colours lie farthest apart, and in which part; nothing where each is by itself.
fn widest(boxes: &[Vec<u16>]) -> Option<(usize, u32)> {
    let width = |colours: &Vec<u16>, part: u32| {
        let parts = || colours.iter().map(|colour| part_of(*colour, part));
        parts().max().unwrap_or(0) - parts().min().unwrap_or(0)
    };
    let all =
        boxes.iter().enumerate().flat_map(|(at, colours)| (0..3).map(move |part| (width(colours, part), at, part)));
    all.max().filter(|(width, ..)| *width > 0).map(|(_, at, part)| (at, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const BLUE: [u8; 4] = [0, 0, 255, 255];
    const NONE: [u8; 4] = [0; 4];

    #[test]
    fn sixels_are_bands_of_six_rows_colour_by_colour() {
        let row = [RED, RED, RED, RED, BLUE, NONE].concat();
        let drawn = sixel(&Pixels { size: (6, 7), rgba: row.repeat(7) });
        let (head, data) = drawn.split_at(drawn.find("#0").unwrap());
        assert_eq!(head, "\x1bP0;1;0q\"1;1;6;7");
        // Of six rows all bits, of the seventh the first one.
        assert_eq!(data, "#0;2;100;0;0#1;2;0;0;100#0!4~$#1!4?~$-#0!4@$#1!4?@$-\x1b\\");
    }

    #[test]
    fn sixel_colours_are_few_and_near_to_those_of_the_picture() {
        let rgba: Vec<u8> =
            (0..64_u32 * 64).flat_map(|at| [(at % 64 * 4) as u8, (at / 64 * 4) as u8, 100, 255]).collect();
        let pixels = Pixels { size: (64, 64), rgba };
        let colours: Vec<_> = pixels.rgba.chunks_exact(4).map(|pixel| Some(rough(pixel))).collect();
        let (palette, numbers) = palette(&pixels, &colours);
        assert_eq!(palette.len(), MOST_COLOURS);
        for (pixel, colour) in pixels.rgba.chunks_exact(4).zip(&colours) {
            let near = palette[usize::from(numbers[usize::from(colour.unwrap())])];
            assert!(near.iter().zip(pixel).all(|(one, other)| one.abs_diff(*other) < 24), "{near:?} for {pixel:?}");
        }
    }

    #[test]
    fn sixel_of_nothing_to_see_draws_nothing() {
        assert_eq!(sixel(&Pixels { size: (1, 1), rgba: NONE.to_vec() }), "\x1bP0;1;0q\"1;1;1;1-\x1b\\");
    }
}
