//! Ends that a peer does not help with: it reads nothing, answers nothing, closes one pipe and keeps the others.

use std::time::Duration;

use serde_json::json;
use tapline::envelope::Direction::ToServer;
use tapline::event::Level;
use tapline::upstream::pool::Settings;

use crate::support::scripts::server;
use crate::support::terminal::Terminal;
use crate::support::{Binary, INITIALIZE, Launched, ProcessAlive, Rig, Server};

const CALL: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}}\n";
const RESULT: &str = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}";

#[tokio::test]
async fn end_of_stdin_lets_a_slow_child_answer() {
    // Longer than a child that is told to leave is given.
    let script = format!("read -r call; cat >/dev/null; sleep 2; echo '{RESULT}'");
    let mut launched = Launched::start(&["--grace", "20s", "--", "sh", "-c", &script]);
    launched.say(CALL).await;
    let (status, rest, errors) = launched.leave().await;
    assert_eq!((status, String::from_utf8(rest).unwrap()), (Some(0), format!("{RESULT}\n")));
    assert_eq!(errors, b"");
}

#[tokio::test]
async fn end_of_stdin_lets_a_url_answer() {
    let mut server = Server::start().await;
    let mut launched = Launched::start(&["--grace", "20s", "--upstream", &server.url()]);
    launched.say(CALL).await;
    let exchange = server.next().await;
    launched.close_input();
    // A server that is asked for the end of the session is not asked before the call is answered.
    exchange.json(RESULT).await;
    let (status, rest, _) = launched.end().await;
    assert_eq!((status, String::from_utf8(rest).unwrap()), (Some(0), format!("{RESULT}\n")));
}

#[tokio::test]
async fn end_of_stdin_waits_for_the_grace_and_says_what_is_missing() {
    let script = "trap 'exit 0' TERM; read -r call; sleep 1000 & wait";
    let mut launched = Launched::start(&["--grace", "100ms", "--", "sh", "-c", script]);
    launched.say(CALL).await;
    let (status, rest, errors) = launched.leave().await;
    assert_eq!((status, rest.as_slice()), (Some(1), &b""[..]), "0 would say that all was well");
    let errors = String::from_utf8(errors).unwrap();
    assert!(errors.contains("tapline: 1 request has no answer 100ms after the end of stdin; `--grace`"), "{errors}");
}

/// What is waited for where `--grace 3s` is given, and how much longer an end may take.
const GRACE: Duration = Duration::from_secs(3);
const BEYOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn servers_that_stay_are_kept_to_the_grace() {
    let alive = ProcessAlive::new();
    let script = format!("{}trap 'echo told >&2' TERM; {ECHO}\nwhile :; do sleep 1000 & wait; done", alive.line());
    let mut binary = Binary::run(&["--no-record", "--grace", "3s", "--", "sh", "-c", &script]).await;
    let mut client = binary.client().await;
    assert_eq!(client.call(INITIALIZE).await.status(), "200");
    let told = std::time::Instant::now();
    binary.signal("TERM");
    while !binary.line().await.expect("its last word").contains("told") {}
    assert_eq!(binary.end().await.0.code(), Some(143));
    assert!(told.elapsed() < 2 * (GRACE + BEYOND), "{:?}", told.elapsed());
    alive.ended().await;
}

/// Takes everything and says nothing.
const QUIET: &str = "while read -r line; do :; done";
/// More than any pipe takes.
const FLOOD: &str = "head -c 3000000 /dev/zero | tr '\\0' x";

#[tokio::test]
async fn sigterm_ends_stdio_while_nobody_reads_stdout() {
    let script = format!("{FLOOD}; echo; echo ready >&2; exec cat");
    let mut launched = Launched::start(&["--grace", "3s", "--", "sh", "-c", &script]);
    assert_eq!(launched.error_line().await, "ready\n");
    launched.signal("TERM");
    assert_eq!(launched.end_unread().await, Some(143));
}

#[tokio::test]
async fn sigterm_ends_stdio_of_a_server_that_ignores_it() {
    let script = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let mut launched = Launched::start(&["--grace", "100ms", "--", "sh", "-c", script]);
    assert_eq!(launched.line().await, b"ready\n");
    launched.signal("TERM");
    assert_eq!(launched.end_unread().await, Some(143));
}

#[tokio::test]
async fn stdio_ends_while_nobody_reads_stderr() {
    let script = format!("{FLOOD} >&2; echo ready; read -r line; exit 3");
    for (end, status) in [("EOF", 3), ("TERM", 143), ("exit", 3)] {
        let mut launched = Launched::script(&script);
        assert_eq!(launched.line().await, b"ready\n", "{end}");
        match end {
            "EOF" => launched.close_input(),
            "TERM" => launched.signal("TERM"),
            _ => launched.say(b"{}\n").await,
        }
        assert_eq!(launched.end_unread().await, Some(status), "{end}");
    }
}

#[tokio::test]
async fn stderr_that_nobody_reads_waits_in_bounded_memory() {
    let script = "head -c 100000000 /dev/zero | tr '\\0' '\\n' >&2 & echo ready; exec cat";
    let mut launched = Launched::script(script);
    assert_eq!(launched.line().await, b"ready\n");
    for _ in 0..1000 {
        launched.say(b"{\"id\":1}\n").await;
        assert_eq!(launched.line().await, b"{\"id\":1}\n");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", launched.process())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    assert!(peak.is_none_or(|peak| peak.parse::<u64>().unwrap() < 80 << 10), "{peak:?} kB");
}

#[tokio::test]
async fn stderr_flood_is_logged_in_part_and_passes_whole() {
    let script = "yes noise | head -n 100000 >&2; while read -r line; do :; done";
    let launched = Launched::script(script);
    let (status, _, errors) = launched.leave().await;
    assert_eq!((status, errors.len()), (Some(0), 600_000));
    let rig = Rig::script(&format!("yes noise | head -n 100000 >&2; {ECHO}")).await;
    rig.client().await.initialize().await;
    let line = rig.line(Level::Warn, "lines of the server's stderr are left out here").await;
    assert_eq!(line.source, "server");
}

#[tokio::test]
async fn sigterm_ends_headless_while_nobody_reads_stderr() {
    let binary = Binary::run(&["--no-record", "--lenient", "--log-format", "json", "--", "sh", "-c", QUIET]).await;
    let mut client = binary.client().await;
    let noise = format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":"{}"}}"#, "x".repeat(20_000));
    for _ in 0..50 {
        assert_eq!(client.call(&noise).await.status(), "202");
    }
    binary.signal("TERM");
    assert_eq!(binary.end_unread().await.code(), Some(143));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_tapline_on_a_stopped_terminal() {
    for headless in [true, false] {
        let mut arguments = vec!["run", "--listen", "127.0.0.1:0", "--no-record", "--lenient", "--grace", "3s"];
        arguments.extend(headless.then_some("--headless"));
        let terminal = Terminal::start(&[&arguments[..], &["--", "sh", "-c", QUIET]].concat());
        let address = terminal.wait("the address", |screen| {
            let contents = screen.contents();
            let ready = headless || screen.alternate_screen();
            let word =
                contents.split_whitespace().find(|word| word.contains("127.0.0.1:") && word.ends_with("/mcp"))?;
            ready.then(|| word.trim_start_matches("http://").split('/').next().unwrap().parse().ok()).flatten()
        });
        terminal.stop_output();
        let mut client = crate::support::Client::connect(address).await;
        assert_eq!(client.call(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#).await.status(), "202");
        let process = rustix::process::Pid::from_raw(terminal.process()).unwrap();
        let told = std::time::Instant::now();
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        assert_eq!(terminal.ends_stopped(), 143, "headless: {headless}");
        // Twice as long as it is allowed: a machine may be busy.
        assert!(told.elapsed() < 2 * (GRACE + BEYOND), "headless: {headless}, {:?}", told.elapsed());
    }
}

/// Answers every request, and none that hangs.
const ECHO: &str = server!(
    r#"
        *'"method":"hang"'*) ;;
        *'"method":"deaf"'*) exec </dev/null; echo '{"jsonrpc":"2.0","method":"deaf"}'; while :; do sleep 1000; done ;;
        *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;;"#
);

fn request(id: u32, method: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}\n")
}

#[tokio::test]
async fn deaf_child_is_told_to_a_client_on_stdio() {
    let mut launched = Launched::script(ECHO);
    launched.say(request(1, "ping").as_bytes()).await;
    assert_eq!(launched.message().await["id"], 1);
    launched.say(request(2, "deaf").as_bytes()).await;
    assert_eq!(launched.message().await["method"], "deaf");
    for id in [3, 4] {
        launched.say(request(id, "ping").as_bytes()).await;
        let error = launched.message().await;
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(id), &json!(-31000)));
        let text = error["error"]["message"].as_str().unwrap();
        assert!(text.contains("has closed its stdin: it takes no messages any more"), "{text}");
    }
}

#[tokio::test]
async fn deaf_child_is_told_to_a_client_over_http() {
    let rig = Rig::script(ECHO).await;
    let mut client = rig.client().await;
    client.initialize().await;
    assert_eq!(client.call(r#"{"jsonrpc":"2.0","method":"deaf"}"#).await.status(), "202");
    rig.message(tapline::envelope::Direction::ToClient, |it| it.method() == Some("deaf")).await;
    for id in [3, 4] {
        let response = client.call(request(id, "ping")).await;
        assert_eq!((response.status(), &response.json()["id"]), ("502", &json!(id)));
        assert!(response.text().contains("has closed its stdin"), "{response:?}");
    }
}

#[test]
fn child_of_a_core_that_goes_unfinished_takes_with_it_what_it_started() {
    let alive = ProcessAlive::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let going = runtime();
    going.block_on(async {
        let rig = Rig::script(&format!("{}sleep 1000 &\n{ECHO}", alive.line())).await;
        rig.client().await.initialize().await;
    });
    // Without a word to the child: the task that waits for it goes with its runtime.
    drop(going);
    runtime().block_on(alive.ended());
}

#[tokio::test]
async fn session_that_is_deleted_meanwhile_is_said_to_its_calls() {
    let rig = Rig::script(ECHO).await;
    let mut client = rig.client().await;
    client.initialize().await;
    let mut waiting = client.again(rig.address()).await;
    waiting.post(request(2, "hang")).await;
    rig.message(ToServer, |it| it.method() == Some("hang")).await;
    client.request("DELETE /mcp", "", b"").await;
    assert_eq!(client.response().await.status(), "200");
    let response = waiting.response().await;
    assert_eq!((response.status(), &response.json()["id"]), ("502", &json!(2)));
    assert!(response.text().contains("the session was ended before"), "{response:?}");
}

#[tokio::test]
async fn client_that_gives_up_initialize_leaves_no_child() {
    let alive = ProcessAlive::new();
    let script = format!("{}{QUIET}", alive.line());
    let rig = Rig::kept(&["sh", "-c", &script], Settings { max: 1, ..Settings::default() }).await;
    let mut client = rig.client().await;
    client.post(INITIALIZE).await;
    rig.message(ToServer, |it| it.method() == Some("initialize")).await;
    drop(client);
    alive.ended().await;
    assert!(rig.closed(rig.session(1).await).await.contains("never initialized"));
}

#[tokio::test]
async fn long_batch_is_refused_with_a_clear_error() {
    let rig = Rig::script(ECHO).await;
    let mut client = rig.client().await;
    client.initialize().await;
    for item in ["{}", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#] {
        let batch = format!("[{}]", vec![item; 100_000].join(","));
        let response = client.call(&batch).await;
        assert_eq!(response.status(), "413");
        assert!(response.text().contains("a batch of more than 10000 messages"), "{response:?}");
    }
    assert_eq!(client.call(request(1, "ping")).await.status(), "200");
}

/// The program, started by a shell that says so before.
fn limited(limits: &str) -> std::process::Command {
    let program = crate::support::tapline_binary();
    let usual = crate::support::binary::command();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!(r#"{limits}; exec "$@""#), "sh"]).arg(program);
    usual.get_envs().for_each(|(name, value)| {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    });
    command
}

#[tokio::test]
async fn open_files_are_as_many_as_may_be_and_children_have_their_own_limit() {
    let script = r#"read -r line; echo "{\"limit\":\"$(ulimit -Sn)\"}"; exec cat"#;
    let mut launched = Launched::start_as(limited("ulimit -Sn 200").into(), &["--", "sh", "-c", script]);
    launched.say(b"{}\n").await;
    assert_eq!(launched.message().await["limit"], "200");
    if let Ok(limits) = std::fs::read_to_string(format!("/proc/{}/limits", launched.process())) {
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[3], words[4], "{line}");
    }
}

#[tokio::test]
async fn open_files_that_run_out_are_said_and_given_back() {
    let arguments = ["--no-record", "--", "sh", "-c", ECHO];
    let mut binary = Binary::run_as(limited("ulimit -n 64"), &arguments).await;
    let mut client = binary.client().await;
    let mut sessions = Vec::new();
    let refused = loop {
        let response = client.call(INITIALIZE).await;
        if response.status() != "200" {
            break response;
        }
        sessions.push(response.head.get("mcp-session-id").unwrap().to_owned());
        assert!(sessions.len() < 64, "the limit is not felt");
    };
    let text = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        text.contains("Too many open files") && text.contains("`ulimit -n`") && !text.contains("installed"),
        "{text}"
    );
    for id in sessions.drain(..3) {
        client.request("DELETE /mcp", &format!("mcp-session-id: {id}\r\n"), b"").await;
        assert_eq!(client.response().await.status(), "200");
    }
    assert_eq!(client.call(INITIALIZE).await.status(), "200");
    binary.signal("TERM");
    loop {
        let line = binary.line().await.expect("a warning");
        if line.contains("of at most 64 files are open") {
            break;
        }
    }
}

#[tokio::test]
async fn file_size_limit_is_a_full_disk_and_no_death() {
    let dir = tempfile::TempDir::new().unwrap();
    let tapes = dir.path().to_str().unwrap();
    let script = QUIET;
    let mut binary =
        Binary::run_as(limited("ulimit -f 8"), &["--tapes", tapes, "--lenient", "--", "sh", "-c", script]).await;
    let mut client = binary.client().await;
    let note = format!(r#"{{"jsonrpc":"2.0","method":"notifications/x","params":"{}"}}"#, "x".repeat(10_000));
    assert_eq!(client.call(&note).await.status(), "202");
    loop {
        let line = binary.line().await.expect("a complaint");
        if line.contains("ERROR tape") {
            break;
        }
    }
    assert_eq!(client.call(&note).await.status(), "202");
    binary.signal("TERM");
    assert_eq!(binary.end().await.0.code(), Some(143));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn daemon_in_a_session_of_its_own_ends_with_its_server() {
    let alive = ProcessAlive::new();
    let script = format!("{}(setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &) ; exec cat", alive.line());
    let mut launched = Launched::script(&script);
    launched.say(b"{}\n").await;
    assert_eq!(launched.line().await, b"{}\n");
    assert_eq!(launched.leave().await.0, Some(0));
    alive.ended().await;
}

#[tokio::test]
async fn guardian_that_dies_is_followed_by_another() {
    let alive = ProcessAlive::new();
    let script = format!("{}trap '' TERM; echo \"$PPID\"; while :; do sleep 1000; done", alive.line());
    let mut launched = Launched::script(&script);
    launched.line().await;
    let first = guardian_of(launched.process(), None).await;
    let kill = |process: i32| {
        let process = rustix::process::Pid::from_raw(process).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    };
    kill(first);
    guardian_of(launched.process(), Some(first)).await;
    launched.signal("KILL");
    alive.ended().await;
}

#[tokio::test]
async fn program_of_a_hook_ends_with_a_tapline_that_is_killed() {
    let (alive, place) = (ProcessAlive::new(), tempfile::tempdir().unwrap());
    let (hook, rules) = (place.path().join("hook.sh"), place.path().join("rules.toml"));
    // It lets the call go, and never reads its stdin again.
    let answer = r#"{"id":%s,"result":{}}"#;
    let script = format!(
        "{}trap '' TERM\nread -r line\nid=${{line#*'\"id\":'}}\nprintf '{answer}\\n' \"${{id%%,*}}\"\nwhile :; do sleep 1000; done",
        alive.line()
    );
    std::fs::write(&hook, script).unwrap();
    let action = format!("{{ hook = {{ command = [\"sh\", \"{}\"], timeout = \"60s\" }} }}", hook.display());
    std::fs::write(&rules, format!("[[rule]]\nname = \"r\"\nwhen = \"~q ~m tools/call\"\ndo = {action}\n")).unwrap();
    let server = format!("read -r call; echo '{RESULT}'; cat");
    let mut launched = Launched::start(&["--rules", rules.to_str().unwrap(), "--", "sh", "-c", &server]);
    launched.say(CALL).await;
    assert_eq!(launched.message().await, serde_json::from_str::<serde_json::Value>(RESULT).unwrap());
    launched.signal("KILL");
    alive.ended().await;
}

#[tokio::test]
async fn client_that_is_tried_at_a_mock_ends_with_a_tapline_that_is_killed() {
    let (alive, started, place) = (ProcessAlive::new(), ProcessAlive::new(), tempfile::tempdir().unwrap());
    let file = place.path().join("client.sh");
    let script = format!("{}trap '' TERM\n({})\nwhile :; do sleep 1000; done", alive.line(), started.line().trim_end());
    std::fs::write(&file, script).unwrap();
    let mut mock = tokio::process::Command::from(crate::support::binary::command());
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    mock.args(["mock", tape, "--no-record", "--no-control", "--mutate", "7", "--client"]);
    let mut mock = mock.arg(format!("sh {}", file.display())).stdin(std::process::Stdio::null()).spawn().unwrap();
    started.ended().await;
    mock.kill().await.unwrap();
    alive.ended().await;
}

/// The guardian of a process, once it is there and is another than that.
async fn guardian_of(process: u32, other: Option<i32>) -> i32 {
    let is_it = |pid: &i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
        let is_guardian = words.split(|byte| *byte == 0).any(|word| word == b"__guardian");
        Some(*pid) != other && is_guardian && parent == Some(&*process.to_string())
    };
    let looking = async {
        loop {
            let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
            let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            if let Some(pid) = pids.find(is_it) {
                return pid;
            }
            tokio::task::yield_now().await;
        }
    };
    crate::support::soon("a guardian", looking).await
}
