//! How long the client of a held message will still wait for it.

use std::sync::Arc;

use super::change::Effect;
use super::patience::{ClientClock, ClockState, Patience};
use super::state::Model;
use crate::envelope::Direction;
use crate::event::{Held, Ticket, Timestamp};
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
        let via = session.session.via;
        let client = session.session.client.as_ref().map_or("", |client| client.name.as_str());
        let chosen =
            self.settings.patience.get(client).map(|chosen| u64::try_from(chosen.as_micros()).unwrap_or(u64::MAX));
        let known = || self.observed.clients.patience(client, via, envelope.method());
        let patience = chosen.map_or_else(known, Patience::Known);
        // Of a reply that is held: its client has taken the request back meanwhile.
        let patience = self.observed.gave_up.get(&held.ticket).map_or(patience, |waited| Patience::Known(*waited));
        // A guess is that of the TypeScript SDK, which counts from its request on whatever comes.
        let heard = self.observed.heard(held.ticket).filter(|_| !matches!(patience, Patience::Guessed(_)));
        let since = self.asked_at(held).max(heard.unwrap_or_default());
        let waited = self.now.0.saturating_sub(since.0);
        Some(ClientClock { waited, patience })
    }

    /// Rings once for each held message whose client is about to give up, where that is wanted.
    pub(super) fn ring(&mut self) {
        if !self.settings.bell {
            return;
        }
        let is_last =
            |held: &&Arc<Held>| self.client_clock(held).is_some_and(|clock| clock.state() == ClockState::Last);
        let last: Vec<Ticket> = self.observed.awaiting(self.now).filter(is_last).map(|held| held.ticket).collect();
        let is_news = last.iter().any(|ticket| !self.rung.contains(ticket));
        self.rung = last;
        if is_news {
            self.effect(Effect::Bell);
        }
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
