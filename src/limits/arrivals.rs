//! When the next request of everybody is due, for `governor` to decide by.
//!
//! A store of our own under governor, because several limits must agree before any counts: so `Retry-After` is the
//! longest wait, and exact.

use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::{DashMap, Entry};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

use super::{Key, MOST_KEYS};

/// By their own nature the theoretical arrival times of the algorithm. A store of ours, because `governor`'s count what they
/// decide on: of several limits all must agree before any counts.
#[derive(Default)]
pub(super) struct Arrivals {
    due: DashMap<Key, Nanos>,
    /// How many there are; a map of many parts takes long to count.
    count: AtomicUsize,
}

/// A question to the store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ArrivalKey {
    pub(super) key: Key,
    /// Whether it changes anything.
    pub(super) counts: bool,
}

impl StateStore for Arrivals {
    type Key = ArrivalKey;

    fn measure_and_replace<T, F, E>(&self, visit: &ArrivalKey, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let key = self.place_of(&visit.key);
        if !visit.counts {
            let due = self.due.get(key).map(|due| *due);
            return decide(due).map(|(outcome, _)| outcome);
        }
        match self.due.entry(key.clone()) {
            Entry::Occupied(mut entry) => {
                let (outcome, due) = decide(Some(*entry.get()))?;
                entry.insert(due);
                Ok(outcome)
            }
            Entry::Vacant(entry) => {
                let (outcome, due) = decide(None)?;
                entry.insert(due);
                self.count.fetch_add(1, Ordering::Relaxed);
                Ok(outcome)
            }
        }
    }
}

impl Arrivals {
    /// Where a key is counted.
    fn place_of<'a>(&self, key: &'a Key) -> &'a Key {
        let is_full = self.count.load(Ordering::Relaxed) >= MOST_KEYS;
        if is_full && !self.due.contains_key(key) { &Key::Others } else { key }
    }
}

impl ShrinkableKeyedStateStore<ArrivalKey> for Arrivals {
    fn retain_recent(&self, drop_below: Nanos) {
        self.due.retain(|_, due| *due > drop_below);
        self.count.store(self.due.len(), Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        self.due.len()
    }

    fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}
