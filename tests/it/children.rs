//! A server that is a command: it lives as long as its session, and whatever becomes of it, everyone is told.

use std::process::Stdio;

use serde_json::json;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Author, Outcome};
use tapline::event::{Event, Level, OnQuit};
use tapline::message::Kind;
use tapline::upstream::pool::{Restart, Settings};

use crate::support::scripts::{second_before_first, server};
use crate::support::{Binary, ProcessAlive, Rig, client_in_session, request};

/// Answers requests with its pid, except that it never answers `hang` and `wait`, and does not survive `die`.
const SERVER: &str = server!(
    r#"
        *'"method":"die"'*) echo 'first words' >&2; echo 'last words' >&2; exit 3 ;;
        *'"method":"hang"'*) echo '{"jsonrpc":"2.0","method":"hanging"}' ;;
        *'"method":"wait"'*) ;;
        *'"method":"notifications/cancelled"'*) cancelled=$((cancelled + 1)) ;;
        *'"method":"heard"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"cancelled":'$cancelled'}}' ;;
        *'"method":"notify"'*) echo '{"jsonrpc":"2.0","method":"notified"}' ;;
        *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"pid":'$$'}}' ;;"#
);

#[tokio::test]
async fn child_group_ends_with_its_session() {
    let alive = ProcessAlive::new();
    let rig = Rig::script(&format!("{}sleep 1000 & {SERVER}", alive.line())).await;
    let mut client = client_in_session(&rig).await;
    client.request("DELETE /mcp", "", b"").await;
    assert_eq!(client.response().await.status(), "200");
    alive.ended().await;
    assert_eq!(rig.closed(rig.session(1).await).await, "the client ended it");
    assert_eq!(client.call(request(1, "ping")).await.status(), "404");
}

#[tokio::test]
async fn child_that_ignores_sigterm_is_killed() {
    let alive = ProcessAlive::new();
    let rig =
        Rig::script(&format!("{}trap '' TERM; {SERVER} echo stays >&9; sleep 1000; sleep 1000", alive.line())).await;
    client_in_session(&rig).await;
    rig.quit(OnQuit::Forward).await;
    assert_eq!(alive.ended().await, "stays\n");
}

#[tokio::test]
async fn children_end_with_tapline() {
    let alive = ProcessAlive::new();
    let rig = Rig::script(&format!("{}sleep 1000 & {SERVER} echo in good order >&9", alive.line())).await;
    client_in_session(&rig).await;
    let told = rig.quit(OnQuit::Forward).await;
    assert_eq!(alive.ended().await, "in good order\n");
    let closed =
        told.iter().find_map(|it| if let Event::SessionClosed { reason, .. } = it { Some(reason) } else { None });
    assert_eq!(closed.unwrap(), "tapline ended");
}

#[tokio::test]
async fn children_end_when_tapline_is_killed() {
    let alive = ProcessAlive::new();
    let script = format!("{}trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) & {SERVER} sleep 1000", alive.line());
    let binary = Binary::run(&["--no-record", "--", "sh", "-c", &script]).await;
    let mut client = binary.client().await;
    client.initialize().await;
    binary.signal("KILL");
    alive.ended().await;
    let (status, ..) = binary.end().await;
    assert_eq!(status.code(), None);
}

#[tokio::test]
async fn crash_without_restart_fails_pending_requests() {
    let kept = Settings { restart: Restart::Never, ..Settings::default() };
    let rig = Rig::kept(&["sh", "-c", SERVER], kept).await;
    let mut client = client_in_session(&rig).await;
    // Two calls that wait for a reply, one of them with its stream open.
    let mut streaming = client.again(rig.address()).await;
    streaming.post(request(1, "hang")).await;
    assert_eq!(streaming.head().await.second_word(), "200");
    let mut waiting = client.again(rig.address()).await;
    waiting.post(request(2, "wait")).await;
    rig.message(ToServer, |it| it.method() == Some("wait")).await;
    let response = client.call(request(3, "die")).await;

    assert_eq!(response.status(), "502");
    let error = response.json();
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(3), &json!(-31000)));
    let text = error["error"]["message"].as_str().unwrap();
    assert!(text.contains("ended with status 3; it last wrote: first words | last words"), "{text}");
    assert!(text.starts_with("tapline: ") && text.contains("run the command by itself"), "{text}");
    let waited = waiting.response().await;
    assert_eq!((waited.status(), &waited.json()["id"]), ("502", &json!(2)));
    // A reply can tell of the end, a stream that has begun can only break.
    loop {
        match streaming.piece().await {
            Ok(Some(piece)) => assert!(piece.starts_with(b"event: message\ndata: "), "{piece:?}"),
            Ok(None) => panic!("the stream ended as if all were well"),
            Err(_) => break,
        }
    }
    let session = rig.session(1).await;
    let reason = rig.closed(session).await;
    assert!(reason.starts_with("its server is gone: ") && reason.contains("status 3"), "{reason}");

    // The session is over for good, the next is not.
    let response = client.call(request(4, "ping")).await;
    assert_eq!(response.status(), "404");
    assert_eq!((&response.json()["id"], &response.json()["error"]["code"]), (&json!(4), &json!(-31003)));
    let mut next = client_in_session(&rig).await;
    assert_eq!(next.call(request(1, "ping")).await.status(), "200");
    assert_ne!(rig.session(2).await, session);
}

#[tokio::test]
async fn start_failure_of_a_command_says_why() {
    for (command, expected) in [
        (&["/nonexistent/server", "--x"][..], "cannot start `/nonexistent/server --x`: No such file"),
        (&["/"], "cannot start `/`: Permission denied"),
        (&["sh", "-c", "exit 7"], "`sh -c exit 7` ended with status 7; run the command"),
        (&["sh", "-c", "echo no config >&2; kill -9 $$"], "ended with signal 9; it last wrote: no config"),
        (&["true"], "`true` ended with status 0"),
    ] {
        let rig = Rig::command(command).await;
        let mut client = rig.client().await;
        let response = client.call(request(5, "initialize")).await;
        assert_eq!(response.status(), "502", "{command:?}");
        let error = response.json();
        assert_eq!((&error["id"], &error["error"]["code"]), (&json!(5), &json!(-31000)), "{command:?}");
        let text = error["error"]["message"].as_str().unwrap();
        assert!(text.contains(expected), "{text}");
        rig.closed(rig.session(1).await).await;
        rig.line(Level::Error, expected.split(';').next().unwrap()).await;
    }
}

#[tokio::test]
async fn stderr_flood_blocks_nothing() {
    let lines = "yes 0123456789012345678901234567890123456789 | head -c 1000000 >&2";
    let line = "head -c 1000000 /dev/zero | tr '\\0' x >&2";
    let rig = Rig::script(&format!("{lines}; {line}; {SERVER}")).await;
    let mut client = client_in_session(&rig).await;
    assert_eq!(client.call(request(1, "ping")).await.status(), "200");
    let line = rig.line(Level::Info, "0123456789").await;
    assert_eq!((line.source.as_str(), line.session), ("server", Some(rig.session(1).await)));
}

#[tokio::test]
async fn stdout_noise_is_shown_and_harmless() {
    let noise = r#"echo; echo 'Server started!'; echo '{"torn":'; printf '\377\376\n'; printf '\033[31mred\r\n'"#;
    let rig = Rig::script(&format!("{noise}; {SERVER}")).await;
    let mut client = client_in_session(&rig).await;
    let response = client.call(request(1, "ping")).await;
    assert_eq!(response.head.get("content-type"), Some("application/json"));
    let shown = rig.until("all noise", |log| {
        let noise = log.iter().filter_map(|it| if let Event::Passed(it) = it { Some(it) } else { None });
        let noise: Vec<_> = noise.filter(|it| it.kind() == Kind::Opaque && it.direction == ToClient).collect();
        (noise.len() == 4).then(|| noise.iter().map(|it| it.message.raw().to_vec()).collect::<Vec<_>>())
    });
    let expected: [&[u8]; 4] = [b"Server started!", b"{\"torn\":", b"\xff\xfe", b"\x1b[31mred"];
    assert_eq!(shown.await, expected);
}

#[tokio::test]
async fn batch_is_answered_in_one_response() {
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"b"},{"jsonrpc":"2.0","method":"n"}]"#;
    let one = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let two = r#"{"jsonrpc":"2.0","id":2,"result":{}}"#;
    // The ids of the child's own requests are in another space.
    let asks = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#;
    for said in [
        vec![format!("[{two},{one}]")],
        vec![two.to_owned(), one.to_owned()],
        vec![asks.to_owned(), format!("[{one},{two}]")],
    ] {
        let rig = Rig::script(&format!("read -r batch; printf '%s\\n' {}; cat >/dev/null", words(&said))).await;
        let response = rig.client().await.call(batch).await;
        let events: String = said.iter().map(|line| format!("event: message\ndata: {line}\n\n")).collect();
        assert_eq!(response.text(), events);
    }
}

/// As words of a line of shell.
fn words(texts: &[String]) -> String {
    texts.iter().map(|text| format!("'{text}' ")).collect()
}

#[tokio::test]
async fn get_stream_carries_messages_of_the_child() {
    let rig = Rig::script(SERVER).await;
    let mut client = client_in_session(&rig).await;
    let said = b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notified\"}\n\n";
    // What nobody listened for is not lost.
    assert_eq!(client.call(r#"{"jsonrpc":"2.0","method":"notify"}"#).await.status(), "202");
    rig.message(ToClient, |it| it.method() == Some("notified")).await;
    let mut listening = client.again(rig.address()).await;
    listening.get().await;
    assert_eq!(listening.head().await.get("content-type"), Some("text/event-stream"));
    assert_eq!(listening.bytes(said.len()).await, said);
    client.call(r#"{"jsonrpc":"2.0","method":"notify"}"#).await;
    assert_eq!(listening.bytes(said.len()).await, said);
    // One listener a session; the next may come when it has gone.
    client.get().await;
    assert_eq!(client.response().await.status(), "409");
    // The stream ends with its session, in good order.
    client.request("DELETE /mcp", "", b"").await;
    client.response().await;
    assert_eq!(listening.rest().await, "");
}

#[tokio::test]
async fn get_and_delete_need_a_session() {
    let rig = Rig::script(SERVER).await;
    let mut client = rig.client().await;
    for (headers, status) in [("", "400"), ("mcp-session-id: unknown\r\n", "404")] {
        for method in ["GET", "DELETE"] {
            client.request(&format!("{method} /mcp"), headers, b"").await;
            assert_eq!(client.response().await.status(), status, "{method} {headers}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessionless_clients_share_one_child() {
    let rig = Rig::script(SERVER).await;
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(16));
    let calls = (0..16).map(|id| {
        let (connecting, barrier) = (rig.client(), barrier.clone());
        async move {
            let mut client = connecting.await;
            barrier.wait().await;
            client.call(request(id, "ping")).await.json()["result"]["pid"].as_u64().unwrap()
        }
    });
    let mut pids = futures_util::future::join_all(calls).await;
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
}

#[tokio::test]
async fn shared_child_keeps_client_ids_apart() {
    // Takes two requests, then answers the second before the first, each after its progress.
    let rig = Rig::script(second_before_first!(
        r#"
            token=${line#*\"progressToken\":}; token=${token%%[,\}]*}
            echo '{"method":"notifications/progress","params":{"progressToken":'"$token"',"who":'"$who"'}}'
            echo '{"id":'"$id"',"result":'"$who"'}'"#
    ))
    .await;
    let mut clients = Vec::new();
    for who in ["a", "b"] {
        let mut client = rig.client().await;
        client
            .post(format!(r#"{{"id":1,"method":"x","params":{{"who":"{who}","_meta":{{"progressToken":5}}}}}}"#))
            .await;
        rig.message(ToServer, |it| it.message.member("params").unwrap().contains(&format!("\"{who}\""))).await;
        clients.push((who, client));
    }
    for (who, mut client) in clients {
        let progress = format!(r#"{{"method":"notifications/progress","params":{{"progressToken":5,"who":"{who}"}}}}"#);
        let reply = format!(r#"{{"id":1,"result":"{who}"}}"#);
        let events = [progress, reply].map(|message| format!("event: message\ndata: {message}\n\n")).concat();
        assert_eq!(client.response().await.text(), events);
    }
}

#[tokio::test]
async fn shared_child_routes_each_subscription() {
    // Takes two requests to listen, then says the second's part before the first's.
    let rig = Rig::script(second_before_first!(
        r#"
            meta='"_meta":{"io.modelcontextprotocol/subscriptionId":'"$id"'}'
            echo '{"method":"notifications/tools/list_changed","params":{'"$meta"',"who":'"$who"'}}'
            echo '{"id":'"$id"',"result":{'"$meta"'}}'"#
    ))
    .await;
    let mut clients = Vec::new();
    for who in ["a", "b"] {
        let mut client = rig.client().await;
        client.post(format!(r#"{{"id":"listen:0","method":"subscriptions/listen","params":{{"who":"{who}"}}}}"#)).await;
        rig.message(ToServer, |it| it.message.member("params").unwrap().contains(&format!("\"{who}\""))).await;
        clients.push((who, client));
    }
    let meta = r#""_meta":{"io.modelcontextprotocol/subscriptionId":"listen:0"}"#;
    for (who, mut client) in clients {
        let change = format!(r#"{{"method":"notifications/tools/list_changed","params":{{{meta},"who":"{who}"}}}}"#);
        let end = format!(r#"{{"id":"listen:0","result":{{{meta}}}}}"#);
        let events = [change, end].map(|message| format!("event: message\ndata: {message}\n\n")).concat();
        assert_eq!(client.response().await.text(), events);
    }
}

#[tokio::test]
async fn cancelled_request_ends_without_an_answer() {
    let rig = Rig::script(SERVER).await;
    let mut client = client_in_session(&rig).await;
    let mut waiting = client.again(rig.address()).await;
    waiting.post(request(1, "wait")).await;
    rig.message(ToServer, |it| it.message.id().is_some_and(|it| it.token() == "1")).await;
    let taken_back = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(client.call(taken_back).await.status(), "202");
    client.request("DELETE /mcp", "", b"").await;
    let response = waiting.response().await;
    assert_eq!((response.status(), response.text()), ("200", ""));
}

#[tokio::test]
async fn hang_up_cancels_for_modern_clients_only() {
    let meta = r#""params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    let rig = Rig::script(SERVER).await;
    for (id, method, params) in [(1, "wait", "\"params\":{}"), (2, "wait", meta), (3, "hang", meta)] {
        let mut client = rig.client().await;
        client.post(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}",{params}}}"#)).await;
        rig.message(ToServer, |it| it.message.id().is_some_and(|it| it.token() == id.to_string())).await;
        if method == "hang" {
            client.head().await;
        } else {
            // Once this is answered, the child has read what came before it; a line that it has not read is taken back in silence.
            let look = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"look",{params}}}"#);
            assert!(rig.client().await.call(look).await.json()["result"]["pid"].is_u64());
        }
        drop(client);
    }
    let told = rig.until("two cancellations", |log| {
        let passed = log.iter().filter_map(|it| if let Event::Passed(it) = it { Some(it) } else { None });
        let cancelled = passed.filter(|it| it.method() == Some("notifications/cancelled"));
        let told: Vec<_> = cancelled.map(|it| (it.outcome.clone(), it.message.value().unwrap())).collect();
        (told.len() == 2).then_some(told)
    });
    let mut told = told.await;
    told.sort_by_key(|(_, message)| message["params"]["requestId"].as_u64());
    for ((outcome, message), id) in told.into_iter().zip([2, 3]) {
        assert_eq!((outcome, &message["params"]["requestId"]), (Outcome::Injected(Author::Tapline), &json!(id)));
    }
    // The child has heard it, and goes on.
    let mut client = rig.client().await;
    let heard = format!(r#"{{"jsonrpc":"2.0","id":4,"method":"heard",{meta}}}"#);
    assert_eq!(client.call(heard).await.json()["result"]["cancelled"], 2);
}

#[tokio::test]
async fn cancel_by_id_is_ignored_on_a_shared_child() {
    let rig = Rig::script(&format!("cancelled=0; {SERVER}")).await;
    let mut client = rig.client().await;
    client.headers = "mcp-protocol-version: 2026-07-28\r\n".to_owned();
    let taken_back = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    assert_eq!(client.call(taken_back).await.status(), "202");
    assert_eq!(client.call(request(2, "heard")).await.json()["result"]["cancelled"], 0);
}

#[tokio::test]
async fn child_inherits_the_environment() {
    let mut tapline = crate::support::binary::command();
    tapline.env("PASSED_ON", "yes").stdin(Stdio::null());
    let script = r#"read -r l; echo '{"id":0,"result":"'$PASSED_ON'"}'; cat >/dev/null"#;
    let binary = Binary::run_as(tapline, &["--no-record", "--", "sh", "-c", script]).await;
    let mut client = binary.client().await;
    assert_eq!(client.initialize().await.json()["result"], "yes");
}
