//! `text/event-stream` (WHATWG HTML §9.2.5) split into frames without losing a byte.
//!
//! Owns where one event ends and the next begins. The frames of a stream, put together again, are the stream, and they
//! are the same however the stream was cut into chunks. Nothing waits for bytes that may never come: a frame is
//! out as soon as its blank line is.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::envelope::SseFields;

/// Cuts a stream into frames as its chunks arrive.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of a frame whose end has not arrived.
    partial: BytesMut,
    scan: Scan,
}

/// One event with everything that framed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Comments, fields, line ends and the closing blank line, as they came.
    pub raw: Bytes,
    /// The joined `data` lines; `None` without any. Empty for a priming event (MCP 2025-11-25, transports).
    pub data: Option<Bytes>,
    pub fields: SseFields,
}

/// Where the search for the end of a frame goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Start of the current line.
    line: usize,
    /// Everything before this holds no line end that matters.
    from: usize,
    /// The line before ended with a lone CR: this stream's lines do.
    lone_cr: bool,
}

impl Splitter {
    /// Takes a chunk and gives the frames that it completes.
    pub fn push(&mut self, chunk: Bytes) -> Vec<Frame> {
        let mut rest = if self.partial.is_empty() {
            chunk
        } else {
            self.partial.extend_from_slice(&chunk);
            // Nothing of it stays behind: what comes back below is the same buffer, not a copy of it.
            std::mem::take(&mut self.partial).freeze()
        };
        let mut frames = Vec::new();
        while let Some(end) = self.scan.frame_end(&rest) {
            frames.push(Frame::parse(rest.split_to(end)));
            self.scan = Scan::default();
        }
        self.partial = match rest.try_into_mut() {
            Ok(owned) => owned,
            Err(shared) => BytesMut::from(&shared[..]),
        };
        frames
    }

    /// How many bytes wait for the end of their frame.
    pub fn pending(&self) -> usize {
        self.partial.len()
    }

    /// The bytes of a frame that the stream ended in the middle of, if there are any.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.scan = Scan::default();
        Some(self.partial.split().freeze()).filter(|torn| !torn.is_empty())
    }
}

impl Scan {
    /// The offset after the blank line that ends the first frame of `bytes`.
    ///
    /// A CR at the very end may be half of a CRLF. In the middle of a frame that can wait for the next chunk. At its end
    /// it must not, or a stream of lone CRs would always be an event late: there, what ended the line before decides.
    fn frame_end(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let Some(found) = memchr::memchr2(b'\n', b'\r', &bytes[self.from..]) else {
                self.from = bytes.len();
                return None;
            };
            let at = self.from + found;
            let blank = at == self.line;
            let next = match (bytes[at], bytes.get(at + 1)) {
                (b'\n', _) => at + 1,
                (_, _) if blank && self.lone_cr => at + 1,
                (_, Some(b'\n')) => at + 2,
                (_, Some(_)) => at + 1,
                (_, None) => {
                    self.from = at;
                    return None;
                }
            };
            if blank {
                return Some(next);
            }
            *self = Self { line: next, from: next, lone_cr: bytes[next - 1] == b'\r' };
        }
    }
}

impl Frame {
    fn parse(raw: Bytes) -> Self {
        let mut fields = SseFields::default();
        let mut data: Vec<Bytes> = Vec::with_capacity(1);
        for line in lines(&raw) {
            let (name, value) = field(line);
            let text = || Some(String::from_utf8_lossy(value).into_owned());
            match name {
                b"data" => data.push(raw.slice_ref(value)),
                b"event" => fields.event = text(),
                b"id" => fields.id = text(),
                b"retry" => fields.retry = text(),
                _ => {}
            }
        }
        let data = match data.len() {
            0 => None,
            1 => data.pop(),
            _ => Some(data.join(&b'\n').into()),
        };
        Self { raw, data, fields }
    }

    /// Whether there is a message in it: neither a comment nor a priming event nor a foreign event type without data.
    pub fn message_data(&self) -> Option<&Bytes> {
        self.data.as_ref().filter(|data| !data.is_empty())
    }
}

/// The lines of a frame without their ends, a byte order mark at the start left out.
fn lines(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    let frame = frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame);
    let mut rest = frame;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b'\n' | b'\r'))?;
        let end = memchr::memchr2(b'\n', b'\r', &rest[start..]).map_or(rest.len(), |end| start + end);
        let line = &rest[start..end];
        rest = &rest[end..];
        Some(line)
    })
}

/// `name: value`, one space after the colon left out; a line without a colon is all name; a comment has an empty name.
fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        None => (line, b""),
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
    }
}

/// The frame with other data and everything else (comments, id, event, retry) as it was.
pub fn replace_data(frame: &[u8], data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(frame.len() + data.len());
    let mut written = false;
    for line in lines(frame) {
        if field(line).0 != b"data" {
            out.extend_from_slice(line);
            out.push(b'\n');
        } else if !std::mem::replace(&mut written, true) {
            write_data(data, &mut out);
        }
    }
    if !written {
        write_data(data, &mut out);
    }
    out.push(b'\n');
    out.into()
}

/// A frame of ours around a message that came without one.
pub fn frame(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 24);
    out.extend_from_slice(b"event: message\n");
    write_data(data, &mut out);
    out.push(b'\n');
    out.into()
}

fn write_data(data: &[u8], out: &mut Vec<u8>) {
    for line in unified_line_ends(data).split(|&byte| byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

fn unified_line_ends(data: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\r', data).is_none() {
        return Cow::Borrowed(data);
    }
    let mut unified = Vec::with_capacity(data.len());
    let mut bytes = data.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
        }
        unified.push(if byte == b'\r' { b'\n' } else { byte });
    }
    Cow::Owned(unified)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(stream: &[u8], chunk: usize) -> (Vec<Frame>, Option<Bytes>) {
        let mut splitter = Splitter::default();
        let mut frames = Vec::new();
        for chunk in stream.chunks(chunk.max(1)) {
            frames.extend(splitter.push(Bytes::copy_from_slice(chunk)));
        }
        let torn = splitter.finish();
        (frames, torn)
    }

    fn data_of(stream: &str) -> Vec<String> {
        let (frames, _) = split(stream.as_bytes(), usize::MAX);
        frames.iter().filter_map(Frame::message_data).map(|data| String::from_utf8_lossy(data).into_owned()).collect()
    }

    #[test]
    fn events_are_found_whatever_ends_their_lines() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = ["data: one", "", ": ping", "", "event: message", "data:two", "data: lines", "", ""].join(end);
            assert_eq!(data_of(&stream), ["one", "two\nlines"], "{end:?}");
        }
    }

    #[test]
    fn event_is_out_with_its_blank_line_and_not_a_chunk_later() {
        for whole in ["data: x\n\n", "data: x\r\n\r\n", "data: x\r\r"] {
            let mut splitter = Splitter::default();
            assert_eq!(splitter.push(Bytes::from_static(whole.as_bytes())).len(), 1, "{whole:?}");
        }
    }

    #[test]
    fn large_event_is_not_copied_with_every_chunk() {
        let mut splitter = Splitter::default();
        let mut buffers = std::collections::BTreeSet::new();
        for chunk in std::iter::once("data: ").chain(std::iter::repeat_n("0123456789abcdef", 4096)) {
            assert!(splitter.push(Bytes::from_static(chunk.as_bytes())).is_empty());
            buffers.insert(splitter.partial.as_ptr());
        }
        // Each time it grows, it grows to twice its size.
        assert!(buffers.len() < 20, "{}", buffers.len());
        assert_eq!(splitter.push(Bytes::from_static(b"\n\n"))[0].data.as_ref().map(Bytes::len), Some(16 * 4096));
    }

    #[test]
    fn fields_comments_and_priming_events_are_kept() {
        let (frames, torn) =
            split(b"\xef\xbb\xbfid: 7\nretry: 500\ndata:\n\n: hi\nid: 8\nevent: x\ndata: {}\n\ndata: to", 3);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].message_data(), None);
        assert_eq!(frames[0].fields.id.as_deref(), Some("7"));
        assert_eq!(frames[0].fields.retry.as_deref(), Some("500"));
        assert_eq!(frames[1].fields.event.as_deref(), Some("x"));
        assert_eq!(torn.as_deref(), Some(&b"data: to"[..]));
    }

    #[test]
    fn edit_replaces_the_data_and_nothing_else() {
        let edited = replace_data(b": note\r\nid: 4\r\ndata: a\r\ndata: b\r\nretry: 9\r\n\r\n", b"{\n}");
        assert_eq!(edited, &b": note\nid: 4\ndata: {\ndata: }\nretry: 9\n\n"[..]);
        let (frames, _) = split(&frame(b"{}"), 4);
        assert_eq!(frames[0].data.as_deref(), Some(&b"{}"[..]));
        // No line end of a stream is in its data, and every other byte is.
        let (frames, _) = split(&frame(b"{\r\n\xff\r\r\n}\n"), 4);
        assert_eq!(frames[0].data.as_deref(), Some(&b"{\n\xff\n\n}\n"[..]));
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"data: ".to_vec()),
            Just(b"data".to_vec()),
            Just(b"id: 1".to_vec()),
            Just(b": c".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\r".to_vec()),
            Just("é😀".as_bytes().to_vec()),
            Just(b"\xef\xbb\xbf".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_the_stream_is_cut(stream in stream(), chunk in 1_usize..9) {
            let (whole, whole_torn) = split(&stream, usize::MAX);
            let (cut, cut_torn) = split(&stream, chunk);
            prop_assert_eq!(&whole, &cut);
            prop_assert_eq!(&whole_torn, &cut_torn);
            let mut again: Vec<u8> = whole.iter().flat_map(|frame| frame.raw.to_vec()).collect();
            again.extend(whole_torn.iter().flatten());
            prop_assert_eq!(again, stream);
        }

        #[test]
        fn events_are_those_that_another_parser_finds(
            texts in proptest::collection::vec("[a-z {}\":é]{1,12}", 1..8), end in prop_oneof![Just("\n"), Just("\r\n")], chunk in 1_usize..7,
        ) {
            let stream: String = texts.iter().map(|text| format!(": c{end}data: {text}{end}id: 3{end}{end}")).collect();
            let (frames, _) = split(stream.as_bytes(), chunk);
            let ours: Vec<String> = frames.iter().filter_map(Frame::message_data).map(|d| String::from_utf8_lossy(d).into_owned()).collect();
            let body = http_body_util::Full::new(Bytes::from(stream));
            let theirs = futures_util::StreamExt::collect::<Vec<_>>(sse_stream::SseStream::new(body));
            let theirs: Vec<String> = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(theirs)
                .into_iter().filter_map(|event| event.unwrap().data).collect();
            prop_assert_eq!(ours, theirs);
        }
    }
}
