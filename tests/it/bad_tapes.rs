//! Tapes that are not as they should be, in front of every command that takes one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::support::binary::command;

/// Runs tapline to the end; gives status, stdout and stderr.
fn tapline(arguments: &[&str]) -> (i32, String, String) {
    // Whichever taplines run beside the test, none records these tapes.
    let alone = TempDir::new().unwrap();
    let mut command = command();
    command.args(arguments).env("TAPLINE_RUNTIME_DIR", alone.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Output { status, stdout, stderr } = output;
    (status.code().unwrap(), text(&stdout), text(&stderr))
}

fn demo() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/demo.tape.jsonl")).unwrap()
}

/// A directory with the demo's tape, packed.
fn packed() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let plain = dir.path().join("a.tape.jsonl");
    fs::write(&plain, demo()).unwrap();
    assert_eq!(tapline(&["tape", "pack", plain.to_str().unwrap()]).0, 0);
    (dir, plain.with_extension("jsonl.zst"))
}

const CUT: &str = "the packed file is cut here";

#[test]
fn tape_packed_and_cut_is_read_as_far_as_its_blocks_are_whole() {
    let (_dir, path) = packed();
    let (bytes, demo) = (fs::read(&path).unwrap(), demo());
    let mut most = 0;
    for cut in (1..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        fs::write(&path, &bytes[..cut]).unwrap();
        let given = path.to_str().unwrap();
        let (status, shown, told) = tapline(&["tape", "show", "--json", given]);
        let messages: Vec<_> = shown.lines().collect();
        let whole = demo.lines().filter(|line| line.starts_with("{\"seq\"")).take(messages.len());
        assert_eq!(messages, whole.collect::<Vec<_>>(), "cut at {cut}");
        if status == 2 {
            // Too short for a first line, or for what says that it is packed.
            assert!(messages.is_empty() && cut < 1500, "cut at {cut}: {told}");
            continue;
        }
        let (status, verified, _) = tapline(&["tape", "verify", given]);
        assert!(status == 1 && verified.contains(CUT), "cut at {cut}: {status} {verified}");
        most = most.max(messages.len());
    }
    assert_eq!(most, demo.lines().filter(|line| line.starts_with("{\"seq\"")).count(), "only the sum was cut off");
}

#[test]
fn tape_packed_and_cut_says_so_in_every_command() {
    let (dir, path) = packed();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() * 4 / 5]).unwrap();
    let (given, server) = (path.to_str().unwrap(), env!("CARGO_BIN_EXE_tapline"));
    let copy = dir.path().join("copy.tape.jsonl");
    for (arguments, status, stands) in [
        (&["tape", "ls", dir.path().to_str().unwrap()][..], 0, "tapline-demo 1.0.0"),
        (&["tape", "show", given], 0, "tools/call"),
        (&["tape", "verify", given], 1, "FAIL"),
        (&["tape", "export", given, "--format", "markdown"], 0, "get_forecast"),
        (&["tape", "diff", given, given], 2, ""),
        (&["tape", "redact", given, "--out", copy.to_str().unwrap()], 1, "values replaced"),
        (&["lint", given], 1, "findings"),
        (&["replay", given, "--speed", "max", "--", server, "__demo-server"], 1, "0 failed"),
        (&["tape", "note", given, "x"], 1, ""),
        (&["tape", "pack", "--undo", given], 1, "a.tape.jsonl"),
    ] {
        let (ended, said, told) = tapline(arguments);
        assert_eq!(ended, status, "{arguments:?}: {said}{told}");
        assert!(said.contains(stands), "{arguments:?}: {said}");
        assert!(format!("{said}{told}").contains(CUT), "{arguments:?}: {said}{told}");
    }
    assert_eq!(fs::read(&path).unwrap().len(), bytes.len() * 4 / 5, "what was cut is kept as it is");
    // What was whole is a tape of its own now.
    let plain = dir.path().join("a.tape.jsonl");
    let text = fs::read_to_string(&plain).unwrap();
    assert!(demo().starts_with(&text) && text.lines().count() > 20, "{text}");
    assert!(copy.exists());
}

#[test]
fn tape_packed_and_damaged_is_read_up_to_there() {
    let (_dir, path) = packed();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle..middle + 40].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let given = path.to_str().unwrap();
    let (status, said, _) = tapline(&["tape", "show", given]);
    assert!(status == 0 && said.contains("tools/call"), "{said}");
    let (status, said, _) = tapline(&["tape", "verify", given]);
    assert!(status == 1 && said.contains("the packed file is damaged here"), "{said}");
}

/// The demo's tape with its lines changed, under a name of its own.
fn with_lines(dir: &TempDir, name: &str, change: impl Fn(usize, &str) -> String) -> String {
    let text: String = demo().lines().zip(1..).map(|(line, at)| change(at, line) + "\n").collect();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn search_says_which_lines_it_could_not_read() {
    let dir = TempDir::new().unwrap();
    let whole = with_lines(&dir, "whole.tape.jsonl", |_, line| line.to_owned());
    let damaged = with_lines(&dir, "damaged.tape.jsonl", |at, line| match at {
        5 | 9 => line[..line.len() / 2].to_owned(),
        _ => line.to_owned(),
    });
    let torn = dir.path().join("torn.tape.jsonl");
    fs::write(&torn, &demo()[..demo().len() - 40]).unwrap();
    let torn = torn.to_str().unwrap();
    // With a word, without one, and with what needs the whole tape.
    for query in ["Lisbon", "~m tools/call", "~m tools/call | ~lint x", "~m no/such"] {
        let is_there = !query.contains("no/such");
        let (status, found, told) = tapline(&["search", query, &whole]);
        assert_eq!((status, found.is_empty(), told.as_str()), (i32::from(!is_there), !is_there, ""), "{query}");
        let (status, found, told) = tapline(&["search", query, &damaged, &whole]);
        assert_eq!((status, found.is_empty()), (2, !is_there), "{query}: there may be more: {told}");
        let expected = format!("tapline: {damaged}: line 5: ");
        assert!(told.starts_with(&expected) && told.contains("2 lines cannot be read, this is the first"), "{told}");
        let (status, _, told) = tapline(&["search", query, torn]);
        assert!(status == 2 && told.contains("torn: as") | told.contains("the last line is torn"), "{query}: {told}");
    }
    let (status, _, told) = tapline(&["search", "x", dir.path().join("nosuch").to_str().unwrap()]);
    assert_eq!(status, 2, "{told}");
}

#[test]
fn import_of_a_tape_says_that_it_is_one() {
    let (dir, packed) = packed();
    let plain = with_lines(&dir, "b.tape.jsonl", |_, line| line.to_owned());
    for file in [packed.to_str().unwrap(), &plain] {
        let (status, _, told) = tapline(&["tape", "import", file]);
        assert!(status == 2 && told.contains("it is a tape already, which every command reads as it is"), "{told}");
    }
    let other = dir.path().join("x.zst");
    fs::write(&other, b"\x28\xb5\x2f\xfd\x04\x00\x11\x00\x00xy\x00\x00\x00\x00").unwrap();
    let (status, _, told) = tapline(&["tape", "import", other.to_str().unwrap()]);
    assert!(status == 2 && told.contains("it is packed by zstd"), "{told}");
}

/// What may have been on a line that cannot be read is not found to be missing.
#[test]
fn lint_finds_nothing_missing_that_a_damaged_line_may_have_said() {
    let dir = TempDir::new().unwrap();
    let whole = demo();
    let at = whole.lines().position(|line| line.contains("\"method\":\"notifications/initialized\"")).unwrap() + 1;
    let without = with_lines(&dir, "without.tape.jsonl", |line, text| match line == at {
        true => String::new(),
        false => text.to_owned(),
    });
    let damaged = with_lines(&dir, "damaged.tape.jsonl", |line, text| match line == at {
        true => text[..text.len() / 2].to_owned(),
        false => text.to_owned(),
    });
    let (_, found, _) = tapline(&["lint", &without]);
    assert!(found.contains("never-initialized"), "{found}");
    let (status, found, told) = tapline(&["lint", &damaged]);
    assert!(status == 1 && !found.contains("never-initialized"), "{found}");
    assert!(told.contains(&format!("line {at}: ")), "{told}");
}

#[test]
fn tape_with_a_line_that_cannot_be_read_says_what_that_means() {
    let dir = TempDir::new().unwrap();
    let damaged = with_lines(&dir, "damaged.tape.jsonl", |at, line| match at {
        7 => line.replacen("\"msg\":", "\"msg\":,\"password\":\"correct-horse\"", 1),
        _ => line.to_owned(),
    });
    let out = dir.path().join("out.tape.jsonl");
    let (status, _, told) = tapline(&["tape", "redact", &damaged, "--out", out.to_str().unwrap()]);
    assert!(status == 1 && told.contains("line 7: ") && told.contains("no secret was looked for there"), "{told}");
    let (status, _, told) = tapline(&["tape", "baseline", &damaged]);
    assert!(status == 0 && told.contains("line 7: ") && told.contains("what was listed there is not known"), "{told}");
    let (_, shown, told) = tapline(&["tape", "show", "--json", &damaged]);
    assert!(shown.lines().all(|line| line.starts_with('{')) && told.contains("line 7: "), "{told}");
}

#[test]
fn tape_whose_lines_are_in_another_order_is_found_to_be() {
    let dir = TempDir::new().unwrap();
    let lines: Vec<_> = demo().lines().map(str::to_owned).collect();
    let reversed: Vec<_> = lines[..1].iter().chain(lines[1..].iter().rev()).cloned().collect();
    let path = dir.path().join("reversed.tape.jsonl");
    fs::write(&path, reversed.join("\n") + "\n").unwrap();
    let (status, said, _) = tapline(&["tape", "verify", path.to_str().unwrap()]);
    assert!(status == 1 && said.contains("stands behind its answer, line "), "{said}");
}

/// Messages of several connections may overtake each other by a moment, and those that were held by any time.
#[test]
fn tape_without_a_seal_on_which_a_message_stands_behind_a_later_one_is_found_out() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.tape.jsonl");
    let header = demo().lines().next().unwrap().to_owned();
    for (late, rest, is_found) in
        [(3_000_000, "", true), (500_000, "", false), (3_000_000, r#","held":2900000"#, false)]
    {
        let line = |seq, at, rest| {
            let message = r#""msg":{"jsonrpc":"2.0","method":"x"}"#;
            format!(
                "\n{{\"seq\":{seq},\"at\":{at},\"dir\":\"c2s\",\"via\":\"stdio\",\"kind\":\"notification\",\"method\":\"x\"{rest},{message}}}"
            )
        };
        fs::write(&path, format!("{header}{}{}{}\n", line(1, 0, ""), line(3, late, ""), line(2, 10, rest))).unwrap();
        let (status, said, _) = tapline(&["tape", "verify", path.to_str().unwrap()]);
        let is_told = said.contains("line 4: message #2 stands behind #3, which came later");
        assert_eq!((status, is_told), (i32::from(is_found), is_found), "{late}{rest}: {said}");
    }
}

/// Where a program has as many lines that cannot be read as lines, the first are named.
#[test]
fn damaged_lines_are_named_up_to_a_hundred() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.tape.jsonl");
    let header = demo().lines().next().unwrap().to_owned();
    fs::write(&path, header + "\n" + &"{\"seq\":\n".repeat(250)).unwrap();
    let (status, _, told) = tapline(&["lint", path.to_str().unwrap()]);
    assert!(status == 1 && told.lines().count() == 101 && told.contains("150 lines more cannot be read"), "{told}");
}

/// What has to be read twice is no pipe; nothing waits for one.
#[test]
fn tape_in_a_pipe_is_read_once_or_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("pipe.tape.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let given = path.to_str().unwrap();
    for arguments in [
        &["tape", "verify", given][..],
        &["tape", "redact", given],
        &["tape", "note", given, "x"],
        &["tape", "rm", given],
    ] {
        let (status, _, told) = tapline(arguments);
        assert!(matches!(status, 1 | 2) && told.contains("it is a pipe, and has to be read more than once"), "{told}");
    }
    for (arguments, expected) in
        [(&["tape", "show", given][..], 0), (&["lint", given], 0), (&["mock", given, "--stdio"], 2)]
    {
        let pipe = path.clone();
        let writing = std::thread::spawn(move || fs::write(pipe, demo()));
        let (status, said, told) = tapline(arguments);
        assert_eq!(status, expected, "{arguments:?}: {said}{told}");
        assert!(expected == 0 || told.contains("it is a pipe"), "{told}");
        // Whoever has read enough hangs up.
        drop(writing.join().unwrap());
    }
}

#[test]
fn pipe_that_is_called_like_a_tape_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.tape.jsonl"), demo()).unwrap();
    let pipe = dir.path().join("b.tape.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let place = dir.path().to_str().unwrap();
    let (status, listed, _) = tapline(&["tape", "ls", place]);
    assert_eq!(
        (status, listed.lines().filter(|line| line.contains("tape.jsonl") || line.contains('a')).count() > 0),
        (0, true)
    );
    assert_eq!(tapline(&["search", "~m tools/call", place]).0, 0);
    let (status, told, _) = tapline(&["tape", "--tapes", place, "rm", "--over", "1000"]);
    assert_eq!((status, told.as_str()), (0, "nothing to remove\n"));
    assert!(pipe.exists());
}

#[test]
fn place_that_cannot_be_looked_into_is_no_place_without_tapes() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let (file, below) = (file.to_str().unwrap(), file.join("a.tape.jsonl"));
    let below = below.to_str().unwrap();
    for arguments in [
        &["tape", "show", below][..],
        &["tape", "ls", below],
        &["search", "x", below],
        &["tape", "--tapes", file, "ls"],
        &["tape", "--tapes", file, "rm", "--over", "1"],
        &["search", "x", "--tapes", file],
    ] {
        let (status, _, told) = tapline(arguments);
        assert_eq!((status, told.contains("cannot read"), told.contains("ot a directory")), (2, true, true), "{told}");
    }
}

#[test]
fn replay_that_cannot_be_recorded_says_so() {
    let dir = TempDir::new().unwrap();
    let (tape, file) = (dir.path().join("a.tape.jsonl"), dir.path().join("file"));
    fs::write(&tape, demo()).unwrap();
    fs::write(&file, "").unwrap();
    let below = file.join("tapes");
    let arguments = ["replay", tape.to_str().unwrap(), "--record", below.to_str().unwrap(), "--speed", "max", "--"];
    let (status, _, told) = tapline(&[&arguments[..], &[env!("CARGO_BIN_EXE_tapline"), "__demo-server"]].concat());
    assert_eq!((status, told.contains("`--record`")), (1, true), "{told}");
}

#[test]
fn tape_is_found_by_a_part_of_its_name_wherever_one_is_taken() {
    let (dir, packed) = packed();
    let place = dir.path().to_str().unwrap();
    for arguments in [
        &["tape", "show", "a.tape"][..],
        &["tape", "verify", "a.tape"],
        &["tape", "pack", "--undo", "a.tape"],
        &["tape", "pack", "a.tape"],
        &["tape", "note", "a.tape", "seen"],
        &["tape", "rm", "a.tape"],
    ] {
        let (status, _, told) = tapline(&[arguments, &["--tapes", place]].concat());
        assert_eq!((status, told.as_str()), (0, ""), "{arguments:?}");
    }
    assert!(!packed.exists());
}

#[test]
fn replay_finds_an_upstream_by_its_name() {
    let dir = TempDir::new().unwrap();
    let (tape, config) = (dir.path().join("a.tape.jsonl"), dir.path().join("tapline.toml"));
    fs::write(&tape, demo()).unwrap();
    let server = env!("CARGO_BIN_EXE_tapline");
    fs::write(config, format!("[upstreams.demo]\ncommand = [\"{server}\", \"__demo-server\"]\n")).unwrap();
    let replay = |name: &str| {
        let mut command = command();
        command.args(["replay", tape.to_str().unwrap(), "--speed", "max", "--upstream", name]);
        command.current_dir(dir.path()).stdin(Stdio::null()).output().unwrap()
    };
    let output = replay("demo");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = replay("dem");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("`dem` is neither a URL nor an upstream"), "{told}");
}
