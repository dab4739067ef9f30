//! Who comes in by the HTTP front door, whose credentials go on, and what a page may read: with raw requests.

use std::sync::Arc;

use http::header::{HOST, HeaderName, HeaderValue};
use serde_json::json;
use tapline::app::Settings;
use tapline::event::Level;
use tapline::upstream::http::HttpUpstream;
use tapline::upstream::target::Target;

use crate::auth::known;
use crate::support::{Client, Head, INITIALIZE, Rig, Server, settings};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
const PAGE: &str = "origin: http://localhost:5173\r\n";

/// In front of a server that gets credentials of the operator.
async fn with_credentials() -> (Rig, Server) {
    let server = Server::start().await;
    let secret = HeaderValue::from_static("Bearer operators-own");
    let upstream = HttpUpstream::new(&server.url(), vec![(HeaderName::from_static("authorization"), secret)]).unwrap();
    drop(rustls::crypto::ring::default_provider().install_default());
    (Rig::start(Settings::new(Target::Server(Arc::new(upstream)))).await, server)
}

#[tokio::test]
async fn cross_site_requests_without_an_origin_reach_nobody() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (rig, mut server) = with_credentials().await;
    let mut client = rig.client().await;
    for start in ["GET /mcp", "GET /sse", "GET /admin/delete", "POST /mcp", "POST /form", "OPTIONS /mcp"] {
        for site in ["cross-site", "cross-site\r\nsec-fetch-mode: navigate", "none\r\nsec-fetch-site: cross-site"] {
            client.request(start, &format!("sec-fetch-site: {site}\r\ncontent-length: 0\r\n"), b"").await;
            let response = client.response().await;
            assert_eq!(response.status(), "403", "{start} {site}");
            assert_eq!(response.head.get("access-control-allow-origin"), None);
        }
    }
    assert!(server.is_idle(), "nothing reached the server");
    // Whoever types an address comes in, and so do programs.
    for head in ["sec-fetch-site: none\r\n", "sec-fetch-site: same-origin\r\n", "sec-fetch-mode: cors\r\n", ""] {
        client.request("GET /admin", head, b"").await;
        let exchange = server.next().await;
        assert_eq!(exchange.head.get("authorization"), Some("Bearer operators-own"));
        exchange.json("{}").await;
        assert_eq!(client.response().await.status(), "200", "{head}");
    }
}

#[tokio::test]
async fn cross_site_request_starts_no_child() {
    let rig = Rig::script("cat").await;
    let mut client = rig.client().await;
    client.request("GET /sse", "sec-fetch-site: cross-site\r\n", b"").await;
    assert_eq!(client.response().await.status(), "403");
    assert!(rig.core().mounts().live().is_empty());
}

#[tokio::test]
async fn names_that_stand_twice_are_refused() {
    let (rig, mut server) = with_credentials().await;
    let address = rig.address();
    for head in [
        format!("host: {address}\r\nhost: {address}\r\n"),
        format!("host: {address}\r\norigin: http://localhost\r\norigin: http://localhost\r\n"),
        format!("host: {address}@evil.example\r\n"),
        format!("host: {address}, evil.example\r\n"),
    ] {
        let mut client = rig.client().await;
        client.write(format!("POST /mcp HTTP/1.1\r\n{head}content-length: 0\r\n\r\n").as_bytes()).await;
        let status = client.response().await.status().to_owned();
        assert!(status == "403" || status == "400", "{head}: {status}");
    }
    // The target may name the host, too.
    let mut client = rig.client().await;
    let target = "POST http://evil.example/mcp HTTP/1.1";
    client.write(format!("{target}\r\nhost: {address}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
    assert_eq!(client.response().await.status(), "403");
    assert!(server.is_idle());
}

#[tokio::test]
async fn http2_authority_and_host_must_agree() {
    let (rig, mut server) = with_credentials().await;
    let address = rig.address();
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().resolve("evil.example", address);
    let client = client.build().unwrap();
    let evil = format!("evil.example:{}", address.port());
    let other = format!("localhost:{}", address.port());
    for (authority, host) in
        [(&evil, &address.to_string()), (&address.to_string(), &evil), (&address.to_string(), &other)]
    {
        let request = client.post(format!("http://{authority}/mcp")).header(HOST, host.as_str()).body(PING);
        assert_eq!(request.send().await.unwrap().status(), 403, "{authority} {host}");
    }
    assert!(server.is_idle());
}

#[tokio::test]
async fn allowed_host_is_no_allowed_origin() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings {
        allow_hosts: vec!["Dev.Box".to_owned()],
        allow_origins: vec!["HTTPS://Tool.Example:443/".to_owned()],
        ..settings(&server.url())
    })
    .await;
    for (origin, status) in [
        ("http://dev.box", "403"),
        ("http://dev.box:7070", "403"),
        ("https://tool.example", "200"),
        ("https://tool.example:443", "200"),
        ("https://tool.example:444", "403"),
        ("http://tool.example", "403"),
    ] {
        let mut client = rig.client().await;
        let head =
            format!("POST /mcp HTTP/1.1\r\nhost: dev.box:1\r\norigin: {origin}\r\ncontent-length: 2\r\n\r\n{{}}");
        client.write(head.as_bytes()).await;
        if status == "200" {
            server.next().await.json("{}").await;
        }
        assert_eq!(client.response().await.status(), status, "{origin}");
    }
    assert!(server.is_idle());
}

fn is_readable(head: &Head) -> bool {
    let exposed = head.get("access-control-expose-headers").unwrap_or_default();
    head.get("access-control-allow-origin") == Some("http://localhost:5173")
        && ["Mcp-Session-Id", "WWW-Authenticate", "Retry-After"].iter().all(|name| exposed.contains(name))
        && head.all("vary").iter().any(|vary| vary.contains("Origin"))
}

async fn preflight(client: &mut Client, path: &str) -> Head {
    let head = "access-control-request-method: POST\r\naccess-control-request-headers: content-type,mcp-param-x\r\n";
    client.request(&format!("OPTIONS {path}"), head, b"").await;
    client.response().await.head
}

#[tokio::test]
async fn page_can_talk_to_a_command() {
    let rig = Rig::command(&crate::support::child::role("mirror").iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut client = rig.client().await;
    client.headers = PAGE.to_owned();
    for path in ["/mcp", "/sse", "/.well-known/oauth-protected-resource/mcp"] {
        let head = preflight(&mut client, path).await;
        assert_eq!(head.second_word(), "204", "{path}");
        assert_eq!(head.get("access-control-allow-headers"), Some("content-type,mcp-param-x"));
        assert!(head.get("access-control-allow-methods").is_some_and(|methods| methods.contains("DELETE")));
        assert!(head.get("access-control-max-age").is_some() && is_readable(&head), "{head:?}");
    }
    let echo = r#"{"jsonrpc":"2.0","id":0,"method":"echo"}"#;
    for (start, body, status) in [
        ("GET /elsewhere", "", "404"),
        ("PUT /mcp", "", "405"),
        ("DELETE /mcp", "", "400"),
        ("POST /message?sessionId=x", "{}", "404"),
    ] {
        client.request(start, &format!("content-length: {}\r\n", body.len()), body.as_bytes()).await;
        let response = client.response().await;
        assert_eq!(response.status(), status, "{start}");
        assert!(is_readable(&response.head), "{start} {response:?}");
    }
    client.post(INITIALIZE.replace("\"initialize\"", "\"echo\"")).await;
    let response = client.response().await;
    assert!(is_readable(&response.head), "{response:?} {echo}");
    // A page from elsewhere learns nothing.
    client.headers = "origin: https://evil.example\r\n".to_owned();
    let head = preflight(&mut client, "/mcp").await;
    assert_eq!((head.second_word(), head.get("access-control-allow-origin")), ("403", None));
}

#[tokio::test]
async fn page_can_read_errors_of_ours_and_the_server_answers_for_itself() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.headers = PAGE.to_owned();
    client.post(PING).await;
    server.next().await.json("{}").await;
    let response = client.response().await;
    assert_eq!(response.head.get("access-control-allow-origin"), None, "what the server says passes as it is");
    let dead = Rig::before("http://127.0.0.1:1/mcp").await;
    let mut client = dead.client().await;
    client.headers = PAGE.to_owned();
    let response = client.call(PING).await;
    assert_eq!(response.status(), "502");
    assert!(is_readable(&response.head), "{response:?}");
}

#[tokio::test]
async fn page_can_read_a_refusal_for_want_of_a_token() {
    let server = Server::start().await;
    let auth = toml::from_str(&known("ann", "one", "")).unwrap();
    let rig = Rig::start(Settings { auth, ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    client.headers = PAGE.to_owned();
    let response = client.call(PING).await;
    assert_eq!(response.status(), "401");
    assert!(is_readable(&response.head), "{response:?}");
}

#[tokio::test]
async fn scopes_are_decided_on_what_the_server_reads() {
    let mut server = Server::start().await;
    let rules = format!("{}[[require]]\ntool = \"drop_*\"\nscopes = \"admin\"\n", known("ann", "one", "scopes = []"));
    let rig = Rig::start(Settings { auth: toml::from_str(&rules).unwrap(), ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    let call =
        |params: serde_json::Value| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    let look = call(json!({"name": "look"}));
    let twice = look.replace(r#""name""#, r#""name":"drop_all","name""#);
    for (start, headers, body, status) in [
        ("POST /mcp", "", look.clone(), "200"),
        ("POST /mcp", "mcp-method: tools/call\r\nmcp-name: look\r\n", look.clone(), "200"),
        ("POST /mcp", "mcp-method: tools/call\r\nmcp-name: drop_all\r\n", look.clone(), "400"),
        ("POST /mcp", "mcp-method: tools/call\r\n", PING.to_owned(), "400"),
        ("POST /mcp", "", call(json!({"name": "drop_all"})), "403"),
        ("POST /mcp", "", call(json!({"name": "look", "Name": "drop_all"})), "400"),
        ("POST /mcp", "", twice, "400"),
        ("POST /mcp", "", PING.replace("ping\"", "ping\",\"METHOD\":\"tools/call\""), "400"),
        // Other spellings of the endpoint, which a server may take for it.
        ("POST /%6dcp", "", call(json!({"name": "drop_all"})), "400"),
        ("POST //mcp", "", call(json!({"name": "drop_all"})), "400"),
        ("POST /x/../mcp/", "", call(json!({"name": "drop_all"})), "400"),
        ("POST /MCP", "", call(json!({"name": "drop_all"})), "400"),
        ("POST /token", "", "grant_type=x".to_owned(), "200"),
    ] {
        client.headers = format!("authorization: Bearer one\r\n{headers}");
        let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        client.request(start, &length, body.as_bytes()).await;
        if status == "200" {
            server.next().await.json("{}").await;
        }
        assert_eq!(client.response().await.status(), status, "{start} {headers} {body}");
    }
    assert!(server.is_idle());
}

#[tokio::test]
async fn labels_hold_no_secret_when_a_server_fails() {
    for (rig, shown) in [
        (Rig::before("http://127.0.0.1:1/mcp?apiKey=OUR-KEY").await, "http://127.0.0.1:1/mcp?apiKey=[redacted]"),
        (Rig::before("http://user:OUR-KEY@127.0.0.1:1/mcp").await, "http://[redacted]@127.0.0.1:1/mcp"),
        (Rig::before_events("http://127.0.0.1:1/sse?k=OUR-KEY").await, "http://127.0.0.1:1/sse?k=[redacted]"),
        (Rig::command(&["false", "--api-key", "OUR-KEY"]).await, "false --api-key [redacted]"),
        (Rig::command(&["/no/such/program", "--token=OUR-KEY"]).await, "/no/such/program --token=[redacted]"),
    ] {
        let mut client = rig.client().await;
        let response = client.call(INITIALIZE).await;
        assert_eq!(response.status(), "502", "{response:?}");
        assert!(response.text().contains(shown), "{response:?}");
        rig.line(Level::Error, shown).await;
        let told = rig.quit(tapline::event::OnQuit::Forward).await;
        let told = format!("{told:?} {}", serde_json::to_string(&told).unwrap());
        assert!(!told.contains("OUR-KEY") && !response.text().contains("OUR-KEY"), "{told}");
    }
}
