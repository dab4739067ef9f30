//! Bodies of HTTP messages, read whole.
//!
//! A large body is remembered for a while, and then another takes its place. Memory that is given back to the system in between comes
//! anew page by page, which costs more than to copy the body: what large bodies were in is kept for others.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

/// Room that is made at once for a body that says how long it will be; more only as it comes.
const MOST_EXPECTED: usize = 4 << 20;

/// Bodies from this size on are in buffers that are used again.
const LARGE: usize = 64 << 10;

/// Bytes of buffers that are kept for others.
const MOST_SPARE: usize = 8 << 20;

static SPARE: Mutex<SpareBuffers> = Mutex::new(SpareBuffers { buffers: Vec::new(), bytes: 0 });

/// Buffers that nobody uses now.
struct SpareBuffers {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl SpareBuffers {
    fn reuse(&mut self, capacity: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (capacity..=capacity.saturating_mul(2)).contains(&buffer.capacity());
        let buffer = self.buffers.iter().rposition(fits).map(|at| self.buffers.swap_remove(at))?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() <= MOST_SPARE {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }
}

/// A large body, whose buffer is another's when nobody has it any more.
struct LargeBody(Vec<u8>);

impl AsRef<[u8]> for LargeBody {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for LargeBody {
    fn drop(&mut self) {
        SPARE.lock().keep(std::mem::take(&mut self.0));
    }
}

fn buffer(capacity: usize) -> Vec<u8> {
    if capacity < LARGE {
        return Vec::with_capacity(capacity);
    }
    // In steps, so that bodies of nearly one length can have each other's.
    let capacity = capacity.next_multiple_of(LARGE);
    let spare = SPARE.lock().reuse(capacity);
    spare.unwrap_or_else(|| Vec::with_capacity(capacity))
}

fn whole(buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() >= LARGE { Bytes::from_owner(LargeBody(buffer)) } else { buffer.into() }
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
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyReadError::Broken)?.into_data() else { continue };
        let length = first.len() + all.len() + data.len();
        if length > longest {
            return Err(BodyReadError::TooLong);
        }
        let left = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if length == data.len() && left == 0 {
            first = data;
            continue;
        }
        if all.is_empty() {
            all = buffer(length.saturating_add(left).min(longest).min(length.max(MOST_EXPECTED)));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { whole(all) })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

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
        let mut spare = SpareBuffers { buffers: Vec::new(), bytes: 0 };
        let large = Vec::with_capacity(LARGE);
        let (place, capacity) = (large.as_ptr(), large.capacity());
        spare.keep(large);
        assert!(spare.reuse(LARGE / 4).is_none() && spare.reuse(capacity + 1).is_none(), "it fits neither");
        let again = spare.reuse(LARGE - 1).expect("it fits");
        assert_eq!((again.as_ptr(), spare.bytes), (place, 0));
        (0..=MOST_SPARE / LARGE).for_each(|_| spare.keep(Vec::with_capacity(LARGE)));
        assert!(spare.bytes <= MOST_SPARE && spare.buffers.len() >= MOST_SPARE / LARGE - 1);
    }

    #[tokio::test]
    async fn body_in_one_piece_is_not_copied() {
        let whole = Bytes::from_static(b"abc");
        let read = read_whole(Full::new(whole.clone()), 3).await.expect("it is no longer");
        assert_eq!(read.as_ptr(), whole.as_ptr());
    }
}
