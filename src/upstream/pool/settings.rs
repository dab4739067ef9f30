//! How the children of a command are kept: as it is written, and as it is used.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::text;
use crate::upstream::output::LONGEST_MESSAGE;

/// Children at a time, unless a number is given: few enough not to fill a machine by mistake.
const MOST: usize = 1_000;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// `[pool]` as it is written in a file of settings. A key that is absent is as in [`Settings::default`].
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// Children that are started before a client needs them.
    pub spares: Option<usize>,
    /// Most children at a time.
    pub max: Option<usize>,
    /// A child older than this is not given to a client any more.
    #[serde(deserialize_with = "text::written_duration")]
    pub max_lifetime: Option<Duration>,
    /// How long a client waits for a child where there are [`Section::max`].
    #[serde(deserialize_with = "text::written_duration")]
    pub acquire_timeout: Option<Duration>,
    /// Whether a spare must answer before clients of revision 2026-07-28 get it.
    pub ping: Option<bool>,
    /// Whether any child may answer what clients of revision 2026-07-28 ask: they get more than one where one is busy.
    pub stateless: Option<bool>,
    pub restart: Option<Restart>,
    /// Files and directories: where one changes, the command is restarted.
    pub watch: Vec<PathBuf>,
}

/// When another child takes the place of one that a client is connected to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// Children are restarted only when asked.
    Never,
    /// When it has crashed.
    #[default]
    Crash,
}

/// How the children of a command are kept, with all values filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub spares: usize,
    pub max: usize,
    pub max_lifetime: Option<Duration>,
    pub acquire_timeout: Duration,
    pub ping: bool,
    pub stateless: bool,
    pub restart: Restart,
    pub watch: Vec<PathBuf>,
    /// Bytes that one line of a child may have.
    pub longest: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spares: 0,
            max: MOST,
            max_lifetime: None,
            acquire_timeout: ACQUIRE_TIMEOUT,
            ping: false,
            stateless: false,
            restart: Restart::default(),
            watch: Vec::new(),
            longest: LONGEST_MESSAGE,
        }
    }
}

impl Section {
    /// # Errors
    /// Where no child could ever be started, or more spares are wanted than there may be children.
    pub fn settings(self) -> Result<Settings, String> {
        let usual = Settings::default();
        let (spares, max) = (self.spares.unwrap_or(usual.spares), self.max.unwrap_or(usual.max));
        if max == 0 {
            return Err("`max` is 0: no child could ever be started".to_owned());
        }
        if spares > max {
            return Err(format!("`spares` is {spares}, and there may be {max} children: `max` must not be less"));
        }
        if self.max_lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
            return Err("`max_lifetime` is nothing: no child would ever be young enough".to_owned());
        }
        Ok(Settings {
            spares,
            max,
            max_lifetime: self.max_lifetime,
            acquire_timeout: self.acquire_timeout.unwrap_or(usual.acquire_timeout),
            ping: self.ping.unwrap_or(usual.ping),
            stateless: self.stateless.unwrap_or(usual.stateless),
            restart: self.restart.unwrap_or(usual.restart),
            watch: self.watch,
            longest: usual.longest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        toml::from_str::<Section>(text).map_err(|error| error.message().to_owned())?.settings()
    }

    #[test]
    fn settings_default_where_a_key_is_absent() {
        assert_eq!(read(""), Ok(Settings::default()));
        let said = read(
            "spares = 2\nmax = 3\nmax_lifetime = \"1h\"\nacquire_timeout = \"250ms\"\nstateless = true\nrestart = \"never\"",
        );
        let expected = Settings {
            spares: 2,
            max: 3,
            max_lifetime: Some(Duration::from_secs(3600)),
            acquire_timeout: Duration::from_millis(250),
            stateless: true,
            restart: Restart::Never,
            ..Settings::default()
        };
        assert_eq!(said, Ok(expected));
    }

    #[test]
    fn settings_that_cannot_be_are_errors() {
        for (text, why) in [
            ("max = 0", "`max` is 0"),
            ("spares = 4\nmax = 3", "`spares` is 4"),
            ("max_lifetime = \"0s\"", "`max_lifetime` is nothing"),
            ("max_lifetime = \"soon\"", "invalid duration `soon`"),
            ("acquire_timeout = \"-1s\"", "must not be negative"),
            ("spare = 1", "unknown field `spare`"),
            ("restart = \"always\"", "unknown variant `always`"),
        ] {
            assert!(read(text).is_err_and(|it| it.contains(why)), "{text}: {:?}", read(text));
        }
    }
}
