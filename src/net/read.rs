//! What arrives in pieces, until it is whole: the body of an HTTP message, the lines of a pipe or a stream.
//!
//! A large body is remembered for a while, and then another takes its place. Memory that is given back to the system in between comes
//! page by page again, which costs more than to copy the body: what large bodies were in is kept for others.

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use memmap2::MmapMut;
use parking_lot::Mutex;

/// Room that is made at once for a body that says how long it will be; more only as it comes.
const MOST_EXPECTED: usize = 4 << 20;

/// Bodies from this size on are in buffers that are used again.
const LARGE: usize = 64 << 10;

/// Room from this size on has pages of its own, which the system gets back when it is freed. Of what lies in the heap it gets
/// little: a third of what 200 calls of a megabyte had taken was kept for good.
const PAGES: usize = 128 << 10;

/// Bytes of buffers that are kept for others.
const MOST_SPARE: usize = 16 << 20;

static SPARE: Mutex<SpareBuffers> = Mutex::new(SpareBuffers { buffers: Vec::new(), bytes: 0, unused: 0 });

/// Where a body is put together.
enum BodyBuffer {
    Heap(Vec<u8>),
    Pages { map: MmapMut, length: usize },
}

impl BodyBuffer {
    fn with_capacity(capacity: usize) -> Self {
        let map = (capacity >= PAGES).then(|| MmapMut::map_anon(capacity).ok()).flatten();
        map.map_or_else(|| Self::Heap(Vec::with_capacity(capacity)), |map| Self::Pages { map, length: 0 })
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Heap(bytes) => bytes.capacity(),
            Self::Pages { map, .. } => map.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Heap(bytes) => bytes.clear(),
            Self::Pages { length, .. } => *length = 0,
        }
    }

    fn extend(&mut self, data: &[u8]) {
        let length = self.as_ref().len() + data.len();
        if length > self.capacity() && length >= PAGES {
            let capacity = length.max(self.capacity().saturating_mul(2)).next_multiple_of(LARGE);
            let mut larger = Self::with_capacity(capacity);
            larger.put(self.as_ref());
            *self = larger;
        }
        self.put(data);
    }

    /// Where pages have too little room, there is none.
    fn put(&mut self, data: &[u8]) {
        match self {
            Self::Heap(bytes) => bytes.extend_from_slice(data),
            Self::Pages { map, length } => {
                map[*length..*length + data.len()].copy_from_slice(data);
                *length += data.len();
            }
        }
    }
}

impl AsRef<[u8]> for BodyBuffer {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Pages { map, length } => &map[..*length],
        }
    }
}

/// Buffers of large bodies that are gone, for those that come.
struct SpareBuffers {
    /// The one that came back last at the end.
    buffers: Vec<BodyBuffer>,
    bytes: usize,
    /// How many of them were not used since that was last asked.
    unused: usize,
}

impl SpareBuffers {
    fn reuse(&mut self, capacity: usize) -> Option<BodyBuffer> {
        let fits = |buffer: &BodyBuffer| (capacity..=capacity.saturating_mul(2)).contains(&buffer.capacity());
        let buffer = self.buffers.iter().rposition(fits).map(|at| self.buffers.remove(at))?;
        self.bytes -= buffer.capacity();
        self.unused = self.unused.min(self.buffers.len());
        Some(buffer)
    }

    fn keep(&mut self, mut buffer: BodyBuffer) {
        if self.bytes + buffer.capacity() <= MOST_SPARE {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }

    /// Takes out those that were not used since the last time.
    fn surplus(&mut self) -> Vec<BodyBuffer> {
        let surplus: Vec<_> = self.buffers.drain(..self.unused).collect();
        self.bytes -= surplus.iter().map(BodyBuffer::capacity).sum::<usize>();
        self.unused = self.buffers.len();
        surplus
    }
}

/// Gives back the buffers kept for large bodies that were not used since this was called last.
pub fn release_unused() {
    let surplus = SPARE.lock().surplus();
    drop(surplus);
}

/// A large body, whose buffer goes to [`SPARE`] when its last reader is gone.
struct LargeBody(Option<BodyBuffer>);

impl AsRef<[u8]> for LargeBody {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], AsRef::as_ref)
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        if let Some(buffer) = self.0.take() {
            SPARE.lock().keep(buffer);
        }
    }
}

fn buffer(capacity: usize) -> BodyBuffer {
    if capacity < LARGE {
        return BodyBuffer::Heap(Vec::with_capacity(capacity));
    }
    // In steps, so that bodies of nearly one length can have each other's.
    let capacity = capacity.next_multiple_of(LARGE);
    let spare = SPARE.lock().reuse(capacity);
    spare.unwrap_or_else(|| BodyBuffer::with_capacity(capacity))
}

fn whole(buffer: BodyBuffer) -> Bytes {
    match buffer {
        BodyBuffer::Heap(bytes) if bytes.capacity() < LARGE => bytes.into(),
        large => Bytes::from_owner(LargeBody(Some(large))),
    }
}

/// One after the other, in room like that of a body.
pub fn joined(pieces: &[&[u8]]) -> Bytes {
    let mut all = buffer(pieces.iter().map(|piece| piece.len()).sum());
    pieces.iter().for_each(|piece| all.extend(piece));
    whole(all)
}

/// Why a body could not be read.
#[derive(Debug)]
pub enum BodyReadError<E> {
    /// It is longer than it may be.
    TooLong,
    Broken(E),
}

/// Reads a body of at most `longest` bytes. One that comes in one piece is not copied. Of several pieces each is copied once, to its
/// place, and given back before the next is asked for: the connection reads all of them into one buffer, which stays in the caches.
///
/// # Errors
/// Where it is longer, or breaks off.
pub async fn read_whole<B>(mut body: B, longest: usize) -> Result<Bytes, BodyReadError<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut first, mut all) = (Bytes::new(), None::<BodyBuffer>);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyReadError::Broken)?.into_data() else { continue };
        let length = first.len() + all.as_ref().map_or(0, |all| all.as_ref().len()) + data.len();
        if length > longest {
            return Err(BodyReadError::TooLong);
        }
        let left = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if length == data.len() && left == 0 {
            first = data;
            continue;
        }
        let all = all.get_or_insert_with(|| {
            let mut all = buffer(length.saturating_add(left).min(longest).min(length.max(MOST_EXPECTED)));
            all.extend(&std::mem::take(&mut first));
            all
        });
        all.extend(&data);
    }
    Ok(all.map_or(first, whole))
}

/// Room for one read of lines: less would be several reads for a line of usual size.
const READ: usize = 8 << 10;

/// A shorter line is copied out of the buffer, which is then used again: a line that is kept keeps no other bytes, and the next needs no
/// new buffer.
const SHORT: usize = 4 << 10;

/// Cuts what was read into lines, each with its terminator; those that are long are not copied.
#[derive(Default)]
pub struct LineBuffer {
    /// Bytes that no line was made of yet.
    buffer: BytesMut,
    /// How many of them are known to hold no line end.
    scanned: usize,
}

impl LineBuffer {
    /// Where what is read next is to be appended, with room for it.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(self.buffer.len().max(READ));
        }
        &mut self.buffer
    }

    /// Returns the next whole line; nothing where its end has not arrived.
    pub fn next_line(&mut self) -> Option<Bytes> {
        let Some(found) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let length = std::mem::take(&mut self.scanned) + found + 1;
        if length >= SHORT {
            return Some(self.buffer.split_to(length).freeze());
        }
        let line = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        Some(line)
    }

    /// How many bytes wait for the end of their line.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Takes out what stands after the last line end.
    pub fn take_rest(&mut self) -> Option<Bytes> {
        self.scanned = 0;
        Some(self.buffer.split().freeze()).filter(|rest| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};
    use proptest::prelude::*;

    use super::*;

    async fn read(pieces: &[&'static [u8]], longest: usize) -> Result<Bytes, BodyReadError<std::convert::Infallible>> {
        let frames: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
        read_whole(StreamBody::new(stream::iter(frames)), longest).await
    }

    #[tokio::test]
    async fn body_is_read_however_it_is_cut() {
        for pieces in [&[&b"abcdef"[..]][..], &[b"ab", b"cdef"], &[b"", b"ab", b"", b"c", b"def", b""]] {
            assert_eq!(read(pieces, 6).await.expect("it is no longer"), "abcdef");
            assert!(matches!(read(pieces, 5).await, Err(BodyReadError::TooLong)));
        }
        assert_eq!(read(&[], 0).await.expect("it is no longer"), "");
    }

    #[test]
    fn large_buffers_are_used_again_up_to_a_limit() {
        let mut spare = SpareBuffers { buffers: Vec::new(), bytes: 0, unused: 0 };
        let large = BodyBuffer::with_capacity(LARGE);
        let (place, capacity) = (large.as_ref().as_ptr(), large.capacity());
        spare.keep(large);
        assert!(spare.reuse(LARGE / 4).is_none() && spare.reuse(capacity + 1).is_none(), "it fits neither");
        let again = spare.reuse(LARGE - 1).expect("it fits");
        assert_eq!((again.as_ref().as_ptr(), spare.bytes), (place, 0));
        (0..=MOST_SPARE / LARGE).for_each(|_| spare.keep(BodyBuffer::with_capacity(LARGE)));
        assert!(spare.bytes <= MOST_SPARE && spare.buffers.len() >= MOST_SPARE / LARGE - 1);
    }

    #[test]
    fn large_buffers_go_when_nobody_has_wanted_them_for_a_round() {
        let mut spare = SpareBuffers { buffers: Vec::new(), bytes: 0, unused: 0 };
        (0..3).for_each(|_| spare.keep(BodyBuffer::with_capacity(PAGES)));
        assert_eq!(spare.surplus().len(), 0, "they came since the last round");
        let used = spare.reuse(PAGES).expect("it fits");
        spare.keep(used);
        assert_eq!((spare.surplus().len(), spare.bytes), (2, PAGES));
        assert_eq!((spare.surplus().len(), spare.bytes), (1, 0));
        assert_eq!(spare.surplus().len(), 0);
    }

    #[test]
    fn body_buffer_moves_to_pages_when_it_grows() {
        let mut buffer = BodyBuffer::with_capacity(10);
        let bytes: Vec<u8> = (0..3 * PAGES).map(|at| (at % 251) as u8).collect();
        for piece in bytes.chunks(1_000) {
            buffer.extend(piece);
        }
        assert!(matches!(buffer, BodyBuffer::Pages { .. }) && buffer.as_ref() == bytes);
        assert_eq!(joined(&[&bytes, b"\n"])[..], [&bytes[..], b"\n"].concat());
        assert_eq!(joined(&[b"a", b"", b"b"]), "ab");
    }

    #[tokio::test]
    async fn body_in_one_piece_is_not_copied() {
        let whole = Bytes::from_static(b"abc");
        let read = read_whole(Full::new(whole.clone()), 3).await.expect("it is no longer");
        assert_eq!(read.as_ptr(), whole.as_ptr());
    }

    #[test]
    fn line_buffer_has_room_for_a_read_and_is_used_again() {
        let mut lines = LineBuffer::default();
        let place = lines.room().as_ptr();
        for length in [100, 4_000, 1_500, 1_500, 700] {
            let line = [&vec![b'a'; length][..], b"\n"].concat();
            lines.room().extend_from_slice(&line);
            assert_eq!(lines.next_line().expect("it is whole"), line);
            let room = lines.room();
            assert!(room.capacity() - room.len() >= READ / 4);
        }
        assert!(
            (place..place.wrapping_add(READ)).contains(&lines.room().as_ptr()),
            "lines of usual size need no other buffer"
        );
        let long = [&vec![b'b'; 3 * READ][..], b"\n"].concat();
        let mut reads = 0;
        for chunk in long.chunks(1_000) {
            lines.room().extend_from_slice(chunk);
            reads += 1;
            assert!(reads > long.len() / 1_000 || lines.next_line().is_none());
        }
        assert_eq!(lines.next_line().expect("it is whole"), long);
    }

    proptest! {
        #[test]
        fn line_buffer_loses_nothing_however_the_bytes_are_cut(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a')], 0..40),
            step in 1_usize..7,
        ) {
            let (mut lines, mut read) = (LineBuffer::default(), Vec::new());
            for chunk in text.chunks(step) {
                lines.room().extend_from_slice(chunk);
                read.extend(std::iter::from_fn(|| lines.next_line()));
            }
            prop_assert!(read.iter().all(|line| line.ends_with(b"\n")));
            read.extend(lines.take_rest());
            let expected: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            prop_assert_eq!(read, expected);
        }
    }
}
