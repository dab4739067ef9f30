//! JSON text by value: where a value stands, and where two texts differ.
//!
//! - [`path`]: the one notation for places in a JSON value, and the patterns that name several;
//! - [`diff`]: what differs between two texts, value by value;
//! - [`splice`]: a change that leaves alone what it does not name;
//! - `scalar`: what a string or number token says.
//!
//! Everything works on JSON *text*. Nothing is read into a tree and written out again, so every value that is reported keeps
//! the spelling that its author chose, and no number loses digits.

pub mod diff;
pub mod path;
pub(crate) mod scalar;
pub mod splice;

pub use path::{JsonPath, PathPattern, PathPatternError, PathStep};
