//! How a step ends, and how a replay does.

use std::time::Duration;

use http::Method;
use tokio::time::{Instant, timeout};

use super::script::StepKind;
use super::wire::outgoing;
use super::{OnFailure, Player, StepState};
use crate::event::{Difference, ReplayEvent, ReplaySummary, StepReport, StepVerdict};
use crate::json::JsonPath;
use crate::tape::compare::Findings;

/// How long the server may take to end the session.
const GOODBYE: Duration = Duration::from_secs(2);

impl<R: FnMut(ReplayEvent) + Send> Player<R> {
    pub(super) fn fail(&mut self, index: usize, why: String) {
        self.conclude(index, StepVerdict::Fail, Some(why), Findings::default(), None);
    }

    /// Ends a step; one that has ended stays as it is. `took` is the time to the reply, where there was one.
    pub(super) fn conclude(
        &mut self,
        index: usize,
        verdict: StepVerdict,
        why: Option<String>,
        found: Findings,
        took: Option<Duration>,
    ) {
        let played = &mut self.played[index];
        if played.state == StepState::Done {
            return;
        }
        let was_in_flight = std::mem::replace(&mut played.state, StepState::Done) == StepState::InFlight;
        played.done = Some(Instant::now());
        let why: Vec<_> = why.into_iter().chain(std::mem::take(&mut played.notes)).collect();
        self.alone.take_if(|alone| *alone == index);
        let step = &self.script.steps[index];
        self.blockers.remove(&(step.reply().map_or(0, |reply| reply.place), index));
        self.deadlines.retain(|(_, waiting)| *waiting != index);
        if let Some(id) = step.message.id().filter(|id| self.waiting.get(id) == Some(&index)) {
            self.waiting.remove(id);
        }
        self.answering -= usize::from(was_in_flight && step.is_answer());
        let count = match verdict {
            StepVerdict::Pass => &mut self.summary.passed,
            StepVerdict::Fail => &mut self.summary.failed,
            StepVerdict::Skip => &mut self.summary.skipped,
        };
        *count += 1;
        self.summary.excused += found.excused.iter().map(|it| it.count).sum::<usize>();
        (self.report)(ReplayEvent::Step(StepReport {
            step: index + 1,
            seq: step.seq,
            method: step.method(),
            name: step.message.name().map(str::to_owned),
            verdict,
            took: took.map(micros),
            recorded: step.reply().map(|reply| reply.took),
            why: (!why.is_empty()).then(|| why.join("; ")),
            ignore: settling(&found.differences),
            differences: found.differences,
            excused: found.excused,
        }));
        if verdict == StepVerdict::Fail && self.options.on_failure == OnFailure::Stop {
            self.over.get_or_insert_with(|| "stopped at the first failure".to_owned());
        }
    }

    /// Reports what was not played, and ends the session at the server.
    pub(super) async fn finish(mut self) -> ReplaySummary {
        for index in 0..self.script.steps.len() {
            let (verdict, why) = match (&self.over, self.played[index].state, &self.script.steps[index].kind) {
                (_, StepState::Done, _) => continue,
                (Some(over), _, _) => (StepVerdict::Skip, over.clone()),
                (None, StepState::InFlight, _) => {
                    (StepVerdict::Pass, "the tape has no reply to compare with, and none came".to_owned())
                }
                (None, StepState::Idle, StepKind::Answer { question: None }) => {
                    (StepVerdict::Skip, "what it answers is not on the tape".to_owned())
                }
                (None, StepState::Idle, _) => (StepVerdict::Skip, "the server did not ask".to_owned()),
            };
            self.conclude(index, verdict, Some(why), Findings::default(), None);
        }
        self.summary.took = micros(self.began.elapsed());
        if self.negotiated.session.id.is_some() && !self.options.keeps_session {
            let headers = self.negotiated.bare(&self.last_headers, &self.options.headers);
            // A server that refuses, or is gone, is rid of the session as well.
            let _ = timeout(GOODBYE, self.upstream.send(outgoing(Method::DELETE, headers, None))).await;
        }
        (self.report)(ReplayEvent::Finished(self.summary.clone()));
        self.summary
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// More paths than this are no hint.
const MOST_PATHS: usize = 8;

/// The `--ignore` paths that settle values which differ: they may be random.
fn settling(differences: &[Difference]) -> Vec<String> {
    let values = differences.iter().filter(|it| it.expected.is_some() && it.got.is_some());
    let mut paths: Vec<_> = values.filter_map(|it| Some(it.path.parse::<JsonPath<'_>>().ok()?.pattern())).collect();
    paths.retain(|path| !path.is_empty());
    paths.dedup();
    if paths.len() > MOST_PATHS { Vec::new() } else { paths }
}
