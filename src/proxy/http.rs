//! The HTTP front door: Streamable HTTP at `/mcp`.
//!
//! Turns a request into an [`Outgoing`] and a [`Reply`] into a response, frame by frame as they came.

mod frames;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use tokio_util::sync::CancellationToken;

use self::frames::Frames;
use super::exchange::Connection;
use super::guard::Guard;
use super::respond::Refusal;
use super::table::{Table, Target};
use crate::envelope::{Direction, Transport, Via};
use crate::event::{Level, LogLine};
use crate::headers;
use crate::message::{Id, Kind, Message};
use crate::upstream::{Outgoing, Reply, ReplyBody, UpstreamError};

/// The path of the MCP endpoint.
pub const ENDPOINT: &str = "/mcp";

/// What the door needs to know.
pub struct Door {
    pub table: Arc<Table>,
    pub guard: Guard,
    /// Largest request body in bytes.
    pub max_body: usize,
}

/// The door as an axum service; serve it with connection info.
pub fn router(door: Door) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(door))
}

async fn handle(
    State(door): State<Arc<Door>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let mut asked = None;
    Ok(match door.answer(client.ip(), request, &mut asked).await {
        Ok(response) => response,
        Err(refusal) => door.refuse(&refusal, asked.as_ref()),
    })
}

impl Door {
    /// `asked` is set to the id of the request as soon as it is known, for an error to name.
    async fn answer(
        &self,
        client: IpAddr,
        request: Request,
        asked: &mut Option<Id>,
    ) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        self.guard.check(&parts.headers, authority).map_err(Refusal::Forbidden)?;
        if parts.uri.path().trim_end_matches('/') != ENDPOINT {
            return Err(Refusal::NotFound(parts.uri.path().to_owned()));
        }
        let message = match parts.method {
            Method::POST => Some(Message::cut_from(self.read(body).await?)),
            Method::GET | Method::DELETE => None,
            _ => return Err(Refusal::BadMethod),
        };
        // The id of a reply is the server's: no error of ours may answer to it.
        *asked = message.as_ref().filter(|message| message.kind() == Kind::Request).and_then(|it| it.id().cloned());
        let connection = self.table.resolve(&parts.headers, client, message.as_ref())?;
        let initializes = message.as_ref().and_then(Message::method) == Some("initialize");
        let client_headers = initializes.then(|| parts.headers.clone());
        let deletes = parts.method == Method::DELETE;
        let until = &self.table.proxy().stop().force;
        let in_session = parts.headers.contains_key(headers::SESSION);
        headers::towards_upstream(&mut parts.headers);
        if deletes && matches!(self.table.target(), Target::Command(..)) {
            self.table.close(connection.session.id(), "the client ended it").await;
            return Ok(Response::new(Body::empty()));
        }
        let outgoing = Outgoing { method: parts.method, headers: parts.headers, message };
        let mut reply = tokio::select! {
            reply = connection.exchange(outgoing) => match reply {
                Ok(reply) => reply,
                Err(error) => return Ok(self.upstream_failed(&connection, error, asked.as_ref())),
            },
            () = until.cancelled() => return Err(Refusal::Ended),
        };
        if let Some(client_headers) = client_headers.filter(|_| reply.status.is_success()) {
            let minted = self.table.bind(&connection, &client_headers, &reply.headers, client);
            if let Some(id) = minted.and_then(|id| HeaderValue::from_str(&id).ok()) {
                reply.headers.insert(headers::SESSION, id);
            }
        }
        if deletes && reply.status.is_success() {
            self.table.close(connection.session.id(), "the client ended it").await;
        } else if in_session && reply.status == StatusCode::NOT_FOUND {
            // Session management, 2025-03-26 on: the client starts anew.
            self.table.close(connection.session.id(), "the server does not know it any more").await;
        }
        Ok(response(reply, until.clone()))
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refusal> {
        match Limited::new(body, self.max_body).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Refusal::TooLarge(self.max_body)),
            Err(error) => Err(Refusal::BadBody(error.to_string())),
        }
    }

    /// An upstream that does not answer is part of the session: the error that its client gets is recorded and shown.
    fn upstream_failed(&self, connection: &Connection, error: UpstreamError, asked: Option<&Id>) -> Response<Body> {
        connection.log(Level::Error, error.to_string());
        let refusal = Refusal::Upstream(error);
        let status = refusal.status();
        let transport = Transport { status: Some(status.as_u16()), ..Transport::new(Via::Http) };
        let proxy = self.table.proxy();
        let message = proxy.answer(&connection.session, Direction::ToClient, transport, refusal.message(asked));
        json(status, &message)
    }

    fn refuse(&self, refusal: &Refusal, asked: Option<&Id>) -> Response<Body> {
        let level = if matches!(refusal, Refusal::Upstream(_)) { Level::Error } else { Level::Warn };
        self.table.proxy().log(LogLine::new(level, "proxy", format!("refused a request: {refusal}")));
        let mut response = json(refusal.status(), &refusal.message(asked));
        if matches!(refusal, Refusal::BadMethod) {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, GET, DELETE"));
        }
        response
    }
}

fn json(status: StatusCode, message: &Message) -> Response<Body> {
    let mut response = Response::new(Body::from(message.raw().clone()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `until`: what ends a stream that has not ended.
fn response(reply: Reply, until: CancellationToken) -> Response<Body> {
    let Reply { status, mut headers, body } = reply;
    let body = match body {
        ReplyBody::Empty => Body::empty(),
        ReplyBody::Whole(message) => {
            fit_length(&mut headers, message.raw().len());
            Body::from(message.raw().clone())
        }
        ReplyBody::Stream(items) => {
            // Events may be edited or dropped on the way: the length is not known.
            headers.remove(CONTENT_LENGTH);
            Body::from_stream(Frames::of(items).take_until(until.cancelled_owned()))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A length that the upstream gave must be that of what is sent, which may be an edit.
fn fit_length(headers: &mut HeaderMap, length: usize) {
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
