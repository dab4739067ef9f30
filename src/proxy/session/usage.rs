//! How much a session has been used: counted without a lock by the spine, and read now and then by others.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::envelope::Seq;
use crate::event::Timestamp;

/// How a session was used, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Usage {
    /// When its latest message came, or when its client was last connected without saying anything.
    pub(in crate::proxy) last: Timestamp,
    /// Number of its latest message.
    pub(in crate::proxy) seq: Seq,
    /// How many messages it had.
    pub(in crate::proxy) messages: u64,
}

/// [`Usage`] as it grows.
pub(super) struct UsageCounters {
    /// Microseconds from the beginning of the session to its latest use.
    last: AtomicU64,
    seq: AtomicU64,
    messages: AtomicU64,
}

impl UsageCounters {
    /// Counters that go on from an earlier usage of a session that began at `started`.
    pub(super) fn new(usage: Usage, started: Timestamp) -> Self {
        Self {
            last: AtomicU64::new(usage.last.0.saturating_sub(started.0)),
            seq: AtomicU64::new(usage.seq.0),
            messages: AtomicU64::new(usage.messages),
        }
    }

    /// Counts a message that came `at` microseconds after the beginning of the session.
    pub(super) fn count(&self, seq: Seq, at: u64) {
        self.last.store(at, Ordering::Relaxed);
        self.seq.store(seq.0, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// Moves the latest use to `at`, in microseconds since the beginning of the session.
    pub(super) fn touch(&self, at: u64) {
        self.last.store(at, Ordering::Relaxed);
    }

    /// The latest use, in microseconds since the beginning of the session.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// How many messages there were.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// What was counted so far of a session that began at `started`.
    pub(super) fn read(&self, started: Timestamp) -> Usage {
        Usage {
            last: started.plus_micros(self.last()),
            seq: Seq(self.seq.load(Ordering::Relaxed)),
            messages: self.messages(),
        }
    }
}
