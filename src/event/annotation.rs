//! What people note of messages: marks and comments.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::envelope::{Seq, SessionId};

/// What a person noted of a message; nothing, where it was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageMark {
    #[serde(default, rename = "marked", skip_serializing_if = "std::ops::Not::not")]
    pub is_marked: bool,
    // On a tape secrets are taken out of what goes by this name.
    #[serde(default, rename = "text", skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

impl MessageMark {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What was noted, as text.
    pub fn words(&self) -> String {
        let mark = if self.is_marked { "marked" } else { "" };
        [mark, &self.comment].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(": ")
    }
}

/// What is noted of a message from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    pub session: SessionId,
    pub seq: Seq,
    #[serde(flatten)]
    pub mark: MessageMark,
}

/// Has messages noted something of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnotateRequest {
    /// The tape that they are on; `None`: they are of sessions that are shown live.
    pub tape: Option<PathBuf>,
    pub annotations: Vec<Annotation>,
}
