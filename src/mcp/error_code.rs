//! The codes of JSON-RPC errors that tapline makes.

use crate::message::Message;

/// A JSON-RPC error code of tapline. All lie outside -32768..-32000, which JSON-RPC 2.0 (§5.1) and MCP reserve, so that none is
/// taken for the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ErrorCode {
    /// The upstream cannot be reached, or broke off.
    UpstreamFailed = -31000,
    /// The operator or a rule blocked the message.
    Blocked = -31001,
    /// tapline ended while the message was held.
    Ended = -31002,
    /// tapline does not take this request.
    Refused = -31003,
    /// The operator went away while the message was held.
    OperatorLeft = -31004,
    /// A tape that stands in for a peer has no answer to what was asked.
    NotOnTape = -31005,
    /// The client's token is none that is taken here, or lacks a scope.
    Denied = -31010,
    /// A limit of ours is reached.
    LimitReached = -31011,
}

impl ErrorCode {
    const ALL: [Self; 8] = [
        Self::UpstreamFailed,
        Self::Blocked,
        Self::Ended,
        Self::Refused,
        Self::OperatorLeft,
        Self::NotOnTape,
        Self::Denied,
        Self::LimitReached,
    ];

    /// The number on the wire.
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// The code of an error that tapline made; `None` for any other message.
    pub fn of(reply: &Message) -> Option<Self> {
        let code = reply.at(&["error", "code"])?.parse::<i64>().ok()?;
        Self::ALL.into_iter().find(|known| known.number() == code)
    }
}

/// Codes of the protocol itself. tapline gives them where it is the server of the transport, in front of a command, and nowhere else.
pub mod protocol {
    // JSON-RPC 2.0 §5.1.
    pub const PARSE_ERROR: i64 = -32700;
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    // Revisions up to 2025-11-25, resources.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    // Revision 2026-07-28, schema.
    pub const HEADER_MISMATCH: i64 = -32020;
    pub const MISSING_CAPABILITY: i64 = -32021;
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_outside_the_reserved_range_and_known_again() {
        for code in ErrorCode::ALL {
            assert!(!(-32768..=-32000).contains(&code.number()), "{code:?}");
            let reply = Message::error_reply(None, code.number(), "tapline: no", None);
            assert_eq!(ErrorCode::of(&reply), Some(code));
        }
        assert_eq!(ErrorCode::of(&Message::error_reply(None, -32601, "no", None)), None);
    }
}
