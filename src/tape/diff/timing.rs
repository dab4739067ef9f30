//! Slower and faster, beyond chance: the test of Mann and Whitney, which asks nothing of how times are spread.

use std::collections::BTreeMap;

use super::calls::RecordedCall;
use crate::event::TimingChange;

/// Fewer calls on either side tell nothing.
const LEAST: usize = 5;
/// Deviations from which on chance is ruled out: one in a thousand, on both sides.
const SIGNIFICANT: f64 = 3.29;
/// A change of the median by less than this is ignored.
const CONCERN: f64 = 1.2;

pub(super) fn changes(calls: &[RecordedCall<'_>], others: &[RecordedCall<'_>]) -> Vec<TimingChange> {
    let (left, right) = (times(calls), times(others));
    let both = left.iter().filter_map(|(subject, times)| Some((subject, times, right.get(subject)?)));
    both.filter_map(|(subject, left, right)| change(subject, left, right)).collect()
}

fn times(calls: &[RecordedCall<'_>]) -> BTreeMap<String, Vec<u64>> {
    let mut times = BTreeMap::<_, Vec<_>>::new();
    for call in calls {
        let subject = [Some(call.method()), call.name()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        times.entry(subject).or_default().extend(call.took());
    }
    times.values_mut().for_each(|times| times.sort_unstable());
    times
}

/// The change from the times on the left to those on the right, both sorted, in microseconds.
fn change(subject: &str, left: &[u64], right: &[u64]) -> Option<TimingChange> {
    if left.len() < LEAST || right.len() < LEAST || deviation(left, right).abs() < SIGNIFICANT {
        return None;
    }
    let median = |times: &[u64]| times[times.len() / 2];
    let (before, after) = (median(left), median(right));
    let ratio = float(after.max(before)) / float(after.min(before).max(1));
    (ratio >= CONCERN).then(|| TimingChange {
        subject: subject.to_owned(),
        left: before,
        right: after,
        calls: (left.len(), right.len()),
    })
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
