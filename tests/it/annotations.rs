//! Marks and comments of people on a tape: kept like messages, and no part of what was said.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tapline::envelope::Seq;
use tapline::event::{Annotation, MessageMark};
use tapline::tape::{Tape, care};
use tempfile::TempDir;

use crate::support::terminal::{Caller, Terminal};
use crate::support::{binary, soon};

const TAPLINE: &str = env!("CARGO_BIN_EXE_tapline");
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

/// The demo's tape with a mark that was made while it was recorded, and one that was made later.
fn annotated(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("annotated.tape.jsonl");
    let text = std::fs::read_to_string(DEMO).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.insert(5, r#"{"mark":"annotation","at":9,"seq":4,"marked":true,"text":"why?"}"#);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let session = Tape::read(&path).unwrap().header.session;
    let mark = MessageMark { is_marked: true, comment: "get_forecast".to_owned() };
    care::annotate(&path, &[Annotation { session, seq: Seq(2), mark }]).unwrap();
    assert_eq!(Tape::read(&path).unwrap().annotations().len(), 2);
    path
}

/// What a tapline says that is given this; its status.
fn said(arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = binary::command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn annotations_are_no_part_of_what_is_compared_played_and_mocked() {
    let dir = TempDir::new().unwrap();
    let tape = annotated(&dir);
    let tape = tape.to_str().unwrap();
    assert_eq!(said(&["tape", "diff", DEMO, tape], ""), said(&["tape", "diff", DEMO, DEMO], ""));

    let replayed = |tape: &str| {
        let (status, said) = said(&["replay", tape, "--speed", "max", "--", TAPLINE, "__demo-server"], "");
        let total = said.trim_end().lines().last().and_then(|line| line.split(" in ").next()).map(str::to_owned);
        (status, total, said.lines().count())
    };
    assert_eq!(replayed(tape), replayed(DEMO));
    assert_eq!(replayed(tape).0, Some(0));

    let asked = Tape::read(Path::new(DEMO)).unwrap().envelopes.iter().fold(String::new(), |text, it| {
        let is_asked = it.direction == tapline::envelope::Direction::ToServer;
        if is_asked { text + &String::from_utf8_lossy(it.message.raw()) + "\n" } else { text }
    });
    let mocked = |tape: &str| {
        let (status, said) = said(&["mock", tape, "--stdio", "--no-record", "--strict"], &asked);
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        (status, lines)
    };
    assert_eq!(mocked(tape), mocked(DEMO));
    assert!(mocked(tape).1.len() > 5, "{:?}", mocked(tape));
}

/// A mark is written with what passes, not when its session ends.
#[tokio::test(flavor = "multi_thread")]
async fn kill_loses_no_mark_that_was_written() {
    let tapes = TempDir::new().unwrap();
    let mut terminal = Terminal::start(&[
        "run",
        "--listen",
        "127.0.0.1:0",
        "--tapes",
        tapes.path().to_str().unwrap(),
        "--",
        TAPLINE,
        "__demo-server",
    ]);
    let client = Caller::connect(terminal.url()).await;
    client.forecast("Lisbon").await;
    terminal.wait_for("get_forecast");
    terminal.press(":1\rm:1\r;why so slow?\r");
    let tape = std::fs::read_dir(tapes.path()).unwrap().next().unwrap().unwrap().path();
    let written = async {
        while !std::fs::read_to_string(&tape).unwrap().contains("why so slow?") {
            tokio::task::yield_now().await;
        }
    };
    soon("the comment on the tape", written).await;
    kill_process(Pid::from_raw(terminal.process()).unwrap(), Signal::KILL).unwrap();
    terminal.ends_stopped();
    let killed = Tape::read(&tape).unwrap();
    let mark = MessageMark { is_marked: true, comment: "why so slow?".to_owned() };
    assert_eq!((killed.end.as_deref(), killed.troubles()), (None, Vec::<String>::new()));
    assert_eq!(killed.annotations(), [Annotation { session: killed.header.session, seq: Seq(1), mark }]);
    let (status, shown) = said(&["tape", "show", tape.to_str().unwrap()], "");
    assert!(status == Some(0) && shown.contains("; marked: why so slow?"), "{shown}");
}
