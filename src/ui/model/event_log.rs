//! What the core has to say in words.

use std::collections::{BTreeSet, VecDeque};

use super::motion::{ListCursor, Motion};
use crate::event::{Level, LogLine};

/// Lines that are kept.
const LINES: usize = 5_000;

pub(crate) struct EventLog {
    lines: VecDeque<LogLine>,
    pub(crate) level: Level,
    /// Only lines of this source.
    pub(crate) source: Option<String>,
    pub(crate) place: ListCursor,
    pub(crate) unfollowed: bool,
    /// Warnings and errors since the log was last looked at.
    pub(crate) unread: usize,
}

impl Default for EventLog {
    fn default() -> Self {
        let place = ListCursor::default();
        Self { lines: VecDeque::new(), level: Level::Info, source: None, place, unfollowed: false, unread: 0 }
    }
}

impl EventLog {
    /// `again`: a resync is on, which may tell lines that are known.
    pub(crate) fn push(&mut self, line: LogLine, again: bool) {
        if again && self.lines.contains(&line) {
            return;
        }
        self.unread += usize::from(line.level >= Level::Warn);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// All lines, oldest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &LogLine> {
        self.lines.iter()
    }

    /// The lines of the level and above, oldest first.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &LogLine> {
        let is_of = |line: &LogLine| self.source.as_ref().is_none_or(|source| line.source == *source);
        self.lines.iter().filter(move |line| line.level >= self.level && is_of(line))
    }

    pub(crate) fn len(&self) -> usize {
        self.shown().count()
    }

    pub(crate) fn selected(&self) -> Option<&LogLine> {
        self.shown().nth(self.place.cursor)
    }

    pub(crate) fn go(&mut self, motion: Motion) {
        let len = self.len();
        self.place.go(motion, len);
        self.unfollowed = self.place.cursor + 1 < len;
    }

    pub(crate) fn toggle_follow(&mut self) {
        self.unfollowed = !self.unfollowed;
    }

    /// Only lines of the next source there is; after the last, all again.
    pub(crate) fn next_source(&mut self) {
        let known: BTreeSet<&str> = self.lines.iter().map(|line| line.source.as_str()).collect();
        let next = known.into_iter().find(|source| self.source.as_deref().is_none_or(|now| *source > now));
        self.source = next.map(str::to_owned);
    }

    pub(crate) fn next_level(&mut self) {
        self.level = match self.level {
            Level::Debug => Level::Info,
            Level::Info => Level::Warn,
            Level::Warn => Level::Error,
            Level::Error => Level::Debug,
        };
    }

    /// Once for each drawing, however many lines came.
    pub(crate) fn frame(&mut self, height: usize) {
        let len = self.len();
        if !self.unfollowed {
            self.place.cursor = len.saturating_sub(1);
        }
        self.place.frame(len, height);
    }
}
