//! The stdio front door: tapline is the server that a client launches.
//!
//! Its stdin and stdout belong to the protocol, its stderr to the server's. An unedited line leaves as the bytes
//! that came, line end included. When the client closes our stdin the server's is closed at once, what it still says is
//! passed on, and we end as it ends. A client of the SDKs waits two seconds and sends SIGTERM then (mcp-wire.md §2.1), which
//! goes on to the server; `printf … | tapline stdio` waits for every reply: so the server has as long as calls have to end
//! (`--grace`) before it is made to go.
//!
//! A client need not read. What we write on the way out therefore has a limit, as long as nothing of it is taken. Nor need a
//! line of its ever end: it is kept up to the limit that holds for the server's messages, and the session ends at a longer one.

mod process_io;
mod write;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::envelope::Via;
use crate::event::Origin;
use crate::net::backlog::backlog;
use crate::net::read::LineBuffer;
use crate::proxy::exchange::{Connection, ServerLink};
pub use crate::proxy::front::stdio::process_io::{BlockingFlags, StdioInput, StdioOutput};
use crate::proxy::front::stdio::write::{OutputWriter, write_items, write_stderr};
use crate::proxy::front::stream_client::{LineSender, StreamClient};
use crate::proxy::sessions::{NewSession, SessionTable, Startup};
use crate::proxy::stream::ClientStream;
use crate::upstream::output::{MOST_UNREAD, message_of};
use crate::upstream::{Upstream as _, UpstreamError};

/// How long a client may take nothing of the server's stderr while all is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What a server has beyond the grace that did not answer in it.
const BEYOND: Duration = Duration::from_secs(1);

/// The client's pipes, and ours for the server's stderr.
pub struct StdioEnds<R, W, E> {
    pub input: R,
    pub output: W,
    pub errors: E,
}

/// How far client and server are waited for.
#[derive(Clone, Copy, Debug)]
pub struct StdioLimits {
    /// How long the server may take to answer once the client says nothing more, and the client to read.
    pub grace: Duration,
    /// Bytes that a line of the client may have.
    pub longest: usize,
}

/// How the session of the client that launched us ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdioOutcome {
    /// With every request answered, or by the server.
    Complete,
    /// So many requests had no answer in time.
    Unanswered(usize),
    /// The client sent a line that was too long, or without end.
    LineTooLong,
}

/// The session of the client that launched us.
pub struct StdioSession {
    connection: Arc<Connection>,
    startup: Startup,
}

impl StdioSession {
    /// Begins the session. Its server is not heard before [`StdioSession::serve`]: nothing it says at once is lost.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub fn begin(table: &Arc<SessionTable>) -> Result<Self, UpstreamError> {
        let (connection, startup) = table.begin(NewSession::new(Via::Stdio, Origin::Client))?;
        Ok(Self { connection, startup })
    }

    /// The one session that there is.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Serves the client until it or the server goes. The connection is closed when this returns.
    pub async fn serve<R, W, E>(self, ends: StdioEnds<R, W, E>, limits: StdioLimits) -> StdioOutcome
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin + Send + 'static,
        E: AsyncWrite + Unpin + Send + 'static,
    {
        let Self { connection, startup } = self;
        let StdioLimits { grace, longest } = limits;
        let (items, to_write) = backlog();
        let unread = items.downgrade();
        let (stderr, errors) = mpsc::unbounded_channel();
        let ending = CancellationToken::new();
        let output = OutputWriter::new(ends.output, ending.clone(), grace);
        let mut writing = tokio::spawn(write_items(to_write, output));
        let output = OutputWriter::new(ends.errors, ending.clone(), LAST_WORDS.min(grace));
        let writing_errors = tokio::spawn(write_stderr(errors, output));
        let pipe = ClientStream { items, carrier: Via::Stdio, stderr: Some(stderr), announce: None };
        let mut sender = LineSender::new(StreamClient::attach(&connection, pipe, HeaderMap::new()));
        startup.run();
        let end = tokio::select! {
            end = read(&mut sender, ends.input, longest) => Some(end),
            // The server has gone, or the client reads no more.
            _ = &mut writing => None,
            () = connection.session.closed().cancelled() => None,
        };
        ending.cancel();
        let has_left = end == Some(InputEnd::Eof);
        let mut outcome =
            if end == Some(InputEnd::LineTooLong) { StdioOutcome::LineTooLong } else { StdioOutcome::Complete };
        if has_left {
            // A server that has as much to say as may wait for its client cannot say more before that reads. One that reads nothing
            // is given up by the writer.
            let is_unread = || unread.upgrade().is_some_and(|items| items.bytes() > MOST_UNREAD / 2);
            tokio::select! {
                // What is over in time is over.
                finished = within(grace, is_unread, sender.finish()) => {
                    let unanswered = finished.map_or_else(|| connection.session.open_requests(), |()| 0);
                    outcome = if unanswered == 0 { StdioOutcome::Complete } else { StdioOutcome::Unanswered(unanswered) };
                }
                () = writing_ended(&mut writing) => {}
            }
        }
        let client = sender.stop().await;
        if has_left && matches!(outcome, StdioOutcome::Unanswered(_)) {
            hurried(&connection.link, client.disconnect()).await;
        } else if has_left {
            client.disconnect().await;
        } else {
            connection.close().await;
        }
        drop(client);
        writing_ended(&mut writing).await;
        let _ = writing_errors.await;
        outcome
    }
}

/// The end of a session whose server has had all the time there is: it is told to leave, and soon made to.
async fn hurried(server: &ServerLink, leaving: impl Future<Output = ()>) {
    let signal = |signal| {
        if let ServerLink::Stream(server) = server {
            server.signal(signal);
        }
    };
    let mut leaving = std::pin::pin!(leaving);
    signal(Signal::TERM);
    if tokio::time::timeout(BEYOND, &mut leaving).await.is_err() {
        signal(Signal::KILL);
        leaving.await;
    }
}

/// What comes of something within so long; again so long where there is a reason to. `None`: it took longer.
async fn within<T>(time: Duration, goes_on: impl Fn() -> bool, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    loop {
        match tokio::time::timeout(time, &mut future).await {
            Ok(done) => return Some(done),
            Err(_) if goes_on() => {}
            Err(_) => return None,
        }
    }
}

/// Waits until a task has ended, also where it was known before.
async fn writing_ended(writing: &mut tokio::task::JoinHandle<()>) {
    if !writing.is_finished() {
        let _ = writing.await;
    }
}

/// Why no more is read of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    Eof,
    LineTooLong,
}

/// Reads the client's lines until there are no more. A held line stands aside; those after it go on.
async fn read(sender: &mut LineSender, mut input: impl AsyncRead + Unpin, longest: usize) -> InputEnd {
    let mut lines = LineBuffer::default();
    loop {
        let read = tokio::select! {
            read = input.read_buf(lines.room()) => read,
            Some(()) = sender.next_held() => continue,
        };
        let ended = !matches!(read, Ok(1..));
        while let Some(line) = lines.next_line().or_else(|| if ended { lines.take_rest() } else { None }) {
            match message_of(&line) {
                None => sender.send_blank_line(line).await,
                Some(message) => sender.send(message, line).await,
            }
        }
        if ended {
            return InputEnd::Eof;
        }
        if lines.pending() > longest {
            return InputEnd::LineTooLong;
        }
    }
}
