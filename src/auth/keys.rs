//! The keys that sign tokens: a set of them in a file or behind a URL, read again when it may have changed.
//!
//! A request whose key is known never waits for others. Of those that wait, one fetch serves all, and it goes on when they
//! have hung up.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use reqwest::Url;

use super::key_set::KeySet;
use super::section::KeyLocation;
use crate::clock::Clock;
use crate::net::client::{client_for, direct_client};
use crate::net::innermost_cause;
use crate::secret::Label;

/// Time between two fetches: invented tokens must not make tapline ask for their keys each time.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// Time between two fetches, where the last one failed.
pub(super) const AFTER_A_FAILURE: Duration = Duration::from_secs(5);
/// A fetch that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest set that is taken, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// The keys of one source.
#[derive(Clone)]
pub(super) struct KeyStore(Arc<KeyCache>);

struct KeyCache {
    source: KeyLocation,
    max_age: Duration,
    clock: Clock,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    set: Arc<KeySet>,
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
enum KeyLookup {
    Take(Arc<KeySet>),
    Wait(Shared<BoxFuture<'static, ()>>),
    GiveUp(String),
}

impl KeyStore {
    /// # Errors
    /// Where the TLS roots cannot be loaded.
    pub(super) fn new(source: KeyLocation, max_age: Duration, clock: Clock) -> Result<Self, String> {
        let client = match &source {
            KeyLocation::Url(url) => client_for(url),
            KeyLocation::File(_) => direct_client(),
        };
        let client =
            client.timeout(PATIENCE).build().map_err(|error| format!("no HTTP client: {}", innermost_cause(&error)))?;
        Ok(Self(Arc::new(KeyCache { source, max_age, clock, client, state: Mutex::default() })))
    }

    /// The newest set that can be had, where it may have that key.
    ///
    /// # Errors
    /// Where the key is not known, and the set cannot be fetched: the token cannot be checked.
    pub(super) async fn set(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<KeySet>, String> {
        loop {
            let step = match &self.0.source {
                KeyLocation::File(path) => self.0.look_at_file(path),
                KeyLocation::Url(url) => self.look(url, id, algorithm),
            };
            match step {
                KeyLookup::Take(set) => return Ok(set),
                KeyLookup::GiveUp(why) => return Err(why),
                KeyLookup::Wait(fetching) => fetching.await,
            }
        }
    }

    fn look(&self, url: &Url, id: Option<&str>, algorithm: Algorithm) -> KeyLookup {
        let KeyCache { max_age, clock, state, .. } = &*self.0;
        let mut state = state.lock();
        let now = clock.now();
        let age = state.read.map(|read| now.saturating_duration_since(read));
        let current = age.filter(|age| age < max_age).map(|_| state.set.clone());
        let wait = if state.trouble.is_some() { AFTER_A_FAILURE } else { AT_MOST_EVERY }.min(*max_age);
        let may_fetch = state.tried.is_none_or(|tried| now.saturating_duration_since(tried) >= wait);
        if let Some(set) = current.clone().filter(|set| set.has(id, algorithm)) {
            // Renewed before it is too old, so that no request has to wait for it.
            if age.is_some_and(|age| age >= *max_age / 2) && may_fetch && state.fetching.is_none() {
                drop(state.fetch(self, url, now));
            }
            return KeyLookup::Take(set);
        }
        if let Some(fetching) = state.fetching.as_ref().filter(|fetching| fetching.peek().is_none()) {
            return KeyLookup::Wait(fetching.clone());
        }
        match (current, &state.trouble) {
            (Some(set), None) if !may_fetch => KeyLookup::Take(set),
            (_, Some(trouble)) if !may_fetch => KeyLookup::GiveUp(trouble.clone()),
            _ => KeyLookup::Wait(state.fetch(self, url, now)),
        }
    }
}

impl State {
    fn fetch(&mut self, keys: &KeyStore, url: &Url, now: Instant) -> Shared<BoxFuture<'static, ()>> {
        let (keys, url) = (keys.clone(), url.clone());
        let task = tokio::spawn(async move {
            let fetched = fetch(&keys.0.client, &url).await;
            keys.0.state.lock().fetched(
                fetched
                    .map_err(|why| format!("the keys at `{}` cannot be fetched: {why}", Label::of_url(url.as_str()))),
                now,
            );
        });
        let fetching = task.map(drop).boxed().shared();
        (self.tried, self.fetching) = (Some(now), Some(fetching.clone()));
        fetching
    }

    fn fetched(&mut self, fetched: Result<KeySet, String>, began: Instant) {
        self.fetching = None;
        match fetched {
            Ok(set) => {
                tracing::debug!(keys = set.len(), "keys fetched");
                (self.set, self.read, self.trouble) = (Arc::new(set), Some(began), None);
            }
            Err(why) => {
                tracing::warn!("{why}");
                self.trouble = Some(why);
            }
        }
    }
}

impl KeyCache {
    /// Two calls of the system where nothing has changed.
    fn look_at_file(&self, path: &Path) -> KeyLookup {
        let stamp = std::fs::metadata(path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        let mut state = self.state.lock();
        if stamp.is_none() || state.stamp != stamp {
            match KeySet::read(path) {
                Ok(set) => (state.set, state.stamp) = (Arc::new(set), stamp),
                Err(why) => return KeyLookup::GiveUp(why),
            }
        }
        KeyLookup::Take(state.set.clone())
    }
}

async fn fetch(client: &reqwest::Client, url: &Url) -> Result<KeySet, String> {
    let request = client.get(url.clone()).header(http::header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(|error| innermost_cause(&error.without_url()))?;
    if !response.status().is_success() {
        return Err(format!("HTTP {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| innermost_cause(&error.without_url()))? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(format!("it is larger than {MOST_BYTES} bytes"));
        }
    }
    KeySet::parse(&body)
}
