//! `tapline demo`: a built-in MCP server and a scripted client that talk through a live proxy.
//!
//! Nothing else has to be installed to see tools, progress, streams, sampling, a cancelled call and a failing one.
//! The [`server`] is a real one (revisions 2024-11-05 to 2025-11-25, over Streamable HTTP and stdio); it also stands in
//! for other people's servers in the tests. The [`client`] tells one story again and again. One call of it,
//! [`HOLD_FILTER`], is wrong on purpose and fails unless the visitor edits it while it is held.
//!
//! Everything the server answers is fixed: no clock, no chance. A tape of it replays without a difference.

pub mod client;
pub mod server;

mod call;
mod http;
mod options;
mod session;
mod stdio;
mod tools;
mod wire;

/// What is held in the demo: the booking of a flight on a day that does not exist.
pub const HOLD_FILTER: &str = "~tool book_flight & ~q & ~j .params.arguments.flight = TP204";

/// The name that the server gives of itself.
pub const SERVER_NAME: &str = "tapline-demo";

/// Printed when the demo ends.
pub const GOODBYE: &str = "\
That was a client and a server made of paper. To watch real ones:

  1. put tapline in front of your server, be it a command or a URL:

       tapline run -- npx -y @modelcontextprotocol/server-everything
       tapline run --upstream https://example.com/mcp

  2. give your client the address of tapline instead of the server's:

       http://127.0.0.1:7070/mcp

  3. later, play the recorded client at the server again, and see what has changed:

       tapline replay session.tape.jsonl -- npx -y @modelcontextprotocol/server-everything
";
