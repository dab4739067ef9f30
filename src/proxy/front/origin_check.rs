//! Who may come in: the listener is an MCP server in the eyes of a browser, so a page from elsewhere must not reach the
//! upstream through it (mcp-wire.md §4; MCP 2025-11-25, transports: security warning).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// Checks `Host` and `Origin` before anything is forwarded.
#[derive(Clone, Debug, Default)]
pub struct OriginCheck {
    /// Host names, without a port, that are us beside the loopback names.
    hosts: Vec<String>,
    /// Origins, whole, that may come in beside our own.
    origins: Vec<String>,
}

impl OriginCheck {
    /// For a listener at this address. A wildcard address is reachable under names we cannot know: they must be given.
    pub fn new(listen: SocketAddr, hosts: &[String], origins: &[String]) -> Self {
        let own = (!listen.ip().is_unspecified()).then(|| listen.ip().to_string());
        Self { hosts: hosts.iter().cloned().chain(own).collect(), origins: origins.to_vec() }
    }

    /// # Errors
    /// Why the request must not go on, for the person who reads the 403.
    pub fn check(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), String> {
        let host = headers.get(HOST).map(|host| host.to_str().unwrap_or_default()).or(authority).unwrap_or_default();
        if !self.is_us(host) {
            return Err(format!("host `{host}` is not this proxy; `--allow-host` admits another name"));
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let own = origin.split_once("://").is_some_and(|(_, host)| self.is_us(host));
        if own || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        Err(format!("origin `{origin}` may not use this proxy; `--allow-origin` admits it"))
    }

    fn is_us(&self, host: &str) -> bool {
        let name = without_port(host);
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split_once(']').map_or(inner, |(address, _)| address);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origin: Option<&str>) -> bool {
        let origin_check = OriginCheck::new(
            ([127, 0, 0, 1], 7070).into(),
            &["dev.box".to_owned()],
            &["https://tool.example".to_owned()],
        );
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        origin_check.check(&headers, None).is_ok()
    }

    #[test]
    fn check_admits_loopback_and_allowed_hosts() {
        for host in ["localhost", "localhost:7070", "127.0.0.1:7070", "127.0.0.2", "[::1]:7070", "Dev.Box:1"] {
            assert!(check(host, None), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7070", "", "10.0.0.1"] {
            assert!(!check(host, None), "{host}");
        }
    }

    #[test]
    fn check_refuses_foreign_origins() {
        for origin in ["http://localhost:3000", "http://127.0.0.1:7070", "https://tool.example"] {
            assert!(check("localhost", Some(origin)), "{origin}");
        }
        for origin in
            ["https://evil.example", "null", "https://tool.example.evil.example", "http://localhost.evil.example"]
        {
            assert!(!check("localhost", Some(origin)), "{origin}");
        }
    }
}
