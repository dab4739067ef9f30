//! Rules as they are shown, and what may be done with them from a screen.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::envelope::Seq;

/// One rule in force, or one that is switched off, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleStatus {
    pub name: String,
    /// Whose it is, where several taplines are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tapline: Option<String>,
    /// Its filter, as it was typed.
    pub when: String,
    /// What stands behind `do`, as TOML.
    pub action: String,
    pub is_on: bool,
    pub tags: Vec<String>,
    /// The file or ready set that it comes from; empty where it was made on a screen and is not saved yet.
    pub place: String,
    /// Whether it stands otherwise in its file.
    pub is_unsaved: bool,
    pub hits: u64,
    pub last_hit: Option<Timestamp>,
    pub last_seq: Option<Seq>,
    /// Why it could not do what it was to do, the last time; then the message went on as it was.
    pub broken: Option<String>,
    /// The whole `[[rule]]` as it stands in its file, with its comments.
    pub text: String,
}

/// What a screen does with rules. Each is in force from the next message on; files are written by `Save` only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleCommand {
    /// Puts a `[[rule]]`, as TOML, behind all others.
    Add {
        text: String,
    },
    /// Puts another in its place.
    Replace {
        name: String,
        text: String,
    },
    /// On or off; `#TAG` names all that have the tag.
    Switch {
        name: String,
        on: bool,
    },
    /// Asked before the one before it, or after the one behind it, in its file.
    Move {
        name: String,
        up: bool,
    },
    Remove {
        name: String,
    },
    /// Brings one back that was removed: where it stood, as it stood, and with its counts.
    Restore {
        name: String,
    },
    /// Writes what is unsaved into its file, comments and all; what has no file goes to `file`, else to `rules.toml`, a ready
    /// set to a file of its name.
    Save {
        file: Option<PathBuf>,
    },
    /// Takes what stands in the files; what is unsaved is gone.
    Revert,
}
