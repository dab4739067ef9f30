//! The keys that sign tokens: a set of them in a file or behind a URL, read again when it may have changed.
//!
//! A request whose key is known never waits for others. Of those that wait, one fetch serves all, and it goes on when they
//! have hung up.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use parking_lot::Mutex;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::section::Source;
use crate::clock::Clock;
use crate::net::client::{client_for, direct_client};
use crate::net::innermost_cause;

/// Between two fetches: whoever makes tokens up must not make us ask for their keys.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// The same, where the last one failed.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// A fetch that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest set that is taken, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// What can be known of the keys at a time.
#[derive(Clone, Default)]
pub(super) struct Set {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Option<Box<str>>,
    /// What it can check.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Set {
    /// # Errors
    /// Where there is no file with a set of keys; with its name.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let told = |why: String| format!("the keys in `{}` cannot be read: {why}", path.display());
        let bytes = std::fs::read(path).map_err(|error| told(error.to_string()))?;
        Self::parse(&bytes).map_err(told)
    }

    /// RFC 7517 §5: keys that are not understood are passed over.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<Value>,
        }
        let Keys { keys } =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON Web Key Set: {error}"))?;
        Ok(Self { keys: keys.into_iter().filter_map(|key| Key::of(&serde_json::from_value(key).ok()?)).collect() })
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
        let fits = move |key: &&Key| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
        self.keys.iter().filter(fits).map(|key| &key.key)
    }

    fn has(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        self.fitting(id, algorithm).next().is_some()
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
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

/// The keys of one source.
#[derive(Clone)]
pub(super) struct Keys(Arc<Shelf>);

struct Shelf {
    source: Source,
    max_age: Duration,
    clock: Clock,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    set: Arc<Set>,
    /// When the set was fetched.
    read: Option<Instant>,
    /// When a fetch was begun last, and why it failed.
    tried: Option<Instant>,
    trouble: Option<String>,
    fetching: Option<Shared<BoxFuture<'static, ()>>>,
    /// Time and length of a file, as it was read.
    stamp: Option<(SystemTime, u64)>,
}

/// What is to be done for a key.
enum Step {
    Take(Arc<Set>),
    Wait(Shared<BoxFuture<'static, ()>>),
    GiveUp(String),
}

impl Keys {
    /// # Errors
    /// Where the TLS roots cannot be loaded.
    pub(super) fn new(source: Source, max_age: Duration, clock: Clock) -> Result<Self, String> {
        let client = match &source {
            Source::Url(url) => client_for(url),
            Source::File(_) => direct_client(),
        };
        let client =
            client.timeout(PATIENCE).build().map_err(|error| format!("no HTTP client: {}", innermost_cause(&error)))?;
        Ok(Self(Arc::new(Shelf { source, max_age, clock, client, state: Mutex::default() })))
    }

    /// The newest set that can be had, where it may have that key.
    ///
    /// # Errors
    /// Where the key is not known, and the set cannot be read: nobody can say whether the token is good.
    pub(super) async fn set(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<Set>, String> {
        loop {
            let step = match &self.0.source {
                Source::File(path) => self.0.look_at_file(path),
                Source::Url(url) => self.look(url, id, algorithm),
            };
            match step {
                Step::Take(set) => return Ok(set),
                Step::GiveUp(why) => return Err(why),
                Step::Wait(fetching) => fetching.await,
            }
        }
    }

    fn look(&self, url: &Url, id: Option<&str>, algorithm: Algorithm) -> Step {
        let Shelf { max_age, clock, state, .. } = &*self.0;
        let mut state = state.lock();
        let now = clock.now();
        let age = state.read.map(|read| now.saturating_duration_since(read));
        let current = age.filter(|age| age < max_age).map(|_| state.set.clone());
        let wait = if state.trouble.is_some() { AFTER_A_FAILURE } else { AT_MOST_EVERY }.min(*max_age);
        let may_fetch = state.tried.is_none_or(|tried| now.saturating_duration_since(tried) >= wait);
        if let Some(set) = current.clone().filter(|set| set.has(id, algorithm)) {
            // Renewed before it is too old, so that nobody has to wait then.
            if age.is_some_and(|age| age >= *max_age / 2) && may_fetch && state.fetching.is_none() {
                drop(state.fetch(self, url, now));
            }
            return Step::Take(set);
        }
        if let Some(fetching) = state.fetching.as_ref().filter(|fetching| fetching.peek().is_none()) {
            return Step::Wait(fetching.clone());
        }
        match (current, &state.trouble) {
            (Some(set), None) if !may_fetch => Step::Take(set),
            (_, Some(trouble)) if !may_fetch => Step::GiveUp(trouble.clone()),
            _ => Step::Wait(state.fetch(self, url, now)),
        }
    }
}

impl State {
    fn fetch(&mut self, keys: &Keys, url: &Url, now: Instant) -> Shared<BoxFuture<'static, ()>> {
        let (keys, url) = (keys.clone(), url.clone());
        let task = tokio::spawn(async move {
            let fetched = fetch(&keys.0.client, &url).await;
            keys.0
                .state
                .lock()
                .fetched(fetched.map_err(|why| format!("the keys at `{url}` cannot be fetched: {why}")), now);
        });
        let fetching = task.map(drop).boxed().shared();
        (self.tried, self.fetching) = (Some(now), Some(fetching.clone()));
        fetching
    }

    fn fetched(&mut self, fetched: Result<Set, String>, began: Instant) {
        self.fetching = None;
        match fetched {
            Ok(set) => {
                tracing::debug!(keys = set.keys.len(), "keys fetched");
                (self.set, self.read, self.trouble) = (Arc::new(set), Some(began), None);
            }
            Err(why) => {
                tracing::warn!("{why}");
                self.trouble = Some(why);
            }
        }
    }
}

impl Shelf {
    /// Two calls of the system where nothing has changed.
    fn look_at_file(&self, path: &Path) -> Step {
        let stamp = std::fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        let mut state = self.state.lock();
        if stamp.is_none() || state.stamp != stamp {
            match Set::read(path) {
                Ok(set) => (state.set, state.stamp) = (Arc::new(set), stamp),
                Err(why) => return Step::GiveUp(why),
            }
        }
        Step::Take(state.set.clone())
    }
}

async fn fetch(client: &reqwest::Client, url: &Url) -> Result<Set, String> {
    let request = client.get(url.clone()).header(http::header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(|error| innermost_cause(&error))?;
    if !response.status().is_success() {
        return Err(format!("HTTP {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| innermost_cause(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(format!("it is larger than {MOST_BYTES} bytes"));
        }
    }
    Set::parse(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(jwk: &str, id: Option<&str>) -> Vec<Algorithm> {
        let set = Set::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes()).expect("it is a set");
        let families = [AlgorithmFamily::Hmac, AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed];
        let algorithms = families.iter().flat_map(AlgorithmFamily::algorithms).copied();
        algorithms.filter(|algorithm| set.has(id, *algorithm)).collect()
    }

    #[test]
    fn a_key_checks_what_it_says_or_what_its_kind_can() {
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
    fn a_key_with_an_id_is_found_by_it() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"a"}"#;
        assert_eq!(fitting(jwk, Some("a")), [Algorithm::EdDSA]);
        assert_eq!(fitting(jwk, Some("b")), []);
        assert_eq!(fitting(jwk, None), [Algorithm::EdDSA]);
        assert_eq!(fitting(r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, Some("a")), []);
    }

    #[test]
    fn what_is_no_set_is_said() {
        for (bytes, why) in
            [("", "no JSON Web Key Set"), ("[]", "no JSON Web Key Set"), (r#"{"keys":1}"#, "no JSON Web Key Set")]
        {
            assert!(Set::parse(bytes.as_bytes()).err().is_some_and(|error| error.contains(why)), "{bytes}");
        }
    }
}
