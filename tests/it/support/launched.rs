//! `tapline stdio` as its client has it: a process between pipes.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::{binary, soon};

/// A launched server that is really tapline, as its client has it.
pub(crate) struct Launched {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What it writes to stderr.
pub(crate) struct ErrorLines(Lines<BufReader<ChildStderr>>);

impl ErrorLines {
    /// Waits for a line with that text in it.
    pub(crate) async fn until(&mut self, text: &str) {
        let found = async { while !self.0.next_line().await.unwrap().expect("a line").contains(text) {} };
        soon(text, found).await;
    }
}

impl Launched {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_as(Command::from(binary::command()), arguments)
    }

    pub(crate) fn start_as(mut command: Command, arguments: &[&str]) -> Self {
        command.args(["stdio", "--no-record"]).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub(crate) fn script(script: &str) -> Self {
        Self::start(&["--", "sh", "-c", script])
    }

    pub(crate) async fn say(&mut self, line: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line).await.unwrap();
        input.flush().await.unwrap();
    }

    pub(crate) async fn tell(&mut self, message: &Value) {
        self.say(format!("{message}\n").as_bytes()).await;
    }

    pub(crate) async fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        soon("a line", self.output.read_until(b'\n', &mut line)).await.unwrap();
        line
    }

    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_slice(&self.line().await).unwrap()
    }

    /// Everything up to the reply to this id, that last.
    pub(crate) async fn until_reply(&mut self, id: u32) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let message = self.message().await;
            let is_reply = message["id"] == id && message.get("method").is_none();
            heard.push(message);
            if is_reply {
                return heard;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its stdin, for whoever wants to say more than it takes.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.input.take().unwrap()
    }

    /// Says nothing more.
    pub(crate) fn close_input(&mut self) {
        drop(self.input.take());
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The next line of stderr; what is read beyond it is lost.
    pub(crate) async fn error_line(&mut self) -> String {
        let mut line = String::new();
        let mut stderr = BufReader::new(self.child.stderr.as_mut().unwrap());
        soon("a line of stderr", stderr.read_line(&mut line)).await.unwrap();
        line
    }

    /// Its stderr, line by line.
    pub(crate) fn errors(&mut self) -> ErrorLines {
        ErrorLines(BufReader::new(self.child.stderr.take().unwrap()).lines())
    }

    /// Waits for the end, and reads nothing more.
    pub(crate) async fn end_unread(mut self) -> Option<i32> {
        soon("its end", self.child.wait()).await.unwrap().code()
    }

    /// Closes stdin and waits: the exit status, the rest of stdout, and stderr.
    pub(crate) async fn leave(mut self) -> (Option<i32>, Vec<u8>, Vec<u8>) {
        drop(self.input.take());
        self.end().await
    }

    pub(crate) async fn end(mut self) -> (Option<i32>, Vec<u8>, Vec<u8>) {
        let (mut rest, mut errors) = (Vec::new(), Vec::new());
        let mut stderr = self.child.stderr.take().unwrap();
        let all = async { tokio::try_join!(self.output.read_to_end(&mut rest), stderr.read_to_end(&mut errors)) };
        soon("the end of its output", all).await.unwrap();
        let status = soon("its end", self.child.wait()).await.unwrap();
        (status.code(), rest, errors)
    }
}
