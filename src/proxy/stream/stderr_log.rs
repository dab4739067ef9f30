//! A child's stderr as lines of the log. It passes on whole; the log is read by people, and of a flood gets the beginning.

use std::time::{Duration, Instant};

use crate::event::{Landmark, Level, LogLine};
use crate::secret::GivenSecrets;
use crate::upstream::pool::Pool;

/// Lines of one child, and bytes of them, that are logged within a span. As long as more come than that, each span is twice as long as the
/// one before: a log file is not filled by a flood that does not end.
const MOST: usize = 1_000;
const MOST_BYTES: usize = 1 << 20;
const SPAN: Duration = Duration::from_secs(1);
const LONGEST_SPAN: Duration = Duration::from_secs(64);
/// Bytes of a line that are logged.
const LONGEST: usize = 64 << 10;

pub(super) struct StderrLog {
    /// Not to be shown, though the child may say it.
    secrets: GivenSecrets,
    /// What its lines are on the tape, where they belong there.
    landmark: Option<Landmark>,
    /// When the present span began, how long it is, and what was logged in it.
    began: Option<Instant>,
    span: Duration,
    logged: usize,
    bytes: usize,
    /// Whether it is a flood so far.
    overflows: bool,
    left_out: usize,
}

impl Default for StderrLog {
    fn default() -> Self {
        Self {
            secrets: GivenSecrets::default(),
            landmark: None,
            began: None,
            span: SPAN,
            logged: 0,
            bytes: 0,
            overflows: false,
            left_out: 0,
        }
    }
}

impl StderrLog {
    pub(super) fn of(pool: Option<&Pool>) -> Self {
        let Some(pool) = pool else { return Self::default() };
        Self { secrets: pool.secrets(), landmark: pool.is_embedded().then_some(Landmark::Mock), ..Self::default() }
    }

    /// Logs the lines of a piece, as far as they fit.
    pub(super) fn log_piece(&mut self, piece: &[u8], log: impl FnMut(LogLine)) {
        self.log_piece_at(Instant::now(), piece, log);
    }

    fn log_piece_at(&mut self, now: Instant, piece: &[u8], mut log: impl FnMut(LogLine)) {
        if self.began.is_none_or(|began| now.duration_since(began) >= self.span) {
            self.left_out().into_iter().for_each(&mut log);
            self.span = if self.overflows { (self.span * 2).min(LONGEST_SPAN) } else { SPAN };
            (self.began, self.logged, self.bytes, self.overflows) = (Some(now), 0, 0, false);
        }
        let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
        let mut rest = Some(piece);
        while let Some(lines) = rest.filter(|_| self.logged < MOST && self.bytes < MOST_BYTES) {
            let end = memchr::memchr(b'\n', lines);
            let line = &lines[..end.unwrap_or(lines.len()).min(LONGEST)];
            let text = String::from_utf8_lossy(line);
            let said = LogLine::new(Level::Info, "server", self.secrets.masked(text.trim_end()).into_owned());
            log(LogLine { landmark: self.landmark, ..said });
            rest = end.map(|end| &lines[end + 1..]);
            self.logged += 1;
            self.bytes += line.len();
        }
        self.overflows |= rest.is_some();
        self.left_out += rest.map_or(0, |lines| memchr::memchr_iter(b'\n', lines).count() + 1);
    }

    /// When it is to be said what was left out, where anything was.
    pub(super) fn due(&self) -> Option<Instant> {
        self.began.filter(|_| self.left_out > 0).map(|began| began + self.span)
    }

    /// Says what was left out since this was last said.
    pub(super) fn left_out(&mut self) -> Option<LogLine> {
        let lines = std::mem::take(&mut self.left_out);
        let (span, mebibytes) = (self.span, MOST_BYTES >> 20);
        let text = format!(
            "{lines} lines of the server's stderr are left out here: more than {MOST}, or {mebibytes} MiB, within {span:?}"
        );
        (lines > 0).then(|| LogLine::new(Level::Warn, "server", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_log_has_the_beginning_of_a_flood_and_counts_the_rest() {
        let (mut log, now) = (StderrLog::default(), Instant::now());
        let mut said = Vec::new();
        log.log_piece_at(now, b"one\r\ntwo\n\nthree", |line| said.push(line.text));
        assert_eq!(said, ["one", "two", "", "three"]);
        said.clear();
        log.log_piece_at(now, "x\n".repeat(1_500).as_bytes(), |line| said.push(line.text));
        log.log_piece_at(now, b"x\nx\n", |line| said.push(line.text));
        assert_eq!(said.len(), MOST - 4);
        let told = log.left_out().expect("some were left out");
        assert!(told.text.starts_with("506 lines"), "{}", told.text);
        assert!(log.left_out().is_none(), "it is said once");
    }

    #[test]
    fn stderr_log_bounds_long_lines_and_floods_without_end() {
        let (mut log, mut bytes, mut now) = (StderrLog::default(), 0, Instant::now());
        for span in [1, 2, 4, 8, 16, 32, 64, 64] {
            (0..2_000).for_each(|_| log.log_piece_at(now, &[b'x'; 128 << 10], |line| bytes += line.text.len()));
            assert_eq!(log.span, Duration::from_secs(span));
            now += log.span;
        }
        assert!(bytes < 9 * (MOST_BYTES + LONGEST), "{bytes}");
        log.log_piece_at(now, b"x", |_| {});
        log.log_piece_at(now + log.span, b"x", |_| {});
        assert_eq!(log.span, SPAN, "it is over");
    }
}
