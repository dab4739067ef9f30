//! What has to be remembered of earlier messages to say of one that it is late, repeats an id, or waits for a reply.
//!
//! Messages may be told in any order, and each more than once: every answer compares numbers.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::envelope::{Direction, Envelope, Outcome, Seq, SessionId};
use crate::mcp::meta::cancelled_id;
use crate::mcp::method;
use crate::message::{Id, Kind};

/// The messages so far, as far as filters ask for them.
#[derive(Debug, Default)]
pub struct MessageHistory {
    ids: HashMap<(SessionId, Direction, Id), UsedId>,
    /// When a request was taken back, by its number.
    cancelled: HashMap<Seq, Seq>,
    answered: HashSet<Seq>,
    /// Tools that their server says change nothing.
    read_only: HashMap<SessionId, HashSet<String>>,
    /// Ids that are remembered; `None`: all.
    most: Option<usize>,
}

/// What a list says of a tool.
#[derive(Deserialize)]
struct MarkedTool {
    name: String,
    #[serde(default)]
    annotations: ToolAnnotations,
}

#[derive(Default, Deserialize)]
struct ToolAnnotations {
    #[serde(default, rename = "readOnlyHint")]
    is_read_only: bool,
}

/// The requests under one id.
#[derive(Clone, Copy, Debug)]
struct UsedId {
    first: Seq,
    last: Seq,
}

impl MessageHistory {
    /// A history that forgets everything once it has so many ids: for messages that never end.
    pub fn bounded(most: usize) -> Self {
        Self { most: Some(most), ..Self::default() }
    }

    /// Takes a message in.
    pub fn observe(&mut self, envelope: &Envelope) {
        let (seq, side) = (envelope.seq, (envelope.session, envelope.direction));
        match (envelope.kind(), envelope.message.id()) {
            (Kind::Request, Some(id)) => {
                if self.most.is_some_and(|most| self.ids.len() >= most) {
                    let read_only = std::mem::take(&mut self.read_only);
                    *self = Self { most: self.most, read_only, ..Self::default() };
                }
                let used = self.ids.entry((side.0, side.1, id.clone())).or_insert(UsedId { first: seq, last: seq });
                *used = UsedId { first: used.first.min(seq), last: used.last.max(seq) };
            }
            (Kind::Notification, _) => {
                let asked = cancelled_id(&envelope.message).and_then(|id| self.ids.get(&(side.0, side.1, id)));
                if let Some(request) = asked.map(|used| used.last).filter(|request| *request < seq) {
                    self.cancelled.entry(request).or_insert(seq);
                }
            }
            _ => {
                self.answered.extend(envelope.reply_to.as_ref().map(|to| to.seq));
                self.learn_tools(envelope);
            }
        }
    }

    /// Learns from a list of tools which of them change nothing; there may be several pages.
    fn learn_tools(&mut self, envelope: &Envelope) {
        if envelope.kind() != Kind::Result || envelope.method() != Some(method::TOOLS_LIST) {
            return;
        }
        let tools = envelope.message.at(&["result", "tools"]).and_then(|tools| serde_json::from_str(tools).ok());
        let tools: Vec<MarkedTool> = tools.unwrap_or_default();
        let known = self.read_only.entry(envelope.session).or_default();
        for tool in tools {
            match tool.annotations.is_read_only {
                true => drop(known.insert(tool.name)),
                false => drop(known.remove(&tool.name)),
            }
        }
    }

    /// Whether this calls a tool of which its server has said that it changes nothing.
    pub fn is_read_only(&self, envelope: &Envelope) -> bool {
        let name = envelope.name().filter(|_| envelope.method() == Some(method::TOOLS_CALL));
        name.is_some_and(|name| self.read_only.get(&envelope.session).is_some_and(|known| known.contains(name)))
    }

    /// Whether the session used the id of this request before.
    pub fn is_duplicate(&self, envelope: &Envelope) -> bool {
        let request = envelope.message.id().filter(|_| envelope.kind() == Kind::Request);
        let used = request.and_then(|id| self.ids.get(&(envelope.session, envelope.direction, id.clone())));
        used.is_some_and(|used| used.first < envelope.seq)
    }

    /// Whether the request that this answers had been taken back.
    pub fn is_late(&self, envelope: &Envelope) -> bool {
        let cancelled = envelope.reply_to.as_ref().and_then(|to| self.cancelled.get(&to.seq));
        cancelled.is_some_and(|cancelled| *cancelled < envelope.seq)
    }

    /// Whether this is a request that waits: nothing has answered it, nor was it taken back, nor did its client hang up.
    pub fn is_open(&self, envelope: &Envelope) -> bool {
        let seq = &envelope.seq;
        let waits = envelope.kind() == Kind::Request && envelope.outcome != Outcome::Abandoned;
        waits && !self.answered.contains(seq) && !self.cancelled.contains_key(seq)
    }
}
