//! The tapes, and the one that is being played.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::message_list::MessageList;
use super::message_rows::{MessageRows, PutOutcome, RowState};
use super::motion::{ListCursor, Motion};
use crate::envelope::{Envelope, Seq};
use crate::event::{Finding, ReplayEvent, ReplaySummary, Session, Speed, StepReport, StepVerdict, TapeInfo, Timestamp};

pub(crate) struct TapesScreen {
    /// The tapes there are; `None` until the core answered.
    pub(crate) list: Option<Vec<TapeInfo>>,
    pub(crate) place: ListCursor,
    /// The message to go to in the tape that was asked for.
    pub(crate) goal: Option<Seq>,
    pub(crate) replay: Option<ReplayRun>,
    pub(crate) speed: Speed,
}

impl Default for TapesScreen {
    fn default() -> Self {
        Self { list: None, place: ListCursor::default(), goal: None, replay: None, speed: Speed::Max }
    }
}

/// A tape opened for reading.
pub(crate) struct OpenTape {
    pub(crate) path: PathBuf,
    pub(crate) rows: MessageRows,
    pub(crate) list: MessageList,
    pub(crate) problems: Vec<String>,
    pub(crate) started: Option<Timestamp>,
    /// All of it was read.
    pub(crate) is_whole: bool,
    /// The message that it was opened for, until that was read.
    pub(crate) goal: Option<Seq>,
}

impl OpenTape {
    /// Takes in messages that were read while the first were on the screen.
    pub(crate) fn read_on(&mut self, envelopes: Vec<Arc<Envelope>>) {
        for envelope in envelopes {
            let (seq, answered) = (envelope.seq, envelope.reply_to.as_ref().map(|to| to.seq));
            let is_new = self.rows.put(envelope, RowState::Passed) == PutOutcome::Arrived;
            self.list.changed(&self.rows, seq, is_new);
            if let Some(request) = answered {
                self.list.answered(&self.rows, request);
            }
        }
        self.go_to_goal();
    }

    /// Takes in what is known behind its end.
    pub(crate) fn end(&mut self, session: Arc<Session>, problems: Vec<String>, found: Vec<Finding>) {
        self.rows.learn(session);
        for finding in found {
            self.rows.find_fault(&Arc::new(finding));
        }
        (self.problems, self.is_whole) = (problems, true);
        // Who spoke is asked by some filters.
        self.list.rows_replaced(&self.rows);
    }

    pub(crate) fn go_to_goal(&mut self) {
        if let Some(position) = self.goal.and_then(|seq| self.rows.find(seq).ok()) {
            self.list.go_to(&self.rows, position);
            self.goal = None;
        }
    }
}

/// One playing of a tape.
pub(crate) struct ReplayRun {
    pub(crate) tape: PathBuf,
    pub(crate) target: String,
    pub(crate) steps: usize,
    pub(crate) reports: Vec<StepReport>,
    pub(crate) end: Option<Result<ReplaySummary, String>>,
    pub(crate) place: ListCursor,
    /// The cursor was moved by hand: it no longer goes with the newest step.
    pub(crate) unfollowed: bool,
}

impl ReplayRun {
    pub(crate) fn runs(&self) -> bool {
        self.end.is_none()
    }

    pub(crate) fn count(&self, verdict: StepVerdict) -> usize {
        self.reports.iter().filter(|report| report.verdict == verdict).count()
    }

    pub(crate) fn selected(&self) -> Option<&StepReport> {
        self.reports.get(self.place.cursor)
    }

    pub(crate) fn go(&mut self, motion: Motion) {
        self.place.go(motion, self.reports.len());
        self.unfollowed = self.place.cursor + 1 < self.reports.len();
    }

    /// The next step that failed, from the top again after the last.
    pub(crate) fn next_fail(&mut self) {
        let len = self.reports.len();
        let after = (1..=len).map(|by| (self.place.cursor + by) % len);
        if let Some(position) = { after }.find(|at| self.reports[*at].verdict == StepVerdict::Fail) {
            self.place.cursor = position;
            self.unfollowed = true;
        }
    }

    fn step(&mut self, report: StepReport) {
        self.reports.push(report);
        if !self.unfollowed {
            self.place.cursor = self.reports.len() - 1;
        }
    }
}

impl TapesScreen {
    pub(crate) fn selected(&self) -> Option<&TapeInfo> {
        self.list.as_ref()?.get(self.place.cursor)
    }

    pub(crate) fn listed(&mut self, list: Vec<TapeInfo>) {
        let path = self.selected().map(|tape| tape.path.clone());
        self.place.cursor = list.iter().position(|tape| Some(&tape.path) == path.as_ref()).unwrap_or(0);
        self.list = Some(list);
    }

    pub(crate) fn started(&self, path: &Path) -> Option<Timestamp> {
        self.list.as_ref()?.iter().find(|tape| tape.path == path).map(|tape| tape.started)
    }

    pub(crate) fn running(&self) -> bool {
        self.replay.as_ref().is_some_and(ReplayRun::runs)
    }

    pub(crate) fn on_event(&mut self, event: ReplayEvent) {
        match (event, &mut self.replay) {
            (ReplayEvent::Started { tape, target, steps }, _) => {
                let (reports, place) = (Vec::new(), ListCursor::default());
                self.replay = Some(ReplayRun { tape, target, steps, reports, end: None, place, unfollowed: false });
            }
            (ReplayEvent::Step(report), Some(replay)) => replay.step(report),
            (ReplayEvent::Finished(summary), Some(replay)) => replay.end = Some(Ok(summary)),
            (ReplayEvent::Failed { why }, Some(replay)) => replay.end = Some(Err(why)),
            (_, None) => {}
        }
    }

    pub(crate) fn next_speed(&mut self) {
        self.speed = match self.speed {
            Speed::Max => Speed::Times(1.0),
            Speed::Times(times) if times < 2.0 => Speed::Times(2.0),
            Speed::Times(times) if times < 10.0 => Speed::Times(10.0),
            Speed::Times(_) => Speed::Max,
        };
    }

    pub(crate) fn speed_words(&self) -> String {
        match self.speed {
            Speed::Max => "flat out".to_owned(),
            Speed::Times(times) => format!("x{times}"),
        }
    }
}

/// The file's name without what every tape's name ends with.
pub(crate) fn tape_title(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.strip_suffix(".jsonl").unwrap_or(&name).trim_end_matches(".tape").to_owned()
}
