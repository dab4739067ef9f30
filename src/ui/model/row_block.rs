//! Some hundred rows that stand together: open, or packed.

use std::sync::Arc;

use super::row_outlines::OutlineId;
use crate::envelope::packed::{PackedEnvelopes, Packer, PlainEnvelopes, Unpacker};
use crate::envelope::{Envelope, Seq};
use crate::filter::NeededWord;
use crate::message::Message;

/// Rows of a block.
const FULL: usize = 256;
/// Bytes of messages with which a block has enough.
const FULL_BYTES: usize = 256 << 10;
/// What a row costs beside its bytes while it is open: the envelope, its head, the row itself and the allocator's share.
const OPEN_COST: usize = 540;
/// Packed blocks whose rows are at hand: what is on the screen, its pairs, and where a scan is.
const AT_HAND: usize = 8;

pub(super) struct RowBlock {
    /// How many rows stand before this block.
    pub(super) start: usize,
    keys: Vec<RowKey>,
    content: BlockContent,
    /// The size of the messages of this block as they came, in bytes.
    bytes: usize,
}

/// What is known of a row while it is packed.
#[derive(Clone, Copy)]
struct RowKey {
    seq: Seq,
    /// How much higher the number of the reply is; 0: there is none yet.
    reply: u32,
    outline: OutlineId,
    is_failure: bool,
}

enum BlockContent {
    Open(Vec<Arc<Envelope>>),
    Packed(Arc<PackedEnvelopes>),
}

/// The packed blocks that were looked at last.
#[derive(Default)]
pub(super) struct OpenBlocks {
    blocks: Vec<OpenBlock>,
    /// The one in which a filter looks for something: most of its messages have it not, and no envelopes are made of those.
    plain: Option<PlainEnvelopes>,
    unpacker: Unpacker,
}

/// It keeps what it was unpacked from: nothing else can have its address.
struct OpenBlock {
    packed: Arc<PackedEnvelopes>,
    envelopes: Vec<Arc<Envelope>>,
}

impl RowBlock {
    pub(super) fn new(start: usize, envelope: Arc<Envelope>, outline: OutlineId) -> Self {
        let mut block = Self {
            start,
            keys: Vec::with_capacity(FULL),
            content: BlockContent::Open(Vec::with_capacity(FULL)),
            bytes: 0,
        };
        block.insert(0, envelope, outline);
        block
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Rows before and in it.
    pub(super) fn end(&self) -> usize {
        self.start + self.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= FULL || self.bytes >= FULL_BYTES
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self.content, BlockContent::Packed(_))
    }

    pub(super) fn seq(&self, place: usize) -> Seq {
        self.keys[place].seq
    }

    pub(super) fn outline(&self, place: usize) -> OutlineId {
        self.keys[place].outline
    }

    pub(super) fn is_failure(&self, place: usize) -> bool {
        self.keys[place].is_failure
    }

    /// Where the row of that number is, or would be.
    pub(super) fn find(&self, seq: Seq) -> Result<usize, usize> {
        match self.keys.last() {
            Some(last) if last.seq < seq => Err(self.len()),
            _ => self.keys.binary_search_by_key(&seq, |key| key.seq),
        }
    }

    pub(super) fn reply(&self, place: usize) -> Option<Seq> {
        let RowKey { seq, reply, .. } = self.keys[place];
        (reply > 0).then(|| Seq(seq.0 + u64::from(reply)))
    }

    /// The first reply counts.
    pub(super) fn pair(&mut self, place: usize, reply: Seq) {
        let key = &mut self.keys[place];
        if key.reply == 0 {
            key.reply =
                reply.0.checked_sub(key.seq.0).and_then(|further| u32::try_from(further).ok()).unwrap_or_default();
        }
    }

    pub(super) fn envelope(&self, place: usize, opened: &mut OpenBlocks) -> Arc<Envelope> {
        match &self.content {
            BlockContent::Open(envelopes) => envelopes[place].clone(),
            BlockContent::Packed(packed) => opened.of(packed)[place].clone(),
        }
    }

    /// A message alone, where it is packed.
    pub(super) fn packed_message(&self, place: usize, opened: &mut OpenBlocks) -> Option<Message> {
        match &self.content {
            BlockContent::Open(_) => None,
            BlockContent::Packed(packed) => Some(opened.plain(packed).message(place)),
        }
    }

    /// Whether one of its messages may have a word; those that are not packed are few.
    pub(super) fn may_have(&self, word: &NeededWord, opened: &mut OpenBlocks) -> bool {
        match &self.content {
            BlockContent::Open(_) => true,
            BlockContent::Packed(packed) => opened.plain(packed).any_text(|text| word.may_be_in(text)),
        }
    }

    pub(super) fn insert(&mut self, place: usize, envelope: Arc<Envelope>, outline: OutlineId) {
        self.bytes += bytes_of(&envelope);
        let (seq, is_failure) = (envelope.seq, envelope.is_failure());
        self.keys.insert(place, RowKey { seq, reply: 0, outline, is_failure });
        self.open().insert(place, envelope);
    }

    pub(super) fn replace(&mut self, place: usize, envelope: Arc<Envelope>, outline: OutlineId) {
        let bytes = bytes_of(&envelope);
        let key = &mut self.keys[place];
        (key.outline, key.is_failure) = (outline, envelope.is_failure());
        let before = std::mem::replace(&mut self.open()[place], envelope);
        self.bytes = (self.bytes + bytes).saturating_sub(bytes_of(&before));
    }

    /// Lets its first rows go; not all of them.
    pub(super) fn drop_front(&mut self, count: usize) {
        let dropped: usize = self.open().drain(..count).map(|envelope| bytes_of(&envelope)).sum();
        self.keys.drain(..count);
        self.bytes = self.bytes.saturating_sub(dropped);
        self.start += count;
    }

    fn open(&mut self) -> &mut Vec<Arc<Envelope>> {
        if let BlockContent::Packed(packed) = &self.content {
            self.content = BlockContent::Open(Unpacker::default().unpack(packed));
        }
        match &mut self.content {
            BlockContent::Open(envelopes) => envelopes,
            BlockContent::Packed(_) => unreachable!("it was opened"),
        }
    }

    pub(super) fn pack(&mut self, packer: &mut Packer) {
        if let BlockContent::Open(envelopes) = &self.content {
            self.content = BlockContent::Packed(packer.pack(envelopes));
            self.keys.shrink_to_fit();
        }
    }

    /// Bytes that it keeps in memory, about.
    pub(super) fn size(&self) -> usize {
        match &self.content {
            BlockContent::Open(_) => self.bytes + self.len() * OPEN_COST,
            BlockContent::Packed(packed) => packed.size() + size_of_val(&*self.keys) + size_of::<Self>(),
        }
    }
}

impl OpenBlocks {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn plain(&mut self, packed: &Arc<PackedEnvelopes>) -> &PlainEnvelopes {
        let known = self.plain.take().filter(|plain| plain.is_of(packed));
        self.plain.insert(known.unwrap_or_else(|| self.unpacker.plain(packed)))
    }

    fn of(&mut self, packed: &Arc<PackedEnvelopes>) -> &[Arc<Envelope>] {
        match self.blocks.iter().position(|block| Arc::ptr_eq(&block.packed, packed)) {
            Some(0) => {}
            Some(at) => self.blocks[..=at].rotate_right(1),
            None => {
                self.blocks.truncate(AT_HAND - 1);
                let envelopes = match &self.plain {
                    Some(plain) if plain.is_of(packed) => plain.envelopes(),
                    _ => self.unpacker.unpack(packed),
                };
                self.blocks.insert(0, OpenBlock { packed: packed.clone(), envelopes });
            }
        }
        &self.blocks[0].envelopes
    }
}

fn bytes_of(envelope: &Envelope) -> usize {
    envelope.message.raw().len() + envelope.original.as_ref().map_or(0, |original| original.raw().len())
}
