use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::database::MIGRATIONS;
use super::*;
use crate::envelope::{SessionId, Via};
use crate::event::{Origin, Peer, SessionState, TapeInfo};

const US: Owner = Owner { process: 1, started: Timestamp(1) };
const OTHER: Owner = Owner { process: 2, started: Timestamp(2) };
const UPSTREAM: &str = "http://127.0.0.1:9000/mcp";

fn record(key: Option<&str>) -> Record {
    let peer = |name: &str| Some(Peer { name: name.to_owned(), version: "1".to_owned() }.into());
    Record {
        session: Arc::new(Session {
            id: SessionId::random(),
            upstream_name: Some("files".to_owned()),
            upstream: UPSTREAM.into(),
            via: Via::Http,
            started: Timestamp(1_000_000),
            state: SessionState::Active,
            origin: Origin::Client,
            client: peer("ide"),
            server: peer("files"),
            protocol: Some("2025-11-25".to_owned()),
            tape: Some(Path::new("/tapes/x.tape.jsonl").into()),
        }),
        key: key.map(|key| KeyHash::of(key.as_bytes())),
        ended: None,
        last_used: Timestamp(2_000_000),
        last_seq: Seq(41),
        messages: 7,
        handshake: Some(r#"{"initialized":true}"#.to_owned()),
        caller: Some("token:ann".to_owned()),
        owner: US,
    }
}

type Said = Arc<Mutex<Vec<(Level, String)>>>;

struct Rig {
    dir: TempDir,
    said: Said,
}

impl Rig {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), said: Said::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sub").join(FILE)
    }

    fn log(&self) -> LogFn {
        let said = self.said.clone();
        Box::new(move |level, text| said.lock().push((level, text)))
    }

    /// As a tapline beside which those run.
    fn start(&self, owner: Owner, living: &[Owner]) -> (Store, StoreThread) {
        let living = living.to_vec();
        Store::start(self.path(), owner, Box::new(move || living.clone()), self.log())
    }

    fn saved(&self) -> Vec<Record> {
        Database::open_existing(&self.path()).unwrap().sessions().unwrap()
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().iter().map(|(level, text)| format!("{} {text}", level.word())).collect()
    }
}

#[test]
fn store_returns_the_latest_state_of_each_session() {
    let rig = Rig::new();
    let (store, thread) = rig.start(US, &[]);
    let (mut one, other) = (record(Some("one")), record(None));
    store.save(one.clone());
    store.save(other.clone());
    for messages in 8..2000 {
        one.messages = messages;
        one.last_used = Timestamp(2_000_000 + messages);
        store.save(one.clone());
    }
    thread.finish();
    assert_eq!(rig.saved(), [one, other], "the one used last comes first");
    assert_eq!(rig.said(), [""; 0]);
}

#[test]
fn database_is_private_and_holds_no_secret() {
    let rig = Rig::new();
    let (store, thread) = rig.start(US, &[]);
    let mut with_secret = record(Some("the-session-id"));
    Arc::make_mut(&mut with_secret.session).upstream = "https://me:pw@host/mcp".into();
    store.save(with_secret);
    // The write-ahead log is there as long as it is open.
    let _ = store.tapes();
    let files: Vec<_> = std::fs::read_dir(rig.path().parent().unwrap()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        let bytes = std::fs::read(file.path()).unwrap();
        for secret in ["the-session-id", "pw@"] {
            assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{secret} in {file:?}");
        }
    }
    thread.finish();
}

async fn find(store: &Store, id: &str, name: Option<&str>, upstream: &str) -> Option<Record> {
    store.find(KeyHash::of(id.as_bytes()), (name.map(str::to_owned), upstream.to_owned())).await
}

#[tokio::test]
async fn session_is_found_by_its_clients_id_at_the_same_upstream() {
    let rig = Rig::new();
    let (store, thread) = rig.start(US, &[]);
    let mut ended = record(Some("ended"));
    ended.ended = Some(Timestamp(9));
    let known = record(Some("id"));
    for record in [known.clone(), ended, record(None)] {
        store.save(record);
    }
    let name = Some("files");
    assert_eq!(find(&store, "id", name, UPSTREAM).await, Some(known));
    for (id, name, upstream) in [
        ("id", name, "http://elsewhere/mcp"),
        ("id", Some("other"), UPSTREAM),
        ("id", None, UPSTREAM),
        ("other", name, UPSTREAM),
        ("ended", name, UPSTREAM),
    ] {
        assert_eq!(find(&store, id, name, upstream).await, None, "{id} {name:?} {upstream}");
    }
    thread.finish();
    assert_eq!(find(&store, "id", name, UPSTREAM).await, None, "nobody is there to ask");
}

#[tokio::test]
async fn session_of_a_running_tapline_is_its_own() {
    let rig = Rig::new();
    let (store, thread) = rig.start(OTHER, &[]);
    store.save(Record { owner: OTHER, ..record(Some("id")) });
    thread.finish();
    for (owner, living, found) in
        [(US, &[OTHER][..], false), (US, &[US], true), (US, &[], true), (OTHER, &[OTHER], true)]
    {
        let (store, thread) = rig.start(owner, living);
        assert_eq!(find(&store, "id", Some("files"), UPSTREAM).await.is_some(), found, "{owner:?} beside {living:?}");
        thread.finish();
    }
}

#[test]
fn session_that_cannot_be_restored_ended_with_its_tapline() {
    let rig = Rig::new();
    let (store, thread) = rig.start(OTHER, &[]);
    let (with_key, without) = (record(Some("id")), record(None));
    for record in [&with_key, &without] {
        store.save(Record { owner: OTHER, ..record.clone() });
    }
    thread.finish();
    let ended = |living: &[Owner]| {
        rig.start(US, living).1.finish();
        let ended = rig.saved().into_iter().filter(|record| record.ended.is_some());
        ended.map(|record| record.session.id).collect::<Vec<_>>()
    };
    assert_eq!(ended(&[OTHER]), [], "it runs");
    assert_eq!(ended(&[]), [without.session.id]);
}

#[test]
fn database_of_version_1_is_migrated_and_keeps_its_sessions() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../assets/schema/0001.sql")).unwrap();
    old.execute_batch("PRAGMA application_id = 1952542828; PRAGMA user_version = 1;").unwrap();
    old.execute_batch(
        r#"INSERT INTO sessions (id, upstream, state, via, origin, started, last_used, last_seq, messages, owner, owner_started)
           VALUES ('019ab8c1-0000-7000-8000-000000000001', 'cat', '{"closed":{"reason":"quit"}}', '"stdio"', '"client"', 1, 2, 3, 4, 5, 6)"#,
    )
    .unwrap();
    drop(old);
    let mut database = Database::open(&path).unwrap();
    let known = database.sessions().unwrap();
    assert_eq!((known.len(), known[0].messages, known[0].last_seq), (1, 4, Seq(3)));
    assert_eq!(known[0].caller, None);
    let tape = KnownTape { modified: 5, info: info("/tapes/x") };
    database.learn_tapes(std::slice::from_ref(&tape)).unwrap();
    assert_eq!(database.tapes().unwrap(), [tape]);
    assert_eq!(Database::open_existing(&path).unwrap().sessions().unwrap(), known, "there is nothing more to do");
}

fn info(path: &str) -> TapeInfo {
    TapeInfo {
        path: path.into(),
        session: Some(SessionId::random()),
        parent: Some(crate::event::TapeParent { session: SessionId::random(), seq: Seq(7) }),
        upstream: "cat".to_owned(),
        client: None,
        server: Some(Peer { name: "files".to_owned(), version: "2".to_owned() }.into()),
        protocol: None,
        started: Timestamp(1),
        messages: 2,
        bytes: 3,
        tools: Some(vec![("search".to_owned(), 2)]),
        notes: vec!["why?".to_owned()],
        problems: vec!["torn".to_owned()],
    }
}

/// What an older tapline knew of tapes is shown, and says that they are to be read.
#[test]
fn database_of_version_5_is_migrated_and_keeps_its_tapes() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE);
    for migration in &MIGRATIONS[..5] {
        sql(&path, migration);
    }
    sql(
        &path,
        r#"PRAGMA application_id = 1952542828; PRAGMA user_version = 5;
           INSERT INTO tapes VALUES ('/tapes/x', 5, 3, 'cat', NULL, NULL, 1, 2, '[]', NULL, NULL)"#,
    );
    let mut database = Database::open(&path).unwrap();
    let older = TapeInfo {
        session: None,
        parent: None,
        server: None,
        tools: None,
        notes: Vec::new(),
        problems: Vec::new(),
        ..info("/tapes/x")
    };
    assert_eq!(database.tapes().unwrap(), [KnownTape { modified: 5, info: older }]);
    let read = KnownTape { modified: 5, info: info("/tapes/x") };
    database.learn_tapes(std::slice::from_ref(&read)).unwrap();
    assert_eq!(database.tapes().unwrap(), [read]);
}

fn sql(path: &Path, text: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
}

#[test]
fn unusable_database_is_reported_once_and_left_as_it_is() {
    type Spoil = fn(&Path);
    let spoils: [(Spoil, &str); 6] = [
        (
            |path| std::fs::write(path, "no database, but a text of more than sixteen bytes").unwrap(),
            "is damaged, or no database",
        ),
        (|path| std::fs::write(path, vec![0xff; 4096]).unwrap(), "is damaged, or no database"),
        (
            |path| sql(path, "PRAGMA application_id = 1952542828; CREATE TABLE x (y); PRAGMA user_version = 99"),
            "newer tapline (schema 99, this one knows 6)",
        ),
        (|path| sql(path, "CREATE TABLE mine (x)"), "is a database of another program"),
        (|path| std::fs::create_dir(path).unwrap(), "cannot open"),
        (
            |path| {
                std::fs::remove_dir(path.parent().unwrap()).unwrap();
                std::fs::write(path.parent().unwrap(), "").unwrap();
            },
            "cannot open",
        ),
    ];
    for (spoil, expected) in spoils {
        let rig = Rig::new();
        let path = rig.path();
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        spoil(&path);
        let before = std::fs::read(&path).ok();
        let (store, thread) = rig.start(US, &[]);
        store.save(record(None));
        thread.finish();
        store.save(record(None));
        let said = rig.said();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("WARN") && said[0].contains(expected), "{expected}: {said:?}");
        assert!(said[0].contains(path.to_str().unwrap()), "{said:?}");
        assert!(said[0].ends_with("; sessions end with this tapline"), "{said:?}");
        assert_eq!(std::fs::read(&path).ok(), before, "{expected}: it is the user's");
    }
}

#[test]
fn locked_database_is_reported() {
    let rig = Rig::new();
    rig.start(US, &[]).1.finish();
    let locked = rusqlite::Connection::open(rig.path()).unwrap();
    locked.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let (store, thread) = rig.start(US, &[]);
    store.save(record(None));
    thread.finish();
    let said = rig.said();
    assert!(said.len() == 1 && said[0].contains("is locked by another program"), "{said:?}");
}

#[tokio::test]
async fn locked_database_keeps_nobody_waiting() {
    for opened_before in [false, true] {
        let rig = Rig::new();
        let nobody = || (KeyHash::of(b"nobody's"), (None, String::new()));
        rig.start(US, &[]).1.finish();
        let before = opened_before.then(|| rig.start(US, &[]));
        if let Some((store, _)) = &before {
            assert!(store.find(nobody().0, nobody().1).await.is_none());
        }
        let locked = rusqlite::Connection::open(rig.path()).unwrap();
        locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let (store, thread) = before.unwrap_or_else(|| rig.start(US, &[]));
        let began = std::time::Instant::now();
        for _ in 0..4 {
            store.save(record(None));
            assert!(store.find(nobody().0, nobody().1).await.is_none());
        }
        thread.finish();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(rig.said().len() <= 2, "each is said once: {:?}", rig.said());
    }
}

#[test]
fn full_disk_is_reported_once_and_all_is_saved_later() {
    let rig = Rig::new();
    let mut database = Database::open(&rig.path()).unwrap();
    let notes = Arc::new(Notes::default());
    let mut writer = StoreWriter::new(rig.path(), notes.clone(), rig.log());
    let room = |database: &Database, pages: u32| {
        database.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    };
    room(&database, 1);
    let mut large = record(None);
    large.handshake = Some("x".repeat(100_000));
    let small = record(None);
    notes.insert(large.clone());
    notes.insert(small.clone());
    writer.flush(&mut database);
    large.messages += 1;
    notes.insert(large.clone());
    writer.flush(&mut database);
    let said = rig.said();
    assert!(said.len() == 1 && said[0].starts_with("ERROR sessions cannot be saved: "), "{said:?}");
    assert!(said[0].contains("full"), "{said:?}");
    room(&database, 1000);
    writer.flush(&mut database);
    let said = rig.said();
    assert!(said.len() == 2 && said[1].starts_with("INFO sessions are saved to "), "{said:?}");
    let mut saved = database.sessions().unwrap();
    saved.sort_by_key(|record| record.session.id);
    assert_eq!(saved, [large, small]);
}

#[test]
fn section_overrides_the_defaults() {
    let read = |text: &str| toml::from_str::<Section>(text).map_err(|error| error.to_string());
    let defaults = Settings { database: Some("x".into()), ..Settings::default() };
    assert_eq!(read("").unwrap().over(&defaults), Ok(defaults.clone()));
    let all = read("max = 5\nidle = \"90m\"\ndatabase = \"y\"").unwrap().over(&defaults).unwrap();
    assert_eq!((all.max, all.idle, all.database), (5, Some(Duration::from_secs(5400)), Some("y".into())));
    for (text, why) in [("max = 0", "`max` is 0"), ("idle = \"0s\"", "`idle` is 0")] {
        assert!(read(text).unwrap().over(&defaults).is_err_and(|error| error.contains(why)), "{text}");
    }
    for (text, why) in [("idle = \"soon\"", "invalid duration `soon`"), ("mx = 1", "unknown field")] {
        assert!(read(text).is_err_and(|error| error.contains(why)), "{text}");
    }
}
