//! The real tapline, as a process of its own.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::{Client, soon, tapline_binary};

/// `tapline run --headless`, killed when dropped.
pub(crate) struct Binary {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
    /// What it said first.
    pub(crate) greeting: String,
}

impl Binary {
    /// Listens on a free port and ignores the settings of whoever runs the tests.
    pub(crate) async fn run(arguments: &[&str]) -> Self {
        Self::run_as(command(), arguments).await
    }

    /// As [`Binary::run`], with an environment of the test's choice.
    pub(crate) async fn run_as(command: std::process::Command, arguments: &[&str]) -> Self {
        Self::run_at("127.0.0.1:0", command, arguments).await
    }

    /// As [`Binary::run_as`], where another was before.
    pub(crate) async fn run_at(listen: &str, command: std::process::Command, arguments: &[&str]) -> Self {
        let mut command = Command::from(command);
        command.args(["run", "--headless", "--listen", listen]).args(arguments);
        Self::start(command).await
    }

    /// `tapline mock --headless` on a free port.
    pub(crate) async fn mock(arguments: &[&str]) -> Self {
        let mut command = Command::from(command());
        command.args(["mock", "--headless", "--listen", "127.0.0.1:0"]).args(arguments);
        Self::start(command).await
    }

    /// Whatever tapline says first where it listens.
    pub(crate) async fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let greeting = soon("the first line", stderr.next_line()).await.unwrap().expect("a first line");
        let (_, url) = greeting.split_once("http://").expect(&greeting);
        let address = url.split('/').next().unwrap().parse().unwrap();
        Self { child, stderr, address, greeting }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        soon("a line", self.stderr.next_line()).await.unwrap()
    }

    /// The next line that says this.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await.expect(text);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The session id by which a client goes on with the branch that it has made.
    pub(crate) async fn branch_id(&mut self) -> String {
        let line = self.line_with("played to ").await;
        line.split('`').find_map(|text| text.strip_prefix("mcp-session-id: ")).expect(&line).to_owned()
    }

    /// Waits for its end, and reads nothing more.
    pub(crate) async fn end_unread(mut self) -> ExitStatus {
        soon("the end", self.child.wait()).await.unwrap()
    }

    /// Waits for its end; gives the status, the rest of stderr, and stdout.
    pub(crate) async fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        let output = soon("the end", self.child.wait_with_output()).await.unwrap();
        (output.status, lines, String::from_utf8(output.stdout).unwrap())
    }
}

/// The program without the settings of whoever runs the tests.
pub(crate) fn command() -> std::process::Command {
    let mut command = std::process::Command::new(tapline_binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TAPLINE_") {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", "/nonexistent")
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .env("TAPLINE_NO_CONTROL", "1")
        .env("TAPLINE_NO_DATABASE", "1");
    command
}
