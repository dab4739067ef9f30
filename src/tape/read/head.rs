//! The head of a message's line as we write it: what a list asks of it stands before the message itself.

use memchr::memmem;

use crate::mcp::method;
use crate::message::Kind;
use crate::tape::format::MESSAGE;

/// The head of a line ends before this, in bytes: method and name may be long.
const HEAD: usize = 512;

/// What the head of a line says.
pub(in crate::tape) struct MessageHead<'a> {
    /// Microseconds from the start of the session.
    pub(in crate::tape) at: u64,
    pub(in crate::tape) kind: &'a str,
    /// The tool, of a call of one.
    pub(in crate::tape) tool: Option<&'a str>,
    /// An HTTP status of an error stands there.
    pub(in crate::tape) has_error_status: bool,
}

impl<'a> MessageHead<'a> {
    /// Nothing where the line is not as we write it, and has to be read.
    pub(in crate::tape) fn of(line: &'a [u8]) -> Option<Self> {
        if !line.starts_with(MESSAGE) || !line.ends_with(b"}") {
            return None;
        }
        let head = &line[..line.len().min(HEAD)];
        let after = |key: &str| memmem::find(head, key.as_bytes()).map(|at| &head[at + key.len()..]);
        let word = |key: &str| {
            let rest = after(key)?;
            let end = memchr::memchr2(b'"', b'\\', rest)?;
            std::str::from_utf8(&rest[..end]).ok().filter(|_| rest[end] == b'"')
        };
        let (at, kind) = (after(r#","at":"#)?, word(r#","kind":""#)?);
        let digits = at.iter().take_while(|byte| byte.is_ascii_digit());
        let at = digits.fold(0_u64, |value, digit| value.saturating_mul(10) + u64::from(digit - b'0'));
        let is_call = kind == Kind::Request.word() && word(r#","method":""#) == Some(method::TOOLS_CALL);
        let tool = word(r#","name":""#).filter(|_| is_call);
        if is_call && tool.is_none() {
            return None;
        }
        let has_error_status = after(r#","status":"#).is_some_and(|it| it.first() >= Some(&b'4'));
        Some(Self { at, kind, tool, has_error_status })
    }
}
