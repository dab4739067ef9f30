//! The demo as its visitor has it: client and server with a live proxy between them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use tapline::app::{Core, Settings};
use tapline::demo::HOLD_FILTER;
use tapline::demo::client;
use tapline::demo::server::{Scenario, ServerOptions, serve};
use tapline::event::{Command, Decision, Event, Feed, FeedReader, ReplayEvent, ReplaySummary, StepReport, Then};
use tapline::message::Message;
use tapline::tape::Tape;
use tapline::tape::play::{ClientConnection, PlayOptions, play};
use tapline::upstream::http::{ExtraHeaders, HttpUpstream};
use tapline::upstream::target::Target;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A demo server that ends when dropped, and its address.
async fn server(scenario: Scenario) -> (String, AbortOnDropHandle<()>) {
    // Where another test was first, its provider does as well.
    let _ = ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("it is bound"));
    let options = ServerOptions { scenario, ..ServerOptions::default() };
    (url, AbortOnDropHandle::new(tokio::spawn(serve(listener, options, CancellationToken::new()))))
}

fn upstream(url: &str) -> Arc<HttpUpstream> {
    Arc::new(HttpUpstream::new(url, ExtraHeaders::default()).expect("this is a URL"))
}

async fn proxy(url: &str, adjust: impl FnOnce(&mut Settings)) -> (Core, FeedReader) {
    let mut settings = Settings::new(Target::Server(upstream(url)));
    adjust(&mut settings);
    let core = Core::start(settings).await.expect("loopback has a free port");
    let (feed, reader) = Feed::bounded(4096);
    core.journal().subscribe(feed);
    (core, reader)
}

/// Runs the script through a recording proxy, and reads the tape.
async fn record(url: &str, dir: &Path) -> Tape {
    let (core, _reader) = proxy(url, |settings| settings.tapes = Some(dir.to_owned())).await;
    client::script(core.url()).await.expect("the script runs");
    core.shut_down(None).await;
    let mut tapes = std::fs::read_dir(dir).expect("there is a directory");
    let tape = tapes.next().expect("there is a tape").expect("it can be listed");
    Tape::read(&tape.path()).expect("it can be read")
}

async fn replay(tape: &Tape, url: &str) -> (Vec<StepReport>, ReplaySummary) {
    let mut steps = Vec::new();
    let report = |event| {
        if let ReplayEvent::Step(step) = event {
            steps.push(step);
        }
    };
    let open = |_| Ok(ClientConnection::left_open(upstream(url)));
    let summary = play(tape.into(), open, PlayOptions::default(), report, CancellationToken::new()).await;
    (steps, summary)
}

#[tokio::test]
async fn proxy_is_invisible_to_the_demo_client() {
    let (url, _server) = server(Scenario::Original).await;
    let (core, _reader) = proxy(&url, |_| {}).await;
    let direct = client::script(&url).await.expect("the script runs");
    let through = client::script(core.url()).await.expect("the script runs");
    assert_eq!(direct, through);
    core.shut_down(None).await;
}

#[tokio::test]
async fn replay_of_the_demo_fails_only_when_the_server_changes() {
    let dir = tempfile::tempdir().expect("there is a temporary directory");
    let (url, _server) = server(Scenario::Original).await;
    let tape = record(&url, dir.path()).await;
    assert!(tape.problems.is_empty(), "{:?}", tape.problems);

    let (again, _server) = server(Scenario::Original).await;
    let (steps, summary) = replay(&tape, &again).await;
    assert_eq!((summary.failed, summary.skipped), (0, 0), "{steps:#?}");

    let (changed, _server) = server(Scenario::Changed).await;
    let (steps, summary) = replay(&tape, &changed).await;
    let failed: Vec<_> = steps.iter().filter(|step| !step.differences.is_empty()).collect();
    assert_eq!(summary.failed, 1, "{steps:#?}");
    assert_eq!(failed[0].name.as_deref(), Some("get_forecast"));
    assert!(failed[0].differences.iter().any(|it| it.path.contains("sky") || it.path.contains("text")), "{failed:?}");
}

#[tokio::test]
async fn edit_at_the_breakpoint_mends_the_booking() {
    let (url, _server) = server(Scenario::Original).await;
    let (core, reader) = proxy(&url, |settings| settings.hold = Some(HOLD_FILTER.to_owned())).await;
    let commands = core.commands();
    let visitor = tokio::task::spawn_blocking(move || {
        let mut held = 0;
        while let Ok(event) = reader.events.recv_timeout(Duration::from_secs(30)) {
            let (ticket, envelope) = match event {
                Event::Held(held) => (held.ticket, held.envelope.clone()),
                Event::SessionClosed { .. } => break,
                _ => continue,
            };
            held += 1;
            let text = String::from_utf8(envelope.message.raw().to_vec()).expect("it is JSON");
            let decision = Decision::Edit(Message::new(text.replace("2026-02-29", "2026-03-04")));
            commands.send(Command::Settle { ticket, decision, then: Then::Nothing }).expect("it listens");
        }
        held
    });
    let exchanges = client::script(core.url()).await.expect("the script runs");
    assert_eq!(visitor.await.expect("it does not panic"), 1, "only the call that is wrong is held");
    let booked = exchanges.iter().find(|it| it.name.as_deref() == Some("book_flight")).expect("it is in the script");
    let text = booked.reply.as_ref().expect("it was answered")["result"]["content"][0]["text"].to_string();
    assert!(text.contains("Booked: TP204 on 2026-03-04") && text.contains("Well done"), "{text}");
    core.shut_down(None).await;
}
