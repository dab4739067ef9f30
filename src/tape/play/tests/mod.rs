//! The player against a scripted server, in paused time.

mod failures;
mod rig;
mod sessions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;

use self::rig::{
    Act, FAIL, PASS, SKIP, item, options, overlapping, run, run_heard, run_playable, slow, status, streamed, table,
    taken, tape, tape_with, what, whole, written,
};
use super::{OnFailure, PlayOptions, PlayableTape, StepGate};
use crate::envelope::{Seq, Via};
use crate::event::{ReplayEvent, Speed, TapeSeam};
use crate::message::Message;
use crate::tape::compare::{Rules, Volatile};
use crate::upstream::{Outgoing, ReplyBody};

#[tokio::test(start_paused = true)]
async fn play_repeats_a_session_as_it_was() {
    let recorded = r#","headers":{"user-agent":"ide","authorization":"[redacted]","mcp-session-id":"[redacted]","mcp-protocol-version":"2025-03-26","host":"old"}"#;
    let tape = tape_with(&[
        (0, "c2s", r#"{"id":0,"method":"initialize","params":{}}"#, ""),
        (4, "s2c", r#"{"id":0,"result":{"protocolVersion":"2025-03-26"}}"#, ""),
        (5, "c2s", r#"{"method":"notifications/initialized"}"#, recorded),
        (6, "c2s", r#"{ "id":1, "method":"tools/list" }"#, recorded),
        (9, "s2c", r#"{"id":1,"result":{"tools":[]}}"#, ""),
    ]);
    let mut options = options(Speed::Max);
    options.headers.insert("authorization", "Bearer mine".parse().unwrap());
    options.rules.ignore.push("..protocolVersion".parse().unwrap());
    let outcome = run(&tape, options, |outgoing| match what(outgoing).as_str() {
        "initialize" => Act::Reply(
            StatusCode::OK,
            &[("mcp-session-id", "live-1")],
            ReplyBody::Whole(Message::new(r#"{"id":0,"result":{"protocolVersion":"2025-06-18"}}"#)),
        ),
        "tools/list" => whole(r#"{"id":1,"result":{"tools":[]}}"#),
        "GET" => Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(stream::pending().boxed())),
        _ => taken(),
    })
    .await;
    assert_eq!(outcome.verdicts(), [PASS; 3]);
    let expected = ["0 initialize", "0 notifications/initialized", "0 GET", "0 tools/list", "0 DELETE"];
    assert_eq!(outcome.log(), expected);
    assert_eq!(outcome.message("tools/list"), r#"{ "id":1, "method":"tools/list" }"#);
    for method in ["notifications/initialized", "GET", "tools/list", "DELETE"] {
        let headers = outcome.headers(method);
        assert_eq!(headers["mcp-session-id"], "live-1", "{method}");
        assert_eq!(headers["mcp-protocol-version"], "2025-06-18", "{method}");
        assert_eq!(headers["authorization"], "Bearer mine", "{method}");
    }
    let headers = outcome.headers("tools/list");
    assert_eq!((&headers["user-agent"], headers.get("host")), (&"ide".parse().unwrap(), None));
    assert_eq!(headers["accept"], "application/json, text/event-stream");
    let first = outcome.headers("initialize");
    assert!(!first.contains_key("mcp-session-id") && !first.contains_key("mcp-protocol-version"));
}

#[tokio::test(start_paused = true)]
async fn values_of_the_server_are_learned_wherever_they_stand() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"a","params":{"name":"start"}}"#),
        (1, "s2c", r#"{"id":1,"result":{"content":[{"text":"job zq9x of PID 4242, see /jobs/zq9x/log"}],"n":33107}}"#),
        (2, "c2s", r#"{"id":2,"method":"b","params":{"pid":4242,"uri":"job://zq9x/log","cmd":"kill 4242 33107"}}"#),
        (3, "s2c", r#"{"id":2,"result":{"content":[{"text":"zq9x ended"}],"random":0.25}}"#),
    ]);
    let server = table(&[
        ("a", r#""result":{"content":[{"text":"job kk1r of PID 991, see /jobs/kk1r/log"}],"n":55021}"#),
        ("b", r#""result":{"content":[{"text":"kk1r ended"}],"random":0.75}"#),
    ]);
    let outcome = run(&tape, options(Speed::Max), server).await;
    let sent = r#"{"id":2,"method":"b","params":{"pid":991,"uri":"job://kk1r/log","cmd":"kill 991 55021"}}"#;
    assert_eq!(outcome.message("b"), sent);
    assert_eq!(outcome.verdicts(), [PASS, FAIL]);
    let kinds = |step| outcome.step(step).excused.iter().map(|it| (it.kind.clone(), it.count)).collect::<Vec<_>>();
    assert_eq!(kinds(1), [("handle".to_owned(), 2), ("pid".to_owned(), 1), ("handle".to_owned(), 1)]);
    assert_eq!(kinds(2), [("handle".to_owned(), 1)]);
    assert_eq!(outcome.step(2).ignore, [".result.random"]);
}

#[tokio::test(start_paused = true)]
async fn tape_in_its_file_is_played_as_one_in_memory() {
    let long = "long".repeat(100);
    let said = format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"a","arguments":{{"x":"{long}"}}}}}}"#);
    let tape = tape(&[
        (0, "c2s", &said),
        (1, "s2c", &format!(r#"{{"id":1,"result":{{"y":"{long}","jobId":"job-17"}}}}"#)),
        (2, "c2s", &format!(r#"{{"id":2,"method":"b","params":{{"y":"{long}","job":"job-17"}}}}"#)),
        (3, "s2c", r#"{"id":2,"result":{"content":[{"text":"a changed reply of some length","type":"text"}]}}"#),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    std::fs::write(&path, written(&tape)).unwrap();
    let server = |outgoing: &Outgoing| match what(outgoing).as_str() {
        "tools/call" => whole(format!(r#"{{"id":1,"result":{{"y":"{}","jobId":"job-18"}}}}"#, "long".repeat(100))),
        _ => whole(r#"{"id":2,"result":{"content":[]}}"#),
    };
    let kept = run(&tape, options(Speed::Max), server).await;
    let on_disk = run_playable(PlayableTape::open(&path).unwrap(), options(Speed::Max), server).await;
    assert_eq!(on_disk.verdicts(), [PASS, FAIL]);
    for number in 1..=2 {
        assert_eq!(on_disk.step(number), kept.step(number));
    }
    assert_eq!(on_disk.message("tools/call"), said);
    assert_eq!(on_disk.message("b"), kept.message("b"));
    assert!(on_disk.message("b").contains("job-18"));
}

#[tokio::test(start_paused = true)]
async fn verdict_is_fail_for_a_changed_value() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"tools/call","params":{"name":"nap"}}"#),
        (250, "s2c", r#"{"id":1,"result":{"content":[{"type":"text","text":"250 ms"}]}}"#),
        (260, "c2s", r#"{"id":2,"method":"ping"}"#),
        (270, "s2c", r#"{"id":2,"result":{}}"#),
    ]);
    let server = table(&[
        ("tools/call", r#""result":{"content":[{"text":"300 ms","type":"text"}]}"#),
        ("ping", r#""result":{}"#),
    ]);
    let outcome = run(&tape, options(Speed::Max), server).await;
    assert_eq!(outcome.verdicts(), [FAIL, PASS]);
    let step = outcome.step(1);
    assert_eq!((step.name.as_deref(), step.recorded, step.took), (Some("nap"), Some(250_000), Some(0)));
    assert_eq!(outcome.why(1), "1 value differs");
    let [difference] = &step.differences[..] else { panic!("{step:?}") };
    assert_eq!(difference.path, ".result.content[0].text");
    assert_eq!(difference.expected.as_deref(), Some("\"250 ms\""));
    assert_eq!(difference.got.as_deref(), Some("\"300 ms\""));

    let strict = PlayOptions { on_failure: OnFailure::Stop, ..options(Speed::Max) };
    let server = table(&[("tools/call", r#""result":{}"#)]);
    let outcome = run(&tape, strict, server).await;
    assert_eq!((outcome.verdicts(), outcome.why(2)), (vec![FAIL, SKIP], "stopped at the first failure"));
}

#[tokio::test(start_paused = true)]
async fn server_requests_are_answered_from_the_tape() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"tools/call","params":{"name":"poem"}}"#),
        (10, "s2c", r#"{"id":7,"method":"sampling/createMessage","params":{"topic":"sea"}}"#),
        (20, "s2c", r#"{"id":8,"method":"sampling/createMessage","params":{"topic":"sky"}}"#),
        (30, "c2s", r#"{"id":8,"result":{"text":"blue"}}"#),
        (40, "c2s", r#"{"id":7,"result":{"text":"wet"}}"#),
        (50, "c2s", r#"{"id":9,"result":{}}"#),
        (60, "s2c", r#"{"id":1,"result":{"text":"done"}}"#),
        (70, "s2c", r#"{"id":10,"method":"elicitation/create","params":{}}"#),
        (80, "c2s", r#"{"id":10,"result":{}}"#),
    ]);
    let outcome = run(&tape, options(Speed::Times(1.0)), |outgoing| match what(outgoing).as_str() {
        "tools/call" => streamed(&[
            r#"{"id":"live-a","method":"sampling/createMessage","params":{"topic":"sky"}}"#,
            r#"{"id":"live-b","method":"sampling/createMessage","params":{"topic":"sea"}}"#,
            r#"{"id":"live-c","method":"ping"}"#,
            r#"{"id":"live-d","method":"roots/list"}"#,
            r#"{"id":1,"result":{"text":"done"}}"#,
        ]),
        _ => taken(),
    })
    .await;
    let mut answers: Vec<_> = outcome.seen[1..]
        .iter()
        .map(|(at, sent)| format!("{} {:?}", at.as_millis(), sent.message.as_ref().unwrap()))
        .collect();
    answers.sort();
    assert_eq!(
        answers,
        [
            r#"0 Message({"jsonrpc":"2.0","id":"live-c","result":{}})"#,
            r#"0 Message({"jsonrpc":"2.0","id":"live-d","error":{"code":-31005,"message":"tapline: the tape has no answer to `roots/list`"}})"#,
            r#"10 Message({"id":"live-a","result":{"text":"blue"}})"#,
            r#"30 Message({"id":"live-b","result":{"text":"wet"}})"#,
        ]
    );
    assert_eq!(outcome.verdicts(), [PASS, PASS, PASS, SKIP, SKIP]);
    assert_eq!(outcome.why(1), "the tape has no answer to `roots/list`");
    assert_eq!(outcome.step(2).method, "reply to sampling/createMessage");
    assert_eq!(outcome.why(4), "what it answers is not on the tape");
    assert_eq!(outcome.why(5), "the server did not ask");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_the_live_server_replace_the_recorded_ones() {
    let tape = tape_with(&[
        (0, "c2s", r#"{"id":1,"method":"tools/list"}"#, ""),
        (1, "s2c", r#"{"id":1,"result":{"nextCursor":"old-2","tools":[]}}"#, ""),
        (
            2,
            "c2s",
            r#"{"id":2,"method":"tasks/get","params":{"taskId":"old-2"}}"#,
            r#","headers":{"mcp-name":"old-2"}"#,
        ),
        (3, "s2c", r#"{"id":2,"result":{"echo":"old-2"}}"#, ""),
    ]);
    let server = table(&[
        ("tools/list", r#""result":{"nextCursor":"new-2","tools":[]}"#),
        ("tasks/get", r#""result":{"echo":"new-2"}"#),
    ]);
    let outcome = run(&tape, options(Speed::Max), server).await;
    assert_eq!(outcome.verdicts(), [PASS, PASS]);
    assert_eq!(outcome.message("tasks/get"), r#"{"id":2,"method":"tasks/get","params":{"taskId":"new-2"}}"#);
    assert_eq!(outcome.headers("tasks/get")["mcp-name"], "new-2");
}

#[tokio::test(start_paused = true)]
async fn pauses_are_kept_and_causes_stay_before_effects() {
    for (speed, a, log) in [
        (Speed::Times(1.0), 90, ["0 a", "100 b", "310 c"]),
        (Speed::Times(2.0), 90, ["0 a", "50 b", "160 c"]),
        (Speed::Times(0.5), 90, ["0 a", "200 b", "610 c"]),
        (Speed::Times(1.0), 1000, ["0 a", "100 b", "1000 c"]),
        (Speed::Max, 90, ["0 a", "0 b", "90 c"]),
        (Speed::Max, 1, ["0 a", "0 b", "10 c"]),
        (Speed::Times(1e-300), 1, ["0 a", "31536000000 b", "63072000010 c"]),
        (Speed::Times(f64::NAN), 1, ["0 a", "0 b", "10 c"]),
    ] {
        let outcome = run(&overlapping(), options(speed), slow(a)).await;
        assert_eq!(outcome.verdicts(), [PASS; 3]);
        assert_eq!(outcome.log(), log, "{speed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn message_that_waits_is_told_and_let_go() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"a"}"#),
        (10, "s2c", r#"{"id":1,"result":{}}"#),
        (72_000, "c2s", r#"{"id":2,"method":"b"}"#),
        (72_010, "s2c", r#"{"id":2,"result":{}}"#),
        (72_500, "c2s", r#"{"id":3,"method":"c"}"#),
        (72_510, "s2c", r#"{"id":3,"result":{}}"#),
    ]);
    let paced = (["2 #2 b true"].as_slice(), ["0 a", "10 b", "510 c"]);
    let by_step = (["1 #0 a false", "2 #2 b false", "3 #4 c false"].as_slice(), ["0 a", "10 b", "20 c"]);
    for (speed, is_for_each, (told, log)) in [(Speed::Times(1.0), false, paced), (Speed::Max, true, by_step)] {
        // In step with nothing: of a message that waits for its time it is not taken.
        let go = Arc::new(Semaphore::new(usize::from(!is_for_each)));
        let steps = Some(StepGate { go: go.clone(), is_for_each });
        let mut heard = Vec::new();
        let hear = |event: &ReplayEvent| {
            if let ReplayEvent::Waiting(wait) = event {
                heard.push(format!("{} {} {}", wait.step, wait.next, wait.left.is_some()));
                go.add_permits(1);
            }
        };
        let outcome = run_heard(&tape, PlayOptions { steps, ..options(speed) }, slow(10), hear).await;
        assert_eq!(outcome.verdicts(), [PASS; 3]);
        assert_eq!(heard, told);
        assert_eq!(outcome.log(), log);
    }
}

#[tokio::test(start_paused = true)]
async fn script_has_only_what_reached_the_server() {
    let tape = tape_with(&[
        (
            0,
            "c2s",
            r#"{"id":1,"method":"sent"}"#,
            r#","verdict":{"edited":"operator"},"original":{"msg":{"id":1,"method":"typed"}}"#,
        ),
        (
            1,
            "s2c",
            r#"{"id":1,"result":2}"#,
            r#","verdict":{"edited":"operator"},"original":{"msg":{"id":1,"result":1}}"#,
        ),
        (2, "c2s", r#"{"id":2,"method":"blocked"}"#, r#","verdict":{"blocked":"operator"}"#),
        (3, "s2c", r#"{"id":2,"error":{}}"#, r#","verdict":{"injected":"operator"},"re":2"#),
        (4, "c2s", r#"{"id":3,"method":"dropped"}"#, r#","verdict":{"dropped":{"rule":"r"}}"#),
        (5, "c2s", r#"{"id":4,"method":"gone"}"#, r#","verdict":"abandoned""#),
        (6, "c2s", r#"{"id":"t","method":"mine"}"#, r#","verdict":{"injected":"operator"}"#),
        (7, "s2c", r#"{"id":"t","result":3}"#, r#","verdict":"withheld""#),
        (8, "c2s", r#"{"id":6,"method":"unreached"}"#, ""),
        (9, "s2c", r#"{"id":6,"error":{"code":-31000}}"#, r#","verdict":{"injected":"tapline"}"#),
        (10, "c2s", r#"{"id":7,"method":"open"}"#, ""),
    ]);
    let server = table(&[
        ("sent", r#""result":1"#),
        ("mine", r#""result":4"#),
        ("unreached", r#""result":{}"#),
        ("open", r#""result":{}"#),
    ]);
    let outcome = run(&tape, options(Speed::Max), server).await;
    assert_eq!(outcome.log(), ["0 sent", "0 mine", "0 unreached", "0 open"]);
    assert_eq!(outcome.verdicts(), [PASS, FAIL, PASS, PASS]);
    assert_eq!(outcome.why(3), "tapline answered this when it was recorded");
    assert_eq!(outcome.why(4), "the tape has no reply to compare with");
}

#[tokio::test(start_paused = true)]
async fn rewound_tape_is_played_as_the_session_was_in_the_end() {
    let (asked, answered) = (r#","verdict":{"injected":"tapline"}"#, r#","verdict":"withheld""#);
    let mut tape = tape_with(&[
        (0, "c2s", r#"{"id":1,"method":"first"}"#, ""),
        (1, "s2c", r#"{"id":1,"result":1}"#, ""),
        (2, "c2s", r#"{"id":2,"method":"undone"}"#, ""),
        (3, "s2c", r#"{"id":2,"result":1}"#, ""),
        (4, "c2s", r#"{"id":3,"method":"lost"}"#, ""),
        (5, "c2s", r#"{"id":4,"method":"waited"}"#, ""),
        (6, "s2c", r#"{"id":3,"error":{"code":-31000}}"#, r#","verdict":{"injected":"tapline"},"re":4"#),
        (7, "c2s", r#"{"id":"t","method":"first"}"#, asked),
        (8, "c2s", r#"{"id":5,"method":"waited"}"#, ""),
        (9, "s2c", r#"{"id":"t","result":1}"#, answered),
        (10, "s2c", r#"{"id":4,"result":1}"#, ""),
        (11, "s2c", r#"{"id":5,"result":1}"#, ""),
        (12, "c2s", r#"{"id":6,"method":"next"}"#, ""),
        (13, "s2c", r#"{"id":6,"result":1}"#, ""),
    ]);
    tape.rewinds.push(Seq(5));
    tape.seams.extend([5, 9].map(|after| TapeSeam { after: Seq(after), text: String::new() }));
    let server = table(&[("first", r#""result":1"#), ("waited", r#""result":1"#), ("next", r#""result":1"#)]);
    let outcome = run(&tape, options(Speed::Max), server).await;
    assert_eq!(outcome.log(), ["0 first", "0 waited", "0 waited", "0 next"]);
    assert_eq!(outcome.verdicts(), [PASS; 4]);
}

#[tokio::test(start_paused = true)]
async fn listening_stream_may_carry_replies_and_requests() {
    let tape = tape(&[
        (0, "c2s", r#"{"method":"notifications/initialized"}"#),
        (1, "c2s", r#"{"id":1,"method":"tools/call"}"#),
        (2, "s2c", r#"{"id":5,"method":"roots/list"}"#),
        (3, "c2s", r#"{"id":5,"result":{"roots":[]}}"#),
        (4, "s2c", r#"{"id":1,"result":{}}"#),
    ]);
    let (push, listen) = mpsc::unbounded_channel::<&'static str>();
    let listen = Mutex::new(Some(listen));
    let outcome = run(&tape, options(Speed::Max), move |outgoing| {
        match what(outgoing).as_str() {
            "GET" => {
                let listen = listen.lock().take().unwrap();
                let items = stream::unfold(listen, |mut listen| async move {
                    listen.recv().await.map(|json| (Ok(item(json)), listen))
                });
                return Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(items.boxed()));
            }
            "tools/call" => push.send(r#"{"id":"r","method":"roots/list"}"#).unwrap(),
            "result" => push.send(r#"{"id":1,"result":{}}"#).unwrap(),
            _ => {}
        }
        taken()
    })
    .await;
    assert_eq!(outcome.verdicts(), [PASS; 3]);
    assert_eq!(outcome.message("result"), r#"{"id":"r","result":{"roots":[]}}"#);
}

#[tokio::test(start_paused = true)]
async fn question_is_waited_for_that_was_answered_before_the_next_message() {
    let tape = tape(&[
        (0, "c2s", r#"{"method":"notifications/initialized"}"#),
        (1, "s2c", r#"{"id":5,"method":"roots/list"}"#),
        (2, "c2s", r#"{"id":5,"result":{"roots":[]}}"#),
        (3, "c2s", r#"{"id":1,"method":"tools/call"}"#),
        (4, "s2c", r#"{"id":1,"result":{}}"#),
    ]);
    let played = |asks_after: u64| {
        run(&tape, options(Speed::Max), move |outgoing| match what(outgoing).as_str() {
            "GET" => {
                let asked = stream::once(async move {
                    sleep(Duration::from_millis(asks_after)).await;
                    Ok(item(r#"{"id":"r","method":"roots/list"}"#))
                });
                let items = asked.chain(stream::pending());
                Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(items.boxed()))
            }
            "tools/call" => whole(r#"{"id":1,"result":{}}"#),
            _ => taken(),
        })
    };
    let late = played(350).await;
    assert_eq!(
        (late.verdicts(), late.log()[2..].to_vec()),
        (vec![PASS; 3], vec!["350 result".to_owned(), "350 tools/call".to_owned()])
    );
    let never = played(60_000).await;
    assert_eq!((never.verdicts(), never.why(2)), (vec![PASS, SKIP, PASS], "the server did not ask"));
    assert_eq!(never.log().last().unwrap(), "1000 tools/call");
}

#[tokio::test(start_paused = true)]
async fn progress_and_other_notifications_are_noted_not_judged() {
    let call = r#"{"id":1,"method":"tools/call","params":{"_meta":{"progressToken":"p"}}}"#;
    let progress = r#"{"method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#;
    let tape = tape(&[
        (0, "c2s", call),
        (1, "s2c", progress),
        (2, "s2c", progress),
        (3, "s2c", progress),
        (4, "s2c", r#"{"id":1,"result":{}}"#),
        (5, "s2c", r#"{"method":"notifications/tools/list_changed"}"#),
        (6, "c2s", r#"{"id":2,"method":"tools/list"}"#),
        (7, "s2c", r#"{"id":2,"result":{}}"#),
    ]);
    let outcome = run(&tape, options(Speed::Max), |outgoing| match what(outgoing).as_str() {
        "tools/call" => streamed(&[
            r#"{"method":"notifications/progress","params":{"progressToken":"p","progress":5}}"#,
            r#"{"method":"notifications/progress","params":{"progressToken":"p","progress":4}}"#,
            r#"{"id":1,"result":{}}"#,
        ]),
        _ => whole(r#"{"id":2,"result":{}}"#),
    })
    .await;
    assert_eq!(outcome.verdicts(), [PASS, PASS]);
    assert_eq!(outcome.why(1), "progress went back from 5 to 4; 2 of 3 progress notifications came");
    assert_eq!(outcome.why(2), "a notification that once came before did not come (1)");
    assert_eq!(outcome.log(), ["0 tools/call", "1000 tools/list"]);
}

#[tokio::test(start_paused = true)]
async fn order_of_notifications_is_noted_and_fails_where_every_byte_counts() {
    let [a, b] = ["a", "b"].map(|data| format!(r#"{{"method":"notifications/message","params":{{"data":"{data}"}}}}"#));
    let reply = r#"{"id":1,"result":{}}"#;
    let tape =
        tape(&[(0, "c2s", r#"{"id":1,"method":"tools/call"}"#), (1, "s2c", &a), (2, "s2c", &b), (3, "s2c", reply)]);
    let played = |volatile, order: [&str; 2]| {
        let order = order.map(str::to_owned);
        let options = PlayOptions { rules: Rules { volatile, ..Rules::default() }, ..options(Speed::Max) };
        run(&tape, options, move |_| streamed(&[&order[0], &order[1], reply]))
    };
    let as_it_was = played(Volatile::Exact, [&a, &b]).await;
    assert_eq!((as_it_was.verdicts(), as_it_was.step(1).why.clone()), (vec![PASS], None));
    let noted = played(Volatile::Normalised, [&b, &a]).await;
    let why = "notifications `notifications/message` came in another order";
    assert_eq!((noted.verdicts(), noted.why(1)), (vec![PASS], why));
    let failed = played(Volatile::Exact, [&b, &a]).await;
    assert_eq!((failed.verdicts(), failed.why(1)), (vec![FAIL], why));
}

#[tokio::test(start_paused = true)]
async fn cancellation_stays_behind_its_request() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"tools/call"}"#),
        (800, "c2s", r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#),
        (900, "c2s", r#"{"id":2,"method":"ping"}"#),
        (901, "s2c", r#"{"id":2,"result":{}}"#),
    ]);
    let outcome = run(&tape, options(Speed::Max), |outgoing| match what(outgoing).as_str() {
        "tools/call" => Act::Hang,
        "ping" => whole(r#"{"id":2,"result":{}}"#),
        _ => taken(),
    })
    .await;
    assert_eq!(outcome.log(), ["0 tools/call", "20 notifications/cancelled", "20 ping"]);
    assert_eq!(outcome.verdicts(), [PASS; 3]);
    assert_eq!(outcome.why(1), "the tape has no reply to compare with, and none came");
}

/// A call that never ends, and a note of when its client hung up.
fn endless(is_over: &Arc<AtomicBool>) -> Act {
    let note = NoteOfEnd(is_over.clone());
    let never = stream::once(async move {
        let _note = note;
        std::future::pending().await
    });
    Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(never.boxed()))
}

struct NoteOfEnd(Arc<AtomicBool>);

impl Drop for NoteOfEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn cancellation_on_a_modern_pipe_is_played_by_hanging_up() {
    let modern = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let large = "x".repeat(100_000);
    for (argument, via) in [("", Via::Stdio), (large.as_str(), Via::Stdio), ("", Via::Http)] {
        let call = format!(
            r#"{{"id":1,"method":"tools/call","params":{{"name":"slow","arguments":{{"a":"{argument}"}},{modern}}}}}"#
        );
        let mut tape = tape(&[
            (0, "c2s", &call),
            (800, "c2s", r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#),
            (900, "c2s", r#"{"id":2,"method":"ping"}"#),
            (901, "s2c", r#"{"id":2,"result":{}}"#),
        ]);
        tape.envelopes.iter_mut().for_each(|envelope| Arc::make_mut(envelope).transport.via = via);
        let (is_over, seen) = <(Arc<AtomicBool>, Arc<AtomicBool>)>::default();
        let (over, known) = (is_over.clone(), seen.clone());
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("x.tape.jsonl");
        std::fs::write(&path, written(&tape)).unwrap();
        let playable = PlayableTape::open(&path).unwrap();
        let outcome = run_playable(playable, options(Speed::Max), move |outgoing| match what(outgoing).as_str() {
            "tools/call" => endless(&over),
            "ping" => {
                known.store(over.load(Ordering::Relaxed), Ordering::Relaxed);
                whole(r#"{"id":2,"result":{}}"#)
            }
            _ => taken(),
        })
        .await;
        let is_pipe = via == Via::Stdio;
        let posted = ["0 tools/call", "20 notifications/cancelled", "20 ping"];
        let hung_up = ["0 tools/call", "20 ping"];
        assert_eq!(outcome.log(), if is_pipe { &hung_up[..] } else { &posted });
        assert_eq!(seen.load(Ordering::Relaxed), is_pipe, "the server knows before the next message");
        assert_eq!(outcome.verdicts(), [PASS; 3]);
        assert_eq!(outcome.step(2).method, "notifications/cancelled");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_are_compared_whole() {
    let tape = tape(&[
        (0, "c2s", r#"[{"id":1,"method":"a"},{"id":2,"method":"b"}]"#),
        (1, "s2c", r#"[{"id":1,"result":{}},{"id":2,"result":{}}]"#),
    ]);
    let outcome =
        run(&tape, options(Speed::Max), |_| whole(r#"[{"id":1,"result":{}},{"id":2,"result":{"x":1}}]"#)).await;
    assert_eq!((outcome.verdicts(), outcome.why(1)), (vec![FAIL], "1 value differs"));
    assert_eq!(outcome.step(1).differences[0].path, "[1].result.x");
}

#[tokio::test(start_paused = true)]
async fn headers_are_added_to_a_modern_tape_of_a_pipe() {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let call = format!(r#"{{"id":1,"method":"tools/call","params":{{"name":"écho",{meta}}}}}"#);
    let tape = tape(&[(0, "c2s", &call), (1, "s2c", r#"{"id":1,"result":{}}"#)]);
    let outcome = run(&tape, options(Speed::Max), |_| whole(r#"{"id":1,"result":{}}"#)).await;
    let headers = outcome.headers("tools/call");
    assert_eq!(headers["mcp-protocol-version"], "2026-07-28");
    assert_eq!(headers["mcp-method"], "tools/call");
    assert_eq!(headers["mcp-name"], "=?base64?w6ljaG8=?=");
    assert_eq!(outcome.log(), ["0 tools/call"], "no session to end, no stream to open");
}

#[tokio::test(start_paused = true)]
async fn cancellation_waits_for_the_progress_that_came_before_it() {
    let progress = r#"{"method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#;
    let tape = tape(&[
        (0, "c2s", r#"{"id":1,"method":"tools/call","params":{"_meta":{"progressToken":"p"}}}"#),
        (100, "s2c", progress),
        (300, "c2s", r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#),
        (400, "c2s", r#"{"id":2,"method":"ping"}"#),
        (401, "s2c", r#"{"id":2,"result":{}}"#),
    ]);
    let came_after = |millis: u64| {
        let tape = &tape;
        async move {
            let behave = move |outgoing: &Outgoing| match what(outgoing).as_str() {
                "tools/call" => {
                    let late = stream::once(async move {
                        sleep(Duration::from_millis(millis)).await;
                        Ok(item(progress))
                    });
                    Act::Reply(StatusCode::OK, &[], ReplyBody::Stream(late.chain(stream::pending()).boxed()))
                }
                "ping" => whole(r#"{"id":2,"result":{}}"#),
                _ => taken(),
            };
            run(tape, options(Speed::Max), behave).await.log()
        }
    };
    assert_eq!(came_after(700).await, ["0 tools/call", "700 notifications/cancelled", "700 ping"]);
    // What does not come is not waited for without end.
    assert_eq!(came_after(70_000).await, ["0 tools/call", "1000 notifications/cancelled", "1000 ping"]);
}

#[tokio::test(start_paused = true)]
async fn message_waits_for_what_came_before_it_on_a_stream_taken_up_again() {
    let tape = tape(&[
        (0, "c2s", r#"{"id":0,"method":"initialize"}"#),
        (1, "s2c", r#"{"id":0,"result":{}}"#),
        (2, "c2s", r#"{"method":"notifications/initialized"}"#),
        (3, "s2c", r#"{"method":"notifications/tools/list_changed"}"#),
        (4, "c2s", r#"{"id":1,"method":"tools/list"}"#),
        (5, "s2c", r#"{"id":1,"result":{}}"#),
    ]);
    let opened = AtomicUsize::new(0);
    let outcome = run(&tape, options(Speed::Max), move |outgoing| match what(outgoing).as_str() {
        "GET" => match opened.fetch_add(1, Ordering::Relaxed) {
            0 => streamed(&[]),
            1 => streamed(&[r#"{"method":"notifications/tools/list_changed"}"#]),
            _ => status(405),
        },
        "initialize" => whole(r#"{"id":0,"result":{}}"#),
        "tools/list" => whole(r#"{"id":1,"result":{}}"#),
        _ => taken(),
    })
    .await;
    assert_eq!(outcome.log(), ["0 initialize", "0 notifications/initialized", "0 GET", "1000 GET", "1000 tools/list"]);
    assert_eq!(outcome.why(3), "");
}
