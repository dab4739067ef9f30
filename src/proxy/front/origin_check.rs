//! Which pages and hosts are let in: the listener is an MCP server in the eyes of a browser, so a page from elsewhere must not reach the
//! upstream through it (mcp-wire.md §4; MCP 2025-11-25, transports: security warning).
//!
//! Names are read by the URL parser that browsers agree on, and compared as a whole: text that is no plain host and port is
//! no known name. A request that names two hosts (`:authority` or an absolute target beside `Host`) must name one and the
//! same, and no header that decides here may stand twice. An image, a form or a script of another site sends no `Origin`; its browser
//! says `Sec-Fetch-Site` instead, and what that calls another site is refused as a foreign origin is.
//!
//! Pages of this machine (`http://localhost`, `http://127.0.0.1`, `http://[::1]`, any port) come in, and those of the address we
//! listen on; every other origin has to be named. A host name that was allowed lets no page in by itself.
//!
//! A page that was let in also gets what its browser asks before it lets the page speak to us, and wants to read on every answer (Fetch,
//! the CORS protocol). A server behind a URL answers that for itself: what it says passes as it is. Where tapline is the server (in front
//! of a command, in every error of its own) or the gate (`[auth]`), it is tapline that speaks.

use std::borrow::Cow;
use std::net::SocketAddr;

use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, HOST, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use reqwest::Url;

use crate::net::client::is_loopback;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What a script may read beside the body: all that a client of MCP acts on.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Mcp-Session-Id, Mcp-Protocol-Version, WWW-Authenticate, Retry-After, Allow, Location");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
/// Seconds for which a browser may remember the answer to a preflight: the most that browsers accept.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// A page of another network asks this as well before it speaks to this machine.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Checks `Host` and `Origin` before anything is forwarded.
#[derive(Clone, Debug, Default)]
pub struct OriginCheck {
    /// Host names, without a port, that are us beside the loopback names.
    hosts: Vec<String>,
    /// Origins that may come in beside those of this machine.
    origins: Vec<WebOrigin>,
}

/// An origin as browsers compare them: scheme, host and port; default ports and the case of letters make no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    /// `null` where there is none to compare, as of a page in a file.
    serialized: String,
    is_loopback: bool,
}

/// A host, and a port where one is given, as in `Host`.
#[derive(Debug, PartialEq, Eq)]
struct HostAndPort {
    host: Cow<'static, str>,
    port: u16,
    is_loopback: bool,
}

impl WebOrigin {
    /// An origin as people write it: a slash at its end does not hurt.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        Self::exact(trimmed.strip_suffix('/').unwrap_or(trimmed)).ok_or_else(|| {
            "an origin is a scheme, a host and perhaps a port, such as `https://tool.example`".to_owned()
        })
    }

    /// An origin as it stands in a header.
    fn exact(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self { serialized: text.to_owned(), is_loopback: false });
        }
        let (scheme, host) = text.split_once("://")?;
        if !is_plain(host) {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty())?;
        let is_web = matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https");
        // Of a scheme that is no web's, such as that of an extension, the URL standard knows no origin: host and port are it.
        let serialized = match is_web {
            true => url.origin().ascii_serialization(),
            false => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}://{}{port}", url.scheme(), host.to_ascii_lowercase())
            }
        };
        Some(Self { is_loopback: is_web && is_loopback(&url), serialized })
    }
}

impl HostAndPort {
    fn parse(text: &str) -> Option<Self> {
        Self::of_this_machine(text).or_else(|| Self::of_url(text))
    }

    /// The names of this machine as everybody writes them, and nothing else: each request has one, and the parser of URLs takes longer
    /// over it than all else that is done to let the request in.
    fn of_this_machine(text: &str) -> Option<Self> {
        let (host, port) = LOOPBACK.iter().find_map(|host| Some((*host, text.strip_prefix(host)?)))?;
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            None if port.is_empty() => 80,
            _ => return None,
        };
        Some(Self { host: Cow::Borrowed(host), port, is_loopback: true })
    }

    fn of_url(text: &str) -> Option<Self> {
        if !is_plain(text) {
            return None;
        }
        let url = Url::parse(&format!("http://{text}/")).ok()?;
        let host = url.host_str().filter(|_| url.path() == "/")?.to_owned();
        Some(Self { host: host.into(), port: url.port_or_known_default()?, is_loopback: is_loopback(&url) })
    }
}

/// Whether text is of nothing but what a host and a port are written with: the parser of URLs forgives much else.
fn is_plain(text: &str) -> bool {
    let is_of_a_host =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && !text.starts_with(':') && text.bytes().all(is_of_a_host)
}

impl OriginCheck {
    /// For a listener at this address. A wildcard address is reachable under names we cannot know: they must be given.
    pub fn new(listen: SocketAddr) -> Self {
        let own = Some(listen).filter(|own| !own.ip().is_unspecified());
        let own = own.and_then(|own| HostAndPort::parse(&own.to_string()));
        let origin = own.as_ref().and_then(|own| WebOrigin::parse(&format!("http://{}:{}", own.host, own.port)).ok());
        Self {
            hosts: own.into_iter().map(|own| own.host.into_owned()).collect(),
            origins: origin.into_iter().collect(),
        }
    }

    /// Lets more in.
    ///
    /// # Errors
    /// Where a name is no host, or an origin none.
    pub fn allowing(mut self, hosts: &[String], origins: &[String]) -> Result<Self, String> {
        let named = hosts.iter().map(|name| {
            // A port does not hurt, and says nothing: names are compared.
            let bare = if name.contains("::") && !name.starts_with('[') { format!("[{name}]") } else { name.clone() };
            let host = HostAndPort::parse(bare.trim()).map(|it| it.host.into_owned());
            host.ok_or_else(|| format!("`{name}` is not a host name, such as `devbox.local`"))
        });
        self.hosts.extend(named.collect::<Result<Vec<_>, _>>()?);
        let given = origins.iter().map(|text| WebOrigin::parse(text).map_err(|why| format!("`{text}`: {why}")));
        self.origins.extend(given.collect::<Result<Vec<_>, _>>()?);
        Ok(self)
    }

    /// `authority`: that of the request line, where it has one.
    ///
    /// # Errors
    /// Why the request must not go on, for the person who reads the 403.
    pub fn check(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), String> {
        let host = self.our_name(headers, authority)?;
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => self.check_site(headers, &host),
            (Some(_), Some(_)) => Err("there is more than one `Origin`".to_owned()),
            (Some(origin), None) => {
                let text = String::from_utf8_lossy(origin.as_bytes());
                match WebOrigin::exact(&text) {
                    Some(origin) if origin.is_loopback || self.origins.contains(&origin) => Ok(()),
                    _ => Err(format!("origin `{text}` may not use this proxy; `--allow-origin` admits it")),
                }
            }
        }
    }

    /// The name by which a request knows us, which must be one of ours, and one only.
    fn our_name(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<HostAndPort, String> {
        let mut given = headers.get_all(HOST).iter().map(|host| String::from_utf8_lossy(host.as_bytes()));
        let (given, another) = (given.next(), given.next());
        if another.is_some() {
            return Err("there is more than one `Host`".to_owned());
        }
        let named = |text: &str| match HostAndPort::parse(text) {
            Some(host) if host.is_loopback || self.hosts.iter().any(|it| **it == *host.host) => Ok(host),
            _ => Err(format!("host `{text}` is not this proxy; `--allow-host` admits another name")),
        };
        match (&given, authority) {
            (None, authority) => named(authority.unwrap_or_default()),
            (Some(host), None) => named(host),
            (Some(host), Some(authority)) => {
                let (ours, theirs) = (named(host)?, named(authority)?);
                if ours == theirs {
                    return Ok(ours);
                }
                Err(format!("`Host` names `{host}` and the request line `{authority}`: which is not clear"))
            }
        }
    }

    /// What a browser says of a request that has no origin (Fetch Metadata). Other clients do not send it.
    fn check_site(&self, headers: &HeaderMap, host: &HostAndPort) -> Result<(), String> {
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        let site = match (sites.next(), sites.next()) {
            (None, _) => return Ok(()),
            (Some(_), Some(_)) => return Err("there is more than one `Sec-Fetch-Site`".to_owned()),
            (Some(site), None) => String::from_utf8_lossy(site.as_bytes()).trim().to_ascii_lowercase(),
        };
        match site.as_str() {
            "same-origin" | "none" => Ok(()),
            // The site of a loopback name is this machine, whose pages come in. Under any other name it may be a neighbour's.
            "same-site" if host.is_loopback => Ok(()),
            _ => Err(format!(
                "a page of another site (`Sec-Fetch-Site: {site}`) may not use this proxy; `--allow-origin` admits its scripts"
            )),
        }
    }
}

/// An answer that tapline made, and no server.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct OwnAnswer;

/// The origin of a page that was let in.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct AdmittedOrigin(HeaderValue);

impl AdmittedOrigin {
    /// Where a request that was let in is a page's.
    pub(in crate::proxy) fn of(headers: &HeaderMap) -> Option<Self> {
        headers.get(ORIGIN).cloned().map(Self)
    }

    /// Lets the page read an answer.
    pub(in crate::proxy) fn expose(self, headers: &mut HeaderMap) {
        if !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.0);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Whether a browser asks, without credentials, whether it may send them.
pub(in crate::proxy) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a question of what may be done, where no server is asked.
pub(in crate::proxy) fn options(request: &HeaderMap) -> Response<Body> {
    let mut response = preflight(request);
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

/// The answer to a preflight of a page that was let in: whatever it asks for.
pub(in crate::proxy) fn preflight(request: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if request.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    headers.insert(VARY, HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"));
    response.extensions_mut().insert(OwnAnswer);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin_check() -> OriginCheck {
        let origins = ["https://tool.example", "HTTPS://Other.Example:443/", "chrome-extension://AbCd"];
        let check = OriginCheck::new(([127, 0, 0, 1], 7070).into());
        check.allowing(&["dev.box".to_owned()], &origins.map(str::to_owned)).unwrap()
    }

    #[test]
    fn names_of_this_machine_are_read_as_the_parser_of_urls_does() {
        for host in LOOPBACK {
            for port in ["", ":", ":0", ":80", ":07070", ":65535", ":65536", ":7070x", ":+1", "x", ".", " ", ":1:2"] {
                let text = format!("{host}{port}");
                let parsed = HostAndPort::of_this_machine(&text);
                assert!(parsed.is_none() || parsed == HostAndPort::of_url(&text), "{text}");
                assert_eq!(HostAndPort::parse(&text), HostAndPort::of_url(&text), "{text}");
            }
        }
        assert_eq!(HostAndPort::of_this_machine("127.0.0.1:7070").map(|it| it.port), Some(7070));
        assert_eq!(HostAndPort::of_this_machine("LOCALHOST"), None);
    }

    fn admits(headers: &[(&'static str, &str)], authority: Option<&str>) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        origin_check().check(&map, authority).is_ok()
    }

    #[test]
    fn check_admits_loopback_and_allowed_hosts() {
        for host in
            ["localhost", "localhost:7070", "127.0.0.1:7070", "127.0.0.2", "[::1]:7070", "Dev.Box:1", "LOCALHOST"]
        {
            assert!(admits(&[("host", host)], None), "{host}");
            assert!(admits(&[], Some(host)), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7070",
            "",
            "10.0.0.1",
            "localhost:7070@evil.example",
            "evil.example@localhost",
            "localhost/evil.example",
            "localhost#.evil.example",
            "localhost?x",
            "localhost\\evil.example",
            "localhost, evil.example",
            "localhost evil.example",
            "localhost:70700",
            "localhost:x",
            "[::1",
            "[::1]evil",
            "local%68ost",
            ":7070",
            "localhost.",
        ] {
            assert!(!admits(&[("host", host)], None), "{host}");
            assert!(!admits(&[], Some(host)), "{host}");
        }
    }

    #[test]
    fn check_wants_one_name_in_both_places() {
        assert!(admits(&[("host", "localhost:7070")], Some("localhost:7070")));
        assert!(admits(&[("host", "localhost")], Some("LocalHost:80")));
        assert!(!admits(&[("host", "localhost:7070")], Some("evil.example")));
        assert!(!admits(&[("host", "evil.example")], Some("localhost:7070")));
        assert!(!admits(&[("host", "127.0.0.1:7070")], Some("localhost:7070")));
        assert!(!admits(&[("host", "localhost:7070")], Some("localhost:7071")));
        assert!(!admits(&[("host", "localhost"), ("host", "localhost")], None));
        assert!(!admits(
            &[("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://localhost")],
            None
        ));
    }

    #[test]
    fn check_compares_origins_as_browsers_do() {
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:7070",
            "https://[::1]:1",
            "https://tool.example",
            "https://TOOL.example:443",
            "https://other.example",
            "chrome-extension://abcd",
        ] {
            assert!(admits(&[("host", "localhost"), ("origin", origin)], None), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://tool.example",
            "https://tool.example:444",
            "https://tool.example.evil.example",
            "http://localhost.evil.example",
            "https://tool.example/",
            "https://tool.example@evil.example",
            "https://tool.example, https://evil.example",
            "http:localhost",
            "localhost",
            "ftp://localhost",
            "chrome-extension://localhost",
            // A host that is allowed is not an origin that is.
            "http://dev.box",
            "http://dev.box:7070",
        ] {
            assert!(!admits(&[("host", "localhost"), ("origin", origin)], None), "{origin}");
        }
    }

    #[test]
    fn check_refuses_other_sites_without_an_origin() {
        for (host, site, admitted) in [
            ("localhost", "cross-site", false),
            ("localhost", "Cross-Site", false),
            ("localhost", "unheard-of", false),
            ("localhost", "same-site", true),
            ("dev.box", "same-site", false),
            ("dev.box", "same-origin", true),
            ("localhost", "none", true),
        ] {
            assert_eq!(admits(&[("host", host), ("sec-fetch-site", site)], None), admitted, "{host} {site}");
        }
        let twice = [("host", "localhost"), ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
        assert!(!admits(&twice, None));
        // The origin is known, and more than the site says.
        for (origin, admitted) in [("https://tool.example", true), ("https://evil.example", false), ("null", false)] {
            let headers = [("host", "localhost"), ("origin", origin), ("sec-fetch-site", "cross-site")];
            assert_eq!(admits(&headers, None), admitted, "{origin}");
        }
    }

    #[test]
    fn origin_check_takes_no_half_names() {
        let of = |hosts: &[&str], origins: &[&str]| {
            let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            OriginCheck::new(([0, 0, 0, 0], 7070).into()).allowing(&owned(hosts), &owned(origins))
        };
        assert!(of(&["dev.box:7070", "[fe80::1]", "fe80::1"], &["http://localhost:5173/", "null"]).is_ok());
        for host in ["http://dev.box", "dev box", "*", ""] {
            assert!(of(&[host], &[]).is_err(), "{host}");
        }
        for origin in ["tool.example", "https://tool.example/path", "*", "https://*.example", ""] {
            assert!(of(&[], &[origin]).is_err(), "{origin}");
        }
    }
}
