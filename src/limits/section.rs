//! `[[limits]]` of the configuration: a limit that can be read can be kept.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use crate::glob::Glob;

/// The longest time that a burst may take to be there again: what fits the arithmetic of the algorithm, in nanoseconds.
const LONGEST: u64 = u64::MAX / 4;

/// One `[[limits]]` of the configuration: which messages a client may send how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Section {
    pub per: Per,
    pub method: Option<Glob>,
    /// The tools whose calls are limited; `None` limits whatever `method` says.
    pub tool: Option<Glob>,
    pub rate: Rate,
    /// How many messages may come at once after a pause, before `rate` holds.
    pub burst: NonZeroU32,
}

/// What has a count of its own: each client, token or session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// A client that is known by its token.
    Token,
    Session,
    /// Each client address has a limit of its own.
    Client,
}

/// A rate: how many in which time, such as `10/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    count: NonZeroU32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    per: Per,
    method: Option<Glob>,
    tool: Option<Glob>,
    rate: Rate,
    burst: Option<NonZeroU32>,
}

impl TryFrom<Raw> for Section {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw { per, method, tool, rate, burst } = raw;
        let burst = burst.unwrap_or(rate.count);
        let refill = rate.interval().as_nanos() * u128::from(burst.get());
        if refill > u128::from(LONGEST) {
            return Err(format!("a `burst` of {burst} at `{rate}` would take centuries to be there again"));
        }
        Ok(Self { per, method, tool, rate, burst })
    }
}

impl Rate {
    /// The time between two messages at exactly this rate.
    pub(super) fn interval(self) -> Duration {
        self.unit.length() / self.count.get()
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("invalid rate `{text}`: a number above zero, and `/s`, `/m` or `/h`, such as `10/s`");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let unit = [Unit::Second, Unit::Minute, Unit::Hour].into_iter().find(|it| it.sign() == unit.trim());
        let count = count.trim().parse().ok();
        let rate = count.zip(unit).map(|(count, unit)| Self { count, unit }).ok_or_else(wrong)?;
        if rate.interval().is_zero() {
            Err(format!("invalid rate `{text}`: too high to limit anything"))
        } else {
            Ok(rate)
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit.sign())
    }
}

impl Unit {
    fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        })
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}

impl Per {
    fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Client => "client",
        }
    }
}

/// Written for people: `10/s per session on tools/call of search`.
impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.rate, self.per.word())?;
        match (&self.method, &self.tool) {
            (None, None) => Ok(()),
            (Some(method), None) => write!(f, " on {}", method.as_str()),
            (None, Some(tool)) => write!(f, " on tool {}", tool.as_str()),
            (Some(method), Some(tool)) => write!(f, " on {} of {}", method.as_str(), tool.as_str()),
        }
    }
}
