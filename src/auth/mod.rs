//! Authentication of clients: they present a token that is known beforehand, or one that an issuer has signed, and get no further
//! than its scopes go. Off where nothing is configured.
//!
//! tapline is what the token is for: it goes no further, and the server behind gets credentials of the operator's only
//! (2025-11-25, authorization: token passthrough).
//!
//! The token is taken out of the headers before anything else sees them: no tape, screen, log or server can have it,
//! whatever is added later. A session belongs to the name that opened it, also after a restart. Keys that are
//! unavailable are a 503, never a 401: clients must not throw good tokens away.

mod crypto;
mod error;
mod identity;
mod jwt;
mod key_set;
mod keys;
mod metadata;
mod scopes;
pub mod section;
mod tokens;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

pub use self::error::{AuthError, Denied};
pub use self::identity::Identity;
use self::identity::Scopes;
use self::jwt::Verifier;
pub use self::section::Section;
use self::section::{AbsoluteUrl, KnownToken, Requirement, ScopeName};
use self::tokens::TokenHash;
use crate::clock::Clock;

/// Checks the tokens of clients, and says what each may do: who it is, its scopes, the challenge where it is refused.
pub struct Auth {
    header: HeaderName,
    tokens: Vec<KnownToken>,
    verifier: Option<Verifier>,
    require: Vec<Requirement>,
    resource: Option<AbsoluteUrl>,
    authorization_servers: Vec<String>,
    scopes: Vec<ScopeName>,
}

impl Auth {
    /// Nothing where the section is empty.
    ///
    /// # Errors
    /// Where no token could be valid, or no client for the keys can be made.
    pub fn new(section: Section, clock: Clock) -> Result<Option<Self>, AuthError> {
        if section.is_empty() {
            return Ok(None);
        }
        section.check()?;
        let Section { tokens, header, jwt, require, resource, authorization_servers } = section;
        let verifier = jwt.as_ref().map(|jwt| Verifier::new(jwt, clock)).transpose().map_err(AuthError::Keys)?;
        let mut scopes = jwt.as_ref().map(|jwt| jwt.scopes.clone()).unwrap_or_default();
        for scope in require.iter().flat_map(|requirement| &requirement.scopes) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        let mut servers: Vec<String> = authorization_servers.iter().map(|server| server.as_str().to_owned()).collect();
        if servers.is_empty() {
            servers.extend(jwt.map(|jwt| jwt.issuer.to_string()));
        }
        let header = header.0;
        Ok(Some(Self { header, tokens, verifier, require, resource, authorization_servers: servers, scopes }))
    }

    /// Takes the token out of a request, and says whose it is. Whatever comes of it, no credentials are left in the headers.
    ///
    /// # Errors
    /// Where there is no token, or it is not taken here.
    pub async fn identify(&self, headers: &mut HeaderMap) -> Result<Identity, Denied> {
        let values: Vec<_> = headers.get_all(&self.header).iter().cloned().collect();
        self.strip(headers);
        let value = match &values[..] {
            [] => return Err(Denied::Missing(self.header.clone())),
            [value] => value.as_bytes(),
            _ => return Err(Denied::Malformed("there is more than one")),
        };
        let token = if self.header == AUTHORIZATION { bearer(value)? } else { value };
        let hash = TokenHash::of(token);
        if let Some(place) = hash.find(self.tokens.iter().map(|token| &token.hash)) {
            return Ok(known(&self.tokens[place]));
        }
        match (&self.verifier, std::str::from_utf8(token)) {
            (Some(verifier), Ok(token)) => verifier.verify(token).await,
            _ => Err(Denied::Invalid("unknown token")),
        }
    }

    /// Takes credentials out of a request that needs none.
    pub fn strip(&self, headers: &mut HeaderMap) {
        headers.remove(&self.header);
        headers.remove(AUTHORIZATION);
    }
}

fn known(token: &KnownToken) -> Identity {
    let scopes = match &token.scopes {
        None => Scopes::All,
        Some(scopes) => Scopes::These(scopes.iter().map(|scope| scope.as_str().into()).collect()),
    };
    Identity { name: format!("token:{}", token.name).into(), scopes }
}

/// Returns the token of a value of `Authorization` (RFC 6750 §2.1).
fn bearer(value: &[u8]) -> Result<&[u8], Denied> {
    const SCHEME: &[u8] = b"bearer ";
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && !token.trim_ascii().is_empty() => {
            Ok(token.trim_ascii())
        }
        _ => Err(Denied::NotBearer),
    }
}

#[cfg(test)]
mod tests;
