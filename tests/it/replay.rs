//! `tapline replay` as a user runs it, with the tape that comes with tapline.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

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
    let output = replay(Path::new(TAPE), &[], &["there-is-no-such-command"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.starts_with("tapline: ") && told.contains("`there-is-no-such-command`"), "{told}");
}

#[test]
fn unreadable_tape_exits_2_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(TAPE).unwrap();
    let newer = text.replacen(r#"{"tapline":1,"version":"0.1.0""#, r#"{"tapline":99,"version":"7.0.0""#, 1);
    for (name, content, expected) in [
        ("missing", None, "cannot read"),
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

#[test]
fn long_tape_says_at_once_how_far_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let tape = dir.path().join("endless.tape.jsonl");
    assert!(Command::new("mkfifo").arg(&tape).status().unwrap().success());
    // Its beginning is there, and the rest does not come while this is open.
    let mut pipe = OpenOptions::new().read(true).write(true).open(&tape).unwrap();
    let beginning = std::fs::read(TAPE).unwrap();
    pipe.write_all(&beginning[..4096]).unwrap();
    let terminal = Terminal::start(&["replay", tape.to_str().unwrap(), "--", "cat"]);
    terminal.wait_for("reading the tape: ");
}
