//! A client with one stream for everything it is told: a process with pipes, or one of the HTTP+SSE transport.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tracing::Instrument as _;

use crate::envelope::{Direction, Transport, Via};
use crate::message::Message;
use crate::proxy::Passage;
use crate::proxy::error::{self, Answer, Refusal};
use crate::proxy::exchange::bridge::Bridge;
use crate::proxy::exchange::{Connection, Link};
use crate::proxy::stream::{ClientStream, StreamServer};
use crate::upstream::{Item, Upstream as _};

/// How such a client's messages reach the server.
pub(in crate::proxy) enum Client {
    /// One by one: the server has one stream, too.
    Relayed(Arc<StreamServer>),
    /// As HTTP exchanges.
    Bridged(Arc<Bridge>),
}

impl Client {
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
pub(in crate::proxy) async fn carry_line(connection: &Connection, link: &StreamServer, passage: Passage, line: Bytes) {
    let (message, line) = match passage {
        Passage::Send { message, edited, .. } => (message, (!edited).then_some(line)),
        Passage::Answer(answer) => return link.tell(Item::line(answer)),
        Passage::Nothing => return,
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
            answer(connection, link, &message, Refusal::Upstream(error).answer(message.id()));
        }
    }
}

fn answer(connection: &Connection, link: &StreamServer, request: &Message, answer: Answer) {
    let Connection { proxy, session, .. } = connection;
    proxy.note(&answer, Some(session.id()));
    if request.asks() {
        let transport = Transport::new(session.via());
        link.tell(Item::line(proxy.answer(session, Direction::ToClient, transport, answer.message)));
    }
}
