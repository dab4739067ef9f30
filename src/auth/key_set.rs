//! A set of keys as it was read: which of them may have signed a token (RFC 7517).

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys that may have signed tokens, as one answer of their source had them.
#[derive(Clone, Default)]
pub(super) struct KeySet {
    keys: Vec<VerifyingKey>,
}

#[derive(Clone)]
struct VerifyingKey {
    id: Option<Box<str>>,
    /// The algorithms whose signatures it can check.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    /// # Errors
    /// Where there is no file with a set of keys; with its name.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let told = |why: String| format!("the keys in `{}` cannot be read: {why}", path.display());
        let bytes = std::fs::read(path).map_err(|error| told(error.to_string()))?;
        Self::parse(&bytes).map_err(told)
    }

    /// RFC 7517 §5: keys that are not understood are passed over.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct KeyDocument {
            keys: Vec<Value>,
        }
        let KeyDocument { keys } =
            serde_json::from_slice(bytes).map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
        Ok(Self {
            keys: keys
                .into_iter()
                .filter_map(|key| VerifyingKey::from_jwk(&serde_json::from_value(key).ok()?))
                .collect(),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed a token. One that does not name its key may be signed by any.
    pub(super) fn fitting<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a DecodingKey> + 'a {
        let fits =
            move |key: &&VerifyingKey| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
        self.keys.iter().filter(fits).map(|key| &key.key)
    }

    pub(super) fn has(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.fitting(id, algorithm).next().is_some()
    }
}

impl VerifyingKey {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|it| it.contains(&KeyOperations::Verify));
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::OctetKey(_) => AlgorithmFamily::Hmac.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
            _ => return None,
        };
        if let Some(own) = common.key_algorithm {
            algorithms.retain(|algorithm| own == (*algorithm).into());
        }
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && !algorithms.is_empty())?;
        Some(Self { id: common.key_id.as_deref().map(Into::into), algorithms, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(jwk: &str, id: Option<&str>) -> Vec<Algorithm> {
        let set = KeySet::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).expect("it is a set");
        let families = [AlgorithmFamily::Hmac, AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed];
        let algorithms = families.iter().flat_map(AlgorithmFamily::algorithms).copied();
        algorithms.filter(|algorithm| set.has(id, *algorithm)).collect()
    }

    #[test]
    fn verifying_key_checks_what_it_says_or_what_its_kind_can() {
        use Algorithm::*;
        let ec = r#""kty":"EC","x":"AA","y":"AA","crv""#;
        for (jwk, algorithms) in [
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(), vec![RS256, RS384, RS512, PS256, PS384, PS512]),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"PS256","use":"sig"}"#.to_owned(), vec![PS256]),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"}"#.to_owned(), vec![]),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","key_ops":["encrypt"]}"#.to_owned(), vec![]),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","key_ops":["verify"],"alg":"RS512"}"#.to_owned(), vec![RS512]),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"RSA-OAEP"}"#.to_owned(), vec![]),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"HS256"}"#.to_owned(), vec![]),
            (r#"{"kty":"oct","k":"AQAB"}"#.to_owned(), vec![HS256, HS384, HS512]),
            (format!(r#"{{{ec}:"P-256"}}"#), vec![ES256]),
            (format!(r#"{{{ec}:"P-384"}}"#), vec![ES384]),
            (format!(r#"{{{ec}:"P-521"}}"#), vec![]),
            (format!(r#"{{{ec}:"secp256k1"}}"#), vec![]),
            (r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#.to_owned(), vec![EdDSA]),
            (r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#.to_owned(), vec![]),
            (r#"{"kty":"NEW","x":"AA"}"#.to_owned(), vec![]),
            ("7".to_owned(), vec![]),
        ] {
            assert_eq!(fitting(&jwk, None), algorithms, "{jwk}");
        }
    }

    #[test]
    fn verifying_key_with_an_id_is_found_by_it() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"a"}"#;
        assert_eq!(fitting(jwk, Some("a")), [Algorithm::EdDSA]);
        assert_eq!(fitting(jwk, Some("b")), []);
        assert_eq!(fitting(jwk, None), [Algorithm::EdDSA]);
        assert_eq!(fitting(r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, Some("a")), []);
    }

    #[test]
    fn key_set_that_is_none_is_an_error() {
        for (bytes, why) in [
            ("", "not a JSON Web Key Set"),
            ("[]", "not a JSON Web Key Set"),
            (r#"{"keys":1}"#, "not a JSON Web Key Set"),
        ] {
            assert!(KeySet::parse(bytes.as_bytes()).err().is_some_and(|error| error.contains(why)), "{bytes}");
        }
    }
}
