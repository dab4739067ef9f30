//! Clients by hand, blocking, an HTTP/1.1 connection each.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// Nothing that comes at all takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One connection, used again and again.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) session: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    /// The last message of it: all of a JSON body, or the data of the last event.
    pub(crate) fn message(&self) -> io::Result<Value> {
        let last = self.body.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
        let message = serde_json::from_str(last.unwrap_or(&self.body));
        message.map_err(|error| io::Error::other(format!("{error}: {} {}", self.status, self.body)))
    }
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), address })
    }

    /// Sends a request and reads all that answers it. `headers` has whole lines.
    pub(crate) fn ask(&mut self, method_and_path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        self.send(method_and_path, headers, body)?;
        self.answer()
    }

    /// Reads all that answers the request that was sent.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let (mut answer, length) = self.head()?;
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body)?;
            }
            None => while self.chunk(&mut body)? {},
        }
        answer.body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(answer)
    }

    pub(crate) fn send(&mut self, method_and_path: &str, headers: &str, body: &str) -> io::Result<()> {
        let request = format!(
            "{method_and_path} HTTP/1.1\r\nhost: {}\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// The head of a response; `None` in place of a length where it comes in chunks.
    pub(crate) fn head(&mut self) -> io::Result<(Answer, Option<usize>)> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?;
        let (mut answer, mut length) = (Answer { status, session: None, body: String::new() }, Some(0));
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok((answer, length)) };
            match name {
                "content-length" => length = Some(value.trim().parse().map_err(io::Error::other)?),
                "transfer-encoding" => length = None,
                "mcp-session-id" => answer.session = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }

    /// Reads one chunk; `false` when it was the last.
    fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let size = usize::from_str_radix(self.line()?.trim(), 16).map_err(io::Error::other)?;
        let before = body.len();
        body.resize(before + size, 0);
        self.stream.read_exact(&mut body[before..])?;
        self.line()?;
        Ok(size > 0)
    }

    /// The data of the next event of a stream in chunks.
    pub(crate) fn event(&mut self) -> io::Result<String> {
        let mut body = Vec::new();
        while self.chunk(&mut body)? {
            let text = std::str::from_utf8(&body).map_err(io::Error::other)?;
            if text.ends_with("\n\n") {
                let data = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
                if let Some(data) = data {
                    return Ok(data.trim().to_owned());
                }
                body.clear();
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

pub(crate) fn initialize() -> String {
    let client = json!({"name": "faults", "version": "1"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()
}

pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

pub(crate) fn call(id: u64, tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": id}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

/// A client with a session, of revision 2025-11-25.
pub(crate) struct Legacy {
    connection: Connection,
    pub(crate) session: String,
    last_id: u64,
}

impl Legacy {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let mut connection = Connection::open(address)?;
        let answer = connection.ask("POST /mcp", "", &initialize())?;
        let Some(session) = answer.session else { return Err(io::Error::other(format!("no session: {answer:?}"))) };
        let mut client = Self { connection, session, last_id: 0 };
        client.post(INITIALIZED)?;
        Ok(client)
    }

    pub(crate) fn post(&mut self, body: &str) -> io::Result<Answer> {
        let headers = self.headers();
        self.connection.ask("POST /mcp", &headers, body)
    }

    /// Sends a message, and reads nothing.
    pub(crate) fn send(&mut self, body: &str) -> io::Result<()> {
        let headers = self.headers();
        self.connection.send("POST /mcp", &headers, body)
    }

    /// What answers the message that was sent.
    pub(crate) fn answer(&mut self) -> io::Result<Value> {
        self.connection.answer()?.message()
    }

    /// The same, where it may take as long.
    pub(crate) fn answer_within(&mut self, patience: Duration) -> io::Result<Value> {
        let stream = self.connection.stream.get_ref();
        stream.set_read_timeout(Some(patience))?;
        self.answer()
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> io::Result<Value> {
        self.last_id += 1;
        let body = call(self.last_id, tool, arguments);
        self.post(&body)?.message()
    }

    /// The same session on another connection.
    pub(crate) fn beside(&self) -> io::Result<Self> {
        let connection = Connection::open(self.connection.address)?;
        Ok(Self { connection, session: self.session.clone(), last_id: self.last_id })
    }

    /// Connects anew, as after an end of tapline.
    pub(crate) fn reconnect(&mut self) -> io::Result<()> {
        self.connection = Connection::open(self.connection.address)?;
        Ok(())
    }

    pub(crate) fn delete(mut self) -> io::Result<u16> {
        let headers = self.headers();
        Ok(self.connection.ask("DELETE /mcp", &headers, "")?.status)
    }

    fn headers(&self) -> String {
        format!("mcp-session-id: {}\r\nmcp-protocol-version: 2025-11-25\r\n", self.session)
    }
}

/// A call of revision 2026-07-28, which has no sessions.
pub(crate) fn modern(connection: &mut Connection, id: u64, tool: &str, arguments: &Value) -> io::Result<Value> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "faults", "version": "1"},
    });
    let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
    let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string();
    let headers = format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n");
    connection.ask("POST /mcp", &headers, &body)?.message()
}

/// A client of the HTTP+SSE transport.
pub(crate) struct OldSse {
    stream: Connection,
    poster: Connection,
    endpoint: String,
    last_id: u64,
}

impl OldSse {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let (mut stream, poster) = (Connection::open(address)?, Connection::open(address)?);
        stream.send("GET /sse", "", "")?;
        let (answer, _) = stream.head()?;
        if answer.status != 200 {
            return Err(io::Error::other(format!("/sse: {}", answer.status)));
        }
        let endpoint = stream.event()?;
        let mut client = Self { stream, poster, endpoint, last_id: 0 };
        client.exchange(&initialize())?;
        client.post(INITIALIZED)?;
        Ok(client)
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> io::Result<Value> {
        self.last_id += 1;
        self.exchange(&call(self.last_id, tool, arguments))
    }

    fn exchange(&mut self, body: &str) -> io::Result<Value> {
        self.post(body)?;
        serde_json::from_str(&self.stream.event()?).map_err(io::Error::other)
    }

    fn post(&mut self, body: &str) -> io::Result<()> {
        let answer = self.poster.ask(&format!("POST {}", self.endpoint), "", body)?;
        if answer.status == 202 { Ok(()) } else { Err(io::Error::other(format!("{answer:?}"))) }
    }
}
