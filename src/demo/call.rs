//! The client as a tool of the demo server meets it: what it may be sent, asked and told while the tool works.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::options::ServerOptions;

/// Unsent messages of one stream. A sender waits where it is full.
pub(super) const STREAM_LIMIT: usize = 64;

/// What a tool may do while it works.
pub(super) struct ToolCall {
    pub(super) client: Arc<DemoPeer>,
    /// The stream of this request.
    pub(super) out: mpsc::Sender<String>,
    /// `progressToken` of the request's `_meta`, where the client wants to hear of progress.
    pub(super) progress_token: Option<Value>,
}

/// The client of one session.
pub(super) struct DemoPeer {
    pub(super) options: ServerOptions,
    /// Ends the waiting for the client, and no other work.
    pub(super) is_gone: CancellationToken,
    /// Whether it offers sampling.
    pub(super) samples: AtomicBool,
    /// Requests to the client that have no reply yet, by id.
    pub(super) asked: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    asked_so_far: AtomicU64,
    /// Where messages go that belong to no request: the GET stream, or the pipe.
    unrelated: Mutex<Option<mpsc::Sender<String>>>,
}

/// A JSON-RPC error that a call of the demo ends with.
#[derive(Debug)]
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
}

impl RpcError {
    pub(super) const METHOD_NOT_FOUND: i64 = -32601;
    pub(super) const INVALID_PARAMS: i64 = -32602;
    pub(super) const INTERNAL: i64 = -32603;
    /// Up to revision 2025-11-25.
    pub(super) const RESOURCE_NOT_FOUND: i64 = -32002;

    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl DemoPeer {
    pub(super) fn new(options: ServerOptions, is_gone: CancellationToken) -> Self {
        Self {
            options,
            is_gone,
            samples: AtomicBool::new(false),
            asked: Mutex::default(),
            asked_so_far: AtomicU64::new(0),
            unrelated: Mutex::default(),
        }
    }

    /// Hands the reply of the client to the tool that asked.
    pub(super) fn complete(&self, id: &Value, reply: &Value) {
        if let Some(asked) = self.asked.lock().remove(&id.to_string()) {
            // The one who asked may have been cancelled meanwhile.
            let _ = asked.send(reply.clone());
        }
    }

    /// Opens the way for messages that belong to no request; `None` where one is open.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<String>> {
        let mut unrelated = self.unrelated.lock();
        if unrelated.as_ref().is_some_and(|sender| !sender.is_closed()) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(STREAM_LIMIT);
        *unrelated = Some(sender);
        Some(receiver)
    }

    /// Uses `sender` for messages that belong to no request.
    pub(super) fn speak_to(&self, sender: mpsc::Sender<String>) {
        *self.unrelated.lock() = Some(sender);
    }

    /// Sends the client a notification that belongs to no request. Lost where no stream is open, as the protocol has it.
    pub(super) fn notify(&self, method: &str) {
        if let Some(sender) = &*self.unrelated.lock() {
            let _ = sender.try_send(json!({"jsonrpc": "2.0", "method": method}).to_string());
        }
    }
}

impl ToolCall {
    /// Sends a notification that belongs to this request, after the pause that makes streams watchable.
    pub(super) async fn notify(&self, method: &str, params: Value) {
        tokio::time::sleep(self.client.options.pace).await;
        self.send(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Asks the client, and waits for as long as it takes.
    pub(super) async fn ask(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        let number = self.client.asked_so_far.fetch_add(1, Ordering::Relaxed) + 1;
        let id = Value::from(format!("s{number}"));
        let (sender, reply) = oneshot::channel();
        self.client.asked.lock().insert(id.to_string(), sender);
        let _forget = OpenAsk { client: &self.client, id: id.to_string() };
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        let reply = self.client.is_gone.run_until_cancelled(reply).await;
        let Some(Ok(mut reply)) = reply else {
            return Err(RpcError::new(RpcError::INTERNAL, "the client is gone"));
        };
        match reply.get("error") {
            Some(error) => Err(RpcError::new(RpcError::INTERNAL, format!("the client refused: {}", error["message"]))),
            None => Ok(reply["result"].take()),
        }
    }

    /// Whether the client said that it can sample.
    pub(super) fn client_samples(&self) -> bool {
        self.client.samples.load(Ordering::Relaxed)
    }

    async fn send(&self, message: Value) {
        // A client that hung up still gets its work done: in this era, that is no cancellation.
        let _ = self.out.send(message.to_string()).await;
    }
}

/// Forgets a question whose asker was dropped.
struct OpenAsk<'a> {
    client: &'a DemoPeer,
    id: String,
}

impl Drop for OpenAsk<'_> {
    fn drop(&mut self) {
        self.client.asked.lock().remove(&self.id);
    }
}
