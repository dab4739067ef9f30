//! A branch off a real session, as a person makes it on the screen: it ends differently, and both ends are seen.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::terminal::{Caller, Terminal};
use crate::support::{Binary, binary};

const CTRL_S: &str = "\x13";

fn run(tapes: &Path) -> Terminal {
    let tapes = tapes.to_str().unwrap();
    let server = [env!("CARGO_BIN_EXE_tapline"), "__demo-server"];
    Terminal::start(&[&["run", "--listen", "127.0.0.1:0", "--tapes", tapes, "--"][..], &server[..]].concat())
}

fn header(tape: &Path) -> Value {
    let text = std::fs::read_to_string(tape).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn branch_of_a_live_session_ends_differently_and_both_ends_are_on_the_screen() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = run(dir.path());
    let client = Caller::connect(terminal.url()).await;
    for city in ["Lisbon", "Kyoto"] {
        assert_eq!(client.forecast(city).await["result"]["structuredContent"]["city"], city);
    }
    // Off the reply to the first call: what follows there is not to be in the branch.
    terminal.wait_for("#7 result of #6");
    terminal.press(":5\r");
    terminal.wait_for("#5 result of #4");
    terminal.press("B");
    terminal.wait_for("branched off at #5");
    terminal.press("e");
    terminal.wait_for("8       \"city\": \"Lisbon\"");
    let (down, end, left, back) = ("\x1b[B".repeat(7), "\x1b[F", "\x1b[D", "\x7f".repeat("Lisbon".len()));
    terminal.press(&format!("{down}{end}{left}{back}Oslo"));
    terminal.wait_for("1 value changed: .params.arguments.city");
    terminal.press(CTRL_S);
    terminal.wait("the reply to the edited call", |screen| {
        let contents = screen.contents();
        contents.lines().any(|line| line.contains("Oslo") && line.contains('=')).then_some(())
    });
    // The client goes on in its own session as if nothing had been.
    assert_eq!(client.forecast("Kyoto").await["result"]["structuredContent"]["city"], "Kyoto");
    terminal.press("4");
    terminal.wait_for("└ from #5 ");
    // The session above, the branch below.
    terminal.press("\x1b[HWjW");
    terminal.wait_for("2 calls same");
    terminal.wait("what the branch did otherwise", |screen| {
        let contents = screen.contents();
        let has = |parts: &[&str]| contents.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        (has(&["~ tools/call get_forecast"]) && has(&[".params.arguments.city", "\"Kyoto\"", "\"Oslo\""])).then_some(())
    });
    terminal.press("/arguments.city\r\r");
    terminal.wait_for("- Kyoto");
    terminal.wait_for("+ Oslo");
    terminal.press("q");
    terminal.wait("the two tapes again", |screen| (!screen.contents().contains("+ Oslo")).then_some(()));
    terminal.press("Q");
    terminal.ends_with(0);
    let tapes: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let tapes = tapes.into_iter().filter(|path| tapline::tape::is_tape_name(path));
    let (branches, parents): (Vec<_>, Vec<_>) = tapes.partition(|path| header(path).get("parent").is_some());
    let ([branch], [parent]) = (&branches[..], &parents[..]) else {
        panic!("a session and its branch: {branches:?} {parents:?}")
    };
    assert_eq!(header(branch)["parent"]["session"], header(parent)["session"]);
    assert_eq!(header(branch)["parent"]["seq"], 5);
    let text = std::fs::read_to_string(branch).unwrap();
    let (played, new) = text.split_once(r#"{"mark":"seam""#).expect(&text);
    assert!(played.contains("Lisbon") && !played.contains("Kyoto") && !played.contains("Oslo"), "{played}");
    assert!(new.contains("Oslo") && !new.contains("Kyoto"), "{new}");
}

/// A server at a URL knows the session by an id of its own, and a client that names it goes on with the branch, on its tape.
#[tokio::test]
async fn client_goes_on_with_a_branch_in_front_of_a_url() {
    let dir = tempfile::tempdir().unwrap();
    let server = Binary::run(&["--no-record", env!("CARGO_BIN_EXE_tapline"), "__demo-server"]).await;
    let mut command = tokio::process::Command::from(binary::command());
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    command.args(["replay", tape, "--speed", "max", "--until", "3", "--interactive", "--record"]).arg(dir.path());
    command.args(["--upstream", &format!("http://{}/mcp", server.address())]);
    let mut fork = Binary::start(command).await;
    let said = fork.line_with("played to #3").await;
    let way = format!("a client goes on with it at http://{}/mcp by `mcp-session-id: ", fork.address());
    let id = said.split_once(&way).expect(&said).1.trim_end_matches('`');
    let mut client = fork.client().await;
    client.headers = format!("mcp-session-id: {id}\r\n");
    let call = json!({"jsonrpc": "2.0", "id": "mine", "method": "tools/call",
        "params": {"name": "get_forecast", "arguments": {"city": "Oslo"}}});
    assert_eq!(client.call(call.to_string()).await.json()["id"], "mine");
    fork.signal("TERM");
    fork.end().await;
    let tapes: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let [branch] = &tapes[..] else { panic!("one session: {tapes:?}") };
    let text = std::fs::read_to_string(branch).unwrap();
    let (_, new) = text.split_once(r#"{"mark":"seam""#).expect(&text);
    assert!(new.contains("\"mine\"") && header(branch)["parent"]["seq"] == 3, "{text}");
}
