//! `tapline tape`: what is said of tapes that are whole, torn, edited, packed, foreign, and what is done with them.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::assert::OutputAssertExt as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;
use tapline::envelope::Seq;
use tapline::event::{Annotation, MessageMark};
use tapline::tape::{Tape, care};
use tempfile::TempDir;

use crate::support::binary::command;

/// Runs `tapline tape` to the end; gives status, stdout and stderr.
fn tape(arguments: &[&str]) -> (i32, String, String) {
    let assert = command().arg("tape").args(arguments).assert();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn demo() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/demo.tape.jsonl")).unwrap()
}

/// A directory with the demo's tape, sealed.
fn sealed() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.tape.jsonl");
    fs::write(&path, demo()).unwrap();
    tape(&["pack", path.to_str().unwrap()]);
    let packed = dir.path().join("a.tape.jsonl.zst");
    assert_eq!(tape(&["pack", "--undo", packed.to_str().unwrap()]).0, 0);
    (dir, path)
}

fn verify(path: &Path) -> (i32, String) {
    let (status, stdout, stderr) = tape(&["verify", path.to_str().unwrap()]);
    (status, stdout + &stderr)
}

#[test]
fn tape_verify_finds_the_line_that_was_changed() {
    let (_dir, path) = sealed();
    let whole = fs::read_to_string(&path).unwrap();
    assert_eq!(verify(&path).0, 0, "{}", verify(&path).1);
    assert!(whole.starts_with(&demo()), "a seal changes no line");
    let lines: Vec<_> = whole.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    let with = |line: usize, text: &str| {
        let lines: Vec<&str> = lines.iter().enumerate().map(|(at, old)| if at == line { text } else { old }).collect();
        lines.join("\n") + "\n"
    };
    let edited = lines[11].replace("Lisbon", "Lisboa");
    for (text, finding) in [
        (with(11, &edited), "line 12 was changed"),
        (join(&[&lines[..11], &lines[12..]].concat()), "line 12: a line was taken out"),
        (join(&[&lines[..11], &[lines[2]], &lines[11..]].concat()), "line 12: a line was put in"),
        (
            join(&[&lines[..5], &[lines[6], lines[5]], &lines[7..]].concat()),
            "line 6 was changed since it was sealed, and another",
        ),
        (
            with(5, &lines[5].replacen("tools/list", "tools/call", 1)),
            "line 6: `method` says tools/call, the message says tools/list",
        ),
        (with(4, "hello"), "line 5: not a JSON object"),
        (with(4, lines[1]), "line 5: message #1 stands here a second time"),
        (whole[..whole.len() / 2].to_owned(), "torn"),
        (with(4, r#"{"mark":"gap","at":1,"messages":3}"#), "line 5: 3 messages are missing here"),
    ] {
        fs::write(&path, &text).unwrap();
        let (status, said) = verify(&path);
        assert!(status == 1 && said.contains(finding), "no `{finding}` in {status} {said}");
    }
    fs::write(&path, "{}\n").unwrap();
    let (status, said) = verify(&path);
    assert!(status == 2 && said.contains("its first line is not a tapline header"), "{said}");
}

#[test]
fn tape_recorded_is_sealed_at_its_end() {
    let dir = TempDir::new().unwrap();
    let tapes = dir.path().to_str().unwrap();
    command().args(["demo", "--headless", "--tapes", tapes]).assert().success();
    let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let (status, said) = verify(&path);
    assert!(status == 0 && said.contains("sealed, unchanged"), "{said}");
}

#[test]
fn tape_that_is_not_sealed_is_said_to_be_checked_in_its_form_only() {
    let (_dir, path) = sealed();
    let text = fs::read_to_string(&path).unwrap();
    let open: String =
        text.lines().filter(|line| !line.contains("\"mark\":\"seal\"")).map(|line| format!("{line}\n")).collect();
    assert_ne!(open, text);
    fs::write(&path, open.replace("Lisbon", "Madrid")).unwrap();
    let (status, said) = verify(&path);
    let expected = "not sealed, so only its form was checked: a value changed by hand is not noticed";
    assert!(status == 0 && said.contains(expected), "{status} {said}");
}

#[test]
fn tape_packed_is_read_as_a_plain_one_everywhere() {
    let (dir, path) = sealed();
    let plain = Tape::read(&path).unwrap();
    let (status, ..) = tape(&["pack", path.to_str().unwrap()]);
    let packed = dir.path().join("a.tape.jsonl.zst");
    assert!(status == 0 && !path.exists() && fs::metadata(&packed).unwrap().len() < 6_000);
    let read = Tape::read(&packed).unwrap();
    let raw = |tape: &Tape| tape.envelopes.iter().map(|it| it.message.raw().clone()).collect::<Vec<_>>();
    assert_eq!((raw(&read), read.troubles()), (raw(&plain), plain.troubles()));
    assert!(tape(&["ls", dir.path().to_str().unwrap()]).1.contains("tapline-demo 1.0.0"));
    let shown = tape(&["show", packed.to_str().unwrap(), "--filter", "~e"]).1;
    assert!(shown.contains("< E") && !shown.contains("initialize"), "{shown}");
    // A packed tape that is torn is read as far as it goes.
    let bytes = fs::read(&packed).unwrap();
    fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    let (status, said) = verify(&packed);
    assert!(status == 1 && said.contains("the packed file is cut here"), "{status} {said}");
}

#[test]
fn tape_replayed_from_a_packed_one_passes() {
    let (dir, path) = sealed();
    tape(&["pack", path.to_str().unwrap()]);
    let packed = dir.path().join("a.tape.jsonl.zst");
    let server = env!("CARGO_BIN_EXE_tapline");
    let assert =
        command().args(["replay", packed.to_str().unwrap(), "--speed", "max", "--", server, "__demo-server"]).assert();
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(said.contains("passed") && !said.contains("cannot be read"), "{said}");
}

#[test]
fn tape_show_begins_with_who_spoke_and_then_has_every_message() {
    let (_dir, path) = sealed();
    let given = path.to_str().unwrap();
    let (status, said, _) = tape(&["show", given]);
    // The header was written before the server had said who it is.
    assert!(!demo().lines().next().unwrap().contains(r#""server":"#), "{said}");
    let server = said.lines().find(|line| line.starts_with("server"));
    assert_eq!((status, server), (0, Some("server      tapline-demo 1.0.0")), "{said}");
    let seqs: Vec<u64> = said.lines().filter_map(|line| line.get(..6)?.trim().parse().ok()).collect();
    assert_eq!(seqs.len(), demo().matches("{\"seq\":").count(), "{said}");
    assert!(seqs.is_sorted(), "{seqs:?}");
}

#[test]
fn tape_ls_shows_branches_below_what_they_branched_off() {
    let (dir, path) = sealed();
    let text = fs::read_to_string(&path).unwrap();
    let session = "01a2097c-74ca-7690-a877-2a9c7b2466dc";
    let child = "01a2097c-74ca-7690-a877-2a9c7b246600";
    let branch = text.replacen(session, child, 1).replacen(
        r#""origin":"#,
        &format!(r#""parent":{{"session":"{session}","seq":11}},"origin":"#),
        1,
    );
    fs::write(dir.path().join("branch.tape.jsonl"), branch).unwrap();
    fs::write(dir.path().join("bad.tape.jsonl"), "nonsense").unwrap();
    let (status, listed, _) = tape(&["ls", dir.path().to_str().unwrap()]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!((status, lines.len()), (0, 4), "{listed}");
    assert!(
        lines[1].starts_with("a ") && lines[2].starts_with("└ branch") && lines[2].contains("from #11"),
        "{listed}"
    );
    assert!(lines[3].starts_with("bad") && lines[3].contains("not a tape"), "{listed}");
    let json = tape(&["ls", "--json", path.to_str().unwrap()]).1;
    let json: Value = serde_json::from_str(&json).unwrap();
    let failed = tape(&["show", path.to_str().unwrap(), "--filter", "~e", "--json"]).1.lines().count();
    assert!(failed > 0 && json["errors"] == failed, "{json}: `~e` finds {failed}");
    assert_eq!((json["messages"].as_u64(), json["tools"]["book_flight"].as_u64()), (Some(45), Some(2)));
}

#[test]
fn tape_note_rename_and_rm_find_a_tape_by_its_name() {
    let (dir, path) = sealed();
    let tapes = dir.path().to_str().unwrap();
    assert_eq!(tape(&["--tapes", tapes, "note", "a.tape", "fails since 2.1"]).0, 0);
    assert!(tape(&["--tapes", tapes, "ls"]).1.contains("“fails since 2.1”"));
    assert_eq!(verify(&path).0, 0, "{}", verify(&path).1);
    assert_eq!(tape(&["--tapes", tapes, "rename", "a.tape", "../x"]).0, 2);
    assert_eq!(tape(&["--tapes", tapes, "rename", "a.tape", "login-fails"]).0, 0);
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let (status, said, _) = tape(&["--tapes", tapes, "rm", "--older-than", "1h", "--dry-run"]);
    assert!(
        status == 0 && said.starts_with("kept login-fails: it has a note") && said.ends_with("nothing to remove\n"),
        "{said}"
    );
    assert_eq!(tape(&["rm", dir.path().join("notes.txt").to_str().unwrap()]).0, 1, "what is no tape stays");
    assert_eq!(tape(&["--tapes", tapes, "rm", "login-fails"]).1, "removed login-fails\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let (status, _, said) = tape(&["--tapes", tapes, "show", "nothing"]);
    assert!(status == 2 && said.contains("`tapline tape ls` lists"), "{said}");
}

#[test]
fn tape_redact_takes_secrets_out_and_keeps_the_rest() {
    let (dir, path) = sealed();
    // One that was not sealed yet: it is changed below.
    let text = demo();
    let text = text.replace(r#""city":"Lisbon""#, r#""city":"Lisbon","api_key":"abcd1234efgh""#);
    let text = text.replacen("A travel desk", "A desk for abcd1234efgh", 1);
    fs::write(&path, &text).unwrap();
    let (status, said, _) = tape(&["redact", path.to_str().unwrap(), "--path", ".params.clientInfo.name"]);
    assert!(status == 0 && said.contains("values replaced"), "{said}");
    let redacted = dir.path().join("a-redacted.tape.jsonl");
    let now = fs::read_to_string(&redacted).unwrap();
    assert!(
        !now.contains("abcd1234efgh") && text.matches("abcd1234efgh").count() == now.matches("[redacted:").count() - 1,
        "{now}"
    );
    assert!(now.lines().next().unwrap().contains(r#""redaction":["headers","bodies","path .params.clientInfo.name"]"#));
    assert_eq!(verify(&redacted).0, 0);
    let same = text.lines().zip(now.lines()).filter(|(a, b)| a == b).count();
    assert!(same > 35, "{same} lines are as they were");
}

#[test]
fn tape_redact_replaces_nothing_that_a_link_leads_to_or_that_is_no_file() {
    let (dir, path) = sealed();
    let [pipe, target, link] = ["pipe", "target.tape.jsonl", "link.tape.jsonl"].map(|it| dir.path().join(it));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let redact = |out: &Path| tape(&["redact", path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let (status, _, why) = redact(&pipe);
    assert!(status != 0 && why.contains("it is no regular file"), "{why}");
    assert!(!fs::symlink_metadata(&pipe).unwrap().is_file(), "it is the pipe still");
    let (status, _, why) = redact(&link);
    assert!(status == 1 && why.contains("is there already"), "{why}");
    assert_eq!((link.is_symlink(), fs::read_to_string(&target).unwrap().as_str()), (true, ""));
    assert_eq!(redact(&path.join("below")).0, 2, "that is tried first");
}

#[test]
fn tape_of_every_format_is_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats");
    let page = tape(&["format"]).1;
    for format in 1..=tapline::tape::FORMAT {
        let path = dir.join(format!("format-{format}.tape.jsonl"));
        assert!(page.contains(&format!("\n| {format} | ")), "{page}");
        let tape = Tape::read(&path).unwrap();
        assert_eq!((tape.header.format, tape.troubles()), (format, Vec::<String>::new()));
        assert_eq!(tape.envelopes.len(), 4, "{}", path.display());
    }
}

#[test]
fn tape_diff_and_baseline_end_as_their_help_says() {
    let (dir, path) = sealed();
    let other = dir.path().join("b.tape.jsonl");
    let (left, right) = (path.to_str().unwrap(), other.to_str().unwrap());
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&other, &text).unwrap();
    assert_eq!(tape(&["diff", left, right]).0, 0);
    fs::write(&other, text.replace("The weather of the next days", "All that is known, and")).unwrap();
    let (status, said, _) = tape(&["diff", left, right]);
    assert!(status == 1 && said.contains("~ changed tool get_forecast\n    .description  - \"The weather"), "{said}");
    let (status, said, _) = tape(&["diff", left, right, "--format", "junit"]);
    assert!(status == 1 && said.contains("failures=\"1\""), "{said}");
    assert_eq!(tape(&["diff", left, dir.path().join("none").to_str().unwrap()]).0, 2);
    // Of a directory, each tape is a repeat of the first.
    let repeats = dir.path().join("repeats");
    fs::create_dir(&repeats).unwrap();
    let given = repeats.to_str().unwrap();
    let (status, _, why) = tape(&["diff", left, given]);
    assert!(status == 2 && why.contains("there are no tapes in this directory"), "{why}");
    let slower = text.replace("\"dt\":", "\"dt\":99");
    for (name, text) in [("a", &text), ("b", &slower), ("c", &slower), ("d", &slower), ("e", &slower), ("f", &slower)] {
        fs::write(repeats.join(format!("{name}.tape.jsonl")), text).unwrap();
    }
    let (status, said, why) = tape(&["diff", left, given]);
    assert!(status == 0 && said.contains("0 differ"), "{said}");
    assert!(why.contains("calls are compared in a, times in all 6 tapes"), "{why}");
    // The directory one is in is no part of a name.
    let mut here = command();
    here.current_dir(&repeats).args(["tape", "--tapes"]).arg(dir.path()).args(["diff", ".", left]);
    let output = here.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let torn = dir.path().join("torn.tape.jsonl");
    fs::write(&torn, text.replacen("{\"seq\":3,", "{\"seq\"", 1)).unwrap();
    let (status, _, why) = tape(&["diff", left, torn.to_str().unwrap()]);
    assert!(status == 2 && why.contains("not compared"), "a damaged tape reads as if its server had lost tools: {why}");
    fs::write(&torn, &text[..text.len() - 9]).unwrap();
    let (status, said, why) = tape(&["diff", left, torn.to_str().unwrap()]);
    assert!(status == 2 && why.contains("torn") && said.contains("calls are the same"), "{said}{why}");
    let pinned = dir.path().join("tools.json");
    let pinned = pinned.to_str().unwrap();
    assert_eq!(tape(&["baseline", left, "--out", pinned]).0, 0);
    assert_eq!(tape(&["baseline", left, "--check", pinned]).0, 0);
    assert_eq!(tape(&["baseline", right, "--check", pinned]).0, 1);
    assert_eq!(tape(&["baseline", right, "--check", left]).0, 2);
    assert_eq!(tape(&["baseline", torn.to_str().unwrap(), "--check", pinned]).0, 2);
    let nowhere = dir.path().join("a.tape.jsonl").join("x");
    let export = &["export", left, "--format", "har"][..];
    for command in [&["diff", left, right][..], &["baseline", left], export, &["import", "no-such-file"]] {
        let (status, said, why) = tape(&[command, &["--out", nowhere.to_str().unwrap()]].concat());
        assert!(status == 2 && said.is_empty() && why.contains("cannot write "), "{command:?}: {said}{why}");
    }
}

#[test]
fn tape_export_and_import_come_back_the_same() {
    let (dir, path) = sealed();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (har, back) = (file("a.har"), file("back.tape.jsonl"));
    assert_eq!(tape(&["export", path.to_str().unwrap(), "--format", "har", "--out", &har]).0, 0);
    let (status, said, _) = tape(&["import", &har, "--out", &back]);
    assert!(status == 0 && said.contains("messages from har"), "{said}");
    assert_eq!(tape(&["import", &har, "--out", &back]).0, 1, "nothing is written over");
    assert_eq!(tape(&["import", path.to_str().unwrap(), "--out", &file("x")]).0, 2);
    let (status, said, _) = tape(&["diff", path.to_str().unwrap(), &back]);
    assert!(!said.contains("changed tools/call") && status <= 1, "{said}");
}

#[test]
fn times_have_a_unit_in_every_list() {
    let (dir, path) = sealed();
    let (dir, path) = (dir.path().to_str().unwrap(), path.to_str().unwrap());
    for arguments in [["tape", "show", path], ["search", "~r", dir]] {
        let assert = command().args(arguments).assert();
        let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        let times: Vec<_> =
            text.lines().filter_map(|line| line.split_once(" < R ")?.0.split_whitespace().last()).collect();
        assert!(!times.is_empty() && times.iter().all(|time| time.ends_with('s')), "{times:?}");
    }
}

#[test]
fn search_finds_messages_on_all_tapes() {
    let (dir, path) = sealed();
    tape(&["pack", path.to_str().unwrap()]);
    fs::write(dir.path().join("b.tape.jsonl"), demo()).unwrap();
    fs::write(dir.path().join("c.tape.jsonl"), "nonsense\n").unwrap();
    let search = |query: &str| {
        let assert = command().args(["search", query, dir.path().to_str().unwrap(), "--json"]).assert();
        let output = assert.get_output();
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.code().unwrap(), found, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let tape = Tape::read_from(Path::new("x"), demo().as_bytes()).unwrap();
    for query in [
        "~tool BOOK_FLIGHT",
        "book_flight",
        "~e",
        "~b lisbon",
        "~q & ~j .params.arguments.city = Lisbon",
        "~m tools/ & !~q",
        "~open",
        "~dur >100ms",
    ] {
        let filter = tapline::filter::Filter::parse(query).unwrap();
        let expected = tape.matching(&filter, tapline::event::Timestamp::now()).count();
        let (status, found, said) = search(query);
        assert_eq!((status, found.len()), (2, expected * 2), "{query}: there may be more on what cannot be read");
        assert!(said.contains("c.tape.jsonl is not a tape"), "{said}");
    }
    let (_, found, _) = search("~tool book_flight & ~q");
    assert!(found.iter().all(|it| it["line"].as_u64() > Some(1) && it["msg"]["method"] == "tools/call"), "{found:?}");
    assert_eq!(search("~nonsense(").0, 2);
}

/// A new pair of keys: the files of the private and of the public one.
fn keys(dir: &Path, name: &str) -> [String; 2] {
    let private = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
    // SubjectPublicKeyInfo of RFC 8410.
    let public = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", pair.public_key().as_ref()].concat();
    [("PRIVATE", private.as_ref()), ("PUBLIC", &public)].map(|(kind, der)| {
        let path = dir.join(format!("{name}-{kind}.pem"));
        fs::write(&path, format!("-----BEGIN {kind} KEY-----\n{}\n-----END {kind} KEY-----\n", STANDARD.encode(der)))
            .unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn tape_verify_writes_sarif_with_the_line() {
    let (_dir, path) = sealed();
    let report = || {
        let (status, text, _) = tape(&["verify", path.to_str().unwrap(), "--format", "sarif"]);
        let log: Value = serde_json::from_str(&text).unwrap();
        (status, log["runs"][0]["results"].as_array().unwrap().clone())
    };
    assert_eq!(report(), (0, vec![]));
    let mut lines: Vec<_> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
    lines[4] = "no JSON".to_owned();
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (status, results) = report();
    let place = |result: &Value| result["locations"][0]["physicalLocation"].clone();
    let found = results.iter().find(|it| place(it)["region"]["startLine"] == 5).expect("line 5 is named");
    assert_eq!((status, found["ruleId"].as_str(), found["level"].as_str()), (1, Some("tape-verify"), Some("error")));
    let uri = place(found)["artifactLocation"]["uri"].as_str().unwrap().to_owned();
    assert!(uri.ends_with("/a.tape.jsonl"), "{uri}");
}

#[test]
fn tape_baseline_writes_sarif_at_the_line_of_the_definition() {
    let dir = TempDir::new().unwrap();
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/demo.tape.jsonl")).unwrap();
    let was = dir.path().join("was.tape.jsonl");
    fs::write(&was, &demo).unwrap();
    let now = dir.path().join("now.tape.jsonl");
    fs::write(&now, demo.replace("Books a seat", "Books a seat, and sends your mail")).unwrap();
    let pinned = dir.path().join("tools.json");
    let [was, now, pinned] = [&was, &now, &pinned].map(|path| path.to_str().unwrap());
    assert_eq!(tape(&["baseline", was, "--out", pinned]).0, 0);
    let check = |of: &str| {
        let (status, text, _) = tape(&["baseline", of, "--check", pinned, "--format", "sarif"]);
        let log: Value = serde_json::from_str(&text).unwrap();
        (status, log["runs"][0]["results"].as_array().unwrap().clone())
    };
    assert_eq!(check(was), (0, vec![]));
    let (status, results) = check(now);
    let [found] = &results[..] else { panic!("one tool: {results:?}") };
    let line = found["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64().unwrap();
    let text = fs::read_to_string(pinned).unwrap();
    let named = text.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
    assert_eq!((status, named.trim().trim_end_matches(',')), (1, r#""name": "book_flight""#));
    let said = found["message"]["text"].as_str().unwrap();
    assert!(
        said.starts_with("tool book_flight is not what it was; .description was") && found["level"] == "error",
        "{said}"
    );
}

#[test]
fn tape_signed_tells_of_changes_on_purpose() {
    let (dir, path) = sealed();
    let [mine, mine_public] = keys(dir.path(), "mine");
    let [other, other_public] = keys(dir.path(), "other");
    let name = path.to_str().unwrap();
    let verify = |key: &str| tape(&["verify", name, "--key", key]);
    assert!(verify(&mine_public).1.contains("not signed with this key"), "{}", verify(&mine_public).1);
    assert_eq!(tape(&["sign", name, "--key", &mine]).0, 0);
    let (status, said, _) = verify(&mine_public);
    assert!(status == 0 && said.contains("sealed, unchanged; signed with "), "{said}");
    assert_eq!(verify(&other_public).0, 1);
    // Two may sign, also what is packed.
    assert_eq!(tape(&["sign", name, "--key", &other]).0, 0);
    assert_eq!([verify(&mine_public).0, verify(&other_public).0], [0, 0]);
    // Signed once more, nothing is there twice.
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(tape(&["sign", name, "--key", &mine]).0, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // Changed, and sealed again as tapline seals.
    seal_again(&path, &text.replacen("Lisbon", "Lisboa", 1));
    assert_eq!(self::verify(&path).0, 0, "a seal alone does not tell");
    assert_eq!(verify(&mine_public).0, 1);
    fs::write(&path, &text).unwrap();
    // A signature does not hold for another seal.
    let stolen = text.lines().find(|line| line.contains(r#"{"mark":"signature""#)).unwrap();
    seal_again(&path, &text.replacen("Lisbon", "Lisboa", 1));
    fs::write(&path, format!("{}{stolen}\n", fs::read_to_string(&path).unwrap())).unwrap();
    assert_eq!(verify(&mine_public).0, 1);
    // The public key of another kind, whose last bytes may be taken for one.
    let foreign = dir.path().join("x25519.pem");
    let der = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00", &[7_u8; 32][..]].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    fs::write(&foreign, pem).unwrap();
    let foreign = foreign.to_str().unwrap().to_owned();
    for (key, command) in [(&mine_public, "sign"), (&mine, "verify"), (&foreign, "verify")] {
        let (status, _, said) = tape(&[command, name, "--key", key]);
        assert!(status == 2 && said.contains("no Ed25519 key in PEM"), "{said}");
    }
}

#[test]
fn tape_packed_is_signed_where_it_lies() {
    let (dir, path) = sealed();
    let [private, public] = keys(dir.path(), "mine");
    assert_eq!(tape(&["pack", path.to_str().unwrap()]).0, 0);
    let packed = dir.path().join("a.tape.jsonl.zst");
    let name = packed.to_str().unwrap();
    assert_eq!(tape(&["sign", name, "--key", &private]).0, 0);
    let (status, said, _) = tape(&["verify", name, "--key", &public]);
    assert!(status == 0 && said.contains("signed with"), "{said}");
    assert_eq!(Tape::read(&packed).unwrap().troubles(), Vec::<String>::new());
    // Packing changes no line: what was signed still is.
    for (pack, name) in
        [(&["pack", "--undo", name][..], path.to_str().unwrap()), (&["pack", path.to_str().unwrap()], name)]
    {
        assert_eq!(tape(pack).0, 0);
        let (status, said, _) = tape(&["verify", name, "--key", &public]);
        assert_eq!((status, said.matches("signed with").count()), (0, 1), "{said}");
    }
}

#[test]
fn tape_that_loses_its_signature_says_so() {
    let (dir, path) = sealed();
    let [private, _] = keys(dir.path(), "mine");
    let name = path.to_str().unwrap();
    let told = |said: &str| said.contains("its signature is gone, as its lines are others: `tapline tape sign`");
    assert!(!told(&tape(&["note", name, "not signed yet"]).2));
    for change in [&["note", name, "seen"][..], &["redact", name, "--in-place"]] {
        assert_eq!(tape(&["sign", name, "--key", &private]).0, 0);
        let (status, _, said) = tape(change);
        assert!(status == 0 && told(&said), "{said}");
        assert!(!tape(&["verify", name]).1.contains("signed with"));
    }
}

/// As a person does who wants it to look unchanged.
fn seal_again(path: &Path, text: &str) {
    let is_message =
        |line: &&str| ["seal", "signature"].iter().all(|mark| !line.starts_with(&format!("{{\"mark\":\"{mark}\"")));
    fs::write(path, text.lines().filter(is_message).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let (plain, packed) = (path.to_str().unwrap(), format!("{}.zst", path.display()));
    assert_eq!((tape(&["pack", plain]).0, tape(&["pack", "--undo", &packed]).0), (0, 0));
}

/// Nobody who writes a note on it seals what another has changed.
#[test]
fn tape_changed_by_hand_is_so_whatever_is_done_with_it() {
    let (dir, path) = sealed();
    let changed = fs::read_to_string(&path).unwrap().replacen("Lisbon", "Lisboa", 1);
    let (name, packed) = (path.to_str().unwrap(), format!("{}.zst", path.display()));
    let redacted = dir.path().join("redacted.tape.jsonl");
    let by_hand: [(&dyn Fn(), &Path); 5] = [
        (&|| drop(tape(&["note", name, "nothing to see here"])), &path),
        (&|| annotate(&path, 6, marked()), &path),
        (&|| drop(tape(&["redact", name, "--in-place", "--key", "nothing"])), &path),
        (&|| drop(tape(&["redact", name, "--key", "nothing", "--out", redacted.to_str().unwrap()])), &redacted),
        (&|| drop(tape(&["pack", name])), Path::new(&packed)),
    ];
    for (at, (done, path_of_it)) in by_hand.iter().enumerate() {
        fs::write(&path, &changed).unwrap();
        done();
        let (status, said) = verify(path_of_it);
        assert!(status == 1 && said.contains("since it was sealed"), "{at}: {said}");
    }
}

/// Has something noted of a message of a tape.
fn annotate(path: &Path, seq: u64, mark: MessageMark) {
    let session = Tape::read(path).unwrap().header.session;
    care::annotate(path, &[Annotation { session, seq: Seq(seq), mark }]).unwrap();
}

fn marked() -> MessageMark {
    MessageMark { is_marked: true, comment: String::new() }
}

#[test]
fn tape_rm_of_all_that_are_old_spares_those_of_which_something_is_noted() {
    let (dir, old) = sealed();
    let [noted, with_mark, unmarked] = ["noted", "with-mark", "unmarked"].map(|name| {
        let path = dir.path().join(name).with_extension("tape.jsonl");
        fs::copy(&old, &path).unwrap();
        path
    });
    let place = dir.path().to_str().unwrap();
    assert_eq!(tape(&["note", noted.to_str().unwrap(), "keep"]).0, 0);
    annotate(&with_mark, 2, marked());
    annotate(&unmarked, 2, marked());
    annotate(&unmarked, 2, MessageMark::default());
    for limit in [&["--older-than", "1s"][..], &["--over", "0"]] {
        let (status, said, _) = tape(&[&["rm", "--dry-run", "--tapes", place], limit].concat());
        let mut lines: Vec<_> = said.lines().filter_map(|line| line.split(';').next()).collect();
        lines.sort_unstable();
        let expected = [
            "kept noted: it has a note",
            "kept with-mark: a message of it is marked or has a comment",
            "would remove a",
            "would remove unmarked",
        ];
        assert_eq!((status, &lines[..]), (0, &expected[..]));
    }
    assert_eq!(tape(&["rm", "--older-than", "1s", "--tapes", place]).0, 0);
    assert_eq!([&old, &noted, &with_mark, &unmarked].map(|it| it.exists()), [false, true, true, false]);
    assert_eq!(tape(&["rm", "noted", "with-mark", "--tapes", place]).0, 0);
    assert!(!noted.exists() && !with_mark.exists(), "they were named");
}

#[test]
fn retention_removes_old_tapes_when_recording_starts() {
    let (dir, old) = sealed();
    let [noted, with_mark] = ["noted.tape.jsonl", "marked.tape.jsonl"].map(|name| dir.path().join(name));
    fs::copy(&old, &noted).unwrap();
    fs::copy(&old, &with_mark).unwrap();
    assert_eq!(tape(&["note", noted.to_str().unwrap(), "keep"]).0, 0);
    annotate(&with_mark, 2, marked());
    // The oldest goes last.
    let header = fs::read_to_string(&old).unwrap();
    let started = Tape::read(&old).unwrap().header.started.0;
    fs::write(&old, header.replacen(&format!("\"started\":{started}"), "\"started\":1", 1)).unwrap();
    let settings = dir.path().join("t.toml");
    fs::write(&settings, "[retention]\nolder_than = \"1s\"\n").unwrap();
    let run =
        ["run", "--headless", "--listen", "127.0.0.1:0", "--no-database", "--tapes", dir.path().to_str().unwrap()];
    let mut tapline = command();
    tapline.args(run).arg("--config").arg(&settings).args(["--", env!("CARGO_BIN_EXE_tapline"), "__demo-server"]);
    tapline.env("XDG_RUNTIME_DIR", dir.path()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut running = tapline.spawn().unwrap();
    while old.exists() {
        assert!(running.try_wait().unwrap().is_none(), "it runs until it has removed it");
        std::thread::yield_now();
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert!(noted.exists() && with_mark.exists(), "one with a note stays, and one with a mark");
    fs::write(&settings, "[retention]\nolder_than = \"soon\"\n").unwrap();
    let checked = command().arg("check").arg(&settings).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.code() == Some(2) && said.contains("older_than"), "{said}");
}

#[test]
fn secret_that_is_noted_of_a_closed_tape_is_not_called_another_than_it_has() {
    let (_dir, path) = sealed();
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ456789";
    assert_eq!(tape(&["redact", "--in-place", path.to_str().unwrap()]).0, 0);
    for seq in [1, 2] {
        annotate(&path, seq, MessageMark { is_marked: true, comment: format!("token={secret} again") });
    }
    let tape = Tape::read(&path).unwrap();
    assert!(tape.header.redaction.iter().any(|it| it == "bodies"), "{:?}", tape.header);
    let comments: Vec<_> = tape.annotations().into_iter().map(|it| it.mark.comment).collect();
    assert_eq!(comments, ["token=[redacted] again", "token=[redacted] again"]);
    assert_eq!(self::tape(&["note", path.to_str().unwrap(), &format!("token={secret}, too")]).0, 0);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("token=[redacted], too") && !text.contains(secret), "{text}");
}

/// Ten gigabytes take a minute.
#[test]
fn tape_that_is_gone_through_tells_how_far_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.tape.jsonl");
    let head = |text: &str| text.lines().next().unwrap().to_owned() + "\n";
    let line = |seq| {
        format!(r#"{{"seq":{seq},"at":{seq},"dir":"c2s","via":"stdio","method":"m","msg":{{"method":"m"}}}}"#) + "\n"
    };
    fs::write(&path, head(&demo()) + &(1..5_000).map(line).collect::<String>()).unwrap();
    let told = std::cell::RefCell::new(Vec::new());
    let watch = |done: u64, length: u64| {
        told.borrow_mut().push((done, length));
        true
    };
    assert!(care::verify(&path, None, &watch).unwrap().is_sound());
    let (verified, length) = (told.take(), fs::metadata(&path).unwrap().len());
    assert!(verified.len() >= 8 && verified.is_sorted(), "{verified:?}");
    assert!(verified.iter().all(|told| told.1 == 2 * length) && verified[0].0 < length, "{verified:?}");
    assert!(verified.last().unwrap().0 > length, "the second time is behind the first: {verified:?}");
    care::pack(&path, care::Packing::Zstd, &watch).unwrap();
    assert_eq!(told.take().last(), Some(&(length, length)));
}
