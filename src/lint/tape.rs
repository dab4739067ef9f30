//! The sessions of a tape, each judged by itself.

use std::collections::BTreeMap;

use super::SessionLint;
use crate::envelope::{Envelope, SessionId};
use crate::event::{Finding, Session};

/// What is known of each session of a tape.
pub struct TapeLint {
    /// That of the header.
    first: Session,
    imported: Option<String>,
    seen_by: Option<String>,
    sessions: BTreeMap<SessionId, SessionLint>,
}

impl TapeLint {
    /// A tape from its first message on; `session` is that of its header, `imported` what it was made of.
    pub fn new(session: &Session, imported: Option<&str>, seen_by: Option<&str>) -> Self {
        let first = SessionLint::new(session).imported(imported).seen_by(seen_by);
        let sessions = BTreeMap::from([(session.id, first)]);
        let [imported, seen_by] = [imported, seen_by].map(|it| it.map(str::to_owned));
        Self { first: session.clone(), imported, seen_by, sessions }
    }

    /// Says what is wrong with a message. They have to be told in the order in which they passed.
    pub fn judge(&mut self, envelope: &Envelope) -> Vec<Finding> {
        let lint = self.sessions.entry(envelope.session).or_insert_with(|| {
            // Who speaks there, the header does not say.
            let unknown =
                Session { id: envelope.session, client: None, server: None, protocol: None, ..self.first.clone() };
            SessionLint::new(&unknown).imported(self.imported.as_deref()).seen_by(self.seen_by.as_deref())
        });
        lint.judge(envelope)
    }

    /// Something may have been said that is not known.
    pub fn miss(&mut self) {
        self.sessions.values_mut().for_each(SessionLint::miss);
    }

    /// The tape is over: what never came is told now.
    pub fn finish(&mut self) -> Vec<Finding> {
        self.sessions.values_mut().flat_map(SessionLint::finish).collect()
    }
}
