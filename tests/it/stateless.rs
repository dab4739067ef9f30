//! A command that is declared stateless: as many children as there are calls at once, and subscriptions that hear them all.

use std::collections::HashSet;
use std::time::Duration;

use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::Outcome;
use tapline::event::{Event, Landmark, Level};
use tapline::upstream::pool::Settings;
use tempfile::TempDir;

use crate::pool::{event, figures, modern, named, pool};
use crate::support::{Client, Rig, envelope};

/// Calls of `slow` are answered once there is a file `go`; what changes is told to the listeners of the same process.
const SERVER: &str = r#"
    listening=
    of() { echo '"_meta":{"io.modelcontextprotocol/subscriptionId":'"$1"'}'; }
    accepted='{"toolsListChanged":true}'
    mkdir "$dir/first" 2>/dev/null || accepted="${later:-$accepted}"
    while read -r line; do
        id=${line#*\"id\":}; id=${id%%[,\}]*}
        case "$line" in
        *'"method":"subscriptions/listen"'*)
            listening="$listening $id"
            echo '{"method":"notifications/subscriptions/acknowledged","params":{"notifications":'"$accepted"','"$(of "$id")"'}}'
            continue ;;
        *'"method":"notifications/cancelled"'*)
            id=${line#*\"requestId\":}
            case " $listening " in *" ${id%%[,\}]*} "*) echo "$$ is let off" >&2 ;; esac
            continue ;;
        *'"method":"slow"'*)
            echo "$$ is slow" >&2
            until [ -e "$dir/go" ]; do sleep 0.01; done ;;
        *'"method":"change"'*)
            for it in $listening; do
                echo '{"method":"notifications/tools/list_changed","params":{'"$(of "$it")"'}}'
            done ;;
        *'"method":"end"'*)
            for it in $listening; do echo '{"id":'"$it"',"result":{'"$(of "$it")"'}}'; done
            listening= ;;
        *'"method":"die"'*) exit 4 ;;
        esac
        echo '{"id":'"$id"',"result":{"pid":'$$'}}'
    done
"#;

struct Stateless {
    rig: Rig,
    dir: TempDir,
}

impl Stateless {
    async fn new(settings: Settings) -> Self {
        Self::accepting("", settings).await
    }

    /// All children but the first accept `later` of a subscription.
    async fn accepting(later: &str, settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let script = format!("dir='{}'; later='{later}'; {SERVER}", dir.path().display());
        Self { rig: Rig::kept(&["sh", "-c", &script], settings).await, dir }
    }

    /// A client whose call a child is at, as the nth of all.
    async fn slow(&self, nth: usize) -> Client {
        let mut client = named(&self.rig, "slow").await;
        client.post(modern(1, "slow")).await;
        self.said("is slow", nth).await;
        client
    }

    /// Who wrote something to stderr, once so many have. The pid alone: what is said of a dead child quotes its last words.
    async fn said(&self, what: &'static str, count: usize) -> Vec<String> {
        let said = self.rig.until(format!("{count} times `{what}`"), move |log| {
            let lines =
                log.iter().filter_map(|event| if let Event::Log(line) = event { Some(&line.text) } else { None });
            let who = lines.filter_map(|line| line.strip_suffix(what)?.trim().parse::<u32>().ok());
            let who: Vec<_> = who.map(|pid| pid.to_string()).collect();
            (who.len() >= count).then_some(who)
        });
        said.await
    }

    fn go(&self) {
        std::fs::write(self.dir.path().join("go"), "").unwrap();
    }

    fn stop(&self) {
        std::fs::remove_file(self.dir.path().join("go")).unwrap();
    }
}

fn at_most(max: usize) -> Settings {
    Settings { max, stateless: true, ..Settings::default() }
}

fn tagged(method: &str) -> String {
    event(&format!(r#"{{"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":1}}}}}}"#))
}

const CHANGED: &str = "notifications/tools/list_changed";
const ENDED: &str = r#"{"id":1,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;

/// A client that has been told that it is subscribed, by the first child.
async fn listener(rig: &Rig, name: &str) -> Client {
    let mut client = named(rig, name).await;
    client.post(modern(1, "subscriptions/listen")).await;
    client.head().await;
    let first = event(concat!(
        r#"{"method":"notifications/subscriptions/acknowledged","params":{"notifications":{"toolsListChanged":true},"#,
        r#""_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#
    ));
    hears(&mut client, &first).await;
    client
}

async fn hears(client: &mut Client, expected: &str) {
    assert_eq!(String::from_utf8_lossy(&client.bytes(expected.len()).await), expected);
}

async fn pid(client: &mut Client, method: &str) -> String {
    client.call(modern(2, method)).await.json()["result"]["pid"].to_string()
}

async fn answered(mut client: Client) -> String {
    client.response().await.json()["result"]["pid"].to_string()
}

#[tokio::test]
async fn concurrent_calls_spread_over_children() {
    let server = Stateless::new(at_most(2)).await;
    let (first, second) = (server.slow(1).await, server.slow(2).await);
    let mut third = named(&server.rig, "third").await;
    third.post(modern(1, "x")).await;
    server.rig.message(ToServer, |it| it.method() == Some("x")).await;
    let full = pool(&server.rig).figures();
    assert_eq!((full.in_use, full.started, full.waiting), (2, 2, 0));
    server.go();
    let (first, second) = (answered(first).await, answered(second).await);
    assert_ne!(first, second);
    assert!([first, second].contains(&answered(third).await));
}

#[tokio::test]
async fn idle_child_is_used_before_a_new_one() {
    let server = Stateless::new(at_most(3)).await;
    let (first, second) = (server.slow(1).await, server.slow(2).await);
    let mut third = named(&server.rig, "third").await;
    let pids = [pid(&mut third, "x").await, pid(&mut third, "x").await];
    assert_eq!(pids[0], pids[1]);
    assert_eq!(pool(&server.rig).figures().started, 3);
    server.go();
    let all: HashSet<_> = [answered(first).await, answered(second).await, pids[0].clone()].into();
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn undeclared_command_is_one_child() {
    let server = Stateless::new(Settings::default()).await;
    let first = server.slow(1).await;
    let mut second = named(&server.rig, "second").await;
    second.post(modern(1, "x")).await;
    server.rig.message(ToServer, |it| it.method() == Some("x")).await;
    server.go();
    assert_eq!(answered(first).await, answered(second).await);
    assert_eq!(pool(&server.rig).figures().started, 1);
}

#[tokio::test]
async fn subscription_merges_all_children() {
    let server = Stateless::new(at_most(2)).await;
    let mut early = listener(&server.rig, "early").await;
    let slow = server.slow(1).await;
    let mut caller = named(&server.rig, "caller").await;
    // On a child that has come since.
    let other = pid(&mut caller, "change").await;
    hears(&mut early, &tagged(CHANGED)).await;
    let mut late = listener(&server.rig, "late").await;
    assert_eq!(pid(&mut caller, "change").await, other);
    server.go();
    let one = answered(slow).await;
    assert_eq!(pid(&mut caller, "change").await, one);
    for (client, changes) in [(&mut early, 2), (&mut late, 2)] {
        hears(client, &tagged(CHANGED).repeat(changes)).await;
    }
    // It has ended when all have ended it.
    assert_eq!(pid(&mut caller, "end").await, one);
    server.stop();
    let slow = server.slow(2).await;
    assert_eq!(pid(&mut caller, "change").await, other);
    assert_eq!(pid(&mut caller, "end").await, other);
    for client in [&mut early, &mut late] {
        assert_eq!(client.rest().await, tagged(CHANGED) + &event(ENDED));
    }
    server.go();
    answered(slow).await;
    assert_eq!(pool(&server.rig).figures().started, 2);
    let asides = server.rig.until("what is for nobody", |log| {
        let aside = log.iter().filter_map(envelope).filter(|it| it.outcome == Outcome::Withheld).cloned();
        let aside: Vec<_> = aside.collect();
        (aside.len() >= 4).then_some(aside)
    });
    let asides = asides.await;
    let replies = asides.iter().filter(|it| it.message.id().is_some()).count();
    assert_eq!((replies, asides.len()), (2, 4), "two acknowledgements and two endings: {asides:#?}");
    // The last ending is the reply to the client's own request.
    let ending = server.rig.message(ToClient, |it| it.message.raw().starts_with(ENDED.as_bytes())).await;
    assert_eq!(ending.reply_to.as_ref().map(|it| it.subject.method.as_ref()), Some("subscriptions/listen"));
}

#[tokio::test]
async fn hang_up_unsubscribes_from_all_children() {
    let server = Stateless::new(at_most(2)).await;
    let listening = listener(&server.rig, "listener").await;
    let slow = server.slow(1).await;
    pid(&mut named(&server.rig, "caller").await, "x").await;
    server.go();
    answered(slow).await;
    drop(listening);
    let all: HashSet<_> = server.said("is let off", 2).await.into_iter().collect();
    assert_eq!(all.len(), 2, "{all:?}");
}

#[tokio::test]
async fn cancel_unsubscribes_from_all_children() {
    let server = Stateless::new(at_most(2)).await;
    let slow = server.slow(1).await;
    pid(&mut named(&server.rig, "caller").await, "x").await;
    let mut listening = listener(&server.rig, "listener").await;
    server.go();
    answered(slow).await;
    let mut other = server.rig.client().await;
    // Without the header of the revision: with it, only hanging up takes something back.
    other.headers = "user-agent: listener\r\n".to_owned();
    let cancelled = modern(0, "notifications/cancelled").replace(r#""id":0,"#, "");
    let cancelled = cancelled.replace(r#""params":{"#, r#""params":{"requestId":1,"#);
    assert_eq!(other.call(cancelled).await.status(), "202");
    assert_eq!(listening.rest().await, "");
    let all: HashSet<_> = server.said("is let off", 2).await.into_iter().collect();
    assert_eq!(all.len(), 2, "{all:?}");
}

#[tokio::test]
async fn subscription_survives_a_dead_child() {
    let server = Stateless::new(at_most(2)).await;
    let mut listening = listener(&server.rig, "listener").await;
    let slow = server.slow(1).await;
    let mut caller = named(&server.rig, "caller").await;
    let other = pid(&mut caller, "x").await;
    server.go();
    answered(slow).await;
    assert_eq!(caller.call(modern(2, "die")).await.status(), "502");
    let seam = server.rig.event("a seam", |event| match event {
        Event::Log(line) if line.landmark == Some(Landmark::Seam) => Some(line.clone()),
        _ => None,
    });
    let seam = seam.await.text;
    assert!(seam.contains("ended with status 4") && seam.ends_with("; another is started when it is needed"), "{seam}");
    assert_eq!(pid(&mut caller, "change").await, other);
    hears(&mut listening, &tagged(CHANGED)).await;
    server.stop();
    let slow = server.slow(2).await;
    let changed = pid(&mut caller, "change").await;
    hears(&mut listening, &tagged(CHANGED)).await;
    server.go();
    assert_ne!(answered(slow).await, changed, "there are two children again");
    // The last two go as well.
    for _ in 0..2 {
        assert_eq!(caller.call(modern(2, "die")).await.status(), "502");
    }
    assert!(listening.piece().await.is_err(), "it broke, as did the last child that heard it");
}

#[tokio::test]
async fn surplus_child_leaves_without_ending_subscriptions() {
    let settings = Settings { max_lifetime: Some(Duration::from_millis(100)), ..at_most(3) };
    let server = Stateless::new(settings).await;
    let pool = pool(&server.rig);
    let mut listening = listener(&server.rig, "listener").await;
    let slow = server.slow(1).await;
    let mut caller = named(&server.rig, "caller").await;
    pid(&mut caller, "x").await;
    server.go();
    answered(slow).await;
    let left = figures(&pool, |it| it.died > 0 && it.in_use == 1).await;
    // The one that is left is too old by now: another takes its place, and the subscription.
    pid(&mut caller, "change").await;
    hears(&mut listening, &tagged(CHANGED)).await;
    let after = figures(&pool, |it| it.in_use == 1).await;
    assert_eq!(after.started, left.started + 1);
    assert_eq!(server.rig.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn differing_acknowledgements_are_reported() {
    let server = Stateless::accepting("{}", at_most(2)).await;
    let _listening = listener(&server.rig, "listener").await;
    let slow = server.slow(1).await;
    pid(&mut named(&server.rig, "caller").await, "x").await;
    let line = server.rig.line(Level::Warn, "a child accepts a different part of a subscription than the first").await;
    assert_eq!(line.session, Some(server.rig.session(1).await));
    let aside = server.rig.message(ToClient, |it| it.outcome == Outcome::Withheld).await;
    assert_eq!(aside.method(), Some("notifications/subscriptions/acknowledged"));
    server.go();
    answered(slow).await;
}
