//! Tapes that are served to clients.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::speed::Speed;

/// In which order requests may come that a tape answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MockOrder {
    /// In any; of equal requests, each client gets the recorded replies from the first on.
    #[default]
    Session,
    /// In any; of equal requests, whichever client asks gets the next reply.
    Any,
    /// In that of the tape.
    Strict,
}

impl MockOrder {
    pub const ALL: [Self; 3] = [Self::Session, Self::Any, Self::Strict];

    /// What it is called on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Any => "any",
            Self::Strict => "strict",
        }
    }
}

/// What a request gets that was asked more often than it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MockRepeats {
    /// Nothing: each recorded reply is given once.
    Next,
    /// The last reply again.
    #[default]
    Last,
    /// The first reply again, and so on.
    Loop,
}

impl MockRepeats {
    pub const ALL: [Self; 3] = [Self::Last, Self::Loop, Self::Next];

    /// What it is called on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Last => "last",
            Self::Loop => "loop",
        }
    }
}

/// The wish that a tape answers clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServeRequest {
    pub tape: PathBuf,
    pub speed: Speed,
    pub order: MockOrder,
    pub repeats: MockRepeats,
    /// Whether a request that is not on the tape is told what comes nearest.
    pub tells_nearest: bool,
    /// Paths of request values that are not compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

/// A tape that answers clients, and what came of it so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedTape {
    pub tape: PathBuf,
    /// Where clients connect.
    pub url: String,
    /// Requests that were answered from it, and those that are not on it.
    pub answered: usize,
    pub missed: usize,
}
