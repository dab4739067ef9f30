//! Secrets in messages are not on tapes, pass unchanged, and tapes without them are replayed and mocked all the same.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tapline::app::Settings;
use tapline::event::{Event, OnQuit};
use tapline::tape::redact::RedactRules;
use tempfile::TempDir;

use crate::support::{Binary, Exchange, INITIALIZE, Rig, Server, binary, settings};

const KEY: &str = "q8Zt5Lw2Xr7Vb1Nm4Kc9";
const STATE: &str = "eyJ1c2VyIjoiYW5uIn0";

fn initialized(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "9"}}})
}

/// The first call has a key in it, and a state comes back; the second hands that back.
fn calls(key: &str, state: &str) -> [String; 2] {
    let call = |id: u32, arguments: Value, more: Value| {
        let mut params = json!({"name": "login", "arguments": arguments});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
    };
    [
        call(7, json!({"api_key": key, "city": "Lisbon", "sort_key": "name", "pin": 47110815}), json!({})),
        call(8, json!({"city": "Lisbon"}), json!({"requestState": state})),
    ]
}

fn reply(asked: &Value, state: &str) -> String {
    let result = match asked["params"]["requestState"].as_str() {
        Some(handed) if handed == state => json!({"content": [{"type": "text", "text": "welcome back"}]}),
        Some(other) => {
            json!({"isError": true, "content": [{"type": "text", "text": format!("unknown state {other}")}]})
        }
        None => {
            let key = &asked["params"]["arguments"]["api_key"];
            let text = format!("your key is {}; next page: {}", key.as_str().unwrap(), "p2");
            json!({"requestState": state, "content": [{"type": "text", "text": text}]})
        }
    };
    json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string()
}

fn answer(exchange: &Exchange, state: &str) -> String {
    let asked: Value = serde_json::from_slice(&exchange.body).unwrap();
    match asked["method"].as_str() {
        Some("initialize") => initialized(&asked["id"]).to_string(),
        _ => reply(&asked, state),
    }
}

fn only_tape(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    let [path] = files.try_into().unwrap();
    path
}

/// Records both calls; gives what the client saw, and what was told of them.
async fn record(dir: &Path, redact: Option<RedactRules>) -> (Vec<String>, String) {
    let url = Server::answering(|exchange| answer(exchange, STATE)).await;
    let rig = Rig::start(Settings { tapes: Some(dir.to_owned()), redact, ..settings(&url) }).await;
    let mut client = rig.client().await;
    let mut seen = vec![client.call(INITIALIZE).await.text().to_owned()];
    for call in calls(KEY, STATE) {
        seen.push(client.call(&call).await.text().to_owned());
    }
    drop(client);
    let told = rig.quit(OnQuit::Forward).await;
    let raw = told.iter().filter_map(|event| match event {
        Event::Passed(envelope) => Some(String::from_utf8(envelope.message.raw().to_vec()).unwrap()),
        _ => None,
    });
    (seen, raw.collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn secrets_in_bodies_are_not_on_the_tape_and_pass_unchanged() {
    let dir = TempDir::new().unwrap();
    let (seen, told) = record(dir.path(), Some(RedactRules::default())).await;
    let expected: Vec<_> =
        calls(KEY, STATE).iter().map(|call| reply(&serde_json::from_str(call).unwrap(), STATE)).collect();
    assert_eq!(seen[1..], expected, "the client sees every byte");
    assert!(told.contains(KEY) && told.contains(STATE) && !told.contains("[redacted"), "so does the screen");
    let written = fs::read_to_string(only_tape(dir.path())).unwrap();
    // Eight digits: four would stand in some time or hash, now and then.
    for secret in [KEY, STATE, "47110815"] {
        assert!(!written.contains(secret), "{secret} is in {written}");
    }
    for ordinary in
        [r#""city":"Lisbon""#, r#""sort_key":"name""#, "next page: p2", r#""redaction":["headers","bodies"]"#]
    {
        assert!(written.contains(ordinary), "{ordinary} is not in {written}");
    }
    let mark = |text: &str| text.split("[redacted:").nth(1).unwrap()[..8].to_owned();
    let lines: Vec<_> = written.lines().filter(|line| line.contains("[redacted:")).collect();
    let [called, replied, again] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(mark(called), mark(replied.split("your key").nth(1).unwrap()), "one secret, one mark");
    assert_eq!(mark(again), mark(replied.split("requestState").nth(1).unwrap()), "one state, one mark");
}

#[tokio::test]
async fn tape_says_where_secrets_were_kept_on_purpose() {
    let dir = TempDir::new().unwrap();
    let (_, told) = record(dir.path(), None).await;
    let path = only_tape(dir.path());
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.contains(KEY) && written.contains(r#""unredacted":true"#) && told.contains(KEY), "{written}");
    let listed = binary::command().args(["tape", "ls"]).arg(&path).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("[recorded with secrets]"), "{listed}");
    let out = dir.path().join("shared.tape.jsonl");
    let status = binary::command().args(["tape", "redact"]).arg(&path).arg("--out").arg(&out).status().unwrap();
    let shared = fs::read_to_string(&out).unwrap();
    assert!(status.success() && !shared.contains(KEY) && !shared.contains("unredacted"), "{shared}");
}

#[tokio::test]
async fn flag_and_file_say_what_is_taken_out() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("t.toml");
    for (settings, flag, kept, words) in [
        ("", None, false, r#"["headers","bodies"]"#),
        ("", Some("--no-redact"), true, r#"["headers"],"unredacted":true"#),
        ("[redact]\nenabled = false\n", None, true, r#"["headers"],"unredacted":true"#),
        ("[redact]\nkeys = [\"city\"]\n", None, false, r#"["headers","bodies","key city"]"#),
    ] {
        fs::write(&file, settings).unwrap();
        let tapes = TempDir::new().unwrap();
        let url = Server::answering(|exchange| answer(exchange, STATE)).await;
        let options =
            ["--config", file.to_str().unwrap(), "--tapes", tapes.path().to_str().unwrap(), "--upstream", &url];
        let binary = Binary::run(&[flag.as_slice(), &options].concat()).await;
        let mut client = binary.client().await;
        client.call(&calls(KEY, STATE)[0]).await;
        drop(client);
        binary.signal("TERM");
        binary.end().await;
        let written = fs::read_to_string(only_tape(tapes.path())).unwrap();
        assert!(written.contains(words), "{words}: {written}");
        assert_eq!(written.contains(KEY), kept, "{settings} {flag:?}: {written}");
        assert_eq!(written.contains("Lisbon"), !settings.contains("city"), "{settings}: {written}");
    }
    for (settings, why) in [
        ("[redact]\npatterns = [\"(\"]\n", "is no regular expression"),
        ("[redact]\npaths = [\"..\"]\n", "redact"),
        ("[redact]\nkey = []\n", "keys"),
    ] {
        fs::write(&file, settings).unwrap();
        let output = binary::command().arg("check").arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(2) && said.contains(why), "{settings}: {said}");
    }
}

#[tokio::test]
async fn tape_without_secrets_is_mocked_for_the_same_client() {
    let dir = TempDir::new().unwrap();
    let (seen, _) = record(dir.path(), Some(RedactRules::default())).await;
    let tape = only_tape(dir.path());
    let mut mock = binary::command();
    mock.arg("mock").arg(&tape).args(["--stdio", "--no-record", "--strict"]);
    let mut child = mock.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let [first, second] = calls(KEY, STATE);
    let state = fs::read_to_string(&tape)
        .unwrap()
        .split("requestState\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    assert!(state.starts_with("[redacted:"));
    // What a client hands back is what the mock gave it.
    let second = second.replace(STATE, &state);
    for line in [&INITIALIZE.to_owned(), &first, &second] {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<_> = said.lines().map(|line| line.replace(&state, STATE)).collect();
    assert_eq!(said, seen, "the key that the client says is the key that it is told");
}

#[tokio::test]
async fn replies_that_a_tape_takes_over_have_no_secrets_there() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), Some(RedactRules::default())).await;
    let tape = only_tape(dir.path());
    let url = Server::answering(|exchange| {
        let reply = answer(exchange, STATE);
        reply.replace("next page: p2", "next page: p3, API_KEY=zxcv1234qwer")
    })
    .await;
    let mut replay = binary::command();
    replay.arg("replay").arg(&tape).args(["--speed", "max", "--update", "--upstream", &url]);
    tokio::task::spawn_blocking(move || replay.output().unwrap()).await.unwrap();
    let now = fs::read_to_string(&tape).unwrap();
    assert!(now.contains("next page: p3, API_KEY=[redacted:") && !now.contains("zxcv1234qwer"), "{now}");
    let verified = binary::command().args(["tape", "verify"]).arg(&tape).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[tokio::test]
async fn tape_without_secrets_is_replayed_against_a_server_with_others() {
    let dir = TempDir::new().unwrap();
    record(dir.path(), Some(RedactRules::default())).await;
    let url = Server::answering(|exchange| answer(exchange, "another-state-17")).await;
    let mut replay = binary::command();
    replay.arg("replay").arg(only_tape(dir.path())).args(["--speed", "max", "--upstream", &url]);
    // The server is played by this thread.
    let output = tokio::task::spawn_blocking(move || replay.output().unwrap()).await.unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("3 passed, 0 failed"), "{report}");
}
