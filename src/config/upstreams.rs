//! `[upstreams.<name>]`: what tapline stands in front of, and how it is spoken to.

use std::fmt;
use std::marker::PhantomData;

use http::{HeaderName, HeaderValue};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::cli::TransportArg;
use crate::envelope::is_secret;
use crate::proxy::mounts::check_name;
use crate::upstream::http::ExtraHeaders;
use crate::upstream::site;
use crate::upstream::stdio::CommandLine;

/// Upstreams by name, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upstreams(pub Vec<(String, Upstream)>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub struct Upstream {
    pub server: Server,
    /// A secret stands in the file itself.
    pub has_inline_secret: bool,
}

/// How a server is reached.
#[derive(Clone, PartialEq)]
pub enum Server {
    Url {
        url: String,
        transport: TransportArg,
        /// Sensitive, all of them.
        headers: ExtraHeaders,
    },
    Command(CommandLine),
}

impl Server {
    /// The URL or the command line.
    pub fn label(&self) -> String {
        match self {
            Self::Url { url, .. } => url.clone(),
            Self::Command(command) => command.to_string(),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.label())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: Option<Url>,
    command: Option<Words>,
    #[serde(default = "by_path")]
    transport: TransportArg,
    #[serde(default, deserialize_with = "pairs")]
    headers: Vec<(Header, Value<HeaderValue>)>,
    #[serde(default, deserialize_with = "pairs")]
    env: Vec<(Variable, Value<String>)>,
}

fn by_path() -> TransportArg {
    TransportArg::Auto
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Url(String);

#[derive(Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Words(CommandLine);

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Header(HeaderName);

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Variable(String);

/// A value that may come from the environment: `${NAME}`.
#[derive(Deserialize)]
#[serde(try_from = "String", bound = "Self: TryFrom<String, Error = String>")]
struct Value<T> {
    value: T,
    is_inline: bool,
}

impl Upstreams {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// These, and those of another file that have other names.
    pub(super) fn over(mut self, farther: Self) -> Self {
        let others = farther.0.into_iter().filter(|(name, _)| !self.names().any(|near| near == name));
        let others: Vec<_> = others.collect();
        self.0.extend(others);
        self
    }
}

impl<'de> Deserialize<'de> for Upstreams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut upstreams: Vec<(Spanned<Name>, Upstream)> = pairs(deserializer)?;
        upstreams.sort_by_key(|(name, _)| name.span().start);
        Ok(Self(upstreams.into_iter().map(|(name, upstream)| (name.into_inner().0, upstream)).collect()))
    }
}

impl TryFrom<Table> for Upstream {
    type Error = &'static str;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        let Table { url, command, transport, headers, env } = table;
        let has_inline_secret = headers.iter().any(|(name, value)| value.is_inline && is_secret(name.0.as_str()))
            || env.iter().any(|(name, value)| value.is_inline && names_a_secret(&name.0));
        let server = match (url, command) {
            (Some(_), None) if !env.is_empty() => return Err("`env` is for a `command`: this has a `url`"),
            (None, Some(_)) if !headers.is_empty() => return Err("`headers` are for a `url`: this has a `command`"),
            (None, Some(_)) if transport != TransportArg::Auto => {
                return Err("`transport` is for a `url`: a `command` speaks over its pipes");
            }
            (Some(Url(url)), None) => {
                let headers = headers.into_iter().map(|(name, value)| (name.0, value.value)).collect();
                Server::Url { url, transport, headers }
            }
            (None, Some(Words(command))) => {
                let env = env.into_iter().map(|(name, value)| (name.0, value.value)).collect();
                Server::Command(command.with_environment(env))
            }
            (None, None) => return Err("an upstream has a `url` or a `command`"),
            (Some(_), Some(_)) => return Err("an upstream has a `url` or a `command`: this has both"),
        };
        Ok(Self { server, has_inline_secret })
    }
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        site::parse(&text).map(|_| Self(text))
    }
}

impl TryFrom<Vec<String>> for Words {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        let command = CommandLine::new(&words).filter(|command| !command.program.is_empty());
        command.map(Self).ok_or("a command has a program, such as `[\"npx\", \"-y\", \"my-server\"]`")
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_name(&name).map_err(|error| error.to_string())?;
        Ok(Self(name))
    }
}

impl TryFrom<String> for Header {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse().map(Self).map_err(|_| format!("`{name}` is not a header name"))
    }
}

impl TryFrom<String> for Variable {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        if is_name { Ok(Self(name)) } else { Err(format!("`{name}` is no name of a variable")) }
    }
}

impl TryFrom<String> for Value<HeaderValue> {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let Value { value, is_inline } = Value::<String>::try_from(written)?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| "the value holds characters no header may hold")?;
        value.set_sensitive(true);
        Ok(Self { value, is_inline })
    }
}

impl TryFrom<String> for Value<String> {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let value = expand(&written, |name| std::env::var(name).ok())?;
        // An error may be shown: it must not say what the value is.
        if value.contains('\0') {
            Err("the value holds a zero byte".to_owned())
        } else {
            Ok(Self { is_inline: value == written, value })
        }
    }
}

/// Puts variables in their places.
fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}').ok_or("`${` without its `}`")?;
        let value = lookup(name).filter(|value| !value.is_empty());
        expanded += before;
        expanded += &value.ok_or_else(|| format!("the environment variable `{name}` is not set"))?;
        rest = after;
    }
    Ok(expanded + rest)
}

fn names_a_secret(variable: &str) -> bool {
    let name = variable.to_ascii_lowercase().replace('_', "-");
    is_secret(&name) || ["password", "passwd", "key", "credential"].iter().any(|word| name.contains(word))
}

/// A table as pairs.
fn pairs<'de, D, K, V>(deserializer: D) -> Result<Vec<(K, V)>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de>,
    V: Deserialize<'de>,
{
    struct Pairs<K, V>(PhantomData<(K, V)>);
    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_map(Pairs(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_their_places() {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("plain $A {A} $", Ok("plain $A {A} $")),
            ("${A}", Ok("1")),
            ("Bearer ${A}${A}.", Ok("Bearer 11.")),
            ("${B}", Err("the environment variable `B` is not set")),
            ("${EMPTY}", Err("the environment variable `EMPTY` is not set")),
            ("${A", Err("`${` without its `}`")),
        ] {
            let expanded = expand(text, lookup);
            assert_eq!(expanded.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
