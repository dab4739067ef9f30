//! Which tape is meant by what a person gives, and what is there already under a name that is given to a new one.

use std::fs;
use std::path::Path;

use assert_cmd::assert::OutputAssertExt as _;
use tempfile::TempDir;

use crate::support::binary::command;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

/// Runs it in a directory; gives status and all that is said.
fn tapline(dir: &Path, arguments: &[&str]) -> (i32, String) {
    let assert = command().current_dir(dir).args(arguments).assert();
    let output = assert.get_output();
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

/// `tapline tape`, wherever that is.
fn run_tape(arguments: &[&str]) -> (i32, String) {
    tapline(Path::new("."), &[&["tape"], arguments].concat())
}

fn demo() -> String {
    fs::read_to_string(DEMO).unwrap()
}

/// One text for a tape that is not there, whichever command was to read it.
#[test]
fn tape_that_is_not_there_is_told_in_one_way() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        &["lint", "nosuch"][..],
        &["mock", "nosuch"],
        &["replay", "nosuch", "--", "cat"],
        &["search", "x", "nosuch"],
        &["tape", "show", "nosuch"],
        &["tape", "diff", "nosuch", "nosuch"],
        &["tape", "verify", "nosuch"],
        &["tape", "export", "nosuch", "--format", "har"],
    ] {
        let output = command().current_dir(&dir).args(words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            told, "tapline: there is no tape nosuch; `tapline tape ls` lists those that are kept\n",
            "{words:?}"
        );
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn tape_that_is_read_is_not_what_is_written() {
    let place = TempDir::new().unwrap();
    let (tape, link) = (place.path().join("t.tape.jsonl"), place.path().join("link.txt"));
    let demo = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl")).unwrap();
    fs::write(&tape, &demo).unwrap();
    std::os::unix::fs::symlink(&tape, &link).unwrap();
    let (tape, link) = (tape.to_str().unwrap(), link.to_str().unwrap());
    for command in [
        &["lint", tape, "--out", link][..],
        &["tape", "export", tape, "--format", "markdown", "--out", link],
        &["tape", "diff", tape, tape, "--out", tape],
        &["tape", "baseline", tape, "--out", tape],
        &["tape", "minimise", tape, "--fails", "~e", "--out", tape, "--", "cat"],
        &["replay", tape, "--report", "html", "--out", link, "--", "cat"],
    ] {
        let output = crate::support::binary::command().args(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("is the tape that is read"), "{command:?}: {said}");
        assert_eq!(fs::read(tape).unwrap(), demo, "{command:?}");
    }
    let beside = place.path().join("t-redacted.tape.jsonl");
    std::os::unix::fs::symlink(tape, &beside).unwrap();
    for arguments in [&["redact", tape, "--out", tape][..], &["redact", tape, "--out", link], &["redact", tape]] {
        let (status, said) = run_tape(arguments);
        assert!(status == 2 && said.contains("is the tape itself; `--in-place` redacts it where it is"), "{said}");
        assert_eq!(fs::read(tape).unwrap(), demo, "{arguments:?}");
    }
    assert_eq!(run_tape(&["redact", link, "--in-place"]).0, 0, "a link to it may be given");
}

#[test]
fn part_of_the_name_of_a_tape_is_enough_for_every_command() {
    let place = TempDir::new().unwrap();
    let tapes = place.path().join("kept");
    fs::create_dir(&tapes).unwrap();
    fs::create_dir(place.path().join("tapline")).unwrap();
    fs::write(place.path().join("tapline/config.toml"), format!("tapes = {tapes:?}\n")).unwrap();
    let kept = tapes.join("2026-booking-4f1c.tape.jsonl");
    fs::write(&kept, demo()).unwrap();
    let said_with = |variable: &str, value: &Path, arguments: &[&str]| {
        let output = command().env(variable, value).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    };
    let said = |arguments: &[&str]| said_with("XDG_CONFIG_HOME", place.path(), arguments);
    let server = [env!("CARGO_BIN_EXE_tapline"), "__demo-server"];
    for arguments in [
        &["lint", "4f1c"][..],
        &["mock", "4f1c", "--stdio", "--no-control"],
        &["replay", "4f1c", "--speed", "max", "--", server[0], server[1]],
        &["tape", "show", "4f1c"],
    ] {
        for (status, said) in [said(arguments), said_with("TAPLINE_TAPES", &tapes, arguments)] {
            assert!(status.is_some_and(|it| it < 2) && !said.contains("there is no tape"), "{arguments:?}: {said}");
        }
    }
    let out = kept.to_str().unwrap();
    for arguments in [&["lint", "4f1c", "--out", out][..], &["replay", "4f1c", "--out", out, "--", "cat"]] {
        let (status, said) = said(arguments);
        assert!(status == Some(2) && said.contains("is the tape that is read"), "{arguments:?}: {said}");
    }
    fs::copy(&kept, tapes.join("2027-booking-4f1c.tape.jsonl")).unwrap();
    for arguments in [&["lint", "4f1c", "2026"][..], &["mock", "4f1c"], &["replay", "4f1c", "--", "cat"]] {
        let (status, said) = said(arguments);
        assert!(status == Some(2) && said.contains("give more of the name"), "{arguments:?}: {said}");
    }
}

#[test]
fn tape_is_never_written_over() {
    let place = TempDir::new().unwrap();
    let (dir, server) = (place.path(), env!("CARGO_BIN_EXE_tapline"));
    for name in ["a", "b", "a-redacted", "a-minimal"] {
        fs::copy(DEMO, dir.join(format!("{name}.tape.jsonl"))).unwrap();
    }
    fs::write(dir.join("a.tape.jsonl.zst"), "not ours").unwrap();
    fs::write(dir.join("other.txt"), "not ours").unwrap();
    assert_eq!(tapline(dir, &["tape", "export", DEMO, "--format", "har", "--out", "other.har"]).0, 0);
    let all = || {
        let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = all();
    let minimise = ["tape", "minimise", "a.tape.jsonl", "--fails", "~tool get_forecast"];
    for words in [
        &["tape", "redact", "a.tape.jsonl"][..],
        &["tape", "redact", "a.tape.jsonl", "--out", "b.tape.jsonl"],
        &["tape", "redact", "a.tape.jsonl", "--out", "other.txt"],
        &["tape", "rename", "a.tape.jsonl", "b"],
        &["tape", "pack", "a.tape.jsonl"],
        &["tape", "import", "other.har", "--out", "b.tape.jsonl"],
        &[&minimise[..], &["--", server, "__demo-server"]].concat(),
        &[&minimise[..], &["--out", "b.tape.jsonl", "--", server, "__demo-server"]].concat(),
    ] {
        let (status, said) = tapline(dir, words);
        assert!(
            status == 1 && said.contains("is there already, and is not written over; take another name"),
            "{words:?}: {status} {said}"
        );
    }
    // What is no tape is written over, but none of these.
    for words in [
        &["tape", "export", "a.tape.jsonl", "--format", "jsonl", "--out", "b.tape.jsonl"][..],
        &["tape", "diff", "a.tape.jsonl", DEMO, "--out", "b.tape.jsonl"],
        &["tape", "baseline", "a.tape.jsonl", "--out", "b.tape.jsonl"],
        &["lint", "a.tape.jsonl", "--out", "b.tape.jsonl"],
        &["replay", "a.tape.jsonl", "--out", "b.tape.jsonl", "--", server, "__demo-server"],
    ] {
        let (status, said) = tapline(dir, words);
        assert!(status == 2 && said.contains("is a tape, and would be lost; take another name"), "{words:?}: {said}");
    }
    assert!(all() == before, "all are as they were");
    let made = ["tape", "redact", "a.tape.jsonl", "--out", "new/shared.tape.jsonl"];
    assert!(tapline(dir, &made).0 == 0 && dir.join("new/shared.tape.jsonl").exists(), "its directory is made");
}

#[test]
fn directory_does_not_hide_a_tape_of_its_name() {
    let place = TempDir::new().unwrap();
    let (kept, here) = (place.path().join("kept"), place.path().join("here"));
    fs::create_dir(&kept).unwrap();
    fs::create_dir_all(here.join("booking")).unwrap();
    fs::create_dir_all(here.join("empty")).unwrap();
    for name in ["booking", "booking-redacted"] {
        fs::copy(DEMO, kept.join(format!("{name}.tape.jsonl"))).unwrap();
    }
    let run = |words: &[&str]| {
        let assert = command().env("TAPLINE_TAPES", &kept).current_dir(&here).args(words).assert();
        let output = assert.get_output();
        let said = [&output.stdout[..], &output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    };
    for words in [
        &["tape", "show", "booking"][..],
        &["tape", "verify", "booking"],
        &["tape", "diff", "booking", "booking-r"],
        &["replay", "booking", "--speed", "max", "--", env!("CARGO_BIN_EXE_tapline"), "__demo-server"],
    ] {
        let (status, said) = run(words);
        assert!(status == 0 && !said.contains("directory"), "{words:?}: {said}");
    }
    let (status, said) = run(&["tape", "show", "book"]);
    assert!(status == 2 && said.contains("may be each of"), "{said}");
    let (status, said) = run(&["tape", "show", "empty"]);
    assert!(status == 2 && said.contains("cannot read empty: Is a directory"), "{said}");
    // These take directories.
    assert_eq!(run(&["search", "~m initialize", "booking"]).0, 1, "no tape is in it");
    assert_eq!(run(&["search", "~m initialize", "booking-r"]).0, 0);
}

#[test]
fn packed_tape_is_not_extended() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.tape.jsonl");
    fs::copy(DEMO, &path).unwrap();
    assert_eq!(run_tape(&["pack", path.to_str().unwrap()]).0, 0);
    let packed = dir.path().join("a.tape.jsonl.zst");
    let before = fs::read(&packed).unwrap();
    let server = [env!("CARGO_BIN_EXE_tapline"), "__demo-server"];
    let words = [&["mock", packed.to_str().unwrap(), "--stdio", "--record", "--"][..], &server].concat();
    let (status, said) = tapline(dir.path(), &words);
    assert!(status == 2 && said.contains("`tapline tape pack --undo` makes it plain"), "{said}");
    assert_eq!(fs::read(&packed).unwrap(), before);
}
