//! Who carries requests to the server, without anything that would show: no decompression, no redirects, no cookies, no
//! timeouts but that for connecting (mcp-wire.md §5.3: a silent tool may send no header for minutes).

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// A connection that is idle for longer may be dead without either end knowing.
const MOST_IDLE: Duration = Duration::from_secs(90);

pub(super) type BoxError = Box<dyn Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(super) enum Client {
    /// For a plain URL on this machine, where an upstream mostly is, and where what `reqwest` does around this same client
    /// is a third of what tapline adds to a call (CONTRIBUTING, benchmarks).
    Near(Box<legacy::Client<HttpConnector, Full<Bytes>>>, Uri),
    /// TLS, proxies, credentials in the URL.
    Far(reqwest::Client, Url),
}

/// Why there is no answer.
pub(super) struct Failure {
    /// Nothing was sent: there is no connection.
    pub(super) unreachable: bool,
    pub(super) why: String,
}

impl Client {
    /// # Errors
    /// Where the TLS roots cannot be loaded.
    pub(super) fn new(url: Url) -> Result<Self, String> {
        let loopback = is_loopback(&url);
        let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        if let (true, true, Ok(uri)) = (loopback, plain, url.as_str().parse()) {
            return Ok(Self::Near(Box::new(near()), uri));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEP_ALIVE)
            .pool_idle_timeout(MOST_IDLE)
            .pool_max_idle_per_host(usize::MAX);
        if loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| format!("no HTTP client: {}", innermost(&error)))?;
        Ok(Self::Far(client, url))
    }

    pub(super) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Body>, Failure> {
        match self {
            Self::Near(client, uri) => {
                let mut request = Request::new(Full::new(body));
                *request.method_mut() = method;
                *request.uri_mut() = uri.clone();
                *request.headers_mut() = headers;
                match client.request(request).await {
                    Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
                    Err(error) => Err(Failure { unreachable: error.is_connect(), why: innermost(&error) }),
                }
            }
            Self::Far(client, url) => {
                match client.request(method, url.clone()).headers(headers).body(body).send().await {
                    Ok(response) => {
                        let response = Response::<reqwest::Body>::from(response);
                        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
                    }
                    Err(error) => Err(Failure { unreachable: error.is_connect(), why: innermost(&error) }),
                }
            }
        }
    }
}

fn near() -> legacy::Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEP_ALIVE));
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(MOST_IDLE)
        .pool_max_idle_per_host(usize::MAX)
        .build(connector)
}

/// The cause of all causes: the outer ones repeat the URL.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some(host) => {
            host == "localhost"
                || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}
