//! Who lets the messages of a replay go.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Lets messages go one by one; each that waits is told before.
#[derive(Clone, Debug)]
pub struct StepGate {
    /// A permit lets one go; closed, it lets all go.
    pub go: Arc<Semaphore>,
    /// Each message waits for a permit; else those do that have to wait for their time, and only until then.
    pub is_for_each: bool,
}

impl StepGate {
    /// Lets a message go before its time; never, where each waits as it is.
    pub(super) async fn hurried(gate: Option<Self>) {
        if let Some(gate) = gate.filter(|gate| !gate.is_for_each)
            && let Ok(permit) = gate.go.acquire().await
        {
            return permit.forget();
        }
        std::future::pending::<()>().await;
    }
}
