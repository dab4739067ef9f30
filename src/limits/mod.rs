//! How often clients may ask: each limit for itself, by the generic cell rate algorithm. Off where none is configured.
//!
//! Requests count, and notifications where a limit names their methods; replies never do, nor what takes a request back:
//! the server would wait, or work, for nothing.
//!
//! Memory is bounded: a client that makes up keys (addresses, sessions) gets no more than [`MOST_KEYS`] of them; what comes beside those
//! counts together.

mod arrivals;
pub mod section;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use governor::{Quota, RateLimiter};

use self::arrivals::{ArrivalKey, Arrivals};
use self::section::Per;
pub use self::section::Section;
use crate::clock::Clock;
use crate::mcp::method;
use crate::message::{Kind, Message};

/// After so many checks what is remembered of clients that have gone is forgotten.
const TIDY_EVERY: u64 = 1024;

/// So many are counted for one by one; those that come beside them share one count. Far more than a tapline has clients, and a few
/// MiB.
const MOST_KEYS: usize = 16_384;

/// Every limit of the configuration, with what has been counted against it.
pub struct Limits {
    limits: Vec<Limit>,
    clock: Clock,
}

struct Limit {
    section: Section,
    label: Arc<str>,
    limiter: RateLimiter<ArrivalKey, Arrivals, Clock>,
    checks: AtomicU64,
    refused: AtomicU64,
    /// When a message of each key was refused last, for those that were.
    told: DashMap<Key, Instant>,
}

/// Whom a limit counts for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Token(Arc<str>),
    /// By our own id of it.
    Session(u128),
    Client(IpAddr),
    /// All that come when so many are counted for that no more are remembered one by one.
    Others,
}

/// Why a configuration is none to start with.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    #[error("the limit of {0} needs `[auth]`: without it no token is verified")]
    NoTokens(String),
}

/// A request too many.
#[derive(Debug, thiserror::Error)]
#[error("over the limit of {limit}; {early}")]
pub struct LimitExceeded {
    pub limit: Arc<str>,
    pub early: Early,
    /// Whether this begins a time of refusals, and is worth a line.
    pub first: bool,
}

/// When it would not be too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Early {
    For(Duration),
    /// A batch that is larger than what is ever taken at once.
    Always,
}

impl fmt::Display for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds() {
            Some(1) => f.write_str("try again in a second"),
            Some(seconds) => write!(f, "try again in {seconds} seconds"),
            None => f.write_str("so many at once always will be: send smaller batches"),
        }
    }
}

impl Early {
    /// Whole seconds until it is not too early any more, rounded up; `None` where it always is.
    pub fn seconds(self) -> Option<u64> {
        self.in_units(1_000_000_000)
    }

    /// How long to wait, in milliseconds; `None` where waiting does not help.
    pub fn millis(self) -> Option<u64> {
        self.in_units(1_000_000)
    }

    fn in_units(self, nanos: u128) -> Option<u64> {
        match self {
            Self::For(wait) => Some(u64::try_from(wait.as_nanos().div_ceil(nanos).max(1)).unwrap_or(u64::MAX)),
            Self::Always => None,
        }
    }
}

/// What no limit can say by itself. `has_tokens`: clients are known by theirs.
///
/// # Errors
/// [`LimitError::NoTokens`].
pub fn check(sections: &[Section], has_tokens: bool) -> Result<(), LimitError> {
    match sections.iter().find(|section| section.per == Per::Token && !has_tokens) {
        Some(section) => Err(LimitError::NoTokens(section.to_string())),
        None => Ok(()),
    }
}

impl Limits {
    /// Nothing where there are none.
    ///
    /// # Errors
    /// Where a limit is per token, and no tokens are configured.
    pub fn new(sections: Vec<Section>, has_tokens: bool, clock: Clock) -> Result<Option<Self>, LimitError> {
        check(&sections, has_tokens)?;
        let limits: Vec<_> = sections.into_iter().map(|section| Limit::new(section, clock.clone())).collect();
        Ok((!limits.is_empty()).then_some(Self { limits, clock }))
    }

    /// Counts a message. `key`: what its sender is known by, for each kind of limit.
    ///
    /// # Errors
    /// Where it is too many. It does not count then, for any limit.
    pub fn check(&self, key: impl Fn(Per) -> Key, message: &Message) -> Result<(), LimitExceeded> {
        let now = self.clock.now();
        let concerned = self.limits.iter().filter_map(|limit| Some((limit, limit.count(message)?)));
        let asked: Vec<_> = concerned.map(|(limit, count)| (limit, count, key(limit.section.per))).collect();
        let early = |(limit, count, key): &(&Limit, _, _)| limit.ask(key, *count, false, now).err();
        let longest = asked.iter().filter_map(|asked| Some((early(asked)?, asked))).max_by_key(|(early, _)| *early);
        if let Some((early, (limit, _, key))) = longest {
            return Err(limit.excess(key.clone(), early, now));
        }
        for (limit, count, key) in asked {
            // Another request may have come first.
            limit.ask(&key, count, true, now).map_err(|early| limit.excess(key, early, now))?;
            limit.tidy(now);
        }
        Ok(())
    }

    /// Whether one of them is for each session.
    pub fn has_per_session(&self) -> bool {
        self.limits.iter().any(|limit| limit.section.per == Per::Session)
    }

    /// How many requests each limit has refused.
    pub fn refused(&self) -> impl Iterator<Item = (&str, u64)> {
        self.limits.iter().map(|limit| (&*limit.label, limit.refused.load(Ordering::Relaxed)))
    }
}

impl Limit {
    fn new(section: Section, clock: Clock) -> Self {
        let quota =
            Quota::with_period(section.rate.interval()).expect("a rate has an interval").allow_burst(section.burst);
        Self {
            label: section.to_string().into(),
            limiter: RateLimiter::new(quota, Arrivals::default(), clock),
            section,
            checks: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            told: DashMap::new(),
        }
    }

    /// How often this message counts; nothing where it does not.
    fn count(&self, message: &Message) -> Option<NonZeroU32> {
        let count = match message.kind() {
            Kind::Batch => message.elements().iter().filter(|element| self.concerns(element)).count(),
            _ => usize::from(self.concerns(message)),
        };
        NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn concerns(&self, message: &Message) -> bool {
        let Some(method) = message.method() else { return false };
        let Section { method: methods, tool: tools, .. } = &self.section;
        let counts = match message.kind() {
            Kind::Request => true,
            Kind::Notification => methods.is_some() && method != method::CANCELLED,
            Kind::Result | Kind::Error | Kind::Batch | Kind::Opaque => false,
        };
        let tool = || message.name().filter(|_| method == method::TOOLS_CALL);
        counts
            && methods.as_ref().is_none_or(|glob| glob.matches(method))
            && tools.as_ref().is_none_or(|glob| tool().is_some_and(|tool| glob.matches(tool)))
    }

    /// `counts`: this is not only a look.
    fn ask(&self, key: &Key, count: NonZeroU32, counts: bool, now: Instant) -> Result<(), Early> {
        match self.limiter.check_key_n(&ArrivalKey { key: key.clone(), counts }, count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(Early::For(not_until.wait_time_from(now))),
            Err(_) => Err(Early::Always),
        }
    }

    fn excess(&self, key: Key, early: Early, now: Instant) -> LimitExceeded {
        self.refused.fetch_add(1, Ordering::Relaxed);
        // Keys that are not remembered are reported together, once.
        let key = if self.told.len() < MOST_KEYS { key } else { Key::Others };
        let before = self.told.insert(key, now);
        let first = before.is_none_or(|before| now.saturating_duration_since(before) > self.recovery());
        LimitExceeded { limit: self.label.clone(), early, first }
    }

    /// How long without a request until nothing of a client needs to be remembered.
    fn recovery(&self) -> Duration {
        self.section.rate.interval() * self.section.burst.get()
    }

    fn tidy(&self, now: Instant) {
        if self.checks.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
            let recovery = self.recovery();
            self.told.retain(|_, told| now.saturating_duration_since(*told) <= recovery);
        }
    }
}

impl governor::clock::Clock for Clock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Self::now(self)
    }
}

#[cfg(test)]
mod tests;
