//! How one tape differs from another: what `tapline tape diff` prints and the screen shows side by side.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Difference, Excused};
use crate::envelope::Seq;

/// What is new in the second tape, gone, or otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

/// A call that is not the same on both tapes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallChange {
    pub kind: ChangeKind,
    pub method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of the request on the first tape, and on the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<Seq>,
    /// By path: `.params` of the request, `.result` and `.error` of the reply.
    pub differences: Vec<Difference>,
}

/// A definition that is not what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DefinitionChange {
    pub kind: ChangeKind,
    /// `tool`, `prompt` or `template`.
    pub what: String,
    pub name: String,
    /// What changed, by path from the definition.
    pub differences: Vec<Difference>,
    /// Whether it changed while the session went on.
    pub within: bool,
}

/// Calls of one kind that take another time than they did. Times are medians in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimingChange {
    pub subject: String,
    pub left: u64,
    pub right: u64,
    /// How many calls there were on either side.
    pub calls: (usize, usize),
}

impl TimingChange {
    pub fn is_slower(&self) -> bool {
        self.right > self.left
    }
}

/// All that differs between two tapes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TapeDiff {
    /// Calls that are the same on both.
    pub same: usize,
    pub calls: Vec<CallChange>,
    pub definitions: Vec<DefinitionChange>,
    pub timings: Vec<TimingChange>,
    /// What differs and need not be the same.
    pub excused: Vec<Excused>,
}

impl TapeDiff {
    /// Whether nothing differs but times.
    pub fn is_same(&self) -> bool {
        self.calls.is_empty() && self.definitions.is_empty()
    }

    /// Whether calls of some kind take longer, beyond chance.
    pub fn is_slower(&self) -> bool {
        self.timings.iter().any(TimingChange::is_slower)
    }
}

/// Two tapes that were compared for a screen, the first one left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TapeComparison {
    pub tapes: [PathBuf; 2],
    /// What differs, or why one of them could not be read.
    pub outcome: Result<TapeDiff, String>,
    /// What of either could not be read, with the line: that was not compared.
    pub problems: [Vec<String>; 2],
}
