//! Just enough of a Streamable HTTP client (revision 2025-11-25) for the demo's story.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::session::PROTOCOLS;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// How long the server may take to end a session.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why an exchange failed below JSON-RPC.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("cannot reach the server: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("HTTP status {status}: {body}")]
    Refused { status: u16, body: String },
    #[error("the server does not speak MCP: {0}")]
    Broken(String),
}

/// A session with a server. Clones share it.
#[derive(Clone)]
pub(super) struct Wire {
    http: reqwest::Client,
    url: Arc<str>,
    headers: HeaderMap,
    server: Arc<str>,
    next_id: Arc<AtomicU64>,
    /// Listens for what the server says unasked, as every client does; the demo's has no use for it.
    _listener: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Wire {
    /// Initializes a session, and opens the stream for what the server says unasked.
    pub(super) async fn open(url: &str) -> Result<Self, WireError> {
        // The demo talks to this machine: a proxy of the environment would only be in the way.
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut wire = Self {
            http,
            url: url.into(),
            headers: HeaderMap::new(),
            server: "".into(),
            next_id: Arc::default(),
            _listener: None,
        };
        wire.initialize().await?;
        wire.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        let stream = wire.builder(Method::GET).header(ACCEPT, "text/event-stream").send().await?;
        let drained = tokio::spawn(async move {
            let mut messages = Messages::of(stream);
            while let Ok(Some(_)) = messages.next().await {}
        });
        wire._listener = Some(Arc::new(AbortOnDropHandle::new(drained)));
        Ok(wire)
    }

    async fn initialize(&mut self) -> Result<(), WireError> {
        let params = json!({
            "protocolVersion": PROTOCOLS[0],
            "capabilities": {"sampling": {}},
            "clientInfo": {"name": "tapline-demo-client", "version": "1.0.0"},
        });
        let mut messages = self.request(self.next_id(), "initialize", params).await?;
        let session = messages.response.headers().get(SESSION_ID).cloned();
        let reply = messages.reply().await?;
        let result = &reply["result"];
        let (Some(protocol), Some(server)) =
            (result["protocolVersion"].as_str(), result["serverInfo"]["name"].as_str())
        else {
            return Err(WireError::Broken(format!("`initialize` was answered with {reply}")));
        };
        let version = HeaderValue::from_str(protocol).map_err(|_| WireError::Broken(format!("protocol {protocol}")))?;
        self.headers.insert(PROTOCOL_VERSION, version);
        self.headers.extend(session.map(|session| (SESSION_ID, session)));
        self.server = server.into();
        Ok(())
    }

    /// The name that the server gives of itself.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn protocol(&self) -> &str {
        self.headers.get(PROTOCOL_VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default()
    }

    /// An id that no request had.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request.
    pub(super) async fn request(&self, id: u64, method: &str, params: Value) -> Result<Messages, WireError> {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Ok(Messages::of(self.post(&message).await?))
    }

    /// Takes a request back.
    pub(super) async fn cancel(&self, id: u64, reason: &str) -> Result<(), WireError> {
        let params = json!({"requestId": id, "reason": reason});
        let message = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        self.post(&message).await.map(|_| ())
    }

    /// Sends any message.
    pub(super) async fn post(&self, message: &Value) -> Result<Response, WireError> {
        let request = self.builder(Method::POST).header(CONTENT_TYPE, "application/json");
        let request = request.header(ACCEPT, "application/json, text/event-stream");
        let response = request.body(message.to_string()).send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(WireError::Refused { status: status.as_u16(), body: response.text().await.unwrap_or_default() })
    }

    /// Ends the session; a server that is gone already does not mind, and one that hangs is not waited for.
    pub(super) async fn close(&self) {
        drop(timeout(GOODBYE, self.builder(Method::DELETE).send()).await);
    }

    fn builder(&self, method: Method) -> RequestBuilder {
        self.http.request(method, &*self.url).headers(self.headers.clone())
    }
}

/// The messages of a response: of an event stream each event, else the body.
pub(super) struct Messages {
    response: Response,
    is_stream: bool,
    lines: Vec<u8>,
    ready: VecDeque<Value>,
    /// The lines of `data` of the event that is being read.
    data: String,
}

impl Messages {
    fn of(response: Response) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_stream = content_type.is_some_and(|kind| kind.starts_with("text/event-stream"));
        Self { response, is_stream, lines: Vec::new(), ready: VecDeque::new(), data: String::new() }
    }

    /// The next message where there must be one: the reply has not come yet.
    pub(super) async fn reply(&mut self) -> Result<Value, WireError> {
        self.next().await?.ok_or_else(|| WireError::Broken("the stream ended without a reply".to_owned()))
    }

    /// `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, WireError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            let Some(chunk) = self.response.chunk().await? else {
                return self.rest();
            };
            self.lines.extend_from_slice(&chunk);
            if self.is_stream {
                self.read_lines()?;
            }
        }
    }

    /// What is left at the end: the body where it is one message, else an event that was cut off and does not count.
    fn rest(&mut self) -> Result<Option<Value>, WireError> {
        let rest = std::mem::take(&mut self.lines);
        if self.is_stream || rest.trim_ascii().is_empty() {
            return Ok(None);
        }
        parse(&String::from_utf8_lossy(&rest)).map(Some)
    }

    /// Server-sent events (WHATWG HTML §9.2), of which only `data` matters here.
    fn read_lines(&mut self) -> Result<(), WireError> {
        while let Some(end) = memchr::memchr(b'\n', &self.lines) {
            let line: Vec<u8> = self.lines.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
                self.data.push('\n');
            } else if line.is_empty() && !self.data.trim().is_empty() {
                self.ready.push_back(parse(&self.data)?);
                self.data.clear();
            }
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Value, WireError> {
    serde_json::from_str(text).map_err(|error| WireError::Broken(format!("{error}: {text}")))
}
