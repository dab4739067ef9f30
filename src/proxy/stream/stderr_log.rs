//! A child's stderr as lines of the log. It passes on whole; the log is read by people, and of a flood gets the beginning.

use std::time::{Duration, Instant};

use crate::event::{Level, LogLine};

/// Lines of one child that are logged within [`SPAN`].
const MOST: usize = 1_000;
const SPAN: Duration = Duration::from_secs(1);
/// Bytes of a line that are logged.
const LONGEST: usize = 64 << 10;

#[derive(Default)]
pub(super) struct StderrLog {
    /// When the present span began, and what was logged in it.
    began: Option<Instant>,
    logged: usize,
    left_out: usize,
}

impl StderrLog {
    /// Logs the lines of a piece, as far as they fit.
    pub(super) fn take(&mut self, piece: &[u8], mut log: impl FnMut(LogLine)) {
        if self.began.is_none_or(|began| began.elapsed() >= SPAN) {
            self.left_out().into_iter().for_each(&mut log);
            (self.began, self.logged) = (Some(Instant::now()), 0);
        }
        let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
        let mut rest = Some(piece);
        while let Some(lines) = rest.filter(|_| self.logged < MOST) {
            let end = memchr::memchr(b'\n', lines);
            let line = &lines[..end.unwrap_or(lines.len()).min(LONGEST)];
            log(LogLine::new(Level::Info, "server", String::from_utf8_lossy(line).trim_end().to_owned()));
            rest = end.map(|end| &lines[end + 1..]);
            self.logged += 1;
        }
        self.left_out += rest.map_or(0, |lines| memchr::memchr_iter(b'\n', lines).count() + 1);
    }

    /// When it is to be said what was left out, where anything was.
    pub(super) fn due(&self) -> Option<Instant> {
        self.began.filter(|_| self.left_out > 0).map(|began| began + SPAN)
    }

    /// Says what was left out since this was last said.
    pub(super) fn left_out(&mut self) -> Option<LogLine> {
        let lines = std::mem::take(&mut self.left_out);
        let text = format!("{lines} lines of the server's stderr are left out here: more than {MOST} within a second");
        (lines > 0).then(|| LogLine::new(Level::Warn, "server", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_log_has_the_beginning_of_a_flood_and_counts_the_rest() {
        let mut log = StderrLog::default();
        let mut said = Vec::new();
        log.take(b"one\r\ntwo\n\nthree", |line| said.push(line.text));
        assert_eq!(said, ["one", "two", "", "three"]);
        said.clear();
        log.take("x\n".repeat(1_500).as_bytes(), |line| said.push(line.text));
        log.take(b"x\nx\n", |line| said.push(line.text));
        assert_eq!(said.len(), MOST - 4);
        let told = log.left_out().expect("some were left out");
        assert!(told.text.starts_with("506 lines"), "{}", told.text);
        assert!(log.left_out().is_none(), "it is said once");
    }
}
