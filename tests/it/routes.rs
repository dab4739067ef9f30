//! Several upstreams in one process: each at a path of its own, with a table of its own, for every kind of client.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tapline::app::{CoreStartError, Settings};
use tapline::demo::server::ServerOptions;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{SessionId, Via};
use tapline::event::{Command, Event, OnQuit, ReplayEvent, ReplayRequest, Session};
use tapline::proxy::front::routes::{Mount, MountError, MountSpec};
use tapline::upstream::http::HttpUpstream;
use tapline::upstream::sse::SseUpstream;
use tapline::upstream::target::Target;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Client, INITIALIZE, LegacySseClient, Rig, Server, command, legacy_sse_client, settings, tapline_binary,
};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn url(url: &str) -> Target {
    // As in `settings`.
    drop(rustls::crypto::ring::default_provider().install_default());
    Target::Server(Arc::new(HttpUpstream::new(url, Vec::new()).unwrap()))
}

fn events(url: &str) -> Target {
    drop(rustls::crypto::ring::default_provider().install_default());
    Target::Events(SseUpstream::new(url, Vec::new()).unwrap())
}

fn script(script: &str) -> Target {
    command(&["sh", "-c", script])
}

fn named(name: &str, target: Target) -> MountSpec {
    MountSpec { name: Some(name.to_owned()), is_default: false, target }
}

/// In front of these, by name; `default` is at the root, too.
async fn before(upstreams: Vec<(&str, Target)>, default: Option<&str>) -> Rig {
    let place = |(name, target)| MountSpec { is_default: default == Some(name), ..named(name, target) };
    let upstreams: Vec<_> = upstreams.into_iter().map(place).collect();
    Rig::start(Settings { upstreams, ..settings("http://127.0.0.1:1/") }).await
}

async fn client(rig: &Rig, mount: &str) -> Client {
    let mut client = rig.client().await;
    mount.clone_into(&mut client.mount);
    client
}

/// The URL of the demo's server.
async fn demo() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(tapline::demo::server::serve(listener, ServerOptions::default(), CancellationToken::new()));
    format!("http://{address}/mcp")
}

/// The session that was opened as the nth, from 1.
async fn opened(rig: &Rig, nth: usize) -> Session {
    let opened = |event: &Event| if let Event::SessionOpened(session) = event { Some(session.clone()) } else { None };
    Arc::unwrap_or_clone(rig.until("a session", move |log| log.iter().filter_map(opened).nth(nth - 1)).await)
}

/// How many tools a client of today is told of.
async fn tools_today(rig: &Rig, mount: &str) -> usize {
    let (mut today, mut second) = (client(rig, mount).await, client(rig, mount).await);
    today.initialize().await;
    second.headers.clone_from(&today.headers);
    let said = today.call_answering(LIST, &mut second, |_| Value::Null).await;
    said.messages.last().unwrap()["result"]["tools"].as_array().unwrap().len()
}

/// How many tools a client of then is told of.
async fn tools_then(address: SocketAddr, mount: &str) -> usize {
    let mut then = LegacySseClient::open_at(address, &format!("{mount}/sse"), "").await;
    assert!(then.address.starts_with(&format!("{mount}/message?sessionId=")), "{}", then.address);
    for (message, id) in [(INITIALIZE, 0), (LIST, 1)] {
        assert_eq!(then.post(message).await.status(), "202");
        loop {
            let said = then.message().await;
            if said["id"] == id && said.get("method").is_none() {
                if id == 1 {
                    return said["result"]["tools"].as_array().unwrap().len();
                }
                break;
            }
        }
    }
    unreachable!("the list was the last")
}

#[tokio::test]
async fn upstreams_are_served_under_their_names() {
    let (today, then) = (demo().await, legacy_sse_client::serve_demo().await);
    let stdio = command(&[tapline_binary().to_str().unwrap(), "__demo-server"]);
    let label = stdio.label();
    let rig = before(vec![("today", url(&today)), ("stdio", stdio), ("then", events(&then))], None).await;
    assert_eq!(rig.url(), format!("http://{}/<name>/mcp", rig.address()));
    rig.event("the fronts", |event| match event {
        Event::Listening { upstream, .. } => (upstream == "3 upstreams: today, stdio, then").then_some(()),
        _ => None,
    })
    .await;
    let upstreams = [("today", today), ("stdio", label.to_string()), ("then", then)];
    for (nth, (name, label)) in upstreams.into_iter().enumerate() {
        let mount = format!("/{name}");
        let (tools, same) = (tools_today(&rig, &mount).await, tools_then(rig.address(), &mount).await);
        assert!(tools > 2 && tools == same, "{name}: {tools} and {same}");
        for (session, via) in [(2 * nth + 1, Via::Http), (2 * nth + 2, Via::Sse)] {
            let session = opened(&rig, session).await;
            assert_eq!((session.upstream_name.as_deref(), &*session.upstream, session.via), (Some(name), &*label, via));
            if via == Via::Http {
                assert_eq!(tables_of(&rig, session.id), [Some(name)]);
            }
        }
    }
    assert_eq!(rig.complaints(), Vec::<String>::new());
    let log = rig.quit(OnQuit::Forward).await;
    let closed = log.iter().filter(|event| matches!(event, Event::SessionClosed { .. })).count();
    assert_eq!(closed, 6, "those of all upstreams end");
}

/// The names of the upstreams whose table has a session.
fn tables_of(rig: &Rig, session: SessionId) -> Vec<Option<&str>> {
    let mounts = rig.core().mounts().iter().filter(|mount| mount.table().find(session).is_some());
    mounts.map(Mount::name).collect()
}

#[tokio::test]
async fn default_upstream_shares_sessions_at_root_and_name() {
    let mut server = Server::start().await;
    let rig = before(vec![("a", url(&server.url())), ("b", script("exit 1"))], Some("a")).await;
    assert_eq!(rig.url(), format!("http://{}/mcp", rig.address()));
    let mut sessions = Vec::new();
    for mount in ["", "/a"] {
        let mut client = client(&rig, mount).await;
        client.headers = "mcp-session-id: one\r\n".to_owned();
        client.post(LIST).await;
        let exchange = server.next().await;
        assert_eq!((exchange.head.start.as_str(), exchange.text()), ("POST /mcp HTTP/1.1", LIST));
        exchange.json("{}").await;
        assert_eq!(client.response().await.status(), "200");
        sessions.push(rig.passed(2 * (sessions.len() + 1)).await.last().unwrap().session);
    }
    assert_eq!(sessions[0], sessions[1], "a client may come by both ways");
}

#[tokio::test]
async fn bytes_pass_below_a_name() {
    let odd =
        r#"{ "id":1.0, "jsonrpc":"2.0","method":"x","params":{"n":123456789012345678901234567890,"n":"\ud83d"}} "#;
    let mut server = Server::start().await;
    let deep = format!("http://{}/deep/mcp?key=1", server.address());
    let rig = before(vec![("a", url(&deep)), ("b", script("cat"))], None).await;
    let mut client = rig.client().await;
    for (path, expected) in [
        ("/a/mcp", "/deep/mcp?key=1"),
        ("/a/mcp/?x=%20", "/deep/mcp/?key=1&x=%20"),
        // Who has put our address before the server's path is not relayed unseen.
        ("/a/deep/mcp", "/deep/mcp?key=1"),
    ] {
        let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", odd.len());
        client.request(&format!("POST {path}"), &head, odd.as_bytes()).await;
        let exchange = server.next().await;
        assert_eq!((exchange.head.start.as_str(), exchange.text()), (&*format!("POST {expected} HTTP/1.1"), odd));
        assert_eq!(exchange.head.all("host"), [server.address().to_string()]);
        exchange.stream(format!(": hello\r\nid: 7\r\ndata: {odd}\r\n\r\n")).await;
        let response = client.response().await;
        assert_eq!(response.text(), format!(": hello\r\nid: 7\r\ndata: {odd}\r\n\r\n"));
        client = rig.client().await;
    }
    let passed = rig.passed(6).await;
    assert!(passed.iter().all(|it| it.message.raw() == odd && it.direction == ToServer || it.direction == ToClient));
}

#[tokio::test]
async fn passthrough_works_below_a_name() {
    let (mut a, mut b) = (Server::start().await, Server::start().await);
    let rig = before(vec![("a", url(&a.url())), ("b", url(&b.url())), ("c", script("cat"))], Some("b")).await;
    let mut client = rig.client().await;
    for (start, expected, is_a) in [
        ("GET /a/.well-known/oauth-protected-resource", "GET /.well-known/oauth-protected-resource", true),
        // Clients put the path of an endpoint behind that of the document (RFC 9728 section 3.1).
        ("GET /.well-known/oauth-protected-resource/a/mcp", "GET /.well-known/oauth-protected-resource/mcp", true),
        ("POST /a/token?x=%20+1&&y", "POST /token?x=%20+1&&y", true),
        ("GET /a", "GET /", true),
        ("GET /a//x%2Fy", "GET //x%2Fy", true),
        ("GET /b/a/x", "GET /a/x", false),
        ("GET /ab/x", "GET /ab/x", false),
        ("GET /.well-known/oauth-protected-resource/mcp", "GET /.well-known/oauth-protected-resource/mcp", false),
    ] {
        client.request(start, "content-length: 0\r\n", b"").await;
        let exchange = if is_a { a.next().await } else { b.next().await };
        assert_eq!(exchange.head.start, format!("{expected} HTTP/1.1"), "{start}");
        exchange.answer("HTTP/1.1 204 Fine\r\n\r\n").await;
        assert_eq!(client.response().await.status(), "204");
    }
    client.request("GET /c/x", "", b"").await;
    assert_eq!(client.response().await.status(), "404", "a command has no other paths");
    assert!(a.is_idle() && b.is_idle());
}

#[tokio::test]
async fn redirects_stay_below_a_name() {
    let mut server = Server::start().await;
    let rig = before(vec![("a", url(&server.url())), ("b", script("cat"))], Some("a")).await;
    let (theirs, ours) = (format!("http://{}", server.address()), format!("http://{}", rig.address()));
    let mut client = rig.client().await;
    for (start, location, expected) in [
        ("GET /a/authorize", format!("{theirs}/login?x=%20#z"), format!("{ours}/a/login?x=%20#z")),
        ("GET /a/mcp", format!("{theirs}/mcp/"), format!("{ours}/a/mcp/")),
        ("GET /a/authorize", "/login".to_owned(), "/a/login".to_owned()),
        ("GET /a/authorize", "login".to_owned(), "login".to_owned()),
        ("GET /a/authorize", "https://elsewhere.example/a".to_owned(), "https://elsewhere.example/a".to_owned()),
        ("GET /authorize", "/login".to_owned(), "/login".to_owned()),
        ("GET /authorize", format!("{theirs}/login"), format!("{ours}/login")),
    ] {
        client.request(start, "accept: text/event-stream\r\n", b"").await;
        let answer = format!("HTTP/1.1 307 Elsewhere\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        server.next().await.answer(answer).await;
        assert_eq!(client.response().await.head.all("location"), [&*expected], "{start} {location}");
    }
}

#[tokio::test]
async fn legacy_sse_posts_stay_below_a_name() {
    let mut server = Server::start().await;
    let rig =
        before(vec![("a", events(&format!("http://{}/sse", server.address()))), ("b", script("cat"))], None).await;
    let cases = [
        ("/messages/?session_id=1", "/a/messages/?session_id=1"),
        ("m?y=%20+%2B&&q", "/a/m?y=%20+%2B&&q"),
        // A server that is below a path of that name says so already.
        ("/a/messages/?session_id=2", "/a/messages/?session_id=2"),
    ];
    for (nth, (reference, address)) in cases.into_iter().enumerate() {
        let opening = LegacySseClient::open_at(rig.address(), "/a/sse", "");
        let serving = async {
            let mut stream = server.next().await;
            assert_eq!(stream.head.start, "GET /sse HTTP/1.1");
            stream.begin_stream().await;
            stream.write(format!("event: endpoint\ndata: {reference}\n\n")).await;
            stream
        };
        let (mut client, stream) = tokio::join!(opening, serving);
        assert_eq!(client.address, address, "{reference}");
        client.send(LIST).await;
        let exchange = server.next().await;
        let theirs = format!("/{}", reference.trim_start_matches('/'));
        assert_eq!((exchange.head.second_word(), exchange.text()), (&*theirs, LIST));
        exchange.answer("HTTP/1.1 202 Fine\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await.status(), "202");
        let (mut poster, _) = client.hang_up();
        stream.hung_up().await;
        rig.closed(opened(&rig, nth + 1).await.id).await;
        poster.request("POST /a/messages/?session_id=unknown", "content-length: 2\r\n", b"{}").await;
        assert_eq!(poster.response().await.status(), "404");
    }
    assert!(server.is_idle());
}

#[tokio::test]
async fn unknown_name_is_404_with_the_known_names() {
    let mut server = Server::start().await;
    for (default, known) in [(None, "`/a/mcp`, `/b/mcp`"), (Some("a"), "`/mcp`, `/a/mcp`, `/b/mcp`")] {
        let rig = before(vec![("a", url(&server.url())), ("b", script("cat"))], default).await;
        let mut client = rig.client().await;
        for start in ["POST /typo/mcp", "GET /typo/sse", "GET /A/mcp"] {
            client.request(start, "content-length: 0\r\n", b"").await;
            let response = client.response().await;
            let text = response.json()["error"]["message"].as_str().unwrap().to_owned();
            assert_eq!(response.status(), "404", "{start}");
            assert!(text.contains(&format!("there are {known}, and `/sse` in place of `/mcp`")), "{text}");
        }
        if default.is_none() {
            client.request("POST /mcp", "content-length: 0\r\n", b"").await;
            assert_eq!(client.response().await.status(), "404", "nobody is at the root");
        }
    }
    assert!(server.is_idle(), "no upstream is asked for a path that names another");
    drop(server);
}

#[tokio::test]
async fn commands_start_with_their_first_client() {
    let dir = tempfile::TempDir::new().unwrap();
    let mark = dir.path().join("started");
    let marking =
        format!("echo started >'{}'; read -r l; echo '{{\"id\":0,\"result\":{{}}}}'; cat >/dev/null", mark.display());
    let mut server = Server::start().await;
    let rig = before(vec![("a", url(&server.url())), ("b", script(&marking))], Some("a")).await;
    let mut first = rig.client().await;
    first.post(LIST).await;
    server.next().await.json("{}").await;
    first.response().await;
    assert!(!mark.exists());
    assert_eq!(rig.core().mounts().live().len(), 1);
    let mut second = client(&rig, "/b").await;
    second.initialize().await;
    assert_eq!(opened(&rig, 2).await.upstream_name.as_deref(), Some("b"));
    assert!(mark.exists());
}

#[tokio::test]
async fn tape_replays_at_its_own_upstream() {
    let dir = tempfile::TempDir::new().unwrap();
    let (mut a, b) = (Server::start().await, demo().await);
    let upstreams = vec![named("a", url(&a.url())), named("b", url(&b))];
    let tapes = Some(dir.path().to_owned());
    let rig = Rig::start(Settings { upstreams, tapes, ..settings("http://127.0.0.1:1/") }).await;
    tools_today(&rig, "/b").await;
    rig.quit(OnQuit::Forward).await;
    let tape = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();

    // The one that has the name, whatever is at the root; then the one that has the address.
    for name in ["b", "c"] {
        let rig = before(vec![("a", url(&a.url())), (name, url(&b))], Some("a")).await;
        rig.command_now(Command::Replay(ReplayRequest::of(tape.clone())));
        let summary = rig.event("the end of the replay", |event| match event {
            Event::Replay(ReplayEvent::Finished(summary)) => Some(summary.clone()),
            _ => None,
        });
        let summary = summary.await;
        assert_eq!((summary.failed, summary.passed > 0), (0, true), "{summary:?}");
        assert_eq!(opened(&rig, 1).await.upstream_name.as_deref(), Some(name));
    }
    let rig = before(vec![("a", url(&a.url())), ("d", script("cat"))], None).await;
    rig.command_now(Command::Replay(ReplayRequest::of(tape)));
    let why = rig.event("the refusal", |event| match event {
        Event::Replay(ReplayEvent::Failed { why }) => Some(why.clone()),
        _ => None,
    });
    assert!(why.await.ends_with("there are 2 upstreams: a, d"));
    assert!(a.is_idle());
}

#[tokio::test]
async fn replay_begins_when_the_one_before_has_told_its_end() {
    let server = Server::start().await;
    let rig = Rig::start(settings(&server.url())).await;
    let tape = std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl"));
    let told = |what: &str, wanted: fn(&[ReplayEvent]) -> bool| {
        rig.until(what.to_owned(), move |log| {
            let replay = |event: &Event| match event {
                Event::Replay(event) => Some(event.clone()),
                _ => None,
            };
            Some(log.iter().filter_map(replay).collect::<Vec<_>>()).filter(|told| wanted(told))
        })
    };
    let is_start = |event: &ReplayEvent| matches!(event, ReplayEvent::Started { .. });
    // The server answers nothing.
    rig.command_now(Command::Replay(ReplayRequest::of(tape.clone())));
    told("the first", |told| !told.is_empty()).await;
    rig.command_now(Command::Replay(ReplayRequest::of(tape)));
    let starts = |told: &[ReplayEvent]| told.iter().filter(|it| matches!(it, ReplayEvent::Started { .. })).count() == 2;
    let mut both = told("the second", starts).await;
    let second = both.iter().rposition(is_start).unwrap();
    both.truncate(second);
    let Some(ReplayEvent::Finished(summary)) = both.pop() else {
        panic!("it begins before the end of the first: {both:?}")
    };
    assert!(summary.stopped && summary.passed == 0 && summary.skipped == both.len() - 1, "{summary:?}");
    rig.command_now(Command::StopReplay);
    let ends = |told: &[ReplayEvent]| told.iter().filter(|it| matches!(it, ReplayEvent::Finished(_))).count() == 2;
    told("its end", ends).await;
}

#[tokio::test]
async fn conflicting_upstreams_are_refused() {
    let alone = || MountSpec::sole(url("http://127.0.0.1:1/"));
    let a = || named("a", url("http://127.0.0.1:1/"));
    for (upstreams, expected) in [
        (vec![], MountError::Nothing),
        (vec![alone(), alone()], MountError::TwoDefaults),
        (vec![a(), a()], MountError::SameName("a".to_owned())),
        (vec![MountSpec { is_default: false, ..alone() }], MountError::Unreachable),
    ] {
        match tapline::app::Core::start(Settings { upstreams, ..settings("http://127.0.0.1:1/") }).await {
            Err(CoreStartError::Mounts(error)) => assert_eq!(error, expected),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it starts in spite of `{expected}`"),
        }
    }
}
