//! Spans, as a collector on loopback gets them.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tapline::event::{Level, OnQuit};
use tapline::otlp::Section;
use tapline::variables::Headers;

use crate::support::{Client, Exchange, Rig, Server, settings};

/// A tapline that tells the collector.
async fn telling(upstream: &str, collector: &Server) -> Rig {
    let section = Section {
        endpoint: Some(format!("http://{}", collector.address())),
        headers: Headers {
            headers: vec![(HeaderName::from_static("api-key"), HeaderValue::from_static("opensesame"))],
            has_inline_secret: false,
        },
        service_name: Some("desk".to_owned()),
    };
    let mut settings = settings(upstream);
    settings.otlp = Some(section.settings().unwrap());
    Rig::start(settings).await
}

fn play(exchange: &Exchange) -> String {
    let message = exchange.message();
    let end = match message["params"]["name"].as_str().unwrap_or_default() {
        "fails" => r#""result":{"content":[],"isError":true}"#,
        "errs" => r#""error":{"code":-32602,"message":"no such city"}"#,
        _ => r#""result":{"content":[]}"#,
    };
    format!(r#"{{"jsonrpc":"2.0","id":{},{end}}}"#, message["id"])
}

fn spans(request: &Value) -> &Vec<Value> {
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap()
}

/// The value of an attribute.
fn attribute<'a>(of: &'a Value, key: &str) -> &'a Value {
    let attributes = of["attributes"].as_array().unwrap();
    let value = attributes.iter().find(|it| it["key"] == key).map_or(&Value::Null, |it| &it["value"]);
    value.get("stringValue").or(value.get("intValue")).unwrap_or(&Value::Null)
}

async fn call(client: &mut Client, id: &str, tool: &str, meta: &Value) {
    let params = json!({"name": tool, "arguments": {}, "_meta": meta});
    let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
    client.call(call.to_string()).await;
}

async fn ping(client: &mut Client, times: usize) {
    for id in 0..times {
        client.call(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).await;
    }
}

#[tokio::test]
async fn spans_continue_the_trace_of_the_client() {
    let mut collector = Server::start().await;
    let rig = telling(&Server::answering(play).await, &collector).await;
    let mut client = rig.client().await;
    client.initialize().await;
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let within = json!({"traceparent": format!("00-{trace}-{parent}-01"), "tracestate": "vendor=1"});
    call(&mut client, "a", "works", &within).await;
    call(&mut client, "b", "fails", &json!({"traceparent": "nonsense"})).await;
    call(&mut client, "c", "errs", &json!({})).await;
    client.call(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let session = rig.session(1).await;
    let quitting = tokio::spawn(rig.quit(OnQuit::Forward));

    let exchange = collector.next().await;
    assert!(exchange.head.start.starts_with("POST /v1/traces "), "{:?}", exchange.head.start);
    let header = |name| exchange.head.get(name);
    assert_eq!((header("content-type"), header("api-key")), (Some("application/json"), Some("opensesame")));
    let request = exchange.message();
    exchange.json("{}").await;
    quitting.await.unwrap();
    assert!(collector.is_idle(), "all of it was in one batch");

    assert_eq!(attribute(&request["resourceSpans"][0]["resource"], "service.name"), "desk");
    let spans = spans(&request);
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["initialize", "tools/call works", "tools/call fails", "tools/call errs"]);
    let (works, fails, errs) = (&spans[1], &spans[2], &spans[3]);
    assert_eq!(
        (&works["traceId"], &works["parentSpanId"], &works["traceState"]),
        (&json!(trace), &json!(parent), &json!("vendor=1"))
    );
    assert!(fails.get("parentSpanId").is_none() && fails["traceId"] != works["traceId"]);
    assert_eq!(attribute(works, "mcp.tool"), "works");
    assert_eq!(
        (attribute(works, "rpc.system"), attribute(works, "rpc.method")),
        (&json!("jsonrpc"), &json!("tools/call"))
    );
    assert_eq!(attribute(works, "mcp.session"), &json!(session.short()));
    assert_eq!(
        (attribute(works, "jsonrpc.request.id"), attribute(works, "network.transport")),
        (&json!("a"), &json!("tcp"))
    );
    assert_eq!((&works["status"]["code"], &works["kind"]), (&json!(0), &json!(2)));
    assert_eq!((&fails["status"]["code"], attribute(fails, "error.type")), (&json!(2), &json!("tool_error")));
    assert_eq!((&errs["status"]["message"], attribute(errs, "error.type")), (&json!("no such city"), &json!("-32602")));
    let mut ids: Vec<_> = spans.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    for span in spans {
        let nanos = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        let (start, end) = (nanos("startTimeUnixNano"), nanos("endTimeUnixNano"));
        assert!(start <= end && start > 1_700_000_000_000_000_000, "{span}");
    }
}

#[tokio::test]
async fn span_of_an_unanswered_request_is_sent() {
    let (mut collector, mut server) = (Server::start().await, Server::start().await);
    let rig = telling(&server.url(), &collector).await;
    let mut client = rig.client().await;
    client.post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    let unanswered = server.next().await;
    let quitting = tokio::spawn(rig.quit(OnQuit::Forward));
    let exchange = collector.next().await;
    let request = exchange.message();
    exchange.json("{}").await;
    quitting.await.unwrap();
    let spans = spans(&request);
    assert_eq!((spans.len(), &spans[0]["name"], &spans[0]["status"]["code"]), (1, &json!("tools/list"), &json!(2)));
    drop(unanswered);
}

#[tokio::test]
async fn export_is_retried_after_503() {
    let mut collector = Server::start().await;
    let rig = telling(&Server::answering(play).await, &collector).await;
    ping(&mut rig.client().await, 512).await;
    let first = collector.next().await;
    let sent = first.body.clone();
    first.answer("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let second = collector.next().await;
    assert_eq!((spans(&second.message()).len(), &second.body), (512, &sent));
    second.json("{}").await;
    assert_eq!(rig.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn export_failure_is_reported_once() {
    let mut collector = Server::start().await;
    let rig = telling(&Server::answering(play).await, &collector).await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        ping(&mut client, 512).await;
        let refused = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        collector.next().await.answer(refused).await;
    }
    let line = rig.line(Level::Warn, "spans are lost").await;
    assert!(line.source == "otlp" && line.text.contains("HTTP 400"), "{line:?}");
    assert!(!line.text.contains("opensesame"));
    // The third batch goes out when all is said of the second; and what passes now is told after that.
    ping(&mut client, 512).await;
    let third = collector.next().await;
    ping(&mut client, 1).await;
    rig.passed(2 * (3 * 512 + 1)).await;
    assert_eq!(rig.complaints().len(), 1);
    drop(third);
}

#[test]
fn invalid_collector_url_is_refused_at_start() {
    let mut command = crate::support::binary::command();
    command.args([
        "run",
        "--headless",
        "--no-record",
        "--otlp",
        "127.0.0.1:4318",
        "--upstream",
        "http://127.0.0.1:1/mcp",
    ]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`--otlp`: `127.0.0.1:4318` is not the URL of a collector"), "{said}");
}
