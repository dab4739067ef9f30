//! The screen: reads events, writes commands, knows nothing else of the core.

pub mod diff;
pub mod json;
pub mod text;
