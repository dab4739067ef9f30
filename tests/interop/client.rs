//! A client of the Rust SDK. Writes all that its application could see as lines of JSON, for `driver.mjs` to compare.
//!
//! A role of the test binary (`tests/it/support/child.rs`), with these words:
//!
//! ```text
//! legacy|auto stdio COMMAND...
//! legacy|auto http URL
//! ```
#![expect(
    deprecated,
    reason = "sampling and its like are deprecated by 2026-07-28, and used by those who speak what came before"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ClientRequest, CreateMessageRequestParams,
    CreateMessageResult, CustomNotification, ElicitRequestParams, ElicitResult, Implementation, ListRootsResult,
    LoggingMessageNotificationParam, ProgressNotificationParam, ProtocolVersion, ResourceUpdatedNotificationParam,
    SubscriptionFilter, TaskStatusNotificationParams,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService, Subscription};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, ErrorData, RoleClient, ServiceError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// How long anything may take; longer than any of the calls does.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a call goes on before it is cancelled.
const ENOUGH: Duration = Duration::from_millis(400);
const SOON: Duration = Duration::from_millis(1500);
/// What the other SDKs' clients hand to the servers that they launch: some tools tell the environment.
const HANDED_ON: [&str; 6] = ["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

/// The client's whole life.
pub(crate) fn run(words: &[String], out: File) {
    drop(rustls::crypto::ring::default_provider().install_default());
    // On one thread the SDK's tasks take their turns in the order of what they are about.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let notes = Notes::default();
        let [mode, transport, target @ ..] = words else { panic!("usage: legacy|auto stdio|http TARGET") };
        let client = connect(mode, transport, target, notes.clone()).await;
        Conversation { client, notes, out, calls: calls() }.hold().await;
    });
}

fn calls() -> Value {
    serde_json::from_str(include_str!("calls.json")).unwrap()
}

async fn connect(mode: &str, transport: &str, target: &[String], notes: Notes) -> Running {
    let lifecycle = match mode {
        "legacy" => ClientLifecycleMode::Initialize,
        _ => {
            ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::V_2026_07_28], legacy_version: None }
        }
    };
    if transport == "http" {
        let transport = StreamableHttpClientTransport::from_uri(target[0].as_str());
        return notes.serve_with_lifecycle(transport, lifecycle).await.unwrap();
    }
    let mut command = tokio::process::Command::new(&target[0]);
    let handed_on = HANDED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.args(&target[1..]).env_clear().envs(handed_on);
    let transport = TokioChildProcess::builder(command).stderr(Stdio::null()).spawn().unwrap().0;
    notes.serve_with_lifecycle(transport, lifecycle).await.unwrap()
}

type Running = RunningService<RoleClient, Notes>;

/// What the server says of its own accord, and answers to what it asks.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// During one call.
    asked: Vec<Value>,
    /// During all of them: the SDK may tell it after the reply. Of a call that is given up, how much there is is chance.
    progress: Vec<String>,
    aside: BTreeMap<String, Vec<Value>>,
}

impl Notes {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    fn answer<T: DeserializeOwned>(&self, method: &str, params: &Value, kind: &str) -> T {
        self.seen().asked.push(json!({"method": method, "params": params}));
        serde_json::from_value(calls()["answers"][kind].clone()).unwrap()
    }

    fn hear(&self, key: impl Into<String>, params: Value) {
        self.seen().aside.entry(key.into()).or_default().push(params);
    }

    fn heard(&self) -> usize {
        self.seen().aside.values().map(Vec::len).sum()
    }
}

impl ClientHandler for Notes {
    fn get_info(&self) -> ClientConfig {
        let capabilities =
            json!({"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {"listChanged": true}});
        let capabilities: ClientCapabilities = serde_json::from_value(capabilities).unwrap();
        ClientConfig::new(capabilities, Implementation::new("interop", "1.0.0"))
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(self.answer("sampling/createMessage", &json!(params), "sampling"))
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(self.answer("elicitation/create", &json!(params), "elicitation"))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Ok(self.answer("roots/list", &Value::Null, "roots"))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let told = json!([params.progress, params.total, params.message]).to_string();
        self.seen().progress.push(told);
    }

    async fn on_logging_message(&self, params: LoggingMessageNotificationParam, _: NotificationContext<RoleClient>) {
        self.hear(format!("message {}", params.logger.as_deref().unwrap_or_default()), json!(params));
    }

    async fn on_resource_updated(&self, params: ResourceUpdatedNotificationParam, _: NotificationContext<RoleClient>) {
        self.hear("resources/updated", json!(params));
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.hear("resources/list_changed", Value::Null);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.hear("tools/list_changed", Value::Null);
    }

    async fn on_prompt_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.hear("prompts/list_changed", Value::Null);
    }

    async fn on_task_status(&self, params: TaskStatusNotificationParams, _: NotificationContext<RoleClient>) {
        self.hear("tasks/status", json!(params));
    }

    async fn on_custom_notification(&self, notification: CustomNotification, _: NotificationContext<RoleClient>) {
        self.hear(notification.method, json!(notification.params));
    }
}

struct Conversation {
    client: Running,
    notes: Notes,
    out: File,
    calls: Value,
}

/// What is known of the server.
struct Server {
    modern: bool,
    capabilities: Value,
    uris: Vec<Value>,
}

impl Server {
    fn offers(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some()
    }
}

impl Conversation {
    async fn hold(mut self) {
        let info = json!(self.client.peer_info().map(|info| json!(*info)));
        self.write("connected", &json!({"info": info}));
        let server = Server {
            modern: info["protocolVersion"].as_str().is_some_and(|version| version >= "2026"),
            uris: self.uris(&info),
            capabilities: info["capabilities"].clone(),
        };
        self.begin(&server).await;
        let tools = names(&self.ask("tools/list", "tools/list", json!({})).await["tools"]);
        self.look_around(&server).await;
        for name in &tools {
            if self.calls["later"].get(name).is_none() {
                let arguments = self.calls["arguments"].get(name).cloned().unwrap_or(json!({}));
                self.call(name, &arguments).await;
            }
        }
        self.subscribe(&server, &tools).await;
        let after = self.ask("tools/list afterwards", "tools/list", json!({})).await;
        self.write("tools afterwards", &json!({"tools": names(&after["tools"])}));
        self.tell_progress().await;
        self.cancel(&tools).await;
        self.be_refused(&server).await;
        self.end().await;
    }

    async fn begin(&mut self, server: &Server) {
        // A server may ask for the roots first, and learn what to offer.
        let notes = self.notes.clone();
        until(Duration::from_millis(700), || !notes.seen().asked.is_empty()).await;
        sleep(Duration::from_millis(100)).await;
        let asked = std::mem::take(&mut self.notes.seen().asked);
        self.write("asked at the start", &json!({"asked": asked}));
        if !server.modern {
            self.ask("ping", "ping", Value::Null).await;
            self.ask("logging/setLevel", "logging/setLevel", json!({"level": "debug"})).await;
        }
        // Whether this is heard is a race of the client's: its listening stream against what makes the server say it.
        self.notes.seen().aside.remove("tools/list_changed");
    }

    async fn look_around(&mut self, server: &Server) {
        if server.offers("prompts") {
            for name in names(&self.ask("prompts/list", "prompts/list", json!({})).await["prompts"]) {
                let arguments = self.calls["prompts"].get(&name).cloned().unwrap_or(json!({}));
                let params = json!({"name": name, "arguments": arguments});
                self.ask(&format!("prompts/get {name}"), "prompts/get", params).await;
            }
        }
        if server.offers("resources") {
            for method in ["resources/list", "resources/templates/list"] {
                self.ask(method, method, json!({})).await;
            }
            for uri in &server.uris {
                self.ask(&format!("resources/read {uri}"), "resources/read", json!({"uri": uri})).await;
            }
        }
        if server.offers("completions") {
            let reference = json!({"type": "ref/prompt", "name": "completable-prompt"});
            let params = json!({"ref": reference, "argument": {"name": "department", "value": "E"}});
            self.ask("completion/complete", "completion/complete", params).await;
        }
    }

    async fn subscribe(&mut self, server: &Server, tools: &[String]) {
        let uri = server.uris.first().cloned().unwrap_or_default();
        if !server.modern && server.capabilities["resources"]["subscribe"] == true {
            self.ask("resources/subscribe", "resources/subscribe", json!({"uri": uri})).await;
        }
        let listening = if server.modern { self.listen(&uri).await } else { None };
        let notes = self.notes.clone();
        for name in self.named("subscribed", tools) {
            let before = notes.heard();
            self.call(&name, &json!({"uri": uri})).await;
            until(SOON, || notes.heard() > before).await;
        }
        if let Some(listening) = listening {
            listening.abort();
            drop(listening.await);
        }
    }

    async fn tell_progress(&mut self) {
        sleep(Duration::from_millis(100)).await;
        let mut progress = std::mem::take(&mut self.notes.seen().progress);
        progress.sort();
        self.write("progress", &json!({"progress": progress}));
    }

    async fn be_refused(&mut self, server: &Server) {
        self.call("no such tool", &json!({})).await;
        if server.offers("resources") {
            self.ask("resources/read test://missing", "resources/read", json!({"uri": "test://missing"})).await;
        }
        self.ask("unknown method", "interop/unknown", json!({"n": 1})).await;
    }

    async fn end(mut self) {
        sleep(Duration::from_millis(150)).await;
        let aside = std::mem::take(&mut self.notes.seen().aside);
        for (key, values) in aside {
            self.write("heard", &json!({"key": key, "values": values}));
        }
        timeout(PATIENCE, self.client.cancel()).await.unwrap().unwrap();
        write(&mut self.out, "closed", &json!({}));
    }

    fn uris(&self, info: &Value) -> Vec<Value> {
        let server = info["serverInfo"]["name"].as_str().unwrap_or_default();
        self.calls["resources"][server].as_array().cloned().unwrap_or_default()
    }

    fn write(&mut self, what: &str, value: &Value) {
        write(&mut self.out, what, value);
    }

    /// Those of a list in `calls.json` that the server has.
    fn named(&self, list: &str, tools: &[String]) -> Vec<String> {
        let named: Vec<String> = match &self.calls[list] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            names => names.as_object().unwrap().keys().cloned().collect(),
        };
        named.into_iter().filter(|name| tools.contains(name)).collect()
    }

    /// A request and its outcome; gives the result.
    async fn ask(&mut self, what: &str, method: &str, params: Value) -> Value {
        let request = json!({"method": method, "params": params});
        let request: ClientRequest = serde_json::from_value(request).unwrap();
        let outcome = timeout(PATIENCE, self.client.peer().send_request(request)).await;
        self.tell(what, outcome.map(|result| result.map(|result| json!(result))))
    }

    /// A call, and all its rounds.
    async fn call(&mut self, name: &str, arguments: &Value) -> Value {
        let outcome = timeout(PATIENCE, self.client.call_tool(params(name, arguments))).await;
        self.tell(&format!("tools/call {name}"), outcome.map(|result| result.map(|result| json!(result))))
    }

    fn tell(&mut self, what: &str, outcome: Result<Result<Value, ServiceError>, tokio::time::error::Elapsed>) -> Value {
        let asked = std::mem::take(&mut self.notes.seen().asked);
        match outcome {
            Ok(Ok(result)) => {
                self.write(what, &json!({"asked": asked, "result": result}));
                return result;
            }
            Ok(Err(ServiceError::McpError(error))) => self.write(what, &json!({"asked": asked, "error": error})),
            Ok(Err(error)) => self.write(what, &json!({"asked": asked, "failed": error.to_string()})),
            Err(_) => self.write(what, &json!({"asked": asked, "failed": "no answer"})),
        }
        Value::Null
    }

    /// Hears what comes on a subscription until it is aborted, which cancels it.
    async fn listen(&mut self, uri: &Value) -> Option<tokio::task::JoinHandle<()>> {
        let filter = json!({"toolsListChanged": true, "resourceSubscriptions": [uri]});
        let filter: SubscriptionFilter = serde_json::from_value(filter).unwrap();
        match timeout(PATIENCE, self.client.peer().listen(filter)).await.unwrap() {
            Ok(subscription) => {
                self.write("subscriptions/listen", &json!({"honored": subscription.acknowledged()}));
                Some(tokio::spawn(hear(subscription, self.notes.clone())))
            }
            Err(error) => {
                self.write("subscriptions/listen", &json!({"failed": error.to_string()}));
                None
            }
        }
    }

    /// Calls that are given up, and what the server knows of that.
    async fn cancel(&mut self, tools: &[String]) {
        for name in self.named("cancelled", tools) {
            let call = self.client.peer().call_tool_once(params(&name, &self.calls["cancelled"][&name]));
            let outcome = timeout(ENOUGH, call).await;
            self.write(&format!("cancelled {name}"), &json!({"in time": outcome.is_err()}));
        }
        if tools.iter().any(|name| name == "cancelled") {
            let mut count = Value::Null;
            let counted = async {
                loop {
                    let result = self.client.call_tool(params("cancelled", &json!({}))).await.unwrap();
                    count = json!(result)["content"][0]["text"].clone();
                    if count != "0" {
                        return;
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            };
            drop(timeout(SOON, counted).await);
            self.write("cancelled calls that the server knows of", &json!({"count": count}));
        }
    }
}

fn write(out: &mut File, what: &str, value: &Value) {
    let mut line = json!({"what": what});
    line.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    writeln!(out, "{line}").unwrap();
}

fn names(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|it| it["name"].as_str()).map(str::to_owned).collect()
}

fn params(name: &str, arguments: &Value) -> CallToolRequestParams {
    let meta = json!({"io.modelcontextprotocol/logLevel": "debug"});
    serde_json::from_value(json!({"name": name, "arguments": arguments, "_meta": meta})).unwrap()
}

async fn hear(mut subscription: Subscription, notes: Notes) {
    while let Ok(Some(notification)) = subscription.next().await {
        let notification = json!(notification);
        let method = notification["method"].as_str().unwrap_or_default().to_owned();
        notes.hear(method.trim_start_matches("notifications/"), notification["params"].clone());
    }
}

/// Waits until it is true, for a while.
async fn until(patience: Duration, mut is_true: impl FnMut() -> bool) {
    let waiting = async {
        while !is_true() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    drop(timeout(patience, waiting).await);
}
