//! A tape as it is read: chunk after chunk, so that what was read is of use before the rest is.

use std::io::BufRead;
use std::sync::Arc;

use super::stretches::{LineStretches, on_all_cores};
use super::{Gap, HangUp, Problem, TapeEntry, TapeReader, read_no_further};
use crate::envelope::{Envelope, Seq};
use crate::event::TapeSeam;
use crate::tape::format::{Mark, PeerMark, TapeHeader};

/// What some lines of a tape say.
#[derive(Debug, Default)]
pub(in crate::tape) struct TapeChunk {
    pub(in crate::tape) envelopes: Vec<Arc<Envelope>>,
    pub(super) gaps: Vec<Gap>,
    pub(super) hang_ups: Vec<HangUp>,
    pub(super) rewinds: Vec<Seq>,
    pub(super) seams: Vec<TapeSeam>,
    /// What could not be read, with lines counted from the start of the chunk.
    pub(super) problems: Vec<Problem>,
    pub(super) peers: Vec<PeerMark>,
    pub(super) torn: bool,
    pub(super) end: Option<String>,
    pub(super) lines: u64,
}

impl TapeChunk {
    fn of<R: BufRead>(mut entries: TapeReader<R>) -> Self {
        let mut chunk = Self::default();
        let last = |chunk: &Self| chunk.envelopes.last().map(|envelope| envelope.seq);
        for entry in &mut entries {
            match entry {
                TapeEntry::Message { envelope, .. } => chunk.envelopes.push(Arc::new(*envelope)),
                TapeEntry::Mark(Mark::Gap { at, messages }) => chunk.gaps.push(Gap { at, messages }),
                TapeEntry::Mark(Mark::HangUp { at, seq }) => chunk.hang_ups.push(HangUp { at, seq }),
                TapeEntry::Mark(Mark::Seam { after, text, .. }) => {
                    chunk.seams.push(TapeSeam { after: after.or(last(&chunk)).unwrap_or_default(), text });
                }
                TapeEntry::Mark(Mark::Rewind { after, text, .. }) => {
                    let after = after.or(last(&chunk)).unwrap_or_default();
                    chunk.rewinds.push(after);
                    chunk.seams.push(TapeSeam { after, text });
                }
                TapeEntry::Mark(Mark::Peer(peer)) => chunk.peers.push(peer),
                TapeEntry::Mark(Mark::End { reason, .. }) => chunk.end = Some(reason),
                TapeEntry::Mark(_) => {}
                TapeEntry::Problem(problem) => chunk.problems.push(problem),
                TapeEntry::Torn => chunk.torn = true,
            }
        }
        chunk.lines = entries.line;
        chunk
    }
}

/// The rest of a tape of which the header was read.
pub(in crate::tape) struct TapeChunks<R> {
    header: TapeHeader,
    stretches: LineStretches<R>,
}

impl<R: BufRead> TapeChunks<R> {
    pub(in crate::tape) fn of(entries: TapeReader<R>, stretch: u64) -> Self {
        Self { header: entries.header.clone(), stretches: entries.into_stretches(stretch) }
    }

    /// What follows, in order; `None` behind the last.
    pub(in crate::tape) fn read_next(&mut self) -> Option<Vec<TapeChunk>> {
        let header = &self.header;
        match self.stretches.read_next() {
            Ok(lines) => Some(on_all_cores(lines?, |part| TapeChunk::of(TapeReader::of_lines(part, header.clone())))),
            Err(error) => {
                let problem = Problem { line: 1, why: read_no_further(&error) };
                Some(vec![TapeChunk { problems: vec![problem], ..TapeChunk::default() }])
            }
        }
    }
}
