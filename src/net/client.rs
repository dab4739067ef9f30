//! HTTP clients that do what is asked and nothing beside it.

use std::net::IpAddr;

use reqwest::{Client, ClientBuilder, Url, redirect};

/// Returns a client for requests to `url`, to be given its timeouts. It follows no redirects, and a server on this machine is not
/// sought behind the proxy that the environment names.
pub fn client_for(url: &Url) -> ClientBuilder {
    if is_loopback(url) { direct_client() } else { Client::builder().redirect(redirect::Policy::none()) }
}

/// Returns a client that uses no proxy and follows no redirects, to be given its timeouts.
pub fn direct_client() -> ClientBuilder {
    Client::builder().redirect(redirect::Policy::none()).no_proxy()
}

/// Returns whether `url` names this machine: `localhost`, or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_localhost_or_an_address_of_this_machine() {
        for (url, expected) in [
            ("http://localhost:1/mcp", true),
            ("http://127.0.0.1", true),
            ("http://127.8.9.10:80", true),
            ("https://[::1]:1", true),
            ("http://LOCALHOST", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
            ("data:text/plain,localhost", false),
        ] {
            assert_eq!(is_loopback(&url.parse().expect(url)), expected, "{url}");
        }
    }
}
