//! How long the client of a held message will still wait for it.

use super::patience::{ClientClock, Patience};
use super::state::Model;
use crate::envelope::Direction;
use crate::event::{Held, Timestamp};
use crate::message::Kind;

impl Model {
    /// What is left of the patience of the client that waits for a held message; `None` where no client waits for it.
    pub(crate) fn client_clock(&self, held: &Held) -> Option<ClientClock> {
        let envelope = &held.envelope;
        let waits = match envelope.direction {
            Direction::ToServer => envelope.kind() == Kind::Request,
            Direction::ToClient => matches!(envelope.kind(), Kind::Result | Kind::Error),
        };
        let session = self.observed.sessions.get(envelope.session).filter(|_| waits)?;
        let waited = self.now.0.saturating_sub(self.asked_at(held).0);
        let client = session.session.client.as_ref().map_or("", |client| client.name.as_str());
        let patience = self.observed.clients.patience(client, envelope.method());
        let (all, guessed) = match patience {
            Patience::Known(all) => (Some(all), false),
            Patience::Guessed(all) => (Some(all), true),
            Patience::Endless => (None, false),
        };
        Some(ClientClock { waited, left: all.map(|all| all.saturating_sub(waited)), guessed })
    }

    /// When the client sent the request that is held, or whose reply is.
    fn asked_at(&self, held: &Held) -> Timestamp {
        let request = held.envelope.reply_to.as_ref().and_then(|to| self.observed.rows.get(to.seq));
        let sent = request.and_then(|row| {
            let session = self.observed.sessions.get(row.envelope.session)?;
            Some(session.session.started.plus_micros(row.envelope.at))
        });
        sent.map_or(held.since, |sent| sent.min(held.since))
    }
}
