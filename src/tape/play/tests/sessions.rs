//! Tapes of several sessions: each has a client of its own, and all are played in the one order of the tape.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rig::{FAIL, PASS, SKIP, what};
use crate::envelope::{Seq, SessionId};
use crate::event::{ReplayEvent, Speed, StepReport, StepVerdict};
use crate::message::{Kind, Message};
use crate::secret::Label;
use crate::tape::TapeHeader;
use crate::tape::play::{ClientConnection, PlayOptions, PlayableTape, TapeSelection, play};
use crate::upstream::{Outgoing, Reply, ReplyBody, Upstream, UpstreamError};

/// A tape of several sessions, by number; 0 is that of the header.
struct Recorded {
    text: String,
    seq: usize,
}

fn id_of(session: usize) -> SessionId {
    SessionId(Uuid::from_u128(0xa0 + session as u128))
}

fn named(session: usize) -> String {
    if session == 0 { String::new() } else { format!(r#","session":"{}""#, id_of(session).0) }
}

impl Recorded {
    fn begin() -> Self {
        let header = TapeHeader { session: id_of(0), ..TapeHeader::of(&crate::tape::record::tests::session()) };
        Self { text: serde_json::to_string(&header).unwrap(), seq: 0 }
    }

    /// Returns the number of the message.
    fn line(&mut self, session: usize, dir: &str, extra: &str, msg: &str) -> usize {
        let (seq, named) = (self.seq, named(session));
        self.seq += 1;
        let at = seq * 1_000;
        self.text +=
            &format!("\n{{\"seq\":{seq}{named},\"at\":{at},\"dir\":\"{dir}\",\"via\":\"http\"{extra},\"msg\":{msg}}}");
        seq
    }

    fn mark(&mut self, mark: &str) {
        self.text += &format!("\n{{\"mark\":{mark}}}");
    }

    fn asks(&mut self, session: usize, id: u64, method: &str, params: &str) -> usize {
        self.line(session, "c2s", "", &format!(r#"{{"id":{id},"method":"{method}","params":{params}}}"#))
    }

    fn answered(&mut self, session: usize, id: u64, asked: usize, result: &str) {
        self.line(session, "s2c", &format!(r#","re":{asked}"#), &format!(r#"{{"id":{id},"result":{result}}}"#));
    }

    /// All sessions count the ids of their requests from 0.
    fn handshake(&mut self, session: usize) {
        let asked = self.asks(session, 0, "initialize", "{}");
        self.answered(session, 0, asked, r#"{"protocolVersion":"2025-11-25"}"#);
        self.line(session, "c2s", "", r#"{"method":"notifications/initialized"}"#);
    }

    /// A call, and how often that makes in its session.
    fn counts(&mut self, session: usize, count: u64) {
        let asked = self.asks(session, count, "tools/call", r#"{"name":"add"}"#);
        self.answered(session, count, asked, &format!(r#"{{"count":{count}}}"#));
    }

    fn tape(&self, part: &TapeSelection) -> PlayableTape {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("x.tape.jsonl");
        std::fs::write(&path, &self.text).unwrap();
        let tape = PlayableTape::open_part(&path, part, &|_, _| true).unwrap().expect("nothing stops it");
        assert_eq!(tape.troubles, Vec::<String>::new());
        tape
    }
}

/// What happened at the server: by which connection, what, and in which session of the protocol.
type Log = Arc<Mutex<Vec<String>>>;

/// A server that counts the calls of each session; the first call of a session that has a reason fails for it.
struct Counter {
    connection: usize,
    count: AtomicU64,
    log: Log,
    breaks: bool,
}

impl Upstream for Counter {
    fn label(&self) -> &Label {
        static LABEL: LazyLock<Label> = LazyLock::new(|| Label::of_command(["counter"]));
        &LABEL
    }

    fn send(&self, outgoing: Outgoing) -> BoxFuture<'_, Result<Reply, UpstreamError>> {
        let session = outgoing.headers.get("mcp-session-id").map_or("-", |id| id.to_str().unwrap());
        self.log.lock().push(format!("{} {session} {}", self.connection, what(&outgoing)));
        std::future::ready(self.answer(&outgoing)).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

impl Counter {
    fn answer(&self, outgoing: &Outgoing) -> Result<Reply, UpstreamError> {
        let reply = |status, body| Ok(Reply { status, headers: HeaderMap::new(), body });
        let Some(message) = &outgoing.message else { return reply(StatusCode::METHOD_NOT_ALLOWED, ReplyBody::Empty) };
        if message.kind() != Kind::Request {
            return reply(StatusCode::ACCEPTED, ReplyBody::Empty);
        }
        let id = message.id().unwrap();
        if what(outgoing) == "initialize" {
            let headers = [("mcp-session-id".parse().unwrap(), format!("live-{}", self.connection).parse().unwrap())];
            let text = format!(r#"{{"id":{id},"result":{{"protocolVersion":"2025-11-25"}}}}"#);
            let body = ReplyBody::Whole(Message::new(text));
            return Ok(Reply { status: StatusCode::OK, headers: headers.into_iter().collect(), body });
        }
        if self.breaks {
            return Err(UpstreamError::BrokenOff { upstream: self.label().clone(), why: "reset".to_owned() });
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        reply(StatusCode::OK, ReplyBody::Whole(Message::new(format!(r#"{{"id":{id},"result":{{"count":{count}}}}}"#))))
    }
}

/// What came of a replay: the steps in their order, and what the servers saw.
struct Outcome {
    steps: Vec<StepReport>,
    log: Vec<String>,
}

impl Outcome {
    /// The verdicts of a session.
    fn of(&self, session: usize) -> Vec<(&str, StepVerdict)> {
        let of = self.steps.iter().filter(|step| step.session == Some(id_of(session)));
        of.map(|step| (step.method.as_str(), step.verdict)).collect()
    }

    fn log(&self) -> Vec<&str> {
        self.log.iter().map(String::as_str).filter(|it| !it.ends_with(" GET") && !it.ends_with(" closes")).collect()
    }
}

/// Plays a tape; `refused` sessions get no connection, the calls of `broken` ones none that holds.
async fn play_at(tape: PlayableTape, options: PlayOptions, refused: &[usize], broken: &[usize]) -> Outcome {
    let log = Log::default();
    let (mut connections, mut steps) = (0, Vec::new());
    let opened = log.clone();
    let open = |session: SessionId| {
        let is = |sessions: &[usize]| sessions.iter().any(|it| id_of(*it) == session);
        if is(refused) {
            return Err(UpstreamError::BrokenOff { upstream: Label::of_command(["u"]), why: "no room".to_owned() });
        }
        let (connection, log) = (connections, opened.clone());
        connections += 1;
        log.lock().push(format!("{connection} opens"));
        let upstream = Counter { connection, count: AtomicU64::new(0), log: log.clone(), breaks: is(broken) };
        let close = async move { log.lock().push(format!("{connection} closes")) };
        Ok(ClientConnection { upstream: Arc::new(upstream), close: close.boxed() })
    };
    let report = |event| match event {
        ReplayEvent::Step(step) => steps.push(step),
        ReplayEvent::Failed { why } => panic!("{why}"),
        _ => {}
    };
    play(tape, open, options, report, CancellationToken::new()).await;
    steps.sort_by_key(|step| step.step);
    let log = log.lock().clone();
    Outcome { steps, log }
}

fn fast() -> PlayOptions {
    PlayOptions { speed: Speed::Max, ..PlayOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn each_session_has_its_client_and_all_have_one_order() {
    let mut tape = Recorded::begin();
    tape.handshake(0);
    tape.handshake(1);
    let (a, b) =
        (tape.asks(0, 1, "tools/call", r#"{"name":"add"}"#), tape.asks(1, 1, "tools/call", r#"{"name":"add"}"#));
    tape.answered(1, 1, b, r#"{"count":1}"#);
    tape.answered(0, 1, a, r#"{"count":1}"#);
    tape.counts(1, 2);
    tape.mark(&format!(r#""end","at":1,"reason":"it left"{}"#, named(1)));
    tape.counts(0, 2);
    let played = play_at(tape.tape(&TapeSelection::default()), fast(), &[], &[]).await;
    let calls = |initialized: &'static str| {
        vec![("initialize", PASS), (initialized, PASS), ("tools/call", PASS), ("tools/call", PASS)]
    };
    assert_eq!(played.of(0), calls("notifications/initialized"));
    assert_eq!(played.of(1), calls("notifications/initialized"));
    assert_eq!(
        played.log(),
        [
            "0 opens",
            "0 - initialize",
            "0 live-0 notifications/initialized",
            "1 opens",
            "1 - initialize",
            "1 live-1 notifications/initialized",
            "0 live-0 tools/call",
            "1 live-1 tools/call",
            "1 live-1 tools/call",
            "1 live-1 DELETE",
            "0 live-0 tools/call",
            "0 live-0 DELETE",
        ]
    );
    for closed in ["0 closes", "1 closes"] {
        assert!(played.log.iter().any(|it| it == closed), "{:?}", played.log);
    }
}

#[tokio::test(start_paused = true)]
async fn rewind_is_of_the_session_of_its_tape_alone() {
    let mut tape = Recorded::begin();
    tape.handshake(0);
    tape.handshake(1);
    tape.counts(0, 1);
    tape.counts(1, 1);
    tape.mark(r#""rewind","at":9,"text":"from here on""#);
    tape.line(0, "c2s", r#","verdict":{"injected":"tapline"}"#, r#"{"id":7,"method":"initialize","params":{}}"#);
    tape.line(0, "s2c", r#","verdict":"withheld""#, r#"{"id":7,"result":{"protocolVersion":"2025-11-25"}}"#);
    tape.mark(r#""seam","at":9,"text":"said again""#);
    tape.counts(1, 2);
    tape.counts(0, 1);
    let played = play_at(tape.tape(&TapeSelection::default()), fast(), &[], &[]).await;
    assert_eq!(played.of(0), [("initialize", PASS), ("tools/call", PASS)]);
    assert_eq!(played.of(1).iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(), [PASS; 4]);
}

#[tokio::test(start_paused = true)]
async fn session_whose_server_is_gone_leaves_the_others_alone() {
    let mut tape = Recorded::begin();
    for session in 0..3 {
        tape.handshake(session);
    }
    for count in 1..=2 {
        (0..3).for_each(|session| tape.counts(session, count));
    }
    let played = play_at(tape.tape(&TapeSelection::default()), fast(), &[1], &[2]).await;
    let verdicts = |session| played.of(session).iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(0), [PASS; 4]);
    assert_eq!(verdicts(1), [FAIL, SKIP, SKIP, SKIP]);
    assert_eq!(verdicts(2), [PASS, PASS, FAIL, FAIL]);
}

#[test]
fn session_of_which_nothing_is_chosen_has_no_client() {
    let mut tape = Recorded::begin();
    tape.handshake(0);
    tape.counts(0, 1);
    tape.handshake(1);
    tape.counts(1, 1);
    let seqs = |part: TapeSelection| {
        let tape = tape.tape(&part);
        (tape.sessions(), tape.last_session(), tape.last())
    };
    let until = |seq| TapeSelection { until: Some(Seq(seq)), ..TapeSelection::default() };
    assert_eq!(seqs(TapeSelection::default()), (2, id_of(1), Some(Seq(8))));
    assert_eq!(seqs(until(4)), (1, id_of(0), Some(Seq(3))));
    // The reply of the server is of a session as well.
    assert_eq!(seqs(until(6)), (2, id_of(1), Some(Seq(7))));
    assert_eq!(seqs(TapeSelection { from: Some(Seq(5)), ..TapeSelection::default() }), (1, id_of(1), Some(Seq(8))));
    let only = TapeSelection { only: Some([Seq(8)].into_iter().collect()), ..TapeSelection::default() };
    assert_eq!(seqs(only).0, 1);
}

#[tokio::test(start_paused = true)]
async fn pause_counts_from_what_any_client_did_last() {
    let mut tape = Recorded::begin();
    tape.handshake(0);
    tape.seq += 10_000;
    tape.handshake(1);
    tape.counts(0, 1);
    let began = tokio::time::Instant::now();
    let options = PlayOptions { speed: Speed::Times(1.0), ..PlayOptions::default() };
    let played = play_at(tape.tape(&TapeSelection::default()), options, &[], &[]).await;
    assert!(played.steps.iter().all(|step| step.verdict == PASS), "{:?}", played.steps);
    let took = began.elapsed().as_millis();
    assert!((10_000..10_100).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn session_that_is_kept_is_that_of_the_last_message() {
    let mut tape = Recorded::begin();
    tape.handshake(0);
    tape.handshake(1);
    tape.counts(0, 1);
    let options = PlayOptions { keeps_session: true, ..fast() };
    let played = play_at(tape.tape(&TapeSelection::default()), options, &[], &[]).await;
    assert_eq!(&played.log()[7..], ["1 live-1 DELETE"]);
    let closed: Vec<_> = played.log.iter().filter(|it| it.ends_with(" closes")).collect();
    assert_eq!(closed, ["1 closes"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However sessions interleave and their calls overlap, each server counts what its own client said, and what came first goes first.
    #[test]
    fn sessions_interleaved_at_random_are_played_as_they_were(calls in prop::collection::vec((0_usize..4, any::<bool>()), 1..24)) {
        let mut tape = Recorded::begin();
        let (mut counts, mut open, mut order) = (HashMap::<usize, u64>::new(), Vec::new(), Vec::new());
        for (session, is_left_open) in calls {
            let count = counts.entry(session).or_insert_with(|| {
                tape.handshake(session);
                0
            });
            *count += 1;
            let asked = tape.asks(session, *count, "tools/call", r#"{"name":"add"}"#);
            order.push(session);
            open.push((session, *count, asked));
            if !is_left_open {
                // The first that was asked is answered last.
                open.drain(..).rev().for_each(|(session, count, asked)| {
                    tape.answered(session, count, asked, &format!(r#"{{"count":{count}}}"#));
                });
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let played = runtime.block_on(play_at(tape.tape(&TapeSelection::default()), fast(), &[], &[]));
        prop_assert!(played.steps.iter().all(|step| step.verdict == PASS), "{:#?}", played.steps);
        // Connections are numbered in the order in which sessions began.
        let mut begun = Vec::new();
        let expected: Vec<_> = order.into_iter().map(|session| {
            let at = begun.iter().position(|it| *it == session).unwrap_or_else(|| {
                begun.push(session);
                begun.len() - 1
            });
            format!("{at} live-{at} tools/call")
        }).collect();
        let called: Vec<_> = played.log().into_iter().filter(|it| it.ends_with("tools/call")).map(str::to_owned).collect();
        prop_assert_eq!(called, expected);
    }
}
