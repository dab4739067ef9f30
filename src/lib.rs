//! tapline: an interactive terminal debugging proxy for the Model Context Protocol.

pub mod app;
mod attach;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod envelope;
pub mod event;
pub mod filter;
pub mod headers;
pub mod headless;
pub mod intercept;
pub mod journal;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod otlp;
pub mod program;
pub mod proxy;
pub mod replay;
pub mod sse;
pub mod tape;
pub mod text;
pub mod ui;
pub mod upstream;
mod watch;
pub mod wrap;
