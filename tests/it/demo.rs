//! The demo's server with its own client, with a bare HTTP client, and with a real MCP client (rmcp).

use std::time::Duration;

use clap::Parser as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientConfig, GetPromptRequestParams, ReadResourceRequestParams,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RequestContext, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientHandler, ErrorData, ServiceExt as _};
use serde_json::{Value, json};
use tapline::cli::Cli;
use tapline::demo::client::{self, Exchange};
use tapline::demo::server::{Scenario, ServerOptions, serve, serve_stdio};
use tapline::demo::{GOODBYE, HOLD_FILTER};
use tapline::filter::Filter;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A running demo server; ends when dropped.
struct Desk {
    url: String,
    stop: CancellationToken,
    server: AbortOnDropHandle<()>,
}

async fn desk(options: ServerOptions) -> Desk {
    // Where another test was first, its provider does as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("it is bound"));
    let stop = CancellationToken::new();
    let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, options, stop.clone())));
    Desk { url, stop, server }
}

fn find<'a>(exchanges: &'a [Exchange], name: &str) -> Vec<&'a Exchange> {
    exchanges.iter().filter(|exchange| exchange.name.as_deref() == Some(name)).collect()
}

fn text(exchange: &Exchange) -> &str {
    let reply = exchange.reply.as_ref().expect("it was answered");
    reply["result"]["content"][0]["text"].as_str().expect("the result is a text")
}

#[tokio::test]
async fn script_covers_every_feature() {
    let desk = desk(ServerOptions::default()).await;
    let exchanges = client::script(&desk.url).await.expect("the script runs");
    let indexed = find(&exchanges, "index_documents")[0];
    let progress: Vec<&Value> = indexed.told.iter().map(|message| &message["params"]["progress"]).collect();
    assert_eq!(progress, [1, 2, 3]);
    let summarized = find(&exchanges, "summarize")[0];
    assert_eq!(summarized.told[0]["method"], "sampling/createMessage");
    assert!(text(summarized).starts_with("Rise early"), "{summarized:?}");
    let followed = find(&exchanges, "tail_log")[0];
    assert_eq!((followed.told.len(), &followed.reply), (4, &None));
    let [wrong_day, wrong_flight] = find(&exchanges, "book_flight")[..] else {
        panic!("{exchanges:?}");
    };
    assert!(text(wrong_day).contains("does not fly on 2026-02-29"), "{wrong_day:?}");
    assert_eq!(wrong_day.reply.as_ref().expect("it was answered")["result"]["isError"], true);
    assert_eq!(wrong_flight.reply.as_ref().expect("it was answered")["error"]["code"], -32602);
}

#[tokio::test]
async fn script_is_deterministic_until_the_server_changes() {
    let (first, second) = (desk(ServerOptions::default()).await, desk(ServerOptions::default()).await);
    let changed = desk(ServerOptions { scenario: Scenario::Changed, ..ServerOptions::default() }).await;
    let original = client::script(&first.url).await.expect("the script runs");
    assert_eq!(original, client::script(&second.url).await.expect("the script runs"));
    let others = client::script(&changed.url).await.expect("the script runs");
    let differing: Vec<_> = original.iter().zip(&others).filter(|(a, b)| a != b).map(|(a, _)| &a.name).collect();
    assert_eq!(differing, [&Some("get_forecast".to_owned())]);
}

#[tokio::test]
async fn paced_client_runs_until_stopped() {
    let desk = desk(ServerOptions::default()).await;
    let stop = CancellationToken::new();
    let mut lines = Vec::new();
    client::run(&desk.url, Duration::ZERO, stop.clone(), |line| {
        lines.push(line.to_owned());
        if lines.len() == 40 {
            stop.cancel();
        }
    })
    .await
    .expect("the server is there");
    assert_eq!(lines[0], "initialize: tapline-demo speaks 2025-11-25");
    assert!(lines.iter().any(|line| line.starts_with("tools/call book_flight: failed: TP204")), "{lines:?}");
    assert!(lines.iter().any(|line| line == "tools/call tail_log: cancelled"), "{lines:?}");
}

#[test]
fn goodbye_names_existing_commands() {
    let commands: Vec<&str> = GOODBYE.lines().map(str::trim).filter(|line| line.starts_with("tapline ")).collect();
    assert_eq!(commands.len(), 3);
    for command in commands {
        Cli::try_parse_from(command.split(' ')).unwrap_or_else(|error| panic!("`{command}`: {error}"));
    }
}

#[test]
fn hold_filter_parses() {
    Filter::parse(HOLD_FILTER).expect("the demo's own filter is one");
}

#[tokio::test]
async fn client_without_a_server_says_so() {
    let desk = desk(ServerOptions::default()).await;
    desk.stop.cancel();
    desk.server.await.expect("it does not panic");
    let error = client::script(&desk.url).await.expect_err("nobody is there");
    assert!(error.to_string().starts_with("cannot reach the server"), "{error}");
}

#[tokio::test]
async fn http_server_follows_the_specification() {
    let desk = desk(ServerOptions::default()).await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a provider is installed");
    let send = async |method: reqwest::Method, headers: &[(&str, &str)], body: &str| {
        let request =
            headers.iter().fold(http.request(method, &desk.url), |it, (name, value)| it.header(*name, *value));
        let response = request.body(body.to_owned()).send().await.expect("the server answers");
        let session = response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        (response.status().as_u16(), session, response.text().await.expect("the body is text"))
    };
    let post = reqwest::Method::POST;
    let json = ("content-type", "application/json");
    let both = ("accept", "application/json, text/event-stream");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2026-07-28","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;
    let (status, session, body) = send(post.clone(), &[json, both], initialize).await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""protocolVersion":"2025-11-25""#), "{body}");
    let session = session.expect("a session has an id");
    let here = ("mcp-session-id", session.as_str());
    for (headers, body, expected) in [
        (&[json, both, here][..], ping, 200),
        (&[json, both, here], r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, 202),
        (&[json, both, here], r#"{"jsonrpc":"2.0","id":"s1","result":{}}"#, 202),
        (&[json, both], ping, 400),
        (&[json, both, ("mcp-session-id", "other")], ping, 404),
        (&[json, both, here, ("mcp-protocol-version", "2026-07-28")], ping, 400),
        (&[json, both, here], "{", 400),
        (&[json, both, here], "[]", 400),
        (&[json, here, ("accept", "application/json")], ping, 406),
        (&[both, here], ping, 415),
        (&[json, both, here, ("origin", "https://example.com")], ping, 403),
        (&[json, both, here, ("origin", "http://localhost:3000")], ping, 200),
    ] {
        let (status, _, answer) = send(post.clone(), headers, body).await;
        assert_eq!(status, expected, "{headers:?} {body}: {answer}");
    }
    assert_eq!(send(reqwest::Method::PUT, &[here], "").await.0, 405);
    assert_eq!(send(reqwest::Method::GET, &[here], "").await.0, 406);
    let stream = http.get(&desk.url).header("mcp-session-id", &session).header("accept", "text/event-stream");
    let stream = stream.send().await.expect("the server answers");
    assert_eq!(stream.status(), 200);
    assert_eq!(send(reqwest::Method::GET, &[here, both], "").await.0, 409);
    assert_eq!(send(reqwest::Method::DELETE, &[here], "").await.0, 200);
    assert_eq!(stream.text().await.expect("it ends with its session"), "");
    assert_eq!(send(post, &[json, both, here], ping).await.0, 404);
}

/// A client whose model always says the same.
struct Sampler;

#[expect(deprecated, reason = "sampling goes with revision 2026-07-28; servers before it still ask for it")]
impl ClientHandler for Sampler {
    fn get_info(&self) -> ClientConfig {
        let info = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"sampling": {}},
            "clientInfo": {"name": "sampler", "version": "0"},
        });
        serde_json::from_value(info).expect("this is a client's introduction")
    }

    async fn create_message(
        &self,
        _: rmcp::model::CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<rmcp::model::CreateMessageResult, ErrorData> {
        let said = json!({"role": "assistant", "content": {"type": "text", "text": "short"}, "model": "m"});
        Ok(serde_json::from_value(said).expect("this is a sampled message"))
    }
}

async fn call(client: &RunningService<RoleClient, Sampler>, tool: &'static str, arguments: Value) -> CallToolResult {
    let Value::Object(arguments) = arguments else {
        panic!("{arguments} is not an object");
    };
    let params = CallToolRequestParams::new(tool).with_arguments(arguments);
    client.call_tool(params).await.unwrap_or_else(|error| panic!("{tool}: {error}"))
}

/// Uses all that the server has.
async fn use_everything(client: &RunningService<RoleClient, Sampler>) {
    let tools: Vec<String> = client
        .list_all_tools()
        .await
        .expect("tools are listed")
        .into_iter()
        .map(|tool| tool.name.into_owned())
        .collect();
    let calls = [
        ("get_forecast", json!({"city": "Oslo"}), r#"{"city":"Oslo","days":[{"day":"today","sky":"sun","high":-3}"#),
        ("search_flights", json!({"from": "Oslo", "to": "Lisbon"}), r#"[{"flight":"TP204""#),
        (
            "book_flight",
            json!({"flight": "TP204", "date": "2026-03-02", "passenger": "Bo"}),
            "Booked: TP204 on 2026-03-02",
        ),
        ("read_file", json!({"path": "/trips/oslo.md"}), "# Oslo"),
        ("index_documents", json!({}), "3 documents indexed"),
        ("summarize", json!({"path": "/trips/oslo.md"}), "short"),
        ("tail_log", json!({}), "4 lines"),
    ];
    assert_eq!(tools, calls.iter().map(|(tool, ..)| *tool).collect::<Vec<_>>());
    for (tool, arguments, begins) in calls {
        let result = call(client, tool, arguments).await;
        let text = &result.content[0].as_text().expect("the result is a text").text;
        assert!(text.starts_with(begins), "{tool}: {text}");
        assert_ne!(result.is_error, Some(true), "{tool}");
    }
    let resources = client.list_all_resources().await.expect("resources are listed");
    assert_eq!(resources.len(), 3);
    for resource in resources {
        client.read_resource(ReadResourceRequestParams::new(resource.uri.clone())).await.expect("it can be read");
    }
    assert_eq!(client.list_all_prompts().await.expect("prompts are listed")[0].name, "packing_list");
    let Value::Object(arguments) = json!({"city": "Oslo"}) else { unreachable!("it is an object") };
    let prompt = GetPromptRequestParams::new("packing_list").with_arguments(arguments);
    client.get_prompt(prompt).await.expect("it can be got");
    client.call_tool(CallToolRequestParams::new("fly")).await.expect_err("there is no such tool");
}

#[tokio::test]
async fn rmcp_client_works_over_http() {
    let desk = desk(ServerOptions::default()).await;
    let transport = StreamableHttpClientTransport::from_uri(desk.url.clone());
    let client = Sampler.serve(transport).await.expect("it initializes");
    use_everything(&client).await;
    client.cancel().await.expect("it ends well");
}

#[tokio::test]
async fn rmcp_modern_client_falls_back_to_legacy() {
    let desk = desk(ServerOptions::default()).await;
    let transport = StreamableHttpClientTransport::from_uri(desk.url.clone());
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![rmcp::model::ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    let client = Sampler.serve_with_lifecycle(transport, lifecycle).await.expect("it initializes");
    use_everything(&client).await;
}

#[tokio::test]
async fn rmcp_client_works_over_pipes() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(theirs);
    let server = tokio::spawn(serve_stdio(reader, writer, ServerOptions::default()));
    let client = Sampler.serve(ours).await.expect("it initializes");
    use_everything(&client).await;
    client.cancel().await.expect("it ends well");
    server.await.expect("it does not panic").expect("it ends well");
}

#[tokio::test]
async fn stdio_server_answers_all_before_eof() {
    let (mut input, reader) = tokio::io::duplex(1 << 16);
    let (writer, output) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(serve_stdio(reader, writer, ServerOptions::default()));
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}"#,
        "",
        "not json",
        r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"tail_log","arguments":{"follow":true}}}"#,
    ];
    input.write_all((lines.join("\r\n") + "\n").as_bytes()).await.expect("it reads");
    drop(input);
    let mut answers = Vec::new();
    let mut output = BufReader::new(output).lines();
    while let Some(line) = output.next_line().await.expect("it writes lines") {
        answers.push(line);
    }
    server.await.expect("it does not panic").expect("it ends well");
    for expected in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
        r#"{"jsonrpc":"2.0","id":"p","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"4 lines"}]}}"#,
    ] {
        assert!(answers.iter().any(|line| line == expected), "{expected} in {answers:?}");
    }
}
