//! Taplines watched and commanded from elsewhere: real processes, real sockets, the real screen.

use std::process::Stdio;
use std::sync::Arc;

use serde_json::json;
use tapline::control::client::Remote;
use tapline::control::hub::{Ending, Hub, WatchedTaplines};
use tapline::control::merge::About;
use tapline::control::{ControlToken, FeedLine};
use tapline::envelope::{Direction, Envelope, Outcome, SessionId};
use tapline::event::{Command, Decision, Event, Feed, Held, Level, LogLine, OnQuit};
use tapline::message::Message;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::watch;

use crate::support::terminal::Caller;
use crate::support::watched::{Place, Screen, answering, holding, settle};
use crate::support::{DEADLINE, INITIALIZE, Server, soon, tapline_binary};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","arguments":{}}}"#;
const EDIT: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"b","arguments":{}}}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#;

/// Everything a hub has told.
struct Wall {
    hub: Hub,
    log: watch::Receiver<Vec<Event>>,
}

impl Wall {
    fn over(watch: WatchedTaplines) -> Self {
        let hub = Hub::start(watch, None);
        let (feed, reader) = Feed::bounded(1 << 20);
        hub.journal().subscribe(feed);
        let (sender, log) = watch::channel(Vec::new());
        std::thread::spawn(move || {
            for event in &reader.events {
                sender.send_modify(|log: &mut Vec<Event>| log.push(event));
            }
        });
        Self { hub, log }
    }

    async fn until<T>(&self, what: &str, mut find: impl FnMut(&[Event]) -> Option<T>) -> T {
        let (mut log, mut found) = (self.log.clone(), None);
        let told = log.wait_for(|log| {
            found = find(log);
            found.is_some()
        });
        if !matches!(tokio::time::timeout(DEADLINE, told).await, Ok(Ok(_))) {
            panic!("{what} did not come; told was {:#?}", self.log.borrow());
        }
        found.unwrap()
    }

    async fn event<T>(&self, what: &str, mut find: impl FnMut(&Event) -> Option<T>) -> T {
        self.until(what, |log| log.iter().find_map(&mut find)).await
    }

    async fn held(&self, count: usize) -> Vec<Arc<Held>> {
        self.until("held messages", |log| {
            let held = log.iter().filter_map(|it| if let Event::Held(held) = it { Some(held.clone()) } else { None });
            Some(held.collect::<Vec<_>>()).filter(|held| held.len() >= count)
        })
        .await
    }

    async fn passed(&self, count: usize) -> Vec<Arc<Envelope>> {
        self.until("messages", |log| {
            let passed = log.iter().filter_map(|it| if let Event::Passed(it) = it { Some(it.clone()) } else { None });
            Some(passed.collect::<Vec<_>>()).filter(|passed| passed.len() >= count)
        })
        .await
    }

    async fn listening(&self, words: &str) {
        self.event(words, |event| match event {
            Event::Listening { url, upstream } => format!("{url} > {upstream}").contains(words).then_some(()),
            _ => None,
        })
        .await;
    }

    fn command(&self, command: Command) {
        self.hub.commands().send(command).unwrap();
    }
}

#[tokio::test]
async fn registry_forgets_a_killed_tapline() {
    let place = Place::new();
    let tapline = place.run(&["--upstream", "http://127.0.0.1:1/mcp"]).await;
    let file = place.dir().join(format!("{}.json", tapline.process()));
    assert!(file.exists());
    let process = tapline.process().to_string();
    tapline.signal("KILL");
    tapline.end().await;
    assert!(file.exists(), "nobody was left to remove it");
    let (status, said) = place.attach(&[&process]).await;
    assert_eq!(status, Some(2));
    assert_eq!(said, format!("tapline: no tapline `{process}` runs; none of this user's does\n"));
    assert!(!file.exists());

    let tapline = place.run(&["--upstream", "http://127.0.0.1:1/mcp"]).await;
    tapline.signal("TERM");
    tapline.end().await;
    assert_eq!(std::fs::read_dir(place.dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn attach_all_merges_two_taplines() {
    let place = Place::new();
    let wall = Wall::over(WatchedTaplines::All(place.registry()));
    wall.listening("no tapline runs yet").await;
    // Each appears by itself.
    let first = place.run(&["--name", "first", "--upstream", &answering().await]).await;
    wall.listening(&format!("/mcp > {}", place.entry(&first).upstream)).await;
    let second = place.run(&["--name", "second", "--upstream", &answering().await]).await;
    wall.listening("2 taplines > first, second").await;

    let (mut to_first, mut to_second) = (first.client().await, second.client().await);
    to_first.call(PING).await;
    to_second.call(PING).await;
    let passed = wall.passed(4).await;
    let mut seqs: Vec<_> = passed.iter().map(|it| it.seq.0).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2, 3, 4]);
    for reply in passed.iter().filter(|it| it.reply_to.is_some()) {
        let request = passed.iter().find(|it| it.seq == reply.reply_to.as_ref().unwrap().seq).unwrap();
        assert_eq!((request.session, request.direction), (reply.session, Direction::ToServer));
    }

    wall.command(Command::SetHolding(holding("~q ~m tools/call")));
    let both = |log: &[Event]| {
        let on = log.iter().filter(|event| matches!(event, Event::Holding(it) if it.on)).count();
        (on >= 2).then_some(())
    };
    wall.until("both hold", both).await;
    to_first.post(CALL).await;
    let held = wall.held(1).await.remove(0);
    to_second.post(CALL).await;
    let other = wall.held(2).await.remove(1);
    assert_ne!((held.ticket, held.envelope.session), (other.ticket, other.envelope.session));
    // The second first: each answer goes to its own tapline.
    wall.command(settle(other.ticket, Decision::Edit(Message::new(EDIT))));
    to_second.response().await;
    wall.command(settle(held.ticket, Decision::Forward));
    to_first.response().await;
    let edited = wall.event("an edit", |it| passed_as(it, other.envelope.seq.0)).await;
    assert!(matches!(edited.outcome, Outcome::Edited(_)));

    // The end of one: its session is closed, the other goes on.
    first.signal("TERM");
    first.end().await;
    wall.event("a closed session", |it| closed(it, held.envelope.session)).await;
    wall.listening(&format!("/mcp > {}", place.entry(&second).upstream)).await;
    wall.command(Command::CloseSession(other.envelope.session));
    wall.event("a session closed from here", |it| closed(it, other.envelope.session)).await;
    assert_eq!(wall.hub.close().await, Ending::Left);
}

fn passed_as(event: &Event, seq: u64) -> Option<Arc<Envelope>> {
    if let Event::Passed(it) = event { Some(it.clone()).filter(|it| it.seq.0 == seq) } else { None }
}

fn closed(event: &Event, session: SessionId) -> Option<()> {
    matches!(event, Event::SessionClosed { session: it, .. } if *it == session).then_some(())
}

#[tokio::test]
async fn hold_filter_reaches_taplines_that_start_later() {
    let place = Place::new();
    let wall = Wall::over(WatchedTaplines::All(place.registry()));
    wall.listening("no tapline runs yet").await;
    wall.command(Command::SetHolding(holding("~q ~m tools/call")));
    let tapline = place.run(&["--upstream", &answering().await]).await;
    wall.event("holding", |it| matches!(it, Event::Holding(it) if it.on).then_some(())).await;
    let mut client = tapline.client().await;
    client.post(CALL).await;
    let held = wall.held(1).await.remove(0);
    wall.command(settle(held.ticket, Decision::Drop));
    wall.event("the end of a hold", |it| matches!(it, Event::Settled { .. }).then_some(())).await;
}

#[tokio::test]
async fn detach_forwards_held_messages() {
    let place = Place::new();
    let tapline = place.run(&["--upstream", &answering().await]).await;
    let entry = place.entry(&tapline);
    let wall = Wall::over(WatchedTaplines::One(Remote::of(&entry).unwrap(), About::of(&entry)));
    wall.command(Command::SetHolding(holding("~q")));
    wall.event("holding", |it| matches!(it, Event::Holding(it) if it.on).then_some(())).await;
    let mut client = tapline.client().await;
    client.post(CALL).await;
    wall.held(1).await;
    wall.command(Command::Quit { held: OnQuit::Forward });
    wall.hub.ended().await;
    assert_eq!(wall.hub.close().await, Ending::Left);
    assert_eq!(client.response().await.status(), "200", "what was held went on");
    assert_eq!(client.call(CALL).await.status(), "200", "nothing is held any more");
    assert_eq!(place.entry(&tapline), entry, "it runs on");
}

#[tokio::test]
async fn detach_can_fail_held_messages() {
    let place = Place::new();
    let tapline = place.run(&["--upstream", &answering().await]).await;
    let wall = Wall::over(WatchedTaplines::All(place.registry()));
    wall.listening("/mcp").await;
    wall.command(Command::SetHolding(holding("~q")));
    wall.event("holding", |it| matches!(it, Event::Holding(it) if it.on).then_some(())).await;
    let mut client = tapline.client().await;
    client.post(CALL).await;
    wall.held(1).await;
    wall.command(Command::Quit { held: OnQuit::Fail });
    assert_eq!(client.response().await.json()["error"]["code"], -31004);
    assert_eq!(wall.hub.close().await, Ending::Left);
}

#[tokio::test]
async fn attach_ends_with_its_only_tapline() {
    let place = Place::new();
    for (signal, orderly) in [("TERM", true), ("KILL", false)] {
        let tapline = place.run(&["--upstream", "http://127.0.0.1:1/mcp"]).await;
        let entry = place.entry(&tapline);
        let wall = Wall::over(WatchedTaplines::One(Remote::of(&entry).unwrap(), About::of(&entry)));
        wall.listening("/mcp").await;
        tapline.signal(signal);
        soon("the end", wall.hub.ended()).await;
        assert_eq!(wall.hub.close().await == Ending::Stopped, orderly);
        tapline.end().await;
    }
}

#[tokio::test]
async fn slow_reader_resyncs_without_slowing_the_wire() {
    const CALLS: usize = 48;
    let place = Place::new();
    let tapline = place.run(&["--upstream", &answering().await]).await;
    let mut screen = Screen::on(&place.entry(&tapline)).await;
    screen.resynced().await;
    // More than all buffers on the way hold, while nobody reads.
    let call = CALL.replace(r#""a""#, &format!(r#""{}""#, "a".repeat(1 << 20)));
    let mut client = tapline.client().await;
    for _ in 0..CALLS {
        assert_eq!(client.call(&call).await.status(), "200");
    }
    let dropped = loop {
        if let FeedLine::Dropped(events) = screen.told().await {
            break events;
        }
    };
    assert!(dropped > 0);
    screen.command(Command::Resync).await;
    screen.until(|event| matches!(event, Event::ResyncStarted).then_some(())).await;
    let mut passed = 0;
    loop {
        match screen.told().await {
            FeedLine::Event(event) if matches!(*event, Event::ResyncDone) => break,
            FeedLine::Event(event) => passed += usize::from(matches!(*event, Event::Passed(_))),
            FeedLine::Dropped(events) => panic!("{events} dropped from what was asked for"),
        }
    }
    assert_eq!(passed, 2 * CALLS);
}

#[tokio::test]
async fn resync_repeats_no_event() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ntapline-feed: 3\r\nconnection: close\r\n\r\n";
    let log = |text: &str, at: u64| {
        let line = json!({"at": at, "level": "INFO", "source": "test", "session": null, "seq": null, "text": text});
        json!({ "log": line }).to_string()
    };
    let (one, two, three) = (log("one", 1), log("two", 2), log("three", 3));
    drop(Place::new());
    let mut server = Server::start().await;
    let address = server.url().strip_prefix("http://").unwrap().split('/').next().unwrap().parse().unwrap();
    let remote = Remote::new(address, ControlToken::given("x")).unwrap();
    let about = About { name: "far".to_owned(), front: "stdio".to_owned(), upstream: "far".to_owned(), pid: None };
    let wall = Wall::over(WatchedTaplines::One(remote, about));

    let mut events = server.next().await;
    assert_eq!((events.head.second_word(), events.head.get("authorization")), ("/events", Some("Bearer x")));
    events.write(format!("{HEAD}\"resync_started\"\n{one}\n\"resync_done\"\n{{\"dropped\":5}}\n")).await;
    let asked = server.next().await;
    assert_eq!((asked.head.second_word(), asked.text()), ("/commands?feed=3", "\"resync\""));
    asked.answer("HTTP/1.1 204 No Content\r\n\r\n").await;
    // An event of a later version means nothing to us, and costs nothing.
    events.write(format!("\"resync_started\"\n{one}\n{{\"later\":1}}\n{two}\n\"resync_done\"\n")).await;
    wall.event("two", |it| text(it).filter(|text| *text == "two").map(drop)).await;
    drop(events);
    let mut events = server.next().await;
    events.write(format!("{HEAD}\"resync_started\"\n{one}\n{two}\n{three}\n\"resync_done\"\n")).await;
    wall.event("three", |it| text(it).filter(|text| *text == "three").map(drop)).await;
    let told: Vec<_> = wall.log.borrow().iter().filter_map(text).map(str::to_owned).collect();
    let again = "far is there again";
    assert_eq!(told, ["one", "5 events of far came too fast: it tells its state again", "two", again, "three"]);
}

fn text(event: &Event) -> Option<&str> {
    if let Event::Log(line) = event { Some(&line.text) } else { None }
}

#[tokio::test]
async fn attach_headless_prints_lines() {
    let place = Place::new();
    let tapline = place.run(&["--name", "one", "--upstream", &answering().await]).await;
    tapline.client().await.call(CALL).await;
    let mut command = tokio::process::Command::from(place.command());
    command.args(["attach", "one", "--headless"]).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !soon("a line", lines.next_line()).await.unwrap().unwrap().contains("tools/call") {}
    tapline.signal("TERM");
    while !soon("a line", lines.next_line()).await.unwrap().unwrap().contains("has ended") {}
    assert!(soon("the end", child.wait()).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_screen_holds_and_edits_a_call() {
    let place = Place::new();
    let mut terminal = place.terminal(&["attach"]);
    terminal.wait_for("no tapline runs yet");
    let server = tapline_binary();
    let tapline = place.run(&["--", server.to_str().unwrap(), "__demo-server"]).await;
    let client = Caller::connect(terminal.url()).await;
    terminal.wait_for("initialize");
    terminal.press("i");
    terminal.wait_for("hold>");
    // In place of what is suggested.
    terminal.press("\x15~tool get_forecast & ~q\r");
    // That is what the tapline says, not what was typed.
    terminal.wait_for("HOLD on");
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.edit_the_held_city("Lisbon", "Oslo");
    let reply = call.await.unwrap();
    assert_eq!(reply["result"]["structuredContent"]["city"], "Oslo", "{reply}");
    terminal.wait("nothing held", |screen| (!screen.contents().contains("1 held")).then_some(()));
    terminal.press("Q");
    terminal.ends_with(0);
    assert_eq!(place.registry().list().len(), 1, "it runs on");
    drop(tapline);
}

#[tokio::test]
async fn attach_sees_and_holds_a_launched_stdio_server() {
    let place = Place::new();
    let wall = Wall::over(WatchedTaplines::All(place.registry()));
    wall.listening("no tapline runs yet").await;
    let mut command = tokio::process::Command::from(place.command());
    command.args(["stdio", "--no-record", "--", tapline_binary().to_str().unwrap(), "__demo-server"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(stdout).lines();
    wall.listening("stdio > ").await;
    assert_eq!(place.registry().list()[0].front, "stdio");

    wall.command(Command::SetHolding(holding("~q ~m tools/call")));
    wall.event("holding", |it| matches!(it, Event::Holding(it) if it.on).then_some(())).await;
    let call = |id: u32, city: &str| {
        let params = json!({"name": "get_forecast", "arguments": {"city": city}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
    };
    stdin.write_all(format!("{INITIALIZE}\n{}\n", call(1, "Lisbon")).as_bytes()).await.unwrap();
    let held = wall.held(1).await.remove(0);
    wall.command(settle(held.ticket, Decision::Edit(Message::new(call(1, "Oslo")))));
    while !soon("a line", lines.next_line()).await.unwrap().unwrap().contains("Oslo") {}
    // It ends with its client, as if nobody had watched.
    drop(stdin);
    assert_eq!(soon("the end", child.wait()).await.unwrap().code(), Some(0));
    wall.event("the end of the session", |it| closed(it, held.envelope.session)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quit_of_attached_screen_asks_about_held_messages() {
    let place = Place::new();
    let server = tapline_binary();
    let hold = ["--hold", "~tool get_forecast & ~q", "--", server.to_str().unwrap(), "__demo-server"];
    let tapline = place.run(&hold).await;
    let mut terminal = place.terminal(&["attach", &tapline.process().to_string()]);
    let client = Caller::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.wait_for("1 held");
    terminal.press("Q");
    terminal.wait_for("tapline runs on");
    terminal.press("f");
    terminal.ends_with(0);
    assert_eq!(call.await.unwrap()["result"]["structuredContent"]["city"], "Lisbon");
    drop(tapline);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_all_shows_other_taplines() {
    let place = Place::new();
    let other = place.run(&["--name", "other", "--upstream", &answering().await]).await;
    let server = tapline_binary();
    let own = ["--listen", "127.0.0.1:0", "--no-record", "--", server.to_str().unwrap(), "__demo-server"];
    let mut terminal = place.terminal(&[&["run", "--all", "--name", "own"], &own[..]].concat());
    terminal.wait_for("2 taplines");
    other.client().await.call(CALL).await;
    terminal.wait_for("tools/call");
    terminal.press("Q");
    terminal.ends_with(0);
    let left: Vec<_> = place.registry().list().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, ["other"]);
}

/// A control server that begins to tell with a line of half a gigabyte.
async fn endless(listener: tokio::net::TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            if head.starts_with(b"POST") {
                let _ =
                    stream.write_all(b"HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
                // A socket that is dropped with its request's body unread is reset, and the answer may be lost with it.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntapline-feed: 1\r\nconnection: close\r\n\r\n").await;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..512 {
                if stream.write_all(&piece).await.is_err() {
                    return;
                }
            }
            let line = Event::Log(LogLine::new(Level::Info, "test", "after the line".to_owned()));
            let line = format!("\n{}\n", serde_json::to_string(&line).unwrap());
            let _ = stream.write_all(line.as_bytes()).await;
            // It stays until it is left.
            let _ = stream.read(&mut [0]).await;
        });
    }
}

#[tokio::test]
async fn attach_passes_over_a_line_that_is_too_long_in_bounded_memory() {
    let place = Place::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(endless(listener));
    let mut command = tokio::process::Command::from(place.command());
    command.args(["attach", &address, "--token", "x", "--headless"]).stderr(Stdio::piped()).kill_on_drop(true);
    let mut attached = command.spawn().unwrap();
    let mut lines = BufReader::new(attached.stderr.take().unwrap()).lines();
    soon("the line after", async {
        while !lines.next_line().await.unwrap().expect("it goes on").contains("after the line") {}
    })
    .await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", attached.id().unwrap()));
    let peak = status.ok().and_then(|status| {
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?.split_whitespace().nth(1)?.parse::<u64>();
        line.ok()
    });
    assert!(peak.is_none_or(|kib| kib < 384 << 10), "{peak:?} KiB");
}
