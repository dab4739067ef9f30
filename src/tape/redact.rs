//! What of an upstream may be written down.

use crate::envelope::REDACTED;

/// Returns an upstream as it may be written down: no user and password or query of a URL, no value of a secret argument.
pub fn without_secrets(upstream: &str) -> String {
    let mut secret_follows = false;
    let words = upstream.split(' ').map(|word| {
        let hide = std::mem::take(&mut secret_follows) && !word.starts_with('-');
        if hide {
            return REDACTED.to_owned();
        }
        match word.split_once('=') {
            Some((name, _)) if is_secret(name) && !word.contains("://") => format!("{name}={REDACTED}"),
            _ if word.contains("://") => without_url_secrets(word),
            _ => {
                secret_follows = word.starts_with('-') && is_secret(word);
                word.to_owned()
            }
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "passwd", "key", "auth", "bearer", "cookie"].iter().any(|word| name.contains(word))
}

fn without_url_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("asked before");
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{REDACTED}@{host}"),
        None => authority.to_owned(),
    };
    let path = match path.split_once('?') {
        Some((path, _)) => format!("{path}?{REDACTED}"),
        None => path.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_secrets_hides_credentials() {
        for (upstream, expected) in [
            ("http://127.0.0.1:9000/mcp", "http://127.0.0.1:9000/mcp"),
            ("https://me:pw@host/mcp", "https://[redacted]@host/mcp"),
            ("https://host/mcp?api_key=1#f", "https://host/mcp?[redacted]"),
            ("server --token abc --verbose", "server --token [redacted] --verbose"),
            ("API_KEY=abc server --password=x dir", "API_KEY=[redacted] server --password=[redacted] dir"),
            ("server --key --fast", "server --key --fast"),
        ] {
            assert_eq!(without_secrets(upstream), expected, "{upstream}");
        }
    }
}
