use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::event::{Feed, FeedReader, Timestamp};
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::proxy::Stop;
use crate::proxy::session::policy::SessionPolicy;
use crate::proxy::sessions::restore::ROUND;
use crate::secret::Label;
use crate::store::{Database, Owner, Store, StoreThread};
use crate::upstream::retry::Retry;
use crate::upstream::{Outgoing, Reply, ReplyBody, Upstream};

/// A server that accepts everything and says nothing.
struct Silent;

impl Upstream for Silent {
    fn label(&self) -> &Label {
        static LABEL: LazyLock<Label> = LazyLock::new(|| Label::of_command(["silent"]));
        &LABEL
    }

    fn send(&self, _: Outgoing) -> futures_util::future::BoxFuture<'_, Result<Reply, UpstreamError>> {
        let reply = Reply { status: http::StatusCode::ACCEPTED, headers: HeaderMap::new(), body: ReplyBody::Empty };
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn close(&self) -> futures_util::future::BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn table(max: usize, idle: Option<Duration>) -> (Arc<SessionTable>, FeedReader) {
    with_policy(SessionPolicy { max, idle, ..SessionPolicy::default() })
}

fn with_policy(policy: SessionPolicy) -> (Arc<SessionTable>, FeedReader) {
    let (journal, _) = Journal::start(None);
    let (feed, reader) = Feed::bounded(1 << 16);
    journal.subscribe(feed);
    let proxy = Proxy::with_policy(Chain::default(), Gate::default(), journal, Stop::default(), Retry::none(), policy);
    (SessionTable::new(proxy, Target::Server(Arc::new(Silent))), reader)
}

async fn client(table: &Arc<SessionTable>, id: usize) -> Arc<Connection> {
    request(table, id, None).await.unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// A request in the session of that id, by the client of that name.
async fn request(table: &Arc<SessionTable>, id: usize, name: Option<&Arc<str>>) -> Result<Arc<Connection>, ProxyError> {
    let mut headers = HeaderMap::new();
    headers.insert(headers::SESSION, id.into());
    table.resolve(&headers, "", &Requester { address: HERE, name }, None).await
}

/// A table whose sessions are kept in a file.
fn with_store(path: &std::path::Path) -> (Arc<SessionTable>, FeedReader, StoreThread) {
    let us = Owner { process: 1, started: Timestamp(1) };
    let (store, thread) = Store::start(path.to_owned(), us, Box::new(Vec::new), Box::new(|_, text| panic!("{text}")));
    let (table, reader) = with_policy(SessionPolicy { store: Some(store), ..SessionPolicy::default() });
    (table, reader, thread)
}

/// Why the first so many sessions ended.
fn ends(reader: &FeedReader, count: usize) -> Vec<String> {
    let ended = reader.events.iter().filter_map(|event| match event {
        Event::SessionClosed { reason, .. } => Some(reason),
        _ => None,
    });
    ended.take(count).collect()
}

#[tokio::test]
async fn owner_of_a_session_is_on_disk_as_soon_as_it_is_known() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("sessions.db");
    let (table, _, thread) = with_store(&path);
    let (ann, bob) = ("token:ann".into(), "token:bob".into());
    let connection = request(&table, 1, Some(&ann)).await.unwrap();
    assert!(connection.session.belongs_to(&ann) && !connection.session.belongs_to(&bob));
    assert!(!connection.session.claim(&bob) && connection.session.belongs_to(&ann), "the first stays");
    thread.finish();
    let kept = Database::open_existing(&path).unwrap().sessions().unwrap();
    let kept: Vec<_> = kept.iter().map(|it| (it.session.id, it.key.is_some(), it.caller.as_deref())).collect();
    assert_eq!(kept, [(connection.session.id(), true, Some(&*ann))]);
}

#[tokio::test]
async fn restore_is_for_the_owner_only() {
    let dir = tempfile::TempDir::new().unwrap();
    let (table, reader, thread) = with_store(&dir.path().join("sessions.db"));
    let (ann, bob) = ("token:ann".into(), "token:bob".into());
    let id = request(&table, 1, Some(&ann)).await.unwrap().session.id();
    assert!(matches!(request(&table, 1, Some(&bob)).await, Err(ProxyError::UnknownSession)), "in memory");
    table.suspend(id, "for a while").await;
    assert!(matches!(request(&table, 1, Some(&bob)).await, Err(ProxyError::UnknownSession)), "on disk");
    assert!(table.live().is_empty(), "nothing is started for another");
    let restored = request(&table, 1, Some(&ann)).await.unwrap();
    assert!(restored.session.id() == id && restored.session.belongs_to(&ann));
    table.close(id, "done").await;
    assert_eq!(opened(&reader, 2), [id, id]);
    thread.finish();
}

/// The sessions that the first so many are.
fn opened(reader: &FeedReader, count: usize) -> Vec<SessionId> {
    let opened = reader.events.iter().filter_map(|event| match event {
        Event::SessionOpened(session) => Some(session.id),
        _ => None,
    });
    opened.take(count).collect()
}

#[tokio::test]
async fn max_sessions_holds_and_nothing_in_use_is_dropped() {
    let (table, _) = table(10, None);
    let mut in_use = Vec::new();
    for id in 0..5 {
        in_use.push(client(&table, id).await);
    }
    for id in 5..500 {
        client(&table, id).await;
        assert!(table.live().len() <= 11, "the newest is in use itself while it is taken in");
    }
    for (id, connection) in in_use.iter().enumerate() {
        assert!(Arc::ptr_eq(connection, &client(&table, id).await), "{id} is the one it was");
    }
    // More in use than there is room for: none of them goes.
    for id in 1000..1100 {
        in_use.push(client(&table, id).await);
    }
    assert!(in_use.iter().all(|it| table.find(it.session.id()).is_some()));
    assert_eq!(table.live().len(), in_use.len(), "and all others have gone");
}

#[tokio::test]
async fn eviction_takes_the_least_recently_used() {
    let (table, _) = table(3, None);
    let mut ids = Vec::new();
    for id in 0..3 {
        ids.push(client(&table, id).await.session.id());
    }
    client(&table, 0).await;
    client(&table, 3).await;
    let live: Vec<_> = ids.iter().map(|id| table.find(*id).is_some()).collect();
    assert_eq!(live, [true, false, true]);
}

#[tokio::test(start_paused = true)]
async fn idle_session_is_closed_after_so_long_and_not_while_it_is_in_use() {
    let hour = Duration::from_secs(3600);
    let (table, reader) = table(10, Some(hour));
    tokio::spawn(table.clone().maintain());
    let listening = client(&table, 0).await;
    let silent = client(&table, 1).await.session.id();
    tokio::time::sleep(hour - ROUND).await;
    assert!(table.find(silent).is_some(), "not yet");
    tokio::time::sleep(2 * ROUND).await;
    assert!(table.find(silent).is_none());
    tokio::time::sleep(10 * hour).await;
    assert!(table.find(listening.session.id()).is_some(), "somebody is at it");
    let id = listening.session.id();
    drop(listening);
    tokio::time::sleep(hour - ROUND).await;
    assert!(table.find(id).is_some(), "the time counts from its last use");
    tokio::time::sleep(3 * ROUND).await;
    assert!(table.find(id).is_none());
    assert_eq!(ends(&reader, 2), ["idle for 1h", "idle for 1h"]);
}

#[tokio::test]
async fn closed_session_is_known_no_more() {
    let (table, _) = table(10, None);
    let first = client(&table, 0).await.session.id();
    table.close(first, "for a reason").await;
    assert!(table.find(first).is_none());
    assert_ne!(client(&table, 0).await.session.id(), first);
}

/// What one idle session costs in the structures of the proxy, without what they point to.
#[test]
fn idle_session_is_small() {
    let connection = size_of::<Connection>() + size_of::<LiveSession>();
    assert!(connection <= 1024, "{connection} bytes");
}
