//! Tokens that are signed: who may have signed them, for whom, and until when (RFC 7519, RFC 8725, RFC 9068).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::crypto;
use super::error::Denied;
use super::identity::{Identity, Scopes};
use super::keys::KeyStore;
use super::section::{Jwt, ScopeName};
use crate::clock::Clock;

/// What is taken for a good token.
pub(super) struct Verifier {
    keys: KeyStore,
    algorithms: Vec<Algorithm>,
    validation: Validation,
    /// Scopes that every token must have.
    needed: Vec<ScopeName>,
}

/// What a token says of itself before its signature is checked.
#[derive(Deserialize)]
struct JwtHeader {
    alg: Value,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<Value>,
    client_id: Option<Value>,
    azp: Option<Value>,
    /// A string with spaces in it (RFC 9068 §2.2.3).
    scope: Option<Value>,
    /// The scopes as a list, which some issuers send in place of `scope`.
    scp: Option<Value>,
}

impl Verifier {
    /// # Errors
    /// Where no client for the keys can be made.
    pub(super) fn new(jwt: &Jwt, clock: Clock) -> Result<Self, String> {
        crypto::install();
        let leeway = jwt.leeway.as_secs();
        let mut validation = Validation { leeway, validate_nbf: true, ..Validation::default() };
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&jwt.issuer]);
        validation.set_audience(&jwt.audience);
        Ok(Self {
            keys: KeyStore::new(jwt.jwks.clone(), jwt.max_age, clock)?,
            algorithms: jwt.algorithms.clone(),
            validation,
            needed: jwt.scopes.clone(),
        })
    }

    /// The scopes that every token must have.
    pub(super) fn needed(&self) -> Option<String> {
        let scopes: Vec<&str> = self.needed.iter().map(ScopeName::as_str).collect();
        (!scopes.is_empty()).then(|| scopes.join(" "))
    }

    pub(super) async fn verify(&self, token: &str) -> Result<Identity, Denied> {
        let header = header_of(token).ok_or(Denied::Invalid("it is neither known nor a signed JWT"))?;
        // The algorithm is one of ours, whatever the token says (RFC 8725 §3.1).
        let named = |algorithm: &&Algorithm| header.alg.as_str() == Some(name(**algorithm));
        let algorithm = self.algorithms.iter().find(named).copied();
        let algorithm = algorithm.ok_or(Denied::Invalid("it is not signed by an algorithm that is taken here"))?;
        if header.crit.is_some() {
            return Err(Denied::Invalid("its header has critical parameters that are not understood"));
        }
        let id = header.kid.as_deref();
        let set = self.keys.set(id, algorithm).await.map_err(Denied::NoKeys)?;
        for key in set.fitting(id, algorithm) {
            match self.decode(token, key, algorithm) {
                Ok(claims) => return self.identity(&claims),
                Err(ErrorKind::InvalidSignature) => {}
                Err(kind) => return Err(Denied::Invalid(reason(&kind))),
            }
        }
        Err(Denied::Invalid("no known key has signed it"))
    }

    fn decode(&self, token: &str, key: &DecodingKey, algorithm: Algorithm) -> Result<Claims, ErrorKind> {
        let validation = Validation { algorithms: vec![algorithm], ..self.validation.clone() };
        decode(token, key, &validation).map(|decoded| decoded.claims).map_err(jsonwebtoken::errors::Error::into_kind)
    }

    fn identity(&self, claims: &Claims) -> Result<Identity, Denied> {
        let names = [&claims.sub, &claims.client_id, &claims.azp].into_iter().flatten();
        let name = names.filter_map(Value::as_str).find(|name| !name.is_empty()).unwrap_or("no subject");
        let scopes = words(claims.scope.as_ref()).chain(words(claims.scp.as_ref())).map(Into::into).collect();
        let identity = Identity { name: format!("jwt:{name}").into(), scopes: Scopes::These(scopes) };
        if self.needed.iter().all(|scope| identity.has(scope.as_str())) {
            Ok(identity)
        } else {
            Err(Denied::lacks_scope("everything here", self.needed.iter().map(ScopeName::as_str)))
        }
    }
}

fn header_of(token: &str) -> Option<JwtHeader> {
    let (header, rest) = token.split_once('.')?;
    if rest.split('.').count() != 2 {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

/// The name of an algorithm in the header of a token (RFC 7518 §3.1, RFC 8037).
pub(super) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::HS384 => "HS384",
        Algorithm::HS512 => "HS512",
        Algorithm::RS256 => "RS256",
        Algorithm::RS384 => "RS384",
        Algorithm::RS512 => "RS512",
        Algorithm::PS256 => "PS256",
        Algorithm::PS384 => "PS384",
        Algorithm::PS512 => "PS512",
        Algorithm::ES256 => "ES256",
        Algorithm::ES384 => "ES384",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}

/// For the person who reads the answer; without a word of the token.
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is from another issuer",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "it does not say when it expires",
            "iss" => "it does not say who issued it",
            _ => "it does not say whom it is for",
        },
        ErrorKind::InvalidClaimFormat(_) => "its times are no times",
        _ => "it cannot be read",
    }
}

fn words(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = claim.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = claim.and_then(Value::as_str).unwrap_or_default();
    text.split(' ').chain(list.iter().filter_map(Value::as_str)).filter(|word| !word.is_empty())
}
