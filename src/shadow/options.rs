//! What a shadow is sent, and how its replies are compared.

use std::time::Duration;

use crate::tape::compare::Rules;

/// How long after the primary's reply the shadow's may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the shadow is sent what may change something: calls of tools not marked read-only, and unknown methods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WritePolicy {
    /// Kept from the shadow, and counted as skipped.
    #[default]
    Kept,
    Sent,
}

/// How a shadow is compared.
#[derive(Clone, Debug)]
pub struct Options {
    pub writes: WritePolicy,
    pub rules: Rules,
    /// How long after the primary's reply the shadow's may come.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { writes: WritePolicy::Kept, rules: Rules::default(), patience: PATIENCE }
    }
}
