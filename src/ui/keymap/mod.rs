//! What keys do: the one table, and the look-ups in it.

mod lookup;
mod table;

pub(crate) use lookup::{bindings, contexts_below, hints, meaning};
#[cfg(test)]
pub(crate) use table::BINDINGS;
pub(crate) use table::{Action, KeyContext};
