//! What is wrong with messages, as it is published to screens and logs.

use serde::{Deserialize, Serialize};

use crate::envelope::{Direction, Seq, SessionId};

/// How much a finding matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LintLevel {
    /// Worth knowing: what it costs, what could be better.
    Note,
    /// What the protocol advises against, or what some clients take otherwise.
    Info,
    /// What the protocol forbids.
    Warn,
    /// What makes real clients or servers fail.
    Error,
}

impl LintLevel {
    pub const ALL: [Self; 4] = [Self::Note, Self::Info, Self::Warn, Self::Error];

    /// The name of the level, as options and reports have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong with one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable: what filters, settings and reports name it by.
    pub code: String,
    pub level: LintLevel,
    pub session: SessionId,
    pub seq: Seq,
    /// The way of the message at fault: its sender did it.
    pub by: Direction,
    /// What is wrong, in one line.
    pub text: String,
    /// What to do about it.
    pub hint: String,
    /// Where the specification says so.
    pub section: String,
    /// The revision of the protocol that the section belongs to.
    pub revision: String,
    /// What real clients do with it, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
}

impl Finding {
    /// `client` or `server`: whose fault it is.
    pub fn culprit(&self) -> &'static str {
        match self.by {
            Direction::ToServer => "client",
            Direction::ToClient => "server",
        }
    }
}
