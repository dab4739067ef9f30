//! What keys do: the one table, and the look-ups in it.

mod context;
mod lookup;
mod palette;
mod table;

pub(crate) use context::KeyContext;
pub(crate) use lookup::{bindings, contexts_below, hints, meaning, screens, why_not};
pub(crate) use palette::{PaletteRow, command, palette};
#[cfg(test)]
pub(crate) use table::BINDINGS;
pub(crate) use table::{Action, ExportForm};
