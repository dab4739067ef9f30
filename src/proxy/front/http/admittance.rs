//! In front of a command, tapline is the server of the transport: what breaks its rules is refused before the command hears of it.
//!
//! The rules themselves are values ([`crate::headers::rules`]); here is what they are asked about, and what becomes of what they refuse:
//! it is shown and recorded like any message, as blocked, with its answer, in the session that it names, or else in the one that its
//! client has without `initialize`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::Response;
use http::request::Parts;

use super::{HttpFront, refused};
use crate::envelope::{Direction, Transport, Via};
use crate::headers;
use crate::headers::rules::{ArrivedRequest, NamedSession, RequestPlace, RuleBreak, status_of};
use crate::mcp::method;
use crate::message::{Id, Message};
use crate::proxy::Arrival;
use crate::proxy::error::{ErrorReply, ProxyError};
use crate::proxy::exchange::Connection;
use crate::proxy::sessions::{Requester, SessionTable};
use crate::upstream::{Reply, ReplyBody};

/// What came of asking the rules.
pub(super) enum Admitted {
    /// The request may go on, in this session.
    To(Arc<Connection>),
    /// The request was refused with this response.
    Refused(Response<Body>),
}

/// A request that the rules are asked about.
pub(super) struct Asked<'a> {
    pub(super) table: &'a Arc<SessionTable>,
    pub(super) parts: &'a mut Parts,
    pub(super) tail: &'a str,
    pub(super) requester: Requester<'a>,
    pub(super) message: Option<&'a Message>,
    pub(super) received: Instant,
    /// The JSON-RPC id of the request, for an answer to name.
    pub(super) id: Option<&'a Id>,
}

impl HttpFront {
    /// Whether what stands behind has no HTTP of its own, and the operator does not want to see how it takes what it should never get.
    pub(super) fn rules(&self, table: &SessionTable) -> bool {
        !self.admission.lenient && table.target().is_pipe()
    }

    /// Finds the session of a request, if it may come in.
    pub(super) async fn admit(&self, asked: Asked<'_>) -> Result<Admitted, ProxyError> {
        let Asked { table, parts, tail, requester, message, .. } = &asked;
        if !self.rules(table) {
            let connection = table.resolve(&parts.headers, tail, requester, *message).await?;
            return Ok(Admitted::To(connection));
        }
        let request = ArrivedRequest { method: &parts.method, headers: &parts.headers, message: *message };
        if let Err(rule) = request.check_form() {
            return Ok(self.turn_away(&asked, None, rule));
        }
        let named = match parts.headers.get(headers::SESSION) {
            Some(id) => table.find_named(id, requester).await?,
            None => None,
        };
        let place = place(table, request, named.as_ref());
        let connection = match (place, named) {
            (Err(rule), named) => return Ok(self.turn_away(&asked, named, rule)),
            (Ok(RequestPlace::NamedSession), Some(connection)) => connection,
            (Ok(place), _) => {
                let Asked { table, parts, tail, requester, message, .. } = asked;
                if place == RequestPlace::Sessionless {
                    // Revision 2026-07-28, transports: they do not count.
                    parts.headers.remove(headers::SESSION);
                    parts.headers.remove(headers::LAST_EVENT_ID);
                }
                table.resolve(&parts.headers, tail, &requester, message).await?
            }
        };
        Ok(Admitted::To(connection))
    }

    fn turn_away(&self, asked: &Asked<'_>, named: Option<Arc<Connection>>, rule: RuleBreak) -> Admitted {
        let Asked { table, parts, requester, message, received, id, .. } = asked;
        let id = id.filter(|_| !rule.is_of_body);
        let answer = ProxyError::from(Box::new(rule)).reply_to(id);
        let proxy = self.mounts.proxy();
        let shown_in = named.or_else(|| message.and_then(|_| table.for_refused(&parts.headers, requester)));
        proxy.record_error(&answer, shown_in.as_ref().map(|connection| connection.session.id()));
        let (Some(connection), Some(message)) = (shown_in, message) else { return Admitted::Refused(refused(answer)) };
        let arrival = Arrival {
            received: Some(*received),
            ..Arrival::new(Direction::ToServer, connection.refused_transport(&parts.headers), (*message).clone())
        };
        let transport = Transport { status: Some(answer.status.as_u16()), ..Transport::new(Via::Http) };
        let message = proxy.refuse(&connection.session, arrival, transport, answer.message.clone());
        Admitted::Refused(refused(ErrorReply { message, ..answer }))
    }
}

/// Finds where a request belongs. `named`: the session that it names, where there is one.
fn place(
    table: &SessionTable,
    request: ArrivedRequest<'_>,
    named: Option<&Arc<Connection>>,
) -> Result<RequestPlace, RuleBreak> {
    let agreed = || named.and_then(|connection| connection.session.protocol());
    let session = match (named, request.headers.contains_key(headers::SESSION)) {
        (Some(_), _) => NamedSession::Known(&agreed),
        (None, true) => NamedSession::Unknown,
        (None, false) => NamedSession::Unnamed,
    };
    let place = request.check_place(&session)?;
    if place == RequestPlace::Sessionless {
        table.check_params(request)?;
    }
    Ok(place)
}

/// Sets, on an answer to a request of a revision without sessions the status that goes with it.
pub(super) fn set_status(table: &SessionTable, request: &Message, reply: &mut Reply) {
    let ReplyBody::Whole(answer) = &reply.body else { return };
    if request.method() == Some(method::TOOLS_LIST) {
        table.learn_params(answer);
    }
    if let Some(status) = status_of(request, answer).filter(|_| reply.status.is_success()) {
        reply.status = status;
    }
}
