//! The real binary in a pseudo-terminal: what a person types, and what they see.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::{Value, json};

/// How long anything may take: only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tapline on a terminal of its own.
struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    seen: Arc<Seen>,
    // The terminal lives as long as its master does.
    _master: Box<dyn MasterPty + Send>,
}

struct Seen {
    parser: Mutex<vt100::Parser>,
    changed: Condvar,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        Self::sized(arguments, 36, 120)
    }

    fn sized(arguments: &[&str], rows: u16, cols: u16) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tapline"));
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let parser = vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0);
        let seen = Arc::new(Seen { parser: Mutex::new(parser), changed: Condvar::new() });
        let mut output = pair.master.try_clone_reader().unwrap();
        let watching = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(1..) = output.read(&mut buffer).inspect(|&read| {
                watching.parser.lock().unwrap().process(&buffer[..read]);
                watching.changed.notify_all();
            }) {}
        });
        let keys = pair.master.take_writer().unwrap();
        Self { child, keys, seen, _master: pair.master }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as asked; gives what was found there.
    fn wait<T>(&self, what: &str, mut look: impl FnMut(&vt100::Screen) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut parser = self.seen.parser.lock().unwrap();
        loop {
            if let Some(found) = look(parser.screen()) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "never saw {what}; the screen:\n{}", parser.screen().contents());
            parser = self.seen.changed.wait_timeout(parser, left).unwrap().0;
        }
    }

    fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text).then_some(()));
    }

    /// The URL in the status line.
    fn url(&self) -> String {
        self.wait("the address", |screen| {
            let contents = screen.contents();
            let status = contents.lines().find(|line| line.contains("/mcp") && screen.alternate_screen())?;
            let address = status.split_whitespace().find(|word| word.ends_with("/mcp"))?;
            Some(format!("http://{address}"))
        })
    }

    /// Waits for the end, and checks that the terminal is the user's again.
    fn ends_with(mut self, status: u32) {
        let deadline = Instant::now() + PATIENCE;
        let ended = loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                break ended;
            }
            assert!(Instant::now() < deadline, "tapline did not end");
            std::thread::yield_now();
        };
        assert_eq!(ended.exit_code(), status);
        self.wait("the terminal restored", |screen| {
            (!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()).then_some(())
        });
    }
}

/// The demo's server as a child that knows nothing of tapline.
fn demo_server() -> [&'static str; 3] {
    ["--", env!("CARGO_BIN_EXE_tapline"), "__demo-server"]
}

fn run(more: &[&str]) -> Terminal {
    let mut arguments = vec!["run", "--listen", "127.0.0.1:0", "--no-record"];
    arguments.extend(more);
    arguments.extend(demo_server());
    Terminal::start(&arguments)
}

/// A client in a few lines: it is the terminal that is tested here.
struct Client {
    http: reqwest::Client,
    url: String,
    session: String,
}

impl Client {
    async fn connect(url: String) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let params =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "pty", "version": "1"}});
        let opening = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let reply = Self::post(&http, &url, None, &opening).await;
        let session = reply.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let client = Self { http, url, session };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        Self::post(&client.http, &client.url, Some(&client.session), &initialized).await;
        client
    }

    async fn post(http: &reqwest::Client, url: &str, session: Option<&str>, body: &Value) -> reqwest::Response {
        let mut request = http
            .post(url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body.to_string());
        if let Some(session) = session {
            request = request.header("mcp-session-id", session);
        }
        request.send().await.unwrap()
    }

    async fn forecast(&self, city: &str) -> Value {
        let params = json!({"name": "get_forecast", "arguments": {"city": city}});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let reply = Self::post(&self.http, &self.url, Some(&self.session), &call).await;
        serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap()
    }
}

const DOWN: &str = "\x1b[B";
const END: &str = "\x1b[F";
const BACKSPACE: &str = "\x7f";
const CTRL_S: &str = "\x13";
const CTRL_C: &str = "\x03";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_held_edited_and_answered_as_edited() {
    let mut terminal = run(&["--hold", "~tool get_forecast & ~q"]);
    let client = Client::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });

    terminal.wait_for("1 held");
    terminal.press("2e");
    terminal.wait_for("Edit #");
    // The line `"city": "Lisbon"` of the pretty form.
    terminal.press(&DOWN.repeat(7));
    terminal.press(END);
    terminal.press(&BACKSPACE.repeat("Lisbon\"".len()));
    terminal.press("Oslo\"");
    terminal.wait_for("1 value changed: .params.arguments.city");
    terminal.press(CTRL_S);

    let reply = call.await.unwrap();
    assert_eq!(reply["id"], 1);
    assert_eq!(reply["result"]["structuredContent"]["city"], "Oslo", "{reply}");
    terminal.press("1");
    terminal.wait("the edited row", |screen| {
        let contents = screen.contents();
        contents.lines().any(|line| line.contains('*') && line.contains("get_forecast")).then_some(())
    });
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_call_gets_the_chosen_error() {
    let mut terminal = run(&["--hold", "~tool get_forecast & ~q"]);
    let client = Client::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.wait_for("1 held");
    terminal.press("2b");
    terminal.wait_for("blocked by operator");
    terminal.press("\r");
    let reply = call.await.unwrap();
    assert_eq!(reply["error"]["code"], -31001, "{reply}");
    // Else the screen would still ask what is to become of it.
    terminal.wait("nothing held", |screen| (!screen.contents().contains("1 held")).then_some(()));
    terminal.press("Q");
    terminal.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn quitting_with_a_held_call_asks_and_then_lets_it_go() {
    let mut terminal = run(&["--hold", "~tool get_forecast & ~q"]);
    let client = Client::connect(terminal.url()).await;
    let call = tokio::spawn(async move { client.forecast("Lisbon").await });
    terminal.wait_for("1 held");
    terminal.press("Q");
    terminal.wait_for("forward");
    terminal.press("f");
    assert_eq!(call.await.unwrap()["result"]["structuredContent"]["city"], "Lisbon");
    terminal.ends_with(0);
}

#[test]
fn ctrl_c_twice_quits() {
    let mut terminal = run(&[]);
    terminal.url();
    terminal.press(CTRL_C);
    terminal.press(CTRL_C);
    terminal.ends_with(0);
}

#[test]
fn sigterm_and_sighup_give_the_terminal_back() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::HUP] {
        let terminal = run(&[]);
        terminal.url();
        let id = i32::try_from(terminal.child.process_id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).unwrap(), signal).unwrap();
        terminal.ends_with(143);
    }
}

#[test]
fn the_demo_is_alive_at_once_and_says_goodbye() {
    let mut terminal = Terminal::start(&["demo", "--no-record"]);
    terminal.wait_for("tools/list");
    terminal.wait_for("1 held");
    terminal.press("Q");
    terminal.wait_for("forward");
    terminal.press("f");
    terminal.wait("the goodbye", |screen| {
        (!screen.alternate_screen() && screen.contents().contains("tapline run")).then_some(())
    });
    terminal.ends_with(0);
}

#[test]
fn a_tiny_terminal_is_no_reason_to_fail() {
    let mut terminal = Terminal::sized(&["demo", "--no-record"], 5, 20);
    terminal.wait("a line of status", |screen| screen.alternate_screen().then_some(()));
    terminal.press("\x1b2?q1Q");
    terminal.press("Q");
    drop(terminal);
}
