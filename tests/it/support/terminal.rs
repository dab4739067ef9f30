//! The real binary in a pseudo-terminal, and a client for it.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::{Value, json};

/// How long anything may take: only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tapline on a terminal of its own.
pub(crate) struct Terminal {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn std::io::Write + Send>,
    seen: Arc<Seen>,
    // The terminal lives as long as its master does.
    master: Box<dyn MasterPty + Send>,
}

struct Seen {
    parser: Mutex<vt100::Parser>,
    /// All that was written, as it came.
    written: Mutex<Vec<u8>>,
    changed: Condvar,
}

impl Terminal {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::sized(arguments, 36, 120)
    }

    pub(crate) fn sized(arguments: &[&str], rows: u16, cols: u16) -> Self {
        Self::open("", arguments, &[("TAPLINE_NO_CONTROL", "1")], rows, cols)
    }

    /// On a terminal to which something was written before.
    pub(crate) fn after(written: &str, arguments: &[&str]) -> Self {
        Self::open(written, arguments, &[("TAPLINE_NO_CONTROL", "1")], 36, 120)
    }

    /// With an environment of the test's choice.
    pub(crate) fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::open("", arguments, variables, 36, 120)
    }

    fn open(written: &str, arguments: &[&str], variables: &[(&str, &str)], rows: u16, cols: u16) -> Self {
        let pair = native_pty_system().openpty(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tapline"));
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        variables.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut parser = vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0);
        parser.process(written.as_bytes());
        let seen = Arc::new(Seen { parser: Mutex::new(parser), written: Mutex::default(), changed: Condvar::new() });
        let mut output = pair.master.try_clone_reader().unwrap();
        let watching = seen.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(1..) = output.read(&mut buffer).inspect(|&read| {
                watching.written.lock().unwrap().extend_from_slice(&buffer[..read]);
                watching.parser.lock().unwrap().process(&buffer[..read]);
                watching.changed.notify_all();
            }) {}
        });
        let keys = pair.master.take_writer().unwrap();
        Self { child, keys, seen, master: pair.master }
    }

    /// Gives its window another size.
    pub(crate) fn resize(&self, rows: u16, cols: u16) {
        self.seen.parser.lock().unwrap().set_size(rows.try_into().unwrap(), cols.try_into().unwrap());
        self.master.resize(PtySize { rows, cols, ..PtySize::default() }).unwrap();
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as asked; gives what was found there.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut(&vt100::Screen) -> Option<T>) -> T {
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

    /// Waits until this was written so many times, as a terminal reads it.
    pub(crate) fn wait_written(&self, text: &str, times: usize) {
        self.wait(&format!("{text:?} {times} times"), |_| (self.times_written(text) >= times).then_some(()));
    }

    pub(crate) fn times_written(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.seen.written.lock().unwrap()).matches(text).count()
    }

    pub(crate) fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.contents().contains(text).then_some(()));
    }

    /// Waits for the one held call of [`Caller::forecast`], gives it another city in the editor, and sends it.
    pub(crate) fn edit_the_held_city(&mut self, city: &str, other: &str) {
        self.wait_for("1 held");
        self.press("2e");
        self.wait_for("Edit #");
        self.wait_for(city);
        // The editor opens on it, and what is typed replaces it.
        self.press(other);
        self.wait_for("1 value changed: .params.arguments.city");
        self.press(CTRL_S);
    }

    /// The URL in the status line.
    pub(crate) fn url(&self) -> String {
        self.wait("the address", |screen| {
            let contents = screen.contents();
            let status = contents.lines().find(|line| line.contains("/mcp") && screen.alternate_screen())?;
            let address = status.split_whitespace().find(|word| word.ends_with("/mcp"))?;
            Some(format!("http://{address}"))
        })
    }

    /// Stops all output, as ctrl s does where that is no key of the program.
    pub(crate) fn stop_output(&self) {
        let terminal = std::fs::File::open(self.master.tty_name().unwrap()).unwrap();
        rustix::termios::tcflow(terminal, rustix::termios::Action::OOff).unwrap();
    }

    /// Waits for the end, however the terminal is left.
    pub(crate) fn ends_stopped(mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return ended.exit_code();
            }
            assert!(Instant::now() < deadline, "tapline did not end");
            std::thread::yield_now();
        }
    }

    pub(crate) fn process(&self) -> i32 {
        i32::try_from(self.child.process_id().unwrap()).unwrap()
    }

    /// Waits for the end, and checks that the terminal is the user's again.
    pub(crate) fn ends_with(mut self, status: u32) {
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

/// A client in a few lines: it is the terminal that is tested here.
pub(crate) struct Caller {
    http: reqwest::Client,
    url: String,
    session: String,
}

impl Caller {
    pub(crate) async fn connect(url: String) -> Self {
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

    pub(crate) async fn forecast(&self, city: &str) -> Value {
        let params = json!({"name": "get_forecast", "arguments": {"city": city}});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let reply = Self::post(&self.http, &self.url, Some(&self.session), &call).await;
        serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap()
    }
}

const CTRL_S: &str = "\x13";
pub(crate) const CTRL_C: &str = "\x03";
