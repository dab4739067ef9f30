//! The one way in: what a key, a signal or an event does to the model.

use super::act;
use super::model::{Change, Effect, Model};

/// Takes one change in and returns what is to be done outside, in order.
pub(crate) fn update(model: &mut Model, change: Change) -> Vec<Effect> {
    model.mark_dirty(&change);
    match change {
        Change::Input(input) => act::input(model, input),
        Change::Event(event) => act::event(model, *event),
        Change::Dropped(events) => model.on_events_dropped(events),
    }
    model.take_effects()
}
