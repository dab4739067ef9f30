//! Pictures and sounds in base64: what they are, what is wrong with them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::graphics::ImageFile;
use crate::text;

/// Longer base64 is described and not decoded for the screen: it would stand still meanwhile.
const LONGEST: usize = 12 << 20;

/// Bytes in a message.
#[derive(Debug)]
pub(crate) struct MediaBlock {
    /// `image`, `audio`, or `blob`.
    pub(crate) kind: String,
    /// What the peer says it is.
    pub(crate) mime: String,
    /// In base64.
    pub(crate) data: String,
}

/// What is known of such bytes.
pub(crate) struct MediaFacts {
    /// `[image image/png, 64x48, 12.3KiB]`.
    pub(crate) words: String,
    /// What is wrong with it.
    pub(crate) fault: Option<String>,
    /// The picture, where it is one that can be shown.
    pub(crate) image: Option<Arc<ImageFile>>,
}

impl MediaBlock {
    /// The bytes themselves.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, String> {
        // Some encoders break lines.
        let packed: Vec<u8> = self.data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(packed).map_err(|error| error.to_string().to_ascii_lowercase())
    }

    /// What a file with it is called.
    pub(crate) fn file_name(&self) -> String {
        let subtype = self.mime.split('/').nth(1).unwrap_or_default().split([';', '+']).next().unwrap_or_default();
        let ending: String = subtype.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        match ending.to_ascii_lowercase().as_str() {
            "" | "octetstream" => format!("{}.bin", self.kind),
            "jpeg" => format!("{}.jpg", self.kind),
            "mpeg" => format!("{}.mp3", self.kind),
            "xwav" | "wave" => format!("{}.wav", self.kind),
            ending => format!("{}.{ending}", self.kind),
        }
    }

    pub(crate) fn facts(&self) -> MediaFacts {
        let about = |more: &str, size: u64| {
            let mime = if self.mime.is_empty() { "without a type" } else { &self.mime };
            format!("[{} {mime}, {more}{}]", self.kind, text::size(size))
        };
        let plain = |words, fault| MediaFacts { words, fault, image: None };
        let guess = self.data.len() as u64 / 4 * 3;
        if self.data.len() > LONGEST {
            return plain(about("", guess), Some("too large to be shown here".to_owned()));
        }
        let bytes = match self.bytes() {
            Ok(bytes) => bytes,
            Err(why) => return plain(about("", guess), Some(format!("this is not base64: {why}"))),
        };
        let size = bytes.len() as u64;
        if self.kind == "audio" {
            let length = wav_length(&bytes).map(|it| format!("{}, ", text::micros_with_unit(micros(it))));
            return plain(about(&length.unwrap_or_default(), size), None);
        }
        match ImageFile::read(bytes) {
            Some(image) => {
                let (width, height) = image.size;
                let is_said = self.mime == image.format.mime() || self.mime == "image/jpg";
                let fault = (!is_said).then(|| format!("the bytes are {}", image.format.mime()));
                let words = about(&format!("{width}x{height}, "), size);
                MediaFacts { words, fault, image: Some(Arc::new(image)) }
            }
            None => {
                let said = ["image/png", "image/jpeg", "image/gif", "image/webp"].contains(&self.mime.as_str());
                plain(about("", size), said.then(|| "the bytes are something else".to_owned()))
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How long a WAV file plays: its head says how many bytes a second takes, and how many there are.
fn wav_length(bytes: &[u8]) -> Option<Duration> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let (mut at, mut rate) = (12, None);
    loop {
        let length = number(at + 4)?;
        match bytes.get(at..at + 4)? {
            b"fmt " => rate = number(at + 16).filter(|rate| *rate > 0),
            b"data" => return Some(Duration::from_secs_f64(f64::from(length) / f64::from(rate?))),
            _ => {}
        }
        // Chunks begin at even bytes.
        at = at.checked_add(8 + usize::try_from(length).ok()?.next_multiple_of(2))?;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn media(kind: &str, mime: &str, bytes: &[u8]) -> MediaBlock {
        MediaBlock { kind: kind.to_owned(), mime: mime.to_owned(), data: STANDARD.encode(bytes) }
    }

    /// Half a second of silence at 8000 bytes a second.
    pub(crate) fn wav() -> Vec<u8> {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend([8000_u32.to_le_bytes(), 8000_u32.to_le_bytes()].concat());
        wav.extend(b"\x01\0\x08\0LIST\x03\0\0\0abc\0data");
        wav.extend(4000_u32.to_le_bytes());
        wav.resize(wav.len() + 4000, 0x80);
        wav
    }

    #[test]
    fn sound_says_how_long_it_plays() {
        assert_eq!(media("audio", "audio/wav", &wav()).facts().words, "[audio audio/wav, 500ms, 4.0k]");
        for torn in 0..60 {
            media("audio", "audio/wav", &wav()[..torn]).facts();
        }
        assert_eq!(media("audio", "", b"abc").facts().words, "[audio without a type, 3B]");
    }

    #[test]
    fn media_says_what_is_wrong_with_it() {
        let gif = b"GIF89a\x02\0\x03\0\x80\0\0";
        let facts = media("image", "image/png", gif).facts();
        assert_eq!(
            (facts.words.as_str(), facts.fault.as_deref()),
            ("[image image/png, 2x3, 13B]", Some("the bytes are image/gif"))
        );
        assert!(facts.image.is_some());
        assert_eq!(media("image", "image/gif", gif).facts().fault, None);
        let other = media("image", "image/png", b"hello").facts();
        assert_eq!(other.fault.as_deref(), Some("the bytes are something else"));
        let broken = MediaBlock { data: "a!b".to_owned(), ..media("image", "image/png", b"") };
        assert!(broken.facts().fault.unwrap().starts_with("this is not base64: "));
        let large = MediaBlock { data: "A".repeat(LONGEST + 1), ..media("image", "image/png", b"") };
        assert_eq!(large.facts().fault.as_deref(), Some("too large to be shown here"));
    }

    #[test]
    fn file_of_media_is_named_for_what_it_is() {
        for (mime, name) in [
            ("image/png", "image.png"),
            ("image/svg+xml", "image.svg"),
            ("image/jpeg", "image.jpg"),
            ("", "image.bin"),
            ("x/../../etc", "image.bin"),
            ("application/octet-stream", "image.bin"),
        ] {
            assert_eq!(media("image", mime, b"").file_name(), name, "{mime}");
        }
    }
}
