//! The children of a command: those that wait for a client, how many there may be, and the one that modern clients share.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::event::{Event, Landmark, Level};
use tapline::upstream::pool::{Pool, PoolUsage, Settings};
use tapline::upstream::target::Target;
use tempfile::TempDir;

use crate::support::scripts::server;
use crate::support::{Client, INITIALIZE, Rig, kept_command, soon};

/// Answers requests with its pid.
const SERVER: &str = server!(r#" *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"pid":'$$'}}' ;;"#);

pub(crate) fn pool(rig: &Rig) -> Arc<Pool> {
    match rig.core().mounts().default().unwrap().table().target() {
        Target::Command(pool) => pool.clone(),
        _ => panic!("it is a command"),
    }
}

/// Waits until the figures are as they must become.
pub(crate) async fn figures(pool: &Pool, fit: impl Fn(&PoolUsage) -> bool) -> PoolUsage {
    let looking = async {
        loop {
            let figures = pool.figures();
            if fit(&figures) {
                return figures;
            }
            tokio::task::yield_now().await;
        }
    };
    soon("the figures", looking).await
}

#[tokio::test]
async fn spares_are_started_ahead_of_clients() {
    let rig = Rig::kept(&["sh", "-c", SERVER], Settings { spares: 1, max: 2, ..Settings::default() }).await;
    let pool = pool(&rig);
    let before = figures(&pool, |it| it.spares == 1).await;
    assert_eq!(before, PoolUsage { spares: 1, max: 2, started: 1, ..PoolUsage::default() });
    let mut client = rig.client().await;
    client.initialize().await;
    let after = figures(&pool, |it| it.spares == 1).await;
    assert_eq!(after, PoolUsage { spares: 1, in_use: 1, max: 2, started: 2, acquired: 1, ..PoolUsage::default() });
    // The last place is the next client's, and there is none for another spare.
    rig.client().await.initialize().await;
    let full = figures(&pool, |it| it.in_use == 2).await;
    assert_eq!((full.spares, full.started), (0, 2));
    // A place that comes free is.
    client.request("DELETE /mcp", "", b"").await;
    client.response().await;
    assert_eq!(figures(&pool, |it| it.spares == 1).await.started, 3);
    rig.quit(tapline::event::OnQuit::Forward).await;
    assert_eq!(figures(&pool, |it| it.died == 3).await.in_use, 0);
}

#[tokio::test]
async fn full_pool_is_504_after_the_timeout() {
    let settings = Settings { max: 1, acquire_timeout: Duration::from_millis(100), ..Settings::default() };
    let rig = Rig::kept(&["sh", "-c", SERVER], settings).await;
    rig.client().await.initialize().await;
    let response = rig.client().await.call(INITIALIZE).await;
    assert_eq!((response.status(), &response.json()["id"]), ("504", &json!(0)));
    let text = response.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(text.contains("all 1 children of `sh -c") && text.contains("none came free in 100ms"), "{text}");
    assert!(text.contains("`--pool-max` (`max` under `[pool]`) allows more"), "{text}");
    assert!(rig.closed(rig.session(2).await).await.contains("all 1 children"));
    assert_eq!(pool(&rig).figures().waiting, 0);
}

#[tokio::test]
async fn full_pool_serves_the_waiting_when_a_child_ends() {
    let settings = Settings { max: 1, acquire_timeout: Duration::from_secs(30), ..Settings::default() };
    let rig = Rig::kept(&["sh", "-c", SERVER], settings).await;
    let pool = pool(&rig);
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    first.initialize().await;
    second.post(INITIALIZE).await;
    figures(&pool, |it| it.waiting == 1).await;
    first.request("DELETE /mcp", "", b"").await;
    first.response().await;
    assert_eq!(second.response().await.status(), "200");
    let after = pool.figures();
    assert_eq!((after.waiting, after.acquired), (0, 2));
    assert!(after.waited > 0);
}

#[tokio::test]
async fn dead_spare_is_replaced_and_reported_once() {
    let dir = TempDir::new().unwrap();
    let died = dir.path().join("died");
    let script = format!("[ -e '{0}' ] || {{ : >'{0}'; echo no >&2; exit 3; }}; {SERVER}", died.display());
    let rig = Rig::kept(&["sh", "-c", &script], Settings { spares: 1, ..Settings::default() }).await;
    let line = rig.line(Level::Warn, "a spare could not be kept").await;
    assert!(line.text.contains("ended with status 3; it last wrote: no"), "{}", line.text);
    let after = figures(&pool(&rig), |it| it.died == 1 && it.spares == 1).await;
    assert_eq!((after.started, after.in_use), (2, 0));
    rig.client().await.initialize().await;
    assert_eq!(rig.complaints().len(), 1, "{:?}", rig.complaints());
}

#[tokio::test]
async fn crashing_command_is_reported_once() {
    let rig = Rig::kept(&["sh", "-c", "exit 3"], Settings { spares: 1, ..Settings::default() }).await;
    figures(&pool(&rig), |it| it.died == 2).await;
    assert_eq!(rig.complaints().len(), 1, "{:?}", rig.complaints());
}

#[tokio::test]
async fn expired_spare_is_replaced() {
    let settings = Settings { spares: 1, max_lifetime: Some(Duration::from_millis(50)), ..Settings::default() };
    let rig = Rig::kept(&["sh", "-c", SERVER], settings).await;
    figures(&pool(&rig), |it| it.died >= 1 && it.spares == 1).await;
    assert_eq!(rig.complaints(), Vec::<String>::new());
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":5}"#;

pub(crate) fn modern(id: u32, method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{META}}}}}"#)
}

/// Tells who listens when something changes, reports progress, and ends subscriptions by a cancellation; dies when asked to.
const MODERN: &str = r#"
    listening=
    while read -r line; do
        id=${line#*\"id\":}; id=${id%%[,\}]*}
        token=${line#*\"progressToken\":}; token=${token%%[,\}]*}
        of() { echo '"_meta":{"io.modelcontextprotocol/subscriptionId":'"$1"'}'; }
        case "$line" in
        *'"method":"subscriptions/listen"'*)
            listening="$listening $id"
            echo '{"method":"notifications/subscriptions/acknowledged","params":{'"$(of "$id")"'}}'
            continue ;;
        *'"method":"change"'*)
            echo '{"method":"notifications/progress","params":{"progressToken":'"$token"',"progress":1}}'
            for it in $listening; do
                echo '{"method":"notifications/tools/list_changed","params":{'"$(of "$it")"'}}'
            done ;;
        *'"method":"end"'*)
            for it in $listening; do
                echo '{"method":"notifications/cancelled","params":{"requestId":'"$it"'}}'
            done
            listening= ;;
        *'"method":"mutter"'*)
            echo '{"id":'"$id"',"result":{}}'
            echo '{"method":"notifications/message","params":{}}'
            continue ;;
        *'"method":"die"'*) exit 4 ;;
        esac
        echo '{"id":'"$id"',"result":{"pid":'$$'}}'
    done
"#;

pub(crate) fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}

pub(crate) async fn named(rig: &Rig, name: &str) -> Client {
    let mut client = rig.client().await;
    client.headers = format!("user-agent: {name}\r\nmcp-protocol-version: 2026-07-28\r\n");
    client
}

#[tokio::test]
async fn shared_child_tells_subscribers_of_changes() {
    let rig = Rig::script(MODERN).await;
    let tagged = |method: &str| {
        format!(r#"{{"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":1}}}}}}"#)
    };
    let mut listening = Vec::new();
    for name in ["a", "b"] {
        let mut client = named(&rig, name).await;
        client.post(modern(1, "subscriptions/listen")).await;
        client.head().await;
        let first = event(&tagged("notifications/subscriptions/acknowledged"));
        assert_eq!(client.bytes(first.len()).await, first.as_bytes());
        listening.push(client);
    }
    // The same id and the same progress token again, of a third client.
    let mut caller = named(&rig, "c").await;
    let said = caller.call(modern(1, "change")).await;
    let progress = r#"{"method":"notifications/progress","params":{"progressToken":5,"progress":1}}"#;
    assert!(
        said.text().starts_with(&event(progress)) && said.text().contains(r#"{"id":1,"result":"#),
        "{}",
        said.text()
    );
    for client in &mut listening {
        let change = event(&tagged("notifications/tools/list_changed"));
        assert_eq!(client.bytes(change.len()).await, change.as_bytes());
    }
    assert_eq!(caller.call(modern(1, "end")).await.status(), "200");
    for client in &mut listening {
        let end = event(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
        assert_eq!(client.rest().await, end, "the server ended it, in the client's own words");
    }
    assert_eq!(pool(&rig).figures().started, 1);
    // Each has a session of its own, with its own messages.
    let listeners = rig.until("all messages", |log| {
        let passed: Vec<_> = log.iter().filter_map(crate::support::envelope).collect();
        let changes = passed.iter().filter(|it| it.method() == Some("notifications/tools/list_changed"));
        let sessions: Vec<_> = changes.map(|it| it.session).collect();
        (sessions.len() == 2).then_some(sessions)
    });
    let mut listeners = listeners.await;
    listeners.sort();
    let mut opened = vec![rig.session(1).await, rig.session(2).await];
    opened.sort();
    assert_eq!(listeners, opened);
    assert_eq!(rig.message(ToServer, |it| it.method() == Some("change")).await.session, rig.session(3).await);
}

#[tokio::test]
async fn unaddressed_message_is_shown_and_delivered_to_nobody() {
    let rig = Rig::script(MODERN).await;
    let (mut one, mut other) = (named(&rig, "a").await, named(&rig, "b").await);
    one.call(modern(1, "x")).await;
    other.call(modern(1, "mutter")).await;
    let shown = rig.message(ToClient, |it| it.method() == Some("notifications/message")).await;
    assert_eq!(shown.session, rig.session(2).await);
    for client in [&mut one, &mut other] {
        assert_eq!(client.call(modern(2, "x")).await.head.get("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn legacy_client_gets_a_child_beside_the_shared_one() {
    let rig = Rig::script(MODERN).await;
    let mut shared = named(&rig, "a").await;
    let pid = shared.call(modern(1, "x")).await.json()["result"]["pid"].clone();
    let mut legacy = rig.client().await;
    let own = legacy.initialize().await.json()["result"]["pid"].clone();
    assert_ne!(own, pid);
    assert_eq!(named(&rig, "b").await.call(modern(1, "x")).await.json()["result"]["pid"], pid);
    assert_eq!(pool(&rig).figures().in_use, 2);
}

#[tokio::test]
async fn shared_child_restarts_after_a_crash() {
    let rig = Rig::script(MODERN).await;
    let (mut client, mut other) = (named(&rig, "a").await, named(&rig, "b").await);
    let pid = other.call(modern(1, "x")).await.json()["result"]["pid"].clone();
    let died = client.call(modern(1, "die")).await;
    assert_eq!(died.status(), "502");
    assert!(died.json()["error"]["message"].as_str().unwrap().contains("ended with status 4"));
    let line = rig.event("a seam", |event| match event {
        Event::Log(line) if line.landmark == Some(Landmark::Seam) => Some(line.clone()),
        _ => None,
    });
    assert!(line.await.text.contains("the next request starts another"));
    assert_ne!(other.call(modern(2, "x")).await.json()["result"]["pid"], pid);
    assert_eq!(client.call(modern(2, "x")).await.status(), "200");
    assert_eq!(pool(&rig).figures().started, 2);
}

#[tokio::test]
async fn spare_with_ping_answers_before_it_is_used() {
    // The first that is asked says nothing.
    let dir = TempDir::new().unwrap();
    let asked = dir.path().join("asked");
    let script = format!(
        "read -r first; [ -e '{0}' ] || {{ : >'{0}'; exit 1; }}; id=${{first#*\\\"id\\\":}}; id=${{id%%[,\\}}]*}}; echo '{{\"id\":'\"$id\"',\"result\":{{}}}}'; {SERVER}",
        asked.display()
    );
    let rig = Rig::start(tapline::app::Settings::new(kept_command(
        &["sh", "-c", &script],
        Settings { spares: 2, max: 2, ping: true, ..Settings::default() },
    )))
    .await;
    figures(&pool(&rig), |it| it.spares == 2).await;
    let mut client = named(&rig, "a").await;
    assert_eq!(client.call(modern(1, "x")).await.status(), "200");
    rig.line(Level::Warn, "a spare did not answer, and is replaced").await;
    let asked = rig.message(ToServer, |it| it.method() == Some("server/discover")).await;
    assert_eq!(asked.session, rig.session(1).await);
}
