//! The demo server over Streamable HTTP, as revisions 2025-03-26 to 2025-11-25 have it (transports, "Streamable HTTP").

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::call::STREAM_LIMIT;
use super::options::ServerOptions;
use super::session::{DemoSession, PROTOCOLS, ReplyFuture, error_without_id};
use super::tools;
use crate::headers::{SESSION, VERSION};
use crate::net;

/// What a request is refused with: a status, and a JSON-RPC error without an id.
type HttpError = (StatusCode, i64, &'static str);

/// Serves at `/mcp` of `listener` until `stop`; streams that are open then end.
pub async fn serve(listener: TcpListener, options: ServerOptions, stop: CancellationToken) {
    let demo = Arc::new(HttpSessions { options, stop: stop.clone(), sessions: Mutex::default() });
    let router = Router::new().route("/mcp", any(handle)).with_state(demo);
    net::serve::serve(listener, router, stop).await;
}

/// All sessions over HTTP.
struct HttpSessions {
    options: ServerOptions,
    stop: CancellationToken,
    sessions: Mutex<HashMap<String, OpenSession>>,
}

/// A session and what ends it.
#[derive(Clone)]
struct OpenSession {
    session: Arc<DemoSession>,
    end: CancellationToken,
}

async fn handle(State(demo): State<Arc<HttpSessions>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    let handled = match check_origin(&headers) {
        Err(refusal) => Err(refusal),
        Ok(()) => match method.as_str() {
            "POST" => post(&demo, &headers, &body).await,
            "GET" => get(&demo, &headers),
            "DELETE" => delete(&demo, &headers),
            _ => return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, POST, DELETE")]).into_response(),
        },
    };
    handled.unwrap_or_else(|(status, code, why)| (status, json_body(error_without_id(code, why))).into_response())
}

async fn post(demo: &Arc<HttpSessions>, headers: &HeaderMap, body: &Bytes) -> Result<Response, HttpError> {
    check_kinds(headers)?;
    let message: Value = serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, -32700, "Parse error"))?;
    if !message.is_object() {
        return Err((StatusCode::BAD_REQUEST, -32600, "Invalid Request: one message at a time"));
    }
    if message["method"] == "initialize" {
        return initialize(demo, &message).await;
    }
    let OpenSession { session, .. } = find(demo, headers)?;
    let (out, messages) = mpsc::channel(STREAM_LIMIT);
    Ok(match session.receive(&message, out) {
        None => StatusCode::ACCEPTED.into_response(),
        Some(answer) if tools::streams(&message) => event_stream(stream_of(answer, messages)),
        Some(answer) => whole(answer, messages).await,
    })
}

/// The only request outside of a session: it makes one.
async fn initialize(demo: &Arc<HttpSessions>, message: &Value) -> Result<Response, HttpError> {
    let end = demo.stop.child_token();
    let session = DemoSession::new(demo.options, end.clone());
    let (out, messages) = mpsc::channel(STREAM_LIMIT);
    let answer = session.receive(message, out).ok_or((
        StatusCode::BAD_REQUEST,
        -32600,
        "Invalid Request: `initialize` needs an id",
    ))?;
    let mut response = whole(answer, messages).await;
    let id = uuid::Uuid::new_v4().simple().to_string();
    let value = HeaderValue::from_str(&id).expect("hexadecimal digits are a header value");
    response.headers_mut().insert(SESSION, value);
    demo.sessions.lock().insert(id, OpenSession { session, end });
    Ok(response)
}

fn get(demo: &Arc<HttpSessions>, headers: &HeaderMap) -> Result<Response, HttpError> {
    if !accepts(headers, "text/event-stream") {
        return Err((StatusCode::NOT_ACCEPTABLE, -32000, "Not Acceptable: the client must accept text/event-stream"));
    }
    let OpenSession { session, end } = find(demo, headers)?;
    let messages =
        session.client.listen().ok_or((StatusCode::CONFLICT, -32000, "Conflict: only one stream for each session"))?;
    Ok(event_stream(receive(messages).map(event).take_until(end.cancelled_owned())))
}

fn delete(demo: &Arc<HttpSessions>, headers: &HeaderMap) -> Result<Response, HttpError> {
    find(demo, headers)?;
    if let Some(open) = session_id(headers).and_then(|id| demo.sessions.lock().remove(id)) {
        open.end.cancel();
    }
    Ok(StatusCode::OK.into_response())
}

/// The session that the headers name.
fn find(demo: &HttpSessions, headers: &HeaderMap) -> Result<OpenSession, HttpError> {
    // A newer protocol's probe ends here, and so learns that this is an older server.
    let version = headers.get(VERSION).and_then(|value| value.to_str().ok());
    if version.is_some_and(|version| !PROTOCOLS.contains(&version)) {
        return Err((StatusCode::BAD_REQUEST, -32000, "Bad Request: Unsupported protocol version"));
    }
    let id = session_id(headers).ok_or((
        StatusCode::BAD_REQUEST,
        -32000,
        "Bad Request: Mcp-Session-Id header is required",
    ))?;
    demo.sessions.lock().get(id).cloned().ok_or((StatusCode::NOT_FOUND, -32001, "Session not found"))
}

fn session_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(SESSION)?.to_str().ok()
}

/// A page of some web site must not talk to a server on this machine.
fn check_origin(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    match uri.as_ref().and_then(Uri::host) {
        Some("127.0.0.1" | "localhost" | "[::1]") => Ok(()),
        _ => Err((StatusCode::FORBIDDEN, -32000, "Forbidden: origin not allowed")),
    }
}

fn check_kinds(headers: &HeaderMap) -> Result<(), HttpError> {
    if !accepts(headers, "application/json") || !accepts(headers, "text/event-stream") {
        let why = "Not Acceptable: the client must accept both application/json and text/event-stream";
        return Err((StatusCode::NOT_ACCEPTABLE, -32000, why));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/json") {
        let why = "Unsupported Media Type: Content-Type must be application/json";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, -32000, why));
    }
    Ok(())
}

fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains(kind))
}

/// The answer as the body; what the work tells besides is lost, as there is no stream for it.
async fn whole(answer: ReplyFuture, _messages: mpsc::Receiver<String>) -> Response {
    match answer.await {
        Some(reply) => json_body(reply).into_response(),
        // Cancelled by the client, which no longer reads this.
        None => StatusCode::ACCEPTED.into_response(),
    }
}

/// The messages of a piece of work, and then its answer. The work goes on where the client hangs up.
fn stream_of(answer: ReplyFuture, messages: mpsc::Receiver<String>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let (sender, reply) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        // A client that hung up does not want it.
        let _ = sender.send(answer.await);
    });
    let last = futures_util::stream::once(reply).filter_map(|reply| ready(reply.ok().flatten()));
    receive(messages).chain(last).map(event)
}

fn receive(messages: mpsc::Receiver<String>) -> impl Stream<Item = String> {
    futures_util::stream::unfold(messages, async |mut messages| Some((messages.recv().await?, messages)))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that streams map with")]
fn event(message: String) -> Result<Bytes, Infallible> {
    Ok(Bytes::from(format!("event: message\ndata: {message}\n\n")))
}

fn event_stream(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache, no-transform")];
    (headers, Body::from_stream(events)).into_response()
}

fn json_body(json: String) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "application/json")], json)
}
