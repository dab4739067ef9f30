//! Where a call stands that has no reply yet, as far as tapline sees: the answer to [`Command::Examine`](super::Command::Examine).

use serde::{Deserialize, Serialize};

use crate::envelope::{Seq, SessionId};

/// A call that is to be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamineRequest {
    pub session: SessionId,
    pub call: Seq,
}

/// What was found of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStanding {
    pub session: SessionId,
    pub call: Seq,
    /// The process that it was written to; none where the server is not a command of this tapline.
    pub child: Option<ChildStanding>,
    /// The stream with which a server at a URL answers it, once that is open.
    pub stream: Option<StreamStanding>,
    /// Bytes of the server's messages that its client has not read yet.
    pub unread_by_client: u64,
}

/// A command's processes, and what they have read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildStanding {
    /// Messages that wait in tapline, as the pipe to its stdin is full.
    pub unwritten: u64,
    /// Bytes in that pipe that no process has read; `None` where this system does not tell.
    pub unread: Option<u64>,
    /// It reads nothing any more.
    pub is_deaf: bool,
    /// Those of its group; empty where this system does not tell.
    pub processes: Vec<ProcessStanding>,
}

/// One process, as it was for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStanding {
    pub id: u32,
    pub name: String,
    pub state: ProcessState,
    /// Of one core, in percent.
    pub load: u64,
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    Running,
    /// It waits for something.
    Sleeping,
    /// It waits in the kernel, mostly for a disk, and cannot be interrupted.
    Blocked,
    /// By a signal, or by a debugger.
    Stopped,
    Ended,
}

/// A response that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStanding {
    pub status: u16,
    /// Microseconds since anything came on it, comments included.
    pub silent: u64,
}
