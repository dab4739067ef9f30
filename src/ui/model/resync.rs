//! Where asking the core for everything again stands, after events were lost.

use super::observed::ObservedState;
use crate::event::Timestamp;

/// A resync that is not answered is asked for again after so many microseconds (5 s).
const RESYNC_TIMEOUT: u64 = 5_000_000;

#[derive(Default)]
pub(crate) struct Resync {
    /// What has been told again so far; shown once it is complete.
    pub(super) rebuild: Option<ObservedState>,
    /// Events that this screen has lost in all.
    pub(crate) dropped: u64,
    asked: Option<Timestamp>,
    /// Events were lost again meanwhile: what is being told has a hole.
    again: bool,
}

impl Resync {
    pub(super) fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// The answer itself may be lost, in part or whole; but asking is never in a hurry.
    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.asked.is_some_and(|asked| asked.plus_micros(RESYNC_TIMEOUT) <= now)
    }

    /// Counts events that were lost; returns whether it is time to ask for everything.
    pub(super) fn count_lost(&mut self, events: u64) -> bool {
        self.dropped += events;
        self.again |= self.waits();
        !self.waits()
    }

    pub(super) fn ask(&mut self, now: Timestamp) {
        (self.asked, self.again) = (Some(now), false);
    }

    /// Everything was told; returns it. Where events were lost meanwhile, another resync is still to come.
    pub(super) fn finish(&mut self) -> Option<ObservedState> {
        let observed = self.rebuild.take()?;
        if !self.again {
            self.asked = None;
        }
        Some(observed)
    }
}
