//! The recorder against real files, and against a disk that fails on purpose.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::disk::{Disk, FileIdentity, RealDisk, Sink, WholeLines};
use super::{Recorder, RecordingNotice, TapeInterference};
use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, SessionId, Via};
use crate::event::{Annotation, MessageMark, Origin, Peer, Session, SessionState, Timestamp};
use crate::message::Message;
use crate::tape::read::Tape;
use crate::tape::{TapeError, care, catalogue};

pub(crate) fn session() -> Session {
    Session {
        id: SessionId::random(),
        upstream_name: None,
        upstream: "http://127.0.0.1:9000/mcp".into(),
        via: Via::Http,
        started: Timestamp::now(),
        state: SessionState::New,
        origin: Origin::Client,
        client: None,
        server: None,
        protocol: None,
        tape: None,
    }
}

pub(crate) fn envelope(session: &Session, seq: u64, raw: impl Into<bytes::Bytes>) -> Envelope {
    let message = Message::new(raw);
    Envelope { at: seq * 1000, ..Envelope::forwarded(Seq(seq), session.id, Direction::ToServer, Via::Http, message) }
}

fn ping(session: &Session, seq: u64) -> Envelope {
    envelope(session, seq, format!(r#"{{"jsonrpc":"2.0","id":{seq},"method":"ping"}}"#))
}

/// A disk in memory with so many bytes left.
#[derive(Clone, Default)]
struct SmallDisk(Arc<Mutex<Space>>);

#[derive(Default)]
struct Space {
    files: HashMap<PathBuf, Vec<u8>>,
    left: usize,
    /// Whether a file can be cut short again.
    cuts: bool,
    writes: usize,
}

impl Disk for SmallDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        self.0.lock().files.entry(path.to_owned()).or_default();
        Ok(Box::new(SmallFile { disk: self.clone(), path: path.to_owned() }))
    }

    fn identity(&self, _: &Path) -> io::Result<Option<FileIdentity>> {
        Ok(Some(FileIdentity::default()))
    }
}

struct SmallFile {
    disk: SmallDisk,
    path: PathBuf,
}

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut space = self.disk.0.lock();
        let taken = bytes.len().min(space.left);
        space.writes += 1;
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        space.left -= taken;
        space.files.get_mut(&self.path).expect("made by `open`").extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for SmallFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().files[&self.path].len() as u64)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(FileIdentity::default())
    }

    fn end_torn_line(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn whole_lines(&mut self) -> io::Result<WholeLines> {
        unreachable!("nobody else cuts it")
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut space = self.disk.0.lock();
        if !space.cuts {
            return Err(io::ErrorKind::Other.into());
        }
        let file = space.files.get_mut(&self.path).expect("made by `open`");
        file.truncate(usize::try_from(length).unwrap());
        Ok(())
    }
}

impl SmallDisk {
    fn set(&self, left: usize, cuts: bool) {
        let mut space = self.0.lock();
        space.left = left;
        space.cuts = cuts;
    }

    fn tape(&self, path: &Path) -> Tape {
        Tape::read_from(path, &self.0.lock().files[path][..]).unwrap()
    }
}

fn missing(tape: &Tape) -> u64 {
    tape.gaps.iter().map(|gap| gap.messages).sum()
}

#[test]
fn recorder_writes_a_session_as_a_tape() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new");
    let mut recorder = Recorder::new(&dir);
    let mut session = session();
    let path = recorder.open(&session).unwrap();
    assert_eq!(recorder.path(session.id).as_ref(), Some(&path));
    recorder.append(&ping(&session, 1)).unwrap();
    assert!(recorder.flush().is_empty());
    session.protocol = Some("2025-06-18".to_owned());
    session.client = Some(Peer { name: "ide".to_owned(), version: "1.4".to_owned() }.into());
    recorder.observe(&Arc::new(session.clone())).unwrap();
    recorder.observe(&Arc::new(session.clone())).unwrap();
    recorder.gap(session.id, 7).unwrap();
    recorder.append(&ping(&session, 9)).unwrap();
    recorder.close(session.id, "client").unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains(r#""mark":"peer""#)).count(), 1, "{text}");
    let tape = Tape::read(&path).unwrap();
    assert_eq!(tape.header.peers.protocol, session.protocol);
    assert_eq!(tape.header.peers.client, session.client);
    assert_eq!(tape.header.session, session.id);
    assert_eq!(tape.envelopes.iter().map(|it| it.seq.0).collect::<Vec<_>>(), [1, 9]);
    assert_eq!(missing(&tape), 7);
    assert_eq!(tape.end.as_deref(), Some("client"));
    assert_eq!(tape.troubles(), ["7 messages are missing"]);

    let [info] = catalogue(&dir).try_into().unwrap();
    assert_eq!((info.messages, info.bytes), (2, text.len() as u64));
    assert_eq!((info.protocol, info.client, info.started), (session.protocol, session.client, session.started));
    assert_eq!(info.problems, tape.troubles());
}

#[cfg(unix)]
#[test]
fn recorder_lets_only_the_owner_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("a/b");
    let mut recorder = Recorder::new(&dir);
    let session = session();
    let path = recorder.open(&session).unwrap();
    recorder.append(&ping(&session, 1)).unwrap();
    recorder.flush();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&path)), (0o700, 0o600));
}

#[test]
fn recorder_leaves_no_file_of_a_silent_session() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    let session = session();
    recorder.open(&session).unwrap();
    recorder.observe(&Arc::new(Session { protocol: Some("x".to_owned()), ..session.clone() })).unwrap();
    recorder.flush();
    recorder.close(session.id, "client").unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert!(matches!(recorder.append(&ping(&session, 1)), Err(TapeError::NotOpen(_))));
}

#[test]
fn flush_is_one_write_a_batch() {
    let disk = SmallDisk::default();
    disk.set(usize::MAX, true);
    let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
    let session = session();
    recorder.open(&session).unwrap();
    recorder.append(&ping(&session, 0)).unwrap();
    recorder.flush();
    let header_and_first = disk.0.lock().writes;
    for seq in 1..100 {
        recorder.append(&ping(&session, seq)).unwrap();
    }
    recorder.flush();
    recorder.flush();
    assert_eq!(disk.0.lock().writes, header_and_first + 1);
}

#[test]
fn recording_notice_of_a_full_disk_comes_once() {
    let disk = SmallDisk::default();
    let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
    let session = session();
    let path = recorder.open(&session).unwrap();
    let mut notices = Vec::new();
    for (seq, left) in [(1, 100_000), (2, 10), (3, 0), (4, 0), (5, 100_000)] {
        disk.set(left, true);
        recorder.append(&ping(&session, seq)).unwrap();
        notices.extend(recorder.flush());
    }
    let [RecordingNotice::Failed { .. }, RecordingNotice::Recovered { missing: 3, .. }] = &notices[..] else {
        panic!("{notices:?}");
    };
    let tape = disk.tape(&path);
    assert_eq!(tape.envelopes.iter().map(|it| it.seq.0).collect::<Vec<_>>(), [1, 5]);
    assert_eq!((missing(&tape), tape.torn, &tape.problems[..]), (3, false, &[][..]));
}

#[test]
fn flush_tries_a_failed_file_again() {
    let disk = SmallDisk::default();
    let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
    let session = session();
    let path = recorder.open(&session).unwrap();
    recorder.append(&ping(&session, 1)).unwrap();
    assert_eq!(recorder.flush().len(), 1);
    assert_eq!(recorder.flush().len(), 0);
    disk.set(100_000, true);
    assert_eq!(recorder.flush().len(), 1);
    assert_eq!(missing(&disk.tape(&path)), 1);
    disk.set(0, true);
    recorder.append(&ping(&session, 2)).unwrap();
    assert!(matches!(recorder.close(session.id, "quit"), Err(TapeError::CannotWrite { .. })));
}

/// Records three messages, lets `meddle` have the tape, records a fourth. Gives what was told, and the tape then.
fn meddled(meddle: impl FnOnce(&Path)) -> (TapeInterference, u64, Tape) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("tapes");
    let mut recorder = Recorder::on(&dir, Box::new(RealDisk), Duration::ZERO);
    let session = session();
    let path = recorder.open(&session).unwrap();
    for seq in 1..=3 {
        recorder.append(&ping(&session, seq)).unwrap();
    }
    assert!(recorder.flush().is_empty());
    meddle(&path);
    recorder.append(&ping(&session, 4)).unwrap();
    let [RecordingNotice::Meddled { what, missing, .. }] = recorder.flush()[..] else { panic!("one notice") };
    recorder.append(&ping(&session, 5)).unwrap();
    assert!(recorder.flush().is_empty(), "told once");
    recorder.close(session.id, "done").unwrap();
    let tape = Tape::read(&path).unwrap();
    assert!(tape.problems.is_empty() && !tape.torn, "{:?}", tape.problems);
    (what, missing, tape)
}

fn seqs(tape: &Tape) -> Vec<u64> {
    tape.envelopes.iter().map(|it| it.seq.0).collect()
}

#[test]
fn recorder_begins_a_tape_again_that_is_removed_moved_or_replaced() {
    let moved = tempfile::tempdir().unwrap();
    let aside = moved.path().join("aside.jsonl");
    let meddlers: [&dyn Fn(&Path); 4] = [
        &|tape| std::fs::remove_dir_all(tape.parent().unwrap()).unwrap(),
        &|tape| std::fs::rename(tape, &aside).unwrap(),
        &|tape| std::fs::rename(tape.parent().unwrap(), tape.parent().unwrap().with_file_name("old")).unwrap(),
        &|tape| {
            std::fs::rename(tape, &aside).unwrap();
            std::fs::write(tape, "").unwrap();
        },
    ];
    for meddle in meddlers {
        let (what, told, tape) = meddled(meddle);
        assert_eq!((what, told, missing(&tape), seqs(&tape)), (TapeInterference::Removed, 3, 3, vec![4, 5]));
    }
    assert_eq!(seqs(&Tape::read(&aside).unwrap()), [1, 2, 3], "nothing of what comes later");
}

#[test]
fn recorder_goes_on_behind_what_is_left_of_a_tape_that_was_cut() {
    let cut = |length: &dyn Fn(&[u8]) -> usize| {
        meddled(|path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length(&bytes) as u64).unwrap();
        })
    };
    let nth_line = |bytes: &[u8], nth| memchr::memchr_iter(b'\n', bytes).nth(nth).unwrap() + 1;
    // In the middle of the third message, with what a write that was on its way has put behind it.
    let (_, told, tape) = meddled(|path| {
        let bytes = std::fs::read(path).unwrap();
        let line = &bytes[nth_line(&bytes, 2)..];
        std::fs::write(path, [&bytes[..bytes.len() - 60], &line[..20], b"\n"].concat()).unwrap();
    });
    assert_eq!((told, missing(&tape), seqs(&tape)), (1, 1, vec![1, 2, 4, 5]));
    // In the middle of the third message, behind the second, behind the header, within it, and all.
    for (length, left) in [
        (&(|bytes: &[u8]| bytes.len() - 10) as &dyn Fn(&[u8]) -> usize, 2),
        (&|bytes| nth_line(bytes, 2), 2),
        (&|bytes| nth_line(bytes, 0), 0),
        (&|_| 20, 0),
        (&|_| 0, 0),
    ] {
        let (what, told, tape) = cut(length);
        let seqs_left = (1..=left).chain([4, 5]).collect::<Vec<_>>();
        assert_eq!((what, told, missing(&tape), seqs(&tape)), (TapeInterference::Cut, 3 - left, 3 - left, seqs_left));
    }
}

#[test]
fn recorder_tells_at_the_end_what_was_done_to_a_tape_just_before() {
    let cut = |tape: &Path| std::fs::OpenOptions::new().write(true).open(tape).unwrap().set_len(20).unwrap();
    let remove = |tape: &Path| std::fs::remove_file(tape).unwrap();
    let meddlers = [(TapeInterference::Removed, &remove as &dyn Fn(&Path)), (TapeInterference::Cut, &cut)];
    for (expected, meddle) in meddlers {
        let dir = tempfile::tempdir().unwrap();
        // As it is looked after by default: a moment after the last look.
        let mut recorder = Recorder::new(dir.path());
        let session = session();
        let path = recorder.open(&session).unwrap();
        recorder.append(&ping(&session, 1)).unwrap();
        assert!(recorder.flush().is_empty());
        meddle(&path);
        let told = recorder.close(session.id, "done").unwrap();
        let Some(RecordingNotice::Meddled { what, missing: 1, .. }) = told else { panic!("{expected:?}: {told:?}") };
        let tape = Tape::read(&path).unwrap();
        assert_eq!((what, missing(&tape), tape.end.as_deref()), (expected, 1, Some("done")));
    }
}

#[test]
fn recorder_appends_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let session = session();
    let record = |seq| {
        let mut recorder = Recorder::new(dir.path());
        let path = recorder.open(&session).unwrap();
        recorder.append(&ping(&session, seq)).unwrap();
        assert!(recorder.flush().is_empty());
        path
    };
    let path = record(1);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&whole[..], br#"{"seq":2,"at"#].concat()).unwrap();
    record(3);
    let tape = Tape::read(&path).unwrap();
    assert_eq!(tape.envelopes.iter().map(|it| it.seq.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((tape.problems.len(), tape.problems[0].line, tape.torn), (1, 3, false));

    std::fs::write(&path, &whole[..20]).unwrap();
    record(4);
    assert_eq!(Tape::read(&path).unwrap().envelopes.len(), 1);
}

#[test]
fn open_files_are_few_for_thousands_of_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    let sessions: Vec<_> = (0..super::OPEN_FILES + 20).map(|_| session()).collect();
    for seq in 0..2 {
        for session in &sessions {
            recorder.open(session).unwrap();
            recorder.append(&ping(session, seq)).unwrap();
        }
        assert!(recorder.flush().is_empty());
        assert_eq!(recorder.open.len(), super::OPEN_FILES);
    }
    assert!(catalogue(dir.path()).iter().all(|tape| tape.messages == 2 && tape.problems.is_empty()));
}

fn check_identity(raw: &[u8], original: Option<&[u8]>) {
    let disk = SmallDisk::default();
    disk.set(usize::MAX, true);
    let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
    let session = session();
    let path = recorder.open(&session).unwrap();
    let mut written = envelope(&session, 1, raw.to_vec());
    written.original = original.map(|raw| Message::new(raw.to_vec()));
    written.outcome = if original.is_some() { Outcome::Edited(Author::Operator) } else { Outcome::Forwarded };
    recorder.append(&written).unwrap();
    recorder.append(&ping(&session, 2)).unwrap();
    recorder.flush();
    let tape = disk.tape(&path);
    assert_eq!(tape.troubles(), [""; 0]);
    let [read, _] = &tape.envelopes[..] else { panic!("{} lines", tape.envelopes.len()) };
    assert_eq!(read.message.raw(), raw);
    assert_eq!(read.original.as_ref().map(|it| &it.raw()[..]), original);
    assert_eq!(read.outcome, written.outcome);
}

#[test]
fn tape_keeps_odd_bytes() {
    let deep = "[".repeat(300) + &"]".repeat(300);
    let odd: [&[u8]; 14] = [
        b"",
        b" ",
        b"{}",
        b" {\"a\":1}",
        b"{\"a\":1}\r\n",
        b"{\"a\":\r\n1}",
        b"\xef\xbb\xbf{\"a\":1}",
        b"{\"a\":1,\"a\":2,\"id\":1,\"id\":2}",
        b"{\"n\":123456789012345678901234567890,\"x\":1.10,\"y\":1e2}",
        b"{\"method\":\"\\ud83d\",\"s\":\"\\ud83d \\/ \\u00e9\"}",
        b"\xff\xfe{\"method\":1}",
        "\u{2028}\u{2029}\u{85}".as_bytes(),
        b"Content-Length: 3\r\n\r\n{}",
        deep.as_bytes(),
    ];
    for raw in odd {
        check_identity(raw, None);
        check_identity(b"{}", Some(raw));
    }
}

#[test]
fn large_messages_stand_on_the_tape_like_small_ones_also_where_the_disk_is_full() {
    let session = session();
    let large = |seq: u64| {
        let text = "x".repeat(20_000);
        envelope(
            &session,
            seq,
            format!(r#"{{"jsonrpc":"2.0","id":{seq},"method":"ping","params":{{"text":"{text}"}}}}"#),
        )
    };
    let broken = envelope(&session, 3, format!("{{\"jsonrpc\":\n\"2.0\",\"text\":\"{}\"}}", "y".repeat(20_000)));
    let disk = SmallDisk::default();
    disk.0.lock().left = 75_000;
    disk.0.lock().cuts = true;
    let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
    let path = recorder.open(&session).unwrap();
    for message in [large(1), ping(&session, 2), broken, large(4)] {
        recorder.append(&message).unwrap();
    }
    assert!(recorder.flush().is_empty());
    for message in [ping(&session, 5), large(6), ping(&session, 7), large(8), ping(&session, 9)] {
        recorder.append(&message).unwrap();
    }
    assert!(matches!(recorder.flush()[..], [RecordingNotice::Failed { .. }]));
    let text = String::from_utf8(disk.0.lock().files[&*path].clone()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<_> = lines[1..].iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    assert_eq!(lines[4]["msg"], serde_json::from_slice::<serde_json::Value>(large(4).message.raw()).unwrap());
    disk.0.lock().left = 200_000;
    recorder.append(&ping(&session, 10)).unwrap();
    assert!(matches!(recorder.flush()[..], [RecordingNotice::Recovered { missing: 4, .. }]));
}

proptest! {
    #[test]
    fn tape_keeps_any_bytes(raw: Vec<u8>, original: Option<Vec<u8>>) {
        check_identity(&raw, original.as_deref());
    }

    #[test]
    fn tape_keeps_bytes_that_are_nearly_json(raw in r#"[ \r\n]{0,2}\{"[a-z\\]{0,3}":[0-9eE.]{0,30},?\}[ \t\r\n]{0,2}"#) {
        check_identity(raw.as_bytes(), Some(raw.as_bytes()));
    }

    /// Whatever the disk does, every message is on the tape or counted as missing, and no line is broken.
    #[test]
    fn gaps_account_for_every_lost_message(steps in prop::collection::vec((0_u64..4, 0_usize..700, any::<bool>()), 1..20)) {
        let disk = SmallDisk::default();
        let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
        let session = session();
        let path = recorder.open(&session).unwrap();
        let mut seq = 0;
        for (messages, left, cuts) in steps {
            disk.set(left, cuts);
            for _ in 0..messages {
                seq += 1;
                recorder.append(&ping(&session, seq)).unwrap();
            }
            recorder.flush();
        }
        disk.set(usize::MAX, true);
        recorder.append(&ping(&session, seq + 1)).unwrap();
        recorder.close(session.id, "done").unwrap();
        let tape = disk.tape(&path);
        prop_assert_eq!(tape.envelopes.len() as u64 + missing(&tape), seq + 1);
        prop_assert!(tape.problems.is_empty() && !tape.torn);
        prop_assert_eq!(tape.end.as_deref(), Some("done"));
    }
}

fn noted(session: &Session, seq: u64, is_marked: bool, comment: &str) -> Annotation {
    Annotation { session: session.id, seq: Seq(seq), mark: MessageMark { is_marked, comment: comment.to_owned() } }
}

#[test]
fn annotation_waits_for_a_disk_and_has_no_secret() {
    let disk = SmallDisk::default();
    let mut recorder = Recorder::on("tapes", Box::new(disk.clone()), Duration::ZERO);
    let session = session();
    let path = recorder.open(&session).unwrap();
    for (seq, left) in [(1, 100_000), (2, 10), (3, 0), (4, 100_000)] {
        disk.set(left, true);
        recorder.append(&ping(&session, seq)).unwrap();
        recorder.annotate(&noted(&session, seq, true, "token=ghp_0123456789abcdefghijABCDEFGHIJ456789")).unwrap();
        recorder.flush();
    }
    let tape = disk.tape(&path);
    assert_eq!(tape.annotations.all().count(), 4, "{tape:?}");
    let comments: Vec<_> = tape.annotations.all().map(|(_, mark)| &mark.comment).collect();
    assert!(comments.iter().all(|it| it.contains("[redacted:") && !it.contains("ghp_")), "{comments:?}");
    // Nobody has closed it, as after a kill.
    assert_eq!((tape.end.as_deref(), missing(&tape)), (None, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn annotations_are_as_they_were_left(
        live in proptest::collection::vec((1..4_u64, any::<bool>(), "[ -~]{0,8}"), 0..8),
        later in proptest::collection::vec((1..4_u64, any::<bool>(), "[ -~]{0,8}"), 0..8),
        is_packed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::new(dir.path()).redacting(None);
        let session = session();
        let mut path = recorder.open(&session).unwrap().to_path_buf();
        (1..4).for_each(|seq| recorder.append(&ping(&session, seq)).unwrap());
        let mut expected = std::collections::BTreeMap::new();
        for (seq, is_marked, comment) in &live {
            recorder.annotate(&noted(&session, *seq, *is_marked, comment)).unwrap();
            expected.insert(Seq(*seq), noted(&session, *seq, *is_marked, comment).mark);
        }
        recorder.close(session.id, "client").unwrap();
        if is_packed {
            path = care::pack(&path, care::Packing::Zstd, &|_, _| true).unwrap().unwrap().0;
        }
        for (seq, is_marked, comment) in &later {
            care::annotate(&path, &[noted(&session, *seq, *is_marked, comment)]).unwrap();
            expected.insert(Seq(*seq), noted(&session, *seq, *is_marked, comment).mark);
        }
        let tape = Tape::read(&path).unwrap();
        expected.retain(|_, mark| !mark.is_empty());
        let found: std::collections::BTreeMap<_, _> = tape.annotations.all().map(|(seq, mark)| (seq, mark.clone())).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(tape.envelopes.len(), 3);
        let verified = care::verify(&path, None, &|_, _| true).unwrap();
        prop_assert!(verified.is_sound() && verified.sealed == Some(true) && verified.behind_seal == 0);
    }
}

#[test]
fn annotation_of_a_tape_that_is_read_only_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    let session = session();
    let path = recorder.open(&session).unwrap();
    recorder.append(&ping(&session, 1)).unwrap();
    recorder.close(session.id, "client").unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    let why = care::annotate(&path, &[noted(&session, 1, true, "")]).unwrap_err().to_string();
    assert!(why.contains("it is read-only"), "{why}");
}
