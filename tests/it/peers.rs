//! A real client and a real server, of another make, who must not notice that somebody stands between them.
#![expect(deprecated, reason = "sampling is deprecated by 2026-07-28, and used by those who speak what came before")]

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ContentBlock,
    CreateMessageRequestParams, CreateMessageResult, Implementation, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ProtocolVersion, SamplingMessage, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{NotificationContext, RequestContext, RunningService};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt as _, ErrorData, RoleClient, RoleServer, ServerHandler,
    ServiceExt as _,
};
use serde_json::{Value, json};
use tapline::app::Settings;
use tapline::event::{Event, SessionState};
use tokio::sync::watch;

use crate::support::child::role;
use crate::support::{Rig, binary, command, soon};

#[derive(Clone)]
struct Tools;

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("tools", "1.2.3"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({"type": "object"}).as_object().cloned().unwrap();
        let tool = |name| Tool::new(name, "a tool", Arc::new(schema.clone()));
        Ok(ListToolsResult::with_all_items(["echo", "count", "ask", "fail", "refuse", "pid"].map(tool).to_vec()))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = match call.name.as_ref() {
            "echo" => json!(call.arguments).to_string(),
            "count" => count(&context).await,
            "ask" => ask(&context).await,
            "pid" => std::process::id().to_string(),
            "fail" => return Ok(CallToolResult::error(vec![ContentBlock::text("it failed")]).into()),
            _ => return Err(ErrorData::invalid_params("no such tool", Some(json!({"name": call.name})))),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

async fn count(context: &RequestContext<RoleServer>) -> String {
    let token = context.meta.get_progress_token().expect("rmcp sends one with every request");
    for step in 1..=3 {
        let progress = ProgressNotificationParam::new(token.clone(), f64::from(step)).with_total(3.0);
        context.peer.notify_progress(progress).await.unwrap();
    }
    "counted".to_owned()
}

async fn ask(context: &RequestContext<RoleServer>) -> String {
    let params = CreateMessageRequestParams::new(vec![SamplingMessage::user_text("well?")], 16);
    match context.peer.create_message(params).await {
        Ok(answer) => json!(answer).to_string(),
        Err(error) => error.to_string(),
    }
}

/// The client: notes what it is told, answers what it is asked.
#[derive(Clone)]
pub(crate) struct Host {
    progress: watch::Sender<Vec<String>>,
}

impl ClientHandler for Host {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::builder().enable_sampling().build(), Implementation::new("host", "3.2.1"))
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let text = format!("asked {} times", params.messages.len());
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text(text), "model".to_owned()))
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.send_modify(|seen| seen.push(format!("{:?} of {:?}", params.progress, params.total)));
    }
}

pub(crate) type Running = RunningService<RoleClient, Host>;

/// How a client and a server find each other's language.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Era {
    Legacy,
    Modern,
}

impl Era {
    fn lifecycle(self) -> ClientLifecycleMode {
        match self {
            Self::Legacy => ClientLifecycleMode::Initialize,
            Self::Modern => ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
        }
    }
}

fn host() -> Host {
    Host { progress: watch::Sender::new(Vec::new()) }
}

pub(crate) async fn over_http(url: &str, era: Era) -> Running {
    drop(rustls::crypto::ring::default_provider().install_default());
    let transport = StreamableHttpClientTransport::from_uri(url);
    soon("a session", host().serve_with_lifecycle(transport, era.lifecycle())).await.unwrap()
}

async fn over_stdio(era: Era) -> Running {
    let words = role("rmcp");
    let mut command = tokio::process::Command::new(&words[0]);
    command.args(&words[1..]);
    over_command(command, era).await
}

/// In front of the tapes, launched as their server would be.
pub(crate) async fn over_mock_stdio(tapes: &[PathBuf], era: Era) -> Running {
    let mut command = tokio::process::Command::from(binary::command());
    command.arg("mock").args(tapes).args(["--stdio", "--no-record"]);
    over_command(command, era).await
}

/// In front of a server that it launches.
pub(crate) async fn over_command(command: tokio::process::Command, era: Era) -> Running {
    let transport = TokioChildProcess::new(command).unwrap();
    soon("a session", host().serve_with_lifecycle(transport, era.lifecycle())).await.unwrap()
}

/// Serves the tools on a free port; gives the URL.
pub(crate) async fn serve_http(sessions: bool, json: bool) -> String {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(sessions)
        .with_json_response(json)
        .with_sse_keep_alive(None);
    let service: StreamableHttpService<Tools, LocalSessionManager> =
        StreamableHttpService::new(|| Ok(Tools), Arc::default(), config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().nest_service("/mcp", service);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/mcp")
}

/// Serves the tools at `/mcp` on this port for as long as the process lives.
pub(crate) fn serve_http_on(port: u16) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let config = StreamableHttpServerConfig::default().with_sse_keep_alive(None);
        let service: StreamableHttpService<Tools, LocalSessionManager> =
            StreamableHttpService::new(|| Ok(Tools), Arc::default(), config);
        axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await.unwrap();
    });
}

/// Serves the tools over stdin and this file until stdin ends.
pub(crate) fn serve_stdio(out: File) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Tools.serve((tokio::io::stdin(), tokio::fs::File::from_std(out))).await;
        if let Ok(server) = server {
            drop(server.waiting().await);
        }
    });
}

/// Everything a client can see of a server, in order.
pub(crate) async fn transcript(client: Running, era: Era) -> Vec<Value> {
    let mut seen = vec![json!(client.peer_info().map(|info| json!(*info)))];
    seen.push(json!(soon("tools", client.list_all_tools()).await.unwrap()));
    for tool in ["echo", "count", "ask", "fail", "refuse"] {
        // Requests of the server have gone from revision 2026-07-28.
        if tool == "ask" && era == Era::Modern {
            continue;
        }
        let arguments = json!({"n": 12_345_678_901_234_567_u64, "text": "é\u{0}"}).as_object().cloned().unwrap();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        seen.push(match soon("an answer", client.call_tool(call)).await {
            Ok(result) => json!(result),
            Err(error) => json!(format!("{error:?}")),
        });
    }
    let mut progress = client.service().progress.subscribe();
    let progress = soon("progress", progress.wait_for(|seen| seen.len() == 3)).await.unwrap().clone();
    seen.push(json!(progress));
    soon("the end", client.cancel()).await.unwrap();
    seen
}

/// The transcripts must be the same and say something.
pub(crate) fn compare(direct: &[Value], through: &[Value]) {
    assert_eq!(direct, through);
    let all = json!(direct).to_string();
    for what in ["tools", "12345678901234567", "it failed", "no such tool", "3.0 of Some(3.0)"] {
        assert!(all.contains(what), "{what} is not in {all}");
    }
}

#[tokio::test]
async fn rmcp_over_http_is_unchanged() {
    for (sessions, json, era) in [
        (true, false, Era::Legacy),
        (true, true, Era::Legacy),
        (false, false, Era::Modern),
        (false, true, Era::Modern),
        (true, false, Era::Modern),
    ] {
        let url = serve_http(sessions, json).await;
        let rig = Rig::before(&url).await;
        let direct = transcript(over_http(&url, era).await, era).await;
        let through = transcript(over_http(rig.url(), era).await, era).await;
        compare(&direct, &through);
        assert_eq!(json!(direct).to_string().contains("asked 1 times"), era == Era::Legacy, "{direct:?}");
        assert_eq!(rig.complaints(), Vec::<String>::new());
        knows_both(&rig).await;
    }
}

#[tokio::test]
async fn rmcp_over_a_pipe_is_unchanged() {
    let words = role("rmcp");
    for era in [Era::Legacy, Era::Modern] {
        let rig = Rig::strict(Settings::new(command(&words.iter().map(String::as_str).collect::<Vec<_>>()))).await;
        let direct = transcript(over_stdio(era).await, era).await;
        let through = transcript(over_http(rig.url(), era).await, era).await;
        compare(&direct, &through);
        assert_eq!(rig.complaints(), Vec::<String>::new());
        knows_both(&rig).await;
    }
}

/// Who speaks is known of the session, from the handshake or without one.
async fn knows_both(rig: &Rig) {
    let known = rig.event("both peers", |event| match event {
        Event::SessionChanged(session) if session.client.is_some() && session.server.is_some() => Some(session.clone()),
        _ => None,
    });
    let session = known.await;
    assert_eq!(session.state, SessionState::Active);
    let names = [&session.client, &session.server].map(|peer| peer.as_ref().unwrap().name.as_str());
    assert_eq!(names, ["host", "tools"]);
}

#[tokio::test]
async fn legacy_clients_get_a_child_each() {
    const CLIENTS: usize = 4;
    let words = role("rmcp");
    let rig = Rig::strict(Settings::new(command(&words.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    let clients = futures_util::future::join_all((0..CLIENTS).map(|_| over_http(rig.url(), Era::Legacy))).await;
    let mut pids = Vec::new();
    for client in &clients {
        let pid = || async { json!(client.call_tool(CallToolRequestParams::new("pid")).await.unwrap()).to_string() };
        let (first, again) = tokio::join!(pid(), pid());
        assert_eq!(first, again, "one client, one child");
        pids.push(first);
    }
    pids.sort();
    pids.dedup();
    assert_eq!(pids.len(), CLIENTS);
    rig.session(CLIENTS).await;
    let ends = clients.into_iter().map(|client| transcript(client, Era::Legacy));
    for seen in futures_util::future::join_all(ends).await {
        assert!(json!(seen).to_string().contains("asked 1 times"), "{seen:?}");
    }
    // rmcp ends its sessions with DELETE.
    for nth in 1..=CLIENTS {
        assert_eq!(rig.closed(rig.session(nth).await).await, "the client ended it");
    }
}

#[tokio::test]
async fn modern_clients_share_a_child_unnoticed() {
    let words = role("rmcp");
    let rig = Rig::strict(Settings::new(command(&words.iter().map(String::as_str).collect::<Vec<_>>()))).await;
    let direct = transcript(over_stdio(Era::Modern).await, Era::Modern).await;
    let through = (0..4).map(|_| async { transcript(over_http(rig.url(), Era::Modern).await, Era::Modern).await });
    for through in futures_util::future::join_all(through).await {
        compare(&direct, &through);
    }
    let sessions =
        rig.until("a session", |log| Some(log.iter().filter(|it| matches!(it, Event::SessionOpened(_))).count()));
    assert_eq!(sessions.await, 1);
}

#[tokio::test]
async fn many_clients_share_an_http_server() {
    let url = serve_http(true, false).await;
    let rig = Rig::before(&url).await;
    let direct = transcript(over_http(&url, Era::Legacy).await, Era::Legacy).await;
    let through = (0..8).map(|_| async { transcript(over_http(rig.url(), Era::Legacy).await, Era::Legacy).await });
    for through in futures_util::future::join_all(through).await {
        compare(&direct, &through);
    }
    for nth in 1..=8 {
        rig.closed(rig.session(nth).await).await;
    }
}
