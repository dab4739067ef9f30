//! Running figures: how many of which kind, how fast, how often which tool.

use std::collections::{HashMap, VecDeque};

use crate::envelope::Envelope;
use crate::event::Timestamp;
use crate::mcp::method::TOOLS_CALL;
use crate::message::Kind;

/// Durations that percentiles are taken of: the last so many.
const SAMPLES: usize = 256;
/// Tools that are counted.
const TOOLS: usize = 500;
/// Seconds that the rate is taken over.
const WINDOW: u64 = 5;

#[derive(Default)]
pub(crate) struct TrafficStats {
    pub(crate) requests: u64,
    pub(crate) results: u64,
    pub(crate) errors: u64,
    pub(crate) notifications: u64,
    pub(crate) others: u64,
    pub(crate) took: DurationSamples,
    tools: HashMap<Box<str>, ToolStats>,
    /// Messages per second of the clock, newest last.
    seconds: VecDeque<(u64, u32)>,
}

#[derive(Default)]
pub(crate) struct ToolStats {
    pub(crate) calls: u64,
    pub(crate) took: DurationSamples,
}

/// The last durations, in microseconds.
#[derive(Default)]
pub(crate) struct DurationSamples(VecDeque<u64>);

impl DurationSamples {
    fn push(&mut self, micros: u64) {
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(micros);
    }

    pub(crate) fn percentile(&self, percent: usize) -> Option<u64> {
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
    }
}

impl TrafficStats {
    pub(crate) fn count(&mut self, envelope: &Envelope) {
        match envelope.kind() {
            Kind::Request => self.requests += 1,
            Kind::Result => self.results += 1,
            Kind::Error => self.errors += 1,
            Kind::Notification => self.notifications += 1,
            Kind::Batch | Kind::Opaque => self.others += 1,
        }
        if let Some(reply_to) = &envelope.reply_to {
            self.took.push(reply_to.took);
            if let Some(name) = reply_to.subject.name.as_ref().filter(|_| &*reply_to.subject.method == TOOLS_CALL) {
                self.count_tool(name, reply_to.took);
            }
        }
    }

    /// Names are the peer's: it shall not fill our memory with them.
    fn count_tool(&mut self, name: &str, took: u64) {
        if self.tools.len() >= TOOLS && !self.tools.contains_key(name) {
            return;
        }
        let tool = self.tools.entry(name.into()).or_default();
        tool.calls += 1;
        tool.took.push(took);
    }

    /// For the rate, which is of the screen's clock and not of the messages'.
    pub(crate) fn tick(&mut self, now: Timestamp, messages: u32) {
        let second = now.0 / 1_000_000;
        while self.seconds.front().is_some_and(|(then, _)| then + WINDOW <= second) {
            self.seconds.pop_front();
        }
        match self.seconds.back_mut() {
            _ if messages == 0 => {}
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

    /// The tools called most, most first.
    pub(crate) fn top_tools(&self, count: usize) -> Vec<(&str, &ToolStats)> {
        let mut tools: Vec<_> = self.tools.iter().map(|(name, tool)| (&**name, tool)).collect();
        tools.sort_by(|a, b| b.1.calls.cmp(&a.1.calls).then(a.0.cmp(b.0)));
        tools.truncate(count);
        tools
    }
}
