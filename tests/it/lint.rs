//! Lint, by the real binary: over a tape, with the statuses and forms that CI goes by.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tapline::app::Settings;
use tapline::event::Event;
use tapline::lint::Section;

use crate::support::{Rig, Server, settings, tapline_binary};

/// A tape with these messages, in this order; `>` to the server, `<` to the client.
fn tape(dir: &Path, messages: &[(char, &str)]) -> PathBuf {
    let mut text = String::from(
        r#"{"tapline":1,"version":"0.1.0","session":"00000000-0000-0000-0000-000000000001","upstream":"my-server","via":"stdio","started":1790000000000000,"origin":"client","redaction":["headers"]}"#,
    );
    for (at, (way, message)) in messages.iter().enumerate() {
        let (seq, way) = (at + 1, if *way == '>' { "c2s" } else { "s2c" });
        let body =
            if message.starts_with('{') { format!(r#""msg":{message}"#) } else { format!(r#""text":"{message}""#) };
        text += &format!("\n{{\"seq\":{seq},\"at\":{seq}000,\"dir\":\"{way}\",\"via\":\"stdio\",{body}}}");
    }
    let path = dir.join("session.tape.jsonl");
    fs::write(&path, text + "\n").unwrap();
    path
}

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
const AGREED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}"#;
const READY: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn broken(dir: &Path) -> PathBuf {
    tape(
        dir,
        &[
            ('<', "Server ready"),
            ('>', HELLO),
            ('<', AGREED),
            ('>', READY),
            ('<', r#"{"jsonrpc":"2.0","id":9,"result":{}}"#),
        ],
    )
}

/// In a directory with these settings.
fn lint(dir: &Path, tape: &Path, arguments: &[&str]) -> Output {
    let mut command = assert_cmd::Command::new(tapline_binary());
    command.current_dir(dir).env("XDG_CONFIG_HOME", dir).arg("lint").arg(tape).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn lint_of_a_file_that_is_not_there_names_it_once() {
    let dir = tempfile::tempdir().unwrap();
    let output = lint(dir.path(), Path::new("nosuch.tape.jsonl"), &[]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.matches("nosuch").count()), (Some(2), 1), "{told}");
}

#[test]
fn lint_fails_where_something_counts() {
    let dir = tempfile::tempdir().unwrap();
    let tape = broken(dir.path());
    let output = lint(dir.path(), &tape, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output);
    assert!(said.contains("session.tape.jsonl:2: error[stdout-noise] #1: "), "{said}");
    assert!(said.contains(":6: warn[reply-without-request] #5: no request has the id `9`"), "{said}");
    assert!(said.contains("    by the server; basic/transports#stdio of 2025-11-25\n"), "{said}");
    assert!(said.ends_with("2 findings in 5 messages\n"), "{said}");

    let allowed = ["--allow", "stdout-noise", "--allow", "reply-without-request"];
    assert_eq!(lint(dir.path(), &tape, &allowed).status.code(), Some(0));
    assert_eq!(lint(dir.path(), &tape, &["--level", "error", "--allow", "stdout-noise"]).status.code(), Some(0));
    fs::write(dir.path().join("tapline.toml"), "[lint]\nlevel = \"error\"\nallow = [\"stdout-noise\"]\n").unwrap();
    assert_eq!(lint(dir.path(), &tape, &[]).status.code(), Some(0));
    assert_eq!(lint(dir.path(), &tape, &["--level", "warn"]).status.code(), Some(1), "flags win");
}

#[test]
fn lint_says_what_it_cannot_take() {
    let dir = tempfile::tempdir().unwrap();
    let tape = broken(dir.path());
    let output = lint(dir.path(), &tape, &["--allow", "stdout-nose"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `stdout-noise`?"), "{output:?}");
    assert_eq!(lint(dir.path(), Path::new("nosuch"), &[]).status.code(), Some(2));
    fs::write(dir.path().join("tapline.toml"), "[lint]\nallow = [\"x\"]\n").unwrap();
    let output = lint(dir.path(), &tape, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no lint `x`"), "{output:?}");
}

#[test]
fn lint_reports_are_what_ci_reads() {
    let dir = tempfile::tempdir().unwrap();
    let tape = broken(dir.path());
    let sarif: Value = serde_json::from_str(&text(&lint(dir.path(), &tape, &["--format", "sarif"]))).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "stdout-noise");
    let json = text(&lint(dir.path(), &tape, &["--format", "json"]));
    let codes: Vec<_> = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["code"].clone()).collect();
    assert_eq!(codes, ["stdout-noise", "reply-without-request"]);
    let out = dir.path().join("report.xml");
    let output = lint(dir.path(), &tape, &["--format", "junit", "--out", out.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(fs::read_to_string(out).unwrap().contains("<testsuites name=\"tapline lint\" tests=\"2\""));
}

#[tokio::test]
async fn lint_judges_what_passes_and_counts_it() {
    let mut server = Server::start().await;
    let rig = Rig::start(Settings { lint: Some(Section::default()), ..settings(&server.url()) }).await;
    let mut client = rig.client().await;
    let accept = "accept: application/json, text/event-stream\r\n";
    client.headers = accept.to_owned();
    client.post(HELLO).await;
    server.next().await.json_with("mcp-session-id: s1\r\n", AGREED).await;
    client.response().await;
    client.headers = format!("{accept}mcp-session-id: s1\r\n");
    client.post(r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}"#).await;
    client.response().await;
    let found = rig.until("three findings", |log| {
        let found = log.iter().filter_map(|event| if let Event::Found(it) = event { Some(it.clone()) } else { None });
        Some(found.collect::<Vec<_>>()).filter(|found| found.len() >= 3)
    });
    let mut codes: Vec<_> = found.await.iter().map(|it| format!("{} by the {}", it.code, it.culprit())).collect();
    codes.sort();
    let expected = [
        "capability-undeclared by the client",
        "version-header-missing by the client",
        "wrong-code-method by the server",
    ];
    assert_eq!(codes, expected);
    let counted = rig.until("figures", |log| {
        let figures =
            log.iter().rev().find_map(|event| if let Event::Figures(it) = event { Some(it.clone()) } else { None });
        figures.filter(|figures| figures.lint.found.len() == 3)
    });
    assert_eq!(counted.await.lint.missed, 0);
}

/// What is on a damaged line is not known: the rest is judged, the line is named, and the tape is not in order.
#[test]
fn lint_of_a_damaged_tape_names_the_line_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let whole = tape(dir.path(), &[('>', HELLO), ('<', AGREED), ('>', READY)]);
    assert_eq!(lint(dir.path(), &whole, &[]).status.code(), Some(0));
    let lines = fs::read_to_string(&whole).unwrap();
    let last = lines.trim_end().rfind('\n').unwrap();
    for (name, text, said) in [
        ("changed", format!("{}\nnot a line{}\n", &lines[..last], &lines[last..]), "changed: line 4: "),
        ("torn", lines[..lines.len() - 20].to_owned(), "torn: the last line is torn"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        let output = lint(dir.path(), &path, &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains(said), "{name}: {:?} {told}", output.status.code());
    }
}

#[test]
fn lint_of_several_tapes_goes_on_behind_one_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let bad = broken(dir.path());
    let output = lint(dir.path(), Path::new("nosuch"), &[bad.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("session.tape.jsonl"), "{}", text(&output));
    assert!(String::from_utf8(output.stderr).unwrap().contains("there is no tape nosuch"));
}
