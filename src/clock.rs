//! The time: the system's, or that of a test, which passes only when the test says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What time it is: the system's, or in tests one that is set by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<Mutex<Instant>>>);

impl Clock {
    /// Stands still until [`Clock::advance`].
    pub fn by_hand() -> Self {
        Self(Some(Arc::new(Mutex::new(Instant::now()))))
    }

    /// The present moment on this clock.
    pub fn now(&self) -> Instant {
        self.0.as_ref().map_or_else(Instant::now, |now| *now.lock())
    }

    /// Does nothing to the system's time.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.0 {
            *now.lock() += by;
        }
    }
}
