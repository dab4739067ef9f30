//! The place in the hold queue, and what was decided and typed there. The held messages are facts, not ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::motion::{Motion, window};
use crate::envelope::Seq;
use crate::event::{Held, Ticket};

type AllHeld = BTreeMap<Ticket, Arc<Held>>;

#[derive(Default)]
pub(crate) struct HoldQueue {
    cursor: Option<Ticket>,
    pub(crate) top: usize,
    pub(crate) height: usize,
    /// Decided here; the core has not said so yet.
    pub(crate) sent: BTreeSet<Ticket>,
    /// Texts left in the editor, by message.
    pub(crate) drafts: HashMap<Seq, Arc<Vec<String>>>,
}

impl HoldQueue {
    /// The held message under the cursor; when that is gone, the one that took its place.
    pub(crate) fn selected<'a>(&self, held: &'a AllHeld) -> Option<&'a Arc<Held>> {
        let from = self.cursor.map_or(Bound::Unbounded, Bound::Included);
        held.range((from, Bound::Unbounded)).next().or_else(|| held.last_key_value()).map(|(_, held)| held)
    }

    pub(crate) fn position(&self, held: &AllHeld) -> usize {
        let Some(selected) = self.selected(held) else { return 0 };
        held.range(..selected.ticket).count()
    }

    pub(crate) fn go(&mut self, held: &AllHeld, motion: Motion) {
        let to = motion.from(self.position(held), held.len(), self.height);
        self.cursor = held.keys().nth(to).copied();
    }

    pub(crate) fn select(&mut self, ticket: Ticket) {
        self.cursor = Some(ticket);
    }

    /// A decision was sent: on to the next message that waits for one.
    pub(crate) fn decided(&mut self, held: &AllHeld, ticket: Ticket) {
        self.sent.insert(ticket);
        let waits = |(ticket, _): &(&Ticket, _)| !self.sent.contains(ticket);
        let next = held.range((Bound::Excluded(ticket), Bound::Unbounded)).find(waits);
        let next = next.or_else(|| held.range(..ticket).rev().find(waits));
        self.cursor = next.map(|(ticket, _)| *ticket).or(self.cursor);
    }

    /// The cursor stays on its message while others come and go.
    pub(crate) fn frame(&mut self, held: &AllHeld, height: usize) {
        self.height = height;
        self.cursor = self.selected(held).map(|held| held.ticket);
        self.sent.retain(|ticket| held.contains_key(ticket));
        self.top = window(self.top, self.position(held), held.len(), height);
    }
}
