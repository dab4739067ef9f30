//! What a server has beside its MCP endpoint: metadata, authorization, pages. It passes as it is, both ways, and is on no
//! tape.
//!
//! Clients find the authorization of a server by asking around at its origin (2025-03-26 on, authorization), which is
//! ours for them (mcp-wire.md §4).

use std::sync::atomic::Ordering;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::header::{HOST, LOCATION, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use reqwest::Url;

use crate::event::{Level, LogLine};
use crate::headers;
use crate::proxy::error::ProxyError;
use crate::proxy::front::http::{ClientRequest, HttpFront};
use crate::proxy::front::routes::{MatchedMount, MountWarnings};
use crate::upstream::site::{RequestTarget, Site, split};

impl HttpFront {
    /// Passes a request on, and its answer back. It goes with the operator's own credentials: there is none without a client that
    /// was let in.
    pub(in crate::proxy) async fn relay(
        &self,
        site: &Site,
        place: RequestTarget,
        ClientRequest { caller: _, mut parts, body, id: _ }: ClientRequest<'_>,
    ) -> Result<Response<Body>, ProxyError> {
        let call = self.call();
        let text = format!("relayed {} {}", parts.method, parts.uri.path());
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.headers.remove(HOST);
        let mut response = site.relay(parts.method, place, parts.headers, body).await?;
        headers::strip_hop_by_hop(response.headers_mut());
        self.mounts.proxy().log(LogLine::new(Level::Debug, "proxy", format!("{text}: {}", response.status())));
        let until = self.mounts.proxy().stop().force.clone();
        Ok(response.map(|body| {
            // Over when the body is dropped.
            let pieces = body.into_data_stream().inspect(move |_| _ = &call);
            Body::from_stream(pieces.take_until(until.cancelled_owned()))
        }))
    }

    /// What of an answer of the server must not lead the client past us. `own`: the name it knows us by.
    pub(in crate::proxy) fn bring_home(
        &self,
        entry: MatchedMount<'_>,
        site: &Site,
        own: &str,
        response: &mut Response<Body>,
    ) {
        let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        if let Some(ours) = location.and_then(|location| here(site, own, entry.prefix, location)) {
            response.headers_mut().insert(LOCATION, ours);
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            self.warn_of_token_audience(&entry.mount.warnings, site, response.headers());
        }
    }

    /// Clients compare the metadata of a server with the address they know it by, which is ours: many go no further
    /// (mcp-wire.md §4, the resource trap).
    fn warn_of_token_audience(&self, warnings: &MountWarnings, site: &Site, headers: &HeaderMap) {
        let mut challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| it.to_str().ok());
        let points_there = |challenge: &str| {
            let (_, rest) = challenge.split_once("resource_metadata=")?;
            let address = rest.trim_start_matches('"').split(['"', ',', ' ']).next()?;
            site.resolve(address).filter(|url| site.is_origin_of(url))
        };
        if challenges.any(|challenge| points_there(challenge).is_some())
            && !warnings.needs_token.swap(true, Ordering::Relaxed)
        {
            let text = format!(
                "{} asks for a token, and names itself, not tapline, as what the token is for: a client that checks \
                 this will not get one. Get a token without tapline and give it with `--header 'authorization: Bearer TOKEN'`",
                site.label()
            );
            self.mounts.proxy().log(LogLine::new(Level::Warn, "proxy", text));
        }
    }
}

/// Whether a server might take a path for that of its endpoint, which is not spelled so: it may resolve dots, decode, or forgive
/// slashes and case. What gets past the scopes must not be such.
pub(in crate::proxy) fn reads_as_endpoint(path: &str, endpoint: &str) -> bool {
    fn folded(path: &str) -> Option<String> {
        let mut decoded = Vec::new();
        let mut bytes = path.bytes();
        while let Some(byte) = bytes.next() {
            decoded.push(match byte {
                b'%' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                b'\\' => b'/',
                byte => byte.to_ascii_lowercase(),
            });
        }
        decoded.make_ascii_lowercase();
        let text = String::from_utf8_lossy(&decoded).replace('\\', "/");
        let mut segments = Vec::new();
        // What stands behind a semicolon is a parameter to some.
        for segment in text.split('/').map(|segment| segment.split([';', '\0']).next().unwrap_or_default().trim()) {
            match segment {
                "" | "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        Some(segments.join("/"))
    }
    // How the server reads what cannot be decoded is not known.
    folded(path).is_none_or(|path| if path.contains('%') { true } else { Some(path) == folded(endpoint) })
}

/// Whether a request wants to leave HTTP.
pub(in crate::proxy) fn wants_websocket(headers: &HeaderMap) -> bool {
    let mut wanted = headers.get_all(UPGRADE).iter().filter_map(|value| value.to_str().ok());
    wanted.any(|value| value.to_ascii_lowercase().contains("websocket"))
}

/// A place at the server's origin as a place of ours; nothing for any other, or for one that leads to us as it is.
fn here(site: &Site, own: &str, prefix: &str, location: &str) -> Option<HeaderValue> {
    let url = site.resolve(location).filter(|url| site.is_origin_of(url))?;
    let is_relative = Url::parse(location).is_err() && !location.starts_with("//");
    let ours = match is_relative {
        false => format!("http://{own}{prefix}{}", split(&url).1),
        true if location.starts_with('/') && !prefix.is_empty() => format!("{prefix}{location}"),
        true => return None,
    };
    HeaderValue::from_str(&ours).ok()
}
