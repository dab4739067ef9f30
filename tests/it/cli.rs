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
            &["Usage: tapline [OPTIONS] <COMMAND>", "run", "replay", "demo", "tapline help exit-statuses"][..],
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

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");

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
        (
            &["run", "--listen", "devbox:1", "--", "cat"],
            "such as `127.0.0.1:7070`, `[::1]:7070`, `localhost:7070` or `7070`",
        ),
        (&["run", "--upstream", "nonsense"], "one is such as `http://127.0.0.1:9000/mcp`"),
        (&["run", "--upstream", "example.com/mcp"], "did you mean `https://example.com/mcp`?"),
        (&["stdio"], "`--config FILE`, which has `[upstreams.<name>]`"),
        (&["run", "--", "no-such-program", "x"], "there is no program `no-such-program` on `PATH`"),
        (&["run", "--", "./no-such-program"], "there is no program `./no-such-program` that can be run"),
        (&["replay", DEMO, "--", "no-such-program"], "there is no program `no-such-program` on `PATH`"),
        (
            &["replay", DEMO, "--interactive", "--", "no-such-program"],
            "there is no program `no-such-program` on `PATH`",
        ),
        (&["mock", DEMO, "--", "no-such-program"], "there is no program `no-such-program` on `PATH`"),
        (
            &["tape", "minimise", DEMO, "--fails", "~e", "--out", "/dev/null", "--", "./no-such-program"],
            "there is no program `./no-such-program` that can be run",
        ),
        (
            &["run", "--shadow", "no-such-program", "--", "cat"],
            "`--shadow`: there is no program `no-such-program` on `PATH`",
        ),
        (&["run", "python", "x.py", "--name", "y"], "tip: tapline run ... -- python ..."),
        (&["run", "--grace", "soon", "--", "cat"], "write it like `500ms`, `2s`, `1m30s`, `24h` or `30d`"),
        (&["sessions", "rm", "--older-than", "30"], "`30` of what? write it like `12h` or `30d`"),
        (&["help", "key"], "there is no help about `key`; did you mean `keys`?"),
        (&["help", "sessions", "lss"], "there is no help about `lss`; did you mean `ls`?"),
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
        (&["replay", "/no.tape.jsonl", "--", "cat"], "there is no tape /no.tape.jsonl"),
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

/// A variable is set for all commands; what is typed is meant.
#[test]
fn option_wins_over_a_variable_that_it_is_in_conflict_with() {
    let missing = "no-such-dir/x.tape.jsonl";
    for (variable, value, arguments, expected) in [
        ("TAPLINE_TAPES", "d", &["run", "--no-record", "--upstream", "nonsense"][..], "`nonsense` is not a URL"),
        ("TAPLINE_TAPES", "d", &["stdio", "--no-record", "--upstream", "nonsense"], "`nonsense` is not a URL"),
        ("TAPLINE_TAPES", "d", &["mock", missing, "--no-record", "--stdio"], "there is no tape no-such-dir"),
        ("TAPLINE_TAPES", "d", &["mock", missing, "--no-record", "--listen", "0"], "there is no tape no-such-dir"),
        ("TAPLINE_LISTEN", "7071", &["mock", missing, "--stdio"], "there is no tape no-such-dir"),
        ("TAPLINE_UPSTREAM", "nonsense", &["stdio", "--", "no-such-command"], "no-such-command"),
        ("TAPLINE_HEADLESS", "yes", &["run", "--all", "--upstream", "nonsense"], "`nonsense` is not a URL"),
        ("TAPLINE_DATABASE", "d", &["run", "--no-database", "--upstream", "nonsense"], "`nonsense` is not a URL"),
        (
            "TAPLINE_NO_DATABASE",
            "yes",
            &["run", "--database", "d", "--upstream", "nonsense"],
            "`nonsense` is not a URL",
        ),
        ("TAPLINE_LOG_FILE", "l", &["--log-dir", "no-such-dir/l", "tape", "show", missing], "no-such-dir"),
        ("TAPLINE_LOG_FILE", "l", &["tape", "show", missing, "--log-dir", "no-such-dir/l"], "no-such-dir"),
        ("TAPLINE_TAPES", "d", &["run", "--no-record", "--tapes", "e", "--", "cat"], "'--tapes <DIR>'"),
        ("TAPLINE_UPSTREAM", "nonsense", &["run", "--headless"], "`nonsense` is not a URL"),
    ] {
        let assert = command().current_dir("/").env(variable, value).args(arguments).assert();
        let output = assert.get_output();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_conflict = stderr.contains("cannot be used with");
        assert!(output.status.code().is_some_and(|it| it > 0), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected) && is_conflict == arguments.contains(&"--tapes"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn value_that_nobody_typed_is_said_to_be_a_variables() {
    let refused = |arguments: &[&str]| {
        let assert = command().env("TAPLINE_LISTEN", "there").args(arguments).assert().code(2);
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    let told = refused(&["run", "--", "cat"]);
    assert!(told.contains("'there' for '--listen <ADDRESS>'") && told.contains("tip: `TAPLINE_LISTEN` has"), "{told}");
    let empty = command().env("TAPLINE_LISTEN", "").args(["run", "--upstream", "nonsense"]).assert().code(2);
    let told = String::from_utf8_lossy(&empty.get_output().stderr).into_owned();
    assert!(told.contains("`nonsense` is not a URL"), "an empty variable is none: {told}");
    for typed in [&["run", "--listen", "here", "--", "cat"][..], &["run", "--nope"], &["run", "--memory", "x"]] {
        let told = refused(typed);
        assert!(!told.contains("TAPLINE_"), "{typed:?}: {told}");
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
    let (mut kinds, mut first) = (Vec::new(), Some(binary.greeting.clone()));
    while kinds.iter().filter(|kind| *kind == "passed").count() < 2 {
        let line = match first.take() {
            Some(line) => line,
            None => binary.line().await.unwrap(),
        };
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
    let binary = Binary::run_as(tapline, &["--no-record"]).await;
    assert!(binary.greeting.starts_with('{') && binary.greeting.contains(&url), "{}", binary.greeting);
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

#[test]
fn short_help_is_grouped_and_short() {
    let (status, short, _) = run(&["run", "-h"]);
    let (_, long, _) = run(&["run", "--help"]);
    assert_eq!(status, 0);
    for heading in
        ["Server:", "Clients:", "Screen, or lines:", "What is kept:", "Children of a command:", "Log and colour:"]
    {
        assert!(short.contains(heading) && long.contains(heading), "{heading}: {short}");
    }
    assert!(short.lines().count() < 60, "{}: {short}", short.lines().count());
    assert!(!short.contains("[env:") && long.contains("[env: TAPLINE_LISTEN=]"), "{short}");
    assert!(!short.contains("--pool-max") && long.contains("--pool-max"), "{short}");
    assert!(short.contains("`tapline run --help`") && long.contains("Examples:"), "{short}");
}

#[test]
fn help_has_topics_and_commands() {
    for (arguments, expected) in [
        (&["help"][..], "Usage: tapline [OPTIONS] <COMMAND>"),
        (&["help", "run"], "Usage: tapline run [OPTIONS]"),
        (&["help", "sessions", "rm"], "--older-than <TIME>"),
        (&["help", "keys"], "ctrl s"),
        (&["help", "filters"], "~j PATH"),
        (&["help", "values"], "such as 500ms  2s  1m"),
        (&["man"], ".SH KEYS"),
        (&["man", "sessions", "rm"], "older"),
        (&["completions", "fish"], "__fish_tapline_using_subcommand"),
        (&["help", "exit-statuses"], "ended by SIGTERM"),
    ] {
        let (status, stdout, stderr) = run(arguments);
        assert_eq!((status, stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(stdout.contains(expected), "{arguments:?}: no `{expected}` in {stdout}");
        assert!(
            !stdout.contains("__guardian") && !stdout.contains("__demo-server"),
            "hidden commands stay hidden: {stdout}"
        );
    }
}

#[test]
fn help_of_filters_and_values_shows_what_can_be_parsed() {
    let (_, filters, _) = run(&["help", "filters"]);
    let examples: Vec<_> = filters
        .split("examples\n")
        .nth(1)
        .unwrap()
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line[2..50].trim().to_owned())
        .collect();
    assert!(examples.len() > 3, "{filters}");
    for example in examples {
        assert!(tapline::filter::Filter::parse(&example).is_ok(), "{example}");
    }
    let (_, values, _) = run(&["help", "values"]);
    let of = |name: &str| {
        let after = values.split(&format!("\n  {name} ")).nth(1).unwrap();
        let line = after.lines().find_map(|line| line.trim().strip_prefix("such as ")).unwrap();
        line.split("  ").map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(of("TIME").iter().all(|time| tapline::text::duration(time).is_ok()));
    assert!(of("ADDRESS").iter().all(|address| tapline::cli::listen_address(address).is_ok()));
    assert!(of("URL").iter().all(|url| tapline::cli::server_url(url).contains("://")));
}

#[test]
fn examples_of_the_help_parse() {
    use std::ffi::OsString;
    let mut seen = 0;
    let mut pages = vec![run(&["--help"]).1];
    let (_, top, _) = run(&["-h"]);
    let subcommands = top.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    for name in subcommands.lines().filter_map(|line| line.split_whitespace().next()) {
        if run(&["help", name]).0 == 0 {
            pages.push(run(&[name, "--help"]).1);
        }
    }
    assert!(pages.len() > 8, "{top}");
    for page in &pages {
        for line in page.lines().filter_map(|line| line.strip_prefix("  tapline ")) {
            // An explanation stands behind two blanks, a pipe or a redirection is the shell's.
            let line = line.split("   ").next().unwrap().replace("${TOKEN}", "TOKEN");
            let words = shell_words::split(&line).unwrap_or_else(|_| panic!("{line}"));
            let words = words.into_iter().take_while(|word| !["|", ">", "2>", "2>&1"].contains(&word.as_str()));
            let words: Vec<_> = std::iter::once("tapline".to_owned()).chain(words).map(OsString::from).collect();
            if words.last().unwrap() != "COMMAND" {
                let parsed = tapline::cli::Cli::read(&words);
                assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
                seen += 1;
            }
        }
    }
    assert!(seen > 25, "{seen}");
    // What is broken by hand and then once more to the width of a terminal is hard to read.
    let is_broken = |page: &&String| page.lines().any(|line| line.chars().count() > 100);
    assert_eq!(pages.iter().find(is_broken), None);
}

#[test]
fn color_is_as_asked_for() {
    let has_color = |arguments: &[&str], variables: &[(&str, &str)]| {
        let assert = command().args(arguments).envs(variables.iter().copied()).assert();
        let output = assert.get_output();
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    };
    let tape = concat!(env!("CARGO_MANIFEST_DIR"), "/tapes/demo.tape.jsonl");
    let program = crate::support::tapline_binary();
    let program = program.to_str().unwrap();
    for (arguments, color) in [
        (&["--help"][..], false),
        (&["--color", "always", "--help"], true),
        (&["help", "run", "--color=always"], true),
        (&["--color=never", "--help"], false),
        (&["run", "--nope", "--color", "always"], true),
        (&["replay", tape, "--speed", "max", "--", program, "__demo-server"], false),
        (&["replay", tape, "--speed", "max", "--colour", "always", "--", program, "__demo-server"], true),
    ] {
        assert_eq!(has_color(arguments, &[]), color, "{arguments:?}");
    }
    assert!(has_color(&["--color", "always", "--help"], &[("NO_COLOR", "1")]), "what is typed wins");
    assert!(!has_color(&["--help"], &[("NO_COLOR", "1"), ("TERM", "xterm")]));
}

#[tokio::test]
async fn command_runs_without_dashes_where_it_is_clear() {
    let program = crate::support::tapline_binary();
    let mut binary = Binary::run(&["--no-record", program.to_str().unwrap(), "__demo-server"]).await;
    assert!(binary.greeting.ends_with("__demo-server"), "{}", binary.greeting);
    binary.client().await.initialize().await;
    while !binary.line().await.unwrap().contains("initialize") {}
}

#[tokio::test]
async fn addresses_and_urls_mean_what_they_say() {
    let url = Server::answering(|_| r#"{"jsonrpc":"2.0","id":7,"result":{}}"#.to_owned()).await;
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    for listen in ["0", ":0", "localhost:0"] {
        let mut binary = Binary::run_at(listen, command(), &["--no-record", "--upstream", &address]).await;
        assert!(binary.greeting.ends_with(&format!("-> http://{address}/mcp")), "{}", binary.greeting);
        assert!(binary.address().ip().is_loopback());
        binary.client().await.call(CALL).await;
        assert!(binary.line().await.unwrap().contains("transport"));
    }
}

async fn warning(binary: &mut Binary) -> String {
    loop {
        let line = binary.line().await.unwrap();
        if line.starts_with("WARN") {
            return line;
        }
    }
}

#[tokio::test]
async fn holds_without_a_screen_are_announced() {
    let url = Server::answering(|_| "{}".to_owned()).await;
    let options = ["--no-record", "--hold", "~m tools/call", "--upstream", &url];
    let mut binary = Binary::run(&options).await;
    let line = warning(&mut binary).await;
    assert!(line.contains("`~m tools/call` are held"), "{line}");
    assert!(line.contains("no screen can answer them"), "there is no control address: {line}");

    let place = tempfile::TempDir::new().unwrap();
    let mut tapline = command();
    tapline.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", place.path().join("run"));
    let mut binary = Binary::run_as(tapline, &options).await;
    let line = warning(&mut binary).await;
    assert!(line.contains("`tapline attach` in another terminal"), "{line}");
}
