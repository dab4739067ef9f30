//! The demo's MCP server: what it is configured with, and its two front doors.

pub use super::http::serve;
pub use super::options::{Scenario, ServerOptions};
pub use super::stdio::serve_stdio;
