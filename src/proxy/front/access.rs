//! Admission at the HTTP front door, and its limits: the configuration's part of what [`crate::proxy::front::origin_check`] begins.
//!
//! Judges requests, not messages on their way: a client that was let in is not looked at again.
//!
//! Scopes are decided on what the server will read; [`crate::auth`] says how. A limit per session counts by the session where the
//! server or tapline has given its id, and by the caller (token, else address) where a client may have made it up.
//!
//! A token ends here. It is taken out of the headers before anything else sees them, so that no tape, screen, log or server can have
//! it, whatever is added to tapline later. A session belongs to the name that opened it, also after a restart. Keys that cannot be
//! had are a 503, never a 401: clients must not throw good tokens away.
//!
//! In front of a command, tapline is the server of the transport: what breaks its rules is refused before the command hears of it.
//! The rules themselves are values ([`crate::headers::rules`]); here is what they are asked about, and what becomes of what they refuse:
//! it is shown and recorded like any message, as blocked, with its answer, in the session that it names, or else in the one that its
//! client has without `initialize`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::auth::{Auth, Denied, Identity};
use crate::envelope::{Direction, Transport, Via};
use crate::headers::rules::{ArrivedRequest, NamedSession, RequestPlace, RuleBreak};
use crate::headers::{self, VERSION, contradict};
use crate::limits::section::Per;
use crate::limits::{Key, Limits};
use crate::message::Message;
use crate::proxy::Arrival;
use crate::proxy::error::{Denial, ErrorReply, ProxyError};
use crate::proxy::exchange::Connection;
use crate::proxy::front::origin_check::{is_preflight, options, preflight};
use crate::proxy::session::LiveSession;
use crate::proxy::sessions::{Requester, SessionTable};

/// Authentication and limits, as configured.
#[derive(Default)]
pub struct Admission {
    pub auth: Option<Auth>,
    pub limits: Option<Arc<Limits>>,
    /// A command gets everything, also what breaks the rules of the HTTP transport.
    pub lenient: bool,
}

/// The client of a request that was let in.
pub(in crate::proxy) struct Caller {
    pub(in crate::proxy) address: IpAddr,
    /// When the head of its request was there.
    pub(in crate::proxy) received: Instant,
    identity: Option<CallerIdentity>,
}

struct CallerIdentity {
    identity: Identity,
    /// The name that the client knows us by, and the path it asked for, for what it is told.
    own: String,
    path: String,
}

/// What became of a request whose credentials were looked at.
pub(in crate::proxy) enum Authenticated {
    Caller(Caller),
    /// The request asked how to come in, and is answered.
    Answered(Response<Body>),
}

/// A request of a client that is known, for which its session is looked for.
pub(in crate::proxy) struct SessionRequest<'a> {
    pub(in crate::proxy) table: &'a Arc<SessionTable>,
    pub(in crate::proxy) parts: &'a mut Parts,
    /// What stands after the path of the endpoint.
    pub(in crate::proxy) tail: &'a str,
    pub(in crate::proxy) requester: Requester<'a>,
    pub(in crate::proxy) message: Option<&'a Message>,
    /// When tapline had the request.
    pub(in crate::proxy) received: Instant,
}

/// Whether a request may go on by the rules of the transport, and in which session.
pub(in crate::proxy) enum SessionAdmission {
    Session(Arc<Connection>),
    /// The request breaks a rule, and gets this error.
    Refused(Box<ErrorReply>),
}

impl Admission {
    /// Takes the token out of a request, where one is wanted. `own`: the name that the client knows us by.
    pub(in crate::proxy) async fn authenticate(
        &self,
        address: IpAddr,
        own: &str,
        parts: &mut Parts,
    ) -> Result<Authenticated, ProxyError> {
        let caller = Caller { address, received: Instant::now(), identity: None };
        match &self.auth {
            None => Ok(Authenticated::Caller(caller)),
            Some(auth) => Box::pin(identify(auth, caller, own, parts)).await,
        }
    }

    /// Whether the rules of the transport are kept for the server: where it has no HTTP of its own, and the operator does not want to see
    /// how it takes what it should never get.
    pub(in crate::proxy) fn keeps_rules_for(&self, table: &SessionTable) -> bool {
        !self.lenient && table.target().is_pipe()
    }

    /// Finds the session of a request, if the rules of the transport let it in.
    pub(in crate::proxy) async fn admit(&self, asked: SessionRequest<'_>) -> Result<SessionAdmission, ProxyError> {
        let SessionRequest { table, parts, tail, requester, message, .. } = &asked;
        if !self.keeps_rules_for(table) {
            let connection = table.resolve(&parts.headers, tail, requester, *message).await?;
            return Ok(SessionAdmission::Session(connection));
        }
        let request = ArrivedRequest { method: &parts.method, headers: &parts.headers, message: *message };
        if let Err(rule) = request.check_form() {
            // No session is woken for it, and none guessed.
            let is_named_once = parts.headers.get_all(headers::SESSION).iter().nth(1).is_none();
            let named = is_named_once.then(|| table.acknowledged(&parts.headers, requester.name)).flatten();
            return Ok(refuse(&asked, named, rule));
        }
        let named = match parts.headers.get(headers::SESSION) {
            Some(id) => table.find_named(id, requester).await?,
            None => None,
        };
        let place = place(table, request, named.as_ref());
        let connection = match (place, named) {
            (Err(rule), named) => return Ok(refuse(&asked, named, rule)),
            (Ok(RequestPlace::NamedSession), Some(connection)) => connection,
            (Ok(place), _) => {
                let SessionRequest { table, parts, tail, requester, message, .. } = asked;
                if place == RequestPlace::Sessionless {
                    // Revision 2026-07-28, transports: they do not count.
                    parts.headers.remove(headers::SESSION);
                    parts.headers.remove(headers::LAST_EVENT_ID);
                }
                table.resolve(&parts.headers, tail, &requester, message).await?
            }
        };
        Ok(SessionAdmission::Session(connection))
    }

    /// Whether a limit counts by session.
    pub(in crate::proxy) fn counts_sessions(&self) -> bool {
        self.limits.as_ref().is_some_and(|limits| limits.has_per_session())
    }

    /// Whether a client may say that now. `headers`: of the request; `session`: the client's session, where its id was given out
    /// by the server or by us.
    pub(in crate::proxy) fn authorize(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        session: Option<&LiveSession>,
        message: &Message,
    ) -> Result<(), ProxyError> {
        if let (Some(auth), Some(CallerIdentity { identity, own, path })) = (&self.auth, &caller.identity) {
            let decision = match auth.has_rules() && contradict(headers, message) {
                true => Err(Denied::Unclear),
                false => auth.permit(identity, message),
            };
            decision.map_err(|denied| denial(auth, denied, own, path))?;
        }
        match &self.limits {
            None => Ok(()),
            Some(limits) => Ok(limits.check(|per| caller.key(per, session), message)?),
        }
    }
}

/// Refuses a request that breaks a rule, and shows it in a session where there is one for it.
fn refuse(request: &SessionRequest<'_>, named: Option<Arc<Connection>>, rule: RuleBreak) -> SessionAdmission {
    let SessionRequest { table, parts, requester, message, received, .. } = request;
    let shown_in = named.or_else(|| message.and_then(|_| table.for_refused(&parts.headers, requester)));
    let refusal = match (shown_in, message) {
        (Some(connection), Some(message)) => refuse_in(&connection, &parts.headers, message, *received, rule),
        (shown_in, message) => {
            let id = message.and_then(Message::asked_id);
            let answer = ProxyError::from(Box::new(rule)).reply_to(id.as_ref());
            table.proxy().record_error(&answer, shown_in.map(|connection| connection.session.id()));
            answer
        }
    };
    SessionAdmission::Refused(Box::new(refusal))
}

/// Refuses a message of a session's client that breaks a rule, and shows it with the error that is its answer.
pub(in crate::proxy) fn refuse_in(
    connection: &Connection,
    headers: &HeaderMap,
    message: &Message,
    received: Instant,
    rule: RuleBreak,
) -> ErrorReply {
    let answer = ProxyError::from(Box::new(rule)).reply_to(message.asked_id().as_ref());
    connection.proxy.record_error(&answer, Some(connection.session.id()));
    let arrival = Arrival {
        received: Some(received),
        ..Arrival::new(Direction::ToServer, connection.refused_transport(headers), message.clone())
    };
    let transport = Transport { status: Some(answer.status.as_u16()), ..Transport::new(Via::Http) };
    let message = connection.proxy.refuse(&connection.session, arrival, transport, answer.message.clone());
    ErrorReply { message, ..answer }
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

impl Caller {
    /// Whose a session is that this client opens, or must be that it uses.
    pub(in crate::proxy) fn name(&self) -> Option<&Arc<str>> {
        self.identity.as_ref().map(|identified| &identified.identity.name)
    }

    fn key(&self, per: Per, session: Option<&LiveSession>) -> Key {
        match (per, session, self.name()) {
            (Per::Session, Some(session), _) => Key::Session(session.id().0.as_u128()),
            (Per::Token | Per::Session, _, Some(name)) => Key::Token(name.clone()),
            (Per::Token | Per::Session | Per::Client, _, _) => Key::Client(self.address),
        }
    }
}

async fn identify(auth: &Auth, caller: Caller, own: &str, parts: &mut Parts) -> Result<Authenticated, ProxyError> {
    let path = parts.uri.path();
    if let Some(resource) = Auth::described(path) {
        return described(auth, own, resource, &parts.method).map(Authenticated::Answered);
    }
    if is_preflight(parts) {
        // It has no credentials, and gets none of the operator's: the server is not asked.
        return Ok(Authenticated::Answered(preflight(&parts.headers)));
    }
    match auth.identify(&mut parts.headers).await {
        // Nor is any other question of what may be done here the server's: it would be asked with the operator's credentials.
        Ok(_) if parts.method == Method::OPTIONS => Ok(Authenticated::Answered(options(&parts.headers))),
        Ok(identity) => {
            let identity = Some(CallerIdentity { identity, own: own.to_owned(), path: path.to_owned() });
            Ok(Authenticated::Caller(Caller { identity, ..caller }))
        }
        Err(denied) => Err(denial(auth, denied, own, path)),
    }
}

/// The error for a request that is denied, with the challenge.
fn denial(auth: &Auth, denied: Denied, own: &str, path: &str) -> ProxyError {
    let mut headers = HeaderMap::new();
    headers.extend(auth.challenge(&denied, own, path).map(|challenge| (WWW_AUTHENTICATE, challenge)));
    headers.extend(denied.retry_after().map(|seconds| (RETRY_AFTER, seconds.into())));
    ProxyError::Denied(Box::new(Denial { denied, headers }))
}

/// Answers with the metadata of a protected resource (RFC 9728). It is public, also for a page of any origin.
fn described(auth: &Auth, own: &str, resource: &str, method: &Method) -> Result<Response<Body>, ProxyError> {
    let mut response = match *method {
        Method::GET => Response::new(Body::from(auth.metadata(own, resource))),
        Method::HEAD | Method::OPTIONS => Response::new(Body::empty()),
        _ => return Err(ProxyError::BadMethod("GET, HEAD, OPTIONS")),
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if *method == Method::OPTIONS {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, VERSION.into());
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}
