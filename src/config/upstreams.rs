//! `[upstreams.<name>]`: what tapline stands in front of, and how it is spoken to.

use std::fmt;

use http::HeaderValue;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use crate::cli::{TransportArg, server_url};
use crate::proxy::front::routes::check_name;
use crate::secret::{Label, is_secret};
use crate::upstream::http::ExtraHeaders;
use crate::upstream::site;
use crate::upstream::stdio::CommandLine;
use crate::variables::{HeaderKey, LazyValue, known, pairs};

/// Upstreams by name, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Upstreams(pub Vec<(String, UpstreamConfig)>);

/// One `[upstreams.NAME]` of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "UpstreamTable")]
pub struct UpstreamConfig {
    pub server: UpstreamServer,
    /// Whether any process of a command may be asked anything, where it says.
    pub stateless: Option<bool>,
    /// A secret stands in the file itself.
    pub has_inline_secret: bool,
    /// A variable of the environment that it needs and that is not set: then it cannot be served.
    pub unset: Option<String>,
}

/// How a server is reached.
#[derive(Clone, PartialEq)]
pub enum UpstreamServer {
    Url {
        url: String,
        transport: TransportArg,
        /// Sensitive, all of them.
        headers: ExtraHeaders,
    },
    Command(CommandLine),
}

impl UpstreamServer {
    /// The URL or the command line.
    pub fn label(&self) -> Label {
        match self {
            Self::Url { url, .. } => Label::of_url(url),
            Self::Command(command) => command.label(),
        }
    }
}

impl fmt::Debug for UpstreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.label())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpstreamTable {
    url: Option<UpstreamUrl>,
    command: Option<CommandWords>,
    #[serde(default = "by_path")]
    transport: TransportArg,
    #[serde(default, deserialize_with = "pairs")]
    headers: Vec<(HeaderKey, LazyValue<HeaderValue>)>,
    #[serde(default, deserialize_with = "pairs")]
    env: Vec<(VariableName, LazyValue<String>)>,
    stateless: Option<bool>,
}

fn by_path() -> TransportArg {
    TransportArg::Auto
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct UpstreamUrl(String);

#[derive(Deserialize)]
#[serde(try_from = "Vec<String>")]
struct CommandWords(CommandLine);

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct UpstreamName(String);

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct VariableName(String);

impl Upstreams {
    /// The names under `[upstreams]`, in order.
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
        let mut upstreams: Vec<(Spanned<UpstreamName>, UpstreamConfig)> = pairs(deserializer)?;
        upstreams.sort_by_key(|(name, _)| name.span().start);
        Ok(Self(upstreams.into_iter().map(|(name, upstream)| (name.into_inner().0, upstream)).collect()))
    }
}

impl TryFrom<UpstreamTable> for UpstreamConfig {
    type Error = &'static str;

    fn try_from(table: UpstreamTable) -> Result<Self, Self::Error> {
        let UpstreamTable { url, command, transport, headers, env, stateless } = table;
        let ((headers, no_header), (env, no_variable)) = (known(headers), known(env));
        let unset = no_header.or(no_variable);
        let has_inline_secret = headers.iter().any(|(name, value)| value.is_inline && is_secret(name.0.as_str()))
            || env.iter().any(|(name, value)| value.is_inline && is_secret(&name.0));
        let has_headers = !headers.is_empty();
        let headers: ExtraHeaders = headers.into_iter().map(|(name, value)| (name.0, value.value)).collect();
        let server = match (url, command) {
            (Some(_), None) if !env.is_empty() => return Err("`env` is for a `command`: this has a `url`"),
            (Some(_), None) if stateless.is_some() => {
                return Err("`stateless` is for a `command`: this has a `url`");
            }
            (None, Some(_)) if has_headers => {
                return Err("`headers` are for a `url`: this has a `command`");
            }
            (None, Some(_)) if transport != TransportArg::Auto => {
                return Err("`transport` is for a `url`: a `command` speaks over its pipes");
            }
            (Some(UpstreamUrl(url)), None) => UpstreamServer::Url { url, transport, headers },
            (None, Some(CommandWords(command))) => {
                let env = env.into_iter().map(|(name, value)| (name.0, value.value)).collect();
                UpstreamServer::Command(command.with_environment(env))
            }
            (None, None) => return Err("an upstream has a `url` or a `command`"),
            (Some(_), Some(_)) => return Err("an upstream has a `url` or a `command`: this has both"),
        };
        Ok(Self { server, stateless, has_inline_secret, unset })
    }
}

impl TryFrom<String> for UpstreamUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = server_url(&text);
        site::parse(&url).map(|_| Self(url))
    }
}

impl TryFrom<Vec<String>> for CommandWords {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        let command = CommandLine::new(&words).filter(|command| !command.program.is_empty());
        command.map(Self).ok_or("a command has a program, such as `[\"npx\", \"-y\", \"my-server\"]`")
    }
}

impl TryFrom<String> for UpstreamName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_name(&name).map_err(|error| error.to_string())?;
        Ok(Self(name))
    }
}

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        if is_name { Ok(Self(name)) } else { Err(format!("invalid name of a variable `{name}`")) }
    }
}
