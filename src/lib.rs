//! tapline: an interactive terminal debugging proxy for the Model Context Protocol.

pub mod demo;
pub mod envelope;
pub mod event;
pub mod filter;
pub mod intercept;
pub mod message;
pub mod sse;
pub mod tape;
pub mod ui;
pub mod upstream;
