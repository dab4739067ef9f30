//! `tapline tape import`, of files that other programs wrote: see `formats/README.md`.

use std::path::{Path, PathBuf};
use std::process::Output;

use tapline::envelope::{Direction, Envelope};
use tapline::tape::Tape;
use tempfile::TempDir;

use crate::support::binary;

fn tapline(arguments: &[&str]) -> Output {
    binary::command().args(arguments).output().unwrap()
}

/// Makes a tape of a file among the formats; gives what was said of it, too.
fn imported(dir: &TempDir, file: &str) -> (PathBuf, String) {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats");
    let path = dir.path().join(format!("{file}.tape.jsonl"));
    let output = tapline(&["tape", "import", formats.join(file).to_str().unwrap(), "--out", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{file}: {said}");
    let verified = tapline(&["tape", "verify", path.to_str().unwrap()]);
    assert!(verified.status.success(), "{file}: {}", String::from_utf8_lossy(&verified.stdout));
    (path, said)
}

#[test]
fn recordings_of_other_programs_become_tapes_that_can_be_replayed() {
    let dir = TempDir::new().unwrap();
    for (file, messages, format, client) in [
        ("mcp-recorder-0.5.0-stdio.json", 9, "mcp-recorder", None),
        ("mcp-vcr-0.2.2.yaml", 9, "mcp-vcr", Some("driver 1.0")),
        ("mcp-vcr-0.2.2.ndjson", 9, "mcp-vcr", Some("driver 1.0")),
        ("mcpsnoop-stdio.jsonl", 9, "mcpsnoop", Some("driver 1.0")),
        ("inspector-2.12.0-protocol.json", 19, "the MCP Inspector", Some("mcp-inspector 2.12.0")),
        ("inspector-2.12.0-network.json", 13, "the MCP Inspector", Some("mcp-inspector 2.12.0")),
    ] {
        let (path, said) = imported(&dir, file);
        assert!(said.contains(&format!("{messages} messages from {format}")), "{file}: {said}");
        let header = Tape::read(&path).unwrap().header;
        assert_eq!(header.peers.server.unwrap().name, "tapline-demo", "{file}");
        let name = header.peers.client.map(|client| client.text());
        assert!(client.is_none() || name.as_deref() == client, "{file}: {name:?}");
        let output = tapline(&[
            "replay",
            path.to_str().unwrap(),
            "--speed",
            "max",
            "--",
            env!("CARGO_BIN_EXE_tapline"),
            "__demo-server",
        ]);
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(report.contains("0 failed, 0 skipped"), "{file}: {report}");
    }
}

#[test]
fn recording_of_http_keeps_its_statuses() {
    let dir = TempDir::new().unwrap();
    let (path, said) = imported(&dir, "mcp-recorder-0.5.0-http.json");
    assert!(said.contains("7 messages from mcp-recorder"), "{said}");
    assert_eq!(Tape::read(&path).unwrap().header.peers.server.unwrap().name, "interop-ts");
    let (path, said) = imported(&dir, "inspector-2.12.0-network.json");
    assert!(said.contains("entry 3: GET of HTTP, no message"), "{said}");
    let tape = Tape::read(&path).unwrap();
    let replies = tape.envelopes.iter().filter(|it| it.direction == Direction::ToClient);
    assert!(replies.map(|it| it.transport.status).all(|status| status == Some(200)));
}

/// Two clients, each of which counts its requests for itself.
#[test]
fn clients_of_one_mcpsnoop_log_are_told_apart() {
    let dir = TempDir::new().unwrap();
    let (path, _) = imported(&dir, "mcpsnoop-http.jsonl");
    let tape = Tape::read(&path).unwrap();
    let calls = tape.envelopes.iter().filter(|it| it.method() == Some("tools/call") && it.reply_to.is_none());
    let city =
        |call: &Envelope| call.message.value().unwrap()["params"]["arguments"]["city"].as_str().unwrap().to_owned();
    let mut cities = Vec::new();
    for call in calls {
        let headers = call.transport.headers.as_ref().unwrap();
        assert_eq!(headers["mcp-protocol-version"], "2025-11-25");
        let answers = |it: &Envelope| it.reply_to.as_ref().is_some_and(|to| to.seq == call.seq);
        let reply = tape.envelopes.iter().find(|it| answers(it)).unwrap();
        assert_eq!(reply.message.value().unwrap()["result"]["structuredContent"]["city"], city(call).as_str());
        cities.push(city(call));
    }
    assert_eq!(cities, ["Lisbon", "Oslo"]);
}

/// One that cannot be imported is said; the others are tapes all the same.
#[test]
fn import_of_several_files_goes_on_behind_a_bad_one() {
    let dir = TempDir::new().unwrap();
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats");
    let [bad, good] = ["README.md", "mcpsnoop-stdio.jsonl"].map(|name| formats.join(name));
    let output = binary::command()
        .args(["tape", "--tapes"])
        .arg(dir.path())
        .arg("import")
        .args([&bad, Path::new("nosuch"), &good])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("README.md: it is no recording") && told.contains("cannot import nosuch: "), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("9 messages from mcpsnoop"), "{told}");
    assert_eq!(Tape::read(&dir.path().join("mcpsnoop-stdio.tape.jsonl")).unwrap().envelopes.len(), 9);
}

#[test]
fn har_brings_the_headers_back() {
    let dir = TempDir::new().unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes/everything-legacy-http.tape.jsonl");
    let [har, tape] = ["a.har", "a.tape.jsonl"].map(|name| dir.path().join(name).to_str().unwrap().to_owned());
    let made = tapline(&["tape", "export", recorded.to_str().unwrap(), "--format", "har", "--out", &har]);
    assert!(made.status.success(), "{made:?}");
    // A secret that another program left there does not come to stand on a tape.
    let text = std::fs::read_to_string(&har).unwrap();
    let header = r#"{"name":"authorization","value":"Bearer hunter2hunter2"},{"name":":path","value":"/mcp"},"#;
    let at = text.find(r#""headers":["#).or_else(|| text.find(r#""headers": ["#)).unwrap();
    let at = at + text[at..].find('[').unwrap() + 1;
    std::fs::write(&har, format!("{}{header}{}", &text[..at], &text[at..])).unwrap();
    assert!(tapline(&["tape", "import", &har, "--out", &tape]).status.success());
    let imported = std::fs::read_to_string(&tape).unwrap();
    assert!(imported.contains("\"authorization\"") && !imported.contains("hunter2"), "{imported}");
    let of_requests = |path: &Path| -> Vec<_> {
        let envelopes = Tape::read(path).unwrap().envelopes;
        let asked = envelopes.iter().filter(|it| it.direction == Direction::ToServer && it.message.method().is_some());
        asked.map(|it| (it.method().unwrap().to_owned(), it.transport.headers.clone().unwrap())).collect()
    };
    let [once, again] = [recorded.as_path(), Path::new(&tape)].map(of_requests);
    assert!(once.len() > 3, "{once:?}");
    assert_eq!(once[1..], again[1..]);
}

/// YAML that was cut between two lines is YAML still.
#[test]
fn import_says_of_a_transcript_that_it_may_be_cut() {
    let dir = TempDir::new().unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats/mcp-vcr-0.2.2.yaml");
    let text = std::fs::read_to_string(&whole).unwrap();
    let cut = dir.path().join("cut.yaml");
    std::fs::write(&cut, text.split_once("\nmeta:").unwrap().0).unwrap();
    for (file, is_told) in [(&whole, false), (&cut, true)] {
        let output =
            binary::command().args(["tape", "--tapes"]).arg(dir.path()).arg("import").arg(file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.contains("may be cut")), (Some(0), is_told), "{told}");
    }
}

/// What a recording does not have is not held against who was recorded: headers that it leaves out, replies, other clients.
#[test]
fn lint_of_a_recording_misses_nothing_that_it_cannot_have() {
    let dir = TempDir::new().unwrap();
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/formats");
    let files = std::fs::read_dir(&formats).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut linted = 0;
    for file in files.filter(|file| !file.starts_with("format-") && !file.ends_with(".md")) {
        let (path, _) = imported(&dir, &file);
        let output = tapline(&["lint", path.to_str().unwrap()]);
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{file}: {found}");
        linted += 1;
    }
    assert_eq!(linted, 8);
    // A client that does say something wrong is found all the same; the half of a message is none.
    let log = std::fs::read_to_string(formats.join("mcpsnoop-http.jsonl")).unwrap();
    let wrong = log.replacen(r#""mcp_protocol_version":"2025-11-25""#, r#""mcp_protocol_version":"2024-11-05""#, 1);
    let cut = r#"{"session_id":"demo-1-abcd","server_label":"demo","seq":99,"ts":"2026-11-29T04:13:07Z","direction":"s2c","transport":"stdio","text":"{\"jsonrpc\":\"2.0\",\"id\":7,\"res","truncated":true}"#;
    let file = dir.path().join("wrong.jsonl");
    std::fs::write(&file, format!("{}\n{cut}\n", wrong.trim_end())).unwrap();
    let path = dir.path().join("wrong.tape.jsonl");
    let made = tapline(&["tape", "import", file.to_str().unwrap(), "--out", path.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&made.stderr).contains("has only the beginning of one"), "{made:?}");
    let output = tapline(&["lint", path.to_str().unwrap()]);
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(found.contains("version-header-other") && !found.contains("stdout-noise"), "{found}");
}
