//! Lines of a pipe or a stream, as its pieces arrive.

use bytes::{Bytes, BytesMut};

/// Cuts what was read into lines, each with its terminator; the bytes are not copied.
#[derive(Default)]
pub struct LineBuffer {
    /// Bytes that no line was made of yet. What is read is to be appended.
    pub buffer: BytesMut,
    /// How many of them are known to hold no line end.
    scanned: usize,
}

impl LineBuffer {
    /// Returns the next whole line; nothing where its end has not arrived.
    pub fn next_line(&mut self) -> Option<Bytes> {
        let Some(found) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + found + 1).freeze();
        self.scanned = 0;
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn line_buffer_loses_nothing_however_the_bytes_are_cut(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a')], 0..40),
            step in 1_usize..7,
        ) {
            let (mut lines, mut read) = (LineBuffer::default(), Vec::new());
            for chunk in text.chunks(step) {
                lines.buffer.extend_from_slice(chunk);
                read.extend(std::iter::from_fn(|| lines.next_line()));
            }
            prop_assert!(read.iter().all(|line| line.ends_with(b"\n")));
            read.extend(lines.take_rest());
            let expected: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
            prop_assert_eq!(read, expected);
        }
    }
}
