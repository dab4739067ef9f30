//! A second server that is asked the same: what differs is told, and the first and its client notice nothing of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tapline::app::{Core, Settings};
use tapline::demo::server::{Scenario, ServerOptions, serve};
use tapline::envelope::Direction;
use tapline::event::{Comparison, Decision, Event, Level, OnQuit, Origin, ShadowCounts, ShadowVerdict};
use tapline::message::Kind;
use tapline::proxy::front::routes::MountSpec;
use tapline::shadow::{Options, WritePolicy};
use tapline::upstream::http::HttpUpstream;
use tapline::upstream::sse::SseUpstream;
use tapline::upstream::target::Target;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::peers::{self, Era};
use crate::support::child::role;
use crate::support::{
    Binary, Client, INITIALIZE, ProcessAlive, Rig, Server, command, envelope, settings, tapline_binary,
};

fn at(url: &str, headers: &[(&'static str, &'static str)]) -> Target {
    // As in `settings`.
    drop(rustls::crypto::ring::default_provider().install_default());
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    Target::Server(Arc::new(HttpUpstream::new(url, headers).unwrap()))
}

fn with_shadow(settings: Settings, target: Target, options: Options) -> Settings {
    Settings { shadow: Some(tapline::shadow::Settings { target, upstream: None, options }), ..settings }
}

fn with_writes() -> Options {
    Options { writes: WritePolicy::Sent, ..Options::default() }
}

async fn demo_server(scenario: Scenario) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let options = ServerOptions { scenario, ..ServerOptions::default() };
    tokio::spawn(serve(listener, options, CancellationToken::new()));
    url
}

fn demo_command(more: &[&str]) -> Target {
    let binary = tapline_binary();
    command(&[&[binary.to_str().unwrap(), "__demo-server"], more].concat())
}

/// Every request of the clients with what came of it, once there is something for each. Ask when the clients have left.
async fn judged(rig: &Rig) -> Vec<Arc<Comparison>> {
    rig.closed(rig.session(1).await).await;
    let what = "a verdict on every request";
    rig.until(what, |log| {
        let shadows: Vec<_> = log
            .iter()
            .filter_map(|event| match event {
                Event::SessionOpened(session) if session.origin == Origin::Shadow => Some(session.id),
                _ => None,
            })
            .collect();
        let asked = |event: &&Event| {
            let of_client = |it: &&Arc<tapline::envelope::Envelope>| !shadows.contains(&it.session);
            envelope(event)
                .filter(of_client)
                .is_some_and(|it| it.direction == Direction::ToServer && it.kind() == Kind::Request)
        };
        let compared: Vec<_> = log.iter().filter_map(comparison).cloned().collect();
        (compared.len() == log.iter().filter(asked).count()).then_some(compared)
    })
    .await
}

fn comparison(event: &Event) -> Option<&Arc<Comparison>> {
    if let Event::Shadow(event) = event { event.compared.as_ref() } else { None }
}

async fn counts(rig: &Rig) -> ShadowCounts {
    let last = |log: &[Event]| {
        log.iter().rev().find_map(|it| if let Event::Shadow(it) = it { Some(it.counts.clone()) } else { None })
    };
    rig.until("counts", last).await
}

/// `tools/call get_forecast differs .result.x`
fn told(compared: &[Arc<Comparison>], verdict: ShadowVerdict) -> Vec<String> {
    let those = compared.iter().filter(|it| it.verdict == verdict);
    those.map(|it| format!("{} {}", it.subject(), it.what())).collect()
}

#[tokio::test]
async fn differing_reply_is_reported_with_the_value() {
    let primary = settings(&demo_server(Scenario::Original).await);
    let rig = Rig::start(with_shadow(primary, demo_command(&["--changed"]), Options::default())).await;
    tapline::demo::client::script(rig.url()).await.unwrap();
    let compared = judged(&rig).await;
    let differ: Vec<_> = compared.iter().filter(|it| it.verdict == ShadowVerdict::Differs).collect();
    assert!(!differ.is_empty());
    for comparison in &differ {
        assert_eq!(comparison.subject(), "tools/call get_forecast");
        let paths: Vec<_> = comparison.differences.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, [".result.content[0].text.days[0].sky", ".result.structuredContent.days[0].sky"]);
        let sky = &comparison.differences[1];
        assert_eq!((sky.expected.as_deref(), sky.got.as_deref()), (Some("\"sun\""), Some("\"fog\"")));
        assert!(comparison.took.is_some() && comparison.shadow_took.is_some() && comparison.reply.is_some());
    }
    let counts = counts(&rig).await;
    let first = counts.first.clone().unwrap();
    assert_eq!((first.seq, first.what.as_str()), (differ[0].seq, ".result.content[0].text.days[0].sky"));
    assert_eq!((counts.differs, counts.missing), (differ.len() as u64, 0));
    let line = rig.line(Level::Warn, "get_forecast: 2 values differ").await;
    assert_eq!((line.source.as_str(), line.seq), ("shadow", Some(first.seq)));
    assert!(told(&compared, ShadowVerdict::Skipped).iter().any(|it| it.contains("book_flight")));
}

#[tokio::test]
async fn same_server_compares_equal_on_every_transport() {
    let url = demo_server(Scenario::Original).await;
    let other = demo_server(Scenario::Original).await;
    // It speaks the older transport in front of any server.
    let old = Rig::before(&other).await;
    let events = Target::Events(SseUpstream::new(&format!("http://{}/sse", old.address()), Vec::new()).unwrap());
    for shadow in [demo_command(&[]), at(&other, &[]), events] {
        let rig = Rig::start(with_shadow(settings(&url), shadow, with_writes())).await;
        tapline::demo::client::script(rig.url()).await.unwrap();
        let compared = judged(&rig).await;
        assert_eq!(told(&compared, ShadowVerdict::Differs), Vec::<String>::new());
        assert_eq!(told(&compared, ShadowVerdict::Missing), Vec::<String>::new());
        let same = told(&compared, ShadowVerdict::Same);
        for subject in ["initialize", "tools/call book_flight", "tools/call summarize"] {
            assert!(same.iter().any(|it| it.trim() == subject), "{subject} is not among {same:?}");
        }
    }
}

#[tokio::test]
async fn rmcp_compares_equal_in_both_eras() {
    let words = role("rmcp");
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    for era in [Era::Legacy, Era::Modern] {
        let primary = peers::serve_http(era == Era::Legacy, false).await;
        let other = peers::serve_http(era == Era::Legacy, true).await;
        let direct = peers::transcript(peers::over_http(&primary, era).await, era).await;
        for shadow in [at(&other, &[]), command(&words)] {
            let rig = Rig::start(with_shadow(settings(&primary), shadow, with_writes())).await;
            let through = peers::transcript(peers::over_http(rig.url(), era).await, era).await;
            peers::compare(&direct, &through);
            let told_all = rig.until("all replies", |log| {
                let compared: Vec<_> = log.iter().filter_map(comparison).cloned().collect();
                // The handshake, the list, and the calls.
                (compared.len() >= through.len() - 1).then_some(compared)
            });
            let compared = told_all.await;
            let other: Vec<_> = compared.iter().filter(|it| it.verdict != ShadowVerdict::Same).collect();
            assert!(other.is_empty(), "{era:?}: {other:?}");
        }
    }
}

/// Answers every request with its id.
const PRIMARY: &str = r#"
    while read -r line; do
        id=${line#*\"id\":}; id=${id%%[,\}]*}
        case "$line" in *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"n": 1.10}}' ;; esac
    done
"#;

/// What a client gets, with ids of either kind.
async fn answers(rig: &Rig) -> Vec<String> {
    let mut client = rig.client().await;
    let mut answers = vec![client.initialize().await.text().to_owned()];
    for id in ["1", "\"1\"", "\"é\"", "12345678901234567890"] {
        let ping = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        answers.push(client.call(ping).await.text().to_owned());
    }
    client.request("DELETE /mcp", "", b"").await;
    client.response().await;
    answers
}

#[tokio::test]
async fn misbehaving_shadow_is_invisible() {
    let direct = answers(&Rig::script(PRIMARY).await).await;
    assert!(direct[2].contains(r#""id":"1","result":{"n": 1.10}"#), "{direct:?}");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unreachable = format!("http://{}/mcp", nobody.local_addr().unwrap());
    drop(nobody);
    let silent = Server::start().await;
    let alive = ProcessAlive::new();
    let hangs = format!("{}exec sleep 1000", alive.line());
    let script = |script: &str| command(&["sh", "-c", script]);
    for (what, shadow) in [
        ("hangs", script(&hangs)),
        ("hangs over HTTP", at(&silent.url(), &[])),
        ("dies", script("read -r line; exit 3")),
        ("refuses to start", command(&["there-is-no-such-command"])),
        ("cannot be reached", at(&unreachable, &[])),
        ("floods", script(r#"exec yes '{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}'"#)),
        ("floods with no JSON", script("exec yes")),
        ("floods stderr", script("exec yes >&2")),
        (
            "says garbage",
            script(r#"while read -r line; do echo 'ready!'; printf '\377\n{"id":77,"result":{}}\n[]\n'; done"#),
        ),
    ] {
        let primary = Settings::new(command(&["sh", "-c", PRIMARY]));
        let options = Options { patience: Duration::from_millis(50), ..Options::default() };
        let rig = Rig::start(with_shadow(primary, shadow, options)).await;
        assert_eq!(answers(&rig).await, direct, "{what}");
        let compared = judged(&rig).await;
        let same = compared.iter().filter(|it| !matches!(it.verdict, ShadowVerdict::Missing | ShadowVerdict::Skipped));
        assert_eq!(same.count(), 0, "{what}: {compared:?}");
        assert_eq!(compared[0].verdict, ShadowVerdict::Missing, "{what}: {compared:?}");
        rig.quit(OnQuit::Forward).await;
    }
    alive.ended().await;
}

/// A server that keeps what it was sent, head and body, and knows one tool that reads and one that writes.
async fn keeper() -> (String, watch::Receiver<Vec<String>>) {
    let mut server = Server::start().await;
    let (url, (sent, kept)) = (server.url(), watch::channel(Vec::new()));
    tokio::spawn(async move {
        loop {
            let exchange = server.next().await;
            sent.send_modify(|kept: &mut Vec<String>| kept.push(format!("{:?} {}", exchange.head, exchange.text())));
            let Ok(message) = serde_json::from_str::<Value>(exchange.text()) else {
                exchange.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            };
            let tools = json!([{"name": "look", "annotations": {"readOnlyHint": true}}, {"name": "push"}]);
            let result = match message["method"].as_str() {
                Some("tools/list") => json!({"tools": tools}),
                _ => json!({}),
            };
            match message.get("id") {
                Some(id) => {
                    let reply = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
                    exchange.json_with("mcp-session-id: of-this-server\r\n", reply).await;
                }
                None => exchange.accept().await,
            }
        }
    });
    (url, kept)
}

async fn call(client: &mut Client, id: u32, tool: &str) {
    let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool}});
    assert_eq!(client.call(call.to_string()).await.status(), "200");
}

#[tokio::test]
async fn writing_tools_need_permission() {
    for (options, pushes) in [(Options::default(), 0), (with_writes(), 1)] {
        let ((primary, at_primary), (shadow, at_shadow)) = (keeper().await, keeper().await);
        let rig = Rig::start(with_shadow(settings(&primary), at(&shadow, &[]), options)).await;
        let mut client = rig.client().await;
        client.initialize().await;
        client.call(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
        call(&mut client, 2, "push").await;
        call(&mut client, 3, "look").await;
        let looked = rig.event("the last verdict", |event| {
            comparison(event).filter(|it| it.name.as_deref() == Some("look")).cloned()
        });
        assert_eq!(looked.await.verdict, ShadowVerdict::Same);
        let calls = |kept: &watch::Receiver<Vec<String>>, tool: &str| {
            kept.borrow().iter().filter(|sent| sent.contains("tools/call") && sent.contains(tool)).count()
        };
        assert_eq!((calls(&at_primary, "push"), calls(&at_shadow, "push")), (1, pushes));
        assert_eq!((calls(&at_primary, "look"), calls(&at_shadow, "look")), (1, 1));
        assert_eq!(counts(&rig).await.skipped, 1 - pushes as u64);
    }
}

#[tokio::test]
async fn client_secrets_never_reach_the_shadow() {
    let ((primary, at_primary), (shadow, at_shadow)) = (keeper().await, keeper().await);
    let target = at(&shadow, &[("authorization", "Bearer of-the-shadow")]);
    let rig = Rig::start(with_shadow(settings(&primary), target, Options::default())).await;
    let mut client = rig.client().await;
    let secrets = ["s3cr3t-token", "s3cr3t-cookie", "s3cr3t-key", "s3cr3t-agent", "s3cr3t-query"];
    client.headers = "authorization: Bearer s3cr3t-token\r\ncookie: a=s3cr3t-cookie\r\nx-api-key: s3cr3t-key\r\n\
                      user-agent: s3cr3t-agent\r\n"
        .to_owned();
    let start = "POST /mcp?key=s3cr3t-query";
    let ping = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", ping.len());
    client.request(start, &head, ping.as_bytes()).await;
    assert_eq!(client.response().await.status(), "200");
    let compared = rig.event("a verdict", |event| comparison(event).cloned()).await;
    assert_eq!(compared.verdict, ShadowVerdict::Same);
    let (at_primary, at_shadow) = (at_primary.borrow().join("\n"), at_shadow.borrow().join("\n"));
    for secret in secrets {
        assert!(at_primary.contains(secret), "{secret} is not in {at_primary}");
        assert!(!at_shadow.contains(secret), "{secret} is in {at_shadow}");
    }
    assert!(at_shadow.contains(ping) && at_shadow.contains("Bearer of-the-shadow"), "{at_shadow}");
}

#[tokio::test]
async fn holds_apply_to_the_primary_only() {
    let script = || command(&["sh", "-c", PRIMARY]);
    let rig = Rig::start(with_shadow(Settings::new(script()), script(), Options::default())).await;
    let mut client = rig.client().await;
    client.initialize().await;
    rig.hold("~m ping").await;
    client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
    let request = rig.held(1).await;
    let mut edited = String::from_utf8(request.envelope.message.raw().to_vec()).unwrap();
    edited = edited.replace("\"id\":1", "\"id\": 1");
    rig.settle(request.ticket, Decision::Edit(tapline::message::Message::new(edited.clone())));
    let reply = rig.held(2).await;
    assert_eq!(reply.envelope.direction, Direction::ToClient);
    rig.settle(reply.ticket, Decision::Forward);
    assert_eq!(client.response().await.status(), "200");
    let compared = rig.event("a verdict", |event| comparison(event).filter(|it| it.method == "ping").cloned()).await;
    assert_eq!(compared.verdict, ShadowVerdict::Same);
    let shadow = rig.event("the shadow's session", |event| match event {
        Event::SessionOpened(session) if session.origin == Origin::Shadow => Some(session.id),
        _ => None,
    });
    let shadow = shadow.await;
    let sent = rig.message(Direction::ToServer, move |it| it.session == shadow && it.method() == Some("ping")).await;
    assert_eq!(sent.message.raw(), edited.as_bytes());
    let told = rig.quit(OnQuit::Forward).await;
    let held = told.iter().filter(|event| matches!(event, Event::Held(_))).count();
    assert_eq!(held, 2, "the shadow's own messages pass");
    let ended = told.iter().any(|event| matches!(event, Event::SessionClosed { session, .. } if *session == shadow));
    assert!(ended, "it ends with what it shadows");
}

#[tokio::test]
async fn run_prints_divergences_and_counts() {
    let program = tapline_binary();
    let program = program.to_str().unwrap();
    let shadow = format!("'{program}' __demo-server --changed");
    let mut binary = Binary::run(&[
        "--no-record",
        "--shadow",
        &shadow,
        "--shadow-ignore",
        ".result.content",
        "--",
        program,
        "__demo-server",
    ])
    .await;
    let mut client = binary.client().await;
    client.initialize().await;
    client.call(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    let arguments = json!({"name": "get_forecast", "arguments": {"city": "Oslo"}});
    client.call(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": arguments}).to_string()).await;
    let line = loop {
        let line = binary.line().await.expect("a line of the divergence");
        if line.contains("shadow: #") {
            break line;
        }
    };
    assert!(line.ends_with(r#"1 value differs: .result.structuredContent.days[0].sky "sun" -> "fog""#), "{line}");
    binary.signal("TERM");
    let (status, lines, _) = binary.end().await;
    assert_eq!(status.code(), Some(143), "a divergence is no failure");
    let last = lines.last().unwrap();
    assert!(last.starts_with("tapline: shadow: 2 same, 1 differ; first #"), "{lines:?}");
}

#[tokio::test]
async fn shadow_belongs_to_one_upstream() {
    let script = || command(&["sh", "-c", PRIMARY]);
    let places = |default: bool| {
        let place = |name: &str, is_default| MountSpec { name: Some(name.to_owned()), is_default, target: script() };
        vec![place("one", default), place("two", false)]
    };
    let settings = |default: bool, upstream: Option<&str>| {
        let upstream = upstream.map(str::to_owned);
        let shadow = tapline::shadow::Settings { target: script(), upstream, options: Options::default() };
        Settings { upstreams: places(default), shadow: Some(shadow), ..Settings::new(script()) }
    };
    for (upstream, path, other) in [(None, "/mcp", "/two/mcp"), (Some("two"), "/two/mcp", "/one/mcp")] {
        let rig = Rig::start(settings(true, upstream)).await;
        for path in [other, path] {
            let head = format!("content-type: application/json\r\ncontent-length: {}\r\n", INITIALIZE.len());
            let mut client = rig.client().await;
            client.request(&format!("POST {path}"), &head, INITIALIZE.as_bytes()).await;
            assert_eq!(client.response().await.status(), "200");
        }
        let compared = rig.event("a verdict", |event| comparison(event).cloned()).await;
        assert_eq!((compared.verdict, compared.session), (ShadowVerdict::Same, rig.session(2).await));
    }
    for (default, upstream, why) in [(false, None, "the upstream at `/mcp`"), (true, Some("three"), "`three`")] {
        let error = Core::start(settings(default, upstream)).await.err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}
