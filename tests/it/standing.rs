//! Why a call has no reply: what the core sees of processes, pipes and streams; and calls of the operator's own that are given up.

use tapline::envelope::{Direction, Outcome};
use tapline::event::{CallStanding, Command, Event, ExamineRequest};
use tapline::message::Message;

use crate::pool::modern;
use crate::support::{Rig, Server, client_in_session, request};

/// Says on stderr what it has heard, and then does it.
const SERVER: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%[,\}]*}
    case "$line" in
    *'"method":"initialize"'*)
        echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}' ;;
    *'"method":"wait"'*) echo 'heard wait' >&2 ;;
    *'"method":"stop"'*) echo 'heard stop' >&2; kill -STOP $$ ;;
    *'"method":"spin"'*) echo 'heard spin' >&2; while :; do :; done ;;
    *'"method":"deaf"'*) echo 'heard deaf' >&2; exec sleep 1000 ;;
    *cancelled*) echo "heard $line" >&2 ;;
    esac
done"#;

async fn heard(rig: &Rig, text: &str) -> String {
    let text = format!("heard {text}");
    let found = rig.event("a line of the server", move |event| match event {
        Event::Log(line) if line.text.contains(&text) => Some(line.text.clone()),
        _ => None,
    });
    found.await
}

/// What is answered as the nth, from 1, to who asks of the call with that method.
async fn standing(rig: &Rig, method: &'static str, nth: usize) -> CallStanding {
    let call = rig.message(Direction::ToServer, move |it| it.method() == Some(method)).await;
    let (session, call) = (call.session, call.seq);
    rig.command_now(Command::Examine(ExamineRequest { session, call }));
    let answers = rig.until("what is found", move |log| {
        let mut found = log.iter().filter_map(|event| match event {
            Event::Examined(standing) if standing.call == call => Some(CallStanding::clone(standing)),
            _ => None,
        });
        found.nth(nth - 1)
    });
    answers.await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn standing_says_what_the_process_of_a_command_does() {
    use tapline::event::ProcessState;
    for method in ["wait", "stop", "spin"] {
        let rig = Rig::script(SERVER).await;
        let mut client = client_in_session(&rig).await;
        client.post(request(2, method)).await;
        heard(&rig, method).await;
        let child = standing(&rig, method, 1).await.child.expect("it is a command");
        assert_eq!((child.unread, child.unwritten, child.is_deaf), (Some(0), 0, false), "{method}: all is read");
        let process = &child.processes[0];
        let fits = match method {
            "wait" => process.state == ProcessState::Sleeping && process.load == 0,
            "stop" => process.state == ProcessState::Stopped,
            _ => process.state == ProcessState::Running,
        };
        assert!(fits, "{method}: {process:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn standing_says_that_a_command_does_not_read() {
    let rig = Rig::script(SERVER).await;
    let mut client = client_in_session(&rig).await;
    client.post(request(2, "deaf")).await;
    heard(&rig, "deaf").await;
    let mut other = client.again(rig.address()).await;
    let unread = request(3, "wait");
    other.post(&unread).await;
    let child = standing(&rig, "wait", 1).await.child.expect("it is a command");
    assert_eq!(child.unread, Some(unread.len() as u64 + 1));
    assert_eq!(child.processes[0].name, "sleep");
}

#[tokio::test]
async fn standing_of_a_call_at_a_url_says_whether_its_stream_is_open() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.post(request(2, "wait")).await;
    let mut exchange = server.next().await;
    let found = standing(&rig, "wait", 1).await;
    assert_eq!((found.stream, found.child, found.unread_by_client), (None, None, 0));
    exchange.begin_stream().await;
    client.head().await;
    let stream = standing(&rig, "wait", 2).await.stream.expect("it is open");
    assert_eq!(stream.status, 200);
}

#[tokio::test]
async fn call_of_the_operators_is_given_up_and_its_server_told() {
    let rig = Rig::script(SERVER).await;
    let _client = client_in_session(&rig).await;
    let session = rig.session(1).await;
    rig.command_now(Command::Send { session, message: Message::new(request(9, "wait")) });
    let call = rig.message(Direction::ToServer, |it| matches!(it.outcome, Outcome::Injected(_))).await;
    heard(&rig, "wait").await;
    let id = call.message.id().expect("it asks").clone();
    rig.command_now(Command::Cancel { session, id: id.clone() });
    let told = heard(&rig, r#"{"jsonrpc""#).await;
    assert!(told.contains(&format!(r#""requestId":{}"#, id.token())), "{told}");
    rig.command_now(Command::Cancel { session, id });
    rig.event("that it is over", |event| match event {
        Event::Log(line) if line.text.contains("too late: that call") => Some(()),
        _ => None,
    })
    .await;
}

/// From 2026-07-28 on, to hang up is to cancel.
#[tokio::test]
async fn call_of_the_operators_at_a_modern_server_is_given_up_by_hanging_up() {
    let mut server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let mut client = rig.client().await;
    client.post(modern(1, "tools/list")).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#).await;
    client.response().await;
    let session = rig.session(1).await;
    rig.command_now(Command::Send { session, message: Message::new(modern(9, "tools/list")) });
    let call = rig.message(Direction::ToServer, |it| matches!(it.outcome, Outcome::Injected(_))).await;
    let exchange = server.next().await;
    rig.command_now(Command::Cancel { session, id: call.message.id().expect("it asks").clone() });
    exchange.hung_up().await;
}
