use std::path::Path;
use std::sync::Arc;

use super::exchange::exchanges;
use super::*;
use crate::envelope::{Direction, Envelope, Seq};

fn demo() -> Tape {
    Tape::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/demo.tape.jsonl")).unwrap()
}

#[test]
fn export_har_has_an_entry_for_each_message_of_the_client() {
    let har: serde_json::Value = serde_json::from_str(&export(&demo(), "demo", TapeForm::Har)).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!((har["log"]["version"].as_str(), entries.len()), (Some("1.2"), exchanges(&demo().envelopes).len()));
    assert_eq!(entries[0]["startedDateTime"], "2026-11-23T17:38:01.034Z");
    assert_eq!(entries[0]["response"]["status"], 200);
    assert_eq!(entries[1]["response"]["status"], 202, "a notification is accepted");
    let sent: serde_json::Value =
        serde_json::from_str(entries[0]["request"]["postData"]["text"].as_str().unwrap()).unwrap();
    assert_eq!(sent["params"]["clientInfo"]["name"], "tapline-demo-client");
    assert!(entries.iter().any(|it| it["response"]["content"]["mimeType"] == "text/event-stream"));
}

#[test]
fn export_curl_is_a_script_of_a_shell() {
    let script = export(&demo(), "demo", TapeForm::Curl);
    let mut shell = std::process::Command::new("sh").arg("-n").stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success(), "{script}");
    assert!(
        script.contains("SESSION=$(") && script.contains("-d '{\"jsonrpc\"") && !script.contains("[redacted]"),
        "{script}"
    );
}

#[test]
fn export_jsonl_has_every_message() {
    let lines = export(&demo(), "demo", TapeForm::Jsonl);
    let values: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((values.len(), values[0]["message"]["method"].as_str()), (demo().envelopes.len(), Some("initialize")));
}

#[test]
fn export_page_is_whole_and_lets_nothing_out() {
    let mut tape = demo();
    let evil = crate::message::Message::new(r#"{"id":1,"method":"</script><script>alert(1)</script><!--"}"#);
    let envelope =
        Envelope::forwarded(Seq(99), tape.header.session, Direction::ToServer, crate::envelope::Via::Http, evil);
    tape.envelopes.push(Arc::new(envelope));
    let page = export(&tape, "<demo>", TapeForm::Html);
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    for outside in ["http://", "https://"] {
        let found: Vec<_> = page.match_indices(outside).map(|(at, _)| &page[at..page.len().min(at + 30)]).collect();
        assert!(
            found.iter().all(|it| it.starts_with("http://www.w3.org/2000/svg") || it.starts_with("http://127.0.0.1")),
            "{found:?}"
        );
    }
    assert!(page.contains("default-src 'none'") && page.contains("&lt;demo&gt;"));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["messages"].as_array().unwrap().len(), tape.envelopes.len());
}

#[test]
fn export_markdown_has_a_fence_longer_than_any_in_it() {
    let mut tape = demo();
    let said = crate::message::Message::new(r#"{"id":1,"result":"````"}"#);
    tape.envelopes.push(Arc::new(Envelope::forwarded(
        Seq(99),
        tape.header.session,
        Direction::ToClient,
        crate::envelope::Via::Http,
        said,
    )));
    let text = export(&tape, "demo", TapeForm::Markdown);
    assert!(
        text.starts_with("# demo\n\n- client `tapline-demo-client 1.0.0`") && text.contains("\n`````json\n"),
        "{text}"
    );
}

#[test]
fn export_tests_have_the_steps_of_the_tape() {
    for form in [TapeForm::Pytest, TapeForm::Vitest, TapeForm::Rust] {
        let program = export(&demo(), "demo", form);
        assert!(
            ["@NAME@", "@TARGET@", "@STEPS@", "@HASHES@", "@IMPORTS@", "@SERVE@", "@PACKAGE@", "@OPTIONS@", "@IGNORE@"]
                .iter()
                .all(|it| !program.contains(it)),
            "{program}"
        );
        let steps = &program[program.find("[\n{").unwrap()..program.rfind("}\n]").unwrap() + 3];
        let steps: Vec<serde_json::Value> = serde_json::from_str(steps).unwrap();
        assert!(steps.len() > 5 && steps.iter().any(|it| it["params"]["name"] == "book_flight"), "{steps:?}");
    }
}

#[test]
fn export_tests_speak_the_revision_of_the_tape() {
    let modern = Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/time-modern-stdio.tape.jsonl");
    let modern = Tape::read(&modern).unwrap();
    for (form, word) in [(TapeForm::Vitest, "versionNegotiation"), (TapeForm::Rust, "ClientLifecycleMode::Auto")] {
        let has_word = |tape: &Tape| export(tape, "x", form).contains(word);
        assert!(has_word(&modern) && !has_word(&demo()), "{word}");
    }
}
