//! Sessions as rows.

use std::path::Path;
use std::sync::Arc;

use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, Row, Transaction, named_params, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Database, KeyHash, Owner, Record, StoreError};
use crate::envelope::{Seq, SessionId};
use crate::event::{Session, SessionState, Timestamp};
use crate::secret::Label;

const SAVE: &str = "
INSERT INTO sessions (id, upstream_name, upstream, key, state, ended, via, origin, client, server, protocol, started,
    last_used, tape, last_seq, messages, handshake, caller, owner, owner_started)
VALUES (:id, :upstream_name, :upstream, :key, :state, :ended, :via, :origin, :client, :server, :protocol, :started,
    :last_used, :tape, :last_seq, :messages, :handshake, :caller, :owner, :owner_started)
ON CONFLICT (id) DO UPDATE SET key = :key, state = :state, ended = :ended, client = :client, server = :server,
    protocol = :protocol, last_used = :last_used, tape = :tape, last_seq = :last_seq, messages = :messages,
    handshake = :handshake, caller = :caller, owner = :owner, owner_started = :owner_started";

impl Database {
    /// All sessions, the one used last first.
    ///
    /// # Errors
    /// Where the database fails.
    pub fn sessions(&self) -> Result<Vec<Record>, StoreError> {
        self.query("SELECT * FROM sessions ORDER BY last_used DESC, id DESC", [])
    }

    /// Removes what is known of these sessions. Their tapes stay.
    ///
    /// # Errors
    /// Where the database fails; nothing is removed then.
    pub fn remove(&mut self, sessions: &[SessionId]) -> Result<(), StoreError> {
        let removed = self.connection.transaction().and_then(|removing| {
            let mut remove = removing.prepare("DELETE FROM sessions WHERE id = ?")?;
            for id in sessions {
                remove.execute([id.0.to_string()])?;
            }
            drop(remove);
            removing.commit()
        });
        removed.map_err(|error| self.store_error(&error))
    }

    pub(super) fn save<'a>(&mut self, records: impl Iterator<Item = &'a Record>) -> Result<(), StoreError> {
        let saved = self.connection.transaction().and_then(|saving| {
            save(&saving, records)?;
            saving.commit()
        });
        saved.map_err(|error| self.store_error(&error))
    }

    /// What is known by this key and has not ended, the latest first.
    pub(super) fn find(&self, key: KeyHash, (name, upstream): (Option<&str>, &str)) -> Result<Vec<Record>, StoreError> {
        let text = "SELECT * FROM sessions WHERE key = ? AND upstream_name IS ? AND upstream = ? AND ended IS NULL \
                    ORDER BY last_used DESC";
        self.query(text, params![key.0, name, Label::of_text(upstream).as_str()])
    }

    /// Ends the sessions that cannot go on: their tapline is gone, and their clients have no way back.
    pub(super) fn end_lost(&mut self, living: &[Owner]) -> Result<(), StoreError> {
        let lost = self.query("SELECT * FROM sessions WHERE key IS NULL AND ended IS NULL", [])?;
        let lost = lost.into_iter().filter(|record| !living.contains(&record.owner));
        let ended: Vec<_> = lost
            .map(|mut record| {
                Arc::make_mut(&mut record.session).state =
                    SessionState::Closed { reason: "its tapline was killed".to_owned() };
                record.ended = Some(record.last_used);
                record
            })
            .collect();
        self.save(ended.iter())
    }

    fn query(&self, text: &str, params: impl rusqlite::Params) -> Result<Vec<Record>, StoreError> {
        let read = |connection: &Connection| {
            let mut asked = connection.prepare(text)?;
            let rows = asked.query_map(params, record)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read(&self.connection).map_err(|error| self.store_error(&error))
    }
}

fn save<'a>(saving: &Transaction<'_>, records: impl Iterator<Item = &'a Record>) -> rusqlite::Result<()> {
    let mut save = saving.prepare(SAVE)?;
    for record in records {
        let session = &record.session;
        save.execute(named_params! {
            ":id": session.id.0.to_string(),
            ":upstream_name": session.upstream_name,
            ":upstream": Label::of_text(&session.upstream).as_str(),
            ":key": record.key.map(|key| key.0),
            ":state": json(&session.state),
            ":ended": record.ended.map(|at| integer(at.0)),
            ":via": json(&session.via),
            ":origin": json(&session.origin),
            ":client": session.client.as_ref().map(json),
            ":server": session.server.as_ref().map(json),
            ":protocol": session.protocol,
            ":started": integer(session.started.0),
            ":last_used": integer(record.last_used.0),
            ":tape": session.tape.as_ref().and_then(|path| path.to_str()),
            ":last_seq": integer(record.last_seq.0),
            ":messages": integer(record.messages),
            ":handshake": record.handshake,
            ":caller": record.caller,
            ":owner": record.owner.process,
            ":owner_started": integer(record.owner.started.0),
        })?;
    }
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let id: String = row.get("id")?;
    let id = id.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))?;
    let session = Session {
        id: SessionId(id),
        upstream_name: row.get("upstream_name")?,
        upstream: row.get::<_, String>("upstream")?.into(),
        via: parsed(row, "via")?,
        started: Timestamp(count(row, "started")?),
        state: parsed(row, "state")?,
        origin: parsed(row, "origin")?,
        client: optional(row, "client")?,
        server: optional(row, "server")?,
        protocol: row.get("protocol")?,
        tape: row.get::<_, Option<String>>("tape")?.map(|path| Path::new(&path).into()),
    };
    Ok(Record {
        session: Arc::new(session),
        key: row.get::<_, Option<[u8; 32]>>("key")?.map(KeyHash),
        ended: some(row, "ended")?.map(Timestamp),
        last_used: Timestamp(count(row, "last_used")?),
        last_seq: Seq(count(row, "last_seq")?),
        messages: count(row, "messages")?,
        handshake: row.get("handshake")?,
        caller: row.get("caller")?,
        owner: Owner { process: row.get("owner")?, started: Timestamp(count(row, "owner_started")?) },
    })
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("all keys are strings")
}

/// SQLite has signed integers only. No count of ours comes near their end.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn some(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|it| u64::try_from(it).unwrap_or(0)))
}

pub(super) fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    from_json(&get::<String>(row, column)?)
}

pub(super) fn optional<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    get::<Option<String>>(row, column)?.map(|text| from_json(&text)).transpose()
}

fn get<T: FromSql>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get(column)
}

fn from_json<T: DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}
