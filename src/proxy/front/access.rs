//! Who may come in by the HTTP front door, and how often: the configuration's part of what [`crate::proxy::front::origin_check`] begins.
//!
//! Judges requests, not messages on their way: a client that was let in is not looked at again.
//!
//! Scopes are decided on what the server will read; [`crate::auth`] says how. A limit per session counts by the session where the
//! server or tapline has given its id, and by the caller (token, else address) where anybody may have made it up.
//!
//! A token ends here. It is taken out of the headers before anything else sees them, so that no tape, screen, log or server can have
//! it, whatever is added to tapline later. A session belongs to the name that opened it, also after a restart. Keys that cannot be
//! had are a 503, never a 401: clients must not throw good tokens away.

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
use crate::headers::contradict;
use crate::limits::section::Per;
use crate::limits::{Key, Limits};
use crate::message::Message;
use crate::proxy::error::{Denial, ProxyError};
use crate::proxy::front::cors;
use crate::proxy::session::LiveSession;

/// Who may come in, and how often, as configured.
#[derive(Default)]
pub struct Admission {
    pub auth: Option<Auth>,
    pub limits: Option<Arc<Limits>>,
    /// A command gets everything, also what breaks the rules of the HTTP transport.
    pub lenient: bool,
}

/// Who has come in.
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
            Some(auth) => identify(auth, caller, own, parts).await,
        }
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
    if cors::is_preflight(parts) {
        // It has no credentials, and gets none of the operator's: the server is not asked.
        return Ok(Authenticated::Answered(cors::preflight(&parts.headers)));
    }
    match auth.identify(&mut parts.headers).await {
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

/// Answers with the metadata of a protected resource (RFC 9728). Anybody may know it, a page of any origin included.
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
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("mcp-protocol-version"));
        *response.status_mut() = StatusCode::NO_CONTENT;
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(response)
}
