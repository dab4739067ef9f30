//! What keys do: the one table, and the look-ups in it.

mod binding;
mod choice;
mod context;
mod lookup;
mod palette;
mod table;

pub(crate) use binding::{Action, ExportForm, KeyBinding};
pub use choice::{KeyChange, KeyMistake, key_choice};
pub(crate) use context::KeyContext;
pub(crate) use lookup::{bindings, contexts_below, first_key, hints, meaning, screens, way_out, why_not, with_keys};
pub(crate) use palette::{PaletteRow, command, palette};
#[cfg(test)]
pub(crate) use table::BINDINGS;
