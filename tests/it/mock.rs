//! A tape in place of its server: the same client sees the same.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tapline::app::Settings;
use tapline::event::{Command, Event, Level, MockOrder, MockRepeats, OnQuit, ServeRequest, Speed};
use tapline::tape::Tape;
use tapline::tape::mock::{MockOptions, TapeMock};
use tempfile::TempDir;

use crate::memory::memory;
use crate::peers::{Era, compare, over_http, over_mock_stdio, serve_http, transcript};
use crate::support::child::role;
use crate::support::terminal::{Caller, Terminal};
use crate::support::{Binary, Client, LegacySseClient, Rig, Server, binary, command, settings};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

fn tapes(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect()
}

fn mocked(tapes: &[PathBuf]) -> Settings {
    Settings::new(TapeMock::open(tapes, MockOptions::default(), None).unwrap().target())
}

/// What a client of that age sees of a server, and the tapes of that.
async fn recorded(settings: Settings, era: Era, dir: &TempDir) -> Vec<Value> {
    let rig = Rig::strict(Settings { tapes: Some(dir.path().to_owned()), ..settings }).await;
    let seen = transcript(over_http(rig.url(), era).await, era).await;
    rig.quit(OnQuit::Forward).await;
    seen
}

#[tokio::test]
async fn mock_of_an_http_server_is_what_the_client_saw() {
    for (sessions, json, era) in
        [(true, false, Era::Legacy), (true, true, Era::Legacy), (false, false, Era::Modern), (false, true, Era::Modern)]
    {
        let dir = TempDir::new().unwrap();
        let seen = recorded(settings(&serve_http(sessions, json).await), era, &dir).await;
        the_same_from(&seen, era, &tapes(dir.path())).await;
    }
}

#[tokio::test]
async fn mock_of_a_command_is_what_the_client_saw() {
    let words = role("rmcp");
    for era in [Era::Legacy, Era::Modern] {
        let dir = TempDir::new().unwrap();
        let server = command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let seen = recorded(Settings::new(server), era, &dir).await;
        the_same_from(&seen, era, &tapes(dir.path())).await;
    }
}

/// Over HTTP, twice, and launched by its client.
async fn the_same_from(seen: &[Value], era: Era, tapes: &[PathBuf]) {
    let rig = Rig::strict(mocked(tapes)).await;
    for _ in 0..2 {
        compare(seen, &transcript(over_http(rig.url(), era).await, era).await);
    }
    assert_eq!(rig.complaints(), Vec::<String>::new());
    compare(seen, &transcript(over_mock_stdio(tapes, era).await, era).await);
}

/// A person at the screen has the tape answer clients, beside the server that the screen is in front of.
#[tokio::test]
async fn tape_is_served_at_an_address_of_its_own_until_it_is_no_more() {
    let dir = TempDir::new().unwrap();
    let seen = recorded(settings(&serve_http(true, false).await), Era::Legacy, &dir).await;
    let tape = tapes(dir.path()).remove(0);
    let rig =
        Rig::start(Settings { tape_library: Some(dir.path().to_owned()), ..settings("http://127.0.0.1:9/") }).await;
    rig.command_now(serve(&tape));
    let url = rig.line(Level::Info, "is served at ").await.text.split_once(" at ").unwrap().1.to_owned();
    compare(&seen, &transcript(over_http(&url, Era::Legacy).await, Era::Legacy).await);
    // A second wish says where it is already.
    rig.command_now(serve(&tape));
    assert!(rig.line(Level::Warn, "is not served").await.text.ends_with(&url));
    let mut client = Client::connect(address_in(&url)).await;
    client.initialize().await;
    let call = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"nobody has it"}}"#;
    assert_eq!(client.call(call).await.json()["error"]["code"], -31005);
    let counted = |event: &Event| match event {
        Event::Figures(it) => it.served.iter().find(|it| it.url == url && it.answered > 0 && it.missed == 1).cloned(),
        _ => None,
    };
    rig.event("the figures of what is served", counted).await;
    // Its sessions are among those of the screen.
    let session = rig.session(2).await;
    assert!(rig.core().mounts().find(session).is_some());
    rig.command_now(Command::StopServing(tape.clone()));
    rig.line(Level::Info, "is served no more: ").await;
    assert!(rig.core().mounts().find(session).is_none());
    assert!(tokio::net::TcpStream::connect(address_in(&url)).await.is_err());
    rig.quit(OnQuit::Forward).await;
}

fn serve(tape: &Path) -> Command {
    let (tape, order, repeats) = (tape.to_owned(), MockOrder::Session, MockRepeats::Last);
    Command::Serve(ServeRequest { tape, speed: Speed::Max, order, repeats, tells_nearest: true, ignore: Vec::new() })
}

fn address_in(url: &str) -> std::net::SocketAddr {
    url.split('/').nth(2).unwrap().parse().unwrap()
}

#[tokio::test]
async fn mock_speaks_http_sse_too() {
    let rig = Rig::strict(mocked(&[DEMO.into()])).await;
    let mut client = LegacySseClient::open(rig.address()).await;
    let asked = first_request();
    client.post(asked.to_string().as_bytes()).await;
    let reply = client.message().await;
    assert_eq!((&reply["id"], reply["result"].is_object()), (&asked["id"], true), "{reply}");
}

/// The lines of the demo's tape that go in that direction.
fn lines(direction: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(DEMO).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["dir"] == direction).collect()
}

fn first_request() -> Value {
    lines("c2s")[0]["msg"].clone()
}

/// `tapline mock --stdio`, with all that its client says.
fn launched(options: &[&str], said: &[Value]) -> Output {
    launched_with(Path::new(DEMO), options, &[], said)
}

fn launched_with(tape: &Path, options: &[&str], server: &[&str], said: &[Value]) -> Output {
    let mut mock = binary::command();
    mock.arg("mock").arg(tape).args(["--stdio", "--no-record"]).args(options);
    if !server.is_empty() {
        mock.arg("--").args(server);
    }
    let mut child = mock.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    said.iter().for_each(|message| writeln!(stdin, "{message}").unwrap());
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn mock_strict_ends_with_1_after_a_miss() {
    let stranger = json!({"jsonrpc": "2.0", "id": 99, "method": "tools/call",
        "params": {"name": "get_forecast", "arguments": {"city": "Ur"}}});
    for (said, status) in [(vec![first_request()], 0), (vec![first_request(), stranger], 1)] {
        let output = launched(&["--strict"], &said);
        let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{out} {told}");
        assert_eq!(out.lines().count(), said.len(), "{out}");
        assert_eq!(out.contains("-31005"), status == 1, "{out}");
        assert_eq!(told.contains("+ \"Ur\""), status == 1, "{told}");
    }
}

/// What the client was to be told may have stood on the line.
#[test]
fn mock_strict_of_a_damaged_tape_ends_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let tape = dir.path().join("damaged.tape.jsonl");
    std::fs::write(
        &tape,
        std::fs::read_to_string(DEMO).unwrap() + "damaged\n{\"mark\":\"note\",\"at\":0,\"text\":\"x\"}\n",
    )
    .unwrap();
    for (options, status) in [(&["--strict"][..], 1), (&[], 0)] {
        let output = launched_with(&tape, options, &[], &[first_request()]);
        assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn mock_names_an_unreadable_tape() {
    let mut mock = binary::command();
    let output = mock.args(["mock", "/nonexistent/x.tape.jsonl", "--stdio"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), told.contains("there is no tape /nonexistent/x.tape.jsonl")),
        (Some(2), true),
        "{told}"
    );
}

#[tokio::test]
async fn mock_listens_and_tells_what_came_of_it() {
    let mut mock = Binary::mock(&[DEMO, "--no-record", "--strict"]).await;
    let mut client = mock.client().await;
    let response = client.call(first_request().to_string()).await;
    assert_eq!(response.json()["id"], first_request()["id"], "{response:?}");
    mock.signal("TERM");
    let mut last = String::new();
    while let Some(line) = mock.line().await {
        last = line;
    }
    assert!(last.contains("mock: 1 answered from the tape, 0 not on it"), "{last}");
    assert_eq!(mock.end_unread().await.code(), Some(0));
}

/// What the demo's tape has not, and its server knows.
fn unrecorded() -> Value {
    json!({"jsonrpc": "2.0", "id": "new", "method": "tools/call",
        "params": {"name": "get_forecast", "arguments": {"city": "Oslo", "days": 1}}})
}

#[test]
fn mock_asks_a_real_server_what_is_on_no_tape_and_extends_it() {
    let dir = TempDir::new().unwrap();
    let tape = dir.path().join("demo.tape.jsonl");
    std::fs::copy(DEMO, &tape).unwrap();
    let said = [first_request(), unrecorded()];
    let server = [env!("CARGO_BIN_EXE_tapline"), "__demo-server"];
    let asked = launched_with(&tape, &["--record", "--strict"], &server, &said);
    let (out, told) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    assert_eq!((asked.status.code(), out.lines().count()), (Some(0), 2), "{out} {told}");
    let reply =
        |output: &[u8]| String::from_utf8_lossy(output).lines().find(|it| it.contains("\"new\"")).map(str::to_owned);
    let live = reply(&asked.stdout).expect(&told);
    assert!(live.contains("\"result\""), "{live}");
    // From now on the tape has it, and no server is needed.
    let again = launched_with(&tape, &["--strict"], &[], &said);
    assert_eq!((again.status.code(), reply(&again.stdout)), (Some(0), Some(live)));
    assert_eq!(Tape::read(&tape).unwrap().problems, []);
}

#[tokio::test]
async fn mock_ends_with_a_real_server_that_was_asked() {
    let server = [env!("CARGO_BIN_EXE_tapline"), "__demo-server"];
    let mut mock = Binary::mock(&[&[DEMO, "--no-record", "--"], &server[..]].concat()).await;
    let mut client = mock.client().await;
    client.initialize().await;
    let response = client.call(unrecorded().to_string()).await;
    assert!(response.json()["result"].is_object(), "{response:?}");
    mock.signal("TERM");
    mock.line_with("tapline: mock: ").await;
    assert_eq!(mock.end_unread().await.code(), Some(143));
}

#[test]
fn mock_names_a_real_server_that_cannot_be_asked() {
    let place = TempDir::new().unwrap();
    let server = place.path().join("server");
    std::fs::write(&server, "#!/there/is/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&server, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = [server.to_str().unwrap()];
    let output = launched_with(Path::new(DEMO), &[], &command, &[first_request(), unrecorded()]);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("-31000") && out.contains("the real server cannot be asked"), "{out}");
}

/// Every tape that comes with tapline.
fn shipped() -> Vec<PathBuf> {
    let all = tapes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes")).into_iter();
    let mut found: Vec<_> = all.filter(|path| path.to_string_lossy().ends_with(".tape.jsonl")).collect();
    found.sort();
    found
}

#[test]
fn tapes_play_against_their_own_mock() {
    let tapes = shipped();
    assert!(tapes.len() > 6, "{tapes:?}");
    for tape in tapes {
        let mut replay = binary::command();
        replay.arg("replay").arg(&tape).args(["--speed", "max", "--match", "exact", "--ignore", ".id", "--"]);
        replay.arg(binary::command().get_program()).arg("mock").arg(&tape).args(["--stdio", "--no-record", "--strict"]);
        let output = replay.output().unwrap();
        let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{}:\n{out}{told}", tape.display());
        assert!(out.contains(" 0 failed, 0 skipped"), "{}:\n{out}{told}", tape.display());
    }
}

#[test]
fn tapes_are_described_and_name_no_machine() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/README.md")).unwrap();
    for tape in shipped() {
        let name = tape.file_name().unwrap().to_string_lossy().into_owned();
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in tapes/README.md");
        let text = std::fs::read_to_string(&tape).unwrap();
        for place in ["/home/", "/root/", "/Users/", "C:\\\\"] {
            assert!(!text.contains(place), "{name} has {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mock_holds_a_miss_for_the_operator() {
    let mut terminal = Terminal::start(&["mock", DEMO, "--listen", "127.0.0.1:0", "--no-record", "--on-miss", "hold"]);
    let client = Caller::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Ur").await });
    terminal.wait_for("1 held");
    assert!(!call.is_finished(), "it waits for the operator");
    terminal.press("2a");
    let reply = call.await.unwrap();
    assert_eq!(reply["error"]["code"], -31005, "{reply}");
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test]
async fn mock_asks_the_server_of_a_url_what_is_on_no_tape() {
    let url = Server::answering(|exchange| {
        let asked: Value = serde_json::from_slice(&exchange.body).unwrap();
        let result = match asked["method"].as_str() {
            Some("initialize") => json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "real", "version": "1"}}),
            _ => json!({"content": [{"type": "text", "text": format!("real {}", asked["params"]["arguments"]["city"])}]}),
        };
        json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string()
    })
    .await;
    let mock = Binary::mock(&[DEMO, "--no-record", "--fallback", &url]).await;
    let mut client = mock.client().await;
    let begun = client.call(first_request().to_string()).await;
    assert_eq!(begun.json()["result"]["serverInfo"]["name"], "tapline-demo", "it begins with the tape");
    let id = begun.head.get("mcp-session-id").map(str::to_owned);
    client.headers = id.map(|id| format!("mcp-session-id: {id}\r\n")).unwrap_or_default();
    let ask = |id: u32, city: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "get_forecast", "arguments": {"city": city}}});
    for (id, city) in [(71, "Ur"), (72, "Ur"), (73, "Uruk")] {
        let reply = client.call(ask(id, city).to_string()).await.json();
        assert_eq!(reply["id"], id, "{reply}");
        assert_eq!(reply["result"]["content"][0]["text"], format!("real \"{city}\""), "{reply}");
    }
}

/// A tape with a call for each number, and a long reply to each.
fn large_tape(path: &Path, calls: u64) {
    let header = std::fs::read_to_string(DEMO).unwrap().lines().next().unwrap().to_owned();
    let mut tape = BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(tape, "{header}").unwrap();
    let text = "words ".repeat(2_000);
    for number in 0..calls {
        let (seq, call) = (2 * number + 1, numbered_call(number));
        writeln!(tape, r#"{{"seq":{seq},"at":{seq},"dir":"c2s","via":"stdio","msg":{call}}}"#).unwrap();
        let reply = format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{"number":{number},"text":"{text}"}}}}"#);
        writeln!(tape, r#"{{"seq":{},"at":{seq},"dir":"s2c","via":"stdio","msg":{reply}}}"#, seq + 1).unwrap();
    }
}

fn numbered_call(number: u64) -> Value {
    let params = json!({"name": "count", "arguments": {"number": number}});
    json!({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})
}

/// Bytes that a mock of a tape has had in memory at most, when it has answered these calls.
fn peak_of_mock(tape: &Path, numbers: &[u64]) -> u64 {
    let mut mock = binary::command();
    mock.arg("mock").arg(tape).args(["--stdio", "--no-record"]);
    let mut child = mock.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for number in numbers {
        writeln!(stdin, "{}", numbered_call(*number)).unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        let is_known = reply["result"]["number"] == *number || reply["error"]["code"] == -31005;
        assert!(is_known && reply["id"] == *number, "{line:.300}");
    }
    let peak = memory(child.id(), "VmHWM");
    drop(stdin);
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn mock_keeps_an_index_in_memory_and_not_the_tape() {
    let dir = TempDir::new().unwrap();
    let tape = dir.path().join("large.tape.jsonl");
    large_tape(&tape, 6_000);
    let bytes = std::fs::metadata(&tape).unwrap().len();
    // The first and the last, one twice, and one that is not on it: the nearest is looked for on all of it.
    let numbers = [0, 5_999, 3_000, 3_000, 9_999];
    let (own, peak) = (peak_of_mock(Path::new(DEMO), &[0]), peak_of_mock(&tape, &numbers));
    assert!(bytes > 70 << 20 && peak < own + (36 << 20), "{} MiB, {} MiB more", bytes >> 20, (peak - own) >> 20);
}

/// Has a client tried at a mock of the calculator's tape; gives status, stdout and stderr.
fn client_tried(client: &str) -> (i32, String, String) {
    client_tried_with(client, &[])
}

fn client_tried_with(client: &str, options: &[&str]) -> (i32, String, String) {
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/calculator-legacy-stdio.tape.jsonl");
    let client = client.replace("{replay}", &format!("{} replay {tape} --speed max", env!("CARGO_BIN_EXE_tapline")));
    let mut mock = binary::command();
    mock.args(["mock", tape, "--no-record", "--no-control", "--mutate", "11", "--client", &client]);
    mock.args(options);
    let Output { status, stdout, stderr } = mock.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn mock_tries_one_changed_reply_after_the_other_at_a_client() {
    let (status, said, errors) = client_tried("{replay} --upstream {url}");
    let lines: Vec<_> = said.lines().collect();
    let (last, tried) = lines.split_last().unwrap();
    let failed = tried.iter().filter(|line| line.starts_with("FAILS") && line.contains("(legal)")).count();
    assert!(tried.len() > 2 && failed > 0, "{said}{errors}");
    let less = ["(legal): a member less that may be missing", "(illegal): a member less that must be there"];
    assert!(less.iter().all(|it| said.contains(it)), "{said}");
    for (line, nth) in tried.iter().zip(1..) {
        assert!(
            line.contains(&format!(" reply {nth} was changed (")) && line.contains(&format!("--mutate 11:{nth}`")),
            "{line}"
        );
        assert!(line.starts_with("copes") || line.contains(": it ends with exit status: "), "{line}");
        assert!(!line.starts_with("refuses") || line.contains("(illegal)"), "{line}");
    }
    let summary = format!("{} changes, one at a time; the client fails after {failed}", tried.len());
    assert_eq!((status, *last), (1, summary.as_str()), "{errors}");
    // One that takes everything.
    let (status, said, errors) = client_tried("{replay} --upstream {url} || true");
    assert!(status == 0 && said.ends_with("fails after 0\n"), "{said}{errors}");
    assert!(said.lines().rev().skip(1).all(|line| line.starts_with("copes  ")), "{said}");
}

/// Clients of revision 2026-07-28 share what answers them, and each of them is tried all the same.
#[test]
fn mock_tries_one_changed_reply_after_the_other_at_a_client_without_sessions() {
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/time-modern-stdio.tape.jsonl");
    let client = format!("{} replay {tape} --speed max --upstream {{url}} || true", env!("CARGO_BIN_EXE_tapline"));
    let mut mock = binary::command();
    mock.args(["mock", tape, "--no-record", "--no-control", "--mutate", "11", "--most-runs", "4", "--client", &client]);
    let output = mock.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let is_told = |nth| said.contains(&format!("copes   reply {nth} was changed ("));
    assert!((1..=3).all(is_told) && said.contains("\n3 changes, one at a time"), "{said}");
}

#[test]
fn mock_tries_a_client_no_longer_and_no_more_often_than_it_may() {
    let (status, said, errors) = client_tried_with("{replay} --upstream {url} || true", &["--most-runs", "3"]);
    let last = said.lines().last().unwrap();
    assert!(status == 0 && said.lines().count() == 3 && last.starts_with("2 changes, one at a time"), "{said}{errors}");
    assert!(last.contains(" replies were not changed: `--most-runs` allows more"), "{said}");
    let (status, _, errors) = client_tried_with("sleep 60", &["--timeout", "100ms"]);
    assert!(status == 1 && errors.contains("the client has not ended after 100ms with nothing changed"), "{errors}");
}

/// Each run is on a tape of its own, which says what was changed, and ends with its client.
#[test]
fn mock_records_what_it_changed_for_a_client() {
    let (dir, tape) = (TempDir::new().unwrap(), concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl"));
    let client = format!("{} replay {tape} --speed max --upstream {{url}} || true", env!("CARGO_BIN_EXE_tapline"));
    let mut mock = binary::command();
    mock.args([
        "mock",
        tape,
        "--no-control",
        "--no-database",
        "--mutate",
        "11",
        "--most-runs",
        "3",
        "--client",
        &client,
    ]);
    let output = mock.arg("--tapes").arg(dir.path()).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with(&format!("; each run is on a tape in {}\n", dir.path().display())), "{said}");
    let tapes =
        std::fs::read_dir(dir.path()).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let mut changed = tapes.map(|text| {
        assert!(!text.contains("tapline ended"), "{text}");
        text.lines().filter(|line| line.starts_with(r#"{"mark":"log""#)).map(str::to_owned).collect::<Vec<_>>()
    });
    let changed: Vec<_> = changed.by_ref().flatten().collect();
    let first = |nth| changed.iter().filter(|line| line.contains(&format!("reply {nth} was changed ("))).count();
    assert_eq!((changed.len(), first(1), first(2)), (2, 1, 1), "{changed:?}");
}

/// A browser driver or a build server goes on by itself, and has the stderr of who started it.
#[test]
fn mock_tries_a_client_to_its_own_end_and_not_to_that_of_what_it_leaves_behind() {
    let options = ["--most-runs", "3", "--timeout", "20s"];
    let (status, said, errors) = client_tried_with("sleep 1000 & {replay} --upstream {url} || true", &options);
    assert!(status == 0 && said.matches("copes ").count() == 2, "{said}{errors}");
    let (status, _, errors) = client_tried_with("sleep 1000 & echo gone wrong >&2; exit 3", &options);
    assert!(status == 1 && errors.contains("exit status: 3 with nothing changed: gone wrong"), "{errors}");
    let (_, _, errors) = client_tried_with("echo waiting >&2; sleep 1000", &["--timeout", "1s"]);
    assert!(errors.contains("has not ended after 1s with nothing changed: waiting"), "{errors}");
}

#[test]
fn mock_tries_no_client_that_fails_by_itself() {
    let (status, said, errors) = client_tried(r"printf '  | no luck\n  +-----\n' >&2; exit 3");
    assert_eq!((status, said.as_str()), (1, ""));
    assert!(errors.contains("the client ends with exit status: 3 with nothing changed: no luck"), "{errors}");
    let (status, _, errors) = client_tried("true");
    assert!(status == 1 && errors.contains("the client got no reply: `{url}` in its command"), "{errors}");
}
