//! What is sent again, and what never is: counted at the server.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::event::{Decision, Event, Landmark, Level, LogLine, OnQuit};
use tapline::message::Message;
use tapline::upstream::retry::{Retry, Section};
use tapline::upstream::sse::SseUpstream;
use tapline::upstream::target::Target;
use tempfile::TempDir;

use crate::support::{Binary, INITIALIZE, LegacySseClient, Rig, Server, Shut, settings, soon};

const CALL: &str = r#"{"jsonrpc":"2.0", "id":7,"method":"tools/call","params":{"name":"a"}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0", "id":8,"method":"tools/list"}"#;

/// Patient enough for a server that the test opens when it likes.
fn patient() -> Retry {
    let hour = Duration::from_secs(3600);
    Retry::new(Section { attempts: 20, first: Duration::from_millis(5), longest: hour }).unwrap()
}

fn retrying(url: &str) -> Settings {
    Settings { retry: patient(), ..settings(url) }
}

/// The line of an attempt.
async fn attempt(rig: &Rig, number: usize) -> LogLine {
    rig.line(Level::Warn, &format!("attempt {number} of 21: cannot reach")).await
}

/// The marks on the only tape.
fn marks(dir: &Path) -> Vec<serde_json::Value> {
    let [tape] =
        std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>().try_into().unwrap();
    let tape = std::fs::read_to_string(tape).unwrap();
    let lines = tape.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["mark"] == "attempt").collect()
}

#[tokio::test]
async fn unreachable_server_is_retried_and_recorded() {
    let (dir, shut) = (TempDir::new().unwrap(), Shut::new());
    let rig = Rig::start(Settings { tapes: Some(dir.path().to_owned()), ..retrying(&shut.url()) }).await;
    let mut client = rig.client().await;
    client.headers = "x-mine: 1\r\n".to_owned();
    client.post(CALL).await;
    let asked = rig.message(ToServer, |_| true).await;
    let line = attempt(&rig, 3).await;
    assert_eq!(
        (line.session, line.seq, line.landmark),
        (Some(asked.session), Some(asked.seq), Some(Landmark::Attempt))
    );
    let mut server = shut.open();
    let exchange = server.next().await;
    assert_eq!((exchange.text(), exchange.head.get("x-mine")), (CALL, Some("1")), "the same once more");
    exchange.json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#).await;
    assert_eq!(client.response().await.status(), "200");
    assert!(server.is_idle());
    let told = rig.quit(OnQuit::Forward).await;
    let lines: Vec<_> = told.iter().filter_map(attempt_text).collect();
    let marks = marks(dir.path());
    assert!(lines.len() >= 2, "{lines:?}");
    assert_eq!(marks.iter().map(|mark| mark["text"].as_str().unwrap()).collect::<Vec<_>>(), lines);
    assert!(marks.iter().all(|mark| mark["seq"] == asked.seq.0), "{marks:?}");
}

fn attempt_text(event: &Event) -> Option<&str> {
    match event {
        Event::Log(line) if line.landmark == Some(Landmark::Attempt) => Some(&line.text),
        _ => None,
    }
}

#[tokio::test]
async fn calls_that_may_have_run_are_never_retried() {
    let mut server = Server::start().await;
    let rig = Rig::start(retrying(&server.url())).await;
    let mut client = rig.client().await;
    for message in [CALL, INITIALIZE, r#"{"jsonrpc":"2.0","method":"notifications/x"}"#, "nonsense"] {
        client.post(message).await;
        server.next().await.reset();
        assert_eq!(client.response().await.status(), "502", "{message}");
    }
    // The answer had begun.
    client.post(LIST).await;
    let mut exchange = server.next().await;
    exchange.write("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"json").await;
    exchange.reset();
    assert_eq!(client.response().await.status(), "502");
    assert!(server.is_idle(), "each was read once");
    assert!(rig.complaints().iter().all(|line| !line.contains("attempt")), "{:?}", rig.complaints());
}

#[tokio::test]
async fn lists_and_pings_are_retried_without_an_answer() {
    let mut server = Server::start().await;
    let rig = Rig::start(retrying(&server.url())).await;
    let mut client = rig.client().await;
    for method in ["ping", "tools/list", "resources/templates/list", "server/discover"] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":8,"method":"{method}"}}"#);
        client.post(&request).await;
        server.next().await.reset();
        let again = server.next().await;
        assert_eq!(again.text(), request);
        again.json(r#"{"jsonrpc":"2.0","id":8,"result":{}}"#).await;
        assert_eq!(client.response().await.status(), "200", "{method}");
    }
    assert!(server.is_idle());
    rig.line(Level::Warn, "attempt 2 of 21: ").await;
}

#[tokio::test]
async fn edited_message_is_retried_as_edited() {
    let shut = Shut::new();
    let rig = Rig::start(retrying(&shut.url())).await;
    rig.hold("~m tools/call & ~q").await;
    let mut client = rig.client().await;
    client.headers = "mcp-method: tools/call\r\nmcp-name: a\r\n".to_owned();
    client.post(CALL).await;
    let edited = CALL.replace("\"a\"", "\"b\"");
    rig.settle(rig.held(1).await.ticket, Decision::Edit(Message::new(edited.clone())));
    attempt(&rig, 2).await;
    let exchange = shut.open().next().await;
    assert_eq!((exchange.text(), exchange.head.get("mcp-name")), (edited.as_str(), Some("b")));
}

#[tokio::test]
async fn hang_up_ends_retries() {
    let shut = Shut::new();
    let rig = Rig::start(retrying(&shut.url())).await;
    let calls = &rig.core().mounts().proxy().stop().calls;
    let mut client = rig.client().await;
    client.post(CALL).await;
    attempt(&rig, 2).await;
    assert_eq!(calls.len(), 1);
    drop(client);
    calls.close();
    soon("the end of the exchange", calls.wait()).await;
    let mut server = shut.open();
    let mut other = rig.client().await;
    other.post(LIST).await;
    let exchange = server.next().await;
    assert_eq!(exchange.text(), LIST, "the abandoned call did not come");
}

#[tokio::test]
async fn quit_ends_a_backoff() {
    let (shut, hour) = (Shut::new(), Duration::from_secs(3600));
    let retry = Retry::new(Section { attempts: 2, first: hour, longest: 10 * hour }).unwrap();
    let rig = Rig::start(Settings { retry, grace: hour, ..settings(&shut.url()) }).await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    rig.message(ToServer, |_| true).await;
    let (told, response) = tokio::join!(rig.quit(OnQuit::Forward), client.response());
    assert_eq!(response.status(), "502");
    assert!(response.text().contains("cannot reach"), "{}", response.text());
    assert!(told.iter().all(|event| attempt_text(event).is_none()));
}

#[tokio::test]
async fn event_stream_is_retried() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let shut = Shut::new();
    let target = Target::Events(SseUpstream::new(&shut.url(), Vec::new()).unwrap());
    let rig = Rig::start(Settings { retry: patient(), ..Settings::new(target) }).await;
    let address = rig.address();
    let opening = tokio::spawn(LegacySseClient::open(address));
    assert_eq!(attempt(&rig, 2).await.landmark, Some(Landmark::Attempt));
    let mut server = shut.open();
    let mut exchange = server.next().await;
    assert_eq!(exchange.head.start, "GET /mcp HTTP/1.1");
    exchange.begin_stream().await;
    exchange.write("event: endpoint\ndata: /message?x\n\n").await;
    assert_eq!(soon("the client", opening).await.unwrap().address, "/message?x");
}

#[tokio::test]
async fn retries_option_sets_the_attempts() {
    for (arguments, attempts) in [(&[][..], 3), (&["--retries", "1"], 1), (&["--retries", "0"], 0)] {
        let shut = Shut::new();
        let url = shut.url();
        let mut binary = Binary::run(&[&["--no-record", "--upstream", &url], arguments].concat()).await;
        let response = binary.client().await.call(CALL).await;
        assert_eq!((response.status(), &response.json()["id"]), ("502", &json!(7)));
        let text = response.text().to_owned();
        assert!(text.contains("cannot reach") && text.contains("is the server running"), "{text}");
        let mut tried = 0;
        while let Some(line) = binary.line().await.filter(|line| !line.contains("ERROR")) {
            tried += usize::from(line.contains("attempt"));
        }
        assert_eq!(tried, attempts, "{arguments:?}");
    }
}

#[tokio::test]
async fn final_error_is_part_of_the_session() {
    let shut = Shut::new();
    let retry = Retry::new(Section { attempts: 1, first: Duration::from_millis(1), ..Section::default() }).unwrap();
    let rig = Rig::start(Settings { retry, ..settings(&shut.url()) }).await;
    let mut client = rig.client().await;
    assert_eq!(client.call(CALL).await.status(), "502");
    let answer = rig.message(ToClient, |it| it.reply_to.is_some()).await;
    assert_eq!(answer.transport.status, Some(502));
    rig.line(Level::Warn, "attempt 2 of 2: cannot reach").await;
}
