//! Pauses between attempts: without an end, or so many with jitter.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Returns pauses without an end: `first`, then each twice the one before, up to `longest`. Not random: one process waits,
/// for one server, and does not come with a crowd.
pub fn doubling(first: Duration, longest: Duration) -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).with_factor(2.0);
    pauses.without_max_times().build()
}

/// Returns the pauses before so many further attempts: each twice the one before, up to `longest` where one is given. Up to as much
/// again is added at random, so that what failed together is not tried together again.
pub fn jittered(first: Duration, longest: Option<Duration>, attempts: usize) -> ExponentialBuilder {
    let pauses =
        ExponentialBuilder::new().with_min_delay(first).with_factor(2.0).with_max_times(attempts).with_jitter();
    match longest {
        Some(longest) => pauses.with_max_delay(longest),
        None => pauses.without_max_delay(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_stays_at_the_longest_pause() {
        let pauses: Vec<_> = doubling(Duration::from_secs(1), Duration::from_secs(30)).take(40).collect();
        let seconds = [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs);
        assert_eq!(pauses[..7], seconds);
        assert_eq!(pauses.last(), Some(&Duration::from_secs(30)));
    }
}
