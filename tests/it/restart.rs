//! Another process of a server takes the place of one that is gone, and its client stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::{Value, json};
use tapline::app;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Author, Outcome, Via};
use tapline::event::{Command, Event, Level, OnQuit, SessionState};
use tapline::proxy::session::LiveSession;
use tapline::proxy::sessions::SessionTable;
use tapline::tape::Mark;
use tapline::tape::read::{TapeEntry, TapeReader};
use tapline::upstream::pool::{Restart, Settings};
use tapline::upstream::target::Target;
use tempfile::TempDir;

use crate::support::child::role;
use crate::support::{Client, ProcessAlive, Rig, client_in_session, envelope, kept_command, request, soon};

/// A server in a file that can be put in the place of another, with what its processes have heard beside it.
struct Script {
    dir: TempDir,
    life: Option<String>,
}

impl Script {
    fn new() -> Self {
        let script = Self { dir: TempDir::new().unwrap(), life: None };
        script.write("1", CAPABILITIES);
        script
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// As a linker does: another file in the place of the old one.
    fn write(&self, version: &str, capabilities: &str) {
        let heard = self.dir.path().join("heard");
        let script = SERVER.replace("VERSION", version).replace("CAPABILITIES", capabilities);
        let script = script.replace("HEARD", heard.to_str().unwrap()).replace("LISTS", self.lists().to_str().unwrap());
        let new = self.dir.path().join("new");
        std::fs::write(&new, format!("{}{script}", self.life.as_deref().unwrap_or_default())).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }

    /// While it is there, lists are answered.
    fn lists(&self) -> PathBuf {
        self.dir.path().join("lists")
    }

    /// The methods that all its processes have heard, in order.
    fn heard(&self) -> Vec<String> {
        let heard = std::fs::read_to_string(self.dir.path().join("heard")).unwrap();
        let method = |line: &str| serde_json::from_str::<Value>(line).unwrap()["method"].as_str().map(str::to_owned);
        heard.lines().filter_map(method).collect()
    }

    async fn rig(&self, kept: Settings) -> Rig {
        Rig::kept(&["sh", self.path().to_str().unwrap()], kept).await
    }
}

const CAPABILITIES: &str =
    r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true},"logging":{}}"#;

/// Answers with its version and pid, but does not survive `die` and `leave`, and answers neither `wait` nor, before it is told, lists.
const SERVER: &str = r#"
while read -r line; do
    printf '%s\n' "$line" >>'HEARD'
    id=${line#*\"id\":}; id=${id%%[,\}]*}
    result=
    case "$line" in
    *'"method":"initialize"'*)
        result='{"protocolVersion":"2025-11-25","capabilities":CAPABILITIES,"serverInfo":{"name":"s","version":"VERSION"}}' ;;
    *'"method":"die"'*) echo 'last words' >&2; exit 3 ;;
    *'"method":"leave"'*) exit 0 ;;
    *'"method":"wait"'*) ;;
    *'"method":"tools/list"'*) [ -e 'LISTS' ] && result='{"tools":[],"version":"VERSION"}' ;;
    *'"method":"begin"'*) echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":9}}' ;;
    *'"method":"ask"'*) echo '{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}' ;;
    *'"method":'*'"id":'*|*'"id":'*'"method":'*) result='{"version":"VERSION","pid":'$$'}' ;;
    esac
    [ -n "$result" ] && echo '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}'
done
"#;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A client in a session whose handshake is complete.
async fn in_session(rig: &Rig) -> Client {
    let mut client = client_in_session(rig).await;
    assert_eq!(client.call(INITIALIZED).await.status(), "202");
    client
}

/// The listening stream of a client, open.
async fn listening(client: &Client, rig: &Rig) -> Client {
    let mut listening = client.again(rig.address()).await;
    listening.get().await;
    listening.head().await;
    listening
}

fn table(rig: &Rig) -> &Arc<SessionTable> {
    rig.core().mounts().default().unwrap().table()
}

/// Waits until a request has passed on its way to the server.
async fn sent(rig: &Rig, method: &'static str) {
    rig.message(ToServer, move |it| it.method() == Some(method)).await;
}

#[tokio::test]
async fn crash_fails_only_pending_calls() {
    let script = Script::new();
    let rig = script.rig(Settings::default()).await;
    let mut client = in_session(&rig).await;
    // What belongs to no request goes there.
    let _listening = listening(&client, &rig).await;
    let pid = client.call(request(1, "x")).await.json()["result"]["pid"].clone();
    let mut waiting = client.again(rig.address()).await;
    waiting.post(request(2, "wait")).await;
    sent(&rig, "wait").await;
    let mut streaming = client.again(rig.address()).await;
    streaming.post(r#"{"jsonrpc":"2.0","id":3,"method":"begin","params":{"_meta":{"progressToken":9}}}"#).await;
    assert_eq!(streaming.head().await.get("content-type"), Some("text/event-stream"));
    let mut listing = client.again(rig.address()).await;
    listing.post(request(4, "tools/list")).await;
    sent(&rig, "tools/list").await;
    std::fs::write(script.lists(), "").unwrap();

    let died = client.call(request(5, "die")).await;
    assert_eq!((died.status(), &died.json()["id"]), ("502", &json!(5)));
    let text = died.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("ended with status 3; it last wrote: last words"), "{text}");
    let waited = waiting.response().await;
    assert_eq!((waited.status(), &waited.json()["id"]), ("502", &json!(2)));
    // A stream that has begun says it itself, and ends in good order.
    let streamed = streaming.rest().await;
    let streamed = String::from_utf8_lossy(&streamed);
    assert!(streamed.contains(r#""id":3,"error":{"code":-31000"#), "{streamed}");
    // What changes nothing is asked again.
    assert_eq!(listing.response().await.json()["result"]["version"], "1");

    let next = client.call(request(6, "x")).await;
    assert_eq!(next.status(), "200");
    assert_ne!(next.json()["result"]["pid"], pid);
    assert_eq!(rig.seam(1).await, "new process after status 3: `initialize` sent again");
    let states = rig.until("all states", |log| {
        let states = log.iter().filter_map(|event| match event {
            Event::SessionChanged(session) => Some(session.state.clone()),
            _ => None,
        });
        let states: Vec<_> = states.skip_while(|state| !matches!(state, SessionState::Failed { .. })).collect();
        (states.len() == 2).then_some(states)
    });
    let states = states.await;
    assert!(matches!(&states[0], SessionState::Failed { why } if why.contains("status 3")), "{states:?}");
    assert_eq!(states[1], SessionState::Active);
    rig.session(1).await;
}

#[tokio::test]
async fn handshake_and_subscriptions_are_replayed() {
    let script = Script::new();
    let rig = script.rig(Settings::default()).await;
    let mut client = in_session(&rig).await;
    for (id, method, params) in [
        (1, "resources/subscribe", r#"{"uri":"a"}"#),
        (2, "resources/subscribe", r#"{"uri":"b"}"#),
        (3, "resources/unsubscribe", r#"{"uri":"a"}"#),
        (4, "logging/setLevel", r#"{"level":"debug"}"#),
    ] {
        client.call(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)).await;
    }
    let before = script.heard().len();
    // It knows no prompts any more.
    script.write("2", r#"{"tools":{"listChanged":true},"resources":{"listChanged":true}}"#);
    client.call(request(5, "die")).await;
    assert_eq!(client.call(request(6, "x")).await.json()["result"]["version"], "2");
    let again = ["die", "initialize", "notifications/initialized", "logging/setLevel", "resources/subscribe", "x"];
    assert_eq!(script.heard()[before..], again);
    assert_eq!(rig.seam(1).await, "new process after status 3: `initialize`, 1 subscription, log level sent again");

    let mut listening = listening(&client, &rig).await;
    let told = b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
    assert_eq!(listening.bytes(told.len()).await, told);
    // All of it is seen, as ours; the answers are for nobody else.
    let passed = rig.until("all that was sent again", |log| {
        let passed: Vec<_> = log.iter().filter_map(envelope).collect();
        let ours =
            passed.iter().filter(|it| it.outcome == Outcome::Injected(Author::Tapline) && it.direction == ToServer);
        let withheld = passed.iter().filter(|it| it.outcome == Outcome::Withheld && it.direction == ToClient);
        let (ours, withheld) = (ours.count(), withheld.count());
        (ours >= 4 && withheld >= 3).then_some((ours, withheld))
    });
    assert_eq!(passed.await, (4, 3));
}

#[tokio::test]
async fn operator_restart_replaces_the_server() {
    let alive = ProcessAlive::new();
    let mut script = Script::new();
    script.life = Some(alive.line());
    script.write("1", CAPABILITIES);
    let rig = script.rig(Settings { restart: Restart::Never, ..Settings::default() }).await;
    let mut client = in_session(&rig).await;
    script.life = None;
    script.write("2", CAPABILITIES);
    rig.command_now(Command::Restart(rig.session(1).await));
    alive.ended().await;
    assert_eq!(rig.seam(1).await, "new process after a restart by the operator: `initialize` sent again");
    assert_eq!(client.call(request(1, "x")).await.json()["result"]["version"], "2");
    assert!(rig.complaints().is_empty(), "{:?}", rig.complaints());
    // Of what has ended, nothing is started.
    client.request("DELETE /mcp", "", b"").await;
    client.response().await;
    rig.command_now(Command::Restart(rig.session(1).await));
    rig.line(Level::Warn, "the server is not restarted: its session has ended").await;
}

#[tokio::test]
async fn restart_on_purpose_is_no_failure_of_the_call_it_interrupts() {
    let script = Script::new();
    let rig = script.rig(Settings::default()).await;
    let mut client = in_session(&rig).await;
    let mut other = client.again(rig.address()).await;
    let (answer, ()) = tokio::join!(other.call(request(1, "wait")), async {
        sent(&rig, "wait").await;
        rig.command_now(Command::Restart(rig.session(1).await));
    });
    let error = answer.json()["error"]["message"].to_string();
    assert!(error.contains("was restarted before it answered: a restart by the operator"), "{error}");
    rig.seam(1).await;
    assert_eq!(client.call(request(2, "x")).await.status(), "200");
    assert!(rig.complaints().is_empty(), "{:?}", rig.complaints());
}

#[tokio::test]
async fn requests_wait_for_a_restart() {
    let script = Script::new();
    // It takes its time to leave.
    let slow = format!("sh '{}'; sleep 0.3", script.path().display());
    let rig = Rig::kept(&["sh", "-c", &slow], Settings::default()).await;
    let mut client = in_session(&rig).await;
    script.write("2", CAPABILITIES);
    rig.command_now(Command::Restart(rig.session(1).await));
    let mut first = client.again(rig.address()).await;
    let answers = tokio::join!(first.call(request(1, "x")), client.call(request(2, "x")));
    assert_eq!((answers.0.status(), answers.1.status()), ("200", "200"));
    rig.seam(1).await;
    assert_eq!(client.call(request(3, "x")).await.json()["result"]["version"], "2");
}

#[tokio::test]
async fn late_answer_never_reaches_the_new_server() {
    let script = Script::new();
    let rig = script.rig(Settings::default()).await;
    let mut client = in_session(&rig).await;
    let _listening = listening(&client, &rig).await;
    let ask = r#"{"jsonrpc":"2.0","method":"ask"}"#;
    let answer = |what: &str| format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"for":"{what}"}}}}"#);
    assert_eq!(client.call(ask).await.status(), "202");
    rig.message(ToClient, |it| it.method() == Some("sampling/createMessage")).await;
    client.call(request(1, "die")).await;
    rig.seam(1).await;
    let taken_back = rig.message(ToClient, |it| it.method() == Some("notifications/cancelled")).await;
    assert_eq!(taken_back.message.value().unwrap()["params"]["requestId"], 7);
    assert_eq!(client.call(answer("the old")).await.status(), "202");
    // The new one counts from the same start.
    client.call(ask).await;
    rig.until("two questions", |log| {
        let asked = log.iter().filter_map(envelope).filter(|it| it.method() == Some("sampling/createMessage"));
        (asked.filter(|it| it.message.id().is_some()).count() >= 2).then_some(())
    })
    .await;
    client.call(answer("the new")).await;
    client.call(request(2, "x")).await;
    let heard = std::fs::read_to_string(script.dir.path().join("heard")).unwrap();
    assert!(heard.contains("the new") && !heard.contains("the old"), "{heard}");
}

#[tokio::test]
async fn restart_gives_up_and_says_why() {
    let initialize = |version: &str, then: &str| {
        let result = format!(r#"{{"protocolVersion":"{version}","capabilities":{{}}}}"#);
        format!(
            r#"read -r line; id=${{line#*\"id\":}}; id=${{id%%[,\}}]*}}; echo '{{"id":'"$id"',"result":{result}}}'; read -r line; {then}"#
        )
    };
    let cases = [
        ("exit 5".to_owned(), "ended with status 5"),
        (initialize("2024-11-05", "cat >/dev/null"), "it answers in revision `2024-11-05`"),
        (initialize("2025-11-25", "exit 6"), "ended with status 6"),
    ];
    let given_up = cases.map(|(body, why)| async move {
        let script = Script::new();
        let rig = script.rig(Settings::default()).await;
        let mut client = in_session(&rig).await;
        std::fs::write(script.dir.path().join("new"), body).unwrap();
        std::fs::rename(script.dir.path().join("new"), script.path()).unwrap();
        assert_eq!(client.call(request(1, "die")).await.status(), "502");
        let reason = rig.closed(rig.session(1).await).await;
        assert!(reason.contains(why), "{reason}");
        assert_eq!(client.call(request(2, "x")).await.status(), "404");
        let Target::Command(pool) = table(&rig).target() else { panic!("it is a command") };
        assert_eq!(pool.figures().started, 6, "one, and five in its place");
    });
    futures_util::future::join_all(given_up).await;
}

#[tokio::test]
async fn seam_is_on_the_tape() {
    let (script, tapes) = (Script::new(), TempDir::new().unwrap());
    let command = kept_command(&["sh", script.path().to_str().unwrap()], Settings::default());
    let settings = app::Settings { tapes: Some(tapes.path().to_owned()), ..app::Settings::new(command) };
    let rig = Rig::start(settings).await;
    let mut client = in_session(&rig).await;
    client.call(request(1, "die")).await;
    client.call(request(2, "x")).await;
    rig.quit(OnQuit::Forward).await;
    let tape = std::fs::read_dir(tapes.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(seams(&tape), ["new process after status 3: `initialize` sent again"]);
}

fn seams(tape: &Path) -> Vec<String> {
    let entries = TapeReader::open(tape).unwrap();
    entries
        .filter_map(|entry| if let TapeEntry::Mark(Mark::Seam { text, .. }) = entry { Some(text) } else { None })
        .collect()
}

#[tokio::test]
async fn watched_rebuild_is_invisible_to_the_client() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let dir = TempDir::new().unwrap();
    let binary = dir.path().join("server");
    std::fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mut words = role("rmcp");
    let at = words.iter().position(|word| Path::new(word) == std::env::current_exe().unwrap()).unwrap();
    words[at] = binary.to_str().unwrap().to_owned();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let rig = Rig::kept(&words, Settings { watch: vec![binary.clone()], ..Settings::default() }).await;
    let transport = StreamableHttpClientTransport::from_uri(rig.url());
    let client = soon("a session", ().serve(transport)).await.unwrap();
    let pid = || async {
        let result = soon("an answer", client.call_tool(CallToolRequestParams::new("pid"))).await.unwrap();
        json!(result)["content"][0]["text"].clone()
    };
    let before = pid().await;

    let new = dir.path().join("new");
    std::fs::copy(&binary, &new).unwrap();
    std::fs::rename(new, &binary).unwrap();
    assert_eq!(rig.seam(1).await, "new process after a change of `server`: `initialize` sent again");
    assert_ne!(pid().await, before);
    soon("the end", client.cancel()).await.unwrap();
    assert_eq!(rig.closed(rig.session(1).await).await, "the client ended it");
}

#[tokio::test]
async fn session_is_restored_under_another_tapline() {
    let script = Script::new();
    let rig = script.rig(Settings::default()).await;
    in_session(&rig).await;
    let connection = table(&rig).find(rig.session(1).await).unwrap();
    let mut handshakes = connection.handshake_states().unwrap();
    soon("the handshake", handshakes.wait_for(tapline::proxy::stream::handshake::HandshakeState::has_handshake))
        .await
        .unwrap();
    let written = serde_json::to_string(&*handshakes.borrow()).unwrap();

    let next = script.rig(Settings::default()).await;
    let table = table(&next);
    let session = LiveSession::new(
        (None, table.target().label()),
        Via::Http,
        tapline::event::Origin::Client,
        table.proxy().stop(),
    );
    let revived = table.restore_on_child(session, serde_json::from_str(&written).unwrap()).await.unwrap();
    assert_eq!(revived.session.info().state, SessionState::Active);
    assert_eq!(revived.session.info().server.as_ref().unwrap().name, "s");
    assert_eq!(next.seam(1).await, "new process after a restart of tapline: `initialize` sent again");
}
