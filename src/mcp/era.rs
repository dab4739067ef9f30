//! The two eras of the protocol. Revisions up to 2025-11-25 begin with a handshake (`initialize`); from 2026-07-28 on, each
//! message says for itself which revision it follows.

use crate::mcp::meta;
use crate::message::{Kind, Message};

/// Revisions that begin with a handshake. All others are later ones.
pub const LEGACY_REVISIONS: [&str; 5] = ["2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// Revisions without a handshake that tapline knows.
pub const MODERN_REVISIONS: [&str; 1] = ["2026-07-28"];

/// Whether a revision is one without a handshake.
pub fn is_modern_revision(revision: &str) -> bool {
    !LEGACY_REVISIONS.contains(&revision)
}

/// Whether a client's message follows a revision without a handshake (revision 2026-07-28, versioning): a request says so itself, and of
/// a notification, which need not, the `MCP-Protocol-Version` header that came with it says it. A request with the header alone follows
/// no revision at all: a server that shares its pipe among clients would take it for the beginning of a handshake.
pub fn is_modern(message: &Message, header: impl FnOnce() -> Option<String>) -> bool {
    if !matches!(message.kind(), Kind::Request | Kind::Notification) {
        return false;
    }
    let by_header = || header().filter(|_| message.kind() == Kind::Notification);
    meta::protocol_version(message).or_else(by_header).is_some_and(|revision| is_modern_revision(&revision))
}
