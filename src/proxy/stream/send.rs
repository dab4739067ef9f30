//! What a client with one stream says to a server that has one, too: each message goes on as it came.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::message::Message;
use crate::proxy::session::LiveSession;
use crate::proxy::stream::client::ClientStream;
use crate::proxy::stream::pending::QuestionAnswer;
use crate::proxy::stream::request::UnsentRequest;
use crate::proxy::stream::server::{Pipe, ServerState, StreamServer, Tenancy};
use crate::upstream::stdio::{ChildPipe, ChildWriteError};
use crate::upstream::{Reply, UpstreamError};

/// How often it is looked whether a server of the HTTP+SSE transport has answered the last request of a client that leaves.
const LOOK: Duration = Duration::from_millis(20);

impl StreamServer {
    /// Sends everything that the server says to a client with one stream, from now on.
    pub(in crate::proxy) fn attach(&self, stream: ClientStream) {
        let mut state = self.state.lock();
        if !state.server.is_gone() {
            state.client.attach(stream);
        }
    }

    /// Sends a message of a client with one stream to the server, already through the spine. `line`: what it came in, where that was a
    /// line and it was not edited; `headers`: what it came with, where that was a POST. Returns what the server says to having got it: a
    /// child says nothing.
    ///
    /// # Errors
    /// Where the server takes nothing any more.
    pub(in crate::proxy) async fn send(
        &self,
        message: &Message,
        line: Option<Bytes>,
        headers: Option<HeaderMap>,
    ) -> Result<Option<Reply>, UpstreamError> {
        loop {
            let (pipe, answer) = self.when_up(|state| self.register(state, message)).await?;
            let (message, line) = match &answer {
                QuestionAnswer::Renamed(answer) => (answer, None),
                QuestionAnswer::AsItIs | QuestionAnswer::Stale => (message, line.as_ref()),
            };
            match &*pipe {
                Pipe::Events(events) => return events.post(message, headers).await.map(Some),
                Pipe::Child(_) if answer == QuestionAnswer::Stale => return Ok(None),
                Pipe::Child(child) => {
                    // Where who asked is gone, another is not to be told.
                    if self.write_line(&pipe, child, message, line).await? || message.is_reply() {
                        return Ok(None);
                    }
                    if !self.withdraw(message) && message.asks() {
                        // It was told that the server is gone.
                        return Ok(None);
                    }
                    self.when_other_than(&pipe).await?;
                }
            }
        }
    }

    /// Registers a message that goes to a child. Returns what it is to the child's questions.
    fn register(&self, state: &mut ServerState, message: &Message) -> QuestionAnswer {
        let (Some(_), Tenancy::Dedicated(session)) = (&self.pool, &self.tenancy) else { return QuestionAnswer::AsItIs };
        state.requests.cancel(message);
        state.requests.register_all(message, session);
        self.learn_initialized(message);
        state.questions.complete(message)
    }

    /// Writes a message to a child, `line` where it came in that; withdrawn where its sender leaves before. `false`: the child takes
    /// nothing any more.
    ///
    /// # Errors
    /// Where too much waits for the child.
    pub(super) async fn write_line(
        &self,
        pipe: &Arc<Pipe>,
        child: &ChildPipe,
        message: &Message,
        line: Option<&Bytes>,
    ) -> Result<bool, UpstreamError> {
        let unsent = UnsentRequest::new(self, pipe, message);
        let written = match line {
            Some(line) => child.write(line.clone()).await,
            None => child.write_message(message).await,
        };
        match written {
            Err(ChildWriteError::TooMuchWaits) => Err(self.reads_nothing()),
            written => {
                unsent.disarm();
                Ok(written.is_ok())
            }
        }
    }

    /// Passes on a line without a message; only a pipe has a place for it.
    pub(in crate::proxy) async fn send_blank_line(&self, line: Bytes) {
        if let Ok((pipe, ())) = self.when_up(|_| ()).await
            && let Pipe::Child(child) = &*pipe
        {
            // A child that takes nothing any more is about to be heard of.
            let _ = child.write(line).await;
        }
    }

    /// Its only client says nothing more: a child's stdin is closed, which is how it is asked to leave. Returns when it has
    /// gone; where it is none of ours, when it has answered all.
    pub(in crate::proxy) async fn finish(&self, session: &LiveSession) {
        let pipe = {
            let mut state = self.state.lock();
            state.server.leave();
            state.server.pipe().cloned()
        };
        match pipe.as_deref() {
            Some(Pipe::Child(child)) => child.close_stdin(),
            Some(Pipe::Events(_)) => {
                while session.open_requests() > 0 && !self.is_gone() {
                    tokio::time::sleep(LOOK).await;
                }
                return;
            }
            None => {}
        }
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_gone() {
                return;
            }
            changed.await;
        }
    }
}
