//! Who may come in by the HTTP front door, and how often: the configuration's part of what [`crate::proxy::front::origin_check`] begins.
//!
//! Judges requests, not messages on their way: a client that was let in is not looked at again.
//!
//! A token ends here. It is taken out of the headers before anything else sees them, so that no tape, screen, log or server can have
//! it, whatever is added to tapline later. A session belongs to the name that opened it, also after a restart. Keys that cannot be
//! had are a 503, never a 401: clients must not throw good tokens away.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN, USER_AGENT, VARY,
    WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::auth::{Auth, Denied, Identity};
use crate::headers;
use crate::limits::section::Per;
use crate::limits::{Key, Limits};
use crate::message::Message;
use crate::proxy::error::{Denial, ProxyError};
use crate::proxy::session::LiveSession;

/// Who may come in, and how often, as configured.
#[derive(Default)]
pub struct Admission {
    pub auth: Option<Auth>,
    pub limits: Option<Arc<Limits>>,
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

    /// Whether a client may say that now. `headers`: of the request; `session`: the client's session, where its address told it.
    pub(in crate::proxy) fn authorize(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        session: Option<&LiveSession>,
        message: &Message,
    ) -> Result<(), ProxyError> {
        if let (Some(auth), Some(CallerIdentity { identity, own, path })) = (&self.auth, &caller.identity) {
            auth.permit(identity, message).map_err(|denied| denial(auth, denied, own, path, headers))?;
        }
        match &self.limits {
            None => Ok(()),
            Some(limits) => Ok(limits.check(|per| caller.key(per, headers, session), message)?),
        }
    }
}

impl Caller {
    /// Whose a session is that this client opens, or must be that it uses.
    pub(in crate::proxy) fn name(&self) -> Option<&Arc<str>> {
        self.identity.as_ref().map(|identified| &identified.identity.name)
    }

    fn key(&self, per: Per, headers: &HeaderMap, session: Option<&LiveSession>) -> Key {
        match (per, self.name()) {
            (Per::Token, Some(name)) => Key::Token(name.clone()),
            (Per::Token | Per::Client, _) => Key::Client(self.address),
            (Per::Session, _) => match (session, headers.get(headers::SESSION)) {
                (Some(session), _) => Key::Session(session.id().0.to_string().into()),
                (None, Some(id)) => Key::Session(String::from_utf8_lossy(id.as_bytes()).into()),
                (None, None) => {
                    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
                    Key::Visitor(self.address, String::from_utf8_lossy(agent).into())
                }
            },
        }
    }
}

async fn identify(auth: &Auth, caller: Caller, own: &str, parts: &mut Parts) -> Result<Authenticated, ProxyError> {
    let path = parts.uri.path();
    if let Some(resource) = Auth::described(path) {
        return described(auth, own, resource, &parts.method).map(Authenticated::Answered);
    }
    if is_preflight(parts) {
        // A browser asks without credentials whether it may send them (Fetch, CORS protocol and credentials).
        auth.strip(&mut parts.headers);
        return Ok(Authenticated::Caller(caller));
    }
    match auth.identify(&mut parts.headers).await {
        Ok(identity) => {
            let identity = Some(CallerIdentity { identity, own: own.to_owned(), path: path.to_owned() });
            Ok(Authenticated::Caller(Caller { identity, ..caller }))
        }
        Err(denied) => Err(denial(auth, denied, own, path, &parts.headers)),
    }
}

/// The error for a request that is denied, with the challenge and what a web page needs to read it.
fn denial(auth: &Auth, denied: Denied, own: &str, path: &str, request_headers: &HeaderMap) -> ProxyError {
    let mut headers = HeaderMap::new();
    headers.extend(auth.challenge(&denied, own, path).map(|challenge| (WWW_AUTHENTICATE, challenge)));
    if let Some(origin) = request_headers.get(ORIGIN) {
        // The guard has let it in; without this its browser would show it neither the status nor the challenge.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate"));
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    ProxyError::Denied(Box::new(Denial { denied, headers }))
}

/// Anybody may know it, a page of any origin included.
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

fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
