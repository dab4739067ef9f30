//! Running figures: how many of which kind, and how fast.

use std::collections::VecDeque;

use crate::envelope::Envelope;
use crate::event::Timestamp;
use crate::message::Kind;

/// Seconds that the rate is taken over.
const WINDOW: u64 = 5;

#[derive(Default)]
pub(crate) struct TrafficStats {
    pub(crate) requests: u64,
    /// Those that are no failures.
    pub(crate) results: u64,
    /// Failures of every kind.
    pub(crate) errors: u64,
    pub(crate) notifications: u64,
    pub(crate) others: u64,
    /// Messages per second of the clock, newest last.
    seconds: VecDeque<(u64, u32)>,
    /// What comes now is told again, or for the first time to one who attached: it is of no rate of now.
    pub(crate) is_retold: bool,
}

impl TrafficStats {
    pub(crate) fn count(&mut self, envelope: &Envelope) {
        match envelope.kind() {
            _ if envelope.is_failure() => self.errors += 1,
            Kind::Request => self.requests += 1,
            Kind::Result => self.results += 1,
            Kind::Notification => self.notifications += 1,
            Kind::Error | Kind::Batch | Kind::Opaque => self.others += 1,
        }
    }

    /// For the rate, which is of the screen's clock and not of the messages'.
    pub(crate) fn tick(&mut self, now: Timestamp, messages: u32) {
        let second = now.0 / 1_000_000;
        while self.seconds.front().is_some_and(|(then, _)| then + WINDOW <= second) {
            self.seconds.pop_front();
        }
        match self.seconds.back_mut() {
            _ if messages == 0 || self.is_retold => {}
            Some((last, count)) if *last == second => *count += messages,
            _ => self.seconds.push_back((second, messages)),
        }
    }

    /// After a resync: what is repeated did not come just now.
    pub(crate) fn keep_rate(&mut self, old: &mut Self) {
        self.seconds = std::mem::take(&mut old.seconds);
    }

    /// Messages per second; `None` when nothing came lately.
    #[expect(clippy::cast_precision_loss, reason = "a rate to one digit")]
    pub(crate) fn rate(&self) -> Option<f64> {
        let sum: u64 = self.seconds.iter().map(|(_, count)| u64::from(*count)).sum();
        (sum > 0).then(|| sum as f64 / WINDOW as f64)
    }
}
