//! The tapes that are played, read side by side: one, or several that were recorded at the same time.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::interleaved::{ScriptBuilder, SourceTape};
use super::playable::{TapeSelection, lacks_secrets};
use crate::envelope::Envelope;
use crate::tape::format::{Mark, TapeError, TapeHeader};
use crate::tape::read::{Problems, TapeBytes, TapeEntry, TapeFile, TapeReader, troubles};

/// One of them.
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// With everything that later marks know of the peers.
    pub(super) header: TapeHeader,
    entries: TapeReader<std::io::BufReader<TapeBytes>>,
    pub(super) file: Arc<TapeFile>,
    source: SourceTape,
    /// What comes next of it, and where that stands.
    next: Option<(TapeEntry, Range<u64>)>,
    /// When that was, in microseconds from the start of the first tape.
    at: u64,
    /// Where the last line that was taken stands.
    line: Range<u64>,
    pub(super) problems: Problems,
    missing: u64,
    pub(super) torn: bool,
}

/// All of them.
pub(super) struct SourceTapes {
    pub(super) tapes: Vec<SourceFile>,
    /// Their length, in bytes.
    pub(super) length: u64,
}

impl SourceTapes {
    /// # Errors
    /// Where one cannot be read at all, is no tape, or is one of a newer format.
    pub(super) fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, TapeError> {
        let tapes: Result<Vec<_>, _> =
            paths.iter().enumerate().map(|(at, it)| SourceFile::open(it.as_ref(), at)).collect();
        let mut tapes = tapes?;
        let began = tapes.iter().map(|tape| tape.header.started.0).min().unwrap_or_default();
        for tape in &mut tapes {
            tape.source.shift = tape.header.started.0 - began;
            tape.at = tape.source.shift;
        }
        let length = paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum();
        Ok(Self { tapes, length })
    }

    /// Reads the first line of each.
    pub(super) fn begin(&mut self) {
        self.tapes.iter_mut().for_each(SourceFile::advance);
    }

    /// What came next of all that is on them.
    pub(super) fn next_entry(&mut self) -> Option<(&mut SourceFile, TapeEntry)> {
        let going = self.tapes.iter_mut().filter(|tape| tape.next.is_some());
        let tape = going.min_by_key(|tape| tape.at)?;
        let (entry, line) = tape.next.take()?;
        tape.line = line;
        tape.advance();
        Some((tape, entry))
    }

    /// How many bytes were read.
    pub(super) fn read(&self) -> u64 {
        self.tapes.iter().map(|tape| tape.line.end).sum()
    }

    /// Everything that is not as it should be, for people.
    pub(super) fn troubles(&self) -> Vec<String> {
        let of = |tape: &SourceFile| {
            let found = troubles(&tape.problems, tape.missing, tape.torn);
            let name = if self.tapes.len() > 1 { format!("{}: ", tape.path.display()) } else { String::new() };
            found.into_iter().map(move |trouble| format!("{name}{trouble}")).collect::<Vec<_>>()
        };
        self.tapes.iter().flat_map(of).collect()
    }
}

impl SourceFile {
    fn open(path: &Path, number: usize) -> Result<Self, TapeError> {
        let entries = TapeReader::open(path)?;
        let header = entries.header().clone();
        let file = Arc::new(TapeFile::open(path, header.session)?);
        let source = SourceTape { number, session: header.session, shift: 0 };
        let (next, problems) = (None, Problems::default());
        Ok(Self {
            path: path.to_owned(),
            header,
            entries,
            file,
            source,
            next,
            at: 0,
            line: 0..0,
            problems,
            missing: 0,
            torn: false,
        })
    }

    fn advance(&mut self) {
        self.next = self.entries.next().map(|entry| (entry, self.entries.place()));
        let at = self.next.as_ref().and_then(|(entry, _)| match entry {
            TapeEntry::Message { envelope, .. } => Some(envelope.at),
            TapeEntry::Mark(mark) => mark.at(),
            TapeEntry::Problem(_) | TapeEntry::Torn => None,
        });
        // What was held came earlier than what stands before it.
        self.at = at.map_or(self.at, |at| self.at.max(self.source.shift.saturating_add(at)));
    }

    /// Takes in the last line, which is this message.
    pub(super) fn message(&mut self, part: &TapeSelection, envelope: &Envelope, builder: &mut ScriptBuilder) {
        let source = &self.source;
        if !part.has(envelope) || (builder.is_undone(source, envelope) && !envelope.kind().is_reply()) {
            return;
        }
        builder.envelope(source, Some(self.line.clone()), envelope);
        if part.chooses(envelope) {
            builder.choose(source, envelope);
        }
        if self.header.has_redacted_bodies() && lacks_secrets(envelope) {
            builder.lacks_secrets(source, envelope);
        }
    }

    /// Takes in the last line, which is this mark.
    pub(super) fn mark(&mut self, part: &TapeSelection, mark: Mark, builder: &mut ScriptBuilder) {
        let source = &self.source;
        match mark {
            Mark::Gap { messages, .. } => self.missing += messages,
            Mark::HangUp { at, seq } => builder.hung_up(source, seq, at),
            Mark::Rewind { after, .. } => match part.until {
                Some(until) if after >= Some(until) => builder.undo(source),
                _ => builder.begin_again(source),
            },
            Mark::Seam { .. } => builder.go_on(source),
            Mark::Peer(peer) => self.header.peers.learn(peer.peers),
            Mark::End { session, reason, .. } => builder.ended(source, session.unwrap_or(source.session), &reason),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tapes_recorded_at_the_same_time_are_read_in_the_order_of_both() {
        let dir = tempfile::tempdir().unwrap();
        let header = TapeHeader::of(&crate::tape::record::tests::session());
        let tape = |name: &str, started: u64, ats: &[u64]| {
            let header = TapeHeader { started: crate::event::Timestamp(started), ..header.clone() };
            let lines = ats.iter().map(|at| {
                format!("\n{{\"seq\":{},\"at\":{at},\"dir\":\"c2s\",\"via\":\"http\",\"msg\":{{}}}}", started + at)
            });
            let text = serde_json::to_string(&header).unwrap() + &lines.collect::<String>();
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut tapes = SourceTapes::open(&[tape("b", 1_010, &[0, 20, 15]), tape("a", 1_000, &[5, 12, 40])]).unwrap();
        tapes.begin();
        let mut seqs = Vec::new();
        while let Some((_, entry)) = tapes.next_entry() {
            if let TapeEntry::Message { envelope, .. } = entry {
                seqs.push(envelope.seq.0);
            }
        }
        assert_eq!(seqs, [1_005, 1_010, 1_012, 1_030, 1_025, 1_040]);
    }
}
