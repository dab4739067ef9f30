//! How open exchanges learn that tapline ends.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How open exchanges learn that tapline ends.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Streams that only listen end at once: they would never end by themselves.
    pub listening: CancellationToken,
    /// Everything else ends, finished or not.
    pub force: CancellationToken,
    /// What is waited for until then: clients' requests that have not got all of their answer yet.
    pub calls: TaskTracker,
    /// What takes leave of servers after that.
    pub leaving: TaskTracker,
}
