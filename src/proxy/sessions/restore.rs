//! Sessions that are saved, that come back from the store, and that are swept while they are idle.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::envelope::SessionId;
use crate::event::{Event, Landmark, Level, LogLine, Session};
use crate::net::read::release_unused;
use crate::proxy::error::ProxyError;
use crate::proxy::exchange::{Connection, ServerLink};
use crate::proxy::session::policy::EndKind;
use crate::proxy::session::{LiveSession, Usage};
use crate::proxy::sessions::SessionKey;
use crate::proxy::sessions::SessionTable;
use crate::store::Record;
use crate::upstream::target::Target;

/// How often idle sessions are swept; more often where they may be idle for a short time only.
pub(in crate::proxy) const ROUND: Duration = Duration::from_secs(5);

/// Sessions that are being restored: of several requests at once for one, the others wait.
#[derive(Default)]
pub(in crate::proxy) struct Restoring(Mutex<HashMap<SessionKey, Arc<tokio::sync::Mutex<()>>>>);

impl Restoring {
    fn turn(&self, key: &SessionKey) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().entry(key.clone()).or_default().clone()
    }

    fn done(&self, key: &SessionKey) {
        self.0.lock().remove(key);
    }
}

impl SessionTable {
    /// The session that goes on with this key, out of the store: begun under another tapline, or suspended by this one. `name`:
    /// the client that asks for it, where clients are known.
    ///
    /// # Errors
    /// [`ProxyError::UnknownSession`] where it is another client's: nothing is started for that.
    pub(in crate::proxy) async fn restore(
        self: &Arc<Self>,
        key: &SessionKey,
        name: Option<&Arc<str>>,
    ) -> Result<Option<Arc<Connection>>, ProxyError> {
        if self.proxy.session_policy().store.is_none()
            || matches!(
                (key, &self.target),
                (SessionKey::Client(..) | SessionKey::Modern(..), _) | (_, Target::Events(_))
            )
        {
            return Ok(None);
        }
        let (table, key, name) = (self.clone(), key.clone(), name.cloned());
        // A task of its own: a session that is restored by half is none, and the client may hang up.
        let restoring = tokio::spawn(async move {
            let turn = table.restoring.turn(&key);
            let _turn = turn.lock().await;
            let connection = match table.known(&key) {
                Some(connection) => Ok(Some(connection)),
                None => table.restore_from_store(&key, name.as_deref()).await,
            };
            table.restoring.done(&key);
            connection
        });
        restoring.await.unwrap_or(Ok(None))
    }

    async fn restore_from_store(
        self: &Arc<Self>,
        key: &SessionKey,
        name: Option<&str>,
    ) -> Result<Option<Arc<Connection>>, ProxyError> {
        let SessionKey::Protocol(id) = key else { return Ok(None) };
        let policy = self.proxy.session_policy();
        let Some(record) = policy.find(id.as_bytes(), (self.name.clone(), self.target.label().to_string())).await
        else {
            return Ok(None);
        };
        if let (Some(name), Some(owner)) = (name, &record.caller)
            && name != owner
        {
            return Err(ProxyError::UnknownSession);
        }
        let session = Session { upstream: self.target.label().into(), ..Session::clone(&record.session) };
        let seq = policy.last_seq(&record, &session).await;
        self.proxy.number_above(seq);
        let used = Usage { last: record.last_used, seq, messages: record.messages };
        let session = LiveSession::restored(session, used, record.caller.as_deref(), self.proxy.stop());
        session.touch();
        // Who it was, and that it had begun, is what is kept of a handshake.
        if record.session.protocol.is_some() {
            session.acknowledge();
        }
        policy.record(&session);
        self.proxy.journal().publish(Event::SessionOpened(session.info()));
        let connection = self.reconnect(session, &record).await;
        connection.iter().for_each(|connection| self.bind_key(connection, key));
        Ok(connection)
    }

    /// Connects a restored session to a server; `None` where no server goes on with it, and its client is to initialize again.
    async fn reconnect(self: &Arc<Self>, session: Arc<LiveSession>, record: &Record) -> Option<Arc<Connection>> {
        if let Target::Server(upstream) = &self.target {
            let link = ServerLink::Exchanges(upstream.clone());
            let connection = Connection::new(self.proxy.clone(), session, link, None);
            self.log_seam(&connection, record);
            self.insert(&connection);
            return Some(connection);
        }
        let handshake = record.handshake.as_ref().and_then(|text| serde_json::from_str(text).ok())?;
        match self.restore_on_child(session.clone(), handshake).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.proxy.log(LogLine::new(Level::Error, "proxy", error.to_string()).of(session.id()));
                session.end(&format!("it could not be restored: {error}"));
                self.proxy.session_policy().save(&session, None, None, Some(EndKind::Closed));
                None
            }
        }
    }

    fn log_seam(&self, connection: &Connection, record: &Record) {
        let is_ours = self.proxy.session_policy().store.as_ref().is_some_and(|store| store.owner() == record.owner);
        let text = if is_ours { "session restored" } else { "session restored under a new tapline" };
        let line = LogLine::new(Level::Info, "proxy", text).of(connection.session.id());
        self.proxy.log_landmark(line, Landmark::Seam);
    }

    /// Closes idle sessions and saves the others, again and again until tapline stops.
    pub async fn maintain(self: Arc<Self>) {
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
            self.save(&connection, key.as_deref(), None);
        }
        release_unused();
        for id in idle {
            let limit = jiff::SignedDuration::try_from(limit.unwrap_or_default()).unwrap_or_default();
            self.close(id, &format!("idle for {limit:#}")).await;
        }
    }

    /// Saves a session as it is now; `end`: how it ends, where it does.
    pub(in crate::proxy) fn save(&self, connection: &Connection, key: Option<&SessionKey>, end: Option<EndKind>) {
        if connection.is_replay() {
            return;
        }
        let handshake = connection.handshake_states().map(|known| known.borrow().clone());
        let handshake = handshake.filter(crate::proxy::stream::handshake::HandshakeState::has_handshake);
        let can_return = matches!(self.target, Target::Server(_)) || handshake.is_some();
        let key = key.and_then(SessionKey::hash).filter(|_| can_return);
        let handshake = handshake.and_then(|known| serde_json::to_string(&known).ok());
        self.proxy.session_policy().save(&connection.session, key, handshake, end);
    }

    /// Saves a session on a child whenever more becomes known of what another child would have to be told.
    pub(in crate::proxy) fn save_handshakes(self: &Arc<Self>, connection: &Connection) {
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
            self.save(&connection, key.as_deref(), None);
        }
    }
}
