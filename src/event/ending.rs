//! How the end of a core goes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an end waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub step: EndStep,
    /// How many of them.
    pub waiting_for: usize,
    /// Seconds until it waits no longer.
    pub left: u64,
}

/// The steps that may take time, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndStep {
    /// Clients get the answers that are on their way.
    Calls,
    /// Servers that we started leave.
    Servers,
    /// What was recorded reaches the disk.
    Tapes,
}

impl Progress {
    /// What is waited for, in words.
    pub fn what(&self) -> String {
        let count = self.waiting_for;
        let plural = if count == 1 { "" } else { "s" };
        match self.step {
            EndStep::Calls => format!("{count} call{plural}"),
            EndStep::Servers => format!("{count} server{plural} to leave"),
            EndStep::Tapes => "the tapes to be written".to_owned(),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting for {}, {} s left; again to force", self.what(), self.left)
    }
}
