//! wrap.
pub mod clients;
mod doc;
pub mod edit;
mod entry;
mod jsonc;
mod remote;
mod toml;

pub use doc::{Format, Misread};
