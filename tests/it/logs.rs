//! tapline's own log, and disks that are full of it and of tapes: forwarding goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tapline::tape::Tape;
use tempfile::TempDir;

use crate::support::binary::command;
use crate::support::{Binary, Exchange, INITIALIZE, Server};

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":"x7","method":"tools/call","params":{"name":"a","arguments":{"pin":"SECRET4"}}}"#;

fn result(_: &Exchange) -> String {
    r#"{"jsonrpc":"2.0","id":"x7","result":{}}"#.to_owned()
}

/// A tapline that logs, and the file.
async fn logging(dir: &TempDir, filter: &str, arguments: &[&str]) -> (Binary, PathBuf) {
    let file = dir.path().join("t.log");
    let log = ["--no-record", "--log-file", file.to_str().unwrap(), "--log", filter];
    (Binary::run(&[&log, arguments].concat()).await, file)
}

async fn ended(binary: Binary) -> Vec<String> {
    binary.signal("TERM");
    binary.end().await.1
}

#[tokio::test]
async fn exchange_span_has_session_method_and_id() {
    let (dir, url) = (TempDir::new().unwrap(), Server::answering(result).await);
    let (binary, file) = logging(&dir, "tapline=debug", &["--upstream", &url]).await;
    let mut client = binary.client().await;
    assert_eq!(client.call(CALL).await.status(), "200");
    assert_eq!(client.call("nonsense").await.status(), "200");
    ended(binary).await;
    let log = fs::read_to_string(&file).unwrap();
    let answered: Vec<_> = log.lines().filter(|line| line.contains("answered status=200")).collect();
    let [call, nonsense] = answered[..] else { panic!("{log}") };
    let (_, span) = call.split_once("exchange{session=\"").expect(call);
    assert!(span.bytes().take(8).all(|byte| byte.is_ascii_hexdigit()), "{call}");
    assert!(span[8..].starts_with("\" method=\"tools/call\" id=\"x7\"}"), "{call}");
    assert!(nonsense.contains("exchange{session=\"") && !nonsense.contains("method="), "{nonsense}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "for the user alone");
}

#[tokio::test]
async fn screen_lines_are_logged_once() {
    let dir = TempDir::new().unwrap();
    let script = "echo 'words of the server' >&2; while read -r line; do :; done";
    let (mut binary, file) = logging(&dir, "info", &["--", "sh", "-c", script]).await;
    let mut client = binary.client().await;
    client.post(INITIALIZE).await;
    let said = |line: &String| line.contains("server: words of the server");
    while !said(&binary.line().await.expect("the server's words")) {}
    let lines = ended(binary).await;
    assert!(!lines.iter().any(said), "{lines:?}");
    let log = fs::read_to_string(file).unwrap();
    let told: Vec<_> = log.lines().filter(|line| line.contains("words of the server source=\"server\"")).collect();
    let [told] = told[..] else { panic!("{log}") };
    assert!(told.contains(" INFO ") && told.contains("session=\""), "{told}");
}

#[tokio::test]
async fn secrets_are_never_logged() {
    let (dir, url) = (TempDir::new().unwrap(), Server::answering(result).await);
    let header = ["--header", "authorization: Bearer SECRET1", "--upstream", &url];
    let (binary, file) = logging(&dir, "trace", &header).await;
    let mut client = binary.client().await;
    client.headers = "cookie: SECRET2\r\nauthorization: Bearer SECRET3\r\nmcp-session-id: SECRET5\r\n".to_owned();
    assert_eq!(client.call(CALL).await.status(), "200");
    client.request("GET /elsewhere?token=SECRET6", "x-api-key: SECRET7\r\n", b"").await;
    assert_eq!(client.response().await.status(), "200");
    ended(binary).await;
    let log = fs::read_to_string(file).unwrap();
    assert!(log.contains("exchange{") && log.contains("relayed GET /elsewhere"), "{log}");
    let told: Vec<_> = log.lines().filter(|line| line.contains("SECRET")).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[tokio::test]
async fn log_filter_is_validated() {
    let mut command = command();
    command.args(["run", "--log-file", "/dev/null", "--log", "tapline=loud", "--", "cat"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`--log tapline=loud`"));
}

#[tokio::test]
async fn log_directory_gets_a_file_for_the_user_alone() {
    let (dir, url) = (TempDir::new().unwrap(), Server::answering(result).await);
    let logs = dir.path().join("logs");
    let arguments = ["--no-record", "--log-dir", logs.to_str().unwrap(), "--log", "tapline=debug", "--upstream", &url];
    let binary = Binary::run(&arguments).await;
    assert_eq!(binary.client().await.call(CALL).await.status(), "200");
    ended(binary).await;
    let names = fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().path());
    let [file] = names.collect::<Vec<_>>().try_into().unwrap();
    assert!(file.to_str().unwrap().ends_with(".log"), "{file:?}");
    assert!(fs::read_to_string(file).unwrap().contains("answered status=200"));
    assert_eq!(fs::metadata(&logs).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn log_file_only_grows() {
    let (dir, url) = (TempDir::new().unwrap(), Server::answering(result).await);
    let file = dir.path().join("t.log");
    fs::write(&file, "long ago\n").unwrap();
    let (binary, file) = logging(&dir, "info", &["--upstream", &url]).await;
    ended(binary).await;
    let log = fs::read_to_string(&file).unwrap();
    assert!(log.starts_with("long ago\n") && log.len() > 9, "{log}");
}

#[tokio::test]
async fn log_on_a_full_disk_warns_once() {
    let url = Server::answering(result).await;
    let log = ["--no-record", "--log-file", "/dev/full", "--log", "debug", "--upstream", &url];
    let mut binary = Binary::run(&log).await;
    let mut client = binary.client().await;
    for _ in 0..20 {
        assert_eq!(client.call(CALL).await.status(), "200");
    }
    let full = |line: &String| line.contains("log: the log /dev/full cannot be written: No space left");
    while !full(&binary.line().await.expect("a word on the disk")) {}
    assert_eq!(client.call(CALL).await.status(), "200");
    assert!(!ended(binary).await.iter().any(full), "once");
}

/// A tapline no file of which may be larger than a few KiB: a disk that is full and may be cleared, for whoever is no superuser.
#[cfg(target_os = "linux")]
async fn on_a_small_disk(arguments: &[&str]) -> Binary {
    let tapline = command();
    let mut shell = std::process::Command::new("sh");
    for (name, value) in tapline.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    // In blocks of 512 bytes, or of 1024. Ignored, the signal becomes an error of the write.
    let limited = r#"ulimit -S -f 16 && trap '' XFSZ && exec "$0" "$@""#;
    shell.args(["-c", limited]).arg(tapline.get_program());
    Binary::run_as(shell, arguments).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn tape_on_a_full_disk_marks_a_gap_and_warns_once() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let (dir, url) = (TempDir::new().unwrap(), Server::answering(result).await);
    let mut binary = on_a_small_disk(&["--tapes", dir.path().to_str().unwrap(), "--upstream", &url]).await;
    let mut client = binary.client().await;
    let large = CALL.replace("SECRET4", &"x".repeat(1000));
    for _ in 0..20 {
        assert_eq!(client.call(&large).await.status(), "200");
    }
    while !binary.line().await.expect("a word on the disk").contains("messages pass unrecorded") {}
    assert_eq!(client.call(CALL).await.status(), "200");
    let pid = Pid::from_raw(i32::try_from(binary.process()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    assert_eq!(client.call(CALL).await.status(), "200");
    let again = loop {
        let line = binary.line().await.expect("a word on the disk");
        assert!(!line.contains("unrecorded"), "once: {line}");
        if line.contains("recording to") {
            break line;
        }
    };
    // One, where the small reply to a large call still found room.
    assert!(again.contains(" missing"), "{again}");
    ended(binary).await;
    let tape = only_tape(dir.path());
    let missing: u64 = tape.gaps.iter().map(|gap| gap.messages).sum();
    assert!(missing > 0 && tape.problems.is_empty() && !tape.torn, "{:?}", tape.problems);
    assert_eq!(tape.envelopes.len() as u64 + missing, 44, "nothing is lost without a word");
    assert!(tape.end.is_some());
}

#[cfg(target_os = "linux")]
fn only_tape(dir: &Path) -> Tape {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    let [tape] = files.try_into().unwrap();
    Tape::read(&tape).unwrap()
}
