use std::path::Path;

use super::exchange::exchanges;
use super::*;
use crate::tape::Tape;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

fn demo() -> Tape {
    Tape::read(Path::new(DEMO)).unwrap()
}

fn exported_as(path: &Path, name: &str, form: TapeForm) -> String {
    let (tape, mut out) = (ExportedTape::read(path, &|_, _| true).unwrap().unwrap(), Vec::new());
    export(&tape, name, form, &|_, _| true, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn exported(form: TapeForm) -> String {
    exported_as(Path::new(DEMO), "demo", form)
}

/// The demo with one message more.
fn exported_with(message: &str, name: &str, form: TapeForm) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = format!("{{\"seq\":99,\"at\":99,\"dir\":\"c2s\",\"via\":\"http\",\"msg\":{message}}}\n");
    std::fs::write(&file, std::fs::read_to_string(DEMO).unwrap() + &line).unwrap();
    exported_as(file.path(), name, form)
}

#[test]
fn export_har_has_an_entry_for_each_message_of_the_client() {
    let har: serde_json::Value = serde_json::from_str(&exported(TapeForm::Har)).unwrap();
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
    let script = exported(TapeForm::Curl);
    let mut shell = std::process::Command::new("sh").arg("-n").stdin(std::process::Stdio::piped()).spawn().unwrap();
    Write::write_all(&mut shell.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(shell.wait().unwrap().success(), "{script}");
    assert!(
        script.contains("SESSION=$(") && script.contains("--data-raw '{\"jsonrpc\"") && !script.contains("[redacted]"),
        "{script}"
    );
}

#[test]
fn export_curl_sends_what_is_longer_than_an_argument() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (stub, sent) = (dir.path().join("curl"), dir.path().join("sent"));
    let text = "#!/bin/sh\nfor last; do :; done\n\
                case \"$*\" in *' --data-binary @-') cat;; *) printf '%s\\n' \"$last\";; esac >> \"$SENT\"\n";
    std::fs::write(&stub, text).unwrap();
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
    let long = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"x","params":{{"a":"it's {}"}}}}"#, "$y".repeat(100_000));
    let script = dir.path().join("script");
    std::fs::write(&script, exported_with(&long, "demo", TapeForm::Curl)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let ended = std::process::Command::new("sh").arg(&script).env("PATH", path).env("SENT", &sent).status().unwrap();
    let sent = std::fs::read_to_string(&sent).unwrap();
    assert!(ended.success() && sent.lines().next().unwrap().contains("\"initialize\""), "{ended}");
    assert_eq!(sent.lines().last(), Some(long.as_str()));
}

#[test]
fn export_jsonl_has_every_message() {
    let lines = exported(TapeForm::Jsonl);
    let values: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((values.len(), values[0]["message"]["method"].as_str()), (demo().envelopes.len(), Some("initialize")));
}

#[test]
fn export_page_is_whole_and_lets_nothing_out() {
    let evil = r#"{"id":1,"method":"</script><script>alert(1)</script><!--"}"#;
    let page = exported_with(evil, "<demo>", TapeForm::Html);
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
    assert_eq!(data["messages"].as_array().unwrap().len(), demo().envelopes.len() + 1);
}

#[test]
fn export_markdown_has_a_fence_longer_than_any_in_it() {
    let text = exported_with(r#"{"id":1,"result":"````"}"#, "demo", TapeForm::Markdown);
    assert!(
        text.starts_with("# demo\n\n- client `tapline-demo-client 1.0.0`") && text.contains("\n`````json\n"),
        "{text}"
    );
}

#[test]
fn export_tests_have_the_steps_of_the_tape() {
    for form in [TapeForm::Pytest, TapeForm::Vitest, TapeForm::Rust] {
        let program = exported(form);
        assert!(
            ["@NAME@", "@TARGET@", "@STEPS@", "@HASHES@", "@IMPORTS@", "@SERVE@", "@PACKAGE@", "@OPTIONS@", "@IGNORE@"]
                .iter()
                .all(|it| !program.contains(it)),
            "{program}"
        );
        let steps = &program[program.find("[\n{").unwrap()..program.rfind("}\n]").unwrap() + 3];
        let steps: Vec<serde_json::Value> = serde_json::from_str(steps).unwrap();
        assert!(steps.len() > 5 && steps.iter().any(|it| it["params"]["name"] == "book_flight"), "{steps:?}");
        let left = program.lines().last().unwrap();
        assert!(left.contains("On the tape, and not in this test: ") && left.contains("ping ("), "{left}");
    }
}

#[test]
fn export_tests_speak_the_revision_of_the_tape() {
    let modern = Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/time-modern-stdio.tape.jsonl");
    for (form, word) in [(TapeForm::Vitest, "versionNegotiation"), (TapeForm::Rust, "ClientLifecycleMode::Auto")] {
        let has_word = |path: &Path| exported_as(path, "x", form).contains(word);
        assert!(has_word(&modern) && !has_word(Path::new(DEMO)), "{word}");
    }
}

#[test]
fn archive_of_a_tape_is_that_of_its_messages() {
    for tape in ["demo", "everything-legacy-http", "time-modern-stdio"] {
        let path = Path::new(DEMO).with_file_name(format!("{tape}.tape.jsonl"));
        let tape = Tape::read(&path).unwrap();
        let timed: Vec<_> =
            tape.envelopes.iter().map(|it| (it.clone(), tape.header.started.plus_micros(it.at))).collect();
        let har = exported_as(&path, "x", TapeForm::Har);
        assert_eq!(archive(&timed, &tape.header.upstream), har);
        // As if all of it were one value.
        let value: serde_json::Value = serde_json::from_str(&har).unwrap();
        assert_eq!(format!("{value:#}\n"), har);
    }
}
