//! The end of tapline, in its order: who waits for an answer gets it, or an error in time; nothing is left behind.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Author, Outcome};
use tapline::event::{Decision, Event, OnQuit};
use tapline::tape::Tape;
use tempfile::TempDir;

use crate::support::terminal::{CTRL_C, Terminal};
use crate::support::{Binary, Client, LegacySseClient, ProcessAlive, Rig, Server, envelope, settings};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
const HOUR: Duration = Duration::from_secs(3600);

/// A tapline in front of a server, with a call that the server has and has not answered.
async fn with_a_call(arguments: &[&str], server: &mut Server) -> (Binary, Client, crate::support::Exchange) {
    let url = server.url();
    let binary = Binary::run(&[arguments, &["--upstream", &url]].concat()).await;
    let mut client = binary.client().await;
    client.post(CALL).await;
    let exchange = server.next().await;
    (binary, client, exchange)
}

fn only_tape(dir: &Path) -> Tape {
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    let [tape] = files.try_into().unwrap();
    Tape::read(&tape).unwrap()
}

#[tokio::test]
async fn grace_lets_a_call_finish() {
    let (dir, mut server) = (TempDir::new().unwrap(), Server::start().await);
    let tapes = dir.path().to_str().unwrap();
    let (mut binary, mut client, exchange) = with_a_call(&["--tapes", tapes, "--grace", "1h"], &mut server).await;
    binary.signal("TERM");
    let line = binary.line_with("waiting for").await;
    assert!(line.starts_with("waiting for 1 call, 3") && line.ends_with(" s left; again to force"), "{line}");
    exchange.json(RESULT).await;
    assert_eq!(client.response().await.text(), RESULT);
    let (status, ..) = binary.end().await;
    assert_eq!(status.code(), Some(143));
    let tape = only_tape(dir.path());
    assert_eq!((tape.envelopes.len(), tape.end.as_deref()), (2, Some("tapline ended")));
}

#[tokio::test]
async fn grace_lets_a_stream_finish() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings { grace: HOUR, ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    client.head().await;
    let quitting = rig.core().mounts().proxy().stop().listening.clone();
    let said = async {
        quitting.cancelled().await;
        exchange.write(format!("data: {RESULT}\n\n")).await;
        drop(exchange);
        client.rest().await
    };
    let (told, said) = tokio::join!(rig.quit(OnQuit::Forward), said);
    assert_eq!(said, format!("data: {RESULT}\n\n"));
    assert!(told.iter().filter_map(envelope).any(|it| it.direction == ToClient));
}

#[tokio::test]
async fn grace_over_fails_a_call_and_records_it() {
    let (dir, mut server) = (TempDir::new().unwrap(), Server::start().await);
    let grace = Duration::from_millis(1);
    let rig = Rig::start(Settings { grace, tapes: Some(dir.path().to_owned()), ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    let exchange = server.next().await;
    let (told, response) = tokio::join!(rig.quit(OnQuit::Forward), client.response());
    assert_eq!((response.status(), &response.json()["id"]), ("502", &json!(7)));
    assert_eq!(response.json()["error"]["code"], -31002);
    exchange.hung_up().await;
    // In this order: said, answered, closed, stopped.
    let place =
        |what: &str, fits: &dyn Fn(&Event) -> bool| told.iter().position(fits).unwrap_or_else(|| panic!("{what}"));
    let late = place("a line", &|it| matches!(it, Event::Log(line) if line.text.contains("not answered within 1ms")));
    let error =
        place("the error", &|it| envelope(it).is_some_and(|it| it.outcome == Outcome::Injected(Author::Tapline)));
    let closed = place("the end of the session", &|it| matches!(it, Event::SessionClosed { .. }));
    let stopping = place("the end", &|it| matches!(it, Event::Stopping));
    assert!(late < error && error < closed && closed < stopping, "{late} {error} {closed} {stopping}");
    assert_eq!(stopping + 1, told.len(), "no further event follows");
    let tape = only_tape(dir.path());
    assert_eq!((tape.envelopes.len(), tape.end.is_some()), (2, true));
}

#[tokio::test]
async fn grace_over_fails_a_stream_without_its_reply() {
    for (begun, code) in [("{\"method\":\"a\"}", Some(-31002)), (RESULT, None)] {
        let mut server = Server::start().await;
        let rig = Rig::start(Settings { grace: Duration::from_millis(1), ..settings(&server.url()) }).await;
        let mut client = rig.client().await;
        client.post(CALL).await;
        let mut exchange = server.next().await;
        exchange.begin_stream().await;
        exchange.write(format!("data: {begun}\n\n")).await;
        client.head().await;
        let frame = format!("data: {begun}\n\n");
        assert_eq!(client.bytes(frame.len()).await, frame.as_bytes());
        let (told, rest) = tokio::join!(rig.quit(OnQuit::Forward), client.rest());
        let message = rest.strip_prefix(b"event: message\ndata: ").map(|data| serde_json::from_slice(data).unwrap());
        let message: Option<serde_json::Value> = message;
        assert_eq!(message.as_ref().and_then(|it| it["error"]["code"].as_i64()), code, "{rest:?}");
        assert!(message.is_none_or(|it| it["id"] == 7));
        let last = told.iter().filter_map(envelope).next_back().unwrap();
        assert_eq!((last.direction, last.reply_to.is_some()), (ToClient, true), "it is part of the session");
        exchange.hung_up().await;
    }
}

#[tokio::test]
async fn second_signal_forces_the_end() {
    for (first, second, code) in [("TERM", "TERM", 143), ("INT", "TERM", 130)] {
        let mut server = Server::start().await;
        let (mut binary, mut client, _exchange) = with_a_call(&["--no-record", "--grace", "1h"], &mut server).await;
        binary.signal(first);
        binary.line_with("waiting for 1 call").await;
        // Closing a terminal may be what the first one came from.
        binary.signal("HUP");
        binary.signal(second);
        assert_eq!(client.response().await.json()["error"]["code"], -31002);
        let (status, lines, _) = binary.end().await;
        assert_eq!(status.code(), Some(code));
        assert!(lines.iter().any(|line| line.contains("1 call is failed")), "{lines:?}");
    }
}

#[tokio::test]
async fn second_signal_kills_stubborn_children() {
    let alive = ProcessAlive::new();
    let script = format!("{}trap '' TERM; read -r line; while :; do sleep 1000; done", alive.line());
    let mut binary = Binary::run(&["--no-record", "--lenient", "--", "sh", "-c", &script]).await;
    let mut client = binary.client().await;
    client.post(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await;
    assert_eq!(client.response().await.status(), "202");
    binary.signal("TERM");
    binary.line_with("waiting for 1 server to leave").await;
    binary.signal("TERM");
    alive.ended().await;
    assert_eq!(binary.end().await.0.code(), Some(143));
}

#[tokio::test]
async fn listening_streams_are_not_waited_for() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings { grace: HOUR, ..settings(&server.url()) }).await;
    let (mut stream, mut subscribed, idle) = (rig.client().await, rig.client().await, rig.client().await);
    stream.get().await;
    let mut listening = server.next().await;
    listening.begin_stream().await;
    stream.head().await;
    subscribed.post(r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#).await;
    let mut subscription = server.next().await;
    subscription.begin_stream().await;
    subscribed.head().await;
    let told = rig.quit(OnQuit::Forward).await;
    assert!(stream.rest().await.is_empty() && subscribed.rest().await.is_empty());
    listening.hung_up().await;
    subscription.hung_up().await;
    idle.closed().await;
    assert!(!told.iter().any(|it| matches!(it, Event::Ending(_))), "{told:#?}");
}

#[tokio::test]
async fn dropped_messages_are_not_waited_for() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings { grace: HOUR, ..settings(&server.url()) }).await;
    rig.hold("~m tools/call").await;
    let (mut asked, mut answered) = (rig.client().await, rig.client().await);
    asked.post(CALL).await;
    let request = rig.held(1).await;
    rig.settle(request.ticket, Decision::Drop);
    rig.fate(&request).await;
    answered.post(CALL).await;
    rig.settle(rig.held(2).await.ticket, Decision::Forward);
    server.next().await.json(RESULT).await;
    let reply = rig.held(3).await;
    rig.settle(reply.ticket, Decision::Drop);
    rig.fate(&reply).await;
    rig.quit(OnQuit::Forward).await;
    for mut client in [asked, answered] {
        assert_eq!(client.response().await.status(), "502");
    }
}

#[tokio::test]
async fn held_call_is_forwarded_and_waited_for() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings { grace: HOUR, ..settings(&server.url()) }).await;
    rig.hold("~m tools/call & ~q").await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    rig.held(1).await;
    let answer = async { server.next().await.json(RESULT).await };
    let (_, (), response) = tokio::join!(rig.quit(OnQuit::Forward), answer, client.response());
    assert_eq!(response.text(), RESULT);
}

/// A server that answers once it is told to, by a notification.
const LATER: &str = r#"
    while read -r line; do
        case "$line" in
        *'"method":"go"'*) echo '{"jsonrpc":"2.0","id":7,"result":{}}' ;;
        *'"method":"leave"'*) exit ;;
        esac
    done
"#;

#[tokio::test]
async fn legacy_sse_client_gets_its_answer_before_the_end() {
    let rig =
        Rig::start(Settings { grace: HOUR, ..Settings::new(crate::support::command(&["sh", "-c", LATER])) }).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    client.post(CALL).await;
    rig.message(ToServer, |it| it.method() == Some("tools/call")).await;
    rig.hold("~m go").await;
    client.send(r#"{"jsonrpc":"2.0","method":"go"}"#).await;
    rig.held(1).await;
    // Quitting lets `go` through, and only then the server answers.
    let (told, message) = tokio::join!(rig.quit(OnQuit::Forward), client.message());
    assert_eq!(message["id"], 7);
    assert!(client.ends().await);
    assert!(told.iter().any(|it| matches!(it, Event::SessionClosed { .. })));
}

#[tokio::test]
async fn legacy_sse_cancelled_call_is_not_waited_for() {
    let rig =
        Rig::start(Settings { grace: HOUR, ..Settings::new(crate::support::command(&["sh", "-c", LATER])) }).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    client.post(CALL).await;
    client.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#).await;
    rig.message(ToServer, |it| it.method() == Some("notifications/cancelled")).await;
    rig.quit(OnQuit::Forward).await;
    assert!(client.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn screen_stays_until_all_is_done() {
    let mut server = Server::start().await;
    let url = server.url();
    let run = ["run", "--listen", "127.0.0.1:0", "--no-record", "--grace", "1h", "--upstream", url.as_str()];
    for (first, second, status) in [("Q", Some("Q"), 0), (CTRL_C, Some(CTRL_C), 0), ("Q", None, 0)] {
        let mut terminal = Terminal::start(&run);
        let address = terminal.url();
        let address = address.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
        let mut client = Client::connect(address).await;
        client.post(CALL).await;
        let exchange = server.next().await;
        terminal.press(first);
        if first == CTRL_C {
            terminal.press(first);
        }
        terminal.wait_for("ending: 1 call, ");
        match second {
            Some(again) => terminal.press(again),
            None => exchange.json(RESULT).await,
        }
        let expected = if second.is_some() { "502" } else { "200" };
        assert_eq!(client.response().await.status(), expected);
        terminal.ends_with(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_a_screen_and_force_it() {
    let mut server = Server::start().await;
    let url = server.url();
    let terminal =
        Terminal::start(&["run", "--listen", "127.0.0.1:0", "--no-record", "--grace", "1h", "--upstream", &url]);
    let address = terminal.url();
    let address = address.strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let mut client = Client::connect(address).await;
    client.post(CALL).await;
    let _exchange = server.next().await;
    let process = rustix::process::Pid::from_raw(terminal.process()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    terminal.wait_for("ending: 1 call, ");
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(client.response().await.status(), "502");
    terminal.ends_with(143);
}
