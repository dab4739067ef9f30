//! How fast tapes are played.

use serde::{Deserialize, Serialize};

/// How fast a tape is played.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Speed {
    /// The recorded pauses, divided by this.
    Times(f64),
    Max,
}
