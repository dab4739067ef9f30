//! Several clients that were recorded at the same time: each has a client of its own in a replay.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::scripts::server;
use crate::support::{Binary, Client, Server, binary};

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Counts the calls that it has answered.
const COUNTER: &str = server!(
    r#"
*'"method":"initialize"'*) n=FIRST; result='{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"counter","version":"1"}}'
    echo '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}' ;;
*'"id":'*) n=$((n + 1)); echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"call '"$n"'"}]}}' ;;"#
);

/// A server that counts on from there.
fn counter(first: u32) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), COUNTER.replace("FIRST", &first.to_string())]
}

fn add(id: u32) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "add", "arguments": {}}}).to_string()
}

async fn in_session(mut client: Client) -> Client {
    client.initialize().await;
    assert_eq!(client.call(INITIALIZED).await.status(), "202");
    client
}

/// What a call came to.
async fn count(client: &mut Client, id: u32) -> String {
    client.call(add(id)).await.json()["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

/// Two clients at the same time; the tapes of that, the first first.
async fn recorded(dir: &TempDir, server: &[&str]) -> [PathBuf; 2] {
    let tapline = Binary::run(&[&["--tapes", dir.path().to_str().unwrap()], server].concat()).await;
    let mut a = in_session(tapline.client().await).await;
    let mut b = in_session(tapline.client().await).await;
    assert_eq!(count(&mut a, 1).await, "call 1");
    assert_eq!(count(&mut b, 1).await, "call 1");
    assert_eq!(count(&mut b, 2).await, "call 2");
    assert_eq!(count(&mut a, 2).await, "call 2");
    assert_eq!(count(&mut b, 3).await, "call 3");
    tapline.signal("TERM");
    tapline.end().await;
    let mut tapes = tapes_in(dir.path());
    tapes.sort_by_key(|path| first_seq(path));
    tapes.try_into().unwrap()
}

fn tapes_in(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| tapline::tape::is_tape_name(path)).collect()
}

fn lines(tape: &Path) -> Vec<Value> {
    std::fs::read_to_string(tape).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn first_seq(tape: &Path) -> u64 {
    lines(tape).iter().find_map(|line| line["seq"].as_u64()).unwrap()
}

/// Both as one tape of two sessions.
fn joined(dir: &TempDir, [a, b]: &[PathBuf; 2]) -> PathBuf {
    let header = std::fs::read_to_string(a).unwrap().lines().next().unwrap().to_owned();
    let other = lines(b)[0]["session"].as_str().unwrap().to_owned();
    let messages = |path: &Path, session: &str| -> Vec<(u64, String)> {
        let text = std::fs::read_to_string(path).unwrap();
        let messages = text.lines().filter(|line| line.starts_with(r#"{"seq":"#));
        let seq = |line: &str| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
        messages.map(|line| (seq(line), line.replacen(",\"at\"", &format!("{session},\"at\""), 1))).collect()
    };
    let mut all = messages(a, "");
    all.extend(messages(b, &format!(r#","session":"{other}""#)));
    all.sort();
    let path = dir.path().join("joined");
    let text: String = all.into_iter().map(|(_, line)| line + "\n").collect();
    std::fs::write(&path, format!("{header}\n{text}")).unwrap();
    path
}

/// Plays tapes; gives the exit status, the report, and what was said.
async fn replay(tapes: &[&Path], options: &[&str], server: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::from(binary::command());
    command.arg("replay").args(tapes).args(["--speed", "max"]).args(options).args(server).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn report(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

fn behind(command: &[String; 3]) -> Vec<&str> {
    std::iter::once("--").chain(command.iter().map(String::as_str)).collect()
}

#[tokio::test]
async fn exported_test_is_of_one_session() {
    let dir = TempDir::new().unwrap();
    let tapes = recorded(&dir, &behind(&counter(0))).await;
    let joined = joined(&dir, &tapes);
    let export = async |options: &[&str]| {
        let mut command = Command::from(binary::command());
        command.args(["tape", "export", joined.to_str().unwrap(), "--format", "pytest"]).args(options);
        let output = command.kill_on_drop(true).output().await.unwrap();
        (output.status.code(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()))
    };
    let sessions = [&tapes[0], &tapes[1]].map(|tape| lines(tape)[0]["session"].as_str().unwrap().to_owned());
    let (status, [_, said]) = export(&[]).await;
    assert!(status == Some(2) && sessions.iter().all(|id| said.contains(id)), "{said}");
    let (status, [test, said]) = export(&["--session", &sessions[1]]).await;
    assert!(status == Some(0) && test.contains("def test_"), "{test}{said}");
    let (status, [_, said]) = export(&["--session", "nobody"]).await;
    assert!(status == Some(2) && said.contains("is 0 of the tape's sessions"), "{said}");
}

#[tokio::test]
async fn children_of_two_sessions_count_each_for_its_client() {
    let dir = TempDir::new().unwrap();
    let (same, other) = (counter(0), counter(5));
    let tapes = recorded(&dir, &behind(&same)).await;
    let joined = joined(&dir, &tapes);
    let [a, b] = [&*tapes[0], &*tapes[1]];
    let again = TempDir::new().unwrap();
    let record = ["--report", "json", "--record", again.path().to_str().unwrap()];
    for played in [&[a, b][..], &[&joined]] {
        let options = if played.len() == 2 { &["--together", "--report", "json"][..] } else { &record };
        let (status, said, told) = replay(played, options, &behind(&same)).await;
        assert_eq!(status, Some(0), "{said}{told}");
        let steps = report(&said)["steps"].as_array().unwrap().clone();
        let mut sessions: Vec<_> = steps.iter().map(|step| step["session"].as_str().unwrap()).collect();
        assert_eq!(steps.len(), 9);
        // They are told as their replies come, which two children send when they like: in which order they are sent is seen by the one
        // server of the test below.
        let seqs: BTreeSet<_> = steps.iter().map(|step| step["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs.len(), 9, "each once: {seqs:?}");
        sessions.sort_unstable();
        sessions.dedup();
        assert_eq!(sessions.len(), 2);
    }
    // What is recorded has them apart, and is played as what it was made of.
    let recorded = tapes_in(again.path());
    assert_eq!(recorded.len(), 2);
    let recorded: Vec<_> = recorded.iter().map(PathBuf::as_path).collect();
    let (status, said, told) = replay(&recorded, &[], &behind(&same)).await;
    assert_eq!((status, said.contains("2 tapes: 9 passed, 0 failed")), (Some(0), true), "{said}{told}");
    // Another server fails in both, and the session is named.
    let (status, said, _) = replay(&[&joined], &[], &behind(&other)).await;
    let id = |tape: &Path| lines(tape)[0]["session"].as_str().unwrap().rsplit('-').next().unwrap()[4..].to_owned();
    let failed = |tape: &Path| said.lines().filter(|it| it.contains("FAIL") && it.contains(&id(tape))).count();
    assert_eq!((status, failed(a), failed(b)), (Some(1), 2, 3), "{said}");
    let (status, said, _) = replay(&[&joined], &["--parallel", "2"], &behind(&same)).await;
    assert_eq!(status, Some(0), "{said}");
}

#[tokio::test]
async fn several_tapes_are_played_one_after_the_other_and_told_together() {
    let dir = TempDir::new().unwrap();
    let (same, other) = (counter(0), counter(5));
    let [a, b] = recorded(&dir, &behind(&same)).await;
    let (status, said, told) = replay(&[&a, &b], &["--report", "json"], &behind(&same)).await;
    assert_eq!(status, Some(0), "{said}{told}");
    let all = report(&said);
    let passed = |at: usize| all["tapes"][at]["summary"]["passed"].as_u64().unwrap();
    assert_eq!((passed(0), passed(1), all["summary"]["passed"].as_u64()), (4, 5, Some(9)));
    assert_eq!(all["tapes"][1]["tape"], b.to_str().unwrap());
    let (status, said, _) = replay(&[&a, &b], &["--report", "junit"], &behind(&other)).await;
    assert_eq!((status, said.matches("<testsuite ").count()), (Some(1), 2), "{said}");
    // One that cannot be played is said, and the others are played.
    let empty = dir.path().join("empty");
    std::fs::write(&empty, format!("{}\n", lines(&a)[0])).unwrap();
    let (status, said, told) = replay(&[&empty, Path::new("nowhere"), &b], &[], &behind(&same)).await;
    assert_eq!((status, said.contains("5 passed, 0 failed")), (Some(2), true), "{said}{told}");
    assert!(told.contains("there is nothing to play") && told.contains("there is no tape nowhere"), "{told}");
    let (status, said, told) = replay(&[&empty], &[], &behind(&same)).await;
    assert_eq!((status, &*said, told.contains("there is nothing to play")), (Some(1), "", true), "{told}");
    let (status, said, _) = replay(&[&a, &b], &["--repeat", "2", "--report", "json"], &behind(&same)).await;
    let load = report(&said);
    assert_eq!(
        (status, load["tapes"].as_array().unwrap().len(), load["summary"]["calls"].as_u64()),
        (Some(0), 2, Some(14))
    );
}

#[tokio::test]
async fn filter_that_picks_nothing_of_one_tape_is_said_of_that_and_the_others_are_judged() {
    let dir = TempDir::new().unwrap();
    let same = counter(0);
    let [a, _] = recorded(&dir, &behind(&same)).await;
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/demo.tape.jsonl");
    let options = ["--filter", "~tool add", "--report", "json"];
    let (status, said, _) = replay(&[&demo, &a], &options, &behind(&same)).await;
    let tapes = &report(&said)["tapes"];
    assert!(tapes[0]["error"].as_str().unwrap().contains("no message of the tape matches `~tool add`"), "{said}");
    assert_eq!((status, &tapes[1]["summary"]["failed"], &tapes[1]["error"]), (Some(2), &json!(0), &Value::Null));
    assert!(tapes[1]["summary"]["passed"].as_u64() > Some(0), "{said}");
}

/// A server of HTTP that counts in each session, and what came to it: the session, and what.
async fn counting_http() -> (String, Arc<Mutex<Vec<(String, String)>>>) {
    let mut server = Server::start().await;
    let (url, log) = (server.url(), Arc::new(Mutex::new(Vec::new())));
    let told = log.clone();
    tokio::spawn(async move {
        let mut counts: HashMap<String, u32> = HashMap::new();
        while let Some(exchange) = server.next_if_any().await {
            let session = exchange.head.get("mcp-session-id").unwrap_or_default().to_owned();
            let message: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
            let method =
                message["method"].as_str().or(exchange.head.start.split(' ').next()).unwrap_or_default().to_owned();
            told.lock().push((session.clone(), method.clone()));
            let reply = |result: Value| json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
            match method.as_str() {
                "initialize" => {
                    let id = format!("s{}", counts.len());
                    counts.insert(id.clone(), 0);
                    let info = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
                    exchange.json_with(&format!("mcp-session-id: {id}\r\n"), reply(info)).await;
                }
                "tools/call" => {
                    let count = counts.entry(session).or_default();
                    *count += 1;
                    exchange.json(reply(json!({"content": [{"type": "text", "text": format!("call {count}")}]}))).await;
                }
                "GET" => exchange.answer("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n").await,
                _ => exchange.accept().await,
            }
        }
    });
    (url, log)
}

#[tokio::test]
async fn http_sessions_are_played_each_under_its_id_in_the_order_of_both() {
    let dir = TempDir::new().unwrap();
    let (url, log) = counting_http().await;
    let tapes = recorded(&dir, &["--upstream", &url]).await;
    log.lock().clear();
    let joined = joined(&dir, &tapes);
    let (status, said, told) = replay(&[&joined], &[], &["--upstream", &url]).await;
    assert_eq!(status, Some(0), "{said}{told}");
    let calls = |log: &[(String, String)]| -> Vec<String> {
        log.iter().filter(|(_, what)| what == "tools/call").map(|(session, _)| session.clone()).collect()
    };
    assert_eq!(calls(&log.lock()), ["s2", "s3", "s3", "s2", "s3"]);
    let ended: Vec<_> = log.lock().iter().filter(|(_, what)| what == "DELETE").map(|(it, _)| it.clone()).collect();
    assert_eq!(ended.len(), 2, "{ended:?}");

    // One after the other.
    log.lock().clear();
    let (status, said, told) = replay(&[&tapes[0], &tapes[1]], &[], &["--upstream", &url]).await;
    assert_eq!(status, Some(0), "{said}{told}");
    assert_eq!(calls(&log.lock()), ["s4", "s4", "s5", "s5", "s5"]);
}

/// The message is the second call of the second session: its client is handed over, and its count goes on.
#[tokio::test]
async fn session_that_is_handed_over_is_that_of_the_last_message() {
    let dir = TempDir::new().unwrap();
    let same = counter(0);
    let tapes = recorded(&dir, &behind(&same)).await;
    let joined = joined(&dir, &tapes);
    let calls = lines(&tapes[1]).into_iter().filter(|line| line["kind"] == "request" && line["method"] == "tools/call");
    let until = calls.map(|line| line["seq"].as_u64().unwrap()).nth(1).unwrap().to_string();
    let mut command = Command::from(binary::command());
    command.arg("replay").arg(&joined).args(["--speed", "max", "--until", &until, "--interactive", "--record"]);
    command.arg(dir.path().join("branches")).args(behind(&same));
    let mut fork = Binary::start(command).await;
    let id = fork.branch_id().await;
    let mut client = fork.client().await;
    client.headers = format!("mcp-session-id: {id}\r\n");
    assert_eq!(count(&mut client, 77).await, "call 3");
    fork.signal("TERM");
    fork.end().await;
}

#[tokio::test]
async fn mock_of_two_sessions_is_to_each_client_what_one_of_them_got() {
    let dir = TempDir::new().unwrap();
    let tapes = recorded(&dir, &behind(&counter(0))).await;
    let joined = joined(&dir, &tapes);
    // The second session counts in another way, so that what is of which can be told.
    let text = std::fs::read_to_string(&joined).unwrap();
    let other = |line: &str| {
        let is_second = line.contains(r#","session":"#) && !line.starts_with(r#"{"tapline""#);
        if is_second { line.replace("\"call ", "\"other ") } else { line.to_owned() }
    };
    std::fs::write(&joined, text.lines().map(|line| other(line) + "\n").collect::<String>()).unwrap();
    let mock = Binary::mock(&[joined.to_str().unwrap()]).await;
    let mut a = in_session(mock.client().await).await;
    let mut b = in_session(mock.client().await).await;
    let seen = [
        count(&mut b, 1).await,
        count(&mut b, 2).await,
        count(&mut a, 1).await,
        count(&mut b, 3).await,
        count(&mut a, 2).await,
    ];
    assert_eq!(seen, ["other 1", "other 2", "call 1", "other 3", "call 2"]);
}

#[tokio::test]
async fn report_says_which_tapes_were_not_played_and_which_are_not_whole() {
    let dir = TempDir::new().unwrap();
    let same = counter(0);
    let [a, b] = recorded(&dir, &behind(&same)).await;
    let (cut, gone) = (dir.path().join("cut"), Path::new("nowhere"));
    let text = std::fs::read_to_string(&a).unwrap();
    std::fs::write(&cut, format!("{text}{{\"seq\":90,\"at\":")).unwrap();
    let (torn, missing) = ("the last line is torn", "there is no tape nowhere");
    let (status, said, _) = replay(&[&cut, gone, &b], &["--report", "json"], &behind(&same)).await;
    let tapes = &report(&said)["tapes"];
    let warned = |tape: &Value| tape["warnings"][0].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (status, warned(&tapes[0]).contains(torn), &tapes[2]["warnings"]),
        (Some(2), true, &Value::Null),
        "{said}"
    );
    assert_eq!(
        (&tapes[1]["tape"], tapes[1]["error"].as_str().is_some_and(|it| it.starts_with(missing))),
        (&json!("nowhere"), true),
        "{said}"
    );
    let (status, said, _) = replay(&[&cut, gone], &["--report", "junit"], &behind(&same)).await;
    assert_eq!((status, said.matches("<testsuite ").count()), (Some(2), 2), "{said}");
    assert!(said.contains("<system-err>warning: the last line is torn") && said.contains(missing), "{said}");
    // Of one tape, too, in place of the report of the last time.
    let out = dir.path().join("report.xml");
    let options = ["--report", "junit", "--out", out.to_str().unwrap()];
    for (tape, ends, expected) in [(&*cut, 0, torn), (gone, 2, missing)] {
        let (status, ..) = replay(&[tape], &options, &behind(&same)).await;
        let said = std::fs::read_to_string(&out).unwrap();
        assert_eq!((status, said.contains(expected)), (Some(ends), true), "{said}");
    }
    let (status, said, _) = replay(&[&a], &["--report", "json"], &["--", "there-is-no-such-command"]).await;
    let error = report(&said)["error"].to_string();
    assert!(status == Some(2) && error.contains("there-is-no-such-command"), "{said}");
}
