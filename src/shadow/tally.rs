//! How all comparisons stand, and telling it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::event::{Comparison, Event, ShadowCounts, ShadowEvent};
use crate::journal::Journal;

/// The owner of the counts.
#[derive(Clone)]
pub struct ShadowTally {
    journal: Journal,
    counts: Arc<Mutex<ShadowCounts>>,
}

impl ShadowTally {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal, counts: Arc::default() }
    }

    /// The counts at this moment.
    pub fn counts(&self) -> ShadowCounts {
        self.counts.lock().clone()
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn add(&self, comparison: Comparison) {
        // Published under the lock: readers see the counts grow.
        let mut counts = self.counts.lock();
        counts.add(&comparison);
        self.publish(&counts, Some(Arc::new(comparison)));
    }

    /// So many events went by unheard.
    pub(super) fn dropped(&self, events: u64) {
        let mut counts = self.counts.lock();
        counts.dropped += events;
        self.publish(&counts, None);
    }

    fn publish(&self, counts: &ShadowCounts, compared: Option<Arc<Comparison>>) {
        self.journal.publish(Event::Shadow(ShadowEvent { counts: counts.clone(), compared }));
    }
}
