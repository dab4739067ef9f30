//! A client that is tapline itself: it says one message after the other and hears everything on one stream, whatever the
//! server speaks.

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::mpsc;

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
