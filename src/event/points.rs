//! Breakpoints as values: what one stops, and how it stands.

use serde::{Deserialize, Serialize};

/// Where messages are stopped, or said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breakpoint {
    /// A filter: what, which way, requests or replies.
    pub when: String,
    pub is_on: bool,
    /// So many that match are let by first.
    pub skip: u64,
    /// It is off after its first hit.
    pub is_once: bool,
    /// Only this session: tapline's id, or the end of it.
    pub session: Option<String>,
    /// A line in place of a stop.
    pub log: Option<String>,
    /// Milliseconds that a message waits at most.
    pub deadline: Option<u64>,
    /// What becomes of it then.
    pub then: BreakpointPolicy,
    /// Also what a session lives on: `initialize`, `server/discover`, `ping`. A filter that names one asks for it, too.
    pub holds_handshake: bool,
}

/// What becomes of a message whose time at a breakpoint is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BreakpointPolicy {
    #[default]
    Forward,
    Block,
    /// A request is answered with this result, a text of JSON.
    Answer(String),
}

/// When a held message waits no longer, whoever decides till then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldDeadline {
    /// Microseconds after it was held.
    pub after: u64,
    /// It is sent on then; otherwise something else becomes of it, such as an error in its place.
    pub sends: bool,
}

/// A breakpoint and what it has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakpointStatus {
    pub id: u64,
    pub point: Breakpoint,
    /// Messages that it stopped or said.
    pub hits: u64,
}

/// What a screen does with breakpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakpointCommand {
    Add(Breakpoint),
    Replace { id: u64, point: Breakpoint },
    Switch { id: u64, on: bool },
    Remove { id: u64 },
}

impl Default for Breakpoint {
    fn default() -> Self {
        Self {
            when: String::new(),
            is_on: true,
            skip: 0,
            is_once: false,
            session: None,
            log: None,
            deadline: None,
            then: BreakpointPolicy::Forward,
            holds_handshake: false,
        }
    }
}
