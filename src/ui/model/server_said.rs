//! What a server said of itself in a session, gathered in one go over its messages: who it is, its lists, and that they changed.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::message_rows::{MessageRow, MessageRows};
use crate::envelope::{Direction, Envelope, Seq, SessionId};
use crate::mcp::method::{
    DISCOVER, INITIALIZE, PROMPTS_LIST, PROMPTS_LIST_CHANGED, RESOURCE_TEMPLATES_LIST, RESOURCES_LIST,
    RESOURCES_LIST_CHANGED, TOOLS_LIST, TOOLS_LIST_CHANGED,
};

/// Rows that are looked through: the latest.
const LOOKED_AT: usize = 50_000;

/// One kind of thing that servers list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OfferKind {
    /// What one is called.
    pub(crate) word: &'static str,
    pub(crate) method: &'static str,
    /// The member of the result that has them.
    pub(crate) member: &'static str,
    /// The member that names one.
    pub(crate) key: &'static str,
    /// How the server says that they changed.
    pub(crate) changed: &'static str,
}

pub(crate) const OFFER_KINDS: [OfferKind; 4] = [
    OfferKind { word: "tool", method: TOOLS_LIST, member: "tools", key: "name", changed: TOOLS_LIST_CHANGED },
    OfferKind { word: "prompt", method: PROMPTS_LIST, member: "prompts", key: "name", changed: PROMPTS_LIST_CHANGED },
    OfferKind {
        word: "resource",
        method: RESOURCES_LIST,
        member: "resources",
        key: "uri",
        changed: RESOURCES_LIST_CHANGED,
    },
    OfferKind {
        word: "template",
        method: RESOURCE_TEMPLATES_LIST,
        member: "resourceTemplates",
        key: "uriTemplate",
        changed: RESOURCES_LIST_CHANGED,
    },
];

/// A list as the server gave it: the JSON text of each definition, of all its pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct WholeList {
    seq: Seq,
    pub(crate) definitions: Vec<String>,
}

#[derive(Default)]
pub(crate) struct ServerSaid {
    /// The result of `initialize` or `server/discover`.
    pub(crate) hello: Value,
    lists: BTreeMap<&'static str, Vec<WholeList>>,
    changed: BTreeMap<&'static str, Seq>,
}

impl ServerSaid {
    /// What was said in the sessions that are meant.
    pub(crate) fn in_sessions(rows: &MessageRows, is_meant: impl Fn(SessionId) -> bool) -> Self {
        let mut said = Self::default();
        let latest = rows.len().saturating_sub(LOOKED_AT)..rows.len();
        for row in latest.filter_map(|position| rows.at(position)) {
            if is_meant(row.envelope.session) && row.envelope.direction == Direction::ToClient {
                said.read(rows, &row);
            }
        }
        said
    }

    /// Whether a message may be one of those that are gathered.
    pub(crate) fn is_said_in(envelope: &Envelope) -> bool {
        let is_of = |kind: &OfferKind, method| {
            if envelope.reply_to.is_some() { kind.method == method } else { kind.changed == method }
        };
        let method = envelope.method().filter(|_| envelope.direction == Direction::ToClient);
        method.is_some_and(|method| {
            matches!(method, INITIALIZE | DISCOVER) || OFFER_KINDS.iter().any(|kind| is_of(kind, method))
        })
    }

    fn read(&mut self, rows: &MessageRows, row: &MessageRow) {
        let (envelope, method) = (&row.envelope, row.envelope.method());
        let Some(to) = &envelope.reply_to else {
            let changed = OFFER_KINDS.iter().find(|kind| Some(kind.changed) == method);
            self.changed.extend(changed.map(|kind| (kind.changed, envelope.seq)));
            return;
        };
        if matches!(method, Some(INITIALIZE | DISCOVER)) {
            let hello = envelope.message.member("result").and_then(|text| serde_json::from_str(text).ok());
            self.hello = hello.unwrap_or_else(|| std::mem::take(&mut self.hello));
            return;
        }
        let Some(kind) = OFFER_KINDS.iter().find(|kind| Some(kind.method) == method) else { return };
        let items = envelope.message.at(&["result", kind.member]);
        let Some(items) = items.and_then(|text| serde_json::from_str::<Vec<&RawValue>>(text).ok()) else { return };
        let is_next_page =
            rows.get(to.seq).is_some_and(|asked| asked.envelope.message.at(&["params", "cursor"]).is_some());
        let lists = self.lists.entry(kind.method).or_default();
        if !is_next_page || lists.is_empty() {
            lists.push(WholeList::default());
        }
        if let Some(list) = lists.last_mut() {
            list.seq = envelope.seq;
            list.definitions.extend(items.into_iter().map(|item| item.get().to_owned()));
        }
    }

    /// The first list of a kind that is known, and the latest.
    pub(crate) fn first_and_latest(&self, kind: &OfferKind) -> Option<(&WholeList, &WholeList)> {
        let lists = self.lists.get(kind.method)?;
        lists.first().zip(lists.last())
    }

    /// The server has said that this list changed, and was not asked for it since; a list that nobody knows is not old.
    pub(crate) fn is_stale(&self, kind: &OfferKind) -> bool {
        let listed = self.first_and_latest(kind).map(|(_, latest)| latest.seq);
        listed.is_some() && self.changed.get(kind.changed).copied() > listed
    }
}
