//! Messages of a tape that stay on the disk until they are said: a tape may be larger than memory.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::envelope::{Direction, Envelope};
use crate::message::Message;
use crate::tape::read::TapeFile;

/// Where a message stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessagePlace {
    pub(super) line: Range<u64>,
    /// Which of the batch on that line it is; `None` where it is all of it.
    pub(super) element: Option<u32>,
}

/// The file of a tape, of which messages are read by where they stand.
#[derive(Clone, Debug)]
pub(super) struct StoredMessages {
    file: Arc<TapeFile>,
    /// The batch that was read last: its elements are wanted one after the other.
    batch: Arc<Mutex<Option<StoredBatch>>>,
}

#[derive(Debug)]
struct StoredBatch {
    line: Range<u64>,
    elements: Vec<Message>,
}

impl StoredMessages {
    pub(super) fn of(file: TapeFile) -> Self {
        Self { file: Arc::new(file), batch: Arc::default() }
    }

    /// # Errors
    /// Where the file cannot be read any more, or was changed since: in words.
    pub(super) fn load(&self, place: &MessagePlace) -> Result<Message, String> {
        let changed = |why: String| format!("the tape cannot be read any more: {why}");
        let Some(element) = place.element else { return self.line(&place.line).map_err(changed) };
        let mut batch = self.batch.lock();
        if batch.as_ref().is_none_or(|known| known.line != place.line) {
            let elements = self.line(&place.line).map_err(changed)?.elements();
            *batch = Some(StoredBatch { line: place.line.clone(), elements });
        }
        let found = batch.as_ref().and_then(|batch| batch.elements.get(usize::try_from(element).ok()?).cloned());
        found.ok_or_else(|| changed("its batch is a shorter one now".to_owned()))
    }

    fn line(&self, line: &Range<u64>) -> Result<Message, String> {
        self.file.envelope(line).map(as_it_was)
    }
}

/// What a client said, before anybody changed it, or what it got.
pub(super) fn as_it_was(envelope: Envelope) -> Message {
    match envelope.direction {
        Direction::ToServer => envelope.original.unwrap_or(envelope.message),
        Direction::ToClient => envelope.message,
    }
}
