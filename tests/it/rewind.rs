//! A live session taken back behind its client: a fresh process that counts from the start is told what was said up to a message.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tapline::app;
use tapline::demo::server::{ServerOptions, serve};
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Envelope, Outcome, Seq};
use tapline::event::{Command, Event, ForkRequest, OnQuit, ReplayEvent, RewindRequest};
use tapline::tape::Mark;
use tapline::tape::read::{TapeEntry, TapeReader};
use tapline::upstream::pool::Settings;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio_util::sync::CancellationToken;

use crate::pool::modern;
use crate::support::watched::Place;
use crate::support::{Client, Rig, client_in_session, envelope, kept_command, request, settings, soon};

/// Counts `add`, asks its client at `ask`, and answers `wait` never. Where there is a pipe to read from, it waits at `initialize`; where
/// there is a file `dies`, it ends at `add`.
const COUNTER: &str = r#"
count=0
while read -r line; do
    printf '%s %s\n' "$$" "$line" >>'DIR/heard'
    id=${line#*\"id\":}; id=${id%%[,\}]*}
    result=
    case "$line" in
    *'"method":"initialize"'*)
        [ -p 'DIR/gate' ] && read -r _ <'DIR/gate'
        result='{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"counter","version":"1"}}' ;;
    *'"method":"add"'*)
        [ -e 'DIR/dies' ] && exit 3
        count=$((count + 1)); result='{"count":'$count'}' ;;
    *'"method":"ask"'*)
        echo '{"jsonrpc":"2.0","id":77,"method":"roots/list"}'
        read -r answer
        printf '%s %s\n' "$$" "$answer" >>'DIR/heard'
        result='{"asked":true}' ;;
    esac
    [ -n "$result" ] && echo '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}'
done
"#;

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

struct Counter(TempDir);

impl Counter {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let script = COUNTER.replace("DIR", dir.path().to_str().unwrap());
        std::fs::write(dir.path().join("counter"), script).unwrap();
        std::fs::create_dir(dir.path().join("tapes")).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tapes(&self) -> PathBuf {
        self.path("tapes")
    }

    async fn rig(&self) -> Rig {
        let command = kept_command(&["sh", self.path("counter").to_str().unwrap()], Settings::default());
        Rig::start(app::Settings { tapes: Some(self.tapes()), ..app::Settings::new(command) }).await
    }

    /// What each of its processes has heard, the first first.
    fn heard(&self) -> Vec<Vec<Value>> {
        let text = std::fs::read_to_string(self.path("heard")).unwrap();
        let mut processes: Vec<(&str, Vec<Value>)> = Vec::new();
        let lines = text.lines().map(|line| line.split_once(' ').unwrap());
        // A process that waits for an answer as its stdin is closed reads nothing.
        for (process, message) in lines.filter(|(_, message)| !message.is_empty()) {
            if processes.last().is_none_or(|(last, _)| *last != process) {
                processes.push((process, Vec::new()));
            }
            processes.last_mut().unwrap().1.push(serde_json::from_str(message).unwrap());
        }
        processes.into_iter().map(|(_, heard)| heard).collect()
    }
}

fn only_tape(counter: &Counter) -> PathBuf {
    std::fs::read_dir(counter.tapes()).unwrap().next().unwrap().unwrap().path()
}

async fn in_session(rig: &Rig) -> Client {
    let mut client = client_in_session(rig).await;
    assert_eq!(client.call(INITIALIZED).await.status(), "202");
    client
}

async fn add(client: &mut Client, id: u32) -> Value {
    client.call(request(id, "add")).await.json()["result"]["count"].clone()
}

/// The number of the reply that the client got to a request of its own.
async fn reply_to(rig: &Rig, id: u32) -> Seq {
    let is_it = move |it: &Envelope| {
        it.outcome == Outcome::Forwarded && it.message.id().is_some_and(|own| own.token() == id.to_string())
    };
    rig.message(ToClient, is_it).await.seq
}

async fn rewind(rig: &Rig, until: Seq) {
    let session = rig.session(1).await;
    rig.command_now(Command::Rewind(RewindRequest { session, until }));
}

#[tokio::test]
async fn rewind_has_the_count_of_the_message_and_the_client_goes_on_without_a_word() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    for (id, count) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
        assert_eq!(add(&mut client, id).await, count);
    }
    let to = reply_to(&rig, 2).await;
    rewind(&rig, to).await;
    assert_eq!(rig.seam(1).await, format!("rewound to {to}: 4 messages of the client said again"));
    assert_eq!(add(&mut client, 5).await, 3);
    // What was told again is nobody's call.
    let counted = |event: &Event| match event {
        Event::Figures(figures) if figures.to_server.messages == 11 => Some(figures.requests()),
        _ => None,
    };
    assert_eq!(rig.event("the figures of all messages", counted).await, 6);
    // What came after it is undone; what came after the seam is not.
    let to = reply_to(&rig, 5).await;
    assert_eq!(add(&mut client, 6).await, 4);
    rewind(&rig, to).await;
    assert_eq!(rig.seam(2).await, format!("rewound to {to}: 5 messages of the client said again"));
    assert_eq!(add(&mut client, 7).await, 4);
    // A message from before the first rewind is reached as it was then.
    rewind(&rig, reply_to(&rig, 1).await).await;
    rig.seam(3).await;
    assert_eq!(add(&mut client, 8).await, 2);
    let heard = counter.heard();
    assert_eq!(heard.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6, 6, 4], "{heard:#?}");
    let is_ours = |message: &&Value| message["id"].as_str().is_some_and(|id| id.starts_with("tapline-"));
    assert_eq!(heard[1].iter().filter(is_ours).count(), 3, "ids that no client has: {:#?}", heard[1]);
    assert_eq!(heard[1].iter().filter(|message| message["id"].is_u64()).count(), 2, "{:#?}", heard[1]);
    assert!(rig.complaints().is_empty(), "{:?}", rig.complaints());
}

#[tokio::test]
async fn rewind_that_is_asked_for_twice_at_once_is_one() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    for (id, count) in [(1, 1), (2, 2), (3, 3)] {
        assert_eq!(add(&mut client, id).await, count);
    }
    let to = reply_to(&rig, 2).await;
    let session = rig.session(1).await;
    (0..2).for_each(|_| rig.command_now(Command::Rewind(RewindRequest { session, until: to })));
    rig.event("that the second waits", |event| match event {
        Event::Log(line) if line.text.contains("a session is being rewound") => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(rig.seam(1).await, format!("rewound to {to}: 4 messages of the client said again"));
    assert_eq!(add(&mut client, 4).await, 3);
}

#[tokio::test]
async fn rewind_answers_what_was_pending_and_holds_what_comes_meanwhile() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    assert_eq!(add(&mut client, 1).await, 1);
    let to = reply_to(&rig, 1).await;
    assert_eq!(add(&mut client, 2).await, 2);
    assert!(std::process::Command::new("mkfifo").arg(counter.path("gate")).status().unwrap().success());
    let mut waiting = client.again(rig.address()).await;
    let (answer, ()) = tokio::join!(waiting.call(request(3, "wait")), async {
        rig.message(ToServer, |it| it.method() == Some("wait")).await;
        rewind(&rig, to).await;
    });
    let error = answer.json()["error"]["message"].to_string();
    assert!(error.contains(&format!("was restarted before it answered: a rewind to {to}")), "{error}");
    let (count, ()) = tokio::join!(add(&mut client, 4), async {
        let is_it = |it: &Envelope| it.message.id().is_some_and(|id| id.token() == "4");
        rig.message(ToServer, is_it).await;
        let opened = counter.path("gate");
        tokio::task::spawn_blocking(move || std::fs::write(opened, "go\n").unwrap()).await.unwrap();
    });
    assert_eq!(count, 2);
    let heard = counter.heard();
    let asked: Vec<_> = heard[1].iter().filter_map(|message| message["id"].as_u64()).collect();
    assert_eq!(asked, [4], "what waited came last: {:#?}", heard[1]);
    assert_eq!(heard[1].last().unwrap()["id"], 4);
    // It is no part of what was undone.
    std::fs::remove_file(counter.path("gate")).unwrap();
    let to = reply_to(&rig, 4).await;
    rewind(&rig, to).await;
    assert_eq!(rig.seam(2).await, format!("rewound to {to}: 4 messages of the client said again"));
    assert_eq!(add(&mut client, 5).await, 3);
}

#[tokio::test]
async fn rewind_answers_the_server_as_the_client_did_and_asks_the_client_nothing() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    let mut asking = client.again(rig.address()).await;
    let (answer, ()) = tokio::join!(asking.call(request(1, "ask")), async {
        rig.message(ToClient, |it| it.method() == Some("roots/list")).await;
        let roots = r#"{"jsonrpc":"2.0","id":77,"result":{"roots":[{"uri":"file:///once"}]}}"#;
        assert_eq!(client.call(roots).await.status(), "202");
    });
    assert_eq!(answer.status(), "200");
    let to = rig.message(ToClient, |it| it.message.value().is_some_and(|it| it["result"]["asked"] == true)).await.seq;
    rewind(&rig, to).await;
    assert_eq!(rig.seam(1).await, format!("rewound to {to}: 4 messages of the client said again"));
    let heard = counter.heard();
    assert_eq!(heard[1].last().unwrap()["result"]["roots"][0]["uri"], "file:///once", "{heard:#?}");
    let asked = rig
        .until("both questions", |log| {
            let asked: Vec<_> =
                log.iter().filter_map(envelope).filter(|it| it.method() == Some("roots/list")).collect();
            let asked: Vec<_> =
                asked.iter().filter(|it| it.direction == ToClient).map(|it| it.outcome.clone()).collect();
            (asked.iter().filter(|it| **it == Outcome::Withheld).count() == 1).then_some(asked)
        })
        .await;
    assert_eq!(asked.iter().filter(|it| **it == Outcome::Forwarded).count(), 1);
    assert_eq!(add(&mut client, 2).await, 1);
}

/// An answer that crosses a rewind is to a question of the process that is gone; the fresh one counts its questions from the same start.
#[tokio::test]
async fn rewind_lets_no_late_answer_reach_the_fresh_process() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    assert_eq!(add(&mut client, 1).await, 1);
    let to = reply_to(&rig, 1).await;
    let asked = |nth: usize| {
        rig.until("a question", move |log| {
            let mut asked = log.iter().filter_map(envelope).filter(|it| it.direction == ToClient);
            asked.by_ref().filter(|it| it.method() == Some("roots/list")).nth(nth).map(|it| it.message.clone())
        })
    };
    let mut asking = client.again(rig.address()).await;
    let (lost, ()) = tokio::join!(asking.call(request(2, "ask")), async {
        asked(0).await;
        rewind(&rig, to).await;
        rig.seam(1).await;
    });
    assert_eq!(lost.status(), "200", "it had begun");
    let answer = |id: &str, uri: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[{{"uri":"file:///{uri}"}}]}}}}"#)
    };
    let (answered, ()) = tokio::join!(asking.call(request(3, "ask")), async {
        let question = asked(1).await;
        assert_eq!(client.call(answer("77", "late")).await.status(), "202");
        let id = question.id().unwrap().token().to_owned();
        assert_eq!(client.call(answer(&id, "now")).await.status(), "202");
    });
    assert!(answered.text().contains(r#""asked":true"#), "{}", answered.text());
    let heard = counter.heard();
    let last = heard[1].last().unwrap();
    assert_eq!((&last["id"], &last["result"]["roots"][0]["uri"]), (&json!(77), &json!("file:///now")), "{heard:#?}");
    assert!(rig.complaints().is_empty(), "{:?}", rig.complaints());
}

/// What the client said next was no answer: the past has none, and the fresh process gets an error of ours.
#[tokio::test]
async fn rewind_behind_an_open_question_says_that_it_was_answered_by_an_error() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    let mut asking = client.again(rig.address()).await;
    tokio::join!(asking.call(request(1, "ask")), async {
        rig.message(ToClient, |it| it.method() == Some("roots/list")).await;
        // It is read in the place of the answer.
        client.post(request(2, "add")).await;
    });
    let to = rig.message(ToClient, |it| it.message.value().is_some_and(|it| it["result"]["asked"] == true)).await.seq;
    rewind(&rig, to).await;
    let told = rig.seam(1).await;
    let said = "; a question of the server was answered by an error: the client had not answered it by then";
    assert!(told.starts_with(&format!("rewound to {to}: 4 messages")) && told.ends_with(said), "{told}");
}

#[tokio::test]
async fn rewind_is_on_the_tape_and_what_it_undid_is_not_played_any_more() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    for id in 1..=3 {
        add(&mut client, id).await;
    }
    let to = reply_to(&rig, 1).await;
    rewind(&rig, to).await;
    rig.seam(1).await;
    assert_eq!(add(&mut client, 4).await, 2);
    let until = reply_to(&rig, 4).await;
    let tape = only_tape(&counter);
    rig.command_now(Command::Fork(ForkRequest { tape: tape.clone(), session: None, until }));
    let branch = rig.event("a branch", |event| if let Event::Branched(it) = event { Some(it.clone()) } else { None });
    assert_eq!(branch.await.differing, 0, "it is as the session was in the end");
    rig.quit(OnQuit::Forward).await;
    assert_eq!(
        marks(&tape),
        [
            format!("a fresh process is told what was said up to {to}"),
            format!("rewound to {to}: 3 messages of the client said again")
        ]
    );
    let heard = counter.heard();
    let methods =
        |heard: &[Value]| heard.iter().map(|it| it["method"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(methods(&heard[2]), ["initialize", "notifications/initialized", "add", "add"]);
}

#[tokio::test]
async fn rewind_whose_process_dies_ends_its_play_and_leaves_no_call_behind() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    add(&mut client, 1).await;
    let to = reply_to(&rig, 1).await;
    std::fs::write(counter.path("dies"), "").unwrap();
    rewind(&rig, to).await;
    let failed = |event: &Event| match event {
        Event::Replay(ReplayEvent::Failed { why }) => Some(why.clone()),
        _ => None,
    };
    let why = rig.event("the end of the play", failed).await;
    assert!(why.contains("status 3"), "{why}");
    let told = rig.seam(1).await;
    assert!(told.starts_with(&format!("not rewound to {to}: new process after ")), "{told}");
    std::fs::remove_file(counter.path("dies")).unwrap();
    assert_eq!(add(&mut client, 2).await, 1, "the next process knows the handshake alone");
    let (tape, until) = (only_tape(&counter), reply_to(&rig, 2).await);
    rig.command_now(Command::Fork(ForkRequest { tape, session: None, until }));
    let branch = rig.event("a branch", |event| if let Event::Branched(it) = event { Some(it.clone()) } else { None });
    assert_eq!(branch.await.differing, 0, "it is as the session was in the end");
    let methods: Vec<_> = counter.heard().pop().unwrap().into_iter().map(|it| it["method"].clone()).collect();
    assert_eq!(methods, ["initialize", "notifications/initialized", "add"]);
    rewind(&rig, to).await;
    let again = rig.until("another seam", move |log| {
        let mut seams =
            log.iter().filter_map(|event| if let Event::Log(line) = event { Some(&line.text) } else { None });
        seams.find(|text| text.starts_with(&format!("rewound to {to}: "))).cloned()
    });
    again.await;
    assert_eq!(add(&mut client, 3).await, 2);
}

#[tokio::test]
async fn rewind_says_what_was_said_without_its_secrets() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    let secret = r#"{"jsonrpc":"2.0","id":1,"method":"add","params":{"password":"correct-horse"}}"#;
    assert_eq!(client.call(secret).await.status(), "200");
    let to = reply_to(&rig, 1).await;
    rewind(&rig, to).await;
    let said = "3 messages of the client said again, 1 without its secrets: they are not on the tape";
    assert_eq!(rig.seam(1).await, format!("rewound to {to}: {said}"));
    assert!(!counter.heard()[1].iter().any(|message| message.to_string().contains("correct-horse")));
}

#[tokio::test]
async fn branch_at_which_nothing_was_played_says_so_and_leaves_no_session() {
    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = in_session(&rig).await;
    assert_eq!(add(&mut client, 1).await, 1);
    let until = reply_to(&rig, 1).await;
    assert!(std::process::Command::new("mkfifo").arg(counter.path("gate")).status().unwrap().success());
    let tape = std::fs::read_dir(counter.tapes()).unwrap().next().unwrap().unwrap().path();
    rig.command_now(Command::Fork(ForkRequest { tape, session: None, until }));
    let branch = rig.session(2).await;
    rig.message(ToServer, move |it| it.session == branch && it.method() == Some("initialize")).await;
    rig.command_now(Command::StopReplay);
    let why = rig.event("the reason", |event| match event {
        Event::Replay(ReplayEvent::Failed { why }) => Some(why.clone()),
        _ => None,
    });
    let expected = format!("nothing was played up to {until}: it was stopped before; `:branch` begins again");
    assert_eq!(why.await, expected);
    assert_eq!(rig.closed(branch).await, "nothing was played");
    assert_eq!(add(&mut client, 2).await, 2);
}

/// What the marks of a tape say of a rewind.
fn marks(tape: &Path) -> Vec<String> {
    let told = |entry| match entry {
        TapeEntry::Mark(Mark::Seam { text, .. } | Mark::Rewind { text, .. }) => Some(text),
        _ => None,
    };
    TapeReader::open(tape).unwrap().filter_map(told).collect()
}

#[tokio::test]
async fn rewind_that_cannot_be_says_why_and_what_can_be_done_instead() {
    let dir = TempDir::new().unwrap();
    let refused = |rig: Rig| async move {
        let session = rig.session(1).await;
        rig.command_now(Command::Rewind(RewindRequest { session, until: Seq(2) }));
        let failed = rig.event("the reason", |event| match event {
            Event::Replay(ReplayEvent::Failed { why }) => Some(why.clone()),
            _ => None,
        });
        failed.await
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, ServerOptions::default(), CancellationToken::new()));
    let rig = Rig::start(app::Settings { tapes: Some(dir.path().to_owned()), ..settings(&url) }).await;
    in_session(&rig).await;
    let why = refused(rig).await;
    assert_eq!(why, "its server is not a command of this tapline; `:branch` branches off the session instead");

    let counter = Counter::new();
    let rig = counter.rig().await;
    let mut client = rig.client().await;
    assert_eq!(client.call(modern(1, "add")).await.status(), "200");
    let why = refused(rig).await;
    let shared = "its process is that of all clients of revision 2026-07-28, which has no sessions";
    assert_eq!(why, format!("{shared}; `:branch` branches off the session instead"));

    let words = ["sh", counter.path("counter").to_str().unwrap()].map(str::to_owned);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let rig = Rig::kept(&words, Settings::default()).await;
    in_session(&rig).await;
    let why = refused(rig).await;
    assert_eq!(why, "this session is not recorded, so there is nothing to tell a fresh process");
}

/// A client that has launched tapline as its server, and knows nothing of who watches.
struct LaunchedClient {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LaunchedClient {
    fn start(place: &Place, counter: &Counter) -> Self {
        let mut command = tokio::process::Command::from(place.command());
        command.args(["stdio", "--tapes", counter.tapes().to_str().unwrap(), "--"]);
        command.args(["sh", counter.path("counter").to_str().unwrap()]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    async fn tell(&mut self, message: &str) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// The next line, whatever it is.
    async fn line(&mut self) -> Value {
        let mut line = String::new();
        soon("a line", self.output.read_line(&mut line)).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn add(&mut self, id: u32) -> Value {
        self.tell(&request(id, "add")).await;
        self.line().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rewind_from_the_screen_is_drawn_in_the_list_and_its_launched_client_hears_nothing_of_it() {
    let (place, counter) = (Place::new(), Counter::new());
    let mut client = LaunchedClient::start(&place, &counter);
    client.tell(crate::support::INITIALIZE).await;
    client.line().await;
    client.tell(INITIALIZED).await;
    for id in 1..=3 {
        assert_eq!(client.add(id).await, json!({"jsonrpc": "2.0", "id": id, "result": {"count": id}}));
    }
    let process = client.child.id().unwrap().to_string();
    let mut terminal = place.terminal(&["attach", &process]);
    terminal.wait_for("#9 result of #8");
    terminal.press(":5\r");
    terminal.wait_for("#5 result of #4");
    terminal.press("<");
    terminal.wait("the rewind as two lines between messages", |screen| {
        let contents = screen.contents();
        let lines: Vec<_> = contents.lines().collect();
        let at = |text: &str| lines.iter().position(|line| line.contains(text));
        let (began, ended) = (
            at("── a fresh process is told what was said up to #5 ─")?,
            at("── rewound to #5: 3 messages of the client said again ─")?,
        );
        // Of the process: `initialize`, its answer, `initialized`, `add`, its answer.
        (ended - began == 6).then_some(())
    });
    assert_eq!(client.add(4).await, json!({"jsonrpc": "2.0", "id": 4, "result": {"count": 2}}));
    terminal.press("G");
    terminal.wait("what comes after it", |screen| {
        let contents = screen.contents();
        let seam = contents.lines().position(|line| line.contains("── rewound to #5"))?;
        let rest: Vec<_> = contents.lines().skip(seam + 1).filter(|line| line.contains("add")).collect();
        (rest.len() >= 2).then_some(())
    });
    terminal.press("Q");
    terminal.ends_with(0);
}
