//! The HTTP clients that carry requests to the server, and add nothing that would show: no decompression, no redirects, no cookies, no
//! timeouts but that for connecting (mcp-wire.md §5.3: a silent tool may send no header for minutes).
//!
//! A plain URL on this machine is asked by hyper's client, which `reqwest` is built on: what `reqwest` does around it
//! was a third of what tapline added to a call. TLS, proxies and other hosts go through `reqwest`.

use std::error::Error;
use std::time::Duration;

use axum::body::Body as Relayed;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full};
use reqwest::Url;

use super::near::NearClient;

use crate::net::client::{client_for, is_loopback};
use crate::net::innermost_cause;
use crate::net::workers::PerWorker;

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A connection that is idle for longer may be dead without either end knowing.
pub(super) const MOST_IDLE: Duration = Duration::from_secs(90);

pub(in crate::upstream) type BoxError = Box<dyn Error + Send + Sync>;
/// The body of an answer.
pub(in crate::upstream) type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// The body of a request.
pub(in crate::upstream) enum Outbound {
    Whole(Bytes),
    /// A body that is passed on as it comes; only the headers say how long it is.
    Relayed(Relayed),
}

impl From<Bytes> for Outbound {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum RequestTarget {
    /// The address is sent byte for byte.
    Near(Uri),
    /// The address is sent as the URL standard writes it: a few characters that are not to be in a path or query are escaped.
    Far(Url),
}

pub(super) enum SiteClient {
    /// For a plain URL on this machine, where an upstream mostly is, and where what `reqwest` does around this same client
    /// is a third of what tapline adds to a call (`cargo bench`).
    ///
    /// One for each worker: the task of its connection is on the thread of the call.
    Near(Url, PerWorker<Option<NearClient>>),
    /// TLS, proxies, credentials in the URL.
    Far(reqwest::Client),
}

/// Why there is no answer.
pub(super) struct RequestFailure {
    /// Nothing was sent: there is no connection.
    pub(super) unreachable: bool,
    pub(super) why: String,
}

impl SiteClient {
    /// # Errors
    /// Where the TLS roots cannot be loaded.
    pub(super) fn new(url: &Url) -> Result<Self, String> {
        let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        if is_loopback(url) && plain && url.as_str().parse::<Uri>().is_ok() {
            return Ok(Self::Near(url.clone(), PerWorker::default()));
        }
        let client = client_for(url)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEP_ALIVE)
            .pool_idle_timeout(MOST_IDLE)
            .pool_max_idle_per_host(usize::MAX)
            .build();
        let client = client.map_err(|error| format!("no HTTP client: {}", innermost_cause(&error)))?;
        Ok(Self::Far(client))
    }

    /// The place with that address; nothing where it is none.
    pub(super) fn place(&self, address: &str) -> Option<RequestTarget> {
        match self {
            Self::Near(..) => address.parse().ok().map(RequestTarget::Near),
            Self::Far(_) => address.parse().ok().map(RequestTarget::Far),
        }
    }

    pub(super) async fn send(
        &self,
        method: Method,
        place: RequestTarget,
        headers: HeaderMap,
        body: Outbound,
    ) -> Result<Response<ResponseBody>, RequestFailure> {
        match (self, place) {
            (Self::Near(url, clients), RequestTarget::Near(uri)) => {
                let mut request = Request::new(match body {
                    Outbound::Whole(bytes) => Either::Left(Full::new(bytes)),
                    Outbound::Relayed(body) => Either::Right(body),
                });
                *request.method_mut() = method;
                *request.uri_mut() = uri;
                *request.headers_mut() = headers;
                match clients.get_or_init(|| NearClient::new(url)) {
                    Some(client) => client.send(request).await,
                    None => Err(RequestFailure { unreachable: true, why: "its URL names no host".to_owned() }),
                }
            }
            (Self::Far(client), RequestTarget::Far(url)) => {
                let body = match body {
                    Outbound::Whole(bytes) => reqwest::Body::from(bytes),
                    Outbound::Relayed(body) => reqwest::Body::wrap_stream(body.into_data_stream()),
                };
                match Box::pin(client.request(method, url).headers(headers).body(body).send()).await {
                    Ok(response) => {
                        let response = Response::<reqwest::Body>::from(response);
                        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
                    }
                    Err(error) => Err(RequestFailure { unreachable: error.is_connect(), why: why_far(&error) }),
                }
            }
            (_, RequestTarget::Near(_) | RequestTarget::Far(_)) => {
                Err(RequestFailure { unreachable: true, why: "its place was made by another client".to_owned() })
            }
        }
    }
}

/// Says why there is no answer; where a certificate is not trusted, also what can be done.
fn why_far(error: &reqwest::Error) -> String {
    let why = innermost_cause(error);
    if !why.starts_with("invalid peer certificate") {
        return why;
    }
    // Elsewhere the system's own store is asked, and nothing else.
    let unix = cfg!(all(unix, not(target_vendor = "apple")));
    let hint = if unix { "`SSL_CERT_FILE` names a file of those to trust" } else { "the system must trust its issuer" };
    format!("{why}; {hint}")
}
