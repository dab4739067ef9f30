//! What is counted of one session.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{RequestEnd, UpstreamMetrics};
use crate::envelope::SessionId;
use crate::event::figures::{SessionFigures, Spread, bucket};

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
    /// Those that are not empty, by their number: most sessions know a few.
    buckets: Vec<(u8, u32)>,
}

impl SessionMetrics {
    /// The counts of its upstream, which `find` looks up the first time.
    pub fn upstream(&self, find: impl FnOnce() -> Arc<UpstreamMetrics>) -> &UpstreamMetrics {
        self.upstream.get_or_init(find)
    }

    pub(super) fn count(&self, end: RequestEnd, took: Option<u64>) {
        let mut counts = self.counts.lock();
        let counts = counts
            .get_or_insert_with(|| Box::new(ReplyCounts { calls: 0, failed: 0, sum: 0, max: 0, buckets: Vec::new() }));
        counts.calls += 1;
        counts.failed += u64::from(end != RequestEnd::Ok);
        if let Some(took) = took {
            counts.sum = counts.sum.saturating_add(took);
            counts.max = counts.max.max(took);
            let bucket = bucket(took);
            match counts.buckets.iter_mut().find(|(it, _)| *it == bucket) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => {
                    counts.buckets.reserve_exact(1);
                    counts.buckets.push((bucket, 1));
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
        let mut buckets = [0; 64];
        for (bucket, count) in &counts.buckets {
            buckets[usize::from(*bucket)] = u64::from(*count);
        }
        let took = Spread::of_buckets(&buckets, counts.sum, counts.max);
        Some(SessionFigures { session, calls: counts.calls, failed: counts.failed, took })
    }
}
