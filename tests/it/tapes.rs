//! What is recorded is what passed, no more, and recording gets in nobody's way.

use std::fs;
use std::path::{Path, PathBuf};

use tapline::app::Settings;
use tapline::envelope::Direction::ToServer;
use tapline::envelope::Envelope;
use tapline::event::{Command, Decision, Event, Level, OnQuit};
use tapline::message::{Kind, Message};
use tapline::tape::Tape;
use tempfile::TempDir;

use crate::support::{Binary, INITIALIZE, Rig, Server, settings, soon, word};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a"}}"#;

fn recording(url: &str, dir: &Path) -> Settings {
    Settings { tapes: Some(dir.to_owned()), tape_library: Some(dir.to_owned()), ..settings(url) }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).map(|files| files.map(|file| file.unwrap().path()).collect()).unwrap_or_default()
}

/// Everything of an envelope that a tape keeps, in a form that can be compared.
fn facts(envelope: &Envelope) -> String {
    format!(
        "{} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        envelope.seq,
        envelope.at,
        envelope.direction,
        envelope.transport.via,
        envelope.transport.status,
        envelope.transport.sse,
        envelope.message.raw(),
        envelope.original.as_ref().map(|original| original.raw().clone()),
        envelope.outcome,
        envelope.held,
        envelope.reply_to,
    )
}

#[tokio::test]
async fn tape_reads_back_what_passed() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start().await;
    let rig = Rig::start(recording(&server.url(), dir.path())).await;
    let mut client = rig.client().await;
    client.post(INITIALIZE).await;
    let initialized =
        r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","serverInfo":{"name":"s","version":"9"}}}"#;
    server.next().await.json_with("mcp-session-id: s1\r\n", initialized).await;
    client.response().await;
    client.headers = "mcp-session-id: s1\r\n".to_owned();
    // JSON on one line, on several, and what is none;
    for body in
        [b"{\"id\":123456789012345678901234567890,\"method\":\"a\"}".as_slice(), b"{\r\n\"id\":1}\n", b"\xff\0", b""]
    {
        client.post(body).await;
        server.next().await.json(body).await;
        client.response().await;
    }
    // a stream;
    client.post(CALL).await;
    let events = "id: 1\nretry: 9\ndata:\n\nid: 2\nevent: message\ndata: {\"id\":7,\ndata: \"result\":{}}\n\n";
    server.next().await.stream(events).await;
    client.response().await;
    // an edit, an answer of tapline's, and what somebody gave up.
    rig.hold("~q ~m tools/call").await;
    client = rig.client().await;
    client.headers = "mcp-session-id: s1\r\n".to_owned();
    client.post(CALL).await;
    rig.settle(rig.held(1).await.ticket, Decision::Edit(Message::new(CALL.replace("\"a\"", "\"b\""))));
    server.next().await.json("{}").await;
    client.response().await;
    client.post(CALL).await;
    rig.settle(rig.held(2).await.ticket, Decision::Drop);
    rig.fate(&*rig.held(2).await).await;

    drop(client);
    let session = rig.session(1).await;
    let told = rig.quit(OnQuit::Forward).await;
    let passed: Vec<_> =
        told.iter().filter_map(|it| if let Event::Passed(it) = it { Some(facts(it)) } else { None }).collect();
    let [file] = files(dir.path()).try_into().unwrap();
    let tape = Tape::read(&file).unwrap();
    assert_eq!(tape.envelopes.iter().map(|it| facts(it)).collect::<Vec<_>>(), passed);
    let outcomes: Vec<_> = tape.envelopes.iter().map(|it| word(&it.outcome)).collect();
    assert_eq!(outcomes[outcomes.len() - 3..], ["edited", "forwarded", "dropped"]);
    assert_eq!(tape.troubles(), Vec::<String>::new());
    assert_eq!(tape.end.as_deref(), Some("tapline ended"));
    assert_eq!((tape.header.session, tape.header.upstream), (session, server.url()));
    assert_eq!(tape.header.peers.protocol.as_deref(), Some("2025-11-25"));
    assert_eq!(
        (tape.header.peers.client.unwrap().name.clone(), tape.header.peers.server.unwrap().name.clone()),
        ("raw".to_owned(), "s".to_owned())
    );
}

#[tokio::test]
async fn secrets_are_never_written() {
    const SECRETS: [&str; 6] =
        ["s3cret-auth", "s3cret-cookie", "s3cret-session", "s3cret-key", "s3cret-token", "s3cret-url"];
    let dir = TempDir::new().unwrap();
    let mut server = Server::start().await;
    let url = format!("{}?api_key=s3cret-url", server.url());
    let rig = Rig::start(recording(&url, dir.path())).await;
    let mut client = rig.client().await;
    client.headers =
        "authorization: Bearer s3cret-auth\r\ncookie: a=s3cret-cookie\r\nmcp-session-id: s3cret-session\r\n\
        x-api-key: s3cret-key\r\nx-auth-token: s3cret-token\r\nx-odd: kept\r\n"
            .to_owned();
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.get("authorization"), Some("Bearer s3cret-auth"), "the server gets it all");
    exchange.json_with("mcp-session-id: s3cret-session\r\nset-cookie: s3cret-cookie\r\n", "{}").await;
    client.response().await;
    let told = rig.quit(OnQuit::Forward).await;

    let [file] = files(dir.path()).try_into().unwrap();
    let written = fs::read_to_string(&file).unwrap();
    // What is shown to a reader over a socket has the same form.
    let passed = told.iter().filter(|event| matches!(event, Event::Passed(_)));
    let shown = passed.map(|event| serde_json::to_string(event).unwrap()).collect::<String>();
    for text in [&written, &shown] {
        assert!(text.contains("\"x-odd\":\"kept\"") && text.contains("\"authorization\":\"[redacted]\""), "{text}");
    }
    for secret in SECRETS {
        assert!(!written.contains(secret) && !shown.contains(secret), "{secret} is in {written} or {shown}");
        assert!(!file.to_str().unwrap().contains(secret));
    }
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn no_record_leaves_no_file() {
    let home = TempDir::new().unwrap();
    let run = async |options: &[&str], variable: Option<&str>| {
        let url = Server::answering(|_| "{}".to_owned()).await;
        let mut tapline = crate::support::binary::command();
        tapline.env("HOME", home.path()).env("XDG_DATA_HOME", home.path().join("data")).current_dir(home.path());
        tapline.envs(variable.map(|name| (name, home.path().join("tapes"))));
        let binary = Binary::run_as(tapline, &[options, &["--upstream", &url]].concat()).await;
        assert_eq!(binary.client().await.call(CALL).await.text(), "{}");
        binary.signal("TERM");
        assert_eq!(binary.end().await.0.code(), Some(143));
        files(home.path()).len()
    };
    assert_eq!(run(&["--no-record"], None).await, 0);
    assert_eq!(run(&["--no-record"], Some("TAPLINE_TAPES")).await, 0);
    assert_ne!(run(&[], None).await, 0, "or this test would see nothing");
}

#[tokio::test]
async fn kill_loses_only_the_end_of_a_tape() {
    let dir = TempDir::new().unwrap();
    let url = Server::answering(|exchange| exchange.text().replace(r#""method":"ping""#, r#""result":{}"#)).await;
    let binary = Binary::run(&["--tapes", dir.path().to_str().unwrap(), "--upstream", &url]).await;
    for lane in 0..4 {
        let mut client = binary.client().await;
        // Each goes on until the proxy is gone.
        tokio::spawn(async move {
            for id in 0.. {
                client.call(format!(r#"{{"jsonrpc":"2.0","id":"{lane}-{id}","method":"ping"}}"#)).await;
            }
        });
    }
    let written = async {
        while files(dir.path()).iter().all(|file| fs::read(file).unwrap().split(|byte| *byte == b'\n').count() < 500) {
            tokio::task::yield_now().await;
        }
    };
    soon("500 lines of a tape", written).await;
    binary.signal("KILL");
    binary.end().await;

    let [file] = files(dir.path()).try_into().unwrap();
    let tape = Tape::read(&file).unwrap();
    assert_eq!((tape.problems.len(), tape.end, tape.header.upstream), (0, None, url));
    assert!(tape.envelopes.len() > 490, "{} messages", tape.envelopes.len());
    // What was there first was written first: no reply without its request.
    let mut seen = std::collections::HashSet::new();
    for envelope in &tape.envelopes {
        seen.insert(envelope.seq);
        match envelope.kind() {
            Kind::Request => assert_eq!(envelope.direction, ToServer),
            Kind::Result => assert!(seen.contains(&envelope.reply_to.as_ref().unwrap().seq), "{envelope:?}"),
            _ => panic!("nobody sent {envelope:?}"),
        }
    }
}

#[tokio::test]
async fn unwritable_tape_is_reported_once() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let mut server = Server::start().await;
    let rig = Rig::start(recording(&server.url(), &file.join("tapes"))).await;
    let mut client = rig.client().await;
    for _ in 0..20 {
        client.post(CALL).await;
        server.next().await.json("{}").await;
        assert_eq!(client.response().await.text(), "{}");
    }
    let line = rig.line(Level::Error, "Not a directory").await;
    assert_eq!(line.source, "tape");
    assert!(line.text.contains("messages pass unrecorded"), "{}", line.text);
    let told = rig.quit(OnQuit::Forward).await;
    let complaints: Vec<_> = told
        .iter()
        .filter_map(
            |it| if let Event::Log(line) = it { (line.level == Level::Error).then_some(&line.text) } else { None },
        )
        .filter(|text| text.contains("messages pass unrecorded"))
        .collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
}

#[tokio::test]
async fn tapes_are_listed_and_opened() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start().await;
    let rig = Rig::start(recording(&server.url(), dir.path())).await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    server.next().await.json("{}").await;
    client.response().await;
    let session = rig.session(1).await;
    rig.command_now(Command::CloseSession(session));
    rig.closed(session).await;
    rig.command_now(Command::ListTapes);
    // Listed at once, and again when it was read.
    let read = rig.event("the tapes", |it| match it {
        Event::Tapes(tapes) if tapes.iter().all(|tape| tape.tools.is_some()) => Some(tapes.clone()),
        _ => None,
    });
    let [tape] = read.await.try_into().unwrap();
    assert_eq!((tape.messages, tape.upstream, tape.problems), (2, server.url(), Vec::new()));
    rig.command_now(Command::OpenTape(tape.path));
    let opened = rig.event("the tape", |it| match it {
        Event::TapeOpened { part, .. } => Some(part.envelopes.clone()),
        _ => None,
    });
    assert_eq!(opened.await[0].message.raw(), CALL);
    rig.command_now(Command::OpenTape(dir.path().join("no.tape.jsonl")));
    rig.line(Level::Error, "there is no tape").await;
}

#[cfg(not(feature = "object-store"))]
#[test]
fn tape_in_an_object_store_says_what_to_build() {
    for arguments in [
        &["tape", "show", "s3://b/a.tape.jsonl"][..],
        &["replay", "gs://b/a.tape.jsonl", "--", "cat"],
        &["search", "~e", "https://h/"],
        &["tape", "upload", env!("CARGO_MANIFEST_DIR"), "--to", "az://b/"],
    ] {
        let output = crate::support::binary::command().args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains("--features object-store"), "{arguments:?}: {said}");
    }
}

/// A session on a pipe ends either way by the end of its server: what a client does when it leaves is no crash.
#[test]
fn tape_of_a_pipe_says_who_left_first() {
    for (script, end) in [
        ("cat >/dev/null", "its client has left: "),
        ("read -r line; exit 0", "its server is gone: "),
        ("read -r line; exit 3", "its server is gone: "),
    ] {
        let dir = TempDir::new().unwrap();
        let mut command = crate::support::binary::command();
        command.args(["stdio", "--no-database", "--no-control", "--grace", "0s", "--tapes"]).arg(dir.path());
        command.args(["--", "sh", "-c", script]).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut tapline = command.spawn().unwrap();
        let mut stdin = tapline.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, format!("{INITIALIZE}\n").as_bytes()).unwrap();
        if end.starts_with("its client") {
            drop(stdin);
            tapline.wait().unwrap();
        } else {
            tapline.wait().unwrap();
            drop(stdin);
        }
        let tape = fs::read_to_string(&files(dir.path())[0]).unwrap();
        assert!(tape.contains(&format!(r#""reason":"{end}"#)), "{script}: {tape}");
    }
}
