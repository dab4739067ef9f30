//! A held message waits, alone, until the operator decides, and whatever was decided is what happens.

use serde_json::json;
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Author, Outcome};
use tapline::event::{BlockError, Command, Decision, Event, Level, OnQuit, SessionState, Then, Ticket};
use tapline::message::{Kind, Message};

use crate::support::{Client, INITIALIZE, Rig, Server, client_in_session, settings, word};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{}}}"#;
const REPLY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;

/// Answers whatever has an id.
const SERVER: &str = r#"
while read -r line; do
    id=${line#*\"id\":}; id=${id%%[,\}]*}
    case "$line" in *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;; esac
done"#;

async fn rig_before_server() -> (Rig, Server, Client) {
    let server = Server::start().await;
    let rig = Rig::before(&server.url()).await;
    let client = rig.client().await;
    (rig, server, client)
}

fn error(code: i64) -> BlockError {
    BlockError::JsonRpc { code, message: "not \"now\"".to_owned(), data: Some(r#"{"n":1}"#.to_owned()) }
}

#[tokio::test]
async fn edited_request_reaches_the_server() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    assert_eq!(held.envelope.message.raw(), CALL);
    assert_eq!(held.reason, "~q ~m tools/call");

    let edit = CALL.replace("{}", "{ \"n\" : 123456789012345678901234567890 }\n");
    rig.settle(held.ticket, Decision::Edit(Message::new(edit.clone())));
    let exchange = server.next().await;
    assert_eq!(exchange.body, edit);
    assert_eq!(exchange.head.all("content-length"), [edit.len().to_string()]);
    exchange.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY);

    let fate = rig.fate(&held).await;
    assert_eq!(*fate.message.raw(), edit);
    assert_eq!(fate.original, Some(Message::new(CALL)));
    assert_eq!(fate.outcome, Outcome::Edited(Author::Operator));
    assert!(fate.held.is_some());
}

#[tokio::test]
async fn edit_updates_mirrored_headers() {
    for (headers, edit, method, name) in [
        // A legacy client mirrors nothing, and an edit does not begin to.
        ("", CALL.replace(r#""a""#, r#""b""#), None, None),
        ("mcp-method: tools/call\r\nmcp-name: a\r\n", CALL.replace(r#""a""#, r#""b""#), Some("tools/call"), Some("b")),
        (
            "mcp-method: tools/call\r\nmcp-name: a\r\n",
            CALL.replace("tools/call", "tools/list"),
            Some("tools/list"),
            None,
        ),
        ("mcp-method: tools/list\r\n", CALL.to_owned(), Some("tools/call"), Some("a")),
    ] {
        let (rig, mut server, mut client) = rig_before_server().await;
        rig.hold("~q").await;
        client.headers = headers.to_owned();
        client.post(CALL.replace("}}", "} }")).await;
        rig.settle(rig.held(1).await.ticket, Decision::Edit(Message::new(edit.clone())));
        let exchange = server.next().await;
        assert_eq!(
            (exchange.head.get("mcp-method"), exchange.head.get("mcp-name")),
            (method, name),
            "{headers} {edit}"
        );
    }
}

#[tokio::test]
async fn blocked_request_is_answered_by_tapline() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    let id = r#""\u0061-1""#;
    let tool_result = BlockError::ToolResult { text: "no\nway".to_owned() };
    for (nth, (block, expected)) in [
        (error(-31001), json!({"error": {"code": -31001, "message": "not \"now\"", "data": {"n": 1}}})),
        (tool_result, json!({"result": {"content": [{"type": "text", "text": "no\nway"}], "isError": true}})),
        (BlockError::Result { result: r#"{"content":[]}"#.to_owned() }, json!({"result": {"content": []}})),
    ]
    .into_iter()
    .enumerate()
    {
        client.post(CALL.replace('7', id)).await;
        let held = rig.held(nth + 1).await;
        rig.settle(held.ticket, Decision::Block(block));
        let response = client.response().await;
        let mut expected = expected;
        expected["jsonrpc"] = json!("2.0");
        expected["id"] = json!("a-1");
        assert_eq!((response.status(), response.json()), ("200", expected));
        assert!(response.text().contains(id), "the id is the client's own token: {}", response.text());
        // A result is an answer like any other.
        let outcome = if nth == 2 { Outcome::Answered } else { Outcome::Blocked };
        assert_eq!(rig.fate(&held).await.outcome, outcome(Author::Operator));
        let answer = rig.message(ToClient, |it| it.seq > held.envelope.seq).await;
        assert_eq!(answer.outcome, Outcome::Injected(Author::Operator));
        assert_eq!(answer.reply_to.as_ref().unwrap().seq, held.envelope.seq);
    }
    assert!(server.is_idle(), "the server saw nothing");
}

#[tokio::test]
async fn dropped_request_gets_no_answer() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    rig.settle(held.ticket, Decision::Drop);
    assert_eq!(word(&rig.fate(&held).await.outcome), "dropped");
    // Everyone else goes on; the server saw nothing of it.
    let mut other = rig.client().await;
    other.post(r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#).await;
    let exchange = server.next().await;
    assert_eq!(exchange.message()["id"], 8);
    exchange.json("{}").await;
    assert_eq!(other.response().await.text(), "{}");
}

#[tokio::test]
async fn notifications_can_be_blocked_or_dropped() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~n").await;
    for (nth, decision, outcome) in [(1, Decision::Drop, "dropped"), (2, Decision::Block(error(1)), "blocked")] {
        client.post(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await;
        let held = rig.held(nth).await;
        rig.settle(held.ticket, decision);
        assert_eq!(client.response().await.status(), "202");
        assert_eq!(word(&rig.fate(&held).await.outcome), outcome);
    }
    assert!(server.is_idle());
}

#[tokio::test]
async fn forward_all_releases_every_hold() {
    let (rig, mut server, _) = rig_before_server().await;
    rig.hold("~q").await;
    let mut clients = Vec::new();
    for nth in 1..=5 {
        let mut client = rig.client().await;
        client.post(CALL).await;
        rig.held(nth).await;
        clients.push(client);
    }
    rig.command_now(Command::ForwardAll);
    for _ in 0..5 {
        server.next().await.json(REPLY).await;
    }
    for mut client in clients {
        assert_eq!(client.response().await.body, REPLY);
    }
}

#[tokio::test]
async fn step_holds_the_very_next_message() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    rig.settle_then(rig.held(1).await.ticket, Decision::Forward, Then::HoldNext);
    server.next().await.json(REPLY).await;
    let reply = rig.held(2).await;
    assert_eq!((reply.envelope.kind(), reply.reason.as_str()), (Kind::Result, "step"));
    rig.settle(reply.ticket, Decision::Forward);
    assert_eq!(client.response().await.body, REPLY);
    // One step is one message.
    client.post(r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#).await;
    server.next().await.json("{}").await;
    assert_eq!(client.response().await.text(), "{}");
}

#[tokio::test]
async fn held_reply_can_be_edited_blocked_or_dropped() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    let edit = r#"{"jsonrpc":"2.0","id":7,"result":{"content":["another, and a longer one"]}}"#;
    let decisions = [(Decision::Edit(Message::new(edit)), edit.to_owned()), {
        let error = error(-31001);
        (
            Decision::Block(error.clone()),
            String::from_utf8(error.reply_to(Message::new(CALL).id()).raw().to_vec()).unwrap(),
        )
    }];
    for (round, (decision, expected)) in decisions.into_iter().enumerate() {
        client.post(CALL).await;
        let call = rig.held(2 * round + 1).await;
        rig.settle_then(call.ticket, Decision::Forward, Then::HoldReply);
        server.next().await.json_with("x-odd: 1\r\n", REPLY).await;
        let reply = rig.held(2 * round + 2).await;
        assert_eq!(reply.envelope.message.raw(), REPLY);
        rig.settle(reply.ticket, decision);
        let response = client.response().await;
        assert_eq!(response.text(), expected);
        assert_eq!(response.head.get("content-length"), Some(expected.len().to_string().as_str()));
        assert_eq!(response.head.get("x-odd"), Some("1"));
        let fate = rig.fate(&reply).await;
        assert_eq!((word(&fate.outcome), fate.original.as_ref().unwrap().raw().as_ref()), ("edited", REPLY.as_bytes()));
    }
    client.post(CALL).await;
    rig.settle_then(rig.held(5).await.ticket, Decision::Forward, Then::HoldReply);
    server.next().await.json(REPLY).await;
    let reply = rig.held(6).await;
    rig.settle(reply.ticket, Decision::Drop);
    assert_eq!(word(&rig.fate(&reply).await.outcome), "dropped");
}

#[tokio::test]
async fn body_of_a_202_can_be_dropped() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~invalid").await;
    client.post(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await;
    server.next().await.answer("HTTP/1.1 202 Accepted\r\ncontent-length: 8\r\n\r\nAccepted").await;
    rig.settle(rig.held(1).await.ticket, Decision::Drop);
    let response = client.response().await;
    assert_eq!((response.status(), response.text()), ("202", ""));
}

#[tokio::test]
async fn held_event_lets_later_events_pass() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~m notifications/a").await;
    client.post(CALL).await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    let held_event = "id: 1\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/a\"}\n\n";
    let later = ": note\nid: 2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/b\"}\n\n";
    exchange.write(held_event).await;
    let held = rig.held(1).await;
    exchange.write(later).await;
    client.head().await;
    assert_eq!(client.bytes(later.len()).await, later.as_bytes());
    let edit = "{\"jsonrpc\":\"2.0\",\n\"method\":\"notifications/edited\"}";
    rig.settle(held.ticket, Decision::Edit(Message::new(edit)));
    let edited = "id: 1\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/edited\"}\n\n";
    assert_eq!(client.bytes(edited.len()).await, edited.as_bytes());
    drop(exchange);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn stream_stays_open_for_its_last_held_event() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~s").await;
    client.post(CALL).await;
    let event = format!("data: {REPLY}\n\n");
    server.next().await.stream(&event).await;
    let held = rig.held(1).await;
    rig.settle(held.ticket, Decision::Forward);
    assert_eq!(client.response().await.body, event);
}

#[tokio::test]
async fn cancellation_ends_the_hold_of_its_call() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    let mut other = rig.client().await;
    other.post(CALL.replace('7', "8")).await;
    let other_held = rig.held(2).await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
    let mut canceller = rig.client().await;
    canceller.post(cancel).await;
    let exchange = server.next().await;
    assert_eq!(exchange.body, cancel);
    exchange.accept().await;
    assert_eq!(canceller.response().await.status(), "202");
    let fate = rig.fate(&held).await;
    assert_eq!(fate.outcome, Outcome::Abandoned);
    assert!(fate.held.is_some());
    // Whatever lets all go lets this one go no more: the server would carry it out for nobody.
    rig.command_now(Command::ForwardAll);
    let exchange = server.next().await;
    assert_eq!(exchange.body, CALL.replace('7', "8"));
    assert_eq!(rig.fate(&other_held).await.outcome, Outcome::Forwarded);
    assert!(server.is_idle());
}

/// Several clients share a session from 2026-07-28 on, where hanging up is what cancels.
#[tokio::test]
async fn modern_request_over_http_is_not_taken_back_by_an_id() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    let call = CALL.replace(r#""name""#, r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name""#);
    client.post(&call).await;
    let held = rig.held(1).await;
    let mut canceller = rig.client().await;
    canceller.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#).await;
    server.next().await.accept().await;
    rig.settle(held.ticket, Decision::Forward);
    assert_eq!(server.next().await.body, call);
    assert_eq!(rig.fate(&held).await.outcome, Outcome::Forwarded);
}

#[tokio::test]
async fn hang_up_releases_the_ticket() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    drop(client);
    let fate = rig.fate(&held).await;
    assert_eq!(fate.outcome, Outcome::Abandoned);
    assert!(fate.held.is_some());
    // Settling it now is too late, and said to be.
    rig.settle(held.ticket, Decision::Forward);
    rig.line(Level::Warn, "too late").await;
    rig.settle(Ticket(99), Decision::Forward);
    let told = |log: &[Event]| log.iter().filter(|it| matches!(it, Event::Log(line) if line.source == "hold")).count();
    rig.until("a second warning", move |log| (told(log) == 2).then_some(())).await;
    assert!(server.is_idle());
}

#[tokio::test]
async fn hang_up_reaches_the_server() {
    let (rig, mut server, mut client) = rig_before_server().await;
    // While the server thinks,
    client.post(CALL).await;
    let thinking = server.next().await;
    drop(client);
    thinking.hung_up().await;
    // while it streams,
    let mut client = rig.client().await;
    client.post(CALL).await;
    let mut streaming = server.next().await;
    streaming.begin_stream().await;
    client.head().await;
    drop(client);
    streaming.hung_up().await;
    // and while an event of its stream is held.
    rig.hold("~s").await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    let mut held_up = server.next().await;
    held_up.begin_stream().await;
    held_up.write(format!("data: {REPLY}\n\n")).await;
    let held = rig.held(1).await;
    drop(client);
    assert_eq!(rig.fate(&held).await.outcome, Outcome::Abandoned);
    held_up.hung_up().await;
}

#[tokio::test]
async fn quit_forwards_held_messages() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    rig.held(1).await;
    let (told, body) = tokio::join!(rig.quit(OnQuit::Forward), async {
        server.next().await.json(REPLY).await;
        client.response().await.body
    });
    assert_eq!(body, REPLY);
    let outcomes: Vec<_> = told.iter().filter_map(outcome).collect();
    assert_eq!(outcomes, ["forwarded", "forwarded"]);
}

#[tokio::test]
async fn quit_can_fail_held_messages() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~q ~m tools/call").await;
    client.post(CALL).await;
    rig.held(1).await;
    let (told, response) = tokio::join!(rig.quit(OnQuit::Fail), client.response());
    assert_eq!((&response.json()["id"], &response.json()["error"]["code"]), (&json!(7), &json!(-31002)));
    assert!(server.is_idle());
    let outcomes: Vec<_> = told.iter().filter_map(outcome).collect();
    assert_eq!(outcomes, ["blocked", "injected"]);
}

fn outcome(event: &Event) -> Option<&'static str> {
    if let Event::Passed(envelope) = event { Some(word(&envelope.outcome)) } else { None }
}

#[tokio::test]
async fn quit_ends_a_get_stream_cleanly() {
    let (rig, mut server, mut client) = rig_before_server().await;
    client.get().await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    client.head().await;
    let ((), told) = tokio::join!(
        async {
            assert_eq!(client.rest().await, "");
            exchange.hung_up().await;
        },
        rig.quit(OnQuit::Forward)
    );
    assert!(matches!(told.last(), Some(Event::Stopping)), "{told:?}");
}

#[tokio::test]
async fn blocked_server_request_is_answered_to_the_server() {
    let (rig, mut server, mut client) = rig_before_server().await;
    client.headers = "mcp-session-id: s1\r\nlast-event-id: 5\r\n".to_owned();
    client.get().await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    rig.hold("~m sampling/createMessage").await;
    exchange.write("data: {\"jsonrpc\":\"2.0\",\"id\":\"s-1\",\"method\":\"sampling/createMessage\"}\n\n").await;
    rig.settle(rig.held(1).await.ticket, Decision::Block(error(-31001)));
    let answer = server.next().await;
    assert_eq!((&answer.message()["id"], &answer.message()["error"]["code"]), (&json!("s-1"), &json!(-31001)));
    // As a client would post it, in its session.
    assert_eq!(answer.head.get("mcp-session-id"), Some("s1"));
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
    assert_eq!(answer.head.get("accept"), Some("application/json, text/event-stream"));
    assert_eq!(answer.head.get("last-event-id"), None);
    answer.accept().await;
    // The client never hears of it.
    let next = "data: {\"jsonrpc\":\"2.0\",\"method\":\"next\"}\n\n";
    exchange.write(next).await;
    client.head().await;
    assert_eq!(client.bytes(next.len()).await, next.as_bytes());
}

#[tokio::test]
async fn blocked_batch_is_answered_request_by_request() {
    let (rig, mut server, mut client) = rig_before_server().await;
    rig.hold("~all").await;
    client.post(r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":2,"method":"b"}]"#).await;
    rig.settle(rig.held(1).await.ticket, Decision::Block(error(-31001)));
    let answers = client.response().await.json();
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
    assert!(server.is_idle());
}

#[tokio::test]
async fn operator_request_is_answered_to_the_operator_only() {
    for stream in [false, true] {
        let (rig, mut server, mut client) = rig_before_server().await;
        client.headers = "mcp-session-id: s1\r\nx-odd: 1\r\n".to_owned();
        client.post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
        server.next().await.json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
        client.response().await;
        // Breakpoints are for others.
        rig.hold("~q ~m tools/call").await;
        let session = rig.session(1).await;
        rig.command_now(Command::Send { session, message: Message::new(CALL) });
        let exchange = server.next().await;
        let id = exchange.message()["id"].as_str().unwrap().to_owned();
        assert_eq!(exchange.text(), CALL.replace('7', &format!("\"{id}\"")));
        assert_eq!((exchange.head.get("mcp-session-id"), exchange.head.get("x-odd")), (Some("s1"), Some("1")));
        let reply = REPLY.replace('7', &format!("\"{id}\""));
        match stream {
            true => exchange.stream(format!("data: {reply}\n\n")).await,
            false => exchange.json(&reply).await,
        }
        let answer = rig.message(ToClient, |it| it.outcome == Outcome::Withheld).await;
        assert_eq!(*answer.message.raw(), reply);
        let sent = rig.message(ToServer, |it| it.outcome == Outcome::Injected(Author::Operator)).await;
        assert_eq!(answer.reply_to.as_ref().unwrap().seq, sent.seq);
        // The client's next response is the answer to its own next request.
        client.post(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
        server.next().await.json(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#).await;
        assert_eq!(client.response().await.json()["id"], 2);
        assert_eq!(rig.complaints(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn operator_request_to_a_child_is_withheld_from_clients() {
    // Answers each request after a notification of its progress, and one of its own accord.
    let rig = Rig::script(
        r#"while read -r line; do
            id=$(printf %s "$line" | sed 's/.*"id":\([^,]*\),.*/\1/')
            echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":'$id'}}'
            echo '{"jsonrpc":"2.0","id":'$id',"result":{}}'
        done"#,
    )
    .await;
    let mut client = rig.client().await;
    client.initialize().await;
    let session = rig.session(1).await;
    rig.command_now(Command::Send { session, message: Message::new(CALL) });
    let answer = rig.message(ToClient, |it| it.outcome == Outcome::Withheld).await;
    assert_eq!(answer.kind(), Kind::Result);
    assert!(answer.message.id().unwrap().display().starts_with("tapline-"), "{answer:?}");
    let response = client.call(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
    assert!(response.text().contains(r#""id":2,"result""#), "{}", response.text());
    assert!(!response.text().contains("tapline-"), "{}", response.text());
    assert_eq!(rig.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn hold_works_on_a_child() {
    let words = crate::support::child::role("mirror");
    let rig = Rig::command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut client = rig.client().await;
    rig.hold("~q ~m echo").await;
    let echo = r#"{"jsonrpc":"2.0","method":"echo","id":1}"#;
    client.post(echo).await;
    let edit = "{\"jsonrpc\":\"2.0\",\"method\":\"echo\",\r\n\"id\":1,\"edited\":true}";
    rig.settle_then(rig.held(1).await.ticket, Decision::Edit(Message::new(edit)), Then::HoldReply);
    let reply = rig.held(2).await;
    assert_eq!(reply.envelope.message.raw(), r#"{"jsonrpc":"2.0","result":{},  "id":1,"edited":true}"#);
    let edit = r#"{"jsonrpc":"2.0","id":1,"result":"mine"}"#;
    rig.settle(reply.ticket, Decision::Edit(Message::new(edit)));
    assert_eq!(client.response().await.text(), edit);

    client.post(echo).await;
    rig.settle(rig.held(3).await.ticket, Decision::Block(error(-31001)));
    assert_eq!(client.response().await.json()["error"]["code"], -31001);
}

#[tokio::test]
async fn client_of_a_held_request_is_told_progress_while_it_is_held() {
    let rig = Rig::script(SERVER).await;
    let mut client = client_in_session(&rig).await;
    let mut listening = client.again(rig.address()).await;
    listening.get().await;
    listening.head().await;
    rig.hold("~q ~m echo").await;
    let echo = r#"{"jsonrpc":"2.0","method":"echo","id":7,"params":{"_meta":{"progressToken":"t"}}}"#;
    client.post(echo).await;
    let ticket = rig.held(1).await.ticket;
    // Twice is once: progress has to grow.
    (0..2).for_each(|_| rig.command_now(Command::KeepPatient(ticket)));
    let params = r#"{"progressToken":"t","progress":0.001,"message":"held by tapline"}"#;
    let told = format!(
        "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{params}}}\n\n"
    );
    assert_eq!(String::from_utf8_lossy(&listening.bytes(told.len()).await), told);
    let shown = rig.message(ToClient, |it| it.method() == Some("notifications/progress")).await;
    assert!(matches!(shown.outcome, Outcome::Injected(_)), "it is ours, and shown so: {shown:?}");
    rig.settle(ticket, Decision::Forward);
    assert_eq!(client.response().await.json()["id"], 7);
    // Nothing is held under it any more: nothing is told, and nothing said.
    rig.command_now(Command::KeepPatient(ticket));
    client.post(&echo.replace(":7,", ":8,")).await;
    rig.settle(rig.held(2).await.ticket, Decision::Forward);
    assert_eq!(client.response().await.json()["id"], 8);
}

#[tokio::test]
async fn blocked_child_request_is_answered_to_the_child() {
    // Asks for sampling in the middle of a call, and gives back as its result what it was told.
    let rig = Rig::script(
        r#"read -r call; echo '{"jsonrpc":"2.0","id":"s-1","method":"sampling/createMessage"}'
        read -r told; echo '{"jsonrpc":"2.0","id":7,"result":'"$told"'}'; cat >/dev/null"#,
    )
    .await;
    let mut client = rig.client().await;
    rig.hold("~m sampling/createMessage").await;
    client.post(CALL).await;
    rig.settle(rig.held(1).await.ticket, Decision::Block(error(-31001)));
    let response = client.response().await;
    let told = &response.json()["result"];
    assert_eq!((&told["id"], &told["error"]["code"]), (&json!("s-1"), &json!(-31001)));
}

#[tokio::test]
async fn keep_alive_comments_cover_a_held_event() {
    let mut server = Server::start().await;
    let keep_alive = Some(std::time::Duration::from_millis(20));
    let rig = Rig::start(Settings { keep_alive, ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    rig.hold("~m notifications/a").await;
    client.post(CALL).await;
    let mut exchange = server.next().await;
    exchange.begin_stream().await;
    let event = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/a\"}\n\n";
    exchange.write(event).await;
    let held = rig.held(1).await;
    client.head().await;
    let comment = ": held by tapline\n\n";
    assert_eq!(client.bytes(comment.len()).await, comment.as_bytes());
    rig.settle(held.ticket, Decision::Forward);
    rig.fate(&held).await;
    drop(exchange);
    let rest = client.rest().await;
    let rest = std::str::from_utf8(&rest).unwrap().replace(comment, "");
    assert_eq!(rest, event, "a comment is never inside an event");
}

#[tokio::test]
async fn paused_session_holds_all_but_cancellations() {
    let (rig, mut server, mut client) = rig_before_server().await;
    client.post(INITIALIZE).await;
    let initialized = r#"{"jsonrpc":"2.0","id":0,"result":{}}"#;
    server.next().await.json_with("mcp-session-id: s1\r\n", initialized).await;
    client.response().await;
    client.headers = "mcp-session-id: s1\r\n".to_owned();
    let mut stream = client.again(rig.address()).await;
    stream.get().await;
    let mut events = server.next().await;
    events.begin_stream().await;
    stream.head().await;

    let session = rig.session(1).await;
    rig.command_now(Command::Pause(session));
    rig.event("the pause", |event| match event {
        Event::SessionChanged(it) if it.state == SessionState::Paused => Some(()),
        _ => None,
    })
    .await;
    let note = |n: usize| format!("data: {{\"jsonrpc\":\"2.0\",\"method\":\"n{n}\"}}\n\n");
    for n in 1..=5 {
        events.write(note(n)).await;
        assert_eq!(rig.held(n).await.reason, "session paused");
    }
    client.post(CALL).await;
    let held = rig.held(6).await;
    let mut other = client.again(rig.address()).await;
    other.post(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#).await;
    let cancelled = server.next().await;
    assert!(cancelled.text().contains("notifications/cancelled"), "it overtakes all that waits");
    cancelled.accept().await;
    assert_eq!(other.response().await.status(), "202");
    assert!(server.is_idle());
    // Another session goes on as ever.
    let mut elsewhere = rig.client().await;
    elsewhere.post(INITIALIZE).await;
    server.next().await.json(initialized).await;
    assert_eq!(elsewhere.response().await.status(), "200");

    rig.command_now(Command::Resume(session));
    for n in 6..=9 {
        events.write(note(n)).await;
    }
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("n9") {
        told.extend(stream.piece().await.unwrap().unwrap());
    }
    assert_eq!(String::from_utf8(told).unwrap(), (1..=9).map(note).collect::<String>());
    server.next().await.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY);
    assert_eq!(rig.fate(&held).await.outcome, Outcome::Forwarded);
    let last = rig.until("the end of the pause", |log| {
        let state =
            |it: &Event| if let Event::SessionChanged(it) = it { Some((it.id, it.state.clone())) } else { None };
        log.iter().filter_map(state).rfind(|(id, _)| *id == session).filter(|(_, it)| *it == SessionState::Active)
    });
    last.await;
}

#[tokio::test]
async fn paused_session_releases_its_holds_when_closed() {
    let (rig, mut server, mut client) = rig_before_server().await;
    client.post(INITIALIZE).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":0,"result":{}}"#).await;
    client.response().await;
    let session = rig.session(1).await;
    rig.command_now(Command::Pause(session));
    rig.command_now(Command::Pause(tapline::envelope::SessionId::random()));
    rig.line(Level::Warn, "that session cannot be paused now").await;
    client.post(CALL).await;
    rig.held(1).await;
    rig.command_now(Command::CloseSession(session));
    server.next().await.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY);
    assert_eq!(rig.closed(session).await, "closed by the operator");
}
