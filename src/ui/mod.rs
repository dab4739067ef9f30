//! The screen: reads events, writes commands, knows nothing else of the core.

pub mod json;
pub mod text;
