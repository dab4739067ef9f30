//! tapline: an interactive terminal debugging proxy for the Model Context Protocol.

pub mod demo;
pub mod envelope;
pub mod event;
pub mod filter;
pub mod intercept;
pub mod journal;
pub mod message;
pub mod proxy;
pub mod sse;
pub mod tape;
pub mod ui;
pub mod upstream;
