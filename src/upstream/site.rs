//! The place an upstream URL names: its origin, and everything else that is served there.
//!
//! Owns the one `reqwest` client of an upstream, without anything that would show: no decompression, no redirects, no
//! cookies, no timeouts but that for connecting (mcp-wire.md §5.3: a silent tool may send no header for minutes).

use std::time::Duration;

use axum::body::Body;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use reqwest::Url;

use super::UpstreamError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Headers the operator gives for the upstream, such as a token; they win over the client's.
pub type ExtraHeaders = Vec<(HeaderName, HeaderValue)>;

/// An upstream URL, and the way there.
pub struct Site {
    url: Url,
    /// The URL as it was given, for people.
    label: String,
    client: reqwest::Client,
    extra: ExtraHeaders,
}

impl Site {
    /// # Errors
    /// Where the URL is none, or not `http` or `https`; or where the TLS roots cannot be loaded.
    pub fn new(url: &str, extra: ExtraHeaders) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|error| format!("`{url}` is not a URL: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("`{url}`: only http and https URLs can be an upstream"));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_max_idle_per_host(usize::MAX);
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| format!("no HTTP client: {}", innermost(&error)))?;
        Ok(Self { label: url.to_owned(), url: parsed, client, extra })
    }

    pub fn label(&self) -> &str {
        &self.label
    }

    /// The path of the URL, as it is on the wire.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The URL with what a client put after the path of ours: a slash, a query, both or nothing.
    pub fn own(&self, tail: &str) -> Url {
        if tail.is_empty() {
            return self.url.clone();
        }
        let (slash, query) = tail.split_once('?').map_or((tail, None), |(slash, query)| (slash, Some(query)));
        let slash = if self.url.path().ends_with('/') { "" } else { slash };
        let queries: Vec<&str> = self.url.query().into_iter().chain(query).collect();
        let mark = if queries.is_empty() { "" } else { "?" };
        let text = format!("{}{}{slash}{mark}{}", split(&self.url).0, self.url.path(), queries.join("&"));
        text.parse().unwrap_or_else(|_| self.url.clone())
    }

    /// Another place of the same origin; nothing where that is none.
    pub fn elsewhere(&self, path_and_query: &str) -> Option<Url> {
        format!("{}{path_and_query}", split(&self.url).0).parse().ok()
    }

    /// What a reference in something from here points at.
    pub fn resolve(&self, reference: &str) -> Option<Url> {
        self.url.join(reference).ok()
    }

    pub fn is_origin_of(&self, url: &Url) -> bool {
        self.url.origin() == url.origin()
    }

    /// Sends a request. Another origin gets no secrets: they were given for this one (mcp-wire.md §4, token passthrough).
    ///
    /// # Errors
    /// Where no answer comes.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Option<reqwest::Body>,
    ) -> Result<reqwest::Response, UpstreamError> {
        if self.is_origin_of(&url) {
            for (name, value) in &self.extra {
                headers.insert(name, value.clone());
            }
        } else {
            for secret in [AUTHORIZATION, COOKIE, DPOP] {
                headers.remove(secret);
            }
        }
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.map_err(|error| self.failure(&error))
    }

    /// Passes a request on as it is, and its answer back: both bodies flow through.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn relay(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Option<Body>,
    ) -> Result<Response<Body>, UpstreamError> {
        let body = body.map(|body| reqwest::Body::wrap_stream(body.into_data_stream()));
        let answer = self.send(method, url, headers, body).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    pub(super) fn failure(&self, error: &reqwest::Error) -> UpstreamError {
        if error.is_connect() {
            UpstreamError::Unreachable { upstream: self.label.clone(), why: innermost(error) }
        } else {
            broken_off(&self.label, error)
        }
    }
}

/// A URL without, and from, its path: `http://host:1` and `/path?query#fragment`.
pub fn split(url: &Url) -> (&str, &str) {
    let text = url.as_str();
    let authority = text.find("://").map_or(0, |at| at + 3);
    // A URL of http has a path, be it `/`.
    text.split_at(text[authority..].find('/').map_or(text.len(), |at| authority + at))
}

pub(super) fn broken_off(label: &str, error: &reqwest::Error) -> UpstreamError {
    UpstreamError::BrokenOff { upstream: label.to_owned(), why: innermost(error) }
}

/// The cause of all causes: the outer ones repeat the URL.
fn innermost(error: &dyn std::error::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: &str) -> Site {
        drop(rustls::crypto::ring::default_provider().install_default());
        Site::new(url, Vec::new()).expect("it is a URL")
    }

    #[test]
    fn what_follows_our_path_follows_theirs() {
        for (url, tail, expected) in [
            ("http://a/mcp", "", "http://a/mcp"),
            ("http://a/mcp", "/", "http://a/mcp/"),
            ("http://a/mcp/", "/", "http://a/mcp/"),
            ("http://a/mcp", "?x=%20+1&y", "http://a/mcp?x=%20+1&y"),
            ("http://a/mcp?key=1", "/?x=2", "http://a/mcp/?key=1&x=2"),
            ("http://a/mcp?key=1", "", "http://a/mcp?key=1"),
        ] {
            assert_eq!(site(url).own(tail).as_str(), expected, "{url} {tail}");
        }
    }

    #[test]
    fn other_paths_stay_at_the_origin() {
        let site = site("http://user@a:1/x/mcp?key=1");
        for path in ["/", "/.well-known/x?y=/../z", "//evil.example/", "/a%2Fb%20c?d=%zz"] {
            let url = site.elsewhere(path).expect("a path makes a URL");
            assert_eq!(url.as_str(), format!("http://user@a:1{path}"));
            assert!(site.is_origin_of(&url));
        }
    }
}
