//! The latest messages, for a reader that comes late or has lost some. All but the last of them lie packed: they are told again
//! seldom, and kept always.

use std::collections::VecDeque;
use std::sync::Arc;

use super::weight;
use crate::envelope::Envelope;
use crate::envelope::packed::{PackedEnvelopes, Packer, Unpacker};

/// What a screen that comes late, or has lost events, is told again: at least so many.
const MOST: usize = 20_000;
/// Bytes of messages, as they are told.
const MOST_BYTES: usize = 64 << 20;
/// Messages that are packed together, and their bytes.
const TOGETHER: usize = 256;
const TOGETHER_BYTES: usize = 256 << 10;

#[derive(Default)]
pub(super) struct RememberedMessages {
    /// In the order in which they came, the oldest first.
    packed: VecDeque<PackedPart>,
    latest: Vec<Arc<Envelope>>,
    latest_bytes: usize,
    /// Messages that are packed, and their bytes as they are told.
    count: usize,
    bytes: usize,
    packer: Packer,
}

struct PackedPart {
    envelopes: Arc<PackedEnvelopes>,
    count: usize,
    bytes: usize,
}

impl RememberedMessages {
    pub(super) fn put(&mut self, envelope: Arc<Envelope>) {
        self.latest_bytes += weight(&envelope);
        self.latest.push(envelope);
        if self.latest.len() >= TOGETHER || self.latest_bytes >= TOGETHER_BYTES {
            self.pack();
        }
    }

    fn pack(&mut self) {
        let part = PackedPart {
            envelopes: self.packer.pack(&self.latest),
            count: self.latest.len(),
            bytes: std::mem::take(&mut self.latest_bytes),
        };
        self.latest.clear();
        self.count += part.count;
        self.bytes += part.bytes;
        self.packed.push_back(part);
        while let Some(oldest) = self.packed.front()
            && (self.count - oldest.count >= MOST || self.bytes > MOST_BYTES)
        {
            self.count -= oldest.count;
            self.bytes -= oldest.bytes;
            self.packed.pop_front();
        }
    }

    /// In the order in which they came, the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<Envelope>> {
        let mut unpacker = Unpacker::default();
        self.packed.iter().flat_map(move |part| unpacker.unpack(&part.envelopes)).chain(self.latest.iter().cloned())
    }
}
