//! `tapline stdio`: the real binary where a client would launch the server, between pipes.

use serde_json::{Value, json};
use tapline::demo::server::{Scenario, ServerOptions, serve};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::support::{Launched, ProcessAlive, tapline_binary};

fn request(id: u32, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn initialize() -> Value {
    let client = json!({"name": "launcher", "version": "1"});
    request(
        0,
        "initialize",
        &json!({"protocolVersion": "2025-11-25", "capabilities": {"sampling": {}}, "clientInfo": client}),
    )
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let deep = format!("{{\"id\":1,\"method\":\"x\",\"params\":{}1{}}}\n", "[".repeat(200), "]".repeat(200));
    let large = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"x\",\"params\":\"{}\"}}\n", "x".repeat(20 << 20));
    let mut launched = Launched::script("exec cat");
    for line in [
        &br#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"x","params":{"n":1.10,"e":1e2}}
"#[..],
        b"{\"id\":1,\"id\":2,\"method\":\"a\",\"method\":\"b\"}\n",
        b"{\"id\":\"\\ud83d\",\"method\":\"\\ud83d\"}\n",
        b"\xef\xbb\xbf{\"id\":null,\"method\":\"x\"}\r\n",
        b"  [{\"id\":1,\"method\":\"x\"},7]\t\n",
        b"Content-Length: 12\r\n",
        b"\r\n",
        b"\n",
        b"\xff\xfe not UTF-8 \x00\n",
        deep.as_bytes(),
        large.as_bytes(),
    ] {
        launched.say(line).await;
        let back = launched.line().await;
        assert!(back == line, "{:?}", String::from_utf8_lossy(&back[..back.len().min(200)]));
    }
    launched.say(b"no line end").await;
    assert_eq!(launched.leave().await, (Some(0), b"no line end".to_vec(), vec![]));
}

#[tokio::test]
async fn eof_ends_the_server_and_its_status_is_ours() {
    let launched = Launched::script("cat >/dev/null; echo '{\"late\":1}'; printf 'a\\377b' >&2; exit 7");
    let (status, rest, errors) = launched.leave().await;
    assert_eq!((status, rest.as_slice(), errors.as_slice()), (Some(7), &b"{\"late\":1}\n"[..], &b"a\xffb"[..]));
}

/// A client that reads no stderr must still get its replies.
#[tokio::test]
async fn stderr_flood_blocks_nothing_and_is_complete() {
    let flood = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; yes noise | head -n 100000 >&2";
    let mut launched = Launched::script(&format!("{flood}; echo ready; exec cat"));
    assert_eq!(launched.line().await, b"ready\n");
    launched.say(b"{\"id\":1}\n").await;
    assert_eq!(launched.line().await, b"{\"id\":1}\n");
    let (status, rest, errors) = launched.leave().await;
    assert_eq!((status, rest.len(), errors.len()), (Some(0), 0, 3_000_001 + 600_000));
    assert!(errors.starts_with(b"xxx") && errors.ends_with(b"noise\nnoise\n"));
}

#[tokio::test]
async fn shadow_is_heard_only_on_stderr() {
    let program = tapline_binary();
    let program = program.to_str().unwrap();
    let shadow = format!("{program} __demo-server --changed");
    let mut launched = Launched::start(&["--headless", "--shadow", &shadow, "--", program, "__demo-server"]);
    launched.tell(&initialize()).await;
    launched.until_reply(0).await;
    launched.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    launched.tell(&request(1, "tools/list", &json!({}))).await;
    launched.until_reply(1).await;
    launched.tell(&request(2, "tools/call", &json!({"name": "get_forecast", "arguments": {"city": "Oslo"}}))).await;
    let heard = launched.until_reply(2).await;
    assert_eq!(heard[0]["result"]["structuredContent"]["days"][0]["sky"], "sun");
    // What the shadow has not said yet is waited for, a moment.
    let (status, rest, errors) = launched.leave().await;
    assert_eq!((status, rest.as_slice()), (Some(0), &b""[..]));
    let errors = String::from_utf8(errors).unwrap();
    assert!(errors.lines().last().unwrap().starts_with("tapline: shadow: 2 same, 1 differ; first #"), "{errors}");
}

#[tokio::test]
async fn server_exit_ends_tapline() {
    let launched = Launched::script("echo why >&2; exit 4");
    let (status, _, errors) = launched.end().await;
    assert_eq!((status, errors.as_slice()), (Some(4), &b"why\n"[..]));
}

#[tokio::test]
async fn signals_are_passed_to_the_server() {
    for (name, status) in [("TERM", 9), ("INT", 8)] {
        let script = "trap 'exit 9' TERM; trap 'exit 8' INT; sleep 1000 & echo ready; wait";
        let mut launched = Launched::script(script);
        assert_eq!(launched.line().await, b"ready\n");
        launched.signal(name);
        let (ended, ..) = launched.end().await;
        assert_eq!(ended, Some(status), "{name}");
    }
}

#[tokio::test]
async fn missing_command_is_reported_on_stderr() {
    let (status, rest, errors) = Launched::start(&["--", "there-is-no-such-command"]).end().await;
    assert_eq!((status, rest), (Some(2), vec![]));
    let errors = String::from_utf8(errors).unwrap();
    assert!(errors.starts_with("tapline: there is no program `there-is-no-such-command` on `PATH`"), "{errors}");
}

#[tokio::test]
async fn environment_may_be_minimal_and_passes_whole() {
    let mut command = Command::new(tapline_binary());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent").env("OWN", "yes");
    command.env("TAPLINE_NO_CONTROL", "1");
    let mut launched = Launched::start_as(command, &["--", "sh", "-c", "echo $OWN $HOME; cat"]);
    assert_eq!(launched.line().await, b"yes /nonexistent\n");
    assert_eq!(launched.leave().await.0, Some(0));
}

#[tokio::test]
async fn same_command_runs_twice_at_once() {
    let (mut probe, mut real) = (Launched::script("exec cat"), Launched::script("exec cat"));
    for launched in [&mut real, &mut probe] {
        launched.say(b"{}\n").await;
        assert_eq!(launched.line().await, b"{}\n");
    }
    assert_eq!(probe.leave().await.0, Some(0));
    real.say(b"[]\n").await;
    assert_eq!(real.line().await, b"[]\n");
}

#[tokio::test]
async fn kill_ends_the_server() {
    let alive = ProcessAlive::new();
    let mut launched = Launched::script(&format!("{}echo ready; sleep 1000", alive.line()));
    assert_eq!(launched.line().await, b"ready\n");
    launched.signal("KILL");
    alive.ended().await;
}

#[tokio::test]
async fn crash_restarts_the_server_if_asked() {
    let script = r#"
        while read -r line; do
            id=${line#*\"id\":}; id=${id%%[,\}]*}
            case "$line" in
            *'"method":"initialize"'*)
                echo '{"id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}}}}' ;;
            *'"method":"die"'*) echo 'last words' >&2; exit 3 ;;
            *'"id":'*) echo '{"id":'"$id"',"result":{}}' ;;
            esac
        done; exit 7"#;
    let mut launched = Launched::start(&["--restart", "crash", "--", "sh", "-c", script]);
    launched.tell(&initialize()).await;
    launched.message().await;
    launched.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    launched.tell(&request(1, "die", &json!({}))).await;
    let died = launched.message().await;
    assert_eq!((&died["id"], &died["error"]["code"]), (&json!(1), &json!(-31000)));
    assert!(died["error"]["message"].as_str().unwrap().contains("status 3; it last wrote: last words"), "{died}");
    // It waits for the next, which is no other to the client.
    launched.tell(&request(2, "x", &json!({}))).await;
    let heard = launched.until_reply(2).await;
    let methods: Vec<_> = heard.iter().filter_map(|message| message["method"].as_str()).collect();
    assert!(heard.iter().any(|message| message["id"] == 2 && message["result"] == json!({})), "{heard:?}");
    assert!(methods.is_empty() || methods == ["notifications/tools/list_changed"], "{heard:?}");
    // A client that leaves ends it all: the status is that of the last.
    assert_eq!(launched.leave().await.0, Some(7));
}

async fn demo_server() -> (String, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(serve(
        listener,
        ServerOptions { scenario: Scenario::Original, ..ServerOptions::default() },
        stop.clone(),
    ));
    (url, stop)
}

#[tokio::test]
async fn http_upstream_is_served_over_pipes() {
    let (url, _stop) = demo_server().await;
    let mut launched = Launched::start(&["--upstream", &url]);
    launched.tell(&initialize()).await;
    let reply = launched.message().await;
    assert_eq!(reply["result"]["serverInfo"]["name"], "tapline-demo");
    launched.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;

    launched.tell(&request(1, "tools/list", &json!({}))).await;
    assert!(launched.message().await["result"]["tools"].as_array().unwrap().len() > 3);

    let progress = json!({"name": "index_documents", "arguments": {}, "_meta": {"progressToken": "p"}});
    launched.tell(&request(2, "tools/call", &progress)).await;
    let heard = launched.until_reply(2).await;
    let steps = heard.iter().filter(|message| message["method"] == "notifications/progress").count();
    assert!(steps >= 3 && heard.last().unwrap()["result"].is_object(), "{heard:?}");

    let summarize = json!({"name": "summarize", "arguments": {"path": "/trips/lisbon.md"}});
    launched.tell(&request(3, "tools/call", &summarize)).await;
    // What changed with the call before is told on another stream, which may be later.
    let mut question = launched.message().await;
    if question["method"] == "notifications/resources/list_changed" {
        question = launched.message().await;
    }
    assert_eq!(question["method"], "sampling/createMessage");
    let answer = json!({"role": "assistant", "model": "m", "content": {"type": "text", "text": "short"}});
    launched.tell(&json!({"jsonrpc": "2.0", "id": question["id"], "result": answer})).await;
    let heard = launched.until_reply(3).await;
    assert!(heard.last().unwrap().to_string().contains("short"), "{heard:?}");

    let (status, rest, errors) = launched.leave().await;
    assert_eq!((status, rest, errors), (Some(0), vec![], vec![]));
}

#[tokio::test]
async fn unreachable_http_upstream_is_a_json_rpc_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", free.local_addr().unwrap());
    drop(free);
    let mut launched = Launched::start(&["--upstream", &url]);
    launched.tell(&initialize()).await;
    let reply = launched.message().await;
    assert_eq!((&reply["id"], &reply["error"]["code"]), (&json!(0), &json!(-31000)), "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains(&url), "{reply}");
    assert_eq!(launched.leave().await.0, Some(0));
}

#[tokio::test]
async fn hold_that_nobody_can_answer_is_announced() {
    let launched = Launched::start(&["--hold", "~q", "--", "sh", "-c", "cat >/dev/null"]);
    let (_, _, errors) = launched.leave().await;
    let errors = String::from_utf8_lossy(&errors).into_owned();
    assert!(errors.contains("messages that match `~q` are held, and no screen is here"), "{errors}");
}
