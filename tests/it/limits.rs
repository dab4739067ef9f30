//! How often clients may ask, over real connections and at a time of the test's choice.

use std::time::Duration;

use serde_json::json;
use tapline::app::Settings;
use tapline::clock::Clock;
use tapline::event::Level;

use crate::support::{Client, LegacySseClient, Response, Rig, Server, settings};

fn limited(settings: Settings, limits: &str) -> (Settings, Clock) {
    #[derive(serde::Deserialize)]
    struct Sections {
        limits: Vec<tapline::limits::Section>,
        #[serde(default)]
        auth: tapline::auth::Section,
    }
    let Sections { limits, auth } = toml::from_str(limits).unwrap_or_else(|error| panic!("{error}"));
    let clock = Clock::by_hand();
    (Settings { limits, auth, clock: clock.clone(), ..settings }, clock)
}

async fn rig(limits: &str) -> (Rig, Server, Clock) {
    let server = Server::start().await;
    let (settings, clock) = limited(settings(&server.url()), limits);
    (Rig::start(settings).await, server, clock)
}

fn request(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

fn call(id: u64, tool: &str) -> String {
    request(id, "tools/call", &json!({"name": tool}).to_string())
}

/// A message that reaches the server.
async fn passes(client: &mut Client, server: &mut Server, body: &str) {
    client.post(body).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.status(), "200", "{body}");
}

/// A session whose id the server gives.
async fn begin(client: &mut Client, server: &mut Server, id: &str, headers: &str) {
    client.headers = headers.to_owned();
    client.post(crate::support::INITIALIZE).await;
    let initialized = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}"#;
    server.next().await.json_with(&format!("mcp-session-id: {id}\r\n"), initialized).await;
    assert_eq!(client.response().await.status(), "200");
    client.headers = format!("{headers}mcp-session-id: {id}\r\n");
}

/// A message that does not.
async fn refused(client: &mut Client, server: &mut Server, body: &str) -> Response {
    let response = client.call(body).await;
    assert_eq!(response.status(), "429", "{body}: {response:?}");
    assert!(server.is_idle(), "{body}");
    response
}

#[tokio::test]
async fn retry_after_is_exact() {
    let (rig, mut server, clock) = rig("[[limits]]\nper = \"session\"\nrate = \"30/m\"\nburst = 2\n").await;
    let mut client = rig.client().await;
    begin(&mut client, &mut server, "one", "").await;
    passes(&mut client, &mut server, &call(1, "a")).await;
    passes(&mut client, &mut server, &call(2, "a")).await;
    let response = refused(&mut client, &mut server, &call(3, "a")).await;
    assert_eq!(response.head.all("retry-after"), ["2"]);
    assert_eq!(
        response.json(),
        json!({"jsonrpc": "2.0", "id": 3, "error": {
            "code": -31011,
            "message": "tapline: over the limit of 30/m per session; try again in 2 seconds",
            "data": {"tapline": {"limit": "30/m per session", "retryAfterMs": 2000}},
        }})
    );
    // Less will not do. Fractions are rounded up: who comes at the second that was said is not too early.
    clock.advance(Duration::from_millis(999));
    let response = refused(&mut client, &mut server, &call(4, "a")).await;
    assert_eq!(response.head.get("retry-after"), Some("2"));
    assert_eq!(response.json()["error"]["data"]["tapline"]["retryAfterMs"], 1001);
    clock.advance(Duration::from_millis(1000));
    assert_eq!(refused(&mut client, &mut server, &call(5, "a")).await.head.get("retry-after"), Some("1"));
    clock.advance(Duration::from_millis(1));
    passes(&mut client, &mut server, &call(6, "a")).await;
    refused(&mut client, &mut server, &call(7, "a")).await;

    // What takes a request back, and answers to the server, always pass; so does another session.
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
        r#"{"jsonrpc":"2.0","id":"s1","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":"s2","error":{"code":1,"message":"no"}}"#,
    ] {
        passes(&mut client, &mut server, body).await;
    }
    begin(&mut client, &mut server, "two", "").await;
    passes(&mut client, &mut server, &call(1, "a")).await;

    rig.line(Level::Warn, "over the limit of 30/m per session").await;
    assert_eq!(rig.complaints().len(), 1, "one line for a time of refusals: {:?}", rig.complaints());
    let limits = rig.core().limits().unwrap();
    assert_eq!(limits.refused().collect::<Vec<_>>(), [("30/m per session", 4)]);
}

#[tokio::test]
async fn refused_client_gets_no_session_and_no_child() {
    let (settings, _clock) = limited(
        Settings::new(tapline::upstream::target::Target::command(
            tapline::upstream::stdio::CommandLine::new(&["cat".to_owned()]).unwrap(),
            tapline::children::guardian::Guardian::new(crate::support::tapline_binary()),
        )),
        "[[limits]]\nper = \"client\"\nrate = \"1/h\"\nmethod = \"initialize\"\n",
    );
    let rig = Rig::start(settings).await;
    let mut client = rig.client().await;
    client.post(crate::support::INITIALIZE).await;
    rig.session(1).await;
    drop(client);
    let mut client = rig.client().await;
    let response = client.call(crate::support::INITIALIZE).await;
    assert_eq!((response.status(), response.head.get("retry-after")), ("429", Some("3600")));
    let opened = rig.until("nothing", |log| {
        Some(log.iter().filter(|it| matches!(it, tapline::event::Event::SessionOpened(_))).count())
    });
    assert_eq!(opened.await, 1);
}

#[tokio::test]
async fn limits_apply_to_methods_and_tools() {
    let (rig, mut server, clock) = rig(
        "[[limits]]\nper = \"client\"\nrate = \"1/m\"\nmethod = \"tools/*\"\n[[limits]]\nper = \"client\"\nrate = \"1/h\"\ntool = \"slow_*\"\n",
    )
    .await;
    let mut client = rig.client().await;
    passes(&mut client, &mut server, &call(1, "slow_one")).await;
    for _ in 0..3 {
        passes(&mut client, &mut server, &request(2, "ping", "{}")).await;
        passes(&mut client, &mut server, &request(2, "resources/list", "{}")).await;
    }
    let response = refused(&mut client, &mut server, &request(3, "tools/list", "{}")).await;
    assert_eq!(response.head.get("retry-after"), Some("60"));
    // The other connection is of the same client; of two limits the longer wait is said.
    let mut second = rig.client().await;
    let response = refused(&mut second, &mut server, &call(4, "slow_two")).await;
    assert_eq!(response.head.get("retry-after"), Some("3600"));
    clock.advance(Duration::from_secs(60));
    refused(&mut client, &mut server, &call(5, "slow_two")).await;
    passes(&mut client, &mut server, &call(6, "fast")).await;
    clock.advance(Duration::from_secs(3540));
    passes(&mut client, &mut server, &call(7, "slow_two")).await;
}

#[tokio::test]
async fn batch_counts_each_request() {
    let (rig, mut server, clock) = rig("[[limits]]\nper = \"session\"\nrate = \"3/s\"\n").await;
    let mut client = rig.client().await;
    begin(&mut client, &mut server, "one", "").await;
    let batch = |count: u64| format!("[{}]", (0..count).map(|id| call(id, "a")).collect::<Vec<_>>().join(","));
    passes(&mut client, &mut server, &batch(2)).await;
    let response = refused(&mut client, &mut server, &batch(2)).await;
    assert_eq!((response.head.get("retry-after"), response.json()["id"].is_null()), (Some("1"), true));
    passes(&mut client, &mut server, &call(1, "a")).await;
    clock.advance(Duration::from_secs(2));
    let response = refused(&mut client, &mut server, &batch(4)).await;
    assert_eq!(response.head.get("retry-after"), None, "no time would do");
    assert!(response.text().contains("send smaller batches"), "{}", response.text());
    passes(&mut client, &mut server, &batch(3)).await;
}

#[tokio::test]
async fn token_limit_spans_sessions() {
    // SHA-256 of `one` and of `two`.
    let tokens = "[[auth.tokens]]\nname = \"ann\"\nsha256 = \"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\"\n[[auth.tokens]]\nname = \"bob\"\nsha256 = \"3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3\"\n";
    let (rig, mut server, _clock) = rig(&format!("[[limits]]\nper = \"token\"\nrate = \"2/h\"\n{tokens}")).await;
    let mut client = rig.client().await;
    for session in ["s1", "s2"] {
        client.headers = format!("mcp-session-id: {session}\r\nauthorization: Bearer one\r\n");
        passes(&mut client, &mut server, &call(1, "a")).await;
    }
    refused(&mut client, &mut server, &call(2, "a")).await;
    client.headers = "mcp-session-id: s3\r\nauthorization: Bearer two\r\n".to_owned();
    passes(&mut client, &mut server, &call(3, "a")).await;
}

#[tokio::test]
async fn legacy_sse_clients_are_limited() {
    let (settings, clock) = limited(
        Settings::new(tapline::upstream::target::Target::command(
            tapline::upstream::stdio::CommandLine::new(&["cat".to_owned()]).unwrap(),
            tapline::children::guardian::Guardian::new(crate::support::tapline_binary()),
        )),
        "[[limits]]\nper = \"session\"\nrate = \"1/m\"\n",
    );
    let rig = Rig::start(settings).await;
    let (mut client, mut other) =
        (LegacySseClient::open(rig.address()).await, LegacySseClient::open(rig.address()).await);
    assert_eq!(client.post(request(1, "ping", "{}")).await.status(), "202");
    let response = client.post(request(2, "ping", "{}")).await;
    assert_eq!((response.status(), response.head.get("retry-after")), ("429", Some("60")));
    assert_eq!(response.json()["id"], 2);
    assert_eq!(other.post(request(1, "ping", "{}")).await.status(), "202");
    clock.advance(Duration::from_secs(60));
    assert_eq!(client.post(request(3, "ping", "{}")).await.status(), "202");
    // What the child got, it says again.
    for id in [1, 3] {
        assert_eq!(client.message().await["id"], id);
    }
}

#[tokio::test]
async fn made_up_sessions_and_agents_count_for_their_caller() {
    let (rig, mut server, _clock) = rig("[[limits]]\nper = \"session\"\nrate = \"4/h\"\n").await;
    let mut client = rig.client().await;
    for id in 0..2 {
        client.headers = format!("mcp-session-id: made-up-{id}\r\n");
        passes(&mut client, &mut server, &call(1, "a")).await;
        // Again, now that a session was opened for it.
        passes(&mut client, &mut server, &call(1, "a")).await;
    }
    for headers in ["mcp-session-id: made-up-0\r\n", "mcp-session-id: made-up-9\r\n", "user-agent: another\r\n", ""] {
        client.headers = headers.to_owned();
        refused(&mut client, &mut server, &call(1, "a")).await;
    }
}
