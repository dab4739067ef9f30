//! Just enough of a Streamable HTTP client (revision 2025-11-25) for the demo's story.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::session::PROTOCOLS;
use crate::message::Message;
use crate::net::client::direct_client;
use crate::sse::Splitter;
use crate::upstream::http::is_event_stream;
use crate::upstream::streamable::StreamableSession;

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
    session: StreamableSession,
    server: Arc<str>,
    next_id: Arc<AtomicU64>,
    /// Listens for what the server says unasked, as every client does; the demo's has no use for it.
    _listener: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Wire {
    /// Initializes a session, and opens the stream for what the server says unasked.
    pub(super) async fn open(url: &str) -> Result<Self, WireError> {
        // The demo talks to this machine: a proxy of the environment would only be in the way.
        let http = direct_client().build()?;
        let mut wire = Self {
            http,
            url: url.into(),
            session: StreamableSession::default(),
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
        self.session.note_headers(messages.response.headers());
        let reply = messages.reply().await?;
        let result = &reply["result"];
        self.session.note_result(&Message::new(reply.to_string()));
        let (Some(_), Some(server)) = (&self.session.version, result["serverInfo"]["name"].as_str()) else {
            return Err(WireError::Broken(format!("`initialize` was answered with {reply}")));
        };
        self.server = server.into();
        Ok(())
    }

    /// The name that the server gives of itself.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn protocol(&self) -> &str {
        self.session.version.as_ref().and_then(|version| version.to_str().ok()).unwrap_or_default()
    }

    /// An id that no request had.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends a request and returns the messages of its response as they come, the reply last.
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

    /// Posts a message of any kind and returns the HTTP response.
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
        let _ = timeout(GOODBYE, self.builder(Method::DELETE).send()).await;
    }

    fn builder(&self, method: Method) -> RequestBuilder {
        let mut headers = HeaderMap::new();
        self.session.add_to(&mut headers);
        self.http.request(method, &*self.url).headers(headers)
    }
}

/// The messages of a response: of an event stream each event, else the body.
pub(super) struct Messages {
    response: Response,
    /// Cuts an event stream into events; absent where the response is none.
    events: Option<Splitter>,
    /// What came of a body that is no stream.
    body: Vec<u8>,
    ready: VecDeque<Value>,
}

impl Messages {
    fn of(response: Response) -> Self {
        let events = is_event_stream(response.headers()).then(Splitter::default);
        Self { response, events, body: Vec::new(), ready: VecDeque::new() }
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
                // An event that was cut off does not count.
                let body = std::mem::take(&mut self.body);
                return if body.trim_ascii().is_empty() { Ok(None) } else { parse(&body).map(Some) };
            };
            match &mut self.events {
                Some(events) => {
                    for frame in events.push(chunk) {
                        self.ready.extend(frame.message_data().map(|data| parse(data)).transpose()?);
                    }
                }
                None => self.body.extend_from_slice(&chunk),
            }
        }
    }
}

fn parse(json: &[u8]) -> Result<Value, WireError> {
    let broken = |error| WireError::Broken(format!("{error}: {}", String::from_utf8_lossy(json)));
    serde_json::from_slice(json).map_err(broken)
}
