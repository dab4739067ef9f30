//! How few keys it takes to edit what is held: five, on every transport.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rmcp::model::CallToolRequestParams;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::peers::{Era, Running, over_command, over_http};
use crate::support::terminal::Terminal;
use crate::support::{Client, INITIALIZE, LegacySseClient, Server, binary, soon, tapline_binary};

/// To the queue, into the value, two letters for another, and away.
const FIVE_KEYS: [&str; 5] = ["2", "c", "n", "o", "\x13"];

fn edit_in_five_keys(terminal: &mut Terminal, held: &str) {
    terminal.wait_for(held);
    FIVE_KEYS.iter().for_each(|key| terminal.press(key));
}

fn run(hold: &str) -> Terminal {
    let server = tapline_binary();
    let command = ["--", server.to_str().unwrap(), "__demo-server"];
    Terminal::start(&[&["run", "--listen", "127.0.0.1:0", "--no-record", "--hold", hold], &command[..]].concat())
}

fn address(terminal: &Terminal) -> SocketAddr {
    terminal.url().split('/').nth(2).unwrap().parse().unwrap()
}

fn call(tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).to_string()
}

fn forecast() -> String {
    call("get_forecast", &json!({"city": "Lisbon"}))
}

/// What the client is answered, once what is held was edited.
async fn answered(terminal: &mut Terminal, body: String) -> String {
    let mut client = Client::connect(address(terminal)).await;
    client.initialize().await;
    let answer = tokio::spawn(async move { client.call(&body).await.text().to_owned() });
    edit_in_five_keys(terminal, "1 held");
    soon("the answer", answer).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn held_call_and_reply_in_json_are_edited_in_five_keys() {
    for (hold, seen) in
        [("~tool get_forecast & ~q", "no station in no;"), ("~tool get_forecast & ~s", r#""city":"no""#)]
    {
        let mut terminal = run(hold);
        let body = answered(&mut terminal, forecast()).await;
        assert!(body.contains(seen), "{hold}: {body}");
        terminal.press("Q");
        terminal.ends_with(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_reply_and_notification_in_a_stream_are_edited_in_five_keys() {
    let mut terminal = run("~tool index_documents & ~s");
    let body = answered(&mut terminal, call("index_documents", &json!({}))).await;
    assert!(body.contains("data:") && body.contains(r#""text":"no""#), "{body}");
    // Its reply never comes, so that the stream stays open.
    let mut terminal = run("~m notifications/message");
    let mut client = Client::connect(address(&terminal)).await;
    client.initialize().await;
    client.post(call("tail_log", &json!({"follow": true}))).await;
    edit_in_five_keys(&mut terminal, "4 held");
    let mut body = String::new();
    client.head().await;
    while !body.contains("\"level\":\"no\"") {
        body.push_str(&String::from_utf8_lossy(&client.piece().await.unwrap().expect("an event")));
    }
    assert!(body.contains("data:"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_made_of_an_edit_in_two_keys_repeats_it_byte_for_byte() {
    const CALL: &str = "{ \"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"search\",\"arguments\":{\"q\":\"a\",\"e\":\"\\u00e9\",\"n\":12345678901234567890123}}}";
    const REPLY: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#;
    let place = TempDir::new().unwrap();
    let mut server = Server::start().await;
    let upstream = server.url();
    let to_server = ["--hold", "~q ~tool search", "--upstream", &upstream];
    let mut terminal = Terminal::start(&[&["run", "--listen", "127.0.0.1:0", "--no-record"], &to_server[..]].concat());
    let mut client = Client::connect(address(&terminal)).await;
    client.post(CALL).await;
    edit_in_five_keys(&mut terminal, "1 held");
    let edited = server.next().await;
    assert_eq!(edited.body, CALL.replace(":\"a\"", ":\"no\""));
    let expected = String::from_utf8_lossy(&edited.body).replace("\"id\":7", "\"id\":\"8\"");
    edited.json(REPLY).await;
    client.response().await;
    terminal.wait_for("edited by you");
    terminal.press("I");
    terminal.press("R");
    terminal.wait_for("would have touched 1 of");
    terminal.press("\r");
    terminal.press("3");
    terminal.wait_for(" Rules 1 ");
    client.post(CALL.replace("\"id\":7", "\"id\":\"8\"")).await;
    let repeated = server.next().await;
    assert_eq!(repeated.body, expected, "every byte as the hand sent it, under its own id");
    repeated.json(REPLY.replace(":7", ":\"8\"")).await;
    client.response().await;
    terminal.wait("a hit", |screen| screen.contents().contains(" 1  ").then_some(()));
    terminal.press(" ");
    terminal.wait_for(" 1 off ");
    client.post(CALL).await;
    let left_alone = server.next().await;
    assert_eq!(left_alone.body, CALL, "the rule is off");
    left_alone.json(REPLY).await;
    client.response().await;
    let file = place.path().join("made.toml");
    terminal.press(&format!(":rules save {}\r", file.display()));
    terminal.wait_for("saved to");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("[[rule]]\nname = \"edit search\"\n") && text.ends_with("on = false\n"), "{text}");
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_listed_switched_and_saved_from_an_attached_screen_before_anything_passes() {
    let place = TempDir::new().unwrap();
    let (dir, file) = (place.path().join("tapline"), place.path().join("mine.toml"));
    std::fs::write(&file, "# mine\n[[rule]]\nname = \"slow\" # too\nwhen = \"~q\"\ndo = { delay = \"1ms\" }\n")
        .unwrap();
    let mut command = tokio::process::Command::from(binary::command());
    command.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", &dir);
    command.args(["stdio", "--no-record", "--rules"]).arg(&file).arg("--").arg(tapline_binary()).arg("__demo-server");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut terminal = Terminal::with(&["attach"], &[("TAPLINE_RUNTIME_DIR", dir.to_str().unwrap())]);
    terminal.press("3");
    terminal.wait_for(" Rules 1 ");
    terminal.press(" ");
    terminal.wait_for(" 1 off ");
    terminal.press("s");
    terminal.wait_for("saved to");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\n[[rule]]\nname = \"slow\" # too\n") && text.ends_with("on = false\n"), "{text}");
    drop(child.stdin.take());
    assert_eq!(soon("the end", child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn held_reply_over_http_and_sse_is_edited_in_five_keys() {
    let mut terminal = run("~tool get_forecast & ~s");
    let mut client = LegacySseClient::open(address(&terminal)).await;
    client.post(INITIALIZE).await;
    client.message().await;
    client.post(forecast()).await;
    edit_in_five_keys(&mut terminal, "1 held");
    let reply = soon("the reply", client.message()).await;
    assert_eq!(reply["result"]["structuredContent"]["city"], "no", "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn held_reply_on_stdio_is_edited_in_five_keys_from_an_attached_screen() {
    let place = TempDir::new().unwrap();
    let dir = place.path().join("tapline");
    let mut command = tokio::process::Command::from(binary::command());
    command.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", &dir);
    let hold = ["stdio", "--no-record", "--hold", "~tool get_forecast & ~s", "--"];
    command.args(hold).arg(tapline_binary()).arg("__demo-server");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut terminal = Terminal::with(&["attach"], &[("TAPLINE_RUNTIME_DIR", dir.to_str().unwrap())]);
    terminal.wait_for("HOLD on");
    stdin.write_all(format!("{INITIALIZE}\n{}\n", forecast()).as_bytes()).await.unwrap();
    edit_in_five_keys(&mut terminal, "1 held");
    let mut lines = BufReader::new(stdout).lines();
    while !soon("a line", lines.next_line()).await.unwrap().unwrap().contains(r#""city":"no""#) {}
    drop(stdin);
    assert_eq!(soon("the end", child.wait()).await.unwrap().code(), Some(0));
}

/// A client of the TypeScript SDK: asks for a forecast over one of its transports, and writes for which city it is.
const TYPESCRIPT_CLIENT: &str = r#"
const [, sdk, how, ...target] = process.argv;
const from = (name) => import(`${sdk}/dist/esm/client/${name}.js`);
const transports = {
  http: async () => new (await from("streamableHttp")).StreamableHTTPClientTransport(new URL(target[0])),
  sse: async () => new (await from("sse")).SSEClientTransport(new URL(target[0])),
  stdio: async () =>
    new (await from("stdio")).StdioClientTransport({ command: target[0], args: target.slice(1), env: process.env }),
};
const client = new (await from("index")).Client({ name: "hands", version: "1" });
await client.connect(await transports[how]());
const { structuredContent } = await client.callTool({ name: "get_forecast", arguments: { city: "Lisbon" } });
console.log(structuredContent.city);
await client.close();
"#;

/// Where the TypeScript SDK is: where a variable says, or where `tests/interop/run install` put it; `None`: rmcp is asked.
fn typescript_sdk() -> Option<PathBuf> {
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop/npm/node_modules/@modelcontextprotocol/sdk");
    let sdk = std::env::var_os("TYPESCRIPT_SDK").map_or(installed, PathBuf::from);
    sdk.join("dist/esm/client/index.js").exists().then_some(sdk)
}

async fn city_of_rmcp(client: Running) -> String {
    let arguments = json!({"city": "Lisbon"}).as_object().cloned().unwrap();
    let result = client.call_tool(CallToolRequestParams::new("get_forecast").with_arguments(arguments)).await.unwrap();
    json!(result)["structuredContent"]["city"].as_str().unwrap().to_owned()
}

/// What a client of an SDK is told, over a transport (`http`, `sse`, `stdio`) to a URL or through a command; rmcp has no HTTP+SSE.
async fn city_of_sdk(how: &str, target: Vec<String>, mut command: tokio::process::Command) -> String {
    let Some(sdk) = typescript_sdk() else {
        return city_of_rmcp(match how {
            "stdio" => {
                command.args(&target[1..]);
                over_command(command, Era::Legacy).await
            }
            _ => over_http(&target[0], Era::Legacy).await,
        })
        .await;
    };
    let mut node = tokio::process::Command::new("node");
    for (name, value) in command.as_std().get_envs() {
        match value {
            Some(value) => node.env(name, value),
            None => node.env_remove(name),
        };
    }
    node.args(["--input-type=module", "-e", TYPESCRIPT_CLIENT, "--"]).arg(sdk).arg(how).args(target);
    let output = soon("the client's end", node.kill_on_drop(true).output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn client_of_an_sdk_gets_what_was_edited_in_five_keys_on_every_transport() {
    const HOLD: &str = "~tool get_forecast & ~s";
    let mut urls = vec![("http", "mcp")];
    urls.extend(typescript_sdk().map(|_| ("sse", "sse")));
    for (how, path) in urls {
        let mut terminal = run(HOLD);
        let url = format!("http://{}/{path}", address(&terminal));
        let city = tokio::spawn(city_of_sdk(how, vec![url], binary::command().into()));
        edit_in_five_keys(&mut terminal, "1 held");
        assert_eq!(soon("the city", city).await.unwrap(), "no", "{how}");
    }
    let place = TempDir::new().unwrap();
    let dir = place.path().join("tapline");
    let mut terminal = Terminal::with(&["attach"], &[("TAPLINE_RUNTIME_DIR", dir.to_str().unwrap())]);
    let mut command = tokio::process::Command::from(binary::command());
    command.env_remove("TAPLINE_NO_CONTROL").env("TAPLINE_RUNTIME_DIR", &dir);
    let tapline = tapline_binary().to_str().unwrap().to_owned();
    let words = [&tapline, "stdio", "--no-record", "--hold", HOLD, "--", &tapline, "__demo-server"];
    let city = tokio::spawn(city_of_sdk("stdio", words.map(str::to_owned).to_vec(), command));
    edit_in_five_keys(&mut terminal, "1 held");
    assert_eq!(soon("the city", city).await.unwrap(), "no", "stdio");
}
