//! `tapline replay` as a user runs it, with the tape that comes with tapline.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Binary, binary};

use crate::support::terminal::Terminal;

const TAPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

fn replay(tape: &Path, options: &[&str], server: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    command.arg("replay").arg(tape).args(options).arg("--").args(server);
    command.output().unwrap()
}

fn demo_server<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&[env!("CARGO_BIN_EXE_tapline"), "__demo-server"], more].concat()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn unchanged_server_passes_every_step() {
    let output = replay(Path::new(TAPE), &["--speed", "max"], &demo_server(&[]));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).trim_end().lines().last().unwrap().contains(" passed, 0 failed, 0 skipped in "));
    assert!(!stdout(&output).contains('\x1b'), "no colour where there is no terminal");
}

#[test]
fn changed_server_fails_with_the_changed_value() {
    let output = replay(Path::new(TAPE), &["--speed", "max"], &demo_server(&["--changed"]));
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let failed: Vec<_> = stdout(&output).lines().filter(|line| line.contains("FAIL")).collect();
    assert!(matches!(failed[..], [one] if one.contains("tools/call get_forecast")), "{failed:?}");
    assert!(stdout(&output).contains(r#".result.structuredContent.days[0].sky  - "sun"  + "fog""#));
}

#[test]
fn ignored_paths_do_not_fail() {
    let ignore = ["--speed", "max", "--ignore", ".result.structuredContent.days[*].sky", "--ignore", ".result.content"];
    let output = replay(Path::new(TAPE), &ignore, &demo_server(&["--changed"]));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn report_formats_json_and_junit() {
    let dir = tempfile::tempdir().unwrap();
    for (form, first, last) in [("json", "{", "}"), ("junit", "<?xml", "</testsuites>")] {
        let out = dir.path().join(form);
        let options = ["--speed", "max", "--report", form, "--out", out.to_str().unwrap()];
        let output = replay(Path::new(TAPE), &options, &demo_server(&[]));
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), ""));
        let report = std::fs::read_to_string(out).unwrap();
        assert!(report.starts_with(first) && report.trim_end().ends_with(last), "{report}");
    }
}

#[test]
fn start_failure_exits_1_with_stderr() {
    let output = replay(Path::new(TAPE), &["--speed", "max"], &["sh", "-c", "echo no licence >&2; exit 7"]);
    assert_eq!(output.status.code(), Some(1));
    let told = format!("{}{}", stdout(&output), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("status 7") && told.contains("no licence"), "{told}");
}

#[test]
fn unreadable_tape_exits_2_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(TAPE).unwrap();
    let newer = text.replacen(r#"{"tapline":1,"version":"0.1.0""#, r#"{"tapline":99,"version":"7.0.0""#, 1);
    for (name, content, expected) in [
        ("missing", None, "there is no tape"),
        ("empty", Some(""), "is not a tape"),
        ("other", Some("{\"log\":\"x\"}\n"), "is not a tape"),
        ("newer", Some(newer.as_str()), "use tapline 7.0.0 or newer"),
    ] {
        let path = dir.path().join(name);
        content.iter().for_each(|content| std::fs::write(&path, content).unwrap());
        let output = replay(&path, &[], &["cat"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{name}: {told}");
        assert!(told.contains(expected) && told.trim_end().lines().count() == 1, "{name}: {told}");
    }
}

#[test]
fn torn_tape_is_played_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(TAPE).unwrap();
    let path = dir.path().join("torn");
    std::fs::write(&path, &text[..text.len() * 2 / 3]).unwrap();
    let output = replay(&path, &["--speed", "max"], &demo_server(&[]));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.starts_with("tapline: ") && told.contains("torn"), "{told}");
}

/// What stands on a line that was damaged is not tested.
#[test]
fn tape_with_a_damaged_line_has_not_passed() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(TAPE).unwrap();
    let path = dir.path().join("damaged");
    let lines = text.lines().zip(1..).map(|(line, at)| if at == 9 { &line[..line.len() / 2] } else { line });
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let output = replay(&path, &["--speed", "max"], &demo_server(&[]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{} {told}", stdout(&output));
    assert!(told.contains("line 9: ") && told.contains("it has not passed"), "{told}");
}

#[test]
fn long_tape_says_at_once_how_far_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let tape = dir.path().join("long.tape.jsonl");
    let text = std::fs::read_to_string(TAPE).unwrap();
    let (header, messages) = text.split_once('\n').unwrap();
    // Seconds of reading, here.
    let times = (32 << 20) / messages.len();
    std::fs::write(&tape, format!("{header}\n{}", messages.repeat(times))).unwrap();
    let terminal = Terminal::start(&["replay", tape.to_str().unwrap(), "--", "cat"]);
    terminal.wait_for("reading the tape: ");
}

fn report(options: &[&str], server: &[&str]) -> (Option<i32>, Value) {
    let options = [&["--speed", "max", "--report", "json"], options].concat();
    let output = replay(Path::new(TAPE), &options, &demo_server(server));
    let report = serde_json::from_str(stdout(&output));
    (output.status.code(), report.unwrap_or_else(|_| panic!("{output:?}")))
}

fn methods(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps
        .map(|step| format!("{} {}", step["method"].as_str().unwrap(), step["name"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn part_of_a_tape_is_played_after_the_handshake() {
    let (status, forecasts) = report(&["--filter", "~tool get_forecast"], &[]);
    let played = methods(&forecasts);
    assert_eq!(
        (status, &played[..2]),
        (Some(0), &["initialize ".to_owned(), "notifications/initialized ".to_owned()][..])
    );
    let is_chosen = |it: &String| it == "tools/call get_forecast" || it.starts_with("reply to ");
    assert!(played.len() > 2 && played[2..].iter().all(is_chosen), "{played:?}");

    let seqs = |report: &Value| -> Vec<u64> {
        report["steps"].as_array().unwrap().iter().map(|step| step["seq"].as_u64().unwrap()).collect()
    };
    let all = seqs(&report(&[], &[]).1);
    let (from, until) = (all[4], all[7]);
    let (status, part) = report(&["--from", &from.to_string(), "--until", &until.to_string()], &[]);
    let expected: Vec<_> = all.iter().copied().filter(|seq| (from..=until).contains(seq)).collect();
    let played: Vec<_> = seqs(&part).into_iter().filter(|seq| !all[..2].contains(seq)).collect();
    assert_eq!((status, played), (Some(0), expected));

    let output = replay(Path::new(TAPE), &["--filter", "~tool nothing"], &demo_server(&[]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), told.contains("no message of the tape matches")), (Some(2), true), "{told}");
}

#[test]
fn first_failure_ends_a_fail_fast_replay() {
    let (status, report) = report(&["--fail-fast"], &["--changed"]);
    assert_eq!((status, &report["summary"]["failed"]), (Some(1), &json!(1)));
    assert!(report["summary"]["skipped"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn replies_are_compared_by_shape_or_at_chosen_places() {
    for (options, status) in [
        (&["--match", "shape"][..], 0),
        (&["--only", ".result.structuredContent.days[*].high"], 0),
        (&["--only", ".result.structuredContent"], 1),
        (&["--match", "exact"], 1),
    ] {
        assert_eq!(report(options, &["--changed"]).0, Some(status), "{options:?}");
    }
}

#[test]
fn place_that_no_reply_has_is_told_where_it_alone_counts() {
    let told = |only: &str| {
        let options = ["--speed", "max", "--only", only, "--only", ".result.structuredContent.days[*]"];
        let output = replay(Path::new(TAPE), &options, &demo_server(&[]));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let mistyped = told("result.structuredContnet");
    assert!(mistyped.contains("`--only result.structuredContnet`: no reply on the tape has it"), "{mistyped}");
    assert_eq!(mistyped.matches("--only").count(), 1, "{mistyped}");
    assert_eq!(told("..high"), "");
}

#[test]
fn update_moves_only_what_changed_and_then_passes() {
    let dir = tempfile::tempdir().unwrap();
    let tape = dir.path().join("demo.tape.jsonl");
    std::fs::copy(TAPE, &tape).unwrap();
    let output = replay(&tape, &["--speed", "max", "--update"], &demo_server(&["--changed"]));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let again = replay(&tape, &["--speed", "max"], &demo_server(&["--changed"]));
    assert_eq!(again.status.code(), Some(0), "{}", stdout(&again));
    let [before, after] = [Path::new(TAPE), &tape].map(|path| std::fs::read_to_string(path).unwrap());
    assert_eq!(before.lines().count(), after.lines().count());
    let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(before, after)| before != after).collect();
    let [(before, after)] = changed[..] else { panic!("one line: {changed:?}") };
    assert_eq!(after.replace("fog", "sun"), before.replace("fog", "sun"));
}

#[test]
fn update_of_a_packed_tape_leaves_it_packed() {
    let dir = tempfile::tempdir().unwrap();
    let (tape, packed) = (dir.path().join("demo.tape.jsonl"), dir.path().join("demo.tape.jsonl.zst"));
    std::fs::copy(TAPE, &tape).unwrap();
    assert!(binary::command().args(["tape", "pack"]).arg(&tape).output().unwrap().status.success());
    for options in [&["--speed", "max", "--update"][..], &["--speed", "max"]] {
        let output = replay(&packed, options, &demo_server(&["--changed"]));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{}{told}", stdout(&output));
    }
    assert_eq!(std::fs::read(&packed).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    let verified = binary::command().args(["tape", "verify"]).arg(&packed).output().unwrap();
    assert!(String::from_utf8_lossy(&verified.stdout).contains("sealed, unchanged"), "{verified:?}");
}

#[test]
fn load_ends_with_a_table_of_times() {
    let options = ["--speed", "max", "--parallel", "2", "--repeat", "3", "--filter", "~tool get_forecast"];
    let output = replay(Path::new(TAPE), &options, &demo_server(&[]));
    let table = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{table}");
    let line = table.lines().find(|line| line.starts_with("initialize")).expect(table);
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[1..3], ["6", "0"], "{table}");
    assert!(table.trim_end().ends_with("a second"), "{table}");
    let (status, report) = report(&options[2..], &["--changed"]);
    assert_eq!((status, report["summary"]["failed"].as_u64().unwrap() > 0), (Some(1), true), "{report}");
}

#[test]
fn record_leaves_a_tape_of_what_was_played() {
    let dir = tempfile::tempdir().unwrap();
    let (status, _) = report(&["--record", dir.path().to_str().unwrap()], &[]);
    assert_eq!(status, Some(0));
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let [tape] = &files[..] else { panic!("one tape: {files:?}") };
    let output = replay(tape, &["--speed", "max"], &demo_server(&[]));
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn step_waits_for_enter_and_plays_on_when_stdin_ends() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    command.args(["replay", TAPE, "--step", "--speed", "max", "--"]).args(demo_server(&[]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\n\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let announced: Vec<_> = told.lines().filter(|line| line.contains("enter sends it")).collect();
    assert!(announced[0].contains("initialize") && announced.len() >= 3, "{told}");
}

#[test]
fn minimise_leaves_the_call_that_fails_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let least = dir.path().join("least.tape.jsonl");
    let minimise = |options: &[&str], server: &[&str]| {
        binary::command().args(["tape", "minimise", TAPE]).args(options).arg("--").args(server).output().unwrap()
    };
    let options = ["--fails", "~s2c ~tool get_forecast ~b fog", "--out", least.to_str().unwrap()];
    let output = minimise(&options, &demo_server(&["--changed"]));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("tools/call get_forecast is kept: without it, it does not fail"), "{told}");
    let calls = std::fs::read_to_string(&least).unwrap();
    assert_eq!(calls.matches(r#""method":"tools/call","params""#).count(), 1, "{calls}");
    let fine = minimise(&["--fails", "~b nowhere-at-all"], &demo_server(&[]));
    let told = String::from_utf8_lossy(&fine.stderr).into_owned();
    assert_eq!((fine.status.code(), told.contains("nothing to minimise")), (Some(1), true), "{told}");
    let old = replay(Path::new(TAPE), &["--minimise", "~e"], &demo_server(&[]));
    let told = String::from_utf8_lossy(&old.stderr).into_owned();
    assert_eq!(
        (old.status.code(), told.contains("tapline tape minimise TAPE --fails '~e'")),
        (Some(2), true),
        "{told}"
    );
}

/// A server that ends where it is asked for Lisbon.
const CRASHES: &str = r#"while read -r line; do case "$line" in
    *Lisbon*) echo boom >&2; exit 7;;
    *initialize\"*) id=${line#*\"id\":}; id=${id%%[,\}]*}
        echo '{"jsonrpc":"2.0","id":'$id',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}';;
    *\"id\":*) id=${line#*\"id\":}; id=${id%%[,\}]*}; echo '{"jsonrpc":"2.0","id":'$id',"result":{}}';;
    esac; done"#;

#[test]
fn minimise_finds_what_ends_the_server_and_says_where_it_never_began() {
    let dir = tempfile::tempdir().unwrap();
    let least = dir.path().join("least.tape.jsonl");
    let minimise = |looked_for: &[&str], script: &str| {
        let mut command = binary::command();
        command.args(["tape", "minimise", TAPE, "--out"]).arg(&least).args(looked_for).args(["--", "sh", "-c", script]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, told) = minimise(&["--fails", "~e"], "echo no config >&2; exit 3");
    assert!(status == Some(1) && told.contains("ended with status 3; it last wrote: no config"), "{told}");
    assert!(told.contains("`--crashes` looks for") && !least.exists(), "{told}");
    let (status, told) = minimise(&["--crashes"], CRASHES);
    assert!(status == Some(0) && told.contains("tools/call search_flights is kept: without it"), "{told}");
    let kept = std::fs::read_to_string(&least).unwrap();
    assert_eq!((kept.matches("tools/call\",\"params").count(), kept.matches("tools/list").count()), (1, 0), "{kept}");
    std::fs::remove_file(&least).unwrap();
    let (status, told) = minimise(&["--crashes"], &CRASHES.replace("Lisbon", "Brigadoon"));
    assert!(status == Some(1) && told.contains("the server is not lost when the whole tape is played"), "{told}");
}

/// Whatever is left of a call, it fails: only without its argument it fails otherwise.
#[test]
fn minimise_leaves_what_fails_as_the_whole_tape_did() {
    let (dir, script) = (tempfile::tempdir().unwrap(), CRASHES.replace("exit 7", "fail 'no flight 17 to `Lisbon`'"));
    let script = script.replace(
        "    *initialize",
        "    *get_forecast*s\\\":{}*|*search_flights*s\\\":{}*) fail 'no argument';;\n    *initialize",
    );
    let told = r#"say() { id=${line#*\"id\":}; id=${id%%[,\}]*}; echo '{"jsonrpc":"2.0","id":'$id',"result":{"content":[{"type":"text","text":"'"$1"'"}],"isError":'$2'}}'; }
fail() { say "$1" true; }
"#;
    let least = dir.path().join("least.tape.jsonl");
    let mut command = binary::command();
    command.args(["tape", "minimise", TAPE, "--fails", "~e", "--out"]).arg(&least);
    let output = command.args(["--", "sh", "-c", &format!("{told}{script}")]).output().unwrap();
    let (told, kept) = (String::from_utf8_lossy(&output.stderr), std::fs::read_to_string(&least).unwrap_or_default());
    let calls: Vec<_> = kept.lines().filter(|line| line.contains("tools/call\",\"params")).collect();
    assert!(matches!(calls[..], [call] if call.contains("Lisbon")), "{told}{kept}");
}

#[test]
fn minimise_writes_over_nothing_that_came_while_it_ran() {
    let dir = tempfile::tempdir().unwrap();
    let least = dir.path().join("least.tape.jsonl");
    let mut command = binary::command();
    command.args(["tape", "minimise", TAPE, "--crashes", "--out"]).arg(&least);
    let output = command.args(["--", "sh", "-c", &format!("echo mine >'{}'; {CRASHES}", least.display())]).output();
    let output = output.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), std::fs::read_to_string(&least).unwrap().as_str()),
        (Some(1), "mine\n"),
        "{told}"
    );
    let beside = dir.path().join("least-2.tape.jsonl");
    assert!(told.contains(&format!("what was found is in {}", beside.display())), "{told}");
    assert!(std::fs::read_to_string(beside).unwrap().contains("Lisbon"));
}

/// As of `tapline replay TAPE -- SERVER | head -1`.
#[test]
fn reader_that_has_read_enough_of_the_report_is_no_failure() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.args(["replay", TAPE, "--speed", "max", "--"]).args(demo_server(&[])).stdout(writer);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[tokio::test]
async fn branch_goes_on_with_a_client_and_names_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::from(binary::command());
    command.args(["replay", TAPE, "--speed", "max", "--until", "3", "--interactive", "--record"]).arg(dir.path());
    command.arg("--").args(demo_server(&[]));
    let mut fork = Binary::start(command).await;
    let id = fork.branch_id().await;
    let mut client = fork.client().await;
    client.headers = format!("mcp-session-id: {id}\r\n");
    let call = json!({"jsonrpc": "2.0", "id": "mine", "method": "tools/call",
        "params": {"name": "get_forecast", "arguments": {"city": "Oslo"}}});
    let reply = client.call(call.to_string()).await.json();
    assert_eq!((&reply["id"], reply["result"]["isError"].as_bool()), (&json!("mine"), None), "{reply}");
    fork.signal("TERM");
    assert_eq!(fork.end().await.0.code(), Some(143));
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let [tape] = &files[..] else { panic!("one tape: {files:?}") };
    let [parent, branch] = [Path::new(TAPE), tape].map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()
    });
    assert_eq!(branch["parent"], json!({"session": parent["session"], "seq": 3}));
    let verified = binary::command().args(["tape", "verify"]).arg(tape).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && said.contains("sealed, unchanged"), "{said}");
    let branch = std::fs::read_to_string(tape).unwrap();
    let (played, new) = branch.split_once(r#"{"mark":"seam""#).expect(&branch);
    assert!(played.contains("initialize") && !played.contains("\"mine\"") && new.contains("\"mine\""), "{branch}");
    let is_injected = |line: &str| line.contains(r#""verdict":{"injected":"tapline"}"#);
    let of_client =
        |part: &str| part.lines().filter(|line| line.contains(r#""dir":"c2s""#)).map(is_injected).collect::<Vec<_>>();
    assert_eq!(
        (of_client(played).contains(&false), of_client(new)),
        (false, vec![false]),
        "its client's own: {branch}"
    );
}

/// Whoever reads that there is a branch may end it at once: signals are heard before, also while it is played.
#[test]
fn branch_that_is_told_to_end_while_it_is_played_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let record = ["--until", "3", "--interactive", "--record", dir.path().to_str().unwrap()];
    let script = "read -r line; kill -s TERM $PPID; exec cat >/dev/null";
    let output = replay(Path::new(TAPE), &record, &["sh", "-c", script]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), told.contains("played to")), (Some(143), false), "{told}");
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let tape = std::fs::read_to_string(&files[0]).unwrap();
    assert!(tape.contains("\"initialize\"") && tape.contains(r#""mark":"end""#), "{tape}");
}

#[test]
fn part_of_a_tape_in_which_nothing_is_has_not_passed() {
    for part in [&["--from", "999"][..], &["--from", "9", "--until", "8"]] {
        let output = replay(Path::new(TAPE), &[&["--speed", "max"], part].concat(), &demo_server(&[]));
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), told.contains("there is nothing to play")), (Some(1), true), "{told}");
    }
    let output = replay(Path::new(TAPE), &["--interactive", "--until", "999"], &demo_server(&[]));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), told.contains("the last message of the tape is #")), (Some(2), true), "{told}");
}

/// A tape on which nobody answered `initialize`; `end`: how its session ended.
fn unanswered(dir: &Path, end: &str) -> PathBuf {
    let text = std::fs::read_to_string(TAPE).unwrap();
    let path = dir.join("unanswered.tape.jsonl");
    std::fs::write(&path, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>() + end).unwrap();
    path
}

#[test]
fn server_that_ends_before_it_answers_fails_unless_it_did_so_on_the_tape() {
    let dir = tempfile::tempdir().unwrap();
    let ends = ["sh", "-c", "read x; exit 3"];
    for server in [&["true"][..], &ends] {
        let output = replay(&unanswered(dir.path(), ""), &["--speed", "max"], server);
        let (status, said) = (output.status.code(), stdout(&output));
        assert!(
            status == Some(1) && said.contains("FAIL  initialize") && said.contains("0 passed, 1 failed"),
            "{said}"
        );
    }
    let gone = r#"{"mark":"end","at":9,"reason":"its server is gone: `srv` ended with status 3"}"#;
    let output = replay(&unanswered(dir.path(), gone), &["--speed", "max"], &ends);
    let said = stdout(&output);
    assert!(output.status.code() == Some(0) && said.contains("when this was recorded, too: `sh -c"), "{said}");
    // One that says nothing, as the one on the tape.
    let output = replay(&unanswered(dir.path(), ""), &["--speed", "max"], &["cat"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn timeout_is_how_long_a_reply_may_take() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("two.tape.jsonl");
    let text = std::fs::read_to_string(TAPE).unwrap();
    let quick = regex::Regex::new(r#""dt":\d+"#).unwrap().replace_all(&text, "\"dt\":1").into_owned();
    std::fs::write(&path, quick.lines().take(4).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let options = ["--speed", "max", "--timeout", "300ms"];
    let output = replay(&path, &options, &["sh", "-c", "while read x; do :; done"]);
    let said = stdout(&output);
    assert!(output.status.code() == Some(1) && said.contains("no reply within 30"), "{said}");
    let output = replay(&path, &["--timeout", "0"], &["cat"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn report_that_cannot_be_written_is_told_before_anything_is_played() {
    let dir = tempfile::tempdir().unwrap();
    let (played, file) = (dir.path().join("played"), dir.path().join("file"));
    std::fs::write(&file, "as it was, and long enough to be seen").unwrap();
    let server = format!("touch {}", played.display());
    for form in ["text", "junit", "html"] {
        let below = file.join("below");
        let output =
            replay(Path::new(TAPE), &["--report", form, "--out", below.to_str().unwrap()], &["sh", "-c", &server]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.contains("cannot write the report to")), (Some(2), true), "{told}");
    }
    assert!(!played.exists(), "nothing was started");
    // Where there is nothing to report, what was there stays.
    let out = ["--out", file.to_str().unwrap()];
    let output = replay(&dir.path().join("none"), &out, &["cat"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was, and long enough to be seen");
    let options = [&out[..], &["--speed", "max"]].concat();
    let output = replay(Path::new(TAPE), &options, &demo_server(&[]));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(output.status.code() == Some(0) && text.starts_with("    1  pass  initialize"), "{text}");
}

#[test]
fn report_is_a_page_that_needs_no_network() {
    let options = ["--speed", "max", "--report", "html"];
    let output = replay(Path::new(TAPE), &options, &demo_server(&["--changed"]));
    let page = stdout(&output);
    assert!(output.status.code() == Some(1) && page.starts_with("<!doctype html>"), "{page}");
    assert!(page.trim_end().ends_with("</html>") && !page.contains("src=\"http"), "{page}");
    let (_, data) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(data["summary"]["failed"], 1, "{data}");
    let load = replay(Path::new(TAPE), &["--repeat", "2", "--report", "html"], &demo_server(&[]));
    assert_eq!(load.status.code(), Some(2), "a table of times has no page");
}

#[test]
fn record_keeps_secrets_where_that_is_asked_for_and_follows_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("tapline.toml");
    std::fs::write(&settings, "[redact]\nkeys = [\"city\"]\n").unwrap();
    let recorded = |more: &[&str]| {
        let tapes = tempfile::tempdir_in(dir.path()).unwrap();
        let mut command = binary::command();
        command.current_dir(dir.path()).args(["replay", TAPE, "--speed", "max", "--record"]).arg(tapes.path());
        let output = command.args(more).arg("--").args(demo_server(&[])).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let file = std::fs::read_dir(tapes.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::read_to_string(file).unwrap()
    };
    let (redacted, kept) = (recorded(&[]), recorded(&["--no-redact"]));
    assert!(
        !redacted.contains(r#""city":"Lisbon""#) && redacted.contains(r#""redaction":["headers","bodies""#),
        "{redacted}"
    );
    assert!(kept.contains(r#""city":"Lisbon""#) && kept.contains(r#""unredacted":true"#), "{kept}");
    let alone = replay(Path::new(TAPE), &["--no-redact"], &["cat"]);
    assert_eq!(alone.status.code(), Some(2), "nothing is recorded");
}

#[test]
fn path_that_is_none_is_told_and_nothing_is_played() {
    for path in ["foo bar", "/result/content", "$.result", ".result,.id", ""] {
        let output = replay(Path::new(TAPE), &["--ignore", path], &["cat"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains("is not a path such as"), "{told}");
    }
}
