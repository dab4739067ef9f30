//! How sessions are kept: how many in memory, how long without use, and what of them is saved.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::envelope::Seq;
use crate::event::{Session, Timestamp};
use crate::proxy::session::{LiveSession, Usage};
use crate::store::{self, KeyHash, Record, Store};
use crate::tape;

/// How sessions are kept, for all of them. Without a store, those that leave memory are gone.
#[derive(Clone)]
pub struct SessionPolicy {
    /// Where sessions are saved, if they are.
    pub store: Option<Store>,
    /// Where sessions are recorded, if they are.
    pub tapes: Option<PathBuf>,
    /// The most sessions of one upstream in memory.
    pub max: usize,
    /// How long a session may be unused before it is closed; forever if `None`.
    pub idle: Option<Duration>,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        let store::Settings { max, idle, .. } = store::Settings::default();
        Self { store: None, tapes: None, max, idle }
    }
}

/// How a session ends that leaves memory: whether its client may go on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// It has ended for good.
    Closed,
    /// It is restored when its client comes back, if it can be.
    Suspended,
}

impl SessionPolicy {
    /// Saves a session as it is now; `key`: how another tapline knows its client. Never waits.
    pub(in crate::proxy) fn save(
        &self,
        session: &LiveSession,
        key: Option<KeyHash>,
        handshake: Option<String>,
        end: Option<EndKind>,
    ) {
        let Some(store) = &self.store else { return };
        let Usage { last, seq, messages } = session.usage();
        let ends = match end {
            Some(EndKind::Closed) => true,
            Some(EndKind::Suspended) => key.is_none(),
            None => false,
        };
        store.save(Record {
            session: self.saved(session),
            key,
            ended: ends.then(Timestamp::now),
            last_used: last,
            last_seq: seq,
            messages,
            handshake,
            caller: session.owner().map(ToString::to_string),
            owner: store.owner(),
        });
    }

    /// What is known of the session that goes on when a client sends this id.
    pub(in crate::proxy) async fn find(&self, id: &[u8], upstream: (Option<String>, String)) -> Option<Record> {
        let record = self.store.as_ref()?.find(KeyHash::of(id), upstream).await?;
        let unused = Timestamp::now().0.saturating_sub(record.last_used.0);
        let is_idle = self.idle.is_some_and(|idle| Duration::from_micros(unused) > idle);
        (!is_idle).then_some(record)
    }

    /// Number of the latest message of a session that another tapline had: after a kill, its tape knows more than the store.
    pub(in crate::proxy) async fn last_seq(&self, record: &Record, session: &Session) -> Seq {
        let path = self.tapes.as_ref().map(|dir| dir.join(tape::file_name(session)));
        let read = tokio::task::spawn_blocking(move || path.and_then(|path| tape::last_seq(&path)));
        let on_tape = read.await.ok().flatten();
        on_tape.map_or(record.last_seq, |seq| seq.max(record.last_seq))
    }

    /// Where a session that begins is recorded.
    pub(in crate::proxy) fn record(&self, session: &LiveSession) {
        if let Some(dir) = &self.tapes {
            session.record_to(dir.join(tape::file_name(&session.info())).into());
        }
    }

    /// A session as it is saved: its file is there once something was said.
    fn saved(&self, session: &LiveSession) -> Arc<Session> {
        let mut info = session.info();
        if info.tape.is_some() && session.messages() == 0 {
            Arc::make_mut(&mut info).tape = None;
        }
        info
    }
}
