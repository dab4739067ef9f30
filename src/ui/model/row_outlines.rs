//! What many rows have in common, kept once: a filter that asks no more is answered for all of them, and no block is opened.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use crate::envelope::{Direction, Envelope, SessionId};
use crate::filter::Outline;
use crate::message::Kind;

/// Outlines that are kept; names of resources may be without end.
const MOST: usize = 16 << 10;

/// Which outline a row has; that of a row which found no room is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutlineId(u16);

impl OutlineId {
    const UNKNOWN: Self = Self(u16::MAX);
}

#[derive(Default)]
pub(super) struct RowOutlines {
    all: Vec<RowOutline>,
    /// By their hashes. Of two with one hash, the second is not kept.
    places: HashMap<u64, OutlineId>,
    hasher: RandomState,
}

struct RowOutline {
    session: SessionId,
    direction: Direction,
    kind: Kind,
    method: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl RowOutlines {
    pub(super) fn learn(&mut self, envelope: &Envelope) -> OutlineId {
        let (session, outline) = (envelope.session, Outline::of(envelope));
        let hash = self.hasher.hash_one((session, outline));
        match self.places.get(&hash) {
            Some(id) if self.get(*id) == Some((session, outline)) => *id,
            None if self.all.len() < MOST => {
                let id = u16::try_from(self.all.len()).map_or(OutlineId::UNKNOWN, OutlineId);
                self.places.insert(hash, id);
                let Outline { direction, kind, method, name } = outline;
                let (method, name) = (method.map(Into::into), name.map(Into::into));
                self.all.push(RowOutline { session, direction, kind, method, name });
                id
            }
            _ => OutlineId::UNKNOWN,
        }
    }

    pub(super) fn get(&self, id: OutlineId) -> Option<(SessionId, Outline<'_>)> {
        let RowOutline { session, direction, kind, method, name } = self.all.get(usize::from(id.0))?;
        let (method, name) = (method.as_deref(), name.as_deref());
        Some((*session, Outline { direction: *direction, kind: *kind, method, name }))
    }
}

/// What is said of outlines, each asked once.
#[derive(Default)]
pub(super) struct OutlineVerdicts(Vec<Option<Option<bool>>>);

impl OutlineVerdicts {
    pub(super) fn of(&mut self, id: OutlineId, ask: impl FnOnce() -> Option<bool>) -> Option<bool> {
        if id == OutlineId::UNKNOWN {
            return None;
        }
        let place = usize::from(id.0);
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        *self.0[place].get_or_insert_with(ask)
    }
}
