//! Rules between a real client and a real server: what each action makes arrive.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tapline::app::Settings;
use tapline::envelope::Direction::{ToClient, ToServer};
use tapline::envelope::{Author, Outcome};
use tapline::event::figures::Figures;
use tapline::event::{Decision, Event, Level, Origin};
use tapline::proxy::front::routes::MountSpec;
use tapline::rules::RuleFiles;

use crate::support::{
    Client, Exchange, Launched, Rig, Server, client_in_session, command, settings, tapline_binary, word,
};

const CALL: &str = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{ \"name\":\"search\",\"arguments\":{\"q\":\"\\u00e9\",\"n\":12345678901234567890123}}}";
const REPLY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;

/// A rule for requests that call a tool.
fn rule(action: &str) -> String {
    format!("[[rule]]\nname = \"r\"\nwhen = \"~q ~m tools/call\"\ndo = {action}\n")
}

/// A rule for their replies.
fn reply_rule(action: &str) -> String {
    rule(action).replace("~q", "~r")
}

fn with_rules(settings: Settings, file: &Path, rules: &str) -> Settings {
    fs::write(file, rules).unwrap();
    Settings { rules: RuleFiles { places: vec![file.to_owned()], ..RuleFiles::default() }, ..settings }
}

struct Stage {
    rig: Rig,
    server: Server,
    client: Client,
    place: tempfile::TempDir,
}

async fn stage(rules: &str) -> Stage {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let rig = Rig::start(with_rules(settings(&server.url()), &place.path().join("rules.toml"), rules)).await;
    let client = rig.client().await;
    Stage { rig, server, client, place }
}

fn by_rule() -> Author {
    Author::Rule("r".to_owned())
}

#[tokio::test]
async fn modify_changes_what_it_names_and_the_headers_that_repeat_it() {
    let Stage { rig, mut server, mut client, .. } = stage(
        &(rule("{ tool = \"find\" }")
            + &rule("{ modify = { merge = { params = { arguments = { q = \"x\" } } } } }")
                .replace("\"r\"", "\"second\"")),
    )
    .await;
    client.headers = "mcp-method: tools/call\r\nmcp-name: search\r\n".to_owned();
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.body, CALL.replace("search", "find").replace("\\u00e9", "x"), "all else as it was spelled");
    assert_eq!(exchange.head.get("mcp-name"), Some("find"));
    exchange.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY);
    let passed = rig.message(ToServer, |_| true).await;
    assert_eq!(passed.original.as_ref().unwrap().raw(), CALL);
    assert_eq!(passed.rules.as_ref().unwrap().iter().map(|name| &**name).collect::<Vec<_>>(), ["r", "second"]);
}

#[tokio::test]
async fn block_and_answer_need_no_server() {
    for (action, expected) in [
        (
            "{ block = { code = -31007, message = \"no\", data = { n = 1 } } }",
            json!({"error": {"code": -31007, "message": "no", "data": {"n": 1}}}),
        ),
        (
            "{ block = { tool_error = \"broken\" } }",
            json!({"result": {"content": [{"type": "text", "text": "broken"}], "isError": true}}),
        ),
        (
            "{ answer = { result = { content = [], was = \"${.params.name}\" } } }",
            json!({"result": {"content": [], "was": "search"}}),
        ),
        ("{ answer = { error = { code = 5, message = \"m\" } } }", json!({"error": {"code": 5, "message": "m"}})),
    ] {
        let Stage { rig, mut server, mut client, .. } = stage(&rule(action)).await;
        client.post(CALL).await;
        let response = client.response().await;
        let mut expected = expected;
        (expected["jsonrpc"], expected["id"]) = (json!("2.0"), json!(7));
        assert!(server.is_idle(), "{action}");
        let outcome = if expected["result"]["was"].is_string() { Outcome::Answered } else { Outcome::Blocked };
        assert_eq!((response.status(), response.json()), ("200", expected));
        assert_eq!(rig.message(ToServer, |_| true).await.outcome, outcome(by_rule()));
        assert_eq!(rig.message(ToClient, |_| true).await.outcome, Outcome::Injected(by_rule()));
    }
}

#[tokio::test]
async fn answer_takes_the_place_of_a_reply() {
    let Stage { mut server, mut client, .. } = stage(&reply_rule("{ answer = { result = { ours = true } } }")).await;
    client.post(CALL).await;
    server.next().await.json(REPLY).await;
    assert_eq!(client.response().await.json(), json!({"jsonrpc": "2.0", "id": 7, "result": {"ours": true}}));
}

#[tokio::test]
async fn hold_waits_for_the_operator() {
    let Stage { rig, mut server, mut client, .. } = stage(&rule("\"hold\"")).await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    assert_eq!(held.reason, "rule r");
    rig.settle(held.ticket, Decision::Forward);
    let exchange = server.next().await;
    assert_eq!(exchange.body, CALL);
    exchange.json(REPLY).await;
    client.response().await;
}

#[tokio::test]
async fn delay_is_over_by_itself_or_when_the_operator_says() {
    let Stage { rig, mut server, mut client, .. } = stage(&rule("{ delay = \"300ms\" }")).await;
    let began = Instant::now();
    client.post(CALL).await;
    let exchange = server.next().await;
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert_eq!(exchange.body, CALL);
    exchange.json(REPLY).await;
    client.response().await;
    let held = rig.held(1).await;
    assert_eq!(held.reason, "delayed by rule r");
    assert!(rig.fate(&held).await.held.unwrap() >= 300_000);

    let Stage { rig, mut server, mut client, .. } = stage(&rule("{ delay = \"24h\" }")).await;
    client.post(CALL).await;
    rig.settle(rig.held(1).await.ticket, Decision::Forward);
    server.next().await.json(REPLY).await;
    client.response().await;
}

#[tokio::test]
async fn drop_lets_the_client_wait() {
    let Stage { rig, mut server, mut client, .. } = stage(&rule("\"drop\"")).await;
    client.post(CALL).await;
    assert_eq!(word(&rig.message(ToServer, |_| true).await.outcome), "dropped");
    let mut other = rig.client().await;
    other.post(r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#).await;
    let exchange = server.next().await;
    assert_eq!(exchange.message()["id"], 8, "the server saw nothing of the call");
    exchange.json("{}").await;
    other.response().await;
}

#[tokio::test]
async fn corrupt_reply_arrives_as_it_was_broken() {
    for (how, arrives) in [
        ("cut", REPLY[..REPLY.len() / 2].to_owned()),
        ("not-json", "<html><body>Bad Gateway</body></html>".to_owned()),
        ("wrong-id", REPLY.replace('7', "\"no-such-request\"")),
        ("id-type", REPLY.replace('7', "\"7\"")),
        ("other-revision", format!("[{REPLY}]")),
    ] {
        let Stage { rig, mut server, mut client, .. } = stage(&reply_rule(&format!("{{ corrupt = \"{how}\" }}"))).await;
        client.post(CALL).await;
        server.next().await.json(REPLY).await;
        assert_eq!(client.response().await.body, arrives, "{how}");
        let passed = rig.message(ToClient, |_| true).await;
        assert_eq!(
            (passed.outcome.clone(), passed.original.as_ref().unwrap().raw().as_ref()),
            (Outcome::Edited(by_rule()), REPLY.as_bytes())
        );
    }
}

#[tokio::test]
async fn corrupt_result_of_today_lacks_what_older_servers_lack() {
    let Stage { mut server, mut client, .. } = stage(&reply_rule("{ corrupt = \"other-revision\" }")).await;
    client.post(CALL).await;
    let today = r#"{"id":7,"jsonrpc":"2.0","result":{"resultType":"complete","content":[ 1.0 ],"ttlMs":5}}"#;
    server.next().await.json(today).await;
    assert_eq!(client.response().await.body, r#"{"id":7,"jsonrpc":"2.0","result":{"content":[ 1.0 ]}}"#);
}

#[tokio::test]
async fn patch_and_whole_text_arrive_byte_for_byte() {
    let patch = "{ modify = { patch = [{ op = \"replace\", path = \"/params/arguments/q\", value = \"x\" }] } }";
    let whole = r#"{ "method":"tools/call", "id":1, "jsonrpc":"2.0","params":{"name":"find"} }"#;
    for (action, arrives) in [
        (patch.to_owned(), CALL.replace("\\u00e9", "x")),
        (format!("{{ modify = {{ text = '{whole}' }} }}"), whole.replace("\"id\":1", "\"id\":7")),
    ] {
        let Stage { mut server, mut client, .. } = stage(&rule(&action)).await;
        client.post(CALL).await;
        let exchange = server.next().await;
        assert_eq!(exchange.body, arrives);
        exchange.json(REPLY).await;
        client.response().await;
    }
}

#[tokio::test]
async fn log_and_continue_send_on_what_came() {
    let rules = rule("{ log = \"a call\" }")
        + &rule("\"continue\"").replace("\"r\"", "\"go\"")
        + &rule("\"drop\"").replace("\"r\"", "\"never\"");
    let Stage { rig, mut server, mut client, .. } = stage(&rules).await;
    client.post(CALL).await;
    let exchange = server.next().await;
    assert_eq!(exchange.body, CALL);
    exchange.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY);
    let passed = rig.message(ToServer, |_| true).await;
    assert_eq!(passed.rules.as_ref().unwrap().iter().map(|name| &**name).collect::<Vec<_>>(), ["r", "go"]);
    assert_eq!(rig.line(Level::Info, "`r`: a call").await.seq, Some(passed.seq));
}

#[tokio::test]
async fn throttle_lets_the_next_wait_for_its_turn() {
    let Stage { rig, mut server, mut client, .. } = stage(&rule("{ throttle = \"1/h\" }")).await;
    client.post(CALL).await;
    server.next().await.json(REPLY).await;
    client.response().await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    assert_eq!(held.reason, "delayed by rule r");
    assert!(server.is_idle());
    rig.settle(held.ticket, Decision::Forward);
    server.next().await.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY);
}

#[tokio::test]
async fn status_is_what_the_client_gets() {
    let action = "{ status = { code = 429, headers = { retry-after = \"2\" }, body = \"slow down\" } }";
    let Stage { mut server, mut client, rig, .. } = stage(&rule(action)).await;
    client.post(CALL).await;
    let response = client.response().await;
    assert_eq!((response.status(), response.head.get("retry-after"), response.text()), ("429", Some("2"), "slow down"));
    assert!(server.is_idle());
    assert_eq!(rig.message(ToServer, |_| true).await.outcome, Outcome::Blocked(by_rule()));
}

#[tokio::test]
async fn rules_decide_for_a_client_that_launched_tapline() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.toml");
    fs::write(
        &file,
        rule("{ status = 503 }")
            + &reply_rule("\"duplicate\"").replace("tools/call", "ping").replace("\"r\"", "\"two\""),
    )
    .unwrap();
    let script =
        "while read -r line; do case $line in *ping*) echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}';; esac; done";
    let output = assert_cmd::Command::new(tapline_binary())
        .args(["stdio", "--no-record", "--no-control", "--rules"])
        .arg(&file)
        .args(["--", "sh", "-c", script])
        .env("HOME", place.path())
        .write_stdin(format!("{CALL}\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}\n"))
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].contains("a rule answers with HTTP status 503"), "{out}");
    assert_eq!(lines[1], lines[2]);
}

#[tokio::test]
async fn changed_file_is_in_force_and_a_broken_one_changes_nothing() {
    let Stage { rig, mut server, mut client, place, .. } = stage(&rule("{ answer = { result = { n = 1 } } }")).await;
    let file = place.path().join("rules.toml");
    let answered = async |client: &mut Client| {
        client.post(CALL).await;
        client.response().await.json()["result"]["n"].clone()
    };
    assert_eq!(answered(&mut client).await, 1);
    fs::write(&file, rule("{ answer = { result = { n = 2 } } }")).unwrap();
    rig.line(Level::Info, "the rules have changed: 1 are in force").await;
    assert_eq!(answered(&mut client).await, 2);
    fs::write(&file, rule("\"hodl\"") + "when_st = \"x\"\n").unwrap();
    let line = rig.line(Level::Error, "the rules stay as they were: ").await;
    assert!(line.text.contains("rules.toml:4:6: unknown action `hodl`; did you mean `hold`?\n"), "{}", line.text);
    assert!(line.text.contains("rules.toml:5:1: unknown key `when_st`; did you mean `when_set`?"), "{}", line.text);
    assert_eq!(answered(&mut client).await, 2);
    let told = async |is_it: fn(&Figures) -> bool| {
        rig.event("figures", move |event| match event {
            Event::Figures(figures) if is_it(figures) => Some(figures.clone()),
            _ => None,
        })
        .await
    };
    let seen = told(|figures| figures.rule_faults.len() == 2).await;
    assert!(seen.rule_faults[0].contains("rules.toml:4:6: unknown action `hodl`"), "{:?}", seen.rule_faults);
    fs::write(&file, rule("{ answer = { result = { n = 3 } } }")).unwrap();
    told(|figures| figures.rule_faults.is_empty() && figures.rules.iter().any(|rule| rule.text.contains("n = 3")))
        .await;
    assert_eq!(answered(&mut client).await, 3);
    assert!(server.is_idle());
}

#[tokio::test]
async fn hits_are_on_the_tape_and_a_dry_run_finds_them_again() {
    let place = tempfile::tempdir().unwrap();
    let (file, tapes) = (place.path().join("rules.toml"), place.path().join("tapes"));
    let mut server = Server::start().await;
    let base = Settings { tapes: Some(tapes.clone()), ..settings(&server.url()) };
    let merge = "{ modify = { merge = { params = { arguments = { q = \"x\" } } } } }";
    let rig = Rig::start(with_rules(
        base,
        &file,
        &(rule(merge) + &rule("\"drop\"").replace("\"r\"", "\"idle\"").replace("tools/call", "tools/list")),
    ))
    .await;
    let mut client = rig.client().await;
    client.post(CALL).await;
    server.next().await.json(REPLY).await;
    client.response().await;
    rig.quit(tapline::event::OnQuit::Forward).await;
    let tape = fs::read_dir(&tapes).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&tape).unwrap();
    assert!(text.contains("\"rules\":[\"r\"]") && text.contains("\\u00e9"), "name and original: {text}");
    let check = |strict: bool| {
        let mut command = assert_cmd::Command::new(tapline_binary());
        command.arg("check").arg(&file).arg("--on").arg(&tape).env("HOME", place.path()).current_dir(place.path());
        if strict {
            command.arg("--strict");
        }
        command.output().unwrap()
    };
    let output = check(false);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("> tools/call search: changed by r"), "{out}");
    assert!(
        out.contains("- .params.arguments.q: \"\\u00e9\"") && out.contains("+ .params.arguments.q: \"x\""),
        "{out}"
    );
    assert!(out.contains("would have touched 1 of 2 messages") && out.contains("0 idle: it never matched"), "{out}");
    let strict = check(true);
    assert_eq!(strict.status.code(), Some(1), "a rule that never had its turn");
    let told = |form: &str| {
        let mut command = assert_cmd::Command::new(tapline_binary());
        command.arg("check").arg(&file).arg("--on").arg(&tape).args(["--format", form]);
        String::from_utf8(command.env("HOME", place.path()).current_dir(place.path()).output().unwrap().stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&told("json")).unwrap();
    assert_eq!((&report["seen"], &report["touched"]), (&json!(2), &json!(1)));
    let message = &report["messages"][0];
    assert_eq!((&message["rules"], &message["fate"]), (&json!(["r"]), &json!("changed")));
    assert_eq!(message["differences"][0]["after"], "\"x\"");
    assert_eq!(report["rules"][1], json!({"name": "idle", "hits": 0, "problem": "it never matched"}));
    let junit = told("junit");
    assert!(junit.contains(r#"tests="2" skipped="0" errors="0" failures="1""#), "{junit}");
    assert!(junit.contains(r#"<failure message="it never matched""#), "{junit}");
    fs::write(&file, rule("{ modify = { jq = \"def f: f; f\" } }")).unwrap();
    let endless = check(true);
    let out = String::from_utf8(endless.stdout).unwrap();
    assert_eq!(endless.status.code(), Some(1), "{out}");
    assert!(out.contains("1 r: it failed on a message, which went on as it was: "), "{out}");
}

#[test]
fn strict_check_finds_rules_in_each_others_way() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.toml");
    let check = |rules: &str| {
        fs::write(&file, rules).unwrap();
        let mut command = assert_cmd::Command::new(tapline_binary());
        let output = command.args(["check", "--strict"]).arg(&file).env("HOME", place.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let second = rule("\"hold\"").replace("\"r\"", "\"second\"");
    let (code, out) = check(&(rule("\"drop\"") + &second));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("second: it never has its turn: `r` is asked before it, of the same messages"), "{out}");
    for fine in [rule("{ delay = \"1s\" }"), rule("\"drop\"") + "times = 1\n", rule("\"drop\"") + "on = false\n"] {
        assert_eq!(check(&(fine.clone() + &second)).0, Some(0), "{fine}");
    }
}

#[test]
fn wrong_rules_stop_tapline_before_it_starts() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.toml");
    fs::write(&file, "[[rule]]\nname = \"a\"\nwhen = \"~tol x\"\ndo = \"hodl\"\n").unwrap();
    for words in [
        &["check"][..],
        &[
            "run",
            "--headless",
            "--no-record",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "http://127.0.0.1:1/mcp",
            "--rules",
        ],
    ] {
        let output = assert_cmd::Command::new(tapline_binary())
            .args(words)
            .arg(&file)
            .env("HOME", place.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("rules.toml:3:8: `when`: unknown operator `~tol`; did you mean `~tool`?"), "{told}");
        assert!(told.contains("rules.toml:4:6: unknown action `hodl`; did you mean `hold`?"), "{told}");
    }
}

#[test]
fn ready_sets_are_listed_and_written_out() {
    let run = |words: &[&str]| {
        let output = assert_cmd::Command::new(tapline_binary()).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = run(&["rules"]);
    for name in [
        "auth-expiry",
        "era-downgrade",
        "expired-session",
        "flaky",
        "hostile-tools",
        "list-changes",
        "malformed",
        "rate-limited",
        "read-only",
        "slow",
    ] {
        assert!(listed.contains(name), "{listed}");
        assert!(run(&["rules", name]).contains("[[rule]]"));
        assert!(run(&["check", name]).contains("rules, all in order"));
    }
}

/// The next POST to a server; the streams that are opened there are refused.
async fn posted(server: &mut Server) -> Exchange {
    loop {
        let exchange = server.next().await;
        if exchange.head.start.starts_with("POST") {
            return exchange;
        }
        exchange.answer("HTTP/1.1 405 No\r\nallow: POST\r\ncontent-length: 0\r\n\r\n").await;
    }
}

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"other","version":"1"}}}"#;

/// Goes through the handshake at a server that a rule has asked.
async fn shakes_hands(other: &mut Server) {
    let initialize = posted(other).await;
    let said = initialize.message();
    assert_eq!(
        (&said["method"], &said["params"]["clientInfo"]["name"], &said["params"]["protocolVersion"]),
        (&json!("initialize"), &json!("raw"), &json!("2025-11-25"))
    );
    let hello = HELLO.replace("\"id\":0", &format!("\"id\":{}", said["id"]));
    initialize.json_with("mcp-session-id: theirs\r\n", hello).await;
    let initialized = posted(other).await;
    assert_eq!(initialized.message()["method"], "notifications/initialized");
    assert_eq!(initialized.head.get("mcp-session-id"), Some("theirs"));
    initialized.accept().await;
}

/// A client that has a session with a server, and another server that a rule sends its calls to.
async fn redirected(place: &tempfile::TempDir, other: &str) -> (Rig, Server, Client) {
    let mut server = Server::start().await;
    let rules = rule(&format!("{{ upstream = \"{other}\" }}"));
    let rig = Rig::start(with_rules(settings(&server.url()), &place.path().join("rules.toml"), &rules)).await;
    let mut client = rig.client().await;
    client.post(crate::support::INITIALIZE).await;
    server.next().await.json(HELLO).await;
    client.response().await;
    (rig, server, client)
}

#[tokio::test]
async fn upstream_of_a_rule_answers_in_the_place_of_the_clients_own() {
    let (place, mut other) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (rig, mut server, mut client) = redirected(&place, &other.url()).await;
    client.headers += "authorization: Bearer secret\r\n";
    client.post(CALL).await;
    shakes_hands(&mut other).await;
    for nth in 1..=2 {
        let asked = posted(&mut other).await;
        let id = asked.message()["id"].clone();
        assert_eq!(asked.body, CALL.replace("\"id\":7", &format!("\"id\":{id}")), "all else as it was spelled");
        assert_eq!((asked.head.get("mcp-session-id"), asked.head.get("authorization")), (Some("theirs"), None));
        let reply = REPLY.replace("\"id\":7", &format!("\"id\": {id}")).replace("[]", "[ 1.0 ]");
        asked.json(reply).await;
        let answer = client.response().await;
        assert_eq!((answer.status(), answer.text()), ("200", &*REPLY.replace(":7", ": 7").replace("[]", "[ 1.0 ]")));
        if nth == 1 {
            client.post(CALL).await;
        }
    }
    assert!(server.is_idle(), "its own server has seen nothing of it");
    let request = rig.message(ToServer, |it| it.rules.is_some()).await;
    assert_eq!((&request.outcome, request.message.raw().as_ref()), (&Outcome::Answered(by_rule()), CALL.as_bytes()));
    let reply = rig.message(ToClient, |it| it.outcome == Outcome::Injected(by_rule())).await;
    assert_eq!(reply.reply_to.as_ref().map(|to| to.seq), Some(request.seq));
    let told = rig.line(Level::Info, &format!("`r`: answered by {}", other.url())).await;
    assert_eq!(told.seq, Some(request.seq));
    let asked = rig
        .event("the session with the other", |event| match event {
            Event::SessionOpened(session) if session.origin == Origin::Rule => Some(session.clone()),
            _ => None,
        })
        .await;
    assert_eq!(&*asked.upstream, other.url());
    client.request("DELETE /mcp", "", b"").await;
    server.next().await.accept().await;
    client.response().await;
    let ends = posted_or_ended(&mut other).await;
    assert!(ends.head.start.starts_with("DELETE"), "the session there ends with the client's: {}", ends.head.start);
}

#[tokio::test]
async fn upstream_of_a_rule_hears_that_the_client_has_gone() {
    let (place, mut other) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (_rig, _server, mut client) = redirected(&place, &other.url()).await;
    client.post(CALL).await;
    shakes_hands(&mut other).await;
    let asked = posted(&mut other).await;
    drop(client);
    let said = posted(&mut other).await.message();
    assert_eq!(
        (&said["method"], &said["params"]["requestId"]),
        (&json!("notifications/cancelled"), &asked.message()["id"])
    );
}

/// What a server gets beside streams that are opened there.
async fn posted_or_ended(server: &mut Server) -> Exchange {
    loop {
        let exchange = server.next().await;
        if !exchange.head.start.starts_with("GET") {
            return exchange;
        }
    }
}

#[tokio::test]
async fn upstream_of_a_rule_needs_no_handshake_where_its_era_has_none() {
    let (place, mut other) = (tempfile::tempdir().unwrap(), Server::start().await);
    let rules = rule(&format!("{{ upstream = \"{}\" }}", other.url()));
    let server = Server::start().await;
    let rig = Rig::start(with_rules(settings(&server.url()), &place.path().join("rules.toml"), &rules)).await;
    let mut client = rig.client().await;
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let call = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{{"name":"x",{meta}}}}}"#);
    client.headers = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: x\r\n".to_owned();
    client.post(&call).await;
    let asked = other.next().await;
    assert_eq!((&asked.message()["method"], asked.head.get("mcp-name")), (&json!("tools/call"), Some("x")));
    assert_eq!(asked.head.get("mcp-protocol-version"), Some("2026-07-28"));
    let id = asked.message()["id"].clone();
    asked.json(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "theirs"}}).to_string()).await;
    let answer = client.response().await.json();
    assert_eq!((&answer["id"], &answer["error"]["message"]), (&json!("a"), &json!("theirs")));
}

#[tokio::test]
async fn upstream_of_a_rule_is_one_that_has_a_name() {
    let place = tempfile::tempdir().unwrap();
    let script = r#"while read -r line; do id=${line#*'"id":'}; id=${id%%,*}; case $line in
        *initialize\"*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"protocolVersion\":\"2025-11-25\"}}";;
        *tools/call*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"by\":\"$0\"}}";; esac; done"#;
    let named = |name: &str, is_default| MountSpec {
        name: Some(name.to_owned()),
        is_default,
        target: command(&["sh", "-c", script, name]),
    };
    let base =
        Settings { upstreams: vec![named("own", true), named("other", false)], ..settings("http://127.0.0.1:1/") };
    let rules = rule("{ upstream = \"other\" }")
        + "times = 1\n"
        + &rule("{ upstream = \"third\" }").replace("\"r\"", "\"s\"")
        + "after = 1\n";
    let rig = Rig::start(with_rules(base, &place.path().join("rules.toml"), &rules)).await;
    let mut client = client_in_session(&rig).await;
    let mut second = rig.client().await;
    second.headers.clone_from(&client.headers);
    let mut said = async || client.call_answering(CALL, &mut second, |_| Value::Null).await.messages.pop().unwrap();
    assert_eq!(said().await["result"]["by"], "other");
    assert_eq!(said().await["result"]["by"], "own");
    let refused = said().await;
    let why = refused["error"]["message"].as_str().unwrap();
    assert!(why.contains("no upstream has that name (own, other)") && why.contains("[upstreams.third]"), "{why}");
}

#[tokio::test]
async fn upstream_of_a_rule_that_fails_is_an_error_that_says_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let (rig, mut server, mut client) = redirected(&place, "http://127.0.0.1:1/mcp").await;
    client.post(CALL).await;
    let said = client.response().await.json();
    assert_eq!((&said["id"], &said["error"]["code"]), (&json!(7), &json!(-31000)));
    let why = said["error"]["message"].as_str().unwrap();
    assert!(why.starts_with("tapline: rule `r` sends this to http://127.0.0.1:1/mcp, which gave no answer: "), "{why}");
    assert!(why.ends_with("; start that server, or switch the rule off"), "{why}");
    rig.line(Level::Warn, "`r`: http://127.0.0.1:1/mcp gave no answer: ").await;
    client.post(r#"{"jsonrpc":"2.0","id":8,"method":"ping"}"#).await;
    server.next().await.json(r#"{"jsonrpc":"2.0","id":8,"result":{}}"#).await;
    assert_eq!(client.response().await.json()["id"], 8, "all else goes on");

    let mut other = Server::start().await;
    let (rig, _server, mut client) = redirected(&place, &other.url()).await;
    client.post(CALL).await;
    let initialize = posted(&mut other).await;
    let no =
        json!({"jsonrpc": "2.0", "id": initialize.message()["id"], "error": {"code": -32600, "message": "not you"}});
    initialize.json(no.to_string()).await;
    let said = client.response().await.json();
    let why = said["error"]["message"].as_str().unwrap();
    assert!(why.contains("gave no answer: it refuses `initialize`: not you; start that server"), "{why}");
    client.post(CALL).await;
    shakes_hands(&mut other).await;
    let asked = posted(&mut other).await;
    let id = asked.message()["id"].clone();
    asked.json(REPLY.replace("\"id\":7", &format!("\"id\":{id}"))).await;
    assert_eq!(client.response().await.body, REPLY, "the next call tries again");
    rig.line(Level::Info, "`r`: answered by ").await;
    let sessions = |event: &Event| matches!(event, Event::SessionOpened(session) if session.origin == Origin::Rule);
    rig.until("one session there", move |log| (log.iter().filter(|it| sessions(it)).count() == 1).then_some(())).await;
}

#[tokio::test]
async fn upstream_of_a_rule_answers_a_client_that_launched_tapline() {
    let (place, mut other) = (tempfile::tempdir().unwrap(), Server::start().await);
    let file = place.path().join("rules.toml");
    fs::write(&file, rule(&format!("{{ upstream = \"{}\" }}", other.url()))).unwrap();
    let script = format!(
        "read -r line; echo '{HELLO}'; read -r line; case $line in *ping*) echo '{{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{{}}}}';; esac; cat >/dev/null"
    );
    let mut tapline = Launched::start(&["--no-control", "--rules", file.to_str().unwrap(), "--", "sh", "-c", &script]);
    tapline.say(format!("{}\n", crate::support::INITIALIZE).as_bytes()).await;
    tapline.until_reply(0).await;
    tapline.say(format!("{CALL}\n").as_bytes()).await;
    shakes_hands(&mut other).await;
    let asked = posted(&mut other).await;
    let id = asked.message()["id"].clone();
    asked.json(REPLY.replace("\"id\":7", &format!("\"id\":{id}"))).await;
    assert_eq!(tapline.line().await, format!("{REPLY}\n").as_bytes());
    tapline.say(b"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\"}\n").await;
    assert_eq!(tapline.message().await["id"], 8, "the call is the first that its own server did not see");
    assert_eq!(tapline.leave().await.0, Some(0));
}
