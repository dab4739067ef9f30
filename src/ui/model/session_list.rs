//! The sessions, and what can be counted of each.

use std::collections::{BTreeMap, HashMap};

use super::traffic_stats::TrafficStats;
use crate::envelope::{Envelope, SessionId};
use crate::event::{Origin, Session, SessionState};
use crate::mcp::method::TOOLS_CALL;
use crate::message::Kind;
use crate::text;

/// Tools of a session whose calls are counted.
const MOST_TOOLS: usize = 100;

/// One session on the screen.
pub(crate) struct SessionRow {
    pub(crate) session: Session,
    pub(crate) messages: u64,
    /// What passed in it, by kind.
    pub(crate) stats: TrafficStats,
    /// How often each tool was called.
    tools: BTreeMap<Box<str>, u64>,
    /// Messages that came while the session was not shown.
    pub(crate) unread: u64,
}

impl SessionRow {
    /// What a person would call it: the server, else the end of where it goes.
    pub(crate) fn title(&self) -> &str {
        match &self.session.server {
            Some(server) if !server.name.is_empty() => &server.name,
            _ => upstream_name(&self.session.upstream),
        }
    }

    /// Whether its server is a command, and not behind a URL.
    pub(crate) fn is_of_command(&self) -> bool {
        !self.session.upstream.starts_with("http")
    }

    fn count(&mut self, envelope: &Envelope, seen: bool) {
        self.messages += 1;
        self.unread += u64::from(!seen);
        self.stats.count(envelope);
        let is_call = envelope.kind() == Kind::Request && envelope.method() == Some(TOOLS_CALL);
        let Some(tool) = envelope.name().filter(|_| is_call) else { return };
        if let Some(calls) = self.tools.get_mut(tool) {
            *calls += 1;
        } else if self.tools.len() < MOST_TOOLS {
            self.tools.insert(tool.into(), 1);
        }
    }

    /// The tools that were called most, with how often.
    pub(crate) fn top_tools(&self, count: usize) -> Vec<(&str, u64)> {
        let mut tools: Vec<_> = self.tools.iter().map(|(tool, calls)| (&**tool, *calls)).collect();
        tools.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        tools.truncate(count);
        tools
    }

    pub(crate) fn is_shadow(&self) -> bool {
        self.session.origin == Origin::Shadow
    }

    /// How its client came in, or that there is none.
    pub(crate) fn carrier(&self) -> &'static str {
        match self.session.origin {
            Origin::Shadow => "shadow",
            Origin::Rule => "rule",
            Origin::Client | Origin::Replay => self.session.via.word(),
        }
    }

    pub(crate) fn closed(&self) -> Option<&str> {
        match &self.session.state {
            SessionState::Closed { reason } => Some(reason),
            _ => None,
        }
    }
}

/// `http://host:1/mcp` → `host:1/mcp`; `python -m server` stays.
pub(crate) fn upstream_name(upstream: &str) -> &str {
    upstream.split_once("://").map_or(upstream, |(_, rest)| rest)
}

#[derive(Default)]
pub(crate) struct SessionList {
    rows: Vec<SessionRow>,
    /// They are of upstreams with different names: a title must say which.
    several: bool,
    by_id: HashMap<SessionId, usize>,
}

impl SessionList {
    pub(crate) fn put(&mut self, session: Session) {
        let is_of_other = |row: &SessionRow| row.session.upstream_name != session.upstream_name;
        self.several |= self.rows.last().is_some_and(|row| row.session.id != session.id && is_of_other(row));
        match self.by_id.get(&session.id) {
            Some(position) => self.rows[*position].session = session,
            None => {
                self.by_id.insert(session.id, self.rows.len());
                self.rows.push(SessionRow {
                    session,
                    messages: 0,
                    stats: TrafficStats::default(),
                    tools: BTreeMap::new(),
                    unread: 0,
                });
            }
        }
    }

    /// What a person would call a session, with the name of its upstream where that tells it from others.
    pub(crate) fn title(&self, row: &SessionRow) -> String {
        match &row.session.upstream_name {
            Some(name) if self.several => format!("{name}: {}", row.title()),
            _ => row.title().to_owned(),
        }
    }

    /// The title in so many cells: where there is no room for it, what tells the upstream from others.
    pub(crate) fn short_title(&self, row: &SessionRow, width: usize) -> String {
        let title = text::sanitize(&self.title(row)).into_owned();
        match &row.session.upstream_name {
            Some(name) if self.several && text::width(&title) > width => text::fit_ends(&text::sanitize(name), width),
            _ => title,
        }
    }

    pub(crate) fn close(&mut self, id: SessionId, reason: String) {
        if let Some(row) = self.get_mut(id) {
            row.session.state = SessionState::Closed { reason };
        }
    }

    pub(crate) fn count(&mut self, envelope: &Envelope, seen: bool) {
        if let Some(row) = self.get_mut(envelope.session) {
            row.count(envelope, seen);
        }
    }

    pub(crate) fn mark_read(&mut self, only: Option<SessionId>) {
        for row in &mut self.rows {
            if only.is_none_or(|only| row.session.id == only) {
                row.unread = 0;
            }
        }
    }

    /// Unread counts outlive a resync: they are the reader's, not the core's.
    pub(crate) fn keep_unread(&mut self, old: &Self) {
        for row in &mut self.rows {
            row.unread = old.get(row.session.id).map_or(0, |old| old.unread);
        }
    }

    pub(crate) fn all(&self) -> &[SessionRow] {
        &self.rows
    }

    pub(crate) fn open(&self) -> usize {
        self.rows.iter().filter(|row| row.closed().is_none()).count()
    }

    pub(crate) fn get(&self, id: SessionId) -> Option<&SessionRow> {
        self.by_id.get(&id).map(|position| &self.rows[*position])
    }

    fn get_mut(&mut self, id: SessionId) -> Option<&mut SessionRow> {
        self.by_id.get(&id).map(|position| &mut self.rows[*position])
    }
}
