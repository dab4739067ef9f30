//! Sessions that outlive the tapline they began under, that leave memory and come back, and that end by themselves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tapline::app::Settings;
use tapline::demo::server::{ServerOptions, serve};
use tapline::event::{Event, OnQuit};
use tapline::store::{self, Database};
use tapline::tape::Tape;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::known;
use crate::support::scripts::server;
use crate::support::{Binary, Client, ProcessAlive, Rig, binary, client_in_session, command, settings, soon};

/// What belongs to one user who has nothing else running.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn tapes(&self) -> PathBuf {
        self.0.path().join("tapes")
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("data").join("tapline").join("sessions.db")
    }

    fn command(&self) -> std::process::Command {
        let mut command = binary::command();
        command.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", self.0.path().join("run"));
        command.env_remove("TAPLINE_NO_DATABASE").env("XDG_DATA_HOME", self.0.path().join("data"));
        command
    }

    /// `tapline run` in front of a URL, at an address.
    async fn run(&self, listen: &str, url: &str) -> Binary {
        let tapes = self.tapes();
        let arguments = ["--tapes", tapes.to_str().unwrap(), "--upstream", url];
        Binary::run_at(listen, self.command(), &arguments).await
    }

    fn all_tapes(&self) -> Vec<Tape> {
        let files = std::fs::read_dir(self.tapes()).unwrap().map(|file| file.unwrap().path());
        let tapes = files.filter(|path| path.to_str().unwrap().ends_with(".tape.jsonl"));
        tapes.map(|path| Tape::read(&path).unwrap()).collect()
    }
}

/// The demo's server over Streamable HTTP, which refuses ids that it has not given.
async fn demo_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, ServerOptions::default(), CancellationToken::new()));
    url
}

fn ping(id: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

/// A client that calls and calls until nobody answers; it counts the answers as they come.
async fn load(mut client: Client, answers: watch::Sender<usize>) -> (Client, usize) {
    let mut answered = 0;
    while client.is_answered(&ping(answered + 1)).await {
        answered += 1;
        answers.send_replace(answered);
    }
    (client, answered)
}

/// Waits until all have so many answers.
async fn all_have(loads: &mut [watch::Receiver<usize>], answers: usize) {
    for load in loads {
        soon("an answer", load.wait_for(|answered| *answered >= answers)).await.unwrap();
    }
}

fn lines(tape: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(tape).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
}

#[tokio::test]
async fn kill_under_load_loses_no_session() {
    const CLIENTS: usize = 4;
    const SAFE: usize = 200;
    const MEANWHILE: usize = 300;
    let (home, url) = (Home::new(), demo_server().await);
    let first = home.run("127.0.0.1:0", &url).await;
    let address = first.address();
    let (mut loads, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let mut client = first.client().await;
        client.initialize().await;
        let (answers, count) = watch::channel(0);
        loads.push(tokio::spawn(load(client, answers)));
        counts.push(count);
    }
    // What was answered so long before the end that many more answers came meanwhile must be on the tapes.
    all_have(&mut counts, SAFE).await;
    let now = counts.iter().map(|count| *count.borrow()).max().unwrap();
    all_have(&mut counts, now + MEANWHILE).await;
    first.signal("KILL");
    let mut loaded = Vec::new();
    for load in loads {
        loaded.push(soon("the end of a load", load).await.unwrap());
    }
    drop(first.end().await);

    let second = home.run(&address.to_string(), &url).await;
    for (client, answered) in &loaded {
        let mut client = client.again(second.address()).await;
        let response = client.call(ping(answered + 100)).await;
        assert_eq!(response.status(), "200", "its server still knows it: {response:?}");
        assert_eq!(response.json()["id"], answered + 100);
    }
    second.signal("TERM");
    drop(second.end().await);

    let tapes = home.all_tapes();
    assert_eq!(tapes.len(), CLIENTS, "each session went on on its tape");
    for tape in tapes {
        let ids: Vec<_> =
            tape.envelopes.iter().filter_map(|it| it.message.id()).map(|id| id.token().to_owned()).collect();
        assert!(loaded.iter().any(|(_, answered)| ids.contains(&(answered + 100).to_string())));
        for id in 1..=SAFE {
            // The request and its reply.
            assert_eq!(
                ids.iter().filter(|it| **it == id.to_string()).count(),
                2,
                "{id} was answered and is not recorded"
            );
        }
        let lines = lines(&tape.path);
        let seam = lines.iter().position(|line| line["mark"] == "seam").expect("a seam");
        assert_eq!(lines[seam]["text"], "session restored under a new tapline");
        let numbers =
            |lines: &[serde_json::Value]| -> Vec<u64> { lines.iter().filter_map(|it| it["seq"].as_u64()).collect() };
        let (before, after) = (numbers(&lines[..seam]), numbers(&lines[seam..]));
        assert!(
            !after.is_empty() && before.iter().max() < after.iter().min(),
            "{after:?} go on after {}",
            before.len()
        );
    }
}

/// In front of a URL, keeping sessions in a home.
fn keeping(home: &Home, url: &str, sessions: &store::Settings) -> Settings {
    let sessions = store::Settings { database: Some(home.database()), ..sessions.clone() };
    Settings { tapes: Some(home.tapes()), sessions, ..settings(url) }
}

fn at_most(max: usize) -> store::Settings {
    store::Settings { max, ..Default::default() }
}

#[tokio::test]
async fn lru_sets_idle_sessions_aside_and_restores_them() {
    let (home, url) = (Home::new(), demo_server().await);
    let rig = Rig::start(keeping(&home, &url, &at_most(2))).await;
    let mut listening = client_in_session(&rig).await;
    let mut with_stream = listening.again(rig.address()).await;
    with_stream.get().await;
    assert_eq!(with_stream.head().await.second_word(), "200");
    let (mut second, mut third) = (client_in_session(&rig).await, client_in_session(&rig).await);
    let left = rig.session(2).await;
    assert_eq!(rig.closed(left).await, "suspended: more than 2 sessions");
    assert_eq!(rig.core().mounts().live().len(), 2);
    // The one that was not used last has an open stream: it stays, and so both others take turns.
    assert_eq!(second.call(ping(1)).await.status(), "200");
    assert_eq!(rig.closed(rig.session(3).await).await, "suspended: more than 2 sessions");
    assert_eq!(third.call(ping(1)).await.status(), "200");
    assert_eq!(listening.call(ping(1)).await.status(), "200");
    drop((with_stream, listening, second, third));
    rig.quit(OnQuit::Forward).await;
    let tapes = home.all_tapes();
    assert_eq!(tapes.len(), 3, "whoever came back went on on its tape");
    let tape = tapes.iter().find(|tape| tape.header.session == left).unwrap();
    let marks: Vec<_> = lines(&tape.path).iter().filter_map(|line| Some(line["mark"].as_str()?.to_owned())).collect();
    assert_eq!(marks.iter().filter(|mark| *mark == "seam").count(), 1, "{marks:?}");
    assert_eq!(tape.header.peers.client.as_ref().unwrap().name, "raw");
}

#[tokio::test]
async fn evicted_command_session_ends_its_child() {
    let (alive, dir) = (ProcessAlive::new(), TempDir::new().unwrap());
    // The first child alone is looked after.
    let first = format!("mkdir {}/first 2>/dev/null && {}", dir.path().display(), alive.line());
    let script = format!("{first}while read -r line; do echo '{{\"id\":0,\"result\":{{}}}}'; done");
    let settings = Settings { sessions: at_most(1), ..Settings::new(command(&["sh", "-c", &script])) };
    let rig = Rig::start(settings).await;
    let mut first = client_in_session(&rig).await;
    let _second = client_in_session(&rig).await;
    assert_eq!(rig.closed(rig.session(1).await).await, "suspended: more than 1 sessions");
    assert_eq!(first.call(ping(0)).await.status(), "404", "its client is to start anew");
    alive.ended().await;
    rig.quit(OnQuit::Forward).await;
}

#[tokio::test]
async fn idle_session_ends_unless_it_has_a_stream() {
    let (home, url) = (Home::new(), demo_server().await);
    let idle = store::Settings { idle: Some(Duration::from_secs(1)), ..Default::default() };
    let rig = Rig::start(keeping(&home, &url, &idle)).await;
    let listening = client_in_session(&rig).await;
    let mut with_stream = listening.again(rig.address()).await;
    with_stream.get().await;
    assert_eq!(with_stream.head().await.second_word(), "200");
    let mut silent = client_in_session(&rig).await;
    let (first, second) = (rig.session(1).await, rig.session(2).await);
    assert_eq!(rig.closed(second).await, "idle for 1s");
    assert!(rig.core().mounts().find(first).is_some(), "somebody listens");
    drop(with_stream);
    assert_eq!(rig.closed(first).await, "idle for 1s");
    // The server knows the client still: it is a session of its own for us.
    assert_eq!(silent.call(ping(1)).await.status(), "200");
    rig.session(3).await;
    rig.quit(OnQuit::Forward).await;
    assert_eq!(home.all_tapes().len(), 3);
}

#[tokio::test]
async fn session_survives_an_orderly_restart() {
    let (home, url) = (Home::new(), demo_server().await);
    let rig = Rig::start(keeping(&home, &url, &store::Settings::default())).await;
    let client = client_in_session(&rig).await;
    let session = rig.session(1).await;
    rig.quit(OnQuit::Forward).await;
    let rig = Rig::start(keeping(&home, &url, &store::Settings::default())).await;
    let (mut one, mut other) = (client.again(rig.address()).await, client.again(rig.address()).await);
    one.post(ping(1)).await;
    other.post(ping(2)).await;
    assert_eq!((one.response().await.status(), other.response().await.status()), ("200", "200"));
    assert_eq!(rig.session(1).await, session, "both are of the one session");
    let told = rig.quit(OnQuit::Forward).await;
    let opened = told.iter().filter(|event| matches!(event, Event::SessionOpened(_))).count();
    let known = told.iter().find_map(|event| if let Event::SessionOpened(it) = event { Some(it) } else { None });
    let peers = known.map(|session| (session.client.is_some(), session.server.is_some(), session.protocol.is_some()));
    assert_eq!((opened, peers), (1, Some((true, true, true))));
}

#[tokio::test]
async fn session_owner_survives_a_restart() {
    let (home, url) = (Home::new(), demo_server().await);
    let auth = ["ann", "bob"].map(|name| known(name, name, "")).concat();
    let guarded =
        || Settings { auth: toml::from_str(&auth).unwrap(), ..keeping(&home, &url, &store::Settings::default()) };
    let as_client = |client: &mut Client, name: &str, session: &str| {
        client.headers = format!("{session}authorization: Bearer {name}\r\n");
    };
    let rig = Rig::start(guarded()).await;
    let mut client = rig.client().await;
    as_client(&mut client, "ann", "");
    client.initialize().await;
    let session = client.headers.clone();
    rig.quit(OnQuit::Forward).await;
    let rig = Rig::start(guarded()).await;
    let mut stranger = client.again(rig.address()).await;
    as_client(&mut stranger, "bob", &session);
    let refused = stranger.call(ping(1)).await;
    assert_eq!(refused.status(), "404");
    assert!(refused.text().contains("tapline: session not found"), "{}", refused.text());
    let mut client = client.again(rig.address()).await;
    as_client(&mut client, "ann", &session);
    assert_eq!(client.call(ping(2)).await.status(), "200");
    assert_eq!(stranger.call(ping(3)).await.status(), "404");
    let live = rig.session(1).await;
    let told = rig.quit(OnQuit::Forward).await;
    assert_eq!(told.iter().filter(|event| matches!(event, Event::SessionOpened(_))).count(), 1);
    let kept = Database::open_existing(&home.database()).unwrap().sessions().unwrap();
    let kept: Vec<_> = kept.iter().map(|it| (it.session.id, it.caller.as_deref())).collect();
    assert_eq!(kept, [(live, Some("token:ann"))]);
}

#[tokio::test]
async fn command_session_gets_a_fresh_child_after_a_kill() {
    const SERVER: &str = server!(
        r#"
            *'"initialized'*|*'/initialized'*) told=$((told + 1)) ;;
            *initialize*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}' ;;
            *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"pid":'$$',"told":'${told:-0}'}}' ;;"#
    );
    let (home, tapes) = (Home::new(), TempDir::new().unwrap());
    let arguments = ["--tapes", tapes.path().to_str().unwrap(), "--", "sh", "-c", SERVER];
    let first = Binary::run_at("127.0.0.1:0", home.command(), &arguments).await;
    let address = first.address().to_string();
    let mut client = first.client().await;
    client.initialize().await;
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(client.call(initialized).await.status(), "202");
    let before = client.call(ping(1)).await.json()["result"].clone();
    assert_eq!(before["told"], 1);
    // What a fresh child is to be told is on disk: the id of the client is no use to anybody without it.
    let kept = || {
        let records = Database::open_existing(&home.database()).unwrap().sessions().unwrap();
        let handshake = records.first().and_then(|record| record.handshake.clone());
        handshake.is_some_and(|it| it.contains(r#""initialized":true"#))
    };
    soon("the handshake on disk", async {
        while !kept() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    first.signal("KILL");
    drop(first.end().await);

    let second = Binary::run_at(&address, home.command(), &arguments).await;
    let (mut one, mut other) = (client.again(second.address()).await, client.again(second.address()).await);
    one.post(ping(2)).await;
    other.post(ping(3)).await;
    let after = one.response().await.json()["result"].clone();
    assert_eq!(after, other.response().await.json()["result"], "one child for both requests");
    assert_eq!(after["told"], 1, "it was told that it is initialized");
    assert_ne!(after["pid"], before["pid"]);
    let mut stranger = second.client().await;
    stranger.headers = "mcp-session-id: 00000000000000000000000000000000\r\n".to_owned();
    assert_eq!(stranger.call(ping(4)).await.status(), "404");
    second.signal("TERM");
    drop(second.end().await);
    let tapes: Vec<_> = std::fs::read_dir(tapes.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let tapes: Vec<_> = tapes.iter().map(|tape| lines(tape)).collect();
    let (refused, own): (Vec<_>, Vec<_>) = tapes.iter().partition(|tape| tape.iter().any(|line| line["status"] == 404));
    assert_eq!((refused.len(), own.len()), (1, 1), "it went on on its tape, and the stranger's is another");
    let seam = own[0].iter().find(|line| line["mark"] == "seam").expect("a seam");
    assert_eq!(seam["text"], "new process after a restart of tapline: `initialize` sent again");
}

#[tokio::test]
async fn damaged_database_warns_and_messages_pass() {
    let (home, url) = (Home::new(), demo_server().await);
    std::fs::create_dir_all(home.database().parent().unwrap()).unwrap();
    std::fs::write(home.database(), "this is not the database that you are looking for").unwrap();
    let mut tapline = home.run("127.0.0.1:0", &url).await;
    let line = loop {
        let line = tapline.line().await.expect("a warning");
        if line.starts_with("WARN") {
            break line;
        }
    };
    assert!(line.contains("store: ") && line.contains(home.database().to_str().unwrap()), "{line}");
    assert!(line.contains("is damaged, or no database") && line.contains("move it away"), "{line}");
    let mut client = tapline.client().await;
    client.initialize().await;
    assert_eq!(client.call(ping(1)).await.status(), "200");
    tapline.signal("TERM");
    let (status, lines, _) = tapline.end().await;
    assert_eq!(status.code(), Some(143));
    assert!(!lines.iter().any(|line| line.starts_with("WARN") || line.starts_with("ERROR")), "{lines:?}");
}

#[tokio::test]
async fn no_record_and_no_database_leave_no_file() {
    let (home, url) = (Home::new(), demo_server().await);
    for arguments in [&["--no-record"][..], &["--no-database", "--tapes", home.tapes().to_str().unwrap()]] {
        let arguments = [arguments, &["--upstream", &url]].concat();
        let tapline = Binary::run_as(home.command(), &arguments).await;
        tapline.client().await.initialize().await;
        tapline.signal("TERM");
        drop(tapline.end().await);
        assert!(!home.0.path().join("data").exists());
    }
}

/// `tapline sessions`, run to its end: status, stdout, stderr.
async fn sessions(home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let mut command = tokio::process::Command::from(home.command());
    let output = soon("the end", command.arg("sessions").args(arguments).output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Each session as `ls --json` has it.
async fn listed(home: &Home) -> Vec<serde_json::Value> {
    let (status, out, _) = sessions(home, &["ls", "--json"]).await;
    assert_eq!(status, 0);
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks again until it is as wanted: what runs saves in its own time.
async fn until_listed(home: &Home, wanted: impl Fn(&[serde_json::Value]) -> bool) -> Vec<serde_json::Value> {
    soon("the list", async {
        loop {
            let listed = listed(home).await;
            if wanted(&listed) {
                break listed;
            }
        }
    })
    .await
}

fn short(listed: &serde_json::Value) -> String {
    let id = listed["id"].as_str().unwrap().replace('-', "");
    id[id.len() - 8..].to_owned()
}

#[tokio::test]
async fn sessions_command_lists_shows_and_removes() {
    let (home, url) = (Home::new(), demo_server().await);
    assert_eq!(listed(&home).await, Vec::<serde_json::Value>::new());
    let (status, out, _) = sessions(&home, &["ls"]).await;
    assert!(status == 0 && out.starts_with("no sessions are kept in "), "{out}");
    assert!(!home.database().exists(), "to look makes nothing");

    let tapline = home.run("127.0.0.1:0", &url).await;
    let (mut stays, mut leaves) = (tapline.client().await, tapline.client().await);
    stays.initialize().await;
    leaves.initialize().await;
    leaves.request("DELETE /mcp", "", b"").await;
    assert_eq!(leaves.response().await.status(), "200");
    let states = |list: &[serde_json::Value]| {
        let mut states: Vec<_> = list.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states
    };
    let list = until_listed(&home, |list| states(list) == ["active", "closed"]).await;
    let live = list.iter().find(|it| it["state"] == "active").unwrap();
    assert_eq!((&live["process"], &live["client"]["name"]), (&tapline.process().into(), &"raw".into()));

    let (status, out, _) = sessions(&home, &["show", &short(live)[..6]]).await;
    assert!(status == 0 && out.contains(&format!("active, in process {}", tapline.process())), "{out}");
    let (status, out, error) = sessions(&home, &["rm", &short(live)]).await;
    assert!(status == 1 && out.is_empty() && error.contains("of a tapline that runs"), "{error}");
    let (status, _, error) = sessions(&home, &["show", "0"]).await;
    assert!(status == 2 && error.contains("may be each of") || error.contains("no session is known"), "{error}");
    let (status, _, error) = sessions(&home, &["show", "zzz"]).await;
    assert!(status == 2 && error.contains("no session is known by `zzz`"), "{error}");

    let tapes = format!("--tapes={}", home.tapes().display());
    let (status, out, _) = sessions(&home, &["rm", "--closed", &tapes]).await;
    assert_eq!((status, out.as_str()), (0, "removed 1 session and 1 tape\n"));
    assert_eq!(home.all_tapes().len(), 1);
    tapline.signal("TERM");
    drop(tapline.end().await);

    assert_eq!(states(&listed(&home).await), ["waiting"]);
    assert_eq!(sessions(&home, &["rm", "--older-than", "1h"]).await.1, "nothing to remove\n");
    let (status, out, _) = sessions(&home, &["ls"]).await;
    assert!(status == 0 && out.contains("raw 1 -> ") && out.contains(".tape.jsonl") && !out.contains('\x1b'), "{out}");
    assert_eq!(sessions(&home, &["rm", live["id"].as_str().unwrap()]).await.1, "removed 1 session\n");
    assert_eq!((listed(&home).await.len(), home.all_tapes().len()), (0, 1), "its tape stays");

    std::fs::write(home.database(), "no database, but more than sixteen bytes").unwrap();
    let (status, _, error) = sessions(&home, &["ls"]).await;
    assert!(status == 2 && error.contains("is damaged, or no database"), "{error}");
}

#[tokio::test]
async fn sessions_rm_removes_nothing_but_tapes_of_the_directory() {
    let (home, url) = (Home::new(), demo_server().await);
    let tapline = home.run("127.0.0.1:0", &url).await;
    for _ in 0..5 {
        tapline.client().await.initialize().await;
    }
    until_listed(&home, |list| list.len() == 5 && list.iter().all(|it| !it["tape"].is_null())).await;
    tapline.signal("TERM");
    drop(tapline.end().await);
    // Whoever can write the database points at other files: no tape, a tape elsewhere, that of another session, and a link.
    let files = std::fs::read_dir(home.tapes()).unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.to_str().unwrap().ends_with(".tape.jsonl")).collect();
    let [plain, elsewhere, link] =
        ["x.tape.jsonl", "../x.tape.jsonl", "y.tape.jsonl"].map(|name| home.tapes().join(name));
    std::fs::write(&plain, "no tape").unwrap();
    std::fs::copy(&files[0], &elsewhere).unwrap();
    std::os::unix::fs::symlink(&files[0], &link).unwrap();
    let ids: Vec<_> = listed(&home).await.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let of = |path: &PathBuf| Tape::read(path).unwrap().header.session.0.to_string();
    let ours = of(&files[0]);
    let others: Vec<_> = ids.iter().filter(|id| **id != ours).collect();
    let database = rusqlite::Connection::open(home.database()).unwrap();
    for (id, path) in [(others[0], &plain), (others[1], &elsewhere), (others[2], &link), (others[3], &files[0])] {
        let changed =
            database.execute("UPDATE sessions SET tape = ? WHERE id = ?", [path.to_str().unwrap(), id]).unwrap();
        assert_eq!(changed, 1);
    }
    drop(database);
    let tapes = format!("--tapes={}", home.tapes().display());
    for id in &others {
        let (status, out, error) = sessions(&home, &["rm", id, &tapes]).await;
        assert_eq!((status, out.as_str()), (1, "removed 1 session and 0 tapes\n"), "{error}");
        assert!(error.contains("of their tapes stay"), "{error}");
    }
    assert!(plain.exists() && elsewhere.exists() && link.exists() && files.iter().all(|file| file.exists()));
    let (status, out, error) = sessions(&home, &["rm", &ours, &tapes]).await;
    assert_eq!((status, out.as_str()), (0, "removed 1 session and 1 tape\n"), "{error}");
    assert!(!files[0].exists());
}
