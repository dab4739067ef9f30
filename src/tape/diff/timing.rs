//! Slower and faster, beyond chance: the test of Mann and Whitney, which asks nothing of how times are spread.

use super::calls::{self, RecordedCalls, TextSum};
use crate::event::TimingChange;
use crate::tape::TapeError;

/// Fewer calls on either side tell nothing.
const LEAST: usize = 5;
/// Deviations from which on chance is ruled out: one in a thousand, on both sides.
const SIGNIFICANT: f64 = 3.29;
/// A change of the median by less than this is ignored.
const CONCERN: f64 = 1.2;
/// One by this much is told of few calls, too, where each on one side took longer than any on the other: of five that is one in a hundred.
const PLAIN: f64 = 2.0;

pub(super) fn changes(left: &RecordedCalls, right: &RecordedCalls) -> Result<Vec<TimingChange>, TapeError> {
    let (times, others) = (times(left), times(right));
    let mut others = others.chunk_by(|a, b| a.0 == b.0).peekable();
    let mut changes = Vec::new();
    for times in times.chunk_by(|a, b| a.0 == b.0) {
        let title = times[0].0;
        while others.next_if(|other| other[0].0 < title).is_some() {}
        let Some(other) = others.next_if(|other| other[0].0 == title) else { continue };
        let only = |times: &[(TextSum, u64)]| times.iter().map(|(_, took)| *took).collect::<Vec<_>>();
        let (times, other) = (only(times), only(other));
        if let Some((before, after)) = changed_medians(&times, &other) {
            // Where it stands only on tapes that repeat this one, none of its calls is compared either.
            let Some(call) = left.calls.iter().find(|call| call.title == title) else { continue };
            let (subject, calls) = (calls::title(&left.request(call)?), (times.len(), other.len()));
            changes.push(TimingChange { subject, left: before, right: after, calls });
        }
    }
    changes.sort_by(|a, b| a.subject.cmp(&b.subject));
    Ok(changes)
}

/// How long each call took that was answered, also on tapes that repeat this one; of those that are called the same the shortest first.
fn times(calls: &RecordedCalls) -> Vec<(TextSum, u64)> {
    let mut times: Vec<_> = calls.times().chain(calls.repeated.iter().copied()).collect();
    times.sort_unstable();
    times
}

/// The medians of the times on the left and on the right, both sorted, in microseconds, where one is another beyond chance.
fn changed_medians(left: &[u64], right: &[u64]) -> Option<(u64, u64)> {
    if left.len() < LEAST || right.len() < LEAST {
        return None;
    }
    let median = |times: &[u64]| times[times.len() / 2];
    let (before, after) = (median(left), median(right));
    let ratio = float(after.max(before)) / float(after.min(before).max(1));
    let are_apart = left.last() < right.first() || right.last() < left.first();
    let is_beyond_chance = deviation(left, right).abs() >= SIGNIFICANT || are_apart && ratio >= PLAIN;
    (is_beyond_chance && ratio >= CONCERN).then_some((before, after))
}

/// How many standard deviations the ranks of the right are from what chance would have; both sorted.
fn deviation(left: &[u64], right: &[u64]) -> f64 {
    let (m, n) = (left.len() as f64, right.len() as f64);
    let below = |time: u64| left.partition_point(|it| *it < time);
    let up_to = |time: u64| left.partition_point(|it| *it <= time);
    let wins: f64 = right.iter().map(|time| (below(*time) + up_to(*time)) as f64 / 2.0).sum();
    (wins - m * n / 2.0) / (m * n * (m + n + 1.0) / 12.0).sqrt()
}

fn float(micros: u64) -> f64 {
    micros as f64
}
