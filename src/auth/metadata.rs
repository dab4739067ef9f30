//! What clients are told about where to get a token: the metadata of a protected resource (RFC 9728), and the challenge
//! that points there (RFC 6750 §3).

use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::Auth;
use super::error::Denied;
use super::section::ScopeName;

/// RFC 9728 §3.1: between the host and the path of what it describes.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

impl Auth {
    /// The path of the resource whose metadata is asked for, where that is what a path means.
    pub fn described(path: &str) -> Option<&str> {
        path.strip_prefix(WELL_KNOWN).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The metadata of what is at a path. `own`: the name that the client knows us by.
    pub fn metadata(&self, own: &str, path: &str) -> String {
        let scopes: Vec<&str> = self.scopes.iter().map(ScopeName::as_str).collect();
        let mut document = json!({ "resource": self.resource(own, path), "resource_name": "tapline" });
        if !self.authorization_servers.is_empty() {
            document["authorization_servers"] = json!(self.authorization_servers);
        }
        if !scopes.is_empty() {
            document["scopes_supported"] = json!(scopes);
        }
        let methods: &[&str] = if self.header == AUTHORIZATION { &["header"] } else { &[] };
        document["bearer_methods_supported"] = json!(methods);
        document.to_string()
    }

    /// An address that has a path is that of the endpoint; one without stands for all there is here.
    fn resource(&self, own: &str, path: &str) -> String {
        match &self.resource {
            Some(resource) if resource.0.path() != "/" => resource.as_str().to_owned(),
            Some(resource) => format!("{}{path}", resource.as_str()),
            None => format!("http://{own}{path}"),
        }
    }

    /// Where the metadata of what is at a path is.
    fn metadata_address(&self, own: &str, path: &str) -> String {
        match &self.resource {
            Some(resource) => {
                let path = if resource.0.path() == "/" { path } else { resource.0.path() };
                format!("{}{WELL_KNOWN}{path}", resource.0.origin().ascii_serialization())
            }
            None => format!("http://{own}{WELL_KNOWN}{path}"),
        }
    }

    /// What a refused client is to do, where it can do anything. `path`: what it asked for.
    pub fn challenge(&self, denied: &Denied, own: &str, path: &str) -> Option<HeaderValue> {
        let (error, scope) = match denied {
            // A client that has shown nothing has done nothing wrong (RFC 6750 §3.1).
            Denied::Missing(_) | Denied::NotBearer => (None, self.usual_scope()),
            Denied::Malformed(_) => (Some("invalid_request"), None),
            Denied::Invalid(_) => (Some("invalid_token"), self.usual_scope()),
            Denied::Scope { needed, .. } => (Some("insufficient_scope"), Some(needed.join(" "))),
            Denied::Unclear | Denied::NoKeys(_) => return None,
        };
        let mut challenge = if self.header == AUTHORIZATION {
            format!(r#"Bearer realm="tapline", resource_metadata="{}""#, self.metadata_address(own, path))
        } else {
            format!(r#"ApiKey realm="tapline", header="{}""#, self.header)
        };
        if let Some(error) = error {
            challenge.push_str(&format!(r#", error="{error}", error_description="{}""#, quoted(&denied.to_string())));
        }
        if let Some(scope) = scope {
            challenge.push_str(&format!(r#", scope="{scope}""#));
        }
        HeaderValue::from_str(&challenge).ok()
    }

    /// What a token must have for anything at all.
    fn usual_scope(&self) -> Option<String> {
        self.verifier.as_ref().and_then(super::Verifier::needed)
    }
}

impl Denied {
    /// The HTTP status that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) | Self::NotBearer | Self::Invalid(_) => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) | Self::Unclear => StatusCode::BAD_REQUEST,
            Self::Scope { .. } => StatusCode::FORBIDDEN,
            Self::NoKeys(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Only what may stand between quotes there (RFC 6750 §3).
fn quoted(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~')).map(|c| if matches!(c, '"' | '\\') { '\'' } else { c }).collect()
}
