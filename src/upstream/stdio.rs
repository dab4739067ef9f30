//! An MCP server that is a command: its stdin and stdout are pipes with one message a line.
//!
//! Owns the child from its start to its end, the whole process group with it.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::UpstreamError;
use super::embedded::{EmbeddedEnds, EmbeddedServer};
use super::output::{MOST_UNREAD, Output, OutputSender, StderrPiece, item_of, one_line};
use crate::children::guardian::{GroupRole, GuardedGroup, Guardian, signal_group};
use crate::children::orphans;
use crate::message::Message;
use crate::net::backlog::{Backlog, BacklogReader, ByteRoom, EntryNumber, RoomShare, backlog};
use crate::net::descriptors;
use crate::net::read::LineBuffer;
use crate::secret::{GivenSecrets, Label};

/// How long a child may take to leave after its stdin was closed, and again after SIGTERM. The specification gives no
/// figure; the SDK clients wait 2 s for us (mcp-wire.md §2.1).
const PATIENCE: Duration = Duration::from_millis(1500);
/// Lines of stderr that an error quotes.
const LAST_WORDS: usize = 5;
/// Bytes of such a line that are quoted.
const LONGEST_WORDS: usize = 2 << 10;
/// Lines that may wait in a pipe's channel before its reader is slowed down, and the child with it.
const LINES_WAITING: usize = 1024;
/// Bytes of messages whose senders wait for room in a child's stdin; beyond that they are refused.
const MOST_WAITING: usize = 128 << 20;
/// Bytes of stderr that may wait for their reader; then the child waits, as with a pipe. Its stdout goes on.
const STDERR_WAITING: usize = 8 << 20;
/// Bytes of stderr that are read at once.
const STDERR_PIECE: usize = 128 << 10;
/// How long a child that takes nothing any more may take to end: what it ended with says more.
const ENDING: Duration = Duration::from_millis(500);

/// A command and its arguments, as given.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine {
    pub program: String,
    pub arguments: Vec<String>,
    /// Beside our own environment. Secrets, maybe: shown nowhere.
    environment: Vec<(String, String)>,
}

impl CommandLine {
    /// `None` without a program.
    pub fn new(words: &[String]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self { program: program.clone(), arguments: arguments.to_vec(), environment: Vec::new() })
    }

    /// Whether it is given a variable of its own of this name.
    pub fn has_variable(&self, name: &str) -> bool {
        self.environment.iter().any(|(known, _)| known == name)
    }

    /// The command, for people.
    pub fn label(&self) -> Label {
        Label::of_command(std::iter::once(&self.program).chain(&self.arguments).map(String::as_str))
    }

    /// What the label does not show.
    pub fn secrets(&self) -> GivenSecrets {
        let words = std::iter::once(&self.program).chain(&self.arguments).map(String::as_str);
        GivenSecrets::of_command(words, self.environment.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// With these variables set, beside those that the process inherits.
    pub fn with_environment(self, environment: Vec<(String, String)>) -> Self {
        Self { environment, ..self }
    }
}

impl std::fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.label())
    }
}

/// The way to a running child's stdin, and to its end. Dropping the last one closes stdin and ends the child.
pub struct ChildPipe {
    lines: Backlog<Bytes>,
    /// What waits in `lines` has so much.
    room: ByteRoom,
    /// Bytes of lines that wait for that.
    waiting: AtomicUsize,
    /// Nothing is written any more, whatever waits.
    shut: CancellationToken,
    /// Nothing more is written.
    stdin_closing: CancellationToken,
    /// The child is to leave.
    closing: CancellationToken,
    /// The child has closed its stdin, and lives on.
    deaf: CancellationToken,
    /// The process is no more.
    gone: CancellationToken,
    /// The process is no more, and all it said has been handed out.
    ended: CancellationToken,
    exit: Arc<OnceLock<u8>>,
    group: Option<u32>,
}

impl ChildPipe {
    /// Starts the command in a process group of its own, with our environment and what is given beside. `room` is kept until the
    /// process is no more; `longest`: bytes that a line of its stdout may have.
    ///
    /// # Errors
    /// Where there is no such command, or it cannot be run.
    pub fn spawn(
        command: &CommandLine,
        guardian: &Guardian,
        room: impl Send + 'static,
        longest: usize,
    ) -> Result<(Self, mpsc::Receiver<Output>), UpstreamError> {
        let (mut child, group) = start(command, guardian)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (pipe, lines_to_write) = Self::with_group(child.id());
        let (outputs, receiver) = mpsc::channel(LINES_WAITING);
        if let Some(stdin) = stdin {
            let writing = write_lines(stdin, lines_to_write, pipe.shut.clone(), pipe.stdin_closing.clone());
            tokio::spawn(tell_if_deaf(writing, pipe.deaf.clone(), pipe.gone.clone(), outputs.clone()));
        }
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let reading_stderr =
            stderr.map(|stderr| tokio::spawn(read_stderr(stderr, outputs.clone(), last_words.clone())));
        let reader = StdoutReader { outputs: OutputSender::new(outputs.clone()), gone: pipe.gone.clone(), longest };
        let reading = stdout.map(|stdout| tokio::spawn(reader.read(stdout, pipe.closing.clone())));
        let readers = OutputReaders { stdout: reading, stderr: reading_stderr, last_words, secrets: command.secrets() };
        let tokens = (pipe.closing.clone(), pipe.gone.clone(), pipe.ended.clone());
        let (exit, guardian, command) = (Arc::clone(&pipe.exit), guardian.clone(), command.label());
        tokio::spawn(async move {
            let (closing, gone, ended) = tokens;
            let status = until_ended(child, &closing, group).await;
            // It is set here alone.
            let _ = exit.set(status.as_ref().map_or(1, |status| exit_code(*status)));
            gone.cancel();
            drop(room);
            if !guardian.has_server() {
                // One that does not go even when it is killed is not waited for.
                let _ = tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(orphans::end)).await;
            }
            let status = status.map_or_else(|error| error.to_string(), describe);
            let _ = outputs.send(Output::Ended(readers.last_word(command, status, longest).await)).await;
            ended.cancel();
        });
        Ok((pipe, receiver))
    }

    /// A pipe to a server inside this process. `room` is kept until it serves no more.
    pub fn embed(server: Arc<dyn EmbeddedServer>, room: impl Send + 'static) -> (Self, mpsc::Receiver<Output>) {
        let (pipe, lines) = Self::with_group(None);
        let (outputs, receiver) = mpsc::channel(LINES_WAITING);
        let ends = EmbeddedEnds::new(lines, pipe.stdin_closing.clone(), pipe.closing.clone(), outputs.clone());
        let shut = pipe.shut.clone().drop_guard();
        let (exit, gone, ended) = (pipe.exit.clone(), pipe.gone.clone(), pipe.ended.clone());
        tokio::spawn(async move {
            let command = server.label();
            server.serve(ends).await;
            drop((shut, room));
            // It is set here alone.
            let _ = exit.set(0);
            gone.cancel();
            let error = UpstreamError::Exited { command, status: "status 0".to_owned(), stderr: Vec::new() };
            let _ = outputs.send(Output::Ended(error)).await;
            ended.cancel();
        });
        (pipe, receiver)
    }

    /// A pipe without a child at its other end yet.
    fn with_group(group: Option<u32>) -> (Self, BacklogReader<Bytes>) {
        let (lines, lines_to_write) = backlog();
        let closing = CancellationToken::new();
        let pipe = Self {
            lines,
            room: ByteRoom::new(MOST_UNREAD),
            waiting: AtomicUsize::new(0),
            shut: CancellationToken::new(),
            stdin_closing: closing.child_token(),
            closing,
            deaf: CancellationToken::new(),
            gone: CancellationToken::new(),
            ended: CancellationToken::new(),
            exit: Arc::default(),
            group,
        };
        (pipe, lines_to_write)
    }

    /// Writes one line, terminator included. Once this returns the line will be written whole, whatever happens to the caller, unless
    /// it is taken back.
    ///
    /// # Errors
    /// Where the child takes nothing any more, or too much waits already.
    pub async fn write(&self, line: Bytes) -> Result<EntryNumber, ChildWriteError> {
        let share = self.acquire_room(line.len()).await?;
        self.lines.send_in(line, share).map_err(|_| ChildWriteError::Gone)
    }

    /// Writes a message as a line, as [`ChildPipe::write`] does; the line is made only once there is room for it.
    ///
    /// # Errors
    /// Where the child takes nothing any more, or too much waits already.
    pub async fn write_message(&self, message: &Message) -> Result<EntryNumber, ChildWriteError> {
        let share = self.acquire_room(message.raw().len() + 1).await?;
        self.lines.send_in(one_line(message), share).map_err(|_| ChildWriteError::Gone)
    }

    async fn acquire_room(&self, size: usize) -> Result<RoomShare, ChildWriteError> {
        if let Some(share) = self.room.try_acquire(size) {
            return Ok(share);
        }
        let _waiting = WaitingBytes::among(&self.waiting, size).ok_or(ChildWriteError::TooMuchWaits)?;
        tokio::select! {
            share = self.room.acquire(size) => Ok(share),
            () = self.shut.cancelled() => Err(ChildWriteError::Gone),
        }
    }

    /// Writes one line, terminator included, without waiting: `false` when the child takes nothing any more, or too much waits already.
    pub fn offer(&self, line: Bytes) -> bool {
        let share = self.room.try_acquire(line.len());
        share.is_some_and(|share| self.lines.send_in(line, share).is_ok())
    }

    /// Takes a line back that the child has read nothing of yet; `false` where it is too late for that.
    pub fn take_back(&self, line: EntryNumber) -> bool {
        self.lines.take_back(line).is_some()
    }

    /// The process group of the child, whose leader it is; `None` where it is no process.
    pub fn group(&self) -> Option<u32> {
        self.group.filter(|_| self.exit.get().is_none())
    }

    /// How many lines wait to be written, behind the one that is being written.
    pub fn unwritten(&self) -> usize {
        self.lines.waiting()
    }

    /// Whether it has closed its stdin, and lives on.
    pub fn is_deaf(&self) -> bool {
        self.deaf.is_cancelled()
    }

    /// What the command exited with, as a shell has it (128 and the number of a signal); `None` while it runs.
    pub fn exit_code(&self) -> Option<u8> {
        self.exit.get().copied()
    }

    /// Cancelled once the process is no more; what it said last may be unread then.
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Passes a signal on to the child and all it started; `false` where it is no process.
    pub fn signal(&self, signal: rustix::process::Signal) -> bool {
        if let Some(group) = self.group() {
            signal_group(group, signal);
        }
        self.group.is_some()
    }

    /// Closes stdin once what waits is written, and no more: the child leaves when it likes.
    pub fn close_stdin(&self) {
        self.stdin_closing.cancel();
    }

    /// Closes stdin. What a child still says is heard; one that stays is made to go.
    pub fn leave(&self) {
        self.closing.cancel();
    }

    /// Closes stdin and waits until the child is gone: by itself, by SIGTERM, by SIGKILL.
    pub async fn close(&self) {
        self.leave();
        self.ended.cancelled().await;
    }
}

impl Drop for ChildPipe {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

fn start(command: &CommandLine, guardian: &Guardian) -> Result<(Child, GuardedGroup), UpstreamError> {
    let mut process = Command::new(&command.program);
    process
        .args(&command.arguments)
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (child, group) =
        guardian.spawn(&mut process, GroupRole::Server).map_err(|error| cannot_start(command, &error))?;
    child.id().into_iter().for_each(descriptors::restore_limit_of);
    child.stdin.iter().for_each(descriptors::note);
    Ok((child, group))
}

fn cannot_start(command: &CommandLine, error: &std::io::Error) -> UpstreamError {
    let (command, why) = (command.label(), error.to_string());
    if descriptors::are_exhausted(error) {
        UpstreamError::NoDescriptors { command, why }
    } else {
        UpstreamError::CannotStart { command, why }
    }
}

/// The tasks that read a child's output, to its end.
struct OutputReaders {
    stdout: Option<JoinHandle<StdoutEnd>>,
    stderr: Option<JoinHandle<()>>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    secrets: GivenSecrets,
}

impl OutputReaders {
    /// What became of a child that is gone, when all is read. A grandchild that left the group may keep the pipes open: what is in
    /// them by now is enough.
    async fn last_word(self, command: Label, status: String, longest: usize) -> UpstreamError {
        let mut end = StdoutEnd::Closed;
        if let Some(stdout) = self.stdout {
            end = tokio::time::timeout(PATIENCE, stdout).await.map_or(end, |read| read.unwrap_or(end));
        }
        if let Some(stderr) = self.stderr {
            let _ = tokio::time::timeout(PATIENCE, stderr).await;
        }
        let secrets = self.secrets;
        let stderr = self.last_words.lock().drain(..).map(|line| secrets.masked(&line).into_owned()).collect();
        match end {
            StdoutEnd::Closed => UpstreamError::Exited { command, status, stderr },
            StdoutEnd::TooLong => UpstreamError::TooLong { upstream: command, most: longest >> 20 },
        }
    }
}

/// Why a line is not written to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildWriteError {
    /// The child takes nothing any more.
    Gone,
    /// The child does not read, and so much waits for it that no more may.
    TooMuchWaits,
}

/// Bytes of a line that waits for room, counted until this is dropped.
struct WaitingBytes<'a> {
    all: &'a AtomicUsize,
    size: usize,
}

impl<'a> WaitingBytes<'a> {
    /// `None` where too many wait. One line alone may always.
    fn among(all: &'a AtomicUsize, size: usize) -> Option<Self> {
        let before = all.fetch_add(size, Ordering::Relaxed);
        let counted = Self { all, size };
        (before == 0 || before + size <= MOST_WAITING).then_some(counted)
    }
}

impl Drop for WaitingBytes<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// Writes until nothing more is to be written, or the child takes nothing any more: then returns what it did not take.
async fn write_lines(
    mut stdin: ChildStdin,
    mut lines: BacklogReader<Bytes>,
    shut: CancellationToken,
    closing: CancellationToken,
) -> Option<Vec<Bytes>> {
    // Senders that wait for room fail: there will be none.
    let _shut = shut.drop_guard();
    loop {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = closing.cancelled() => None,
        };
        let line = line?;
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            // Later senders fail: nothing is taken any more.
            return Some(std::iter::once(line).chain(lines.close()).collect());
        }
    }
}

/// Writes, and tells what was not taken of a child that lives on. One that is ending has closed its stdin, too.
async fn tell_if_deaf(
    writing: impl Future<Output = Option<Vec<Bytes>>>,
    deaf: CancellationToken,
    gone: CancellationToken,
    outputs: mpsc::Sender<Output>,
) {
    let Some(untaken) = writing.await else { return };
    if tokio::time::timeout(ENDING, gone.cancelled()).await.is_err() {
        deaf.cancel();
        let _ = outputs.send(Output::Untaken(untaken)).await;
    }
}

/// Hands out what a child says on stdout.
struct StdoutReader {
    outputs: OutputSender,
    /// The process is no more: what it left in the pipe is all there is, and is read without backpressure.
    gone: CancellationToken,
    longest: usize,
}

/// How a child's stdout came to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StdoutEnd {
    Closed,
    /// A line was longer than any may be.
    TooLong,
}

impl StdoutReader {
    async fn read(self, stdout: impl AsyncRead + Unpin, closing: CancellationToken) -> StdoutEnd {
        let end = self.read_lines(stdout).await;
        // A server that has closed its stdout cannot answer any more.
        closing.cancel();
        end
    }

    async fn read_lines(&self, mut stdout: impl AsyncRead + Unpin) -> StdoutEnd {
        let mut lines = LineBuffer::default();
        while matches!(stdout.read_buf(lines.room()).await, Ok(1..)) {
            while let Some(line) = lines.next_line() {
                if !self.outputs.item(item_of(line), self.gone.cancelled()).await {
                    return StdoutEnd::Closed;
                }
            }
            if lines.pending() > self.longest {
                return StdoutEnd::TooLong;
            }
        }
        if let Some(torn) = lines.take_rest() {
            self.outputs.item(item_of(torn), self.gone.cancelled()).await;
        }
        StdoutEnd::Closed
    }
}

/// Hands out stderr in pieces of whole lines. What waits is bounded, beside that of stdout: a client that reads no stderr still gets its
/// replies.
async fn read_stderr(
    mut stderr: impl AsyncRead + Unpin,
    outputs: mpsc::Sender<Output>,
    last_words: Arc<Mutex<VecDeque<String>>>,
) {
    let room = Arc::new(Semaphore::new(STDERR_WAITING));
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(STDERR_PIECE);
        let more = matches!(stderr.read_buf(&mut buffer).await, Ok(1..));
        let lines_end = memchr::memrchr(b'\n', &buffer).map_or(0, |end| end + 1);
        // A line without end is passed on in pieces.
        let whole = if more && (lines_end > 0 || buffer.len() < STDERR_PIECE) { lines_end } else { buffer.len() };
        if whole > 0 {
            let piece = buffer.split_to(whole).freeze();
            remember(&piece, &mut last_words.lock());
            let size = u32::try_from(whole.min(STDERR_WAITING)).unwrap_or(u32::MAX);
            let Ok(room) = room.clone().acquire_many_owned(size).await else { return };
            let _ = outputs.send(Output::Stderr(StderrPiece::new(piece, room))).await;
        }
        if !more {
            return;
        }
    }
}

/// Keeps the last lines, of a long one its beginning.
fn remember(piece: &[u8], last_words: &mut VecDeque<String>) {
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    let lines: Vec<_> = piece.rsplit(|byte| *byte == b'\n').take(LAST_WORDS).collect();
    let words = |line: &[u8]| String::from_utf8_lossy(&line[..line.len().min(LONGEST_WORDS)]).trim_end().to_owned();
    last_words.extend(lines.into_iter().rev().map(words));
    let surplus = last_words.len().saturating_sub(LAST_WORDS);
    last_words.drain(..surplus);
}

/// Waits for the end of the child, and sees to it when asked.
async fn until_ended(
    mut child: Child,
    closing: &CancellationToken,
    group: GuardedGroup,
) -> std::io::Result<ExitStatus> {
    let by_itself = tokio::select! {
        status = child.wait() => Some(status),
        () = closing.cancelled() => None,
    };
    let status = match by_itself {
        Some(status) => status,
        // Closing has closed stdin, which is how a server is asked to leave.
        None => match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                group.signal(rustix::process::Signal::TERM);
                match tokio::time::timeout(PATIENCE, child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        group.signal(rustix::process::Signal::KILL);
                        child.wait().await
                    }
                }
            }
        },
    };
    // Whatever it started and left behind goes with it.
    drop(group);
    status
}

fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
