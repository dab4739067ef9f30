//! `[auth]` of the configuration: types that cannot be wrong, so that a mistake is found where it stands, while it is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use http::header::AUTHORIZATION;
use jsonwebtoken::Algorithm;
use reqwest::Url;
use serde::{Deserialize, Deserializer};

use super::error::AuthError;
use super::key_set::KeySet;
use super::tokens::TokenHash;
use crate::glob::Glob;
use crate::secret::Label;
use crate::text;

/// Clocks differ by a little; a token that ended an hour ago has ended.
const MOST_LEEWAY: Duration = Duration::from_secs(3600);

/// `[auth]` of the configuration; clients are not checked where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    pub tokens: Vec<KnownToken>,
    pub header: Carrier,
    pub jwt: Option<Jwt>,
    pub require: Vec<Requirement>,
    /// What clients know the endpoint by; else what they say in `Host`.
    pub resource: Option<AbsoluteUrl>,
    /// The authorization servers that clients are sent to; the issuer of the JWTs where none are named.
    pub authorization_servers: Vec<AbsoluteUrl>,
}

/// The header in which a client sends its token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Carrier(pub HeaderName);

/// A token or key that is known beforehand. Two may have one name, so that a client can change from one to the next.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawToken")]
pub struct KnownToken {
    pub name: VisibleText,
    pub hash: TokenHash,
    /// Scopes that the token gives; all there are, where it does not say.
    pub scopes: Option<Vec<ScopeName>>,
}

/// Which JWTs are taken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    pub issuer: VisibleText,
    /// Any of these will do.
    #[serde(deserialize_with = "one_or_more")]
    pub audience: Vec<VisibleText>,
    pub jwks: KeyLocation,
    #[serde(default = "usual_algorithms", deserialize_with = "one_or_more")]
    pub algorithms: Vec<Algorithm>,
    #[serde(default = "usual_leeway", deserialize_with = "leeway")]
    pub leeway: Duration,
    /// How long keys are taken for good after they were fetched.
    #[serde(default = "usual_max_age", deserialize_with = "max_age")]
    pub max_age: Duration,
    /// Which every token must have.
    #[serde(default)]
    pub scopes: Vec<ScopeName>,
}

/// Scopes that are needed for some messages.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawRequirement")]
pub struct Requirement {
    pub method: Option<Glob>,
    /// The tool that `tools/call` names.
    pub tool: Option<Glob>,
    pub scopes: Vec<ScopeName>,
}

/// Where the keys of signed tokens come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyLocation {
    File(PathBuf),
    Url(Url),
}

/// An absolute URL, scheme and host included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AbsoluteUrl(pub Url);

/// A text for people: not empty, and without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VisibleText(Box<str>);

/// One scope: no spaces (RFC 6749 §3.3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ScopeName(Box<str>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    name: VisibleText,
    sha256: Option<TokenHash>,
    env: Option<TokenVariable>,
    scopes: Option<Vec<ScopeName>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequirement {
    method: Option<Glob>,
    tool: Option<Glob>,
    #[serde(deserialize_with = "one_or_more")]
    scopes: Vec<ScopeName>,
}

/// The hash of what a variable of the environment holds.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct TokenVariable(TokenHash);

impl Section {
    /// Whether nothing of it is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What no part of it can say by itself.
    ///
    /// # Errors
    /// [`AuthError::NobodyComesIn`].
    pub fn check(&self) -> Result<(), AuthError> {
        let lets_in = !self.tokens.is_empty() || self.jwt.is_some();
        if lets_in || self.is_empty() { Ok(()) } else { Err(AuthError::NobodyComesIn) }
    }
}

impl Default for Carrier {
    fn default() -> Self {
        Self(AUTHORIZATION)
    }
}

impl TryFrom<String> for Carrier {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is not the name of a header, such as `x-api-key`"))
    }
}

impl TryFrom<RawToken> for KnownToken {
    type Error = String;

    fn try_from(raw: RawToken) -> Result<Self, String> {
        let RawToken { name, sha256, env, scopes } = raw;
        match (sha256, env) {
            (Some(hash), None) | (None, Some(TokenVariable(hash))) => Ok(Self { name, hash, scopes }),
            (None, None) => {
                Err(format!("the token `{name}` needs `sha256` (its hash) or `env` (a variable that has it)"))
            }
            (Some(_), Some(_)) => Err(format!("the token `{name}` has both `sha256` and `env`")),
        }
    }
}

impl TryFrom<RawRequirement> for Requirement {
    type Error = String;

    fn try_from(raw: RawRequirement) -> Result<Self, String> {
        let RawRequirement { method, tool, scopes } = raw;
        match (&method, &tool) {
            (None, None) => Err("`method` or `tool` says what the scopes are needed for".to_owned()),
            _ => Ok(Self { method, tool, scopes }),
        }
    }
}

impl TryFrom<String> for TokenVariable {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match std::env::var_os(&name) {
            Some(value) if !value.is_empty() => Ok(Self(TokenHash::of(value.as_encoded_bytes()))),
            _ => Err(format!("the environment variable `{name}` is not set")),
        }
    }
}

impl TryFrom<String> for KeyLocation {
    type Error = String;

    /// A file must be there, and have keys; what is behind a URL may come later.
    fn try_from(text: String) -> Result<Self, String> {
        if text.contains("://") {
            let url = http_url(&text)?;
            return Ok(Self::Url(url));
        }
        let path = PathBuf::from(text);
        match KeySet::read(&path)? {
            set if set.is_empty() => Err(format!("{} has no key that could check a signature", path.display())),
            _ => Ok(Self::File(path)),
        }
    }
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => Path::display(path).fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl TryFrom<String> for AbsoluteUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = http_url(&text)?;
        match url.fragment() {
            Some(_) => Err(format!("`{}` must not have a fragment", Label::of_url(&text))),
            None => Ok(Self(url)),
        }
    }
}

impl AbsoluteUrl {
    /// Without the slash that a URL without a path gets.
    pub(super) fn as_str(&self) -> &str {
        match self.0.path() {
            "/" if self.0.query().is_none() => self.0.as_str().trim_end_matches('/'),
            _ => self.0.as_str(),
        }
    }
}

fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(_) => Err(format!("`{}`: only http and https URLs will do", Label::of_url(text))),
        Err(error) => Err(format!("`{}` is not a URL: {error}", Label::of_url(text))),
    }
}

impl TryFrom<String> for VisibleText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.trim() {
            "" => Err("must not be empty".to_owned()),
            _ if text.chars().any(char::is_control) => Err("must not have control characters".to_owned()),
            _ => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for VisibleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ScopeName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_token = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        if !text.is_empty() && text.chars().all(is_token) {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{text}` is not a scope: visible ASCII without spaces, quotes and backslashes"))
        }
    }
}

impl ScopeName {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn usual_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

fn usual_leeway() -> Duration {
    Duration::from_secs(60)
}

fn usual_max_age() -> Duration {
    Duration::from_secs(600)
}

fn leeway<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match text::written_duration(deserializer)? {
        leeway if leeway <= MOST_LEEWAY => Ok(leeway),
        _ => Err(serde::de::Error::custom("a leeway of more than an hour would let ended tokens in")),
    }
}

fn max_age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match text::written_duration(deserializer)? {
        Duration::ZERO => Err(serde::de::Error::custom("keys must be kept for a while: a time such as `10m`")),
        age => Ok(age),
    }
}

/// A value by itself, or a list that is not empty.
fn one_or_more<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct OneOrMore<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string, or a list of strings that is not empty")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| vec![one])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            if values.is_empty() { Err(serde::de::Error::invalid_length(0, &self)) } else { Ok(values) }
        }
    }
    deserializer.deserialize_any(OneOrMore(std::marker::PhantomData))
}
