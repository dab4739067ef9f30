//! Which tapes stay when others are too old or too many: what `tapline tape rm` is asked for, and what `[retention]` says.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::TapeSummary;
use crate::event::Timestamp;
use crate::text::duration;

/// `[retention]` in the configuration: applied when recording starts, never to a tape that may be written to, or on which
/// somebody noted something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Age from which a tape goes.
    pub older_than: Option<String>,
    /// MiB beyond which the oldest go.
    pub over: Option<u64>,
}

impl Section {
    /// # Errors
    /// Where an age cannot be read.
    pub fn limits(&self) -> Result<Retention, String> {
        let within =
            self.older_than.as_deref().map(duration).transpose().map_err(|why| format!("older_than: {why}"))?;
        Ok(Retention { within, mebibytes: self.over })
    }
}

/// What goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// All whose session began before so long.
    pub within: Option<Duration>,
    /// The oldest, until the rest has at most so many MiB.
    pub mebibytes: Option<u64>,
}

/// Of some tapes, those that are too old or too many.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OutdatedTapes {
    /// They go.
    pub gone: Vec<PathBuf>,
    /// They stay, and why. They count in what there is.
    pub kept: Vec<(PathBuf, String)>,
}

impl Retention {
    /// Whether nothing ever goes.
    pub fn is_none(&self) -> bool {
        self.within.is_none() && self.mebibytes.is_none()
    }

    /// Those of some tapes that are too old or too many. One on which somebody noted something stays, and one that `is_recorded` says it
    /// of, in words.
    pub fn outdated(
        &self,
        mut tapes: Vec<TapeSummary>,
        is_recorded: impl Fn(&TapeSummary) -> Option<String>,
    ) -> OutdatedTapes {
        tapes.sort_by_key(|it| std::cmp::Reverse(it.header.started));
        let micros = |age: Duration| u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        let oldest = self.within.map(|age| Timestamp::now().0.saturating_sub(micros(age)));
        let most = self.mebibytes.map(|mebibytes| mebibytes.saturating_mul(1 << 20));
        let (mut kept, mut outdated) = (0, OutdatedTapes::default());
        for tape in tapes {
            let is_old = oldest.is_some_and(|oldest| tape.header.started.0 < oldest);
            let is_much = most.is_some_and(|most| kept + tape.bytes > most);
            if is_old || is_much {
                match tape.why_kept().or_else(|| is_recorded(&tape)) {
                    None => {
                        outdated.gone.push(tape.path);
                        continue;
                    }
                    Some(why) => outdated.kept.push((tape.path, why)),
                }
            }
            kept += tape.bytes;
        }
        outdated
    }
}
