//! The control address: what it tells, what it carries out, and what it refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tapline::control::client::{ClientError, Remote};
use tapline::control::{ControlToken, FeedLine};
use tapline::envelope::{Direction, Outcome, Seq};
use tapline::event::{AnnotateRequest, Annotation, Command, Decision, Event, Landmark, LogLine, MessageMark, TapeEdit};
use tapline::message::Message;
use tapline::tape::Tape;

use crate::support::watched::{Place, Screen, answering, settle};
use crate::support::{Binary, Client, Server, soon, tapline_binary};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{}}}"#;
const EDIT: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"b","arguments":{}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#;

#[tokio::test]
async fn event_stream_has_history_then_live_events() {
    let place = Place::new();
    let mut tapline = place.run(&["--name", "weather", "--upstream", &answering().await]).await;
    let mut client = tapline.client().await;
    client.call(CALL).await;
    while !tapline.line().await.unwrap().contains("result") {}

    let entry = place.entry(&tapline);
    assert_eq!((entry.name.as_str(), entry.front.starts_with("http://")), ("weather", true));
    let mut screen = Screen::on(&entry).await;
    assert!(matches!(screen.told().await, FeedLine::Event(event) if matches!(*event, Event::ResyncStarted)));
    let call = screen.passed(|it| it.direction == Direction::ToServer).await;
    assert_eq!(*call.message.raw(), CALL);
    let reply = screen.passed(|it| it.direction == Direction::ToClient).await;
    assert_eq!(reply.reply_to.as_ref().unwrap().seq, call.seq);
    screen.resynced().await;
    client.call(PING).await;
    assert_eq!(*screen.passed(|it| it.direction == Direction::ToServer).await.message.raw(), PING);
}

#[tokio::test]
async fn hold_and_edit_over_control() {
    let (place, mut server) = (Place::new(), Server::start().await);
    let tapline = place.run(&["--upstream", &server.url()]).await;
    let mut screen = Screen::on(&place.entry(&tapline)).await;
    screen.hold("~q ~m tools/call").await;
    let mut client = tapline.client().await;
    client.post(CALL).await;
    let held = screen.held().await;
    assert_eq!(*held.envelope.message.raw(), CALL);
    screen.command(settle(held.ticket, Decision::Edit(Message::new(EDIT)))).await;
    let exchange = server.next().await;
    assert_eq!(exchange.body, EDIT);
    exchange.json("{}").await;
    let passed = screen.passed(|it| it.seq == held.envelope.seq).await;
    assert!(matches!(passed.outcome, Outcome::Edited(_)));
    assert_eq!(passed.original, Some(Message::new(CALL)));
    assert_eq!(client.response().await.status(), "200");
}

#[tokio::test]
async fn restart_over_control() {
    let place = Place::new();
    let tapline = place.run(&["--", tapline_binary().to_str().unwrap(), "__demo-server"]).await;
    let mut screen = Screen::on(&place.entry(&tapline)).await;
    let mut client = tapline.client().await;
    client.initialize().await;
    let session = screen.passed(|it| it.direction == Direction::ToClient).await.session;
    screen.command(Command::Restart(session)).await;
    let seam = screen.until(|event| match event {
        Event::Log(line) if line.landmark == Some(Landmark::Seam) => Some(line),
        _ => None,
    });
    let seam = seam.await;
    assert_eq!(seam.session, Some(session));
    assert_eq!(seam.text, "new process after a restart by the operator: `initialize` sent again");
    assert_eq!(client.call(PING).await.status(), "200");
}

#[tokio::test]
async fn control_token_is_required() {
    let place = Place::new();
    let tapline = place.run(&["--upstream", "http://127.0.0.1:1/mcp"]).await;
    let entry = place.entry(&tapline);
    let wrong = Remote::new(entry.control, ControlToken::given(&"0".repeat(64))).unwrap();
    let refused = wrong.check().await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { .. }), "{refused}");
    assert!(matches!(wrong.events().await, Err(ClientError::Refused { .. })));

    let mut raw = Client::connect(entry.control).await;
    for (request, head, status, word) in [
        ("GET /events", "", "401", "no token"),
        ("POST /commands", "authorization: Bearer x\r\ncontent-length: 0\r\n", "401", "wrong token"),
        ("POST /commands", "authorization: Basic x\r\ncontent-length: 0\r\n", "401", "no token"),
        ("GET /healthz", "", "200", "ok"),
        ("GET /healthz", "origin: https://evil.example\r\n", "403", "no web page"),
    ] {
        raw.request(request, head, b"").await;
        let response = raw.response().await;
        assert_eq!((response.status(), response.text().contains(word)), (status, true), "{}", response.text());
    }

    let address = entry.control.to_string();
    let (status, said) = place.attach(&[&address, "--token", "stale"]).await;
    assert_eq!((status, said.contains("wrong token")), (Some(1), true), "{said}");
    let (status, said) = place.attach(&["nobody"]).await;
    assert_eq!((status, said.contains("no tapline `nobody` runs; these do:")), (Some(2), true), "{said}");
}

#[tokio::test]
async fn control_commands_are_all_or_nothing() {
    let place = Place::new();
    let tapline = place.run(&["--upstream", "http://127.0.0.1:1/mcp"]).await;
    let entry = place.entry(&tapline);
    let token = serde_json::to_value(&entry.token).unwrap();
    let mut raw = Client::connect(entry.control).await;
    raw.headers = format!("authorization: Bearer {}\r\n", token.as_str().unwrap());
    let hold = r#"{"set_holding":{"on":true,"filter":"~q"}}"#;
    for (body, status, word) in [
        ("{", "400", "command 1"),
        (&*format!("{hold}\n{{\"unheard_of\":1}}"), "400", "command 2"),
        (r#"{"quit":{"held":"forward"}}"#, "400", "not ended"),
        (r#"{"open_tape":"/tmp/x"}"#, "400", "a file"),
        (
            r#"{"rules":{"add":{"text":"[[rule]]\nname = \"x\"\nwhen = \"~q\"\ndo = { hook = { command = [\"sh\"] } }"}}}"#,
            "400",
            "starts a program",
        ),
        (
            r#"{"rules":{"replace":{"name":"x","text":"[[rule]]\nname = \"x\"\nwhen = \"~q\"\n[rule.do.hook]\nurl = \"http://127.0.0.1:1/\""}}}"#,
            "400",
            "asks an address",
        ),
        (
            r#"{"rules":{"add":{"text":"[[rule]]\nname = \"x\"\nwhen = \"~q\"\ndo = { upstream = \"http://127.0.0.1:1/mcp\" }"}}}"#,
            "400",
            "asks an address",
        ),
        (
            r#"{"rules":{"add":{"text":"[[rule]]\nname = \"x\"\nwhen = \"~r\"\ndo = { delay = { tape = \"/x\" } }"}}}"#,
            "400",
            "reads a file",
        ),
        (r#"{"rules":{"save":{"file":"/tmp/x"}}}"#, "400", "named where tapline runs"),
        (r#""forward_all" "resync""#, "204", ""),
    ] {
        raw.request("POST /commands", &format!("content-length: {}\r\n", body.len()), body.as_bytes()).await;
        let response = raw.response().await;
        assert_eq!((response.status(), response.text().contains(word)), (status, true), "{}", response.text());
    }
    let mut screen = Screen::on(&entry).await;
    let before = screen.until(|event| if let Event::Holding(it) = event { Some(it) } else { None }).await;
    assert!(!before.on, "half of a bad request is not carried out");
}

/// Where a session is recorded: `--tapes` is relative to where a tapline was started.
async fn recording(place: &Place, dir: &Path) -> (Binary, PathBuf) {
    let mut command = place.command();
    command.current_dir(dir);
    let tapline =
        Binary::run_as(command, &["--name", "weather", "--tapes", "tapes", "--upstream", &answering().await]).await;
    tapline.client().await.call(CALL).await;
    let mut screen = Screen::on(&place.entry(&tapline)).await;
    loop {
        screen.command(Command::ListTapes).await;
        let tapes = screen.until(|event| if let Event::Tapes(tapes) = event { Some(tapes) } else { None }).await;
        if let Some(tape) = tapes.first() {
            return (tapline, dir.join(&tape.path).canonicalize().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_tape_is_changed_by_nobody_else_and_it_is_said_who_records_it() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let (tapline, path) = recording(&place, dir.path()).await;
    let who = "records to it; end that session first";
    let name = format!("tapline `weather` (process {}, http://", tapline.process());
    let tape = |arguments: &[&str]| {
        let output = place.command().arg("tape").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let given = path.to_str().unwrap();
    for arguments in [
        &["rm", given][..],
        &["rm", "--dry-run", given],
        &["rename", given, "x"],
        &["pack", given],
        &["note", given, "x"],
        &["redact", "--in-place", given],
    ] {
        let (status, said) = tape(arguments);
        assert!(status == Some(1) && said.contains(who) && said.contains(&name), "{arguments:?}: {said}");
    }
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    for arguments in [&["redact", demo, "--out", given][..], &["export", demo, "--format", "har", "--out", given]] {
        let (status, said) = tape(arguments);
        assert!(status == Some(2) && said.contains("records to it; take another name"), "{arguments:?}: {said}");
    }
    let tapes = path.parent().unwrap().to_str().unwrap();
    let other = Binary::run_as(place.command(), &["--tapes", tapes, "--upstream", &answering().await]).await;
    let mut screen = Screen::on(&place.entry(&other)).await;
    screen.command(Command::TendTape { tape: path.clone(), edit: TapeEdit::Delete }).await;
    screen.until(|event| matches!(event, Event::Log(line) if line.text.contains(who)).then_some(())).await;
    // What a tapline left that was killed has no end, either.
    let left = path.with_file_name("left.tape.jsonl");
    std::fs::copy(&path, &left).unwrap();
    assert_eq!(tape(&["rm", left.to_str().unwrap()]), (Some(0), String::new()));
    // Nor does what is too old or too much go while it is recorded.
    std::fs::copy(&path, &left).unwrap();
    let output = place.command().args(["tape", "--tapes", tapes, "rm", "--over", "0"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && path.exists() && !left.exists(), "{said}");
    assert!(said.contains("removed left\n") && said.contains(&format!(": {name}")), "{said}");
    assert!(said.contains(") records to it\n"), "{said}");
    tapline.signal("TERM");
    assert_eq!(tapline.end().await.0.code(), Some(143));
    assert_eq!(tape(&["rm", given]), (Some(0), String::new()));
}

/// A disk that is full, or a file that is read-only, for a while.
#[tokio::test(flavor = "multi_thread")]
async fn closed_tape_has_what_could_not_be_noted_of_it_with_the_next() {
    let (place, dir) = (Place::new(), tempfile::tempdir().unwrap());
    let (tapline, recorded) = recording(&place, dir.path()).await;
    let path = recorded.with_file_name("demo.tape.jsonl");
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl"), &path).unwrap();
    let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let session = Tape::read(&path).unwrap().header.session;
    let mut screen = Screen::on(&place.entry(&tapline)).await;
    let note = |seq, comment: &str| {
        let mark = MessageMark { is_marked: false, comment: comment.to_owned() };
        let tape = Some(PathBuf::from("tapes/demo.tape.jsonl"));
        Command::Annotate(AnnotateRequest { tape, annotations: vec![Annotation { session, seq: Seq(seq), mark }] })
    };
    allow(0o444);
    screen.command(note(2, "first")).await;
    let is_told =
        |line: &LogLine| line.text.contains("are tried again with the next") && line.text.contains("read-only");
    screen.until(|event| matches!(event, Event::Log(line) if is_told(&line)).then_some(())).await;
    allow(0o644);
    screen.command(note(4, "second")).await;
    let written = async {
        while Tape::read(&path).unwrap().annotations().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    soon("both comments on the tape", written).await;
}
