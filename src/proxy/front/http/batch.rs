//! A batch of a client, in front of a command: its messages go to the command one by one, and each answer leaves as soon as it is there.
//!
//! Revision 2025-03-26 has batches, and a receiver must accept them. Over HTTP that is the transport's business: that of the
//! TypeScript SDK takes a batch apart before its server hears of it. On a pipe, servers built with the SDKs do not know batches (TypeScript
//! says nothing to one, Python and Rust call it no message), so that a client would wait for ever. Taken apart, each message is one like
//! any other: shown, held, edited and answered by itself.
//!
//! The answers are events of a stream, which every client takes that says what it accepts (2025-03-26, transports: sending messages). Where
//! the rules are not kept (`--lenient`), the command gets the array.

use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::{BoxStream, empty, once, select_all};
use http::Response;
use tokio_util::sync::CancellationToken;

use super::{HttpFront, OpenCall, failure, reply_until, response};
use crate::message::{Id, Kind, Message};
use crate::proxy::exchange::{ClientExchange, Connection, Initiator};
use crate::upstream::{Item, Outgoing, Reply, ReplyBody, UpstreamError};

impl HttpFront {
    /// Carries out an exchange whose message is a batch.
    pub(super) async fn carry_batch(
        &self,
        connection: &Arc<Connection>,
        batch: &Outgoing,
        received: Instant,
    ) -> Response<Body> {
        let until = self.mounts.proxy().stop().force.clone();
        let messages = batch.message.iter().flat_map(Message::elements);
        let exchanges: Vec<_> = messages
            .map(|message| {
                let id = message.id().filter(|_| message.kind() == Kind::Request).cloned();
                let outgoing = Outgoing { message: Some(message), ..batch.clone() };
                let exchange = ClientExchange::admit(connection, received, outgoing, Initiator::Client);
                answer(connection.clone(), exchange, id, until.clone())
            })
            .collect();
        let (keep_alive, token) = (self.keep_alive_for(connection), self.call());
        let reply = if batch.message.as_ref().is_some_and(Message::asks) {
            let answers = exchanges.into_iter().map(|exchange| once(exchange).flatten().boxed());
            Reply::event_stream(select_all(answers).boxed())
        } else {
            join_all(exchanges).await;
            Reply::accepted()
        };
        let call = OpenCall { _token: token, connection: connection.clone(), id: None };
        response(reply, until, keep_alive, Some(call))
    }
}

/// What the command says to one message. `id`: that of a request.
async fn answer(
    connection: Arc<Connection>,
    exchange: ClientExchange,
    id: Option<Id>,
    until: CancellationToken,
) -> BoxStream<'static, Result<Item, UpstreamError>> {
    let one = |message| once(ready(Ok(Item::line(message)))).boxed();
    match reply_until(&until, exchange).await {
        Ok(Reply { body: ReplyBody::Stream(items), .. }) => items,
        Ok(Reply { body: ReplyBody::Whole(message), .. }) => one(message),
        Ok(Reply { body: ReplyBody::Empty, .. }) => empty().boxed(),
        Err(error) => {
            let answer = failure(&connection, &error, id.as_ref());
            if id.is_some() { one(answer.message) } else { empty().boxed() }
        }
    }
}
