//! A tape that is to be played: what its client did, with large messages left where they stand.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::interleaved::ScriptBuilder;
use super::script::Script;
use super::source::SourceTapes;
use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::mcp::method;
use crate::message::Kind;
use crate::tape::Tape;
use crate::tape::format::{TapeError, TapeHeader};
use crate::tape::read::{ReadWatch, StoredTape, TapeEntry};
use crate::tape::redact::has_mark;

/// Bytes that are read between two reports: a few of them a second. Of a tape of fewer there is none.
const REPORTED_EACH: u64 = 1 << 20;

/// A tape as the player needs it. Its size in memory goes with the number of messages, not with theirs.
#[derive(Clone, Debug)]
pub struct PlayableTape {
    pub path: PathBuf,
    /// With everything that later marks know of the peers.
    pub header: TapeHeader,
    /// Everything that is not as it should be, for people.
    pub troubles: Vec<String>,
    /// Whether a line could not be read, other than the last that a crash cut short: what stands there is not played.
    pub is_damaged: bool,
    /// Messages of the client in which marks stand for secrets that were taken out.
    pub without_secrets: usize,
    /// Whose the last message is that is played.
    last: Option<SessionId>,
    pub(super) script: Arc<Script>,
}

impl PlayableTape {
    /// Goes once through a tape file.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn open(path: &Path) -> Result<Self, TapeError> {
        Ok(Self::open_part(path, &TapeSelection::default(), &|_, _| true)?.expect("nothing stops it"))
    }

    /// Goes once through a tape file, which may be long, and takes a part of it. `None` where that was stopped.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn open_part(path: &Path, part: &TapeSelection, watch: &ReadWatch<'_>) -> Result<Option<Self>, TapeError> {
        Self::open_together(&[path], part, watch)
    }

    /// Goes once through tapes that were recorded at the same time; the first gives its name to all. `None` where that was stopped.
    ///
    /// # Errors
    /// Where one cannot be read at all, is no tape, or is one of a newer format.
    pub fn open_together<P: AsRef<Path>>(
        paths: &[P],
        part: &TapeSelection,
        watch: &ReadWatch<'_>,
    ) -> Result<Option<Self>, TapeError> {
        let mut tapes = SourceTapes::open(paths)?;
        let mut reported = 0;
        tapes.begin();
        let mut builder = ScriptBuilder::of(tapes.tapes.iter().map(|tape| tape.file.clone()).collect());
        let mut last = None;
        while let Some((tape, entry)) = tapes.next_entry() {
            match entry {
                TapeEntry::Message { envelope, .. } => {
                    if part.until.is_none_or(|until| envelope.seq <= until) {
                        last = Some(envelope.session);
                    }
                    tape.message(part, &envelope, &mut builder);
                }
                TapeEntry::Mark(mark) => tape.mark(part, mark, &mut builder),
                TapeEntry::Problem(problem) => tape.problems.push(problem),
                TapeEntry::Torn => tape.torn = true,
            }
            let read = tapes.read() / REPORTED_EACH;
            if std::mem::replace(&mut reported, read) != read && !watch(tapes.read(), tapes.length) {
                return Ok(None);
            }
        }
        let troubles = tapes.troubles();
        let is_damaged = tapes.tapes.iter().any(|tape| !tape.problems.is_empty());
        let without_secrets = builder.without_secrets();
        let first = tapes.tapes.swap_remove(0);
        let (path, header, script) = (first.path, first.header, Arc::new(builder.script()));
        Ok(Some(Self { path, header, troubles, is_damaged, without_secrets, last, script }))
    }

    /// These messages of a tape that was gone through, in their order, each with the place of its line; a message that is not as it
    /// stands there has none.
    ///
    /// # Errors
    /// Where one of them could not be read again.
    pub(in crate::tape) fn of_stored(
        tape: &StoredTape,
        messages: impl Iterator<Item = Result<(Option<Range<u64>>, Envelope), TapeError>>,
    ) -> Result<Self, TapeError> {
        let (mut last, mut unread, mut without_secrets) = (None, None, 0);
        let is_redacted = tape.about.header.has_redacted_bodies();
        let read =
            messages.map_while(|message| message.map_err(|error| unread = Some(error)).ok()).map(|(line, it)| {
                last = Some(it.session);
                without_secrets += usize::from(is_redacted && lacks_secrets(&it));
                (line, it)
            });
        let script = Arc::new(Script::of(&tape.about, Some(tape.file.clone()), read));
        let Tape { path, header, .. } = tape.about.clone();
        match unread {
            Some(error) => Err(error),
            None => {
                let is_damaged = !tape.about.problems.is_empty();
                Ok(Self { path, header, troubles: tape.troubles(), is_damaged, without_secrets, last, script })
            }
        }
    }

    /// The last message of the client's.
    pub fn last(&self) -> Option<Seq> {
        self.script.steps.iter().map(|step| step.seq).max()
    }

    /// The session of the last message that is played, as the tape names it.
    pub fn last_session(&self) -> SessionId {
        self.last.unwrap_or(self.header.session)
    }

    /// How many sessions are played.
    pub fn sessions(&self) -> usize {
        self.script.sessions.len()
    }
}

/// Whether secrets were taken out of what the client said.
pub(super) fn lacks_secrets(envelope: &Envelope) -> bool {
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
    pub only: Option<SeqSet>,
}

/// Numbers of messages, in order: eight bytes each, as they may be those of a whole tape.
#[derive(Clone, Debug, Default)]
pub struct SeqSet(Vec<Seq>);

impl FromIterator<Seq> for SeqSet {
    fn from_iter<I: IntoIterator<Item = Seq>>(seqs: I) -> Self {
        let mut seqs: Vec<_> = seqs.into_iter().collect();
        seqs.sort_unstable();
        seqs.dedup();
        Self(seqs)
    }
}

impl SeqSet {
    fn contains(&self, seq: Seq) -> bool {
        self.0.binary_search(&seq).is_ok()
    }
}

impl TapeSelection {
    pub(in crate::tape) fn has(&self, envelope: &Envelope) -> bool {
        match PlayedPart::of(envelope) {
            PlayedPart::Beginning => true,
            // Answers are given when they are asked for.
            PlayedPart::Answer => self.is_between(envelope.seq),
            PlayedPart::Reply(to) => to.is_none_or(|to| self.is_within(to)),
            // What came of messages that are left out would be waited for.
            PlayedPart::News => self.only.is_none() && self.is_between(envelope.seq),
            PlayedPart::Question => self.only.is_some() || self.is_between(envelope.seq),
            PlayedPart::Said => self.is_within(envelope.seq),
        }
    }
}

/// What a message is to a play, which tells whether a part of the tape has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tape) enum PlayedPart {
    /// It is how a session begins.
    Beginning,
    /// The client's, to a request of the server's.
    Answer,
    /// The server's, to this request.
    Reply(Option<Seq>),
    /// A notification of the server's.
    News,
    /// All else of the server's.
    Question,
    /// All else of the client's.
    Said,
}

impl PlayedPart {
    pub(in crate::tape) fn of(envelope: &Envelope) -> Self {
        let kind = envelope.kind();
        match (envelope.direction, envelope.method()) {
            (_, Some(method::INITIALIZE | method::INITIALIZED)) => Self::Beginning,
            (Direction::ToServer, _) if kind.is_reply() => Self::Answer,
            (Direction::ToClient, _) if kind.is_reply() => Self::Reply(envelope.reply_to.as_ref().map(|to| to.seq)),
            (Direction::ToClient, _) if kind == Kind::Notification => Self::News,
            (Direction::ToClient, _) => Self::Question,
            (Direction::ToServer, _) => Self::Said,
        }
    }
}

impl TapeSelection {
    fn is_between(&self, seq: Seq) -> bool {
        self.from.is_none_or(|from| from <= seq) && self.until.is_none_or(|until| seq <= until)
    }

    fn is_within(&self, seq: Seq) -> bool {
        self.is_between(seq) && self.only.as_ref().is_none_or(|only| only.contains(seq))
    }

    /// Whether a message of a client is one that is asked for, and is not there only because a session begins so.
    pub(super) fn chooses(&self, envelope: &Envelope) -> bool {
        envelope.direction == Direction::ToServer && self.is_within(envelope.seq)
    }
}

impl From<&Tape> for PlayableTape {
    fn from(tape: &Tape) -> Self {
        let Tape { path, header, .. } = tape.clone();
        let is_redacted = header.has_redacted_bodies();
        let without_secrets = tape.envelopes.iter().filter(|it| is_redacted && lacks_secrets(it)).count();
        let last = tape.envelopes.last().map(|it| it.session);
        let script = Arc::new(Script::of(tape, None, tape.envelopes.iter().map(|it| (None, it.clone()))));
        let is_damaged = !tape.problems.is_empty();
        Self { path, header, troubles: tape.troubles(), is_damaged, without_secrets, last, script }
    }
}
