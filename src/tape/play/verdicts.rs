//! How a step ends, and how a replay does.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::script::StepKind;
use super::{ClientConnection, OnFailure, Player, StepState};
use crate::envelope::SessionId;
use crate::event::{Difference, ReplayEvent, ReplaySummary, StepReport, StepVerdict};
use crate::json::JsonPath;
use crate::tape::compare::Findings;
use crate::upstream::UpstreamError;

impl<R, O> Player<R, O>
where
    R: FnMut(ReplayEvent) + Send,
    O: FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send,
{
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
        let now = self.play_time(Instant::now());
        let played = &mut self.played[index];
        if played.state == StepState::Done {
            return;
        }
        let was_in_flight = std::mem::replace(&mut played.state, StepState::Done) == StepState::InFlight;
        played.done = Some(now);
        let open = self.open_steps.remove(&index).unwrap_or_default();
        let why: Vec<_> = why.into_iter().chain(open.notes).collect();
        let script = self.script.clone();
        let step = &script.steps[index];
        let session = &mut self.sessions[step.session()];
        session.alone.take_if(|alone| *alone == index);
        self.blockers.remove(&(step.reply().map_or(0, |reply| reply.place), index));
        self.deadlines.retain(|(_, waiting)| *waiting != index);
        if let Some(id) = open.id.filter(|id| session.waiting.get(id) == Some(&index)) {
            session.waiting.remove(&id);
        }
        self.answering -= usize::from(was_in_flight && step.is_answer());
        let count = match verdict {
            StepVerdict::Pass => &mut self.summary.passed,
            StepVerdict::Fail => &mut self.summary.failed,
            StepVerdict::Skip => &mut self.summary.skipped,
        };
        *count += 1;
        self.summary.excused += found.excused.iter().map(|it| it.count).sum::<usize>();
        let session = self.named_session(step);
        (self.report)(ReplayEvent::Step(StepReport {
            step: index + 1,
            seq: step.seq,
            session,
            method: step.method(),
            name: step.outline.name().map(str::to_owned),
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

    /// The steps of a session that were sent and have no verdict.
    pub(super) fn in_flight(&self, session: usize) -> Vec<usize> {
        let is_its = |index: &usize| {
            self.script.steps[*index].session() == session && self.played[*index].state == StepState::InFlight
        };
        self.open_steps.keys().copied().filter(is_its).collect()
    }

    /// Ends a session where it ended on the tape; others go on.
    pub(super) async fn end(&mut self, session: usize) {
        self.next_end += 1;
        let leaving = self.sessions[session].end(&self.options.headers).await;
        for index in self.in_flight(session) {
            let why = Some("the tape has no reply to compare with, and none came".to_owned());
            self.conclude(index, StepVerdict::Pass, why, Findings::default(), None);
        }
        self.leaving.push(leaving);
    }

    /// Reports what was not played, and ends all sessions at the server but, where one is to be kept, that.
    pub(super) async fn finish(mut self, kept: SessionId) -> ReplaySummary {
        for index in 0..self.script.steps.len() {
            let step = &self.script.steps[index];
            let over = self.over.as_deref().or(self.sessions[step.session()].over);
            let (verdict, why) = match (over, self.played[index].state, &step.kind) {
                (_, StepState::Done, _) => continue,
                (Some(over), _, _) => (StepVerdict::Skip, over.to_owned()),
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
        let sessions = self.sessions.iter_mut().zip(&self.script.sessions);
        let ended = sessions.filter(|(_, it)| !self.options.keeps_session || it.id != kept);
        let leaving = join_all(ended.map(|(session, _)| session.end(&self.options.headers))).await;
        // Streams are let go of first: no server has to wait for that.
        self.exchanges.clear();
        self.leaving.extend(leaving);
        while self.leaving.next().await.is_some() {}
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
    paths.sort_unstable();
    paths.dedup();
    if paths.len() > MOST_PATHS { Vec::new() } else { paths }
}
