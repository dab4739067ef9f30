//! Rules that hand a message to somebody else: a program, an address, a jq program; and rules that a screen makes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tapline::app::Settings;
use tapline::envelope::Direction::ToServer;
use tapline::envelope::{Author, Outcome};
use tapline::event::figures::Figures;
use tapline::event::{Command, Decision, Event, Level, OnQuit, RuleCommand};
use tapline::rules::RuleFiles;

use crate::support::{Client, ProcessAlive, Rig, Server, settings, tapline_binary};

const CALL: &str = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{ \"name\":\"search\",\"arguments\":{\"q\":\"\\u00e9\",\"n\":12345678901234567890123}}}";
const REPLY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;

struct HookStage {
    rig: Rig,
    server: Server,
    client: Client,
    place: tempfile::TempDir,
}

fn rule(action: &str) -> String {
    format!("[[rule]]\nname = \"r\"\nwhen = \"~q ~m tools/call\"\ndo = {action}\n")
}

async fn stage(rules: &str) -> HookStage {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.toml");
    fs::write(&file, rules).unwrap();
    let server = Server::start().await;
    let rules = RuleFiles { places: vec![file], ..RuleFiles::default() };
    let rig = Rig::start(Settings { rules, ..settings(&server.url()) }).await;
    let client = rig.client().await;
    HookStage { rig, server, client, place }
}

/// A program that answers each line with this result.
fn answering(place: &Path, result: &str) -> String {
    let script = place.join("hook.sh");
    let text = format!(
        "while read -r line; do id=${{line#*'\"id\":'}}; id=${{id%%,*}}; printf '{{\"id\":%s,\"result\":%s}}\\n' \"$id\" '{result}'; done"
    );
    fs::write(&script, text).unwrap();
    format!("{{ hook = {{ command = [\"sh\", \"{}\"] }} }}", script.display())
}

async fn figures(rig: &Rig, is_it: impl Fn(&Figures) -> bool) -> std::sync::Arc<Figures> {
    rig.event("figures", |event| match event {
        Event::Figures(figures) if is_it(figures) => Some(figures.clone()),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn hook_that_is_a_command_decides() {
    let place = tempfile::tempdir().unwrap();
    let modified = r#"{"type":"mutation","modified":true,"payload":{"name":"find","arguments":{"q":"é","n":12345678901234567890123}}}"#;
    for (result, arrives) in [("{}", CALL.to_owned()), (modified, CALL.replace("search", "find"))] {
        let HookStage { rig, mut server, mut client, .. } = stage(&rule(&answering(place.path(), result))).await;
        client.post(CALL).await;
        let exchange = server.next().await;
        assert_eq!(exchange.body, arrives, "all else as it was spelled");
        exchange.json(REPLY).await;
        assert_eq!(client.response().await.body, REPLY);
        let passed = rig.message(ToServer, |_| true).await;
        assert_eq!(passed.rules.as_ref().unwrap().len(), 1);
        assert!(passed.held.is_some(), "it waited for the hook");
    }
    for (result, answer) in [
        (
            r#"{"valid":false,"messages":[{"message":"not that"}]}"#,
            json!({"error": {"code": -31000, "message": "not that"}}),
        ),
        (r#"{"answer":{"result":{"ours":[1.0]}}}"#, json!({"result": {"ours": [1.0]}})),
    ] {
        let HookStage { rig, mut server, mut client, .. } = stage(&rule(&answering(place.path(), result))).await;
        client.post(CALL).await;
        let said = client.response().await.json();
        for (key, value) in answer.as_object().unwrap() {
            let code = value.get("code").map_or(Value::Null, |_| said[key]["code"].clone());
            let mut value = value.clone();
            if !code.is_null() {
                value["code"] = code;
            }
            assert_eq!(said[key], value, "{said}");
        }
        assert!(server.is_idle());
        let outcome = if answer["result"].is_object() { Outcome::Answered } else { Outcome::Blocked };
        assert_eq!(rig.message(ToServer, |_| true).await.outcome, outcome(Author::Rule("r".to_owned())));
    }
}

#[tokio::test]
async fn hook_that_hangs_or_dies_leaves_its_message_to_the_policy() {
    for (command, timeout, why) in [
        ("sleep 60", "200ms", "it has not answered in 200ms"),
        ("read -r line; exit 3", "60s", "it has ended"),
        ("echo nonsense; read -r line; echo nonsense; exec sleep 60", "200ms", "it has not answered in 200ms"),
    ] {
        let action = |policy: &str| {
            format!("{{ hook = {{ command = [\"sh\", \"-c\", \"{command}\"], timeout = \"{timeout}\"{policy} }} }}")
        };
        let HookStage { rig, mut server, mut client, .. } = stage(&rule(&action(""))).await;
        client.post(CALL).await;
        let exchange = server.next().await;
        assert_eq!(exchange.body, CALL);
        exchange.json(REPLY).await;
        client.response().await;
        rig.line(Level::Warn, &format!("`r`: the message went on: the hook failed: {why}")).await;
        let broken = figures(&rig, |figures| figures.rules.iter().any(|rule| rule.broken.is_some())).await;
        assert_eq!((broken.rules[0].broken.as_deref(), broken.rules[0].hits), (Some(why), 1));

        let HookStage { mut server, mut client, .. } = stage(&rule(&action(", on_failure = \"block\""))).await;
        client.post(CALL).await;
        let said = client.response().await.json();
        assert_eq!(said["error"]["message"], format!("the hook of rule `r` failed: {why}"));
        assert!(server.is_idle());
    }
}

#[tokio::test]
async fn hook_that_hangs_takes_with_it_what_it_started() {
    let place = tempfile::tempdir().unwrap();
    let alive = ProcessAlive::new();
    let file = place.path().join("hook.sh");
    fs::write(&file, alive.line() + "sleep 600 & wait").unwrap();
    let action = format!("{{ hook = {{ command = [\"sh\", \"{}\"], timeout = \"200ms\" }} }}", file.display());
    let HookStage { mut server, mut client, .. } = stage(&rule(&action)).await;
    client.post(CALL).await;
    server.next().await.json(REPLY).await;
    client.response().await;
    alive.ended().await;
}

#[tokio::test]
async fn hook_is_started_again_after_it_ended() {
    let place = tempfile::tempdir().unwrap();
    let count = place.path().join("count");
    // It lives for more than a second: one that ends sooner is left alone for a while.
    let script = format!(
        "echo x >> {0}; [ $(wc -l < {0}) -gt 1 ] || exec sleep 1.1; while read -r line; do id=${{line#*'\"id\":'}}; printf '{{\"id\":%s,\"result\":{{\"answer\":{{\"result\":{{}}}}}}}}\\n' \"${{id%%,*}}\"; done",
        count.display()
    );
    let file = place.path().join("hook.sh");
    fs::write(&file, script).unwrap();
    let action = format!("{{ hook = {{ command = [\"sh\", \"{}\"], timeout = \"60s\" }} }}", file.display());
    let HookStage { mut server, mut client, .. } = stage(&rule(&action)).await;
    client.post(CALL).await;
    server.next().await.json(REPLY).await;
    assert_eq!(client.response().await.body, REPLY, "the first one ends without an answer");
    let said = client.call(CALL).await.json();
    assert_eq!(said["result"], json!({}), "the second one answers");
}

#[tokio::test]
async fn hook_over_http_is_asked_in_the_shape_of_interceptors() {
    let mut hook = Server::start().await;
    let action = format!("{{ hook = {{ url = \"{}\", config = {{ a = 1 }} }} }}", hook.url());
    let HookStage { mut server, mut client, .. } = stage(&rule(&action)).await;
    client.post(CALL).await;
    let asked = hook.next().await;
    let question = asked.message();
    assert_eq!((&question["method"], &question["jsonrpc"]), (&json!("interceptor/invoke"), &json!("2.0")));
    let params = &question["params"];
    assert_eq!(
        (&params["name"], &params["event"], &params["phase"]),
        (&json!("r"), &json!("tools/call"), &json!("request"))
    );
    assert_eq!((&params["config"], &params["timeoutMs"]), (&json!({"a": 1}), &json!(2000)));
    assert_eq!(params["payload"]["name"], "search");
    assert!(asked.text().contains("\\u00e9") && asked.text().contains("12345678901234567890123"), "{}", asked.text());
    assert_eq!((&params["context"]["direction"], &params["context"]["id"]), (&json!("c2s"), &json!("7")));
    asked.json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"modified":false}}}}"#, question["id"])).await;
    let exchange = server.next().await;
    assert_eq!(exchange.body, CALL);
    exchange.json(REPLY).await;
    client.response().await;
}

#[tokio::test]
async fn hand_lets_go_what_waits_for_a_hook() {
    let HookStage { rig, mut server, mut client, .. } =
        stage(&rule("{ hook = { command = [\"sleep\", \"600\"], timeout = \"300s\" } }")).await;
    client.post(CALL).await;
    let held = rig.held(1).await;
    assert_eq!(held.reason, "hook of rule r");
    rig.settle(held.ticket, Decision::Forward);
    let exchange = server.next().await;
    assert_eq!(exchange.body, CALL);
    exchange.json(REPLY).await;
    client.response().await;
    rig.quit(OnQuit::Forward).await;
}

#[tokio::test]
async fn jq_changes_a_call_and_what_has_no_end_is_off() {
    let jq = rule("{ modify = { jq = \".params.name |= ascii_upcase\" } }");
    let endless = rule("{ modify = { jq = \"last(repeat(1))\" } }").replace("\"r\"", "\"endless\"");
    let HookStage { rig, mut server, mut client, .. } = stage(&(endless + &jq)).await;
    client.headers = "mcp-method: tools/call\r\nmcp-name: search\r\n".to_owned();
    for _ in 0..2 {
        client.post(CALL).await;
        let exchange = server.next().await;
        assert_eq!(exchange.body, CALL.replace("search", "SEARCH"));
        assert_eq!(exchange.head.get("mcp-name"), Some("SEARCH"));
        exchange.json(REPLY).await;
        client.response().await;
    }
    let line = rig.line(Level::Error, "`endless`: it is off until it is changed, and nothing was changed: ").await;
    assert!(line.text.contains(" it "), "it says why: {}", line.text);
    let seen = figures(&rig, |figures| figures.rules.iter().any(|rule| rule.hits == 2)).await;
    let rules: Vec<_> = seen.rules.iter().map(|rule| (rule.name.as_str(), rule.hits, rule.broken.is_some())).collect();
    assert_eq!(rules, [("endless", 1, true), ("r", 2, false)]);
}

#[tokio::test]
async fn disconnect_breaks_off_before_within_or_after() {
    let HookStage { mut server, mut client, .. } = stage(&rule("{ disconnect = \"before\" }")).await;
    client.post(CALL).await;
    client.closed().await;
    assert!(server.is_idle(), "it was not asked");
    for (when, got) in [("within", &REPLY[..REPLY.len() / 2]), ("after", "")] {
        let HookStage { mut server, mut client, .. } = stage(&rule(&format!("{{ disconnect = \"{when}\" }}"))).await;
        client.post(CALL).await;
        let exchange = server.next().await;
        assert_eq!(exchange.body, CALL, "{when}");
        exchange.json(REPLY).await;
        client.head().await;
        let mut body = Vec::new();
        let broken = loop {
            match client.piece().await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken, "{when}: the body has an orderly end");
        assert_eq!(String::from_utf8_lossy(&body), got, "{when}");
        assert!(server.is_idle(), "{when}");
    }
}

#[tokio::test]
async fn status_of_each_kind_arrives_with_its_headers() {
    for (status, header, value) in [
        ("401", "www-authenticate", "Bearer resource_metadata=\"http://x/y\", error=\"invalid_token\""),
        ("404", "x-any", "1"),
        ("429", "retry-after", "2"),
        ("503", "retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"),
    ] {
        let action = format!("{{ status = {{ code = {status}, headers = {{ {header} = '{value}' }} }} }}");
        let HookStage { mut server, mut client, .. } = stage(&rule(&action)).await;
        let response = client.call(CALL).await;
        assert_eq!((response.status(), response.head.get(header)), (status, Some(value)));
        assert!(response.body.is_empty() && server.is_idle());
    }
}

#[test]
fn reorder_lets_the_next_pass() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.toml");
    fs::write(&file, rule("\"reorder\"").replace("~q ", "~q ~c2s ")).unwrap();
    let script = "while read -r line; do id=${line#*'\"id\":'}; echo \"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":${id%%,*},\\\"result\\\":{}}\"; done";
    let calls: String = (1..=4).map(|id| CALL.replace(":7,", &format!(":{id},")) + "\n").collect();
    let output = assert_cmd::Command::new(tapline_binary())
        .args(["stdio", "--no-record", "--no-control", "--rules"])
        .arg(&file)
        .args(["--", "sh", "-c", script])
        .env("HOME", place.path())
        .write_stdin(calls)
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let ids: Vec<u64> =
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect();
    let at = |id| ids.iter().position(|it| *it == id).unwrap_or_else(|| panic!("{id} is not in {out}"));
    assert!(at(2) < at(1) && at(4) < at(3), "{ids:?}");
}

#[tokio::test]
async fn rules_of_a_screen_are_in_force_at_once() {
    let server_answers = Server::answering(|_| REPLY.to_owned()).await;
    let place = tempfile::tempdir().unwrap();
    let rig = Rig::start(settings(&server_answers)).await;
    let mut client = rig.client().await;
    assert_eq!(client.call(CALL).await.body, REPLY);
    let text = rule("{ answer = { result = { ours = true } } }");
    rig.command_now(Command::Rules(RuleCommand::Add { text: text.clone() }));
    let seen = figures(&rig, |figures| figures.rules.len() == 1).await;
    assert_eq!(
        (seen.rules[0].text.as_str(), seen.rules[0].is_unsaved, seen.rules[0].place.as_str()),
        (text.as_str(), true, "")
    );
    assert_eq!(client.call(CALL).await.json()["result"]["ours"], true);
    rig.command_now(Command::Rules(RuleCommand::Switch { name: "r".to_owned(), on: false }));
    figures(&rig, |figures| figures.rules.first().is_some_and(|rule| !rule.is_on)).await;
    assert_eq!(client.call(CALL).await.body, REPLY);
    rig.command_now(Command::Rules(RuleCommand::Add { text: rule("\"hodl\"").replace("\"r\"", "\"x\"") }));
    rig.line(Level::Warn, "the rules stay as they were: new rules:").await;
    let file = place.path().join("made.toml");
    rig.command_now(Command::Rules(RuleCommand::Save { file: Some(file.clone()) }));
    figures(&rig, |figures| figures.rules.first().is_some_and(|rule| !rule.is_unsaved)).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), text + "on = false\n");
    fs::write(&file, rule("\"drop\"").replace("\"r\"", "\"other\"")).unwrap();
    figures(&rig, |figures| figures.rules.first().is_some_and(|rule| rule.name == "other")).await;
}

#[tokio::test]
async fn rule_that_was_taken_away_comes_back_where_it_stood_and_goes_on_counting() {
    let server_answers = Server::answering(|_| REPLY.to_owned()).await;
    let rig = Rig::start(settings(&server_answers)).await;
    let named = |name: &str| rule("{ answer = { result = {} } }").replace("\"r\"", &format!("\"{name}\""));
    for name in ["r", "behind"] {
        rig.command_now(Command::Rules(RuleCommand::Add { text: named(name) }));
    }
    figures(&rig, |figures| figures.rules.len() == 2).await;
    rig.client().await.call(CALL).await;
    rig.command_now(Command::Rules(RuleCommand::Remove { name: "r".to_owned() }));
    rig.line(Level::Info, "the rule `r` is gone: `u` on screen `3` brings it back").await;
    rig.command_now(Command::Rules(RuleCommand::Add { text: named("behind") }));
    rig.line(Level::Warn, "the rules stay as they were: ").await;
    rig.command_now(Command::Rules(RuleCommand::Restore { name: "r".to_owned() }));
    rig.line(Level::Info, "the rule `r` is back where it stood").await;
    let seen = figures(&rig, |figures| figures.rules.len() == 2 && figures.rules[0].hits == 1).await;
    assert_eq!(seen.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["r", "behind"]);
    rig.command_now(Command::Rules(RuleCommand::Restore { name: "r".to_owned() }));
    rig.line(Level::Warn, "no rule `r` was taken away").await;
}

#[tokio::test]
async fn delay_from_a_tape_takes_as_long_as_it_did() {
    let place = tempfile::tempdir().unwrap();
    let tape = place.path().join("t.tape.jsonl");
    let line = r#"{"seq":2,"at":500000,"dir":"s2c","via":"http","re":1,"dt":250000,"method":"ping","msg":{"jsonrpc":"2.0","id":1,"result":{}}}"#;
    fs::write(&tape, format!("{{\"tapline\":1}}\n{line}\n")).unwrap();
    let HookStage { mut server, mut client, place: _place, .. } =
        stage(&rule(&format!("{{ delay = {{ tape = \"{}\" }} }}", tape.display()))).await;
    let began = Instant::now();
    client.post(CALL).await;
    server.next().await.json(REPLY).await;
    client.response().await;
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}

#[test]
fn rules_may_stand_in_the_settings() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tapline.toml");
    let check = |rules: &str| {
        fs::write(&file, format!("record = false\n\n{rules}")).unwrap();
        let mut command = assert_cmd::Command::new(tapline_binary());
        command.arg("check").arg(&file).env("HOME", place.path()).current_dir(place.path()).output().unwrap()
    };
    let output = check(&rule("\"hold\""));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = check(&rule("\"hodl\""));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("tapline.toml:6:6: unknown action `hodl`; did you mean `hold`?"), "{told}");
}

/// What a client on a pipe hears that says these lines to a server of this script, and how tapline ends.
fn ended(rules: &str, script: &str, said: String) -> (Vec<Value>, Option<i32>) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rules.toml");
    fs::write(&file, rules).unwrap();
    let output = assert_cmd::Command::new(tapline_binary())
        .args(["stdio", "--no-record", "--no-control", "--rules"])
        .arg(&file)
        .args(["--", "sh", "-c", script])
        .env("HOME", place.path())
        .write_stdin(said)
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    (out.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code())
}

fn heard(rules: &str, script: &str, said: String) -> Vec<Value> {
    ended(rules, script, said).0
}

#[test]
fn progress_is_made_up_until_the_reply_comes() {
    let call = CALL.replace("\"params\":{", "\"params\":{\"_meta\":{\"progressToken\":\"t\"},") + "\n";
    let script = format!("read -r line; sleep 1; echo '{REPLY}'; cat >/dev/null");
    let heard = heard(&rule("{ progress = { every = \"100ms\", total = 100, message = \"soon\" } }"), &script, call);
    let last = heard.len() - 1;
    assert!(last >= 3, "{heard:?}");
    for (at, said) in heard[..last].iter().enumerate() {
        let params = json!({"progressToken": "t", "progress": at + 1, "total": 100, "message": "soon"});
        assert_eq!((&said["method"], &said["params"]), (&json!("notifications/progress"), &params));
    }
    assert_eq!(heard[last]["id"], 7);
}

#[test]
fn notification_is_made_while_a_call_is_on_its_way() {
    let script = format!("read -r line; sleep 1; echo '{REPLY}'; cat >/dev/null");
    for (action, params) in [
        ("{ notify = \"notifications/tools/list_changed\" }", None),
        (
            "{ notify = { method = \"notifications/message\", params = { level = \"info\" } } }",
            Some(json!({"level": "info"})),
        ),
    ] {
        let heard = heard(&rule(action), &script, format!("{CALL}\n"));
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[0]["method"].as_str().is_some_and(|method| action.contains(method)), "{heard:?}");
        assert_eq!((heard[0].get("params"), &heard[1]["id"]), (params.as_ref(), &json!(7)));
    }
}

#[test]
fn kill_ends_the_server_while_a_call_is_on_its_way() {
    let script = "read -r line; exec sleep 600";
    // On a pipe a client sees a server that was killed as it would without tapline: its streams end, and so does its process.
    assert_eq!(ended(&rule("\"kill\""), script, format!("{CALL}\n")), (vec![], Some(128 + 9)));
}

#[test]
fn stop_lets_the_server_go_on_after_its_time() {
    let script = format!("read -r line; echo '{REPLY}'; cat >/dev/null");
    let began = Instant::now();
    let heard = heard(
        &(rule("{ stop = \"700ms\" }") + &rule("{ delay = \"200ms\" }").replace("\"r\"", "\"then\"")),
        &script,
        format!("{CALL}\n"),
    );
    assert_eq!(heard[0]["id"], 7);
    assert!(began.elapsed() >= Duration::from_millis(600), "{:?}", began.elapsed());
}
