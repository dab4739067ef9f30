//! Sessions that are saved, that come back from the store, and that are looked after while nobody asks for them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::envelope::SessionId;
use crate::event::{Event, Landmark, Level, LogLine, Session};
use crate::proxy::exchange::{Connection, Link};
use crate::proxy::session::{LiveSession, Usage};
use crate::proxy::sessions::Table;
use crate::proxy::sessions::cache::Key;
use crate::proxy::sessions::policy::Fate;
use crate::store::Record;
use crate::upstream::target::Target;

/// How often sessions are looked at that nobody asks for; more often where they may be idle for a short time only.
pub(in crate::proxy) const ROUND: Duration = Duration::from_secs(5);

/// Clients on whose behalf the store is asked: of several requests at once of one, the others wait.
#[derive(Default)]
pub(in crate::proxy) struct Returning(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>);

impl Returning {
    fn turn(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().entry(key.clone()).or_default().clone()
    }

    fn done(&self, key: &Key) {
        self.0.lock().remove(key);
    }
}

impl Table {
    /// The session that goes on with this key, out of the store: begun under another tapline, or set aside by this one.
    pub(in crate::proxy) async fn recall(self: &Arc<Self>, key: &Key) -> Option<Arc<Connection>> {
        if self.proxy.session_policy().store.is_none()
            || matches!((key, &self.target), (Key::Client(..) | Key::Modern(..), _) | (_, Target::Events(_)))
        {
            return None;
        }
        let (table, key) = (self.clone(), key.clone());
        // A task of its own: half a return is none, and whoever asked may hang up.
        let returning = tokio::spawn(async move {
            let turn = table.returning.turn(&key);
            let _turn = turn.lock().await;
            let connection = match table.known(&key) {
                Some(connection) => Some(connection),
                None => table.bring_back(&key).await,
            };
            table.returning.done(&key);
            connection
        });
        returning.await.ok().flatten()
    }

    async fn bring_back(self: &Arc<Self>, key: &Key) -> Option<Arc<Connection>> {
        let Key::Protocol(id) = key else { return None };
        let kept = self.proxy.session_policy();
        let record = kept.find(id.as_bytes(), (self.name.clone(), self.target.label())).await?;
        let session = Session { upstream: self.target.label(), ..record.session.clone() };
        let seq = kept.last_seq(&record, &session).await;
        self.proxy.number_above(seq);
        let used = Usage { last: record.last_used, seq, messages: record.messages };
        let session = LiveSession::restored(session, used, record.caller.as_deref(), self.proxy.stop());
        session.touch();
        self.proxy.journal().publish(Event::SessionOpened(session.info().into()));
        let connection = self.reconnect(session, &record).await?;
        self.name(&connection, key);
        Some(connection)
    }

    /// Nothing where no server goes on with it: its client is to start anew.
    async fn reconnect(self: &Arc<Self>, session: Arc<LiveSession>, record: &Record) -> Option<Arc<Connection>> {
        if let Target::Server(upstream) = &self.target {
            let link = Link::Exchanges(upstream.clone());
            let connection = Connection::new(self.proxy.clone(), session, link, None);
            self.tell_seam(&connection, record);
            self.take_in(&connection);
            return Some(connection);
        }
        let recollection = record.recollection.as_ref().and_then(|text| serde_json::from_str(text).ok())?;
        match self.revive(session.clone(), recollection).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
                session.end(&format!("it could not go on: {error}"));
                self.proxy.session_policy().save(&session, None, None, Some(Fate::Over));
                None
            }
        }
    }

    fn tell_seam(&self, connection: &Connection, record: &Record) {
        let is_ours = self.proxy.session_policy().store.as_ref().is_some_and(|store| store.owner() == record.owner);
        let text = if is_ours { "goes on: it had been set aside" } else { "goes on under a new tapline" };
        let line = LogLine::new(Level::Info, "proxy", text).of(connection.session.id());
        self.proxy.log(line.as_landmark(Landmark::Seam));
    }

    /// Closes idle sessions and saves the others, again and again until tapline stops.
    pub async fn look_after(self: Arc<Self>) {
        let stop = self.proxy.stop().listening.clone();
        let round =
            self.proxy.session_policy().idle.map_or(ROUND, |idle| (idle / 4).clamp(Duration::from_millis(10), ROUND));
        while stop.run_until_cancelled(tokio::time::sleep(round)).await.is_some() {
            self.sweep().await;
        }
    }

    async fn sweep(&self) {
        let limit = self.proxy.session_policy().idle;
        let is_idle = |connection: &Connection| limit.is_some_and(|limit| connection.session.idle() >= limit);
        let (idle, changed) = self.memory.lock().sweep(is_idle);
        for (connection, key) in changed {
            self.save(&connection, key.as_ref(), None);
        }
        for id in idle {
            let limit = jiff::SignedDuration::try_from(limit.unwrap_or_default()).unwrap_or_default();
            self.close(id, &format!("idle for {limit:#}")).await;
        }
    }

    pub(in crate::proxy) fn save(&self, connection: &Connection, key: Option<&Key>, fate: Option<Fate>) {
        if connection.is_replay() {
            return;
        }
        let recollection = connection.handshake_states().map(|known| known.borrow().clone());
        let recollection = recollection.filter(crate::proxy::stream::handshake::HandshakeState::has_handshake);
        let can_return = matches!(self.target, Target::Server(_)) || recollection.is_some();
        let key = key.and_then(Key::hash).filter(|_| can_return);
        let recollection = recollection.and_then(|known| serde_json::to_string(&known).ok());
        self.proxy.session_policy().save(&connection.session, key, recollection, fate);
    }

    /// Saves a session on a child each time when more is known of what another child would have to be told.
    pub(in crate::proxy) fn follow_handshake(self: &Arc<Self>, connection: &Connection) {
        let Some(mut known) = connection.handshake_states().filter(|_| self.proxy.session_policy().store.is_some())
        else {
            return;
        };
        let (table, id) = (Arc::downgrade(self), connection.session.id());
        tokio::spawn(async move {
            while known.changed().await.is_ok() {
                let Some(table) = Weak::upgrade(&table) else { return };
                table.save_live(id);
            }
        });
    }

    /// Makes a client the owner of a session that has none yet, under the next tapline as well.
    pub(in crate::proxy) fn claim(&self, session: &LiveSession, name: &Arc<str>) {
        if session.claim(name) {
            self.save_live(session.id());
        }
    }

    fn save_live(&self, id: SessionId) {
        let known = self.memory.lock().get(id).map(|slot| (slot.connection.clone(), slot.key.clone()));
        if let Some((connection, key)) = known {
            self.save(&connection, key.as_ref(), None);
        }
    }
}
