//! A client that is tapline itself: it says one message after the other and hears everything on one stream, whatever the
//! server speaks.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::envelope::{Author, Direction, SessionId, Transport, Via};
use crate::event::Origin;
use crate::message::Message;
use crate::proxy::Arrival;
use crate::proxy::exchange::Connection;
use crate::proxy::front::stream_client::{StreamClient, carry_line};
use crate::proxy::sessions::{NewSession, SessionTable};
use crate::proxy::stream::ClientStream;
use crate::upstream::framing::one_line;
use crate::upstream::{Item, UpstreamError};

/// The side that speaks. The session ends when it leaves.
pub struct InternalClient {
    table: Arc<SessionTable>,
    connection: Arc<Connection>,
    client: StreamClient,
    /// POSTs on their way: some servers answer one only when they have answered the request in it.
    posting: JoinSet<()>,
}

/// What the server says. Unbounded: whoever opens the session reads it, and leaves when it is too much.
pub struct InternalOutput {
    /// Ends with the server.
    pub items: mpsc::UnboundedReceiver<Result<Item, UpstreamError>>,
    /// Lines of a child's stderr.
    pub errors: mpsc::UnboundedReceiver<Bytes>,
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
        let ((items, heard), (stderr, errors)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let pipe = ClientStream { items, carrier: via, stderr: Some(stderr), announce: None };
        let client = StreamClient::attach(&connection, pipe, HeaderMap::new());
        startup.run();
        let inner = Self { table: table.clone(), connection, client, posting: JoinSet::new() };
        Ok((inner, InternalOutput { items: heard, errors }))
    }

    pub fn session(&self) -> SessionId {
        self.connection.session.id()
    }

    /// Returns when the next may be said.
    pub async fn say(&mut self, message: Message) {
        while self.posting.try_join_next().is_some() {}
        let link = match &self.client {
            StreamClient::Bridged(bridge) => return bridge.take(message, None).await,
            StreamClient::Relayed(link) => link.clone(),
        };
        let may_wait = link.carrier() == Via::Sse && message.asks();
        let connection = self.connection.clone();
        let transport = Transport::new(connection.session.via());
        let line = one_line(&message);
        let arrival =
            Arrival { injected: Some(Author::Tapline), ..Arrival::new(Direction::ToServer, transport, message) };
        let passage = connection.proxy.pass(&connection.session, arrival).disposition().await;
        let carried = async move { carry_line(&connection, &link, passage, line).await };
        if may_wait {
            self.posting.spawn(carried);
        } else {
            carried.await;
        }
    }

    /// Ends the session, and waits until the server's side of it is gone.
    pub async fn leave(mut self, reason: &str) {
        self.posting.shutdown().await;
        self.table.close(self.connection.session.id(), reason).await;
        self.client.leave(&self.connection).await;
    }
}
