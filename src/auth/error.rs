//! Why the configuration of `[auth]` cannot be used, and why a client is refused.

use http::HeaderName;

use super::keys::AFTER_A_FAILURE;

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
    /// Other credentials, or none behind their name: as good as none (RFC 9110 §11.6.1).
    #[error("a token is needed: `authorization` must be `Bearer` and the token")]
    NotBearer,
    #[error("the token cannot be taken: {0}")]
    Malformed(&'static str),
    #[error("the token is refused: {0}")]
    Invalid(&'static str),
    #[error("{what} needs the scope `{}`", needed.join(" "))]
    Scope { what: String, needed: Vec<String> },
    /// Some servers may read what we cannot: it must not get past the scopes.
    #[error("what this asks for cannot be read for certain, and so not whether the token has the scope for it")]
    Unclear,
    /// Clients are told no more than that: where the keys are is the operator's business.
    #[error("the token cannot be verified now: the keys of its issuer are unavailable")]
    NoKeys(String),
}

impl Denied {
    /// After so many seconds it may be otherwise.
    pub fn retry_after(&self) -> Option<u64> {
        matches!(self, Self::NoKeys(_)).then_some(AFTER_A_FAILURE.as_secs())
    }

    /// What the operator is told of it.
    pub fn for_the_operator(&self) -> String {
        match self {
            Self::NoKeys(why) => format!("{self}: {why}"),
            _ => self.to_string(),
        }
    }

    /// A token that is good and lacks one of the scopes in `needed`.
    pub(super) fn lacks_scope(what: impl Into<String>, needed: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Scope { what: what.into(), needed: needed.into_iter().map(Into::into).collect() }
    }
}
