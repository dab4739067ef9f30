//! The one way in: what a key, a signal or an event does to the model.

use ratatui::layout::Rect;

use super::model::{Change, Effect, Model};
use super::{act, layout};

/// Makes of the model what is to be seen of it now, before it is drawn; returns what is to be done outside.
pub(crate) fn before_drawing(model: &mut Model, area: Rect) -> Vec<Effect> {
    act::renew(model);
    layout::fit(model, area);
    model.take_effects()
}

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
