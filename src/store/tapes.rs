//! What is known of tapes: a memory of what was read, which the tapes themselves can always make again.

use rusqlite::{Row, params};

use super::rows::{count, integer, json, optional, parsed};
use super::{Database, StoreError};
use crate::event::{TapeInfo, Timestamp};

/// A tape as it was when its file was last changed at that time.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownTape {
    /// Microseconds since the Unix epoch.
    pub modified: u64,
    pub info: TapeInfo,
}

impl Database {
    /// # Errors
    /// Where the database fails.
    pub fn tapes(&self) -> Result<Vec<KnownTape>, StoreError> {
        let read = || {
            let mut asked = self.connection.prepare("SELECT * FROM tapes")?;
            let rows = asked.query_map([], tape)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.store_error(&error))
    }

    pub(super) fn learn_tapes(&mut self, tapes: &[KnownTape]) -> Result<(), StoreError> {
        let learned = self.connection.transaction().and_then(|learning| {
            let mut learn =
                learning.prepare("INSERT OR REPLACE INTO tapes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
            for KnownTape { modified, info } in tapes {
                let Some(path) = info.path.to_str() else { continue };
                learn.execute(params![
                    path,
                    integer(*modified),
                    integer(info.bytes),
                    info.upstream,
                    info.client.as_ref().map(json),
                    info.protocol,
                    integer(info.started.0),
                    integer(info.messages),
                    json(&info.problems),
                    info.session.as_ref().map(json),
                    info.parent.as_ref().map(json),
                    info.server.as_ref().map(json),
                    info.tools.as_ref().map(json),
                    json(&info.notes),
                ])?;
            }
            drop(learn);
            learning.commit()
        });
        learned.map_err(|error| self.store_error(&error))
    }
}

fn tape(row: &Row<'_>) -> rusqlite::Result<KnownTape> {
    let info = TapeInfo {
        path: row.get::<_, String>("path")?.into(),
        session: optional(row, "session")?,
        parent: optional(row, "parent")?,
        upstream: row.get("upstream")?,
        client: optional(row, "client")?,
        server: optional(row, "server")?,
        protocol: row.get("protocol")?,
        started: Timestamp(count(row, "started")?),
        messages: count(row, "messages")?,
        bytes: count(row, "bytes")?,
        tools: optional(row, "tools")?,
        notes: optional(row, "notes")?.unwrap_or_default(),
        problems: parsed(row, "problems")?,
    };
    Ok(KnownTape { modified: count(row, "modified")?, info })
}
