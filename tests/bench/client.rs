//! The client: HTTP/1.1 by hand over one kept connection, so that it costs little, and every contender the same.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing here takes long; a contender that hangs ends the benchmark.
const PATIENCE: Duration = Duration::from_secs(20);
/// The least size of the body of a call.
const BODY: usize = 200;
/// Ids have one width, so that a request is made once and only its id is written anew.
const FIRST_ID: u32 = 10_000_000;

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;

/// The tools of our upstream.
pub(crate) const ECHO: &str = "echo";
pub(crate) const BURST: &str = "burst";
pub(crate) const PACED: &str = "paced";
pub(crate) const BULK: &str = "bulk";

/// One keep-alive connection with a session of its own.
pub(crate) struct Client {
    stream: TcpStream,
    address: SocketAddr,
    session: Option<String>,
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    last_id: u32,
}

/// A `tools/call` ready to be sent.
pub(crate) struct Call {
    bytes: Vec<u8>,
    id: usize,
}

#[derive(Default)]
struct Head {
    ok: bool,
    length: usize,
    chunked: bool,
    session: Option<String>,
}

/// The message of a call.
pub(crate) fn message(tool: &str, count: usize, size: usize) -> String {
    let mut body = format!(
        r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"count":{count},"text":""}}}}}}"#
    );
    let padding = "x".repeat(size.max(BODY).saturating_sub(body.len()));
    body.insert_str(body.len() - 4, &padding);
    body
}

impl Client {
    /// Connects and shakes hands, as a client of the revisions with sessions does.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let buffer = vec![0; 64 << 10].into();
        let mut client = Self { stream, address, session: None, buffer, from: 0, to: 0, last_id: FIRST_ID };
        client.session = client.exchange(&client.post(INITIALIZE, ""), |_| {})?.session;
        client.exchange(&client.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, ""), |_| {})?;
        Ok(client)
    }

    /// A call that asks a tool for `count` events or bytes, with a body of `size` bytes, or [`BODY`] where that is more.
    pub(crate) fn prepare(&self, tool: &str, count: usize, size: usize) -> Call {
        self.prepare_with(tool, count, size, "")
    }

    /// A call with more headers, a line each.
    pub(crate) fn prepare_with(&self, tool: &str, count: usize, size: usize, headers: &str) -> Call {
        let body = message(tool, count, size);
        let bytes = self.post(&body, headers);
        let id = bytes.len() - body.len() + body.find(&FIRST_ID.to_string()).unwrap();
        Call { bytes, id }
    }

    /// Sends a call and reads its answer to the end.
    pub(crate) fn call(&mut self, call: &mut Call, on_data: impl FnMut(&[u8])) -> io::Result<()> {
        self.last_id += 1;
        write!(&mut call.bytes[call.id..], "{}", self.last_id)?;
        self.exchange(&call.bytes, on_data).map(drop)
    }

    fn post(&self, body: &str, headers: &str) -> Vec<u8> {
        let session = self.session.as_deref().map(|id| format!("mcp-session-id: {id}\r\n")).unwrap_or_default();
        format!(
            "POST /mcp HTTP/1.1\r\nhost: {}\r\nuser-agent: bench/1\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\nmcp-protocol-version: 2025-11-25\r\n{session}{headers}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .into_bytes()
    }

    fn exchange(&mut self, request: &[u8], mut on_data: impl FnMut(&[u8])) -> io::Result<Head> {
        self.stream.write_all(request)?;
        let head = self.head()?;
        if !head.ok {
            return Err(io::Error::other("a status that is no success"));
        }
        if !head.chunked {
            self.body(head.length, &mut on_data)?;
            return Ok(head);
        }
        loop {
            let size = self.line()?.to_owned();
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            self.body(size, &mut on_data)?;
            self.line()?;
            if size == 0 {
                return Ok(head);
            }
        }
    }

    fn head(&mut self) -> io::Result<Head> {
        let status = self.line()?;
        let mut head = Head { ok: status.contains(" 200 ") || status.contains(" 202 "), ..Head::default() };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(head) };
            match name {
                "content-length" => head.length = value.trim().parse().map_err(io::Error::other)?,
                "transfer-encoding" => head.chunked = true,
                "mcp-session-id" => head.session = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }

    /// One line without its end.
    fn line(&mut self) -> io::Result<&str> {
        let end = loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[self.from..self.to]) {
                break self.from + end;
            }
            self.fill()?;
        };
        let start = std::mem::replace(&mut self.from, end + 1);
        let line = std::str::from_utf8(&self.buffer[start..end]).map_err(io::Error::other)?;
        Ok(line.trim_end_matches('\r'))
    }

    fn body(&mut self, mut left: usize, on_data: &mut impl FnMut(&[u8])) -> io::Result<()> {
        while left > 0 {
            if self.from == self.to {
                self.fill()?;
            }
            let taken = left.min(self.to - self.from);
            on_data(&self.buffer[self.from..self.from + taken]);
            self.from += taken;
            left -= taken;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.from..self.to, 0);
        self.to -= std::mem::take(&mut self.from);
        match self.stream.read(&mut self.buffer[self.to..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.to += count;
                Ok(())
            }
        }
    }
}
