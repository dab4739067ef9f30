//! A tape that is to be played: what its client did, with large messages left where they stand.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::script::{Script, ScriptBuilder};
use crate::envelope::{Direction, Envelope, Seq};
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::Tape;
use crate::tape::format::{Mark, TapeError, TapeHeader};
use crate::tape::read::{TapeEntry, TapeFile, TapeReader, troubles};
use crate::tape::redact::has_mark;

/// Bytes that are read between two reports: a few of them a second.
const REPORTED_EACH: u64 = 1 << 20;

/// A tape as the player needs it. Its size in memory goes with the number of messages, not with theirs.
#[derive(Clone, Debug)]
pub struct PlayableTape {
    pub path: PathBuf,
    /// With everything that later marks know of the peers.
    pub header: TapeHeader,
    /// Everything that is not as it should be, for people.
    pub troubles: Vec<String>,
    /// Messages of the client in which marks stand for secrets that were taken out.
    pub without_secrets: usize,
    pub(super) script: Script,
}

impl PlayableTape {
    /// Goes once through a tape file.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn open(path: &Path) -> Result<Self, TapeError> {
        Self::open_part(path, &TapeSelection::default(), |_, _| ())
    }

    /// Goes once through a tape file, which may be long, takes a part of it, and reports now and then how many bytes of how many are read.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn open_part(path: &Path, part: &TapeSelection, mut report: impl FnMut(u64, u64)) -> Result<Self, TapeError> {
        let mut entries = TapeReader::open(path)?;
        let length = std::fs::metadata(path).map_or(0, |file| file.len());
        let mut reported = 0;
        report(reported, length);
        let mut header = entries.header().clone();
        let file = Arc::new(TapeFile::open(path, header.session)?);
        let mut builder = ScriptBuilder::default();
        let (mut problems, mut missing, mut torn, mut without_secrets) = (Vec::new(), 0, false, 0);
        // What was said again behind the last message that is played is not how the session began.
        let mut is_undone = false;
        while let Some(entry) = entries.next() {
            let read = entries.place().end;
            if read - reported >= REPORTED_EACH {
                report(read, length);
                reported = read;
            }
            match entry {
                TapeEntry::Message { envelope, .. }
                    if part.has(&envelope) && (!is_undone || envelope.kind().is_reply()) =>
                {
                    without_secrets += usize::from(header.has_redacted_bodies() && lacks_secrets(&envelope));
                    builder.line(&file, entries.place(), &envelope);
                }
                TapeEntry::Mark(Mark::Gap { messages, .. }) => missing += messages,
                TapeEntry::Mark(Mark::HangUp { at, seq }) => builder.hung_up(seq, at),
                TapeEntry::Mark(Mark::Rewind { after, .. }) => match part.until {
                    Some(until) if after >= Some(until) => is_undone = true,
                    _ => {
                        without_secrets = 0;
                        builder.begin_again();
                    }
                },
                TapeEntry::Mark(Mark::Seam { .. }) => builder.go_on(),
                TapeEntry::Mark(Mark::Peer(peer)) => header.peers.learn(peer.peers),
                TapeEntry::Message { .. } | TapeEntry::Mark(_) => {}
                TapeEntry::Problem(problem) => problems.push(problem),
                TapeEntry::Torn => torn = true,
            }
        }
        let troubles = troubles(&problems, missing, torn);
        Ok(Self { path: path.to_owned(), header, troubles, without_secrets, script: builder.script() })
    }

    /// The last message of the client's.
    pub fn last(&self) -> Option<Seq> {
        self.script.steps.iter().map(|step| step.seq).max()
    }
}

/// Whether secrets were taken out of what the client said.
fn lacks_secrets(envelope: &Envelope) -> bool {
    let is_sent = envelope.direction == Direction::ToServer && envelope.was_sent();
    is_sent && std::str::from_utf8(envelope.message.raw()).is_ok_and(has_mark)
}

/// Which messages of a tape are played. How a session begins always is.
#[derive(Clone, Debug, Default)]
pub struct TapeSelection {
    /// The client's first, by its number.
    pub from: Option<Seq>,
    /// The client's last; what the server answered until then is compared, also where it came later.
    pub until: Option<Seq>,
    /// The messages of the client that are sent; all if `None`.
    pub only: Option<HashSet<Seq>>,
}

impl TapeSelection {
    pub(in crate::tape) fn has(&self, envelope: &Envelope) -> bool {
        if matches!(envelope.method(), Some(method::INITIALIZE | method::INITIALIZED)) {
            return true;
        }
        let is_between =
            |seq: Seq| self.from.is_none_or(|from| from <= seq) && self.until.is_none_or(|until| seq <= until);
        let is_within = |seq: Seq| is_between(seq) && self.only.as_ref().is_none_or(|only| only.contains(&seq));
        let kind = envelope.kind();
        match envelope.direction {
            // Answers are given when they are asked for.
            Direction::ToServer if kind.is_reply() => is_between(envelope.seq),
            Direction::ToClient if kind.is_reply() => envelope.reply_to.as_ref().is_none_or(|to| is_within(to.seq)),
            // What came of messages that are left out would be waited for.
            Direction::ToClient if self.only.is_some() => kind != Kind::Notification,
            Direction::ToServer | Direction::ToClient => is_within(envelope.seq),
        }
    }
}

impl From<&Tape> for PlayableTape {
    fn from(tape: &Tape) -> Self {
        let Tape { path, header, .. } = tape.clone();
        let is_redacted = header.has_redacted_bodies();
        let without_secrets = tape.envelopes.iter().filter(|it| is_redacted && lacks_secrets(it)).count();
        Self { path, header, troubles: tape.troubles(), without_secrets, script: Script::of(tape) }
    }
}
