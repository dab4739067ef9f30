//! Why the configuration of `[auth]` cannot be used, and why a client is refused.

use http::HeaderName;

/// Why tapline does not start with this `[auth]`.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("`[auth]` admits no client; add `tokens` or `jwt`")]
    NobodyComesIn,
    #[error("`auth.jwt.jwks`: {0}")]
    Keys(String),
}

/// Why a request is refused. Nothing of the token is in it.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("a token is needed, in the header `{0}`")]
    Missing(HeaderName),
    #[error("the token cannot be taken: {0}")]
    Malformed(&'static str),
    #[error("the token is refused: {0}")]
    Invalid(&'static str),
    #[error("{what} needs the scope `{}`", needed.join(" "))]
    Scope { what: String, needed: Vec<String> },
    /// Some servers may read what we cannot: it must not get past the scopes.
    #[error("what this asks for cannot be read for certain, and so not whether the token has the scope for it")]
    Unclear,
    #[error("the token cannot be verified now: {0}")]
    NoKeys(String),
}

impl Denied {
    /// A token that is good and lacks one of the scopes in `needed`.
    pub(super) fn lacks_scope(what: impl Into<String>, needed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Scope { what: what.into(), needed: needed.into_iter().map(Into::into).collect() }
    }
}
