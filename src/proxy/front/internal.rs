//! A client that is tapline itself: it says one message after the other and hears everything on one stream, whatever the
//! server speaks.

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::envelope::{Author, SessionId, Via};
use crate::event::Origin;
use crate::message::Message;
use crate::net::backlog::{BacklogReader, backlog};
use crate::proxy::front::stream_client::{LineSender, StreamClient};
use crate::proxy::sessions::{NewSession, SessionTable};
use crate::proxy::stream::ClientStream;
use crate::upstream::output::{StderrPiece, one_line};
use crate::upstream::{Item, UpstreamError};

/// The side that speaks. The session ends when it leaves.
pub struct InternalClient {
    table: Arc<SessionTable>,
    session: SessionId,
    sender: LineSender,
}

/// What the server says.
pub struct InternalOutput {
    /// Ends with the server.
    pub items: BacklogReader<Result<Item, UpstreamError>>,
    /// Lines of a child's stderr.
    pub errors: mpsc::UnboundedReceiver<StderrPiece>,
}

impl InternalClient {
    /// Begins a session in which every message is tapline's.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub fn open(table: &Arc<SessionTable>, origin: Origin) -> Result<(Self, InternalOutput), UpstreamError> {
        let via = if table.target().site().is_some() { Via::Http } else { Via::Stdio };
        let new = NewSession { author: Some(Author::Tapline), ..NewSession::new(via, origin) };
        let (connection, startup) = table.begin(new)?;
        let ((items, heard), (stderr, errors)) = (backlog(), mpsc::unbounded_channel());
        let pipe = ClientStream { items, carrier: via, stderr: Some(stderr), announce: None };
        let client = StreamClient::attach(&connection, pipe, HeaderMap::new());
        startup.run();
        let session = connection.session.id();
        let client = Self { table: table.clone(), session, sender: LineSender::new(client) };
        Ok((client, InternalOutput { items: heard, errors }))
    }

    /// The session that it has with the server.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Sends a message to the server. Returns when the next may be sent.
    pub async fn send(&mut self, message: Message) {
        let line = one_line(&message);
        self.sender.send(message, line).await;
    }

    /// Ends the session, and waits until the server's side of it is gone.
    pub async fn disconnect(self, reason: &str) {
        let client = self.sender.stop().await;
        self.table.close(self.session, reason).await;
        client.disconnect().await;
    }
}

/// An [`InternalClient`] whose messages are said by a task of their own: who sends never waits, whatever the server does with it.
pub struct QueuedClient {
    unsaid: mpsc::Sender<Message>,
    pub heard: InternalOutput,
    /// Ends the session; takes the reason, as text.
    hang_up: oneshot::Sender<String>,
    speaker: JoinHandle<()>,
}

impl QueuedClient {
    /// Begins a session; so many messages may wait for a server that does not take them.
    ///
    /// # Errors
    /// Where its command cannot be started.
    pub fn open(table: &Arc<SessionTable>, origin: Origin, most: usize) -> Result<Self, UpstreamError> {
        let (client, heard) = InternalClient::open(table, origin)?;
        let (unsaid, messages) = mpsc::channel(most);
        let (hang_up, hung_up) = oneshot::channel();
        let speaker = tokio::spawn(speak(client, messages, hung_up));
        Ok(Self { unsaid, heard, hang_up, speaker })
    }

    /// `false` where too much waits already.
    #[must_use]
    pub fn send(&self, message: Message) -> bool {
        self.unsaid.try_send(message).is_ok()
    }

    /// Ends the session. What is returned ends when the server's side of it is gone.
    pub fn hang_up(self, reason: &str) -> JoinHandle<()> {
        // Fails where the speaker is at its end.
        let _ = self.hang_up.send(reason.to_owned());
        self.speaker
    }
}

async fn speak(
    mut client: InternalClient,
    mut messages: mpsc::Receiver<Message>,
    mut hung_up: oneshot::Receiver<String>,
) {
    let speaking = async {
        while let Some(message) = messages.recv().await {
            client.send(message).await;
        }
    };
    let reason = tokio::select! {
        // Nothing more is said to a server that is left.
        biased;
        reason = &mut hung_up => reason,
        () = speaking => hung_up.await,
    };
    client.disconnect(&reason.unwrap_or_default()).await;
}
