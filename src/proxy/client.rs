//! A client with one stream for everything it is told: a process with pipes, or one of the HTTP+SSE transport.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::Passage;
use super::bridge::Bridge;
use super::exchange::{Connection, Link};
use super::pipe::{ClientPipe, PipeLink};
use super::respond::{self, Refusal};
use super::stdio::line_of;
use crate::envelope::{Direction, Transport, Via};
use crate::event::Level;
use crate::message::Message;
use crate::upstream::Upstream as _;

/// How such a client's messages reach the server.
pub(super) enum Client {
    /// One by one: the server has one stream, too.
    Relayed(Arc<PipeLink>),
    /// As HTTP exchanges.
    Bridged(Arc<Bridge>),
}

impl Client {
    /// Connects the client with its server. `headers`: what it came with, where that was a request.
    pub(super) fn attach(connection: &Arc<Connection>, pipe: ClientPipe, headers: HeaderMap) -> Self {
        match &connection.link {
            Link::Pipe(link) => {
                link.attach(pipe);
                Self::Relayed(link.clone())
            }
            Link::Exchanges(_) => Self::Bridged(Bridge::new(connection.clone(), pipe.items, headers)),
        }
    }

    /// Ends the server's side, and waits until all it had to say is out.
    pub(super) async fn leave(&self, connection: &Arc<Connection>) {
        match self {
            Self::Relayed(_) => connection.close().await,
            Self::Bridged(bridge) => bridge.leave().await,
        }
    }
}

/// Does what was decided of a line. A server that refuses it says so over HTTP, which a pipe has no place for: the client
/// is told in an error of its request.
pub(super) async fn carry_line(connection: &Connection, link: &PipeLink, passage: Passage, line: Bytes) {
    let (message, line) = match passage {
        Passage::Send { message, edited, .. } => (message, (!edited).then_some(line)),
        Passage::Answer(answer) => return link.tell(line_of(answer)),
        Passage::Nothing => return,
    };
    match link.hand(&message, line, None).await {
        Ok(Some(reply)) if !reply.status.is_success() => {
            connection.log(Level::Warn, format!("the server refused a message: HTTP {}", reply.status));
            answer(connection, link, &message, respond::http_error(link.label(), &reply, message.id()));
        }
        Ok(_) => {}
        // A child that takes nothing any more is about to be heard of.
        Err(_) if link.carrier() == Via::Stdio => {}
        Err(error) => {
            connection.log(Level::Error, error.to_string());
            answer(connection, link, &message, Refusal::Upstream(error).message(message.id()));
        }
    }
}

fn answer(connection: &Connection, link: &PipeLink, request: &Message, answer: Message) {
    if request.asks() {
        let transport = Transport::new(connection.session.via());
        link.tell(line_of(connection.proxy.answer(&connection.session, Direction::ToClient, transport, answer)));
    }
}
