//! What a replay makes of a server that dies, hangs, babbles or breaks off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::rig::{
    Act, FAIL, PASS, SKIP, Server, options, overlapping, run, run_until, slow, status, streamed, taken, tape, what,
    whole,
};
use crate::event::{ReplayEvent, Speed};
use crate::message::Message;
use crate::secret::Label;
use crate::tape::play::{ClientConnection, PlayOptions, play};
use crate::upstream::{Item, Outgoing, ReplyBody, Upstream, UpstreamError};

#[tokio::test(start_paused = true)]
async fn play_skips_what_comes_after_a_death() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"a"}"#),
        (1, "s2c", r#"{"id":1,"result":{}}"#),
        (2, "c2s", r#"{"id":2,"method":"slow"}"#),
        (3, "c2s", r#"{"id":3,"method":"b"}"#),
        (4, "s2c", r#"{"id":3,"result":{}}"#),
        (5, "s2c", r#"{"id":2,"result":{}}"#),
        (6, "c2s", r#"{"id":4,"method":"c"}"#),
        (7, "s2c", r#"{"id":4,"result":{}}"#),
    ]);
    let exited = || UpstreamError::Exited {
        command: Label::of_command(["srv"]),
        status: "exit status 1".to_owned(),
        stderr: vec![],
    };
    let outcome = run(&tape, options(Speed::Max), move |outgoing| match what(outgoing).as_str() {
        "a" => whole(r#"{"id":1,"result":{}}"#),
        "b" => Act::Fail(exited),
        _ => Act::Hang,
    })
    .await;
    assert_eq!(outcome.verdicts(), [PASS, FAIL, FAIL, SKIP]);
    assert_eq!(outcome.why(3), "`srv` ended with exit status 1");
    assert_eq!(outcome.why(4), "the server is gone");

    let broken = || UpstreamError::BrokenOff { upstream: Label::of_command(["u"]), why: "reset".to_owned() };
    let outcome = run(&tape, options(Speed::Max), move |outgoing| match what(outgoing).as_str() {
        "b" => Act::Fail(broken),
        "a" => whole(r#"{"id":1,"result":{}}"#),
        "slow" => whole(r#"{"id":2,"result":{}}"#),
        _ => whole(r#"{"id":4,"result":{}}"#),
    })
    .await;
    assert_eq!(outcome.verdicts(), [PASS, PASS, FAIL, PASS], "one broken answer is one failed step");
}

#[tokio::test(start_paused = true)]
async fn patience_fails_a_step_without_a_reply() {
    let patient = PlayOptions { patience: Duration::from_secs(5), ..options(Speed::Max) };
    let outcome = run(&overlapping(), patient, |outgoing| match what(outgoing).as_str() {
        "a" => Act::Hang,
        _ => slow(0)(outgoing),
    })
    .await;
    assert_eq!(outcome.verdicts(), [FAIL, PASS, PASS]);
    assert_eq!(outcome.why(1), "no reply within 5 s");
    assert_eq!(outcome.log(), ["0 a", "0 b", "5000 c"]);
}

#[tokio::test(start_paused = true)]
async fn stop_reports_the_rest_and_ends_the_session() {
    let stop = CancellationToken::new();
    let later = stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(50)).await;
        later.cancel();
    });
    let tape = tape(&[
        (0, "c2s", r#"{"id":0,"method":"initialize"}"#),
        (1, "s2c", r#"{"id":0,"result":{}}"#),
        (9000, "c2s", r#"{"id":1,"method":"a"}"#),
    ]);
    let initialize = |outgoing: &Outgoing| match what(outgoing).as_str() {
        "initialize" => {
            let reply = Message::new(r#"{"id":0,"result":{}}"#);
            Act::Reply(StatusCode::OK, &[("mcp-session-id", "s")], ReplyBody::Whole(reply))
        }
        _ => Act::Hang,
    };
    let outcome = run_until(&tape, options(Speed::Times(1.0)), initialize, stop).await;
    assert_eq!((outcome.verdicts(), outcome.why(2)), (vec![PASS, SKIP], "stopped"));
    assert_eq!(outcome.seen.last().unwrap().1.method, Method::DELETE);
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_no_json_rpc_fail() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"a"}"#),
        (1, "s2c", r#"{"id":1,"result":{}}"#),
        (2, "c2s", r#"{"method":"notifications/x"}"#),
    ]);
    let acts = [
        (whole("<html>"), "HTTP 200 OK: the answer is not JSON-RPC (not a JSON object)"),
        (streamed(&[]), "HTTP 200 OK: the answer ended without a reply"),
        (status(502), "HTTP 502 Bad Gateway: the answer ended without a reply"),
        (
            Act::Reply(StatusCode::NOT_FOUND, &[], ReplyBody::Whole(Message::new(r#"{"id":null,"result":{}}"#))),
            "HTTP 404 Not Found, 1 value differs",
        ),
        (whole(r#"{"id":"1","result":{}}"#), "1 value differs"),
    ];
    for (act, why) in acts {
        let acts = Mutex::new(VecDeque::from([act, status(400)]));
        let outcome = run(&tape, options(Speed::Max), move |_| acts.lock().pop_front().unwrap()).await;
        assert_eq!(outcome.verdicts(), [FAIL, FAIL]);
        assert_eq!((outcome.why(1), outcome.why(2)), (why, "HTTP 400 Bad Request"));
    }
}

#[tokio::test]
async fn play_refuses_a_tape_without_a_client() {
    let tape = tape(&[(0, "s2c", r#"{"method":"notifications/x"}"#)]);
    let server = Server::new(|_| taken());
    let mut events = Vec::new();
    let stop = CancellationToken::new();
    let upstream: Arc<dyn Upstream> = Arc::new(server);
    let open = |_| Ok(ClientConnection::left_open(upstream.clone()));
    play((&tape).into(), open, PlayOptions::default(), |event| events.push(event), stop).await;
    assert!(matches!(&events[..], [ReplayEvent::Failed { .. }]), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_early_is_resumed() {
    let tape = tape(&[(0, "c2s", r#"{"id":1,"method":"tools/call"}"#), (1, "s2c", r#"{"id":1,"result":{}}"#)]);
    let filler = |sse: &'static str| {
        let items = stream::iter([Ok(Item::Filler(sse.into()))]);
        Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(items.boxed()))
    };
    let acts = Mutex::new(VecDeque::from([
        filler("id: e1\nretry: 300\ndata:\n\n"),
        filler(": still working\n\nid: e2\ndata:\n\n"),
        whole(r#"{"id":1,"result":{}}"#),
    ]));
    let outcome = run(&tape, options(Speed::Max), move |_| acts.lock().pop_front().unwrap()).await;
    assert_eq!(
        (outcome.verdicts(), outcome.log()),
        (vec![PASS], ["0 tools/call", "300 GET", "600 GET"].map(str::to_owned).to_vec())
    );
    let after: Vec<_> = outcome.seen[1..].iter().map(|(_, get)| get.headers["last-event-id"].clone()).collect();
    assert_eq!(after, ["e1", "e2"]);

    let acts = Mutex::new(VecDeque::from([filler("id: e1\ndata:\n\n"), status(405)]));
    let outcome = run(&tape, options(Speed::Max), move |_| acts.lock().pop_front().unwrap()).await;
    assert_eq!(outcome.why(1), "HTTP 405 Method Not Allowed: the answer ended without a reply");
}

#[tokio::test(start_paused = true)]
async fn stop_before_the_start_sends_nothing() {
    let stop = CancellationToken::new();
    stop.cancel();
    let outcome = run_until(&overlapping(), options(Speed::Max), slow(1), stop).await;
    assert_eq!((outcome.verdicts(), outcome.log()), (vec![SKIP; 3], Vec::new()));
}
