//! The pixels of a picture, for terminals that take no file of its format. Too many are refused by what the head says, before there is
//! room for them; whoever decodes does so beside the screen.

use std::io::Cursor;
use std::num::NonZeroU64;
use std::ops::Range;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::file::{ImageFile, ImageFormat};
use super::png;

/// A picture has no more pixels, which take 48 MiB.
const MOST_PIXELS: u64 = 12 << 20;

/// Red, green, blue and alpha of each pixel, row by row.
#[derive(Debug, PartialEq)]
pub(super) struct Pixels {
    pub(super) size: (u32, u32),
    pub(super) rgba: Vec<u8>,
}

/// Nothing where the file is damaged, or has more than it says.
pub(super) fn decode(file: &ImageFile) -> Option<Pixels> {
    let decode = match file.format {
        _ if !Pixels::fits(file.size) => return None,
        ImageFormat::Png => png::decode,
        ImageFormat::Jpeg => jpeg,
        ImageFormat::Gif => gif,
        ImageFormat::Webp => webp,
    };
    decode(&file.bytes).filter(|pixels| pixels.rgba.len() as u64 == bytes(pixels.size))
}

fn bytes((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height) * 4
}

fn jpeg(file: &[u8]) -> Option<Pixels> {
    // No side is longer than this where the whole is no more than it may be, as the other is one at least.
    let most = u16::MAX.into();
    let options =
        DecoderOptions::new_safe().set_max_width(most).set_max_height(most).jpeg_set_out_colorspace(ColorSpace::RGBA);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().ok()?;
    let info = decoder.info()?;
    let size = (info.width.into(), info.height.into());
    if !Pixels::fits(size) {
        return None;
    }
    Some(Pixels { size, rgba: decoder.decode().ok()? })
}

/// The first of the pictures in it.
fn gif(file: &[u8]) -> Option<Pixels> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    options.set_memory_limit(gif::MemoryLimit::Bytes(NonZeroU64::new(MOST_PIXELS * 4)?));
    options.check_frame_consistency(true);
    let mut decoder = options.read_info(file).ok()?;
    let size = (decoder.width().into(), decoder.height().into());
    if !Pixels::fits(size) {
        return None;
    }
    let frame = decoder.read_next_frame().ok()??;
    let (width, left, top) = (usize::from(frame.width), usize::from(frame.left), usize::from(frame.top));
    let mut rgba = vec![0; usize::try_from(bytes(size)).ok()?];
    for (row, line) in frame.buffer.chunks_exact(width.max(1) * 4).enumerate() {
        let at = ((top + row) * usize::try_from(size.0).ok()? + left) * 4;
        rgba.get_mut(at..at + line.len())?.copy_from_slice(line);
    }
    Some(Pixels { size, rgba })
}

fn webp(file: &[u8]) -> Option<Pixels> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file)).ok()?;
    decoder.set_memory_limit(usize::try_from(MOST_PIXELS * 4).ok()?);
    let size = decoder.dimensions();
    if !Pixels::fits(size) {
        return None;
    }
    let mut decoded = vec![0; decoder.output_buffer_size()?];
    decoder.read_image(&mut decoded).ok()?;
    let rgba = match decoder.has_alpha() {
        true => decoded,
        false => decoded.chunks_exact(3).flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]).collect(),
    };
    Some(Pixels { size, rgba })
}

impl Pixels {
    /// Whether there is room for so many, and there are any.
    pub(super) fn fits((width, height): (u32, u32)) -> bool {
        (1..=MOST_PIXELS).contains(&(u64::from(width) * u64::from(height)))
    }

    /// No larger than this, each pixel the mean of those that fall on it.
    pub(super) fn within(self, (most_width, most_height): (u32, u32)) -> Self {
        let (width, height) = (self.size.0.min(most_width.max(1)), self.size.1.min(most_height.max(1)));
        if (width, height) == self.size {
            return self;
        }
        let from = |at: u32, new: u32, old: u32| (u64::from(at) * u64::from(old) / u64::from(new)) as usize;
        let mut rgba = Vec::with_capacity(usize::try_from(bytes((width, height))).unwrap_or_default());
        for y in 0..height {
            let rows = from(y, height, self.size.1)..from(y + 1, height, self.size.1);
            for x in 0..width {
                let columns = (from(x, width, self.size.0), from(x + 1, width, self.size.0));
                rgba.extend(self.mean(columns, rows.clone()));
            }
        }
        Self { size: (width, height), rgba }
    }

    /// What is not seen has no part in the colour.
    fn mean(&self, (left, right): (usize, usize), rows: Range<usize>) -> [u8; 4] {
        let count = ((right - left) * rows.len()).max(1) as u64;
        let (mut sums, mut opaque) = ([0_u64; 3], 0_u64);
        for row in rows {
            let begin = row * self.size.0 as usize;
            for pixel in self.rgba[(begin + left) * 4..(begin + right) * 4].chunks_exact(4) {
                let alpha = u64::from(pixel[3]);
                opaque += alpha;
                sums.iter_mut().zip(pixel).for_each(|(sum, part)| *sum += u64::from(*part) * alpha);
            }
        }
        let [red, green, blue] = sums.map(|sum| (sum / opaque.max(1)) as u8);
        [red, green, blue, (opaque / count) as u8]
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::super::samples::{GREY_JPEG, SQUARES};
    use super::*;

    fn read(base64: &str) -> ImageFile {
        ImageFile::read(STANDARD.decode(base64).unwrap()).unwrap()
    }

    #[test]
    fn picture_of_every_format_is_decoded() {
        for (format, base64) in SQUARES {
            let pixels = decode(&read(base64)).unwrap_or_else(|| panic!("{format}"));
            assert_eq!(pixels.size, (8, 8), "{format}");
            let at = |x: usize| &pixels.rgba[x * 4..x * 4 + 4];
            assert!(at(0)[0] > 200 && at(0)[2] < 60 && at(0)[3] == 255, "{format}: {:?}", at(0));
            assert!(at(7)[2] > 200 && at(7)[0] < 60, "{format}: {:?}", at(7));
        }
        let grey = decode(&read(GREY_JPEG)).unwrap().rgba;
        assert!(grey[0] == grey[1] && grey[1] == grey[2] && grey[0] > grey[28] && grey[3] == 255, "{grey:?}");
    }

    #[test]
    fn picture_is_made_smaller_by_the_mean_of_what_is_seen() {
        let rgba = [[10, 0, 0, 255], [30, 0, 0, 255], [99, 0, 0, 0], [50, 0, 0, 255]].concat();
        let small = Pixels { size: (4, 1), rgba: rgba.clone() }.within((2, 9));
        assert_eq!(small, Pixels { size: (2, 1), rgba: [[20, 0, 0, 255], [50, 0, 0, 127]].concat() });
        let same = Pixels { size: (4, 1), rgba }.within((100, 100));
        assert_eq!(same.size, (4, 1));
        for (width, height) in [(1, 1), (3, 2), (7, 5), (0, 0)] {
            let pixels = Pixels { size: (13, 11), rgba: vec![9; 13 * 11 * 4] }.within((width, height));
            assert!(pixels.rgba.iter().all(|part| *part == 9) && pixels.rgba.len() as u64 == bytes(pixels.size));
        }
    }

    /// Two billion pixels in few bytes.
    #[test]
    fn bomb_is_refused_by_its_head() {
        for head in [
            &b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0"[..],
            b"GIF89a\xff\xff\xff\xff\0\0\0",
        ] {
            let file = ImageFile::read(head.to_vec()).unwrap();
            assert_eq!((Pixels::fits(file.size), decode(&file)), (false, None));
        }
        // A file whose parts say otherwise than its head.
        let mut gif = STANDARD.decode(SQUARES.iter().find(|it| it.0 == "gif").unwrap().1).unwrap();
        gif[6..10].copy_from_slice(&[2, 0, 2, 0]);
        assert_eq!(decode(&ImageFile::read(gif).unwrap()), None, "a frame that is larger than the whole");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever a peer sends: it is decoded, or not.
        #[test]
        fn damaged_picture_is_decoded_or_refused(
            which in 0..SQUARES.len() + 1,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            cut in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let whole = match SQUARES.get(which) {
                Some((_, base64)) => STANDARD.decode(base64).unwrap(),
                None => png::tests::png((4, 2), (8, 6), &[], &[3; 34]),
            };
            let mut bytes = whole;
            changes.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) = *byte);
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Some(pixels) = ImageFile::read(bytes).and_then(|file| decode(&file)) {
                prop_assert!(Pixels::fits(pixels.size));
            }
        }
    }
}
