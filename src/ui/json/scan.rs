//! JSON (RFC 8259) as tokens over the raw bytes: nothing is copied, no number is read, and depth costs one bit of heap.

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// Where an editor's text stops to be JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}:{column} {why}")]
pub struct JsonFault {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    pub why: String,
}

/// A piece of JSON by its place in the bytes. Commas and colons are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JsonToken {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    OpenObject,
    OpenArray,
    CloseObject,
    CloseArray,
    /// A string before a colon, quotes included.
    Key,
    /// A string, number, `true`, `false` or `null`.
    Scalar,
}

/// Where bytes stop to be JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanFault {
    pub(crate) at: usize,
    pub(crate) why: String,
}

/// Reads one JSON value. Strict: what it takes to the end is valid JSON, UTF-8 aside.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The containers around, outermost first: whether each is an object.
    open: Vec<bool>,
    expect: Expect,
    /// Where the last key ended; [`Scanner::at`] is behind its colon already.
    key_end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// After `[`: a value or `]` is expected.
    ValueOrClose,
    /// After `{`: a key or `}` is expected.
    KeyOrClose,
    /// After a comma in an object.
    Key,
    CommaOrClose,
    /// Nothing but white space may follow.
    End,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::from(bytes, 0)
    }

    /// Begins at the value at `start`.
    pub(crate) fn from(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, at: start, open: Vec::new(), expect: Expect::Value, key_end: start }
    }

    /// Whether the value is complete; white space or rubbish may still follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.expect == Expect::End
    }

    /// The next token; `None` at the end.
    ///
    /// # Errors
    /// The first byte that does not belong there.
    pub(crate) fn next(&mut self) -> Result<Option<JsonToken>, ScanFault> {
        self.skip_space();
        if self.expect == Expect::CommaOrClose && self.peek() == Some(b',') {
            self.at += 1;
            self.expect = if self.open.last() == Some(&true) { Expect::Key } else { Expect::Value };
            self.skip_space();
        }
        let start = self.at;
        let kind = match (self.expect, self.peek()) {
            (Expect::End, None) => return Ok(None),
            (Expect::End, Some(_)) => return Err(self.fault("something follows the end")),
            (Expect::KeyOrClose | Expect::CommaOrClose, Some(b'}')) => self.close(true)?,
            (Expect::ValueOrClose | Expect::CommaOrClose, Some(b']')) => self.close(false)?,
            (Expect::KeyOrClose | Expect::Key, Some(b'"')) => self.key()?,
            (Expect::Value | Expect::ValueOrClose, Some(byte)) => self.value(byte)?,
            _ => return Err(self.unexpected()),
        };
        let end = if kind == TokenKind::Key { self.key_end } else { self.at };
        Ok(Some(JsonToken { kind, start, end }))
    }

    fn value(&mut self, first: u8) -> Result<TokenKind, ScanFault> {
        match first {
            b'{' => return Ok(self.open(TokenKind::OpenObject, Expect::KeyOrClose)),
            b'[' => return Ok(self.open(TokenKind::OpenArray, Expect::ValueOrClose)),
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word()?,
        }
        self.after_value();
        Ok(TokenKind::Scalar)
    }

    fn open(&mut self, kind: TokenKind, expect: Expect) -> TokenKind {
        self.at += 1;
        self.open.push(kind == TokenKind::OpenObject);
        self.expect = expect;
        kind
    }

    fn close(&mut self, object: bool) -> Result<TokenKind, ScanFault> {
        if self.open.last() != Some(&object) {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.open.pop();
        self.after_value();
        Ok(if object { TokenKind::CloseObject } else { TokenKind::CloseArray })
    }

    fn after_value(&mut self) {
        self.expect = if self.open.is_empty() { Expect::End } else { Expect::CommaOrClose };
    }

    fn key(&mut self) -> Result<TokenKind, ScanFault> {
        self.string()?;
        self.key_end = self.at;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault("expected `:`"));
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(TokenKind::Key)
    }

    fn string(&mut self) -> Result<(), ScanFault> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) else {
                return Err(ScanFault { at: start, why: "this string is never closed".to_owned() });
            };
            self.at += length;
            match rest[length] {
                b'"' => break,
                b'\\' => self.escape()?,
                b'\n' => return Err(ScanFault { at: start, why: "this string is not closed on its line".to_owned() }),
                _ => return Err(self.fault("a control character in a string must be an escape")),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), ScanFault> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault("`\\u` needs four hexadecimal digits"));
                }
                self.at += 6;
            }
            _ => return Err(self.fault("no such escape; a backslash is written `\\\\`")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), ScanFault> {
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(self.fault("a number cannot begin with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanFault> {
        let length = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += length;
        if length == 0 { Err(self.fault("a digit is missing")) } else { Ok(()) }
    }

    fn word(&mut self) -> Result<(), ScanFault> {
        let rest = &self.bytes[self.at..];
        let Some(word) = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes())) else {
            return Err(self.unexpected());
        };
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn unexpected(&self) -> ScanFault {
        let object = self.open.last() == Some(&true);
        self.fault(match (self.expect, self.peek()) {
            (Expect::Value, Some(b']')) | (Expect::Key, Some(b'}')) => "a comma stands before the end",
            (Expect::Value | Expect::ValueOrClose | Expect::End, _) => "expected a value",
            (Expect::KeyOrClose, _) => "expected a key in quotes or `}`",
            (Expect::Key, _) => "expected a key in quotes",
            (Expect::CommaOrClose, _) if object => "expected `,` or `}`",
            (Expect::CommaOrClose, _) => "expected `,` or `]`",
        })
    }

    fn fault(&self, why: &str) -> ScanFault {
        ScanFault { at: self.at, why: why.to_owned() }
    }
}

/// Where the valid string that starts at `start` ends, closing quote included.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(length) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += length + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Where the valid value that starts at `start` ends.
pub(crate) fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut scanner = Scanner::from(bytes, start);
    while !scanner.is_complete() && matches!(scanner.next(), Ok(Some(_))) {}
    scanner.at
}

/// Where the value of the member whose key starts at `key` begins.
pub(crate) fn member_value(bytes: &[u8], key: usize) -> usize {
    let after = string_end(bytes, key);
    let gap = bytes[after..].iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b':'));
    after + gap.unwrap_or_default()
}

/// Whether `text` is one JSON value, for an editor that asks at every key.
///
/// # Errors
/// The first place where it is not.
pub fn check(text: &str) -> Result<(), JsonFault> {
    let mut scanner = Scanner::new(text.as_bytes());
    loop {
        match scanner.next() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(fault) => return Err(place(text, fault)),
        }
    }
}

fn place(text: &str, fault: ScanFault) -> JsonFault {
    let before = String::from_utf8_lossy(&text.as_bytes()[..fault.at]);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    JsonFault { line, column, why: fault.why }
}

/// Deeper than this, lines are no longer indented further: a tower of brackets would else grow with its square.
const MAX_INDENT: usize = 64;

/// JSON with a line for each value, indented by two; every token keeps its spelling. `None` for what is not JSON.
pub fn pretty(raw: &[u8]) -> Option<String> {
    let raw = raw.strip_prefix(BOM).unwrap_or(raw);
    let text = std::str::from_utf8(raw).ok()?;
    let mut scanner = Scanner::new(raw);
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut before = TokenKind::Key;
    while let Some(token) = scanner.next().ok()? {
        let closes = matches!(token.kind, TokenKind::CloseObject | TokenKind::CloseArray);
        let opened = matches!(before, TokenKind::OpenObject | TokenKind::OpenArray);
        depth -= usize::from(closes);
        if !closes && !opened && before != TokenKind::Key {
            out.push(',');
        }
        // An empty container stays on its line, and so does the value of a key.
        if before != TokenKind::Key && !(closes && opened) {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth.min(MAX_INDENT)));
        }
        out.push_str(&text[token.start..token.end]);
        if token.kind == TokenKind::Key {
            out.push_str(": ");
        }
        depth += usize::from(matches!(token.kind, TokenKind::OpenObject | TokenKind::OpenArray));
        before = token.kind;
    }
    Some(out)
}
