//! The paths that tapline serves itself, beside those it passes through.

/// The endpoint of Streamable HTTP.
pub const ENDPOINT: &str = "/mcp";

/// The event stream of HTTP+SSE (revision 2024-11-05).
pub const STREAM: &str = "/sse";

/// Where clients of HTTP+SSE post, unless their server says otherwise.
pub const MESSAGES: &str = "/message";
