//! What a peer that does not read, or does not end what it says, may cost: some memory, and no more, however much is offered.
//!
//! The memory is that of the real program at its peak. That it is not read, or has no room any more, is said by the log, for which is
//! waited here: nothing depends on how fast anybody is.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::pool::modern;
use crate::support::binary::command;
use crate::support::scripts::server;
use crate::support::{Binary, Launched, soon};

/// Above what a debug build of tapline has from its start, and what it remembers for screens (64 MiB).
const MOST: u64 = 200 << 20;
const UNREAD: &str = "the client does not read: 16 MiB wait for it";

/// Bytes resident: now (`VmRSS`), or at most so far (`VmHWM`). Nothing where the system does not say.
pub(crate) fn memory(process: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix(figure)?.trim_start_matches(':').trim().strip_suffix(" kB"));
    kibibytes.map_or(0, |figure| figure.trim().parse::<u64>().unwrap() << 10)
}

#[track_caller]
fn assert_bounded(process: u32) {
    let peak = memory(process, "VmHWM");
    assert!(peak < MOST, "{} MiB", peak >> 20);
}

/// Says the same thing for ever, in lines so short that each is written whole, whoever else writes.
const FLOOD: &str = r#"
    x=$(head -c 3000 /dev/zero | tr '\0' x)
    flood() { while :; do echo '{"jsonrpc":"2.0","method":"notifications/x","params":{"x":"'"$x"'"}}'; done; }
"#;

#[tokio::test]
async fn client_on_stdio_that_does_not_read_is_no_memory_and_still_heard() {
    let script = format!("{FLOOD}flood & while read -r line; do echo \"heard $line\" >&2; done; kill $!");
    let mut launched = Launched::start(&["--headless", "--", "sh", "-c", &script]);
    let mut errors = launched.errors();
    errors.until(UNREAD).await;
    for number in 0..200 {
        launched.say(format!("{{\"number\":{number}}}\n").as_bytes()).await;
        errors.until(&format!("heard {{\"number\":{number}}}")).await;
    }
    assert_bounded(launched.process());
    // It goes on where it stopped.
    for _ in 0..1000 {
        assert!(launched.line().await.starts_with(b"{\"jsonrpc\""));
    }
    assert_bounded(launched.process());
}

#[tokio::test]
async fn client_on_stdio_that_does_not_read_what_a_url_says_is_no_memory() {
    let (address, _flooding) = flooding("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", event()).await;
    let mut launched = Launched::start(&["--headless", "--upstream", &format!("http://{address}/mcp")]);
    let mut errors = launched.errors();
    launched.say(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}\n").await;
    errors.until(UNREAD).await;
    assert_bounded(launched.process());
    for _ in 0..1000 {
        assert!(launched.line().await.starts_with(b"{\"jsonrpc\""));
    }
    assert_bounded(launched.process());
}

#[tokio::test]
async fn client_of_sse_that_does_not_read_is_no_memory() {
    let script = format!("{FLOOD}flood");
    let mut binary = Binary::run(&["--no-record", "--", "sh", "-c", &script]).await;
    let mut client = binary.client().await;
    client.request("GET /sse", "accept: text/event-stream\r\n", b"").await;
    client.head().await;
    binary.line_with(UNREAD).await;
    assert_bounded(binary.process());
}

/// Answers requests, and begins to say something for ever where it is asked to.
const SERVER: &str = server!(
    r#"
        *'"method":"flood"'*) flood & ;;
        *'"method":"progress"'*)
            while :; do
                echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":1,"message":"'"$x"'"}}'
            done & ;;
        *'"id":'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{}}' ;;"#
);

#[tokio::test]
async fn listening_stream_that_is_not_read_is_no_memory_and_keeps_no_call_waiting() {
    let script = format!("{FLOOD}{SERVER}");
    let mut binary = Binary::run(&["--no-record", "--", "sh", "-c", &script]).await;
    let mut client = binary.client().await;
    client.initialize().await;
    let mut listener = client.again(binary.address()).await;
    listener.get().await;
    listener.head().await;
    assert_eq!(client.call(r#"{"jsonrpc":"2.0","method":"flood"}"#).await.status(), "202");
    binary.line_with(UNREAD).await;
    assert_bounded(binary.process());
    client.post(r#"{"jsonrpc":"2.0","id":5,"method":"ping"}"#).await;
    binary.line_with("the stream of a client that did not read for 10s was ended").await;
    // The flood goes on, now on the response of the call.
    assert_eq!(client.head().await.second_word(), "200");
    assert_bounded(binary.process());
}

#[tokio::test]
async fn client_that_does_not_read_loses_its_stream_where_others_share_the_child() {
    let script = format!("{FLOOD}{SERVER}");
    let mut binary = Binary::run(&["--no-record", "--lenient", "--", "sh", "-c", &script]).await;
    let (mut deaf, mut other) = (binary.client().await, binary.client().await);
    assert_eq!(other.call(modern(1, "ping")).await.status(), "200");
    deaf.post(modern(2, "progress").replace(r#""progressToken":5"#, r#""progressToken":"mine""#)).await;
    deaf.head().await;
    binary.line_with(UNREAD).await;
    other.post(modern(3, "ping")).await;
    binary.line_with("the stream of a client that did not read for 10s was ended").await;
    let response = other.response().await;
    assert_eq!((response.status(), response.json()["id"].as_u64()), ("200", Some(3)));
    assert_bounded(binary.process());
}

#[tokio::test]
async fn line_without_end_of_a_child_ends_its_session_with_a_clear_error() {
    let script = "read -r line; cat /dev/zero | tr '\\0' x";
    let said = "sent a message of more than 16 MiB, or without end";
    let mut launched = Launched::start(&["--headless", "--max-message", "16", "--", "sh", "-c", script]);
    let mut errors = launched.errors();
    launched.say(b"{}\n").await;
    errors.until(said).await;
    assert_bounded(launched.process());
    launched.end_unread().await;
    let binary = Binary::run(&["--no-record", "--lenient", "--max-message", "16", "--", "sh", "-c", script]).await;
    for message in [crate::support::INITIALIZE.to_owned(), modern(1, "ping")] {
        let response = binary.client().await.call(&message).await;
        assert_eq!(response.status(), "502");
        let text = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(text.contains(said) && text.contains("`--max-message` allows longer ones"), "{text}");
    }
    assert_bounded(binary.process());
}

#[tokio::test]
async fn line_without_end_of_a_client_on_stdio_ends_its_session_with_a_clear_error() {
    let mut launched = Launched::start(&["--max-message", "16", "--", "cat"]);
    let mut input = launched.take_input();
    let endless = tokio::spawn(async move { while input.write_all(&[b'x'; 1 << 16]).await.is_ok() {} });
    let mut errors = launched.errors();
    errors
        .until("the client sent a message of more than 16 MiB, or without end; `--max-message` allows longer ones")
        .await;
    assert_bounded(launched.process());
    assert_eq!(launched.end_unread().await, Some(1), "0 would say that all was well");
    soon("an end of what it is told", endless).await.unwrap();
}

#[tokio::test]
async fn event_and_body_without_end_of_a_url_end_with_a_clear_error() {
    for (kind, start) in [("text/event-stream", "data: "), ("application/json", "{\"a\":\"")] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n{start}");
        let (address, _flooding) = flooding(&head, "x".repeat(1 << 16)).await;
        let url = format!("http://{address}/mcp");
        let said = format!("{url} sent a message of more than 16 MiB, or without end");
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        let mut binary = Binary::run(&["--no-record", "--max-message", "16", "--upstream", &url]).await;
        let mut client = binary.client().await;
        client.post(call).await;
        match kind {
            "application/json" => {
                let response = client.response().await;
                assert_eq!(response.status(), "502");
                assert!(response.text().contains(&said), "{response:?}");
            }
            _ => {
                assert_eq!(client.head().await.second_word(), "200");
                assert!(client.piece().await.is_err(), "it ended in good order");
            }
        }
        binary.line_with(&said).await;
        assert_bounded(binary.process());
        let mut launched = Launched::start(&["--max-message", "16", "--upstream", &url]);
        launched.tell(&serde_json::from_str(call).unwrap()).await;
        let error = launched.message().await;
        assert_eq!(error["id"], 1);
        assert!(error["error"]["message"].as_str().unwrap().contains(&said), "{error}");
        assert_bounded(launched.process());
    }
}

#[tokio::test]
async fn calls_that_a_child_does_not_read_are_bounded_and_given_back() {
    let mut binary = Binary::run(&["--no-record", "--lenient", "--", "sh", "-c", "exec sleep 1000"]).await;
    let text = "x".repeat(1 << 20);
    let before = memory(binary.process(), "VmRSS");
    let mut clients = Vec::new();
    for id in 0..400 {
        let mut client = binary.client().await;
        let call = modern(id, "tools/call").replace(r#""params":{"#, &format!(r#""params":{{"text":"{text}","#));
        client.post(call).await;
        clients.push(client);
    }
    binary.line_with("does not read: 16 MiB wait for it").await;
    let peak = memory(binary.process(), "VmHWM");
    // Of 400 MiB, 16 that are to be written and 128 that wait are there; the rest was refused. Without a limit it was three times as much.
    assert!(peak < 500 << 20, "{} MiB", peak >> 20);
    drop(clients);
    // What it had before, and what is remembered for screens; a small part of what there was.
    let most_left = before + (110 << 20);
    let given_back = async {
        while memory(binary.process(), "VmRSS") > most_left {
            tokio::task::yield_now().await;
        }
    };
    soon("the memory", given_back).await;
}

/// Runs tapline to its end with no more than so many MiB for its data. Returns status and stdout.
fn within(mebibytes: u64, arguments: &[&str]) -> (Option<i32>, Vec<u8>) {
    let command = command();
    let tapline = command.get_program().to_owned();
    let limited = format!("ulimit -d {} && exec \"$0\" \"$@\"", mebibytes << 10);
    let mut shell = std::process::Command::new("sh");
    let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    shell.args(["-c", &limited]).arg(tapline).args(arguments).envs(set);
    let output = shell.output().unwrap();
    (output.status.code(), output.stdout)
}

/// A tape of 40 MiB, with the last reply of its own.
fn large_tape(dir: &tempfile::TempDir, name: &str, last: &str) -> String {
    let demo = include_str!("../../tapes/demo.tape.jsonl");
    let (mut text, path) = (demo.lines().next().unwrap().to_owned() + "\n", dir.path().join(name));
    let body = "x".repeat(1 << 20);
    for call in 0..40 {
        let said = if call == 39 { last } else { &body };
        let (request, reply) = (2 * call + 1, 2 * call + 2);
        text += &format!(
            "{{\"seq\":{request},\"at\":{request},\"dir\":\"c2s\",\"via\":\"http\",\"msg\":{{\"jsonrpc\":\"2.0\",\"id\":{call},\"method\":\"tools/call\",\"params\":{{\"name\":\"a\"}}}}}}\n\
             {{\"seq\":{reply},\"at\":{reply},\"dir\":\"s2c\",\"via\":\"http\",\"method\":\"tools/call\",\"re\":{request},\"dt\":1,\"msg\":{{\"jsonrpc\":\"2.0\",\"id\":{call},\"result\":{{\"said\":\"{said}\"}}}}}}\n"
        );
    }
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Less than the tape.
const FOR_DATA: u64 = 32;

#[test]
fn tapes_are_compared_that_do_not_fit_into_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    let (left, right) = (large_tape(&dir, "a.tape.jsonl", "a"), large_tape(&dir, "b.tape.jsonl", "b"));
    let (status, said) = within(FOR_DATA, &["tape", "diff", &left, &right]);
    let expected = "~ changed tools/call a #79 #79\n    .result.said  - \"a\"  + \"b\"\n\
                    39 calls are the same, 1 differs, 0 definitions differ\n";
    assert_eq!((status, &*String::from_utf8_lossy(&said)), (Some(1), expected));
}

#[test]
fn tape_is_exported_that_does_not_fit_into_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    let (tape, out) = (large_tape(&dir, "a.tape.jsonl", "a"), dir.path().join("out"));
    let (status, _) = within(FOR_DATA, &["tape", "export", &tape, "--format", "jsonl", "--out", out.to_str().unwrap()]);
    let written = std::fs::read(out).unwrap();
    assert_eq!((status, written.iter().filter(|byte| **byte == b'\n').count()), (Some(0), 80));
    assert!(written.len() > 39 << 20);
}

/// Who asks whether a call was answered goes through all of it twice.
#[test]
fn tape_is_filtered_that_does_not_fit_into_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    let tape = large_tape(&dir, "a.tape.jsonl", "a");
    let (status, said) = within(FOR_DATA, &["tape", "show", &tape, "--filter", "~q & !~open & !~lint id-used-twice"]);
    assert_eq!((status, String::from_utf8_lossy(&said).matches("tools/call").count()), (Some(0), 40));
}

/// One event with a message.
fn event() -> String {
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{{\"x\":\"{}\"}}}}\n\n",
        "x".repeat(60_000)
    )
}

/// A server that answers each request so, and then says the same for ever.
async fn flooding(head: &str, piece: String) -> (SocketAddr, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, head) = (listener.local_addr().unwrap(), head.to_owned());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let mut streams = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (head, piece) = (head.clone(), piece.clone());
            streams.spawn(async move { drop(flood(stream, &head, &piece).await) });
        }
    });
    (address, tasks)
}

async fn flood(stream: TcpStream, head: &str, piece: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(piece.as_bytes()).await?;
    }
}
