//! What became of the steps of a script so far: much of those that have no verdict yet, little of all others.

use std::num::NonZeroU64;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use super::order::SaidOrder;
use super::{ClientConnection, Player};
use crate::envelope::SessionId;
use crate::event::ReplayEvent;
use crate::message::Id;
use crate::upstream::UpstreamError;
use crate::upstream::streamable::StreamPosition;

/// What came of a step that has no verdict yet.
#[derive(Debug, Default)]
pub(super) struct OpenStep {
    /// How it was sent.
    pub(super) id: Option<Id>,
    pub(super) progress_token: Option<Id>,
    /// The client took it back, and waits for no reply.
    pub(super) is_taken_back: bool,
    pub(super) status: Option<StatusCode>,
    /// Where its stream can be resumed.
    pub(super) position: StreamPosition,
    /// How many progress notifications came.
    pub(super) progress: usize,
    /// The `progress` of the last one.
    pub(super) last_progress: Option<f64>,
    /// What is worth telling beside the verdict.
    pub(super) notes: Vec<String>,
    /// What the server said of its own accord until the reply: on the stream of the request, and on the listening stream.
    pub(super) said: [SaidOrder; 2],
}

/// What of a step matters to those after it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PlayedStep {
    pub(super) state: StepState,
    /// When it went out, or is to go out after its pause.
    pub(super) sent: Option<PlayTime>,
    /// When its verdict was given.
    pub(super) done: Option<PlayTime>,
}

/// Microseconds from the start of the replay, and one more: a step has two, and a tape millions of steps.
pub(super) type PlayTime = NonZeroU64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StepState {
    /// The step was not sent yet.
    #[default]
    Idle,
    /// Sent, or about to be, and without a verdict.
    InFlight,
    /// It is over and has a verdict.
    Done,
}

impl<R, O> Player<R, O>
where
    R: FnMut(ReplayEvent) + Send,
    O: FnMut(SessionId) -> Result<ClientConnection, UpstreamError> + Send,
{
    pub(super) fn instant(&self, time: PlayTime) -> Instant {
        self.began + Duration::from_micros(time.get() - 1)
    }

    pub(super) fn play_time(&self, instant: Instant) -> PlayTime {
        let micros = instant.saturating_duration_since(self.began).as_micros();
        PlayTime::MIN.saturating_add(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// A step without a verdict; `None` once it has one.
    pub(super) fn open_step(&mut self, index: usize) -> Option<&mut OpenStep> {
        let is_over = self.played[index].state == StepState::Done;
        (!is_over).then(|| self.open_steps.entry(index).or_default())
    }

    /// Notes of a step what is worth telling beside its verdict.
    pub(super) fn note(&mut self, index: usize, note: impl Into<String>) {
        if let Some(step) = self.open_step(index) {
            step.notes.push(note.into());
        }
    }

    pub(super) fn status(&self, index: usize) -> Option<StatusCode> {
        self.open_steps.get(&index)?.status
    }

    pub(super) fn is_taken_back(&self, request: usize) -> bool {
        self.open_steps.get(&request).is_some_and(|step| step.is_taken_back)
    }
}
