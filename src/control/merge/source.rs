//! What one tapline has told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::numbers::Numbers;
use super::{About, is_closed};
use crate::envelope::{Seq, SessionId};
use crate::event::figures::Figures;
use crate::event::{Holding, LogLine, Session, SessionState, ShadowCounts, TapeInfo, Ticket, Timestamp};

pub(super) struct MergeSource {
    pub(super) about: About,
    /// What it is called beside the others.
    pub(super) label: String,
    pub(super) numbers: Numbers,
    pub(super) sessions: HashMap<SessionId, Session>,
    /// The held messages of the source, by their tickets.
    pub(super) held: BTreeMap<Ticket, HeldEntry>,
    pub(super) holding: Option<Holding>,
    pub(super) tapes: Vec<TapeInfo>,
    pub(super) figures: Option<Arc<Figures>>,
    pub(super) resync: Option<SourceResync>,
    pub(super) shadow: ShadowCounts,
    /// The time of the newest log line.
    logged: Timestamp,
}

/// A held message: its ticket at its own tapline, and the number it has here.
pub(super) struct HeldEntry {
    pub(super) ours: Ticket,
    /// The number under which the message is shown.
    pub(super) seq: Seq,
}

/// What was named again so far, while everything is told again.
pub(super) struct SourceResync {
    pub(super) held: HashSet<Ticket>,
    pub(super) sessions: HashSet<SessionId>,
    /// Log lines up to here are known.
    logged: Timestamp,
}

impl MergeSource {
    /// A session among those of other taplines, that may be of the same server: its tapline's name tells it from them.
    pub(super) fn named(&self, session: Session) -> Session {
        let tapline = &self.label;
        let name = match &session.upstream_name {
            Some(upstream) => format!("{tapline}/{upstream}"),
            None => tapline.clone(),
        };
        Session { upstream_name: Some(name), ..session }
    }

    pub(super) fn new(about: About) -> Self {
        Self {
            label: about.name.clone(),
            about,
            numbers: Numbers::default(),
            sessions: HashMap::new(),
            held: BTreeMap::new(),
            holding: None,
            tapes: Vec::new(),
            figures: None,
            resync: None,
            shadow: ShadowCounts::default(),
            logged: Timestamp::default(),
        }
    }

    pub(super) fn close(&mut self, session: SessionId, reason: &str) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.state = SessionState::Closed { reason: reason.to_owned() };
        }
    }

    pub(super) fn ticket_of(&self, seq: Seq) -> Option<Ticket> {
        self.held.iter().find(|(_, held)| held.seq == seq).map(|(ticket, _)| *ticket)
    }

    pub(super) fn begin_retelling(&mut self) {
        let resync = SourceResync { held: HashSet::new(), sessions: HashSet::new(), logged: self.logged };
        self.resync = Some(resync);
    }

    /// Notes that something was told again, if anything is.
    pub(super) fn in_resync(&mut self, note: impl FnOnce(&mut SourceResync) -> bool) {
        if let Some(resync) = &mut self.resync {
            note(resync);
        }
    }

    /// What we know and was not told again: holds, and sessions that were open.
    pub(super) fn end_retelling(&mut self) -> (Vec<Ticket>, Vec<SessionId>) {
        let Some(resync) = self.resync.take() else { return Default::default() };
        let tickets = self.held.keys().copied().filter(|ticket| !resync.held.contains(ticket)).collect();
        let open = self.sessions.values().filter(|session| !is_closed(session));
        let sessions: Vec<_> = open.map(|session| session.id).filter(|id| !resync.sessions.contains(id)).collect();
        for session in &sessions {
            self.sessions.remove(session);
        }
        (tickets, sessions)
    }

    /// Remembers a log line. Returns whether it was not heard before.
    pub(super) fn note_line(&mut self, line: &LogLine) -> bool {
        let known = self.resync.as_ref().is_some_and(|resync| line.at <= resync.logged);
        self.logged = self.logged.max(line.at);
        !known
    }
}
