//! A file with a picture: which format, and how large, by its head alone. It is decoded elsewhere, and only where that is needed.

use std::sync::OnceLock;

/// Formats that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageFormat {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl ImageFormat {
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

/// A picture as the peer sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageFile {
    pub(crate) format: ImageFormat,
    pub(crate) bytes: Vec<u8>,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// Its pixels were asked for, and could not be told.
    broken: OnceLock<()>,
}

impl ImageFile {
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get().is_some()
    }

    pub(super) fn set_broken(&self) {
        self.broken.get_or_init(|| ());
    }

    /// Nothing where it is of no known format, or has no size.
    pub(crate) fn read(bytes: Vec<u8>) -> Option<Self> {
        let (format, size) = head(&bytes)?;
        (size.0 > 0 && size.1 > 0).then(|| Self { format, bytes, size, broken: OnceLock::new() })
    }
}

fn head(bytes: &[u8]) -> Option<(ImageFormat, (u32, u32))> {
    let big = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let little = |at: usize| Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.get(12..16)? == b"IHDR" {
        return Some((ImageFormat::Png, (big(16)?, big(20)?)));
    }
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Some((ImageFormat::Gif, (little(6)?, little(8)?)));
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some((ImageFormat::Jpeg, jpeg_size(bytes)?));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP" {
        let size = match bytes.get(12..16)? {
            b"VP8 " => (little(26)? & 0x3fff, little(28)? & 0x3fff),
            b"VP8L" => {
                let packed = u32::from_le_bytes(bytes.get(21..25)?.try_into().ok()?);
                ((packed & 0x3fff) + 1, ((packed >> 14) & 0x3fff) + 1)
            }
            b"VP8X" => {
                let three = |at| Some((little(at)? | u32::from(*bytes.get(at + 2)?) << 16) + 1);
                (three(24)?, three(27)?)
            }
            _ => return None,
        };
        return Some((ImageFormat::Webp, size));
    }
    None
}

/// Goes from segment to segment until the one that says the size (ITU T.81, B.2.2).
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        match marker {
            _ if bytes[at] != 0xff => return None,
            // Filled up, and segments without a length.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => return Some((number(at + 7)?, number(at + 5)?)),
            _ => at += 2 + usize::try_from(number(at + 2)?).ok()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_says_how_large_it_is_by_its_head() {
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x0b\x08\0\x03\0\x05\x01";
        let heads: [(&[u8], _); 7] = [
            (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x05\0\0\0\x03", (ImageFormat::Png, (5, 3))),
            (b"GIF89a\x05\0\x03\0", (ImageFormat::Gif, (5, 3))),
            (jpeg, (ImageFormat::Jpeg, (5, 3))),
            (b"RIFF....WEBPVP8 ....\0\0\0\x9d\x01\x2a\x05\0\x03\0", (ImageFormat::Webp, (5, 3))),
            (b"RIFF....WEBPVP8L....\x2f\x04\x80\0\0", (ImageFormat::Webp, (5, 3))),
            (b"RIFF....WEBPVP8X....\0\0\0\0\x04\0\0\x02\0\0", (ImageFormat::Webp, (5, 3))),
            (b"\xff\xd8\xff\xd8\xff\xd9\0\x02\xff\xc0\0\x0b\x08\0\x03\0\x05\x01", (ImageFormat::Jpeg, (5, 3))),
        ];
        for (bytes, expected) in heads {
            let read = ImageFile::read(bytes.to_vec()).map(|image| (image.format, image.size));
            assert_eq!(read, Some(expected), "{bytes:?}");
            for torn in 0..bytes.len() {
                ImageFile::read(bytes[..torn].to_vec());
            }
        }
        assert_eq!(ImageFile::read(b"<svg/>".to_vec()), None);
        assert_eq!(ImageFile::read(b"GIF89a\0\0\x03\0".to_vec()), None, "nothing to see");
    }
}
