//! When the next request of everybody is due, for `governor` to decide by.
//!
//! A store of our own under governor, because several limits must agree before any counts: so `Retry-After` is the
//! longest wait, and exact.

use dashmap::{DashMap, Entry};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

use super::Key;

/// By their own nature the theoretical arrival times of the algorithm. A store of ours, because `governor`'s count what they
/// decide on: of several limits all must agree before any counts.
#[derive(Default)]
pub(super) struct Arrivals(DashMap<Key, Nanos>);

/// A question to the store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Visit {
    pub(super) key: Key,
    /// Whether it changes anything.
    pub(super) counts: bool,
}

impl StateStore for Arrivals {
    type Key = Visit;

    fn measure_and_replace<T, F, E>(&self, visit: &Visit, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if !visit.counts {
            let due = self.0.get(&visit.key).map(|due| *due);
            return decide(due).map(|(outcome, _)| outcome);
        }
        match self.0.entry(visit.key.clone()) {
            Entry::Occupied(mut entry) => {
                let (outcome, due) = decide(Some(*entry.get()))?;
                entry.insert(due);
                Ok(outcome)
            }
            Entry::Vacant(entry) => {
                let (outcome, due) = decide(None)?;
                entry.insert(due);
                Ok(outcome)
            }
        }
    }
}

impl ShrinkableKeyedStateStore<Visit> for Arrivals {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain(|_, due| *due > drop_below);
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
