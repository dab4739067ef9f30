//! The sessions in memory: by their id, by how their clients are known, and in the order of their last use.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::USER_AGENT;
use lru::LruCache;

use crate::envelope::SessionId;
use crate::proxy::exchange::Connection;
use crate::store::KeyHash;

/// How many sessions in use are passed over in the search for one that may leave. Those are in use for a reason: they are
/// looked at again when all others have been.
const MOST_PASSED_OVER: usize = 64;

/// How a client's next request is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::proxy) enum SessionKey {
    /// By the session header.
    Protocol(Box<str>),
    /// By where it comes from and what it calls itself: revision 2026-07-28 has no sessions, and servers without them exist.
    Client(IpAddr, Box<str>),
    /// By where it comes from and what it calls itself, of a client that follows revision 2026-07-28 or later, where that matters.
    Modern(IpAddr, Box<str>),
}

impl SessionKey {
    pub(in crate::proxy) fn of_header(id: &http::HeaderValue) -> Self {
        Self::Protocol(String::from_utf8_lossy(id.as_bytes()).into())
    }

    pub(in crate::proxy) fn of_client(headers: &HeaderMap, client: IpAddr) -> Self {
        Self::Client(client, agent(headers))
    }

    pub(in crate::proxy) fn of_modern(headers: &HeaderMap, client: IpAddr) -> Self {
        Self::Modern(client, agent(headers))
    }

    /// What is saved of it: of an address, which may be another client's by tomorrow, nothing.
    pub(in crate::proxy) fn hash(&self) -> Option<KeyHash> {
        match self {
            Self::Protocol(id) => Some(KeyHash::of(id.as_bytes())),
            Self::Client(..) | Self::Modern(..) => None,
        }
    }
}

fn agent(headers: &HeaderMap) -> Box<str> {
    headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes())).unwrap_or_default().into()
}

/// One session in memory.
pub(in crate::proxy) struct CachedSession {
    pub(in crate::proxy) connection: Arc<Connection>,
    pub(in crate::proxy) key: Option<Arc<SessionKey>>,
    /// Messages it had when it was saved last.
    saved: u64,
}

impl CachedSession {
    /// Whether it is in use: an exchange, a stream and a client of its own all hold the connection, and none gets it
    /// but from this cache.
    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.connection) > 1
    }
}

/// The sessions in memory. Owned by the table, under its lock.
pub(in crate::proxy) struct SessionCache {
    keys: HashMap<Arc<SessionKey>, SessionId>,
    live: LruCache<SessionId, CachedSession>,
}

impl Default for SessionCache {
    fn default() -> Self {
        // The bound is ours to keep: a cache would drop a session in use.
        Self { keys: HashMap::new(), live: LruCache::unbounded() }
    }
}

impl SessionCache {
    pub(in crate::proxy) fn insert(&mut self, connection: Arc<Connection>) {
        self.live.put(connection.session.id(), CachedSession { connection, key: None, saved: 0 });
    }

    /// Has the session known by this key from now on.
    pub(in crate::proxy) fn bind_key(&mut self, id: SessionId, key: SessionKey) {
        if let Some(slot) = self.live.get_mut(&id) {
            let key = Arc::new(key);
            slot.key = Some(key.clone());
            self.keys.insert(key, id);
        }
    }

    /// The session of a request, which becomes the one that was used last.
    pub(in crate::proxy) fn get_by_key(&mut self, key: &SessionKey) -> Option<Arc<Connection>> {
        let id = self.keys.get(key)?;
        self.live.get(id).map(|slot| slot.connection.clone())
    }

    pub(in crate::proxy) fn get(&self, id: SessionId) -> Option<&CachedSession> {
        self.live.peek(&id)
    }

    pub(in crate::proxy) fn all(&self) -> impl Iterator<Item = &CachedSession> {
        self.live.iter().map(|(_, slot)| slot)
    }

    pub(in crate::proxy) fn remove(&mut self, id: SessionId) -> Option<CachedSession> {
        let slot = self.live.pop(&id)?;
        if let Some(key) = &slot.key
            && self.keys.get(&**key) == Some(&id)
        {
            self.keys.remove(&**key);
        }
        Some(slot)
    }

    /// Takes out what is too much, the least recently used first, and nothing that is in use.
    pub(in crate::proxy) fn evict_surplus(&mut self, max: usize) -> Vec<CachedSession> {
        let mut taken = Vec::new();
        for _ in 0..MOST_PASSED_OVER {
            if self.live.len() <= max {
                break;
            }
            let Some((id, oldest)) = self.live.peek_lru() else { break };
            let id = *id;
            if oldest.is_in_use() {
                self.live.promote(&id);
            } else {
                taken.extend(self.remove(id));
            }
        }
        taken
    }

    /// Looks at all sessions. Notes the use of those in use; returns those for which `is_idle`, and those with messages that were
    /// not saved.
    pub(in crate::proxy) fn sweep(
        &mut self,
        is_idle: impl Fn(&Connection) -> bool,
    ) -> (Vec<SessionId>, Vec<UnsavedSession>) {
        let (mut idle, mut changed) = (Vec::new(), Vec::new());
        for (id, slot) in &mut self.live {
            let session = &slot.connection.session;
            let messages = session.messages();
            if slot.saved != messages {
                slot.saved = messages;
                changed.push((slot.connection.clone(), slot.key.clone()));
                continue;
            }
            slot.connection.shrink_to_fit();
            if slot.is_in_use() {
                session.touch();
            } else if is_idle(&slot.connection) {
                idle.push(*id);
            }
        }
        (idle, changed)
    }
}

/// A session, and how its client is known.
pub(in crate::proxy) type UnsavedSession = (Arc<Connection>, Option<Arc<SessionKey>>);
