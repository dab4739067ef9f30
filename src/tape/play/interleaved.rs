//! The sessions of one tape, or of several that were recorded at the same time, as one script: each session by itself, all steps in the
//! order in which they passed.
//!
//! Pure. What one client did may be why another could do what it did next, so a pause counts from whatever happened last in any session.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::script::{After, Script, ScriptSession, ScriptStep, SessionBuilder, StepKind};
use crate::envelope::{Envelope, Seq, SessionId};
use crate::event::SERVER_GONE;
use crate::tape::Tape;
use crate::tape::read::TapeFile;

/// A tape that a script is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourceTape {
    /// Which of several it is.
    pub(super) number: usize,
    /// Whose the marks are, and the messages that name no session.
    pub(super) session: SessionId,
    /// Microseconds from the start of the first of several to its own.
    pub(super) shift: u64,
}

/// One session, while its tape is gone through.
struct GatheredSession {
    tape: usize,
    id: SessionId,
    builder: SessionBuilder,
    /// Whether more of it is to be played than how it begins.
    is_chosen: bool,
    /// The place of its end, where nothing of it came behind.
    ended: Option<usize>,
    /// Whether that was because its server was gone.
    lost_server: bool,
    /// What follows was said again behind the last message that is played: it is not how the session began.
    is_undone: bool,
    /// Messages of its client in which marks stand for secrets.
    without_secrets: usize,
}

/// What is known while tapes are gone through.
#[derive(Default)]
pub(super) struct ScriptBuilder {
    sessions: Vec<GatheredSession>,
    by_id: HashMap<(usize, SessionId), usize>,
    /// How many messages were read so far.
    place: usize,
    /// Where the messages are that are not kept.
    files: Vec<Arc<TapeFile>>,
    /// Bytes of those that are kept.
    kept: usize,
}

/// Larger messages are left on the disk, in bytes.
const LARGE: usize = if cfg!(test) { 64 } else { 1 << 10 };
/// Of the others so many bytes are kept, the first of a tape: those of a small one are not read again while it is played.
const KEPT: usize = if cfg!(test) { 1 << 12 } else { 64 << 20 };
/// What one takes in memory beside its bytes.
const HEAD: usize = 256;

impl Script {
    /// Of these messages of a tape, in their order, and where each stands, of those that stay in their file; `about`: all else of it.
    pub(super) fn of<M: Borrow<Envelope>>(
        about: &Tape,
        file: Option<Arc<TapeFile>>,
        messages: impl Iterator<Item = (Option<Range<u64>>, M)>,
    ) -> Self {
        let source = SourceTape { number: 0, session: about.header.session, shift: 0 };
        let mut builder = ScriptBuilder::of(file.into_iter().collect());
        let mut hang_ups = about.hang_ups.iter().peekable();
        let mut rewinds = about.rewinds.iter().peekable();
        let mut seams = about.seams.iter().peekable();
        for (line, envelope) in messages {
            let envelope = envelope.borrow();
            while seams.next_if(|seam| seam.after < envelope.seq).is_some() {
                builder.go_on(&source);
            }
            if rewinds.next_if(|after| **after < envelope.seq).is_some() {
                builder.begin_again(&source);
            }
            while let Some(hang_up) = hang_ups.next_if(|it| it.at < envelope.at) {
                builder.hung_up(&source, hang_up.seq, hang_up.at);
            }
            builder.envelope(&source, line, envelope);
            builder.choose(&source, envelope);
        }
        hang_ups.for_each(|it| builder.hung_up(&source, it.seq, it.at));
        if let Some(reason) = &about.end {
            builder.ended(&source, source.session, reason);
        }
        builder.script()
    }
}

impl ScriptBuilder {
    /// Of tapes in these files.
    pub(super) fn of(files: Vec<Arc<TapeFile>>) -> Self {
        Self { files, ..Self::default() }
    }

    /// Takes in the next message; `line`: where it stands, of a tape in a file.
    pub(super) fn envelope(&mut self, tape: &SourceTape, line: Option<Range<u64>>, envelope: &Envelope) {
        let place = self.place;
        let line = line.filter(|_| !self.keeps(envelope)).map(|line| (tape.number, line));
        let session = self.session(tape, envelope.session);
        (session.ended, session.lost_server) = (None, false);
        session.builder.envelope(line, place, envelope);
        self.place += 1;
    }

    /// Whether a message stays in memory.
    fn keeps(&mut self, envelope: &Envelope) -> bool {
        let message = envelope.original.as_ref().unwrap_or(&envelope.message);
        let bytes = message.raw().len();
        let is_kept = bytes <= LARGE && self.kept < KEPT;
        self.kept += if is_kept { bytes + HEAD } else { 0 };
        is_kept
    }

    /// The session of a message is played, and not its beginning alone.
    pub(super) fn choose(&mut self, tape: &SourceTape, envelope: &Envelope) {
        self.session(tape, envelope.session).is_chosen = true;
    }

    /// Marks stand for secrets in a message of the client.
    pub(super) fn lacks_secrets(&mut self, tape: &SourceTape, envelope: &Envelope) {
        self.session(tape, envelope.session).without_secrets += 1;
    }

    /// A fresh process is told all again.
    pub(super) fn begin_again(&mut self, tape: &SourceTape) {
        let session = self.session(tape, tape.session);
        session.without_secrets = 0;
        session.builder.begin_again();
    }

    /// What is said again from here on is not played.
    pub(super) fn undo(&mut self, tape: &SourceTape) {
        self.session(tape, tape.session).is_undone = true;
    }

    pub(super) fn is_undone(&self, tape: &SourceTape, envelope: &Envelope) -> bool {
        self.by_id.get(&(tape.number, envelope.session)).is_some_and(|at| self.sessions[*at].is_undone)
    }

    /// The fresh process has been told all.
    pub(super) fn go_on(&mut self, tape: &SourceTape) {
        let place = self.place;
        let builder = &mut self.session(tape, tape.session).builder;
        builder.place = place;
        builder.go_on();
    }

    /// The client hung up on a request.
    pub(super) fn hung_up(&mut self, tape: &SourceTape, request: Seq, at: u64) {
        for session in self.sessions.iter_mut().filter(|it| it.tape == tape.number) {
            session.builder.place = self.place;
            session.builder.hung_up(request, at);
        }
    }

    /// The session has ended here, if nothing of it follows.
    pub(super) fn ended(&mut self, tape: &SourceTape, id: SessionId, reason: &str) {
        let place = self.place;
        let session = self.session(tape, id);
        (session.ended, session.lost_server) = (Some(place), reason.starts_with(SERVER_GONE));
    }

    /// Messages in which marks stand for secrets.
    pub(super) fn without_secrets(&self) -> usize {
        self.played().map(|it| it.without_secrets).sum()
    }

    fn session(&mut self, tape: &SourceTape, id: SessionId) -> &mut GatheredSession {
        let at = *self.by_id.entry((tape.number, id)).or_insert_with(|| {
            let builder = SessionBuilder::new(tape.shift);
            self.sessions.push(GatheredSession {
                tape: tape.number,
                id,
                builder,
                is_chosen: false,
                ended: None,
                lost_server: false,
                is_undone: false,
                without_secrets: 0,
            });
            self.sessions.len() - 1
        });
        &mut self.sessions[at]
    }

    /// One of which nothing is to be played but how it began has no client.
    fn played(&self) -> impl Iterator<Item = &GatheredSession> {
        self.sessions.iter().filter(|it| it.is_played())
    }

    pub(super) fn script(mut self) -> Script {
        self.sessions.retain(GatheredSession::is_played);
        let mut script = Script { files: self.files, ..Script::default() };
        let mut steps = Vec::new();
        for (at, GatheredSession { id, builder, ended, lost_server, .. }) in self.sessions.into_iter().enumerate() {
            script.ends.extend(ended.map(|place| (u32::try_from(place).unwrap_or(u32::MAX), at)));
            script.sessions.push(ScriptSession { id, said: builder.said, lost_server });
            steps.push(builder.steps);
        }
        script.ends.sort_unstable();
        script.steps = match &mut steps[..] {
            [only] => std::mem::take(only),
            _ => interleave(steps),
        };
        script
    }
}

impl GatheredSession {
    fn is_played(&self) -> bool {
        self.is_chosen && !self.builder.steps.is_empty()
    }
}

/// The steps of several sessions in the order of their places.
fn interleave(sessions: Vec<Vec<ScriptStep>>) -> Vec<ScriptStep> {
    // A client hung up before the message came that stands at the same place.
    let key = |step: &ScriptStep| (step.place, !matches!(step.kind, StepKind::HangUp));
    let mut places: Vec<Vec<u32>> = sessions.iter().map(|steps| Vec::with_capacity(steps.len())).collect();
    let mut left: Vec<_> = sessions.into_iter().map(|steps| steps.into_iter().peekable()).collect();
    let first = |(session, steps): (u32, &mut std::iter::Peekable<std::vec::IntoIter<ScriptStep>>)| {
        steps.peek().map(|step| Reverse((key(step), session)))
    };
    let mut next: BinaryHeap<_> = (0..).zip(&mut left).filter_map(first).collect();
    let mut all = Vec::with_capacity(left.iter().map(ExactSizeIterator::len).sum());
    while let Some(Reverse((_, session))) = next.pop() {
        let at = session as usize;
        let Some(step) = left[at].next() else { continue };
        places[at].push(u32::try_from(all.len()).unwrap_or(u32::MAX));
        all.push(step.of_session(session));
        next.extend(first((session, &mut left[at])));
    }
    for step in &mut all {
        let places = &places[step.session()];
        step.after = step.after.map(|after| match after {
            After::Sent(at) => After::Sent(places[at as usize]),
            After::Answered(at) => After::Answered(places[at as usize]),
            After::Question => After::Question,
        });
        if let Some((at, _)) = step.extra.as_mut().and_then(|extra| extra.cancels.as_mut()) {
            *at = places[*at] as usize;
        }
    }
    pause_after_others(&mut all);
    all
}

/// Has each step wait from what happened last, in whichever session.
fn pause_after_others(steps: &mut [ScriptStep]) {
    let sent = (0..).zip(&*steps).filter(|(_, step)| !step.is_answer());
    let sent = sent.map(|(at, step)| (step.place, step.at, After::Sent(at)));
    let came = (0..).zip(&*steps).filter_map(|(at, step)| Some((step.reply()?, at)));
    let came = came.map(|(reply, at)| (reply.place, reply.at, After::Answered(at)));
    let mut happened: Vec<_> = sent.chain(came).collect();
    happened.sort_by_key(|(place, ..)| *place);
    let own = |steps: &[ScriptStep], after: After| match after {
        After::Sent(at) => Some(steps[at as usize].place),
        After::Answered(at) => steps[at as usize].reply().map(|reply| reply.place),
        After::Question => None,
    };
    let mut seen = 0;
    for at in 0..steps.len() {
        seen += happened[seen..].iter().take_while(|(place, ..)| *place < steps[at].place).count();
        let Some((place, when, after)) = happened[..seen].last().copied() else { continue };
        let before = steps[at].after.and_then(|after| own(steps, after));
        if !steps[at].is_answer() && before.is_none_or(|before| before < place) {
            (steps[at].after, steps[at].pause) = (Some(after), steps[at].at.saturating_sub(when));
        }
    }
}
