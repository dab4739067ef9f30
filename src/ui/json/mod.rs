//! JSON as a tree of rows that fold, for bodies of any size and depth, valid or not.
//!
//! [`JsonTree`] indexes where values are and keeps no copy of them: keys and values are read from the body when their
//! row is drawn. What is not JSON becomes lines of text. Everything in a row is sanitized.

mod decode;
mod embedded;
mod index;
mod rows;
mod scan;
mod splice;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use decode::unquote;
pub(crate) use embedded::{fold, pretty_marked, unfold, unmark};
pub use rows::{JsonCell, JsonRow};
pub use scan::{JsonFault, check, pretty};
pub(crate) use splice::{compact, splice};
pub use tree::{Folds, JsonTree};
