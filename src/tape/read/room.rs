//! How much of a tape may be in memory: what reads a tape whole must not take the machine with it.

use std::fs;
use std::sync::Arc;

use super::TapeChunk;
use crate::envelope::Envelope;

/// What an envelope takes beside its message, in bytes.
const ENVELOPE: u64 = 512;

/// The memory that is left for a tape; `None` where the system does not say how much is free.
#[derive(Debug)]
pub(super) struct TapeRoom(Option<u64>);

impl TapeRoom {
    /// Half of what is free now: whatever is made of the tape needs some, too.
    pub(super) fn of_system() -> Self {
        Self(fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text)).map(|bytes| bytes / 2))
    }

    /// Whether there is room for this, too.
    pub(super) fn has_room_for(&mut self, chunk: &TapeChunk<Arc<Envelope>>) -> bool {
        let Some(left) = &mut self.0 else { return true };
        let needed: u64 = chunk.messages.iter().map(|it| it.message.raw().len() as u64 + ENVELOPE).sum();
        let is_room = needed <= *left;
        *left = left.saturating_sub(needed);
        is_room
    }
}

/// What `/proc/meminfo` says is available, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_is_read_where_it_stands() {
        assert_eq!(available("MemTotal:  9 kB\nMemAvailable:   12345 kB\n"), Some(12345 << 10));
        assert_eq!(available("MemTotal:  9 kB\n"), None);
    }

    #[test]
    fn room_is_taken_until_there_is_none() {
        let chunk = TapeChunk::default();
        assert!(TapeRoom(None).has_room_for(&chunk) && TapeRoom(Some(0)).has_room_for(&chunk));
    }
}
