//! The paths that tapline serves itself, beside those it passes through.

/// The endpoint of Streamable HTTP.
pub(in crate::proxy) const ENDPOINT: &str = "/mcp";

/// The event stream of HTTP+SSE (revision 2024-11-05).
pub(in crate::proxy) const STREAM: &str = "/sse";

/// Where clients of HTTP+SSE post, unless their server says otherwise.
pub(in crate::proxy) const MESSAGES: &str = "/message";
