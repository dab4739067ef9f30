//! Messages of a tape on their way to a screen, and how many of them may be on it.
//!
//! A tape is read on several cores and taken in on one. What waits between the two is many times larger than what a screen keeps of it,
//! and memory that it once took is not given back: so reading waits for the screen.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// A reader of events that takes nothing in for so long is not waited for any more: it may be a screen far away that hangs, and others
/// wait for the same tape.
const PATIENCE: Duration = Duration::from_secs(2);

/// Some messages of a tape. They count as taken in when this is gone with all its clones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TapePart {
    pub envelopes: Vec<Arc<Envelope>>,
    #[serde(skip)]
    _room: Option<Arc<TakenRoom>>,
}

impl From<Vec<Arc<Envelope>>> for TapePart {
    fn from(envelopes: Vec<Arc<Envelope>>) -> Self {
        Self { envelopes, _room: None }
    }
}

/// How far a tape is read ahead of who takes it in.
#[derive(Debug)]
pub struct ReadAhead {
    most: usize,
    waiting: Arc<WaitingParts>,
    waits: bool,
}

#[derive(Debug, Default)]
struct WaitingParts {
    count: Mutex<usize>,
    fewer: Condvar,
}

/// Gives its room back when it is gone.
#[derive(Debug)]
struct TakenRoom(Arc<WaitingParts>);

impl Drop for TakenRoom {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.fewer.notify_one();
    }
}

impl ReadAhead {
    pub fn of(most: usize) -> Self {
        Self { most, waiting: Arc::default(), waits: true }
    }

    /// Waits until fewer parts wait than there may be.
    pub fn part(&mut self, envelopes: Vec<Arc<Envelope>>) -> TapePart {
        let mut count = self.waiting.count.lock();
        if self.waits {
            let is_full = |count: &mut usize| *count >= self.most;
            self.waits = !self.waiting.fewer.wait_while_for(&mut count, is_full, PATIENCE).timed_out();
        }
        *count += 1;
        TapePart { envelopes, _room: Some(Arc::new(TakenRoom(self.waiting.clone()))) }
    }
}
