//! Comparing two tapes for a screen: on a thread of its own, one comparison at a time, until it is stopped.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::compare_files;
use crate::event::Event;

/// Whose comparison goes on, where there is one.
#[derive(Default)]
pub struct TapeComparer {
    stop: CancellationToken,
}

impl TapeComparer {
    /// Begins to compare, in place of a comparison before. `before` may wait for what is to be compared; `tell` hears what came of it, unless it is stopped.
    pub fn compare(
        &mut self,
        tapes: Option<[PathBuf; 2]>,
        before: impl FnOnce() + Send + 'static,
        tell: impl FnOnce(Event) + Send + 'static,
    ) {
        self.stop();
        let Some(tapes) = tapes else { return };
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        tokio::task::spawn_blocking(move || {
            before();
            if let Some(comparison) = compare_files(&tapes, &|| stop.is_cancelled()) {
                tell(Event::Compared(Arc::new(comparison)));
            }
        });
    }

    pub fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for TapeComparer {
    fn drop(&mut self) {
        self.stop();
    }
}
