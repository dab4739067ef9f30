use std::time::Duration;

use super::*;
use crate::event::{Feed, FeedReader, Timestamp};
use crate::intercept::Chain;
use crate::intercept::gate::Gate;
use crate::journal::Journal;
use crate::proxy::Stop;
use crate::proxy::sessions::policy::Keeping;
use crate::proxy::sessions::restore::ROUND;
use crate::store::{Database, Owner, Store};
use crate::upstream::retry::Retry;
use crate::upstream::{Outgoing, Reply, ReplyBody, Upstream};

/// A server that accepts everything and says nothing.
struct Silent;

impl Upstream for Silent {
    fn label(&self) -> &str {
        "silent"
    }

    fn send(&self, _: Outgoing) -> futures_util::future::BoxFuture<'_, Result<Reply, UpstreamError>> {
        let reply = Reply { status: http::StatusCode::ACCEPTED, headers: HeaderMap::new(), body: ReplyBody::Empty };
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn close(&self) -> futures_util::future::BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn table(max: usize, idle: Option<Duration>) -> (Arc<Table>, FeedReader) {
    keeping(Keeping { max, idle, ..Keeping::default() })
}

fn keeping(keeping: Keeping) -> (Arc<Table>, FeedReader) {
    let (journal, _) = Journal::start(None);
    let (feed, reader) = Feed::bounded(1 << 16);
    journal.subscribe(feed);
    let proxy = Proxy::with_policy(Chain::default(), Gate::default(), journal, Stop::default(), Retry::none(), keeping);
    (Table::new(proxy, Target::Server(Arc::new(Silent))), reader)
}

async fn client(table: &Arc<Table>, id: usize) -> Arc<Connection> {
    let mut headers = HeaderMap::new();
    headers.insert(headers::SESSION, id.into());
    table.resolve(&headers, "", HERE, None).await.unwrap_or_else(|refusal| panic!("{refusal}"))
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
async fn whose_a_session_is_is_on_disk_as_soon_as_that_is_known() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("sessions.db");
    let us = Owner { process: 1, started: Timestamp(1) };
    let (store, thread) = Store::start(path.clone(), us, Box::new(Vec::new), Box::new(|_, text| panic!("{text}")));
    let (table, _) = keeping(Keeping { store: Some(store), ..Keeping::default() });
    let connection = client(&table, 1).await;
    let (ann, bob) = ("token:ann".into(), "token:bob".into());
    table.claim(&connection.session, &ann);
    table.claim(&connection.session, &bob);
    assert!(connection.session.belongs_to(&ann) && !connection.session.belongs_to(&bob));
    thread.finish();
    let kept = Database::open_existing(&path).unwrap().sessions().unwrap();
    let kept: Vec<_> = kept.iter().map(|it| (it.session.id, it.key.is_some(), it.caller.as_deref())).collect();
    assert_eq!(kept, [(connection.session.id(), true, Some(&*ann))]);
}

#[tokio::test]
async fn the_bound_holds_and_nothing_in_use_is_dropped() {
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
async fn the_one_that_was_used_last_leaves_last() {
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
async fn a_session_ends_when_it_was_idle_for_so_long_and_not_while_it_is_in_use() {
    let hour = Duration::from_secs(3600);
    let (table, reader) = table(10, Some(hour));
    tokio::spawn(table.clone().look_after());
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
async fn a_session_that_is_closed_is_known_no_more() {
    let (table, _) = table(10, None);
    let first = client(&table, 0).await.session.id();
    table.close(first, "for a reason").await;
    assert!(table.find(first).is_none());
    assert_ne!(client(&table, 0).await.session.id(), first);
}

/// What one idle session costs in the structures of the proxy, without what they point to.
#[test]
fn an_idle_session_is_small() {
    let connection = size_of::<Connection>() + size_of::<LiveSession>();
    assert!(connection <= 1024, "{connection} bytes");
}
