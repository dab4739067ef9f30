use super::*;
use crate::event::{TapeInfo, Timestamp};
use crate::tape::record::Recorder;
use crate::tape::record::tests::{envelope, session};

/// A tape file of a few lines, with its last line ended.
fn tape_bytes(messages: u64) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    let session = session();
    let path = recorder.open(&session).unwrap();
    for seq in 1..=messages {
        let raw = format!(r#"{{"id":{seq},"method":"tools/call","params":{{"name":"é"}}}}"#);
        recorder.append(&envelope(&session, seq, raw)).unwrap();
    }
    recorder.gap(session.id, 2).unwrap();
    recorder.flush();
    std::fs::read(path).unwrap()
}

fn read(bytes: &[u8]) -> Result<Tape, TapeError> {
    Tape::read_from(Path::new("x.tape.jsonl"), bytes)
}

fn read_with_line(line: &[u8]) -> Tape {
    let mut bytes = tape_bytes(1);
    bytes.extend_from_slice(line);
    bytes.extend_from_slice(b"\n{\"mark\":\"end\",\"at\":9,\"reason\":\"quit\"}\n");
    let tape = read(&bytes).unwrap();
    assert_eq!(tape.end.as_deref(), Some("quit"), "what follows is read");
    tape
}

#[test]
fn tape_read_returns_every_whole_line_of_a_cut_file() {
    let bytes = tape_bytes(3);
    let header = memchr::memchr(b'\n', &bytes).unwrap();
    for cut in header..=bytes.len() {
        let chunk = &bytes[..cut];
        // A line whose end alone is cut off is whole.
        let ended = if cut < bytes.len() && bytes[cut] == b'\n' { cut + 1 } else { cut };
        let whole = memchr::memrchr(b'\n', &bytes[..ended]).map_or(0, |end| end + 1);
        let lines = memchr::memchr_iter(b'\n', &bytes[..whole]).count();
        let tape = read(chunk).unwrap();
        assert_eq!((tape.envelopes.len(), tape.gaps.len()), ((lines - 1).min(3), lines / 5), "cut at {cut}");
        assert_eq!((tape.torn, tape.problems.len()), (ended > whole, 0), "cut at {cut}");
    }
    for cut in 0..header {
        assert!(matches!(read(&bytes[..cut]), Err(TapeError::NotATape { .. })), "cut at {cut}");
    }
}

#[test]
fn tape_read_takes_a_byte_order_mark() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    std::fs::write(&path, [b"\xef\xbb\xbf", &tape_bytes(30)[..]].concat()).unwrap();
    let tape = Tape::read(&path).unwrap();
    assert_eq!((tape.envelopes.len(), tape.troubles()), (30, vec!["2 messages are missing".to_owned()]));
    let [info] = catalogue(dir.path()).try_into().unwrap();
    assert_eq!((info.messages, info.problems), (30, tape.troubles()));
}

#[test]
fn tape_read_reports_and_skips_an_unreadable_line() {
    for (line, why) in [
        (&b"{\"seq\":2,\"at\":"[..], "not a JSON object"),
        (b"{\"seq\":2,\"at\":1}", "none of `msg`"),
        (b"{\"seq\":2,\"at\":1,\"dir\":\"up\",\"via\":\"http\",\"msg\":1}", "`dir`: unknown variant"),
        (b"\xff\xfe", "not UTF-8"),
        (b"hello", "not a JSON object: expected value at column 1"),
        (b"{\"mark\":\"gap\"}", "missing field `at`"),
    ] {
        let tape = read_with_line(line);
        let [problem] = &tape.problems[..] else { panic!("{:?}", tape.problems) };
        assert_eq!(problem.line, 4);
        assert!(problem.why.contains(why) && !problem.why.contains("at line 1"), "{problem}");
    }
}

#[test]
fn tape_read_skips_or_keeps_what_a_newer_tapline_adds() {
    assert_eq!(read_with_line(br#"{"mark":"hologram","x":{}}"#).problems, []);
    let tape = read_with_line(br#"  {"x":1,"dir":"s2c","msg":{"a":1},"via":"sse","at":5,"seq":7,"y":[ 1 ]}"#);
    assert_eq!((tape.problems.len(), tape.envelopes[1].seq.0), (0, 7));

    let mut bytes = tape_bytes(0);
    bytes.extend_from_slice(br#"{"seq":1,"at":1,"dir":"c2s","via":"stdio","msg":1,"y":[ 1 ]}"#);
    let entry = TapeReader::new(Path::new("x"), &bytes[..]).unwrap().last().unwrap();
    let TapeEntry::Message { unknown, .. } = entry else { panic!("{entry:?}") };
    assert_eq!(unknown["y"].get(), "[ 1 ]");
}

#[test]
fn tape_header_of_a_newer_format_says_which_tapline_to_get() {
    let error = read(br#"{"tapline":2,"version":"3.1.0","session":{}}"#).unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.tape.jsonl is a tape of format 2, this tapline reads up to 1; use tapline 3.1.0 or newer"
    );
}

#[test]
fn tape_read_refuses_what_is_no_tape() {
    for (bytes, why) in [
        (&b""[..], "x.tape.jsonl is not a tape: it is empty"),
        (b"{}\n", "x.tape.jsonl is not a tape: its first line is not a tapline header"),
        (b"\x89PNG\n", "x.tape.jsonl is not a tape: its first line is not a tapline header"),
        (b"{\"tapline\":1}\n", "x.tape.jsonl is not a tape: its header cannot be read: missing field `version`"),
    ] {
        let text = read(bytes).unwrap_err().to_string();
        assert!(text.starts_with(why), "{text}");
    }
}

#[test]
fn catalogue_lists_bad_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let whole = tape_bytes(2);
    put("a.tape.jsonl", &whole);
    put("b.tape.jsonl", &whole[..whole.len() - 60]);
    put("c.tape.jsonl", b"not a tape");
    put("notes.txt", b"");
    std::fs::create_dir(dir.path().join("d.tape.jsonl")).unwrap();
    let mut tapes = catalogue(dir.path());
    tapes.sort_by(|a, b| a.path.cmp(&b.path));
    let told: Vec<_> = tapes.iter().map(|tape| (tape.messages, tape.problems.len())).collect();
    assert_eq!(told, [(2, 1), (1, 1), (0, 1), (0, 1)]);
    assert_eq!(tapes[0].problems, ["2 messages are missing"]);
    assert_eq!(tapes[1].problems, ["the last line is torn, as after a crash"]);
    assert_eq!(catalogue(&dir.path().join("nowhere")), []);
}

#[test]
fn tape_chunks_make_the_tape() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    for messages in [0, 1, 2, 3, 5, 40] {
        let mut bytes = tape_bytes(messages);
        bytes.extend_from_slice(b"not JSON\n{\"mark\":\"peer\",\"protocol\":\"2025-06-18\"}\n{\"seq\":");
        std::fs::write(&path, &bytes).unwrap();
        let (tape, entries) = (Tape::read(&path).unwrap(), TapeReader::open(&path).unwrap().lines());
        let (mut seqs, mut problems) = (Vec::new(), Problems::default());
        for (_, entry) in entries {
            match entry {
                TapeEntry::Message { envelope, .. } => seqs.push(envelope.seq),
                TapeEntry::Problem(problem) => problems.push(problem),
                _ => {}
            }
        }
        assert_eq!(tape.envelopes.iter().map(|it| it.seq).collect::<Vec<_>>(), seqs);
        assert_eq!((&tape.problems, tape.gaps.len(), tape.torn), (&problems, 1, true));
        assert_eq!(tape.header.peers.protocol.as_deref(), Some("2025-06-18"));
        assert_eq!(tape.problems[0].line, messages + 3);
    }
}

#[test]
fn tape_read_shares_equal_headers() {
    let mut bytes = tape_bytes(0);
    for seq in 0..3 {
        let accept = if seq < 2 { "a" } else { "b" };
        let line =
            format!(r#"{{"seq":{seq},"at":1,"dir":"c2s","via":"http","headers":{{"accept":"{accept}"}},"msg":1}}"#);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    let tape = read(&bytes).unwrap();
    let headers: Vec<_> = tape.envelopes.iter().map(|it| it.transport.headers.clone().unwrap()).collect();
    assert!(Arc::ptr_eq(&headers[0], &headers[1]) && headers[2]["accept"] == "b");
}

#[test]
fn tape_reader_ends_where_the_file_cannot_be_read() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::Other.into())
        }
    }
    let bytes = tape_bytes(1);
    let reader = BufReader::new(std::io::Read::chain(&bytes[..], Broken));
    let tape = Tape::read_from(Path::new("x"), reader).unwrap();
    assert_eq!((tape.envelopes.len(), tape.problems.len()), (1, 1));
}

#[test]
fn catalogue_is_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    for started in [2, 3, 1] {
        let session = crate::event::Session { started: Timestamp(started), ..session() };
        recorder.open(&session).unwrap();
        recorder.append(&envelope(&session, 1, "{}")).unwrap();
    }
    recorder.flush();
    let started: Vec<_> = catalogue(dir.path()).iter().map(|tape| tape.started.0).collect();
    assert_eq!(started, [3, 2, 1]);
}

#[test]
fn last_seq_is_found_from_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    assert_eq!(last_seq(&path), None);
    let header = tape_bytes(0);
    let long = "x".repeat(3000);
    for (lines, expected) in [
        ("", None),
        ("{\"mark\":\"end\",\"at\":9,\"reason\":\"quit\"}\n", None),
        ("{\"seq\":7,\"at\":1}\n{\"seq\":9,\"at\":2}\n{\"seq\":8,\"at\":3}\n", Some(9)),
        ("{\"seq\":7,\"at\":1}\n{\"seq\":12", Some(7)),
        (&format!("{{\"seq\":7,\"at\":1}}\n{{\"seq\":8,\"x\":\"{long}\"}}\n{{\"mark\":\"x\"}}\n"), Some(8)),
        (&format!("{{\"seq\":7,\"x\":\"{long}\"}}\n"), Some(7)),
    ] {
        std::fs::write(&path, [header.as_slice(), lines.as_bytes()].concat()).unwrap();
        assert_eq!(last_seq(&path), expected.map(Seq), "{lines}");
    }
}

#[test]
fn catalogue_reads_no_unchanged_tape_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    std::fs::write(&path, tape_bytes(3)).unwrap();
    let mut first = Catalogue::of(dir.path(), |_| None);
    assert_eq!((first.tapes[0].messages, &first.tapes[0].tools, first.is_read()), (0, &None, false));
    assert_eq!(first.tapes[0].upstream, session().upstream.to_string(), "the header is known at once");
    let (changed, known) = first.read_next().unwrap();
    assert_eq!((&known, first.is_read(), first.read_next()), (&first.tapes[0], true, None));
    assert_eq!(known.tools, Some(vec![("é".to_owned(), 3)]));
    let known = TapeInfo { messages: 99, ..known };
    let of = |info: &TapeInfo| Catalogue::of(dir.path(), |it| (it == path).then(|| (changed, info.clone())));
    assert_eq!((of(&known).tapes[0].messages, of(&known).is_read()), (99, true), "what is known is taken at its word");
    // As an older tapline noted it: it is shown, and read.
    let mut older = of(&TapeInfo { tools: None, ..known.clone() });
    assert_eq!((older.tapes[0].messages, older.is_read()), (99, false));
    assert_eq!(older.read_next().unwrap().1.messages, 3);
    std::fs::write(&path, tape_bytes(4)).unwrap();
    let mut longer = of(&known);
    assert_eq!((longer.tapes[0].messages, longer.is_read()), (99, false));
    longer.read_next();
    assert_eq!(longer.tapes[0].messages, 4);
}

#[test]
fn catalogue_tells_tools_notes_and_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    let call = |seq: u64, tool: &str, more: &str| {
        let message = format!(r#"{{"id":{seq},"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
        format!("{{\"seq\":{seq},\"at\":{seq},\"dir\":\"c2s\",\"via\":\"http\"{more},\"msg\":{message}}}\n")
    };
    let mut text = String::from_utf8(tape_bytes(0)).unwrap();
    text += "{\"mark\":\"note\",\"at\":5,\"text\":\"first\"}\n{\"mark\":\"note\",\"at\":9,\"text\":\"second\"}\n";
    text += &[call(1, "a", ""), call(2, "b", ""), call(3, "b", "")].concat();
    // As another program writes it, and as a peer may: neither is looked at as its head alone.
    text += &call(4, "c\\\"d", r#","kind":"request","method":"tools/call","name":"c\"d""#);
    text += "{\"mark\":\"peer\",\"at\":3,\"server\":{\"name\":\"files\",\"version\":\"2\"}}\n";
    std::fs::write(&path, &text).unwrap();
    let [info] = catalogue(dir.path()).try_into().unwrap();
    let tools = [("b", 2), ("a", 1), ("c\"d", 1)].map(|(tool, count)| (tool.to_owned(), count));
    assert_eq!((info.tools, info.messages), (Some(tools.to_vec()), 4));
    assert_eq!(info.notes, ["second", "first"]);
    assert_eq!(info.server.unwrap().text(), "files 2");
    // However many names a peer makes up.
    text += &(5..3000).map(|seq| call(seq, &format!("t{seq}"), "")).collect::<String>();
    text += &call(3000, "t5", "");
    std::fs::write(&path, &text).unwrap();
    let [info] = catalogue(dir.path()).try_into().unwrap();
    let tools = info.tools.unwrap();
    assert_eq!((tools.len(), &tools[1].0[..], info.messages), (64, "t5", 3000));
}
