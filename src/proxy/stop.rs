//! How open exchanges learn that tapline ends.
//!
//! Calls are counted by tokens, each held from the front door to the last byte of the answer, so that the end of an idle tapline
//! waits for nothing.

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
    /// What ends sessions of servers after that.
    pub leaving: TaskTracker,
}
