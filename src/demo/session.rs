//! One client's conversation with the demo server, whatever carries it: JSON-RPC in, JSON-RPC out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::call::{DemoPeer, RpcError, ToolCall};
use super::options::ServerOptions;
use super::{SERVER_NAME, tools};

/// Newest first; the first is offered to a client that asks for something else (lifecycle, revision 2025-11-25).
pub(super) const PROTOCOLS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// The reply to a request, as JSON on one line; `None` where the client took the request back.
pub(super) type ReplyFuture = BoxFuture<'static, Option<String>>;

/// What outlives a single request.
pub(super) struct DemoSession {
    pub(super) client: Arc<DemoPeer>,
    /// Ends all work without an answer.
    stop: CancellationToken,
    /// Requests of the client that are being worked on, by id.
    running: Mutex<HashMap<String, CancellationToken>>,
}

impl DemoSession {
    pub(super) fn new(options: ServerOptions, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { client: Arc::new(DemoPeer::new(options, stop.child_token())), stop, running: Mutex::default() })
    }

    /// Takes one message of the client. A request gives the work that answers it, whose own messages go to `out`;
    /// everything else is done at once.
    pub(super) fn receive(self: &Arc<Self>, message: &Value, out: mpsc::Sender<String>) -> Option<ReplyFuture> {
        let id = message.get("id").filter(|id| !id.is_null());
        match (message.get("method").and_then(Value::as_str), id) {
            (Some(method), Some(id)) => Some(self.answer(method, id, message.get("params"), out)),
            (Some("notifications/cancelled"), None) => {
                let id = message["params"]["requestId"].to_string();
                if let Some(work) = self.running.lock().get(&id) {
                    work.cancel();
                }
                None
            }
            (None, Some(id)) => {
                self.client.complete(id, message);
                None
            }
            _ => None,
        }
    }

    fn answer(
        self: &Arc<Self>,
        method: &str,
        id: &Value,
        params: Option<&Value>,
        out: mpsc::Sender<String>,
    ) -> ReplyFuture {
        let cancelled = self.stop.child_token();
        // Now, not in the future: a cancellation that follows must find it.
        self.running.lock().insert(id.to_string(), cancelled.clone());
        let running = RunningRequest { session: self.clone(), id: id.to_string() };
        let (method, id, params) = (method.to_owned(), id.clone(), params.cloned().unwrap_or_default());
        Box::pin(async move {
            let progress_token = params["_meta"].get("progressToken").cloned();
            let call = ToolCall { client: running.session.client.clone(), out, progress_token };
            let reply = tokio::select! {
                biased;
                () = cancelled.cancelled() => return None,
                result = dispatch(&call, &method, &params) => reply(&id, result),
            };
            Some(reply)
        })
    }
}

/// Forgets a request when its work ends or is dropped.
struct RunningRequest {
    session: Arc<DemoSession>,
    id: String,
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.session.running.lock().remove(&self.id);
    }
}

fn reply(id: &Value, result: Result<Value, RpcError>) -> String {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(RpcError { code, message }) => error_object(id, code, &message),
    }
    .to_string()
}

fn error_object(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// An error reply to something that has no usable id.
pub(super) fn error_without_id(code: i64, message: &str) -> String {
    error_object(&Value::Null, code, message).to_string()
}

async fn dispatch(call: &ToolCall, method: &str, params: &Value) -> Result<Value, RpcError> {
    match method {
        "initialize" => Ok(initialize(call, params)),
        "ping" | "logging/setLevel" => Ok(json!({})),
        "tools/list" => Ok(tools::list()),
        "tools/call" => tools::call(call, params).await,
        "resources/list" => Ok(tools::list_resources()),
        "resources/templates/list" => Ok(json!({"resourceTemplates": []})),
        "resources/read" => tools::read_resource(params),
        "prompts/list" => Ok(tools::list_prompts()),
        "prompts/get" => tools::get_prompt(params),
        // So answers a server of this era to the probes of the next (`server/discover`).
        _ => Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "Method not found")),
    }
}

fn initialize(call: &ToolCall, params: &Value) -> Value {
    let samples = params["capabilities"].get("sampling").is_some();
    call.client.samples.store(samples, Ordering::Relaxed);
    let asked = params["protocolVersion"].as_str().unwrap_or_default();
    let protocol = PROTOCOLS.into_iter().find(|known| *known == asked).unwrap_or(PROTOCOLS[0]);
    json!({
        "protocolVersion": protocol,
        "capabilities": {
            "logging": {},
            "prompts": {},
            "resources": {"listChanged": true},
            "tools": {},
        },
        "serverInfo": {"name": SERVER_NAME, "title": "tapline demo", "version": "1.0.0"},
        "instructions": "A travel desk that knows three cities and always has the same weather.",
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::demo::call::STREAM_LIMIT;

    struct Rig {
        session: Arc<DemoSession>,
        out: mpsc::Sender<String>,
        told: mpsc::Receiver<String>,
    }

    fn rig() -> Rig {
        let (out, told) = mpsc::channel(STREAM_LIMIT);
        Rig { session: DemoSession::new(ServerOptions::default(), CancellationToken::new()), out, told }
    }

    impl Rig {
        /// Sends a request; its answer waits to be awaited.
        fn request(&self, method: &str, params: &Value) -> ReplyFuture {
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            self.session.receive(&message, self.out.clone()).expect("a request is answered")
        }

        async fn ask(&self, method: &str, params: Value) -> Value {
            let reply = self.request(method, &params).await.expect("nobody took it back");
            serde_json::from_str(&reply).expect("a reply is JSON")
        }

        /// Sends what needs no answer.
        fn notify(&self, message: &Value) {
            assert!(self.session.receive(message, self.out.clone()).is_none(), "{message} is no request");
        }

        async fn next_told(&mut self) -> Value {
            let message = self.told.recv().await.expect("the rig holds a sender");
            serde_json::from_str(&message).expect("a message is JSON")
        }
    }

    #[tokio::test]
    async fn initialize_agrees_on_the_asked_revision_or_the_newest() {
        for (asked, given) in [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"), ("2026-07-28", "2025-11-25")]
        {
            let reply = rig().ask("initialize", json!({"protocolVersion": asked, "capabilities": {}})).await;
            assert_eq!(reply["result"]["protocolVersion"], given);
        }
    }

    #[tokio::test]
    async fn error_codes_are_those_of_the_specification() {
        let tool = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
        for (method, params, code) in [
            ("server/discover", json!({}), -32601),
            ("tools/call", tool("fly", json!({})), -32602),
            ("tools/call", tool("get_forecast", json!({"city": 7})), -32602),
            ("tools/call", json!({}), -32602),
            ("resources/read", json!({"uri": "file:///etc/passwd"}), -32002),
            ("prompts/get", json!({"name": "none"}), -32602),
        ] {
            let reply = rig().ask(method, params.clone()).await;
            assert_eq!(reply["error"]["code"], code, "{method} {params}");
        }
    }

    #[tokio::test]
    async fn tool_failure_is_a_result() {
        for (name, arguments) in [
            ("get_forecast", json!({"city": "Atlantis"})),
            ("read_file", json!({"path": "/etc/passwd"})),
            ("summarize", json!({"path": "/trips/oslo.md"})),
            ("book_flight", json!({"flight": "TP204", "date": "2026-02-29", "passenger": "Bo"})),
        ] {
            let reply = rig().ask("tools/call", json!({"name": name, "arguments": arguments})).await;
            assert_eq!(reply["result"]["isError"], true, "{name}: {reply}");
        }
    }

    #[tokio::test]
    async fn cancelled_request_is_not_answered() {
        let mut rig = rig();
        let follow = json!({"name": "tail_log", "arguments": {"follow": true}});
        let work = tokio::spawn(rig.request("tools/call", &follow));
        assert_eq!(rig.next_told().await["method"], "notifications/message");
        rig.notify(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}));
        assert_eq!(work.await.expect("it does not panic"), None);
        assert!(rig.session.running.lock().is_empty());
    }

    #[tokio::test]
    async fn sampling_waits_for_the_reply_to_its_own_question() {
        let mut rig = rig();
        rig.ask("initialize", json!({"capabilities": {"sampling": {}}})).await;
        let summarize = json!({"name": "summarize", "arguments": {"path": "/trips/oslo.md"}});
        let mut work = Box::pin(rig.request("tools/call", &summarize));
        assert!(work.as_mut().now_or_never().is_none());
        let question = rig.next_told().await;
        rig.notify(&json!({"jsonrpc": "2.0", "id": "other", "result": {}}));
        assert!(work.as_mut().now_or_never().is_none());
        rig.notify(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"content": {"text": "brief"}}}));
        let reply = work.await.expect("nobody took it back");
        assert!(reply.contains(r#""text":"brief""#), "{reply}");
        assert!(rig.session.client.asked.lock().is_empty());
    }

    #[tokio::test]
    async fn dropped_question_is_forgotten() {
        let mut rig = rig();
        rig.ask("initialize", json!({"capabilities": {"sampling": {}}})).await;
        let summarize = json!({"name": "summarize", "arguments": {"path": "/trips/oslo.md"}});
        let mut work = Box::pin(rig.request("tools/call", &summarize));
        assert!(work.as_mut().now_or_never().is_none());
        rig.next_told().await;
        drop(work);
        assert!(rig.session.client.asked.lock().is_empty() && rig.session.running.lock().is_empty());
    }
}
