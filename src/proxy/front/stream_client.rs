//! A client with one stream for everything it is told: a process with pipes, or one of the HTTP+SSE transport.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tracing::Instrument as _;

use crate::envelope::{Direction, Transport, Via};
use crate::message::Message;
use crate::proxy::Disposition;
use crate::proxy::error::{self, ErrorReply, ProxyError};
use crate::proxy::exchange::bridge::Bridge;
use crate::proxy::exchange::{Connection, Link};
use crate::proxy::stream::{ClientStream, StreamServer};
use crate::upstream::{Item, Upstream as _};

/// How such a client's messages reach the server.
pub(in crate::proxy) enum StreamClient {
    /// One by one: the server has one stream, too.
    Relayed(Arc<StreamServer>),
    /// As HTTP exchanges.
    Bridged(Arc<Bridge>),
}

impl StreamClient {
    /// Connects the client with its server. `headers`: what it came with, where that was a request.
    pub(in crate::proxy) fn attach(connection: &Arc<Connection>, pipe: ClientStream, headers: HeaderMap) -> Self {
        match &connection.link {
            Link::Pipe(link) => {
                link.attach(pipe);
                Self::Relayed(link.clone())
            }
            Link::Exchanges(_) | Link::Shared(_) => Self::Bridged(Bridge::new(connection.clone(), pipe.items, headers)),
        }
    }

    /// Ends the server's side, and waits until all it had to say is out.
    pub(in crate::proxy) async fn leave(&self, connection: &Arc<Connection>) {
        match self {
            Self::Relayed(_) => connection.close().await,
            Self::Bridged(bridge) => bridge.leave().await,
        }
    }
}

/// Does what was decided of a line. A server that refuses it says so over HTTP, which a pipe has no place for: the client
/// is told in an error of its request.
pub(in crate::proxy) async fn carry_line(
    connection: &Connection,
    link: &StreamServer,
    disposition: Disposition,
    line: Bytes,
) {
    let (message, line) = match disposition {
        Disposition::Send { message, edited, .. } => (message, (!edited).then_some(line)),
        Disposition::Answer(answer) => return link.tell(Item::line(answer)),
        Disposition::Discard => return,
    };
    let span = connection.span(Some(&message));
    match link.hand(&message, line, None).instrument(span).await {
        Ok(Some(reply)) if !reply.status.is_success() => {
            answer(connection, link, &message, error::server_refused(link.label(), &reply, message.id()));
        }
        Ok(_) => {}
        // A child that takes nothing any more is about to be heard of.
        Err(_) if link.carrier() == Via::Stdio => {}
        Err(error) => {
            answer(connection, link, &message, ProxyError::Upstream(error).reply_to(message.id()));
        }
    }
}

fn answer(connection: &Connection, link: &StreamServer, request: &Message, answer: ErrorReply) {
    let Connection { proxy, session, .. } = connection;
    proxy.record_error(&answer, Some(session.id()));
    if request.asks() {
        let transport = Transport::new(session.via());
        link.tell(Item::line(proxy.originate(session, Direction::ToClient, transport, answer.message)));
    }
}
