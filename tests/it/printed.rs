//! What others have written is harmless where tapline prints it: names in the registry, files of a repository, tapes, arguments.

use std::fs;
use std::process::{Command as Process, Stdio};

use tapline::control::ControlToken;
use tapline::control::registry::{Registry, RegistryEntry};
use tapline::event::Timestamp;
use tempfile::TempDir;

use crate::support::binary::command;
use crate::support::{Binary, Exchange, Server};

/// Clears the screen, sets the title, acts as one byte, turns what follows around, and says a line as we would.
const EVIL: &str = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}\ntapline: forged";
/// Its end, which may stand in JSON as it is.
const QUIET: &str = "\u{9b}31m\u{202e}";
const ACTING: [char; 5] = ['\x1b', '\x07', '\u{9b}', '\u{202e}', '\x08'];

/// Runs to the end; gives status and all that was said, which is harmless.
fn said(command: &mut Process) -> (i32, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!text.contains(ACTING), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("tapline: forged")), "{text:?}");
    (output.status.code().unwrap(), text)
}

#[test]
fn errors_about_arguments_are_harmless() {
    let path = format!("/no/{EVIL}");
    for (arguments, shown) in [
        (&["run", "--listen", EVIL, "--", "x"][..], "invalid value '\\x1b[2J"),
        (&[EVIL], "unrecognized subcommand '\\x1b[2J"),
        (&["run", EVIL], "there is no program `\\x1b[2J"),
        (&["run", EVIL, "--name"], "after `\\x1b[2J"),
        (&["sessions", "ls", EVIL], "unexpected argument '\\x1b[2J"),
        (&["run", &format!("--{EVIL}")], "unexpected argument '--\\x1b[2J"),
        (&["run", "--header", &format!("a: b{EVIL}"), "--upstream", "http://x"], "characters no header may hold"),
        (&["run", "--header", "a: ${\x1b[2J}", "--upstream", "http://x"], "is not set"),
        (&["run", "--grace", EVIL, "--", "x"], "\\x1b[2J"),
        (&["run", "--upstream", EVIL, "--no-record"], "\\x1b[2J"),
        (&["run", "--config", &path], "\\x1b[2J"),
        (&["run", "--log-file", &path, "--", "x"], "\\x1b[2J"),
        (&["run", "--allow-host", EVIL, "--no-record", "--listen", "127.0.0.1:0", "--", "cat"], "\\x1b[2J"),
        (&["run", "--allow-origin", EVIL, "--no-record", "--listen", "127.0.0.1:0", "--", "cat"], "\\x1b[2J"),
        (&["replay", &path, "--", "cat"], "\\x1b[2J"),
        (&["attach", EVIL], "\\x1b[2J"),
        (&["check", &path], "\\x1b[2J"),
        (&["sessions", "show", EVIL], "\\x1b[2J"),
        (&["wrap", &path], "\\x1b[2J"),
    ] {
        let (status, text) = said(command().args(arguments));
        assert!(status == 2 || status == 1, "{arguments:?} {text}");
        assert!(text.contains(shown), "{arguments:?} {text}");
    }
}

#[test]
fn names_in_the_registry_are_harmless() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().join("run");
    let entry = |pid| RegistryEntry {
        pid,
        started: Timestamp(1),
        control: ([127, 0, 0, 1], 1).into(),
        token: ControlToken::given("x"),
        name: EVIL.to_owned(),
        front: "stdio".to_owned(),
        upstream: EVIL.to_owned(),
        version: EVIL.to_owned(),
    };
    let _published = [1, 2].map(|pid| Registry::at(&place).publish(&entry(pid)).unwrap());
    let attach = |target: &str| said(command().env("TAPLINE_RUNTIME_DIR", &place).args(["attach", target]));
    let (status, text) = attach("nothing");
    assert!(status == 2 && text.contains("these do: 1 (\\x1b[2J\\x1b]0;owned"), "{text}");
    let (status, text) = attach(EVIL);
    assert!(status == 2 && text.contains("2 taplines are called `\\x1b[2J"), "{text}");
}

#[test]
fn settings_of_a_repository_are_harmless() {
    let dir = TempDir::new().unwrap();
    let toml = |text: &str| fs::write(dir.path().join("tapline.toml"), text).unwrap();
    let run = |arguments: &[&str]| said(command().current_dir(&dir).args(arguments));
    let evil = r"\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\u000atapline: forged";
    toml(&format!("hold = \"~m a{evil}\"\ntapes = \"{evil}\"\n[upstreams.a]\nurl = \"http://x/{evil}\"\n"));
    let (_, text) = run(&["check"]);
    assert!(text.contains("\\x1b[2J"), "{text}");
    toml(&format!("[upstreams.a]\ncommand = [\"./no{evil}\", \"{evil}\"]\n"));
    let (status, text) = run(&["check"]);
    assert!(status == 2 && text.contains("there is no program `./no\\x1b[2J"), "{text}");
    for text in [
        format!("\"{EVIL}\" = 1"),
        format!("# {EVIL}\nlisten = {EVIL}"),
        format!("\"{evil}\" = 1"),
        format!("listen = \"{evil}\""),
        format!("[upstreams.\"{evil}\"]\nurl = \"http://x\""),
        format!("[upstreams.a]\ncommand = [\"x\"]\nenv = {{ \"a=b{evil}\" = \"1\" }}"),
        format!("log_format = \"{evil}\""),
    ] {
        toml(&text);
        for command in [&["check"][..], &["run", "--headless", "--no-record"]] {
            let (status, told) = run(command);
            assert_eq!(status, 2, "{text} {told}");
        }
    }
}

#[test]
fn header_of_a_foreign_tape_is_harmless() {
    let dir = TempDir::new().unwrap();
    let evil = r"\u001b[2J\u001b]0;owned\u0007\u009b31m\u202e\u000atapline: forged";
    let header = format!(
        r#"{{"tapline":1,"version":"{evil}","session":"00000000-0000-4000-8000-000000000001","upstream":"{evil}","upstream_name":"{evil}","via":"http","protocol":"{evil}","client":{{"name":"{evil}","version":"{evil}"}},"started":1}}"#
    );
    let message = |method: &str| {
        format!(
            r#"{{"seq":1,"at":0,"dir":"c2s","via":"http","kind":"request","method":"{method}","id":1,"msg":{{"jsonrpc":"2.0","id":1,"method":"{method}"}}}}"#
        )
    };
    let newer = header.replace("\"tapline\":1", "\"tapline\":99");
    for (text, shown) in [
        (format!("{header}\n{}\n", message(evil)), "\\x1b[2J"),
        (format!("{header}\n{}\n{evil}{EVIL}\n", message("ping")), "line 3"),
        (format!("{newer}\n"), "use tapline \\x1b[2J"),
        (format!("{EVIL}\n"), "is not a tape"),
    ] {
        let tape = dir.path().join("x.tape.jsonl");
        fs::write(&tape, &text).unwrap();
        for report in ["text", "json", "junit"] {
            let words = ["replay", tape.to_str().unwrap(), "--speed", "max", "--report", report, "--", "false"];
            let (status, told) = said(command().args(words));
            assert!(report != "text" || told.contains(shown), "{status} {text} {told}");
        }
    }
}

#[tokio::test]
async fn json_lines_escape_what_acts_and_keep_the_values() {
    let answer = |_: &Exchange| format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"text\":\"{QUIET}\"}}}}");
    let url = Server::answering(answer).await;
    let mut binary = Binary::run(&["--no-record", "--log-format", "json", "--upstream", &url]).await;
    let mut client = binary.client().await;
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"to":"{QUIET}"}}}}"#);
    let response = client.call(&call).await;
    assert!(response.text().contains(QUIET), "what passes is not touched");
    for part in ["\"to\":", "\"text\":"] {
        loop {
            let line = binary.line().await.unwrap();
            assert!(!line.contains(ACTING), "{line:?}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line.contains(part) {
                assert!(line.contains("\\u009b31m\\u202e") && value.to_string().contains(QUIET), "{line}");
                break;
            }
        }
    }
}
