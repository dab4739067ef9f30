//! A tape played many times: what that comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::app::replays;
use crate::event::{ReplayEvent, StepReport, StepVerdict};
use crate::proxy::sessions::SessionTable;
use crate::tape::play::{PlayOptions, PlayableTape, play};
use crate::text::{counted, fit_ends, sanitize};

/// The longest time that is told apart, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// How often a tape is played, and by how many clients at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadPlan {
    pub(super) repeat: usize,
    pub(super) parallel: usize,
}

/// What playing a tape many times came to.
pub(super) struct LoadFigures {
    calls: BTreeMap<(String, String), CallFigures>,
    /// The report of the first step that failed.
    first_failure: Option<StepReport>,
    failed: usize,
    took: Duration,
}

/// What one method, or one tool, came to.
struct CallFigures {
    failed: usize,
    /// How long each call took, in microseconds.
    times: Histogram<u64>,
}

impl Default for CallFigures {
    fn default() -> Self {
        Self { failed: 0, times: Histogram::new(3).expect("three digits are possible") }
    }
}

/// Plays a tape as often as is planned.
///
/// # Errors
/// Where a session cannot be opened.
pub(super) async fn play_many(
    tape: &PlayableTape,
    table: &Arc<SessionTable>,
    options: &PlayOptions,
    plan: LoadPlan,
    stop: &CancellationToken,
) -> anyhow::Result<LoadFigures> {
    let began = Instant::now();
    let clients = (0..plan.parallel).map(|_| async {
        let mut figures = LoadFigures::new();
        for _ in 0..plan.repeat {
            if stop.is_cancelled() {
                break;
            }
            let mut failed = None;
            let report = |event| match event {
                ReplayEvent::Failed { why } => failed = Some(why),
                event => figures.take(event),
            };
            play(tape.clone(), replays::connect(table, |_| ()), options.clone(), report, stop.clone()).await;
            if let Some(why) = failed {
                anyhow::bail!("{}: {why}", tape.path.display());
            }
        }
        Ok(figures)
    });
    let mut all = LoadFigures::new();
    try_join_all(clients).await?.into_iter().for_each(|figures| all.add(figures));
    all.took = began.elapsed();
    Ok(all)
}

impl LoadFigures {
    /// Of nothing so far.
    pub(super) fn new() -> Self {
        Self { calls: BTreeMap::new(), first_failure: None, failed: 0, took: Duration::ZERO }
    }

    fn take(&mut self, event: ReplayEvent) {
        let ReplayEvent::Step(step) = event else { return };
        let failed = usize::from(step.verdict == StepVerdict::Fail);
        let subject = (step.method.clone(), step.name.clone().unwrap_or_default());
        if step.took.is_some() || failed > 0 {
            let figures = self.calls.entry(subject).or_default();
            figures.failed += failed;
            // It grows with what is recorded; `saturating_record` would cut times at what it begins with.
            let _ = step.took.map(|took| figures.times.record(took.min(LONGEST)));
        }
        self.failed += failed;
        if failed > 0 {
            self.first_failure.get_or_insert(step);
        }
    }

    /// Takes in what else was played, after that or at the same time.
    pub(super) fn add(&mut self, other: Self) {
        self.took += other.took;
        for (subject, figures) in other.calls {
            let mine = self.calls.entry(subject).or_default();
            mine.failed += figures.failed;
            let _ = mine.times.add(figures.times);
        }
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// Whether every step passed, and there were any.
    pub(super) fn is_good(&self) -> bool {
        self.failed == 0 && self.count() > 0
    }

    fn count(&self) -> u64 {
        self.calls.values().map(|figures| figures.times.len()).sum()
    }

    fn rate(&self) -> f64 {
        let seconds = self.took.as_secs_f64().max(1e-9);
        self.count() as f64 / seconds
    }

    /// The table, for people.
    pub(super) fn text(&self) -> String {
        let mut out =
            format!("{:<40} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9}  ms\n", "", "n", "failed", "p50", "p95", "p99", "max");
        for ((method, name), figures) in &self.calls {
            let subject = if name.is_empty() { method.clone() } else { format!("{method} {name}") };
            let [p50, p95, p99, max] = figures.spread().map(|micros| micros as f64 / 1e3);
            let (n, failed) = (figures.times.len(), figures.failed);
            let subject = fit_ends(&sanitize(&subject), 40);
            let _ = writeln!(out, "{subject:<40} {n:>7} {failed:>7} {p50:>9.3} {p95:>9.3} {p99:>9.3} {max:>9.3}");
        }
        if let Some(step) = &self.first_failure {
            let why = step.why.as_deref().unwrap_or("it differs");
            let of = step.session.map(|id| format!(" of session {}", id.short())).unwrap_or_default();
            let _ = writeln!(out, "first failure: {} {}{of}: {}", step.seq, sanitize(&step.method), sanitize(why));
            for it in step.differences.iter().take(5) {
                let value = |value: &Option<String>| sanitize(value.as_deref().unwrap_or("nothing")).into_owned();
                let _ = writeln!(out, "  {}  - {}  + {}", sanitize(&it.path), value(&it.expected), value(&it.got));
            }
        }
        let (count, failed, took, rate) =
            (counted(self.count(), "call"), self.failed, self.took.as_secs_f64(), self.rate());
        let _ = writeln!(out, "{count}, {failed} failed, in {took:.2} s: {rate:.0} a second");
        out
    }

    /// The figures as JSON; times are in microseconds.
    pub(super) fn json(&self) -> String {
        format!("{}\n", crate::text::harmless_json(&self.value().to_string()))
    }

    /// The figures of several tapes as JSON: together, and those of each, by its name.
    pub(super) fn json_with(&self, each: Vec<(String, Value)>) -> String {
        let mut all = self.value();
        let each = each.into_iter().map(|(tape, figures)| json!({"tape": tape, "figures": figures}));
        all["tapes"] = each.collect();
        format!("{}\n", crate::text::harmless_json(&all.to_string()))
    }

    pub(super) fn value(&self) -> Value {
        let calls = self.calls.iter().map(|((method, name), figures)| {
            let [p50, p95, p99, max] = figures.spread();
            let (n, failed) = (figures.times.len(), figures.failed);
            json!({"method": method, "name": name, "n": n, "failed": failed, "p50": p50, "p95": p95, "p99": p99, "max": max})
        });
        let calls: Vec<_> = calls.collect();
        let took = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX);
        let summary = json!({"calls": self.count(), "failed": self.failed, "took": took, "rate": self.rate()});
        json!({"calls": calls, "first_failure": self.first_failure, "summary": summary})
    }
}

impl CallFigures {
    fn spread(&self) -> [u64; 4] {
        let at = |quantile| self.times.value_at_quantile(quantile);
        [at(0.5), at(0.95), at(0.99), self.times.max()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Seq;

    #[test]
    fn load_figures_have_the_times_that_were_measured() {
        let step = |took| {
            ReplayEvent::Step(StepReport {
                step: 1,
                seq: Seq(1),
                session: None,
                method: "tools/call".to_owned(),
                name: Some("slow".to_owned()),
                verdict: StepVerdict::Pass,
                took: Some(took),
                recorded: None,
                why: None,
                differences: Vec::new(),
                excused: Vec::new(),
                ignore: Vec::new(),
            })
        };
        let mut all = LoadFigures::new();
        for client in [[1_000, 250_000], [2_000, 9_000_000]] {
            let mut figures = LoadFigures::new();
            client.into_iter().for_each(|took| figures.take(step(took)));
            all.add(figures);
        }
        let about = |micros: u64, expected: u64| micros.abs_diff(expected) <= expected / 1000 + 1;
        let [p50, _, p99, max] = all.calls.values().next().map(CallFigures::spread).unwrap_or_default();
        assert!(about(p50, 2_000) && about(p99, 9_000_000) && about(max, 9_000_000), "{p50} {p99} {max}");
    }
}
