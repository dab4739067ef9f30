//! A tape as it is read: chunk after chunk, so that what was read is of use before the rest is.

use std::io::BufRead;
use std::ops::Range;
use std::sync::Arc;

use super::stretches::{LineStretches, on_all_cores};
use super::{Gap, HangUp, Problem, Problems, TapeEntry, TapeReader, read_no_further};
use crate::envelope::{Envelope, Seq};
use crate::event::TapeSeam;
use crate::tape::format::{AnnotationMark, Mark, PeerMark, TapeHeader};

/// What some lines of a tape say; `M`: what is kept of a message.
#[derive(Debug)]
pub(in crate::tape) struct TapeChunk<M> {
    pub(super) messages: Vec<M>,
    pub(super) gaps: Vec<Gap>,
    pub(super) hang_ups: Vec<HangUp>,
    pub(super) rewinds: Vec<Seq>,
    pub(super) seams: Vec<TapeSeam>,
    /// What could not be read, with lines counted from the start of the chunk.
    pub(super) problems: Problems,
    pub(super) peers: Vec<PeerMark>,
    pub(super) annotations: Vec<AnnotationMark>,
    pub(super) torn: bool,
    pub(super) end: Option<String>,
    pub(super) lines: u64,
}

impl<M> TapeChunk<M> {
    /// `keep` is given each message with the place of its line, in bytes.
    fn of<R: BufRead>(mut entries: TapeReader<R>, keep: &KeepMessage<'_, M>) -> Self {
        let (mut chunk, mut last) = (Self::default(), None);
        while let Some(entry) = entries.next() {
            match entry {
                TapeEntry::Message { envelope, .. } => {
                    last = Some(envelope.seq);
                    chunk.messages.extend(keep(*envelope, entries.place()));
                }
                TapeEntry::Mark(Mark::Gap { at, messages }) => chunk.gaps.push(Gap { at, messages }),
                TapeEntry::Mark(Mark::HangUp { at, seq }) => chunk.hang_ups.push(HangUp { at, seq }),
                TapeEntry::Mark(Mark::Seam { after, text, .. }) => {
                    chunk.seams.push(TapeSeam { after: after.or(last).unwrap_or_default(), text });
                }
                TapeEntry::Mark(Mark::Rewind { after, text, .. }) => {
                    let after = after.or(last).unwrap_or_default();
                    chunk.rewinds.push(after);
                    chunk.seams.push(TapeSeam { after, text });
                }
                TapeEntry::Mark(Mark::Peer(peer)) => chunk.peers.push(peer),
                TapeEntry::Mark(Mark::Annotation(noted)) => chunk.annotations.push(noted),
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

impl<M> Default for TapeChunk<M> {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            gaps: Vec::new(),
            hang_ups: Vec::new(),
            rewinds: Vec::new(),
            seams: Vec::new(),
            problems: Problems::default(),
            peers: Vec::new(),
            annotations: Vec::new(),
            torn: false,
            end: None,
            lines: 0,
        }
    }
}

/// What is kept of a message whose line stands there; nothing where it is not needed.
pub(in crate::tape) type KeepMessage<'k, M> = dyn Fn(Envelope, Range<u64>) -> Option<M> + Sync + 'k;

/// The rest of a tape of which the header was read.
pub(in crate::tape) struct TapeChunks<R> {
    header: TapeHeader,
    stretches: LineStretches<R>,
    /// Bytes that were read.
    read: u64,
}

impl<R: BufRead> TapeChunks<R> {
    pub(in crate::tape) fn of(entries: TapeReader<R>, stretch: u64) -> Self {
        let (header, read) = (entries.header().clone(), entries.place().end);
        Self { header, stretches: entries.into_stretches(stretch), read }
    }

    /// Bytes that were read.
    pub(in crate::tape) fn read(&self) -> u64 {
        self.read
    }

    /// What follows, in order; `None` behind the last.
    pub(in crate::tape) fn read_next(&mut self) -> Option<Vec<TapeChunk<Arc<Envelope>>>> {
        self.keep_next(&|envelope, _| Some(Arc::new(envelope)))
    }

    /// What follows, in order, of which no more than that is kept; `None` behind the last.
    pub(in crate::tape) fn keep_next<M: Send>(&mut self, keep: &KeepMessage<'_, M>) -> Option<Vec<TapeChunk<M>>> {
        let (header, before) = (&self.header, self.read);
        match self.stretches.read_next() {
            Ok(lines) => {
                let lines = lines?;
                self.read += lines.len() as u64;
                Some(on_all_cores(lines, |part| {
                    let start = before + (part.as_ptr() as usize - lines.as_ptr() as usize) as u64;
                    TapeChunk::of(TapeReader::of_lines(part, header.clone(), start), keep)
                }))
            }
            Err(error) => {
                let problem = Problem { line: 1, why: read_no_further(&error) };
                Some(vec![TapeChunk { problems: [problem].into_iter().collect(), ..TapeChunk::default() }])
            }
        }
    }
}
