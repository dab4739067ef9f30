//! The command line as a contract: what is said where, and with which status it ends.

use assert_cmd::assert::OutputAssertExt as _;
use serde_json::Value;

use crate::support::binary::command;
use crate::support::{Binary, ProcessAlive, Server};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a\u001b[31m"}}"#;

/// Runs to the end; gives status, stdout and stderr.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let assert = command().args(arguments).assert();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn help_and_version_go_to_stdout() {
    for (arguments, expected) in [
        (
            &["--help"][..],
            &["Usage: tapline [OPTIONS] <COMMAND>", "run", "replay", "demo", "Exit status: 0 done, 1 the work failed"]
                [..],
        ),
        (
            &["run", "--help"],
            &[
                "Usage: tapline run [OPTIONS] [--upstream <URL> | -- <COMMAND>...]",
                "--no-record",
                "[env: TAPLINE_LISTEN=]",
            ],
        ),
        (&["--version"], &[concat!("tapline ", env!("CARGO_PKG_VERSION"))]),
    ] {
        let (status, stdout, stderr) = run(arguments);
        assert_eq!((status, stderr.as_str()), (0, ""), "{arguments:?}");
        for text in expected {
            assert!(stdout.contains(text), "no `{text}` in {stdout}");
        }
        assert!(!stdout.contains("__"), "hidden commands stay hidden: {stdout}");
    }
}

#[test]
fn usage_errors_exit_2_with_a_reason() {
    for (arguments, expected) in [
        (&["run"][..], "give `--upstream URL`, or a command after `--`, or write `[upstreams.<name>]` in tapline.toml"),
        (&["run", "--"], "nothing to stand in front of"),
        (&["stdio"], "nothing to stand in front of"),
        (&["run", "--upstream", "http://x/", "--", "cat"], "cannot be used with"),
        (&["run", "--upstream", "nonsense"], "`nonsense` is not a URL"),
        (&["run", "--upstream", "ftp://x/mcp"], "only http and https"),
        (&["run", "--listen", "here", "--", "cat"], "invalid value 'here' for '--listen <ADDRESS>'"),
        (&["run", "--no-record", "--tapes", "x", "--", "cat"], "cannot be used with"),
        (&["run", "--header", "no colon", "--", "cat"], "a header reads `name: value`"),
        (&["run", "--header", "a b: c", "--", "cat"], "is not a header name"),
        (&["run", "--headless", "--no-record", "--hold", "~m (", "--", "cat"], "`--hold`: "),
        (&["run", "--log-format", "yaml", "--", "cat"], "[possible values: text, json]"),
        (&["run", "--headles", "--", "cat"], "a similar argument exists: '--headless'"),
        (&["sessions", "rm"], "required"),
        (&["sessions", "rm", "ab", "--closed"], "cannot be used with"),
        (&["sessions", "rm", "--older-than", "soon"], "invalid duration `soon`"),
        (&["rnu"], "unrecognized subcommand 'rnu'"),
        (&["replay", "/no.tape.jsonl", "--", "cat"], "cannot read /no.tape.jsonl"),
        (&["replay", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--", "cat"], "Cargo.toml is not a tape: "),
        (&["run", "--log-file", "/", "--", "cat"], "cannot write the log to /"),
        (&["replay", "x.tape.jsonl"], "required"),
        (&["replay", "x.tape.jsonl", "--speed", "0", "--", "cat"], "a number above 0, or `max`"),
    ] {
        let (status, stdout, stderr) = run(arguments);
        assert_eq!((status, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: no `{expected}` in {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
    }
}

#[test]
fn help_is_printed_without_arguments() {
    let (status, stdout, stderr) = run(&[]);
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert!(stderr.contains("Usage: tapline [OPTIONS] <COMMAND>"), "{stderr}");
}

#[test]
fn port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, stdout, stderr) = run(&["run", "--headless", "--no-record", "--listen", &address, "--", "cat"]);
    assert_eq!((status, stdout.as_str()), (2, ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with(&format!("tapline: cannot listen on {address}: ")), "{stderr}");
    assert!(stderr.trim_end().ends_with("`--listen` takes another address, port 0 a free one"), "{stderr}");
}

#[test]
fn home_directory_is_only_needed_for_recording() {
    let mut tapline = command();
    tapline.env_remove("HOME").args([
        "run",
        "--headless",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:1/",
    ]);
    // Some systems know a home without the variable; then there is nothing to complain of.
    if std::env::home_dir().is_none() {
        let assert = tapline.assert();
        assert_eq!(assert.get_output().status.code(), Some(2));
    }
}

#[tokio::test]
async fn headless_text_prints_address_then_a_line_per_message() {
    let url = Server::answering(|_| r#"{"jsonrpc":"2.0","id":7,"result":{}}"#.to_owned()).await;
    let mut binary = Binary::run(&["--no-record", "--upstream", &url]).await;
    assert!(binary.greeting.starts_with("tapline: http://127.0.0.1:"), "{}", binary.greeting);
    assert!(binary.greeting.ends_with(&format!("/mcp -> {url}")), "{}", binary.greeting);
    binary.client().await.call(CALL).await;
    let spoken = binary.line().await.unwrap();
    assert!(spoken.starts_with("INFO") && spoken.contains(": transport Streamable HTTP"), "{spoken}");
    let opened = binary.line().await.unwrap();
    assert!(opened.starts_with("session ") && opened.ends_with(&format!("opened: {url}")), "{opened}");
    let request = binary.line().await.unwrap();
    assert!(request.contains("#1 > request      7 tools/call a\\x1b[31m"), "{request}");
    let reply = binary.line().await.unwrap();
    assert!(reply.contains("#2 < result       7 tools/call"), "{reply}");
    assert!(reply.ends_with("ms"), "{reply}");
    binary.signal("TERM");
    let (_, rest, stdout) = binary.end().await;
    assert!(rest.iter().any(|line| line.ends_with("closed: tapline ended")), "{rest:?}");
    assert_eq!(stdout, "", "stdout stays free");
}

#[tokio::test]
async fn headless_json_is_one_value_per_line() {
    let url = Server::answering(|_| "{\n}".to_owned()).await;
    let mut binary = Binary::run(&["--no-record", "--log-format", "json", "--upstream", &url]).await;
    binary.client().await.call(CALL).await;
    let mut kinds = Vec::new();
    while kinds.iter().filter(|kind| *kind == "passed").count() < 2 {
        let line = binary.line().await.unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        let (kind, inner) = value.as_object().unwrap().iter().next().unwrap();
        if kind == "passed" && inner["dir"] == "c2s" {
            assert_eq!((&inner["method"], &inner["msg"]["id"]), (&"tools/call".into(), &7.into()), "{line}");
            assert!(line.contains(CALL), "the message is there byte for byte: {line}");
        }
        kinds.push(kind.clone());
    }
    assert_eq!(kinds[0], "listening", "{kinds:?}");
}

#[tokio::test]
async fn signals_shut_down_gracefully() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 143)] {
        let alive = ProcessAlive::new();
        let script =
            format!("{}read -r l; echo '{{\"id\":0,\"result\":{{}}}}'; cat >/dev/null; echo bye >&9", alive.line());
        let binary = Binary::run(&["--no-record", "--", "sh", "-c", &script]).await;
        binary.client().await.initialize().await;
        binary.signal(signal);
        let (ended, lines, _) = binary.end().await;
        assert_eq!(ended.code(), Some(status), "{signal}: {lines:?}");
        assert_eq!(alive.ended().await, "bye\n", "{signal}");
    }
}

#[tokio::test]
async fn on_quit_decides_about_held_messages() {
    for (on_quit, status, code) in [("forward", "200", Value::Null), ("fail", "200", (-31002).into())] {
        let url = Server::answering(|_| r#"{"jsonrpc":"2.0","id":7,"result":{}}"#.to_owned()).await;
        let options = ["--no-record", "--hold", "~q ~m tools/call", "--on-quit", on_quit, "--upstream", &url];
        let mut binary = Binary::run(&options).await;
        let mut client = binary.client().await;
        client.post(CALL).await;
        while !binary.line().await.unwrap().starts_with("held ") {}
        binary.signal("TERM");
        let response = client.response().await;
        assert_eq!((response.status(), &response.json()["error"]["code"]), (status, &code), "{on_quit}");
        assert_eq!(binary.end().await.0.code(), Some(143));
    }
}

#[tokio::test]
async fn environment_sets_options_and_flags_win() {
    let url = Server::answering(|_| "{}".to_owned()).await;
    let mut tapline = command();
    tapline.env("TAPLINE_UPSTREAM", &url).env("TAPLINE_LOG_FORMAT", "json").env("TAPLINE_LISTEN", "nonsense");
    // `--listen` is given by the test.
    let mut binary = Binary::run_as(tapline, &["--no-record"]).await;
    assert!(binary.greeting.ends_with(&url), "{}", binary.greeting);
    assert!(binary.line().await.unwrap().starts_with('{'));
}

#[tokio::test]
async fn header_option_reaches_the_server_and_wins() {
    let mut server = Server::start().await;
    let options =
        ["--no-record", "--header", "authorization: Bearer mine", "--header", "x-odd:1", "--upstream", &server.url()];
    let binary = Binary::run(&options).await;
    let mut client = binary.client().await;
    client.headers = "authorization: Bearer theirs\r\n".to_owned();
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.head.all("authorization"), ["Bearer mine"]);
    assert_eq!(exchange.head.all("x-odd"), ["1"]);
}
