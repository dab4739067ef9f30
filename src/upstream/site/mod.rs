//! The place that an upstream URL names: its origin, and everything else that is served there.

mod client;
mod near;
mod redirect;

use std::error::Error;

use axum::body::Body as Relayed;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use reqwest::Url;

pub use self::client::RequestTarget;
pub(super) use self::client::ResponseBody;
use self::client::{Outbound, RequestFailure, SiteClient};
use super::UpstreamError;
use super::output::LONGEST_MESSAGE;
use crate::net::innermost_cause;
use crate::secret::Label;

const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Headers the operator gives for the upstream, such as a token; they win over the client's.
pub type ExtraHeaders = Vec<(HeaderName, HeaderValue)>;

/// An upstream URL, and the way there.
pub struct Site {
    url: Url,
    place: RequestTarget,
    label: Label,
    client: SiteClient,
    /// Where the URL has moved to, within its origin: where tapline is the client.
    moved: Mutex<Option<RequestTarget>>,
    extra: ExtraHeaders,
    /// Bytes that a message from here may have.
    longest: usize,
}

impl Site {
    /// # Errors
    /// Where the URL is none, or not `http` or `https`; or where the TLS roots cannot be loaded.
    pub fn new(url: &str, extra: ExtraHeaders) -> Result<Self, String> {
        let parsed = parse(url)?;
        let client = SiteClient::new(&parsed)?;
        let place = client
            .place(without_fragment(parsed.as_str()))
            .ok_or_else(|| format!("`{}` is not a URL", Label::of_url(url)))?;
        let (label, longest) = (Label::of_url(url), LONGEST_MESSAGE);
        Ok(Self { label, url: parsed, place, client, moved: Mutex::default(), extra, longest })
    }

    /// Returns this site with another limit on the length of its messages, in bytes.
    #[must_use]
    pub fn with_longest(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    pub(super) fn too_long(&self) -> UpstreamError {
        too_long(&self.label, self.longest)
    }

    /// The URL, for people.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// The path of the URL, as it is on the wire.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The URL with what a client put after the path of ours: a slash, a query, both or nothing.
    pub fn own(&self, tail: &str) -> RequestTarget {
        if tail.is_empty() {
            return self.place.clone();
        }
        let (slash, query) = tail.split_once('?').map_or((tail, None), |(slash, query)| (slash, Some(query)));
        let slash = if self.url.path().ends_with('/') { "" } else { slash };
        let queries: Vec<&str> = self.url.query().into_iter().chain(query).collect();
        let mark = if queries.is_empty() { "" } else { "?" };
        let text = format!("{}{}{slash}{mark}{}", split(&self.url).0, self.url.path(), queries.join("&"));
        self.client.place(&text).unwrap_or_else(|| self.place.clone())
    }

    /// Returns another place of the upstream's origin; `None` where the path and query make no URL.
    pub fn elsewhere(&self, path_and_query: &str) -> Option<RequestTarget> {
        self.client.place(&format!("{}{path_and_query}", split(&self.url).0))
    }

    /// What a reference in something from here points at.
    pub fn resolve(&self, reference: &str) -> Option<Url> {
        self.url.join(reference).ok()
    }

    /// Whether a URL has its scheme, host and port.
    pub fn is_origin_of(&self, url: &Url) -> bool {
        self.url.origin() == url.origin()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Where no answer comes.
    pub(super) async fn send(
        &self,
        method: Method,
        place: RequestTarget,
        mut headers: HeaderMap,
        body: Outbound,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        for (name, value) in &self.extra {
            headers.insert(name, value.clone());
        }
        self.client.send(method, place, headers, body).await.map_err(|failure| self.failed(failure))
    }

    /// Sends a request where something from here points at, be it here. Another origin gets no secrets: they were given for
    /// this one (mcp-wire.md §4, token passthrough).
    ///
    /// # Errors
    /// Where no answer comes.
    pub(super) async fn send_to(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Outbound,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let address = without_fragment(url.as_str());
        let no_place =
            || RequestFailure { unreachable: true, why: format!("`{}` is not a URL", Label::of_url(url.as_str())) };
        if self.is_origin_of(url) {
            let place = self.client.place(address).ok_or_else(no_place).map_err(|failure| self.failed(failure))?;
            return self.send(method, place, headers, body).await;
        }
        for secret in [AUTHORIZATION, COOKIE, DPOP] {
            headers.remove(secret);
        }
        let client = SiteClient::new(url).map_err(|why| self.failed(RequestFailure { unreachable: true, why }))?;
        let place = client.place(address).ok_or_else(no_place).map_err(|failure| self.failed(failure))?;
        client.send(method, place, headers, body).await.map_err(|failure| self.failed(failure))
    }

    /// Passes a request on as it is, and its answer back: both bodies flow through.
    ///
    /// # Errors
    /// Where no answer comes.
    pub async fn relay(
        &self,
        method: Method,
        place: RequestTarget,
        headers: HeaderMap,
        body: Relayed,
    ) -> Result<Response<Relayed>, UpstreamError> {
        let body = if body.is_end_stream() { Outbound::Whole(bytes::Bytes::new()) } else { Outbound::Relayed(body) };
        let response = self.send(method, place, headers, body).await?;
        Ok(response.map(|body| Relayed::from_stream(body.into_data_stream())))
    }

    fn failed(&self, failure: RequestFailure) -> UpstreamError {
        let (upstream, why) = (self.label.clone(), failure.why);
        if failure.unreachable {
            UpstreamError::Unreachable { upstream, why }
        } else {
            UpstreamError::NoAnswer { upstream, why }
        }
    }
}

/// A URL as that of an upstream.
///
/// # Errors
/// Where it is none, or not `http` or `https`.
pub fn parse(url: &str) -> Result<Url, String> {
    let parsed = Url::parse(url).map_err(|error| {
        let label = Label::of_url(url);
        match url.split_once('/').map_or(url, |(host, _)| host) {
            _ if url.contains("://") => format!("`{label}` is not a URL: {error}"),
            host if host.contains('.') => format!("`{label}` is not a URL; did you mean `https://{label}`?"),
            _ => format!("`{label}` is not a URL; one is such as `http://127.0.0.1:9000/mcp`"),
        }
    })?;
    if matches!(parsed.scheme(), "http" | "https") {
        Ok(parsed)
    } else {
        Err(format!("`{}`: only http and https URLs can be an upstream", Label::of_url(url)))
    }
}

fn without_fragment(address: &str) -> &str {
    address.split('#').next().unwrap_or(address)
}

pub(super) fn broken_off(label: &Label, error: &(dyn Error + Send + Sync)) -> UpstreamError {
    UpstreamError::BrokenOff { upstream: label.clone(), why: innermost_cause(error) }
}

pub(super) fn too_long(label: &Label, longest: usize) -> UpstreamError {
    UpstreamError::TooLong { upstream: label.clone(), most: longest >> 20 }
}

/// A URL without, and from, its path: `http://host:1` and `/path?query#fragment`.
pub fn split(url: &Url) -> (&str, &str) {
    let text = url.as_str();
    let authority = text.find("://").map_or(0, |at| at + 3);
    // A URL of http has a path, be it `/`.
    text.split_at(text[authority..].find('/').map_or(text.len(), |at| authority + at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: &str) -> Site {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Site::new(url, Vec::new()).expect("it is a URL")
    }

    fn address(place: &RequestTarget) -> String {
        match place {
            RequestTarget::Near(uri) => uri.to_string(),
            RequestTarget::Far(url) => url.to_string(),
        }
    }

    #[test]
    fn site_own_appends_slash_and_query() {
        for (url, tail, expected) in [
            ("http://a/mcp", "", "http://a/mcp"),
            ("http://a/mcp", "/", "http://a/mcp/"),
            ("http://a/mcp/", "/", "http://a/mcp/"),
            ("http://a/mcp", "?x=%20+1&y", "http://a/mcp?x=%20+1&y"),
            ("http://a/mcp?key=1", "/?x=2", "http://a/mcp/?key=1&x=2"),
            ("http://a/mcp?key=1", "", "http://a/mcp?key=1"),
        ] {
            assert_eq!(address(&site(url).own(tail)), expected, "{url} {tail}");
        }
    }

    #[test]
    fn site_elsewhere_stays_at_the_origin() {
        for origin in ["http://user@a:1", "http://127.0.0.1:1"] {
            let site = site(&format!("{origin}/x/mcp?key=1"));
            for path in ["/", "/.well-known/x?y=/../z", "//evil.example/", "/a%2Fb%20c?d=%zz"] {
                let place = site.elsewhere(path).expect("a path makes a place");
                assert_eq!(address(&place), format!("{origin}{path}"));
            }
        }
        let near = site("http://127.0.0.1:1/mcp").elsewhere("/a/../b|?q='{}'").expect("a path makes a place");
        assert_eq!(address(&near), "http://127.0.0.1:1/a/../b|?q='{}'");
    }
}
