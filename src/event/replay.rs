//! How the replay of a tape goes on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::speed::Speed;
use crate::envelope::{Seq, SessionId};

/// The wish that a tape is played as the client against the running upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayRequest {
    pub tape: PathBuf,
    pub speed: Speed,
    /// Each message waits for [`StepReplay`](super::Command::StepReplay).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_step: bool,
    /// Paths of reply values that are not compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    #[serde(default)]
    pub volatile: Volatile,
    /// Nothing is played after the first step that fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stops_at_failure: bool,
}

impl ReplayRequest {
    /// Flat out, to the end, with all that counts as a rule.
    pub fn of(tape: PathBuf) -> Self {
        let (ignore, volatile) = (Vec::new(), Volatile::default());
        Self { tape, speed: Speed::Max, by_step: false, ignore, volatile, stops_at_failure: false }
    }
}

/// Whether values that change from run to run count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Volatile {
    /// Two timestamps are the same, two uuids are, and so on; a uuid and the word `none` are not.
    #[default]
    Normalised,
    /// Every byte of a value counts.
    Exact,
    /// Which members there are and of which types counts, no value does.
    Shape,
}

/// How a replay goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReplayEvent {
    /// The tape is large, and so many of its bytes were read: [`ReplayEvent::Started`] follows.
    Reading {
        tape: PathBuf,
        read: u64,
        of: u64,
    },
    Started {
        tape: PathBuf,
        target: String,
        steps: usize,
    },
    Waiting(StepWait),
    Step(StepReport),
    Finished(ReplaySummary),
    Failed {
        why: String,
    },
    /// The tape has taken over what the server answered to this request: so many values, and what could not be.
    Accepted {
        tape: PathBuf,
        request: Seq,
        values: usize,
        left: Vec<String>,
    },
}

/// The message that a replay sends next, while it is not let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepWait {
    /// Which step of the script it is, from 1.
    pub step: usize,
    /// Its number on the tape, and what it is, for people.
    pub next: String,
    /// Microseconds until it goes by itself; `None`: it does not, and a command lets it go.
    pub left: Option<u64>,
}

/// One message of the recorded client, played.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which step of the script it is, from 1.
    pub step: usize,
    /// Number of the recorded message on the tape.
    pub seq: Seq,
    /// The recorded session that it belongs to, where several are played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    pub method: String,
    pub name: Option<String>,
    pub verdict: StepVerdict,
    /// Microseconds to the reply, now and as recorded.
    pub took: Option<u64>,
    pub recorded: Option<u64>,
    /// One line: why it failed or was skipped.
    pub why: Option<String>,
    pub differences: Vec<Difference>,
    /// What differs and does not count.
    #[serde(default)]
    pub excused: Vec<Excused>,
    /// The `--ignore` paths that would settle the differences, should they be by nature.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// How a replayed step compares with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepVerdict {
    Pass,
    Fail,
    Skip,
}

/// One value of a reply that is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The path of the value, such as `.result.content[0].text`.
    pub path: String,
    /// JSON text; `None`: the value is not there.
    pub expected: Option<String>,
    pub got: Option<String>,
}

/// Values of a reply that are not what was recorded, and need not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excused {
    /// Where they stand; several in one text have one place.
    pub path: String,
    /// Why they do not count: `time`, `uuid`, `order`, `ignored` and so on.
    pub kind: String,
    pub count: usize,
    /// The beginning of the first one, as JSON text.
    pub expected: Option<String>,
    pub got: Option<String>,
}

/// The counts of a replay at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaySummary {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Values that differed and did not count.
    #[serde(default)]
    pub excused: usize,
    /// How long it took, in microseconds.
    pub took: u64,
    /// Somebody stopped it before all was played.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Why the server was lost, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

impl ReplaySummary {
    /// Takes in what was played after it.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.excused += other.excused;
        self.took += other.took;
        self.stopped |= other.stopped;
        self.lost = self.lost.take().or_else(|| other.lost.clone());
    }
}
