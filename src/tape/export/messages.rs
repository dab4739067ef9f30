//! The messages of a tape that is exported: of each no more is in memory than where it stands and what it belongs to.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::event::MessageMark;
use crate::message::Kind;
use crate::tape::read::{ReadWatch, STRETCH, StoredTape};
use crate::tape::{TapeError, TapeHeader, TapeOutputError};

/// A tape that is exported, or one session of it.
#[derive(Debug)]
pub struct ExportedTape {
    tape: StoredTape,
    /// In the order they passed.
    messages: Vec<ExportedMessage>,
    sessions: Vec<SessionId>,
}

#[derive(Debug)]
struct ExportedMessage {
    seq: Seq,
    place: Range<u64>,
    reply_to: Option<Seq>,
    /// One of [`ExportedTape::sessions`].
    session: u32,
    /// The client said it, and it reached the server.
    is_sent: bool,
    /// The server asks for something.
    is_question: bool,
}

impl ExportedTape {
    /// Goes through a tape file; `None` where that was stopped.
    ///
    /// # Errors
    /// Where it cannot be read at all, is no tape, or is one of a newer format.
    pub fn read(path: &Path, watch: &ReadWatch<'_>) -> Result<Option<Self>, TapeError> {
        let (mut messages, mut sessions, mut known) = (Vec::new(), Vec::new(), HashMap::new());
        let keep = |envelope: Envelope, place| Some((envelope.session, exported(&envelope, place)));
        let tape = StoredTape::read(path, STRETCH, watch, &keep, |(session, message)| {
            let session = *known.entry(session).or_insert_with(|| {
                sessions.push(session);
                u32::try_from(sessions.len() - 1).unwrap_or(u32::MAX)
            });
            messages.push(ExportedMessage { session, ..message });
        })?;
        Ok(tape.map(|tape| Self { tape, messages, sessions }))
    }

    /// With everything that later marks know of the peers.
    pub(super) fn header(&self) -> &TapeHeader {
        &self.tape.about.header
    }

    /// What is noted of a message.
    pub(super) fn mark(&self, seq: Seq) -> Option<&MessageMark> {
        self.tape.about.annotations.get(seq)
    }

    /// Everything that is not as it should be, for people.
    pub fn troubles(&self) -> Vec<String> {
        self.tape.troubles()
    }

    /// Whose the messages are.
    pub fn sessions(&self) -> BTreeSet<SessionId> {
        let used: BTreeSet<_> = self.messages.iter().map(|message| message.session).collect();
        used.into_iter().map(|session| self.sessions[session as usize]).collect()
    }

    /// Leaves those of one session.
    pub fn choose_session(&mut self, session: SessionId) {
        self.messages.retain(|message| self.sessions[message.session as usize] == session);
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Tells so many messages, in the order they passed.
    pub(super) fn each_message(
        &self,
        most: usize,
        watch: &ReadWatch<'_>,
        mut tell: impl FnMut(&Envelope) -> Result<(), TapeOutputError>,
    ) -> Result<(), TapeOutputError> {
        let length = self.messages.len().min(most);
        for (message, done) in self.messages.iter().take(length).zip(0..) {
            if !watch(done, length as u64) {
                break;
            }
            tell(&self.tape.envelope(&message.place)?)?;
        }
        Ok(())
    }

    /// Tells the messages of the client that reached the server.
    pub(super) fn each_sent(
        &self,
        watch: &ReadWatch<'_>,
        mut tell: impl FnMut(&Envelope) -> Result<(), TapeOutputError>,
    ) -> Result<(), TapeOutputError> {
        let length = self.messages.len() as u64;
        for (sent, done) in self.messages.iter().zip(0..).filter(|(message, _)| message.is_sent) {
            if !watch(done, length) {
                break;
            }
            tell(&self.tape.envelope(&sent.place)?)?;
        }
        Ok(())
    }

    /// Tells the messages of the client that reached the server, each with the reply and with whether the server asked for
    /// something in between.
    pub(super) fn each_exchange(
        &self,
        watch: &ReadWatch<'_>,
        mut tell: impl FnMut(&Envelope, Option<&Envelope>, bool) -> Result<(), TapeOutputError>,
    ) -> Result<(), TapeOutputError> {
        let mut replies: Vec<_> = self.messages.iter().filter_map(|it| Some((it.reply_to?, it))).collect();
        // Of several to one request the last counts.
        replies.sort_by_key(|(seq, _)| *seq);
        let mut questions: Vec<_> = self.messages.iter().filter(|it| it.is_question).map(|it| it.seq).collect();
        questions.sort_unstable();
        let length = self.messages.len() as u64;
        for (sent, done) in self.messages.iter().zip(0..).filter(|(message, _)| message.is_sent) {
            if !watch(done, length) {
                break;
            }
            let behind = replies.partition_point(|(seq, _)| *seq <= sent.seq);
            let reply = replies[..behind].last().filter(|(seq, _)| *seq == sent.seq).map(|(_, reply)| *reply);
            let next = questions.get(questions.partition_point(|question| *question <= sent.seq));
            let is_asked = reply.zip(next).is_some_and(|(reply, question)| *question < reply.seq);
            let reply = reply.map(|reply| self.tape.envelope(&reply.place)).transpose()?;
            tell(&self.tape.envelope(&sent.place)?, reply.as_ref(), is_asked)?;
        }
        Ok(())
    }
}

fn exported(envelope: &Envelope, place: Range<u64>) -> ExportedMessage {
    ExportedMessage {
        seq: envelope.seq,
        place,
        reply_to: envelope.reply_to.as_ref().map(|to| to.seq),
        session: 0,
        is_sent: envelope.direction == Direction::ToServer && envelope.was_sent(),
        is_question: envelope.direction == Direction::ToClient && envelope.kind() == Kind::Request,
    }
}
