//! What is counted of one session.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{RequestEnd, UpstreamMetrics};
use crate::envelope::SessionId;
use crate::event::figures::{SessionFigures, Spread, rounded};

/// Replies of one session. Idle sessions are many: one without a reply costs next to nothing.
#[derive(Default)]
pub struct SessionMetrics {
    /// The counts of its upstream; known from its first message on.
    upstream: OnceLock<Arc<UpstreamMetrics>>,
    counts: Mutex<Option<Box<ReplyCounts>>>,
}

struct ReplyCounts {
    calls: u64,
    failed: u64,
    /// The sum of all durations, in microseconds.
    sum: u64,
    max: u64,
    /// Durations to two digits, in ascending order, and how often each was: most sessions know a few.
    values: Vec<(u64, u32)>,
}

impl SessionMetrics {
    /// The counts of its upstream, which `find` looks up the first time.
    pub fn upstream(&self, find: impl FnOnce() -> Arc<UpstreamMetrics>) -> &UpstreamMetrics {
        self.upstream.get_or_init(find)
    }

    pub(super) fn count(&self, end: RequestEnd, took: Option<u64>) {
        let mut counts = self.counts.lock();
        let counts = counts
            .get_or_insert_with(|| Box::new(ReplyCounts { calls: 0, failed: 0, sum: 0, max: 0, values: Vec::new() }));
        counts.calls += 1;
        counts.failed += u64::from(end != RequestEnd::Ok);
        if let Some(took) = took {
            counts.sum = counts.sum.saturating_add(took);
            counts.max = counts.max.max(took);
            let value = rounded(took);
            match counts.values.binary_search_by_key(&value, |(it, _)| *it) {
                Ok(at) => counts.values[at].1 = counts.values[at].1.saturating_add(1),
                Err(at) => {
                    counts.values.reserve_exact(1);
                    counts.values.insert(at, (value, 1));
                }
            }
        }
    }

    /// How many calls were answered.
    pub fn calls(&self) -> u64 {
        self.counts.lock().as_ref().map_or(0, |counts| counts.calls)
    }

    /// What was counted so far; `None` where nothing was answered yet.
    pub fn figures(&self, session: SessionId) -> Option<SessionFigures> {
        let counts = self.counts.lock();
        let counts = counts.as_ref()?;
        let values = counts.values.iter().map(|(value, count)| (*value, u64::from(*count)));
        let took = Spread::of(values, counts.sum, counts.max);
        Some(SessionFigures { session, calls: counts.calls, failed: counts.failed, took })
    }
}
