//! Pixels of a PNG (<https://www.w3.org/TR/png-3/>), for terminals that take no file: a row at a time, in memory for one row. Pictures in
//! seven passes are not drawn: few write them.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::decode::Pixels;

/// How a row's samples are to be read.
struct Samples {
    depth: usize,
    /// Grey, grey and alpha, palette, and the others by the number that PNG has for them.
    kind: u8,
    palette: Vec<u8>,
    /// The alpha of colours of the palette, or the one colour that is not seen.
    transparent: Vec<u8>,
}

/// Nothing where the file is torn, or of a form that is not read here.
pub(super) fn decode(file: &[u8]) -> Option<Pixels> {
    let (mut header, mut samples, mut packed) = (None, None, Vec::new());
    let mut rest = file.get(8..)?;
    while let Some((kind, data, after)) = chunk(rest) {
        match kind {
            b"IHDR" => {
                let &[_, _, _, _, _, _, _, _, depth, colours, 0, 0, 0] = data else { return None };
                let of = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
                header = Some((of(0)?, of(4)?));
                let is_valid = match colours {
                    0 => [1, 2, 4, 8, 16].contains(&depth),
                    3 => [1, 2, 4, 8].contains(&depth),
                    2 | 4 | 6 => [8, 16].contains(&depth),
                    _ => false,
                };
                let none = Samples { depth: depth.into(), kind: colours, palette: Vec::new(), transparent: Vec::new() };
                samples = is_valid.then_some(none);
            }
            b"PLTE" => samples.as_mut()?.palette = data.to_vec(),
            b"tRNS" => samples.as_mut()?.transparent = data.to_vec(),
            b"IDAT" => packed.extend_from_slice(data),
            b"IEND" => break,
            _ => {}
        }
        rest = after;
    }
    let (size, samples) = (header?, samples?);
    Pixels::fits(size).then(|| rows(size, &samples, &packed))?
}

/// A chunk's name, what is in it, and what stands after it.
fn chunk(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = usize::try_from(u32::from_be_bytes(rest.get(..4)?.try_into().ok()?)).ok()?;
    let end = length.checked_add(8)?;
    Some((rest.get(4..8)?, rest.get(8..end)?, rest.get(end.checked_add(4)?..)?))
}

fn rows(size: (u32, u32), samples: &Samples, packed: &[u8]) -> Option<Pixels> {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let bits = samples.channels() * samples.depth;
    let (stride, step) = ((width * bits).div_ceil(8), (bits / 8).max(1));
    let mut unpacked = ZlibDecoder::new(packed);
    let (mut row, mut above) = (vec![0; stride + 1], vec![0; stride]);
    let mut rgba = Vec::with_capacity(width * height * 4);
    for _ in 0..height {
        unpacked.read_exact(&mut row).ok()?;
        let (filter, line) = row.split_first_mut()?;
        unfilter(*filter, line, &above, step)?;
        (0..width).for_each(|at| rgba.extend(samples.pixel(line, at)));
        above.copy_from_slice(line);
    }
    Some(Pixels { size, rgba })
}

/// Undoes what was done to a row to make it pack well. `step`: bytes from a pixel to the next.
fn unfilter(filter: u8, line: &mut [u8], above: &[u8], step: usize) -> Option<()> {
    for at in 0..line.len() {
        let (left, corner) = if at >= step { (line[at - step], above[at - step]) } else { (0, 0) };
        let up = above[at];
        let guess = match filter {
            0 => return Some(()),
            1 => left,
            2 => up,
            3 => ((u16::from(left) + u16::from(up)) / 2) as u8,
            4 => paeth(left, up, corner),
            _ => return None,
        };
        line[at] = line[at].wrapping_add(guess);
    }
    Some(())
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let far = |from: u8| (guess - i16::from(from)).abs();
    [left, up, corner].into_iter().min_by_key(|it| far(*it)).unwrap_or(left)
}

impl Samples {
    fn channels(&self) -> usize {
        match self.kind {
            2 => 3,
            4 => 2,
            6 => 4,
            _ => 1,
        }
    }

    fn pixel(&self, line: &[u8], at: usize) -> [u8; 4] {
        let channels = self.channels();
        let raw = |channel: usize| self.sample(line, at * channels + channel);
        let shown = |channel: usize| self.shown(raw(channel));
        match self.kind {
            0 => {
                let grey = shown(0);
                [grey, grey, grey, self.alpha_of(&[raw(0)])]
            }
            2 => [shown(0), shown(1), shown(2), self.alpha_of(&[raw(0), raw(1), raw(2)])],
            3 => {
                let index = usize::from(raw(0));
                let part = |channel: usize| self.palette.get(index * 3 + channel).copied().unwrap_or_default();
                [part(0), part(1), part(2), self.transparent.get(index).copied().unwrap_or(255)]
            }
            4 => [shown(0), shown(0), shown(0), shown(1)],
            _ => [shown(0), shown(1), shown(2), shown(3)],
        }
    }

    fn sample(&self, line: &[u8], index: usize) -> u16 {
        let bit = index * self.depth;
        let byte = u16::from(line[bit / 8]);
        match self.depth {
            16 => byte << 8 | u16::from(line[bit / 8 + 1]),
            8 => byte,
            depth => byte >> (8 - depth - bit % 8) & ((1 << depth) - 1),
        }
    }

    /// Of eight bits.
    fn shown(&self, sample: u16) -> u8 {
        match self.depth {
            16 => (sample >> 8) as u8,
            8 => sample as u8,
            depth => (sample * 255 / ((1 << depth) - 1)) as u8,
        }
    }

    fn alpha_of(&self, samples: &[u16]) -> u8 {
        let hidden = self.transparent.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let is_hidden = self.transparent.len() == samples.len() * 2 && hidden.eq(samples.iter().copied());
        if is_hidden { 0 } else { 255 }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    /// A file of these rows, each with its filter before it; without sums, which nobody asks for.
    pub(in crate::ui::graphics) fn png(
        size: (u32, u32),
        form: (u8, u8),
        more: &[(&[u8], &[u8])],
        rows: &[u8],
    ) -> Vec<u8> {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(rows).unwrap();
        let packed = packed.finish().unwrap();
        let header = [&size.0.to_be_bytes()[..], &size.1.to_be_bytes(), &[form.0, form.1, 0, 0, 0]].concat();
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let first = [(&b"IHDR"[..], &header[..])];
        let last = [(&b"IDAT"[..], &packed[..]), (&b"IEND"[..], &b""[..])];
        for (kind, data) in first.iter().chain(more).chain(&last) {
            file.extend([&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat());
        }
        file
    }

    #[test]
    fn png_is_decoded_in_each_of_its_forms() {
        let seen =
            |size, form, more: &[(&[u8], &[u8])], rows: &[u8]| decode(&png(size, form, more, rows)).unwrap().rgba;
        assert_eq!(seen((2, 1), (8, 2), &[], &[0, 1, 2, 3, 4, 5, 6]), [1, 2, 3, 255, 4, 5, 6, 255]);
        let hidden: &[(&[u8], &[u8])] = &[(b"tRNS", &[0, 1, 0, 2, 0, 3])];
        assert_eq!(seen((2, 1), (8, 2), hidden, &[0, 1, 2, 3, 4, 5, 6])[3], 0);
        assert_eq!(seen((1, 1), (16, 6), &[], &[0, 9, 1, 8, 1, 7, 1, 6, 1]), [9, 8, 7, 6]);
        assert_eq!(seen((1, 1), (8, 4), &[], &[0, 9, 6]), [9, 9, 9, 6]);
        assert_eq!(seen((3, 1), (1, 0), &[], &[0, 0b1010_0000])[..8], [255, 255, 255, 255, 0, 0, 0, 255]);
        let palette: &[(&[u8], &[u8])] = &[(b"PLTE", &[1, 2, 3, 4, 5, 6]), (b"tRNS", &[7])];
        let shown = [4, 5, 6, 255, 1, 2, 3, 7, 0, 0, 0, 255];
        assert_eq!(seen((3, 1), (4, 3), palette, &[0, 0x10, 0x90]), shown, "a colour that is not there is black");
    }

    #[test]
    fn png_rows_are_taken_back_from_their_filters() {
        let rows = [[0_u8, 10, 20, 30], [1, 10, 10, 10], [2, 1, 1, 1], [3, 1, 1, 1], [4, 1, 1, 1]].concat();
        let grey: Vec<_> = decode(&png((3, 5), (8, 0), &[], &rows)).unwrap().rgba.chunks(4).map(|it| it[0]).collect();
        assert_eq!(grey, [10, 20, 30, 10, 20, 30, 11, 21, 31, 6, 14, 23, 7, 15, 24]);
    }

    #[test]
    fn png_that_lies_about_itself_is_refused() {
        let row = [0, 1, 2, 3];
        let whole = png((1, 1), (8, 2), &[], &row);
        assert!(decode(&whole).is_some());
        (0..whole.len() - 12).for_each(|torn| assert!(decode(&whole[..torn]).is_none(), "{torn}"));
        for (size, form) in [((1, 2), (8, 2)), ((u32::MAX, u32::MAX), (16, 6)), ((1, 1), (3, 2)), ((1, 1), (8, 5))] {
            assert!(decode(&png(size, form, &[], &row)).is_none(), "{size:?} {form:?}");
        }
        assert!(decode(&png((1, 1), (8, 2), &[], &[9, 1, 2, 3])).is_none(), "no such filter");
    }
}
