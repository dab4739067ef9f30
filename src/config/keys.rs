//! The keys of a configuration file. Values cannot be wrong: a mistake is found while it is read, where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Error as _, IntoDeserializer as _, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use tracing_subscriber::EnvFilter;

use super::upstreams::Upstreams;
use crate::auth;
use crate::cli::{ColorArg, LogFormat, ThemeArg, listen_address};
use crate::event::OnQuit;
use crate::filter::{Filter, SavedFilters};
use crate::limits::{self, LimitError};
use crate::lint;
use crate::otlp;
use crate::shadow;
use crate::store;
use crate::tape::{care, redact};
use crate::text;
use crate::ui::{KeyChoice, ListColumn};
use crate::upstream::{pool, retry};

/// All keys there are, and all sections. Each is set or not; what several files set is the nearest one's to say. Behind the
/// type of a section stands what else must be true of it: a function that says why not.
macro_rules! keys {
    (
        keys { $($(#[$about_key:meta])* $key:ident: $value:ty,)* }
        sections { $($(#[$about_section:meta])* $section:ident: $content:ty => $check:expr,)* }
    ) => {
        /// What a file says, or several of them together.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct ConfigKeys {
            $($(#[$about_key])* pub $key: Option<$value>,)*
            $($(#[$about_section])* pub $section: Option<$content>,)*
        }

        impl ConfigKeys {
            /// All keys, sections after the others.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($key),)* $(stringify!($section),)*];

            /// These, and where they say nothing, what stands farther away.
            fn or(self, farther: Self) -> Self {
                Self {
                    $($key: self.$key.or(farther.$key),)*
                    $($section: self.$section.or(farther.$section),)*
                }
            }

            /// Whether the sections can be what they say; else which cannot, and why.
            pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
                $(if let Some(section) = self.$section.clone() {
                    $check(section).map_err(|why| (stringify!($section), why.to_string()))?;
                })*
                Ok(())
            }

            /// The sections that are there: features that are turned on, or changed.
            pub fn sections(&self) -> Vec<&'static str> {
                let all: &[(&str, bool)] = &[$((stringify!($section), self.$section.is_some()),)*];
                all.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect()
            }
        }
    };
}

keys! {
    keys {
        // The front door.
        listen: ListenAddress,
        allow_hosts: Vec<String>,
        allow_origins: Vec<String>,
        /// The largest body of a request, in MiB.
        max_body: NonZeroUsize,
        /// The longest message of an upstream, in MiB.
        max_message: NonZeroUsize,
        keep_alive: PositiveDuration,
        lenient: bool,
        grace: PositiveDuration,
        // The control address.
        control: ControlKey,
        name: String,
        // How what passes is shown and kept.
        headless: bool,
        log_format: LogFormat,
        ascii: bool,
        color: ColorArg,
        theme: ThemeArg,
        /// Keys of the screen.
        keys: KeySection,
        /// Columns of the message list, in their order.
        columns: ColumnList,
        /// How long clients wait for a reply, by their names.
        patience: BTreeMap<String, PositiveDuration>,
        /// Whether the terminal rings when the client of a held message is about to give up.
        bell: bool,
        /// What a screen keeps of messages, in MiB.
        memory: NonZeroUsize,
        tapes: TapesKey,
        record: bool,
        hold: HoldFilter,
        /// What `@NAME` means in a filter.
        filters: FilterNames,
        /// Files of rules, or names of ready sets.
        rules: Vec<UserPath>,
        /// Rules that stand among the settings.
        rule: InlineRules,
        on_quit: OnQuit,
        // tapline's own log.
        log: LogFilter,
        log_file: UserPath,
        log_dir: UserPath,
        // What it stands in front of.
        /// The name of the upstream at `/mcp`.
        default: Spanned<String>,
        upstreams: Upstreams,
    }
    sections {
        /// Whom the HTTP front door lets in.
        auth: auth::Section => |section: auth::Section| section.check(),
        /// How the children of commands are kept.
        pool: pool::Section => |section: pool::Section| section.settings(),
        /// How often they may ask.
        limits: Vec<limits::Section> => |_| Ok::<_, LimitError>(()),
        /// Which findings about messages count.
        lint: lint::Section => |section: lint::Section| section.check(),
        /// What is taken out of messages before they are recorded.
        redact: redact::Section => |section: redact::Section| section.rules().map(drop),
        /// Which tapes go when recording starts.
        retention: care::Section => |section: care::Section| section.limits().map(drop),
        /// What is sent again.
        retry: retry::Section => retry::Retry::new,
        /// How sessions are kept.
        sessions: store::Section => |section: store::Section| section.over(&store::Settings::default()),
        /// The second server that is asked the same and compared.
        shadow: shadow::Section => |section: shadow::Section| section.check(),
        /// Who else is told what passes.
        otlp: otlp::Section => |section: otlp::Section| section.settings().map(drop),
    }
}

impl ConfigKeys {
    /// The keys of the screen that are not those of its table.
    pub fn key_choice(&self) -> KeyChoice {
        self.keys.clone().unwrap_or_default().0
    }

    /// The columns of the message list; empty where they are the usual ones.
    pub fn list_columns(&self) -> Vec<ListColumn> {
        self.columns.clone().unwrap_or_default().0
    }

    /// How long clients wait for a reply, by their names.
    pub fn client_patience(&self) -> BTreeMap<String, Duration> {
        let named = self.patience.iter().flatten();
        named.map(|(client, patience)| (client.clone(), patience.0)).collect()
    }

    /// These, and what they do not say of others. Upstreams stand beside each other; of two with one name the nearer is it.
    pub(super) fn over(mut self, mut farther: Self) -> Self {
        let upstreams = match (self.upstreams.take(), farther.upstreams.take()) {
            (Some(near), Some(far)) => Some(near.over(far)),
            (near, far) => near.or(far),
        };
        let (near, far) = (self.rule.take(), farther.rule.take());
        let files: Vec<_> = near.into_iter().chain(far).flat_map(|rules| rules.files).collect();
        let rule = (!files.is_empty()).then_some(InlineRules { files });
        Self { upstreams, rule, ..self.or(farther) }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

/// How others find what runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKey {
    At(SocketAddr),
    Off,
}

/// A length of time above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PositiveDuration(pub Duration);

/// A file or directory; `~/` is the user's home.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UserPath(pub PathBuf);

/// A directory of tapes, and the file that names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "UserPath")]
pub struct TapesKey {
    pub dir: PathBuf,
    pub file: PathBuf,
}

impl From<UserPath> for TapesKey {
    fn from(dir: UserPath) -> Self {
        Self { dir: dir.0, file: PathBuf::new() }
    }
}

/// A filter that can be parsed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HoldFilter(pub String);

/// Filters that can be parsed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct FilterNames(pub SavedFilters);

/// Rules among the settings: the code that uses them reads the files again, and says where in them something is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineRules {
    /// Which files have them, the nearest first.
    pub files: Vec<PathBuf>,
}

impl<'de> Deserialize<'de> for InlineRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<serde::de::IgnoredAny>::deserialize(deserializer).map(|_| Self::default())
    }
}

/// Keys of the screen: what they are is read where their places in the file are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySection(pub KeyChoice);

impl<'de> Deserialize<'de> for KeySection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, serde::de::IgnoredAny>::deserialize(deserializer).map(|_| Self::default())
    }
}

/// Columns of the message list: which they are is read where their places in the file are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnList(pub Vec<ListColumn>);

impl<'de> Deserialize<'de> for ColumnList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::default())
    }
}

/// A filter of tapline's own log that can be parsed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(pub String);

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        listen_address(&text).map(Self).map_err(|why| format!("invalid address `{text}`: {why}"))
    }
}

impl TryFrom<String> for PositiveDuration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text::duration(&text)? {
            Duration::ZERO => Err("a time above zero is needed, such as `10s`".to_owned()),
            span => Ok(Self(span)),
        }
    }
}

impl TryFrom<String> for UserPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.strip_prefix("~/")) {
            ("", _) => Err("a path is needed".to_owned()),
            (_, Some(rest)) => {
                let home = std::env::home_dir().ok_or("`~`: no home directory is known; `HOME` names one")?;
                Ok(Self(home.join(rest)))
            }
            (path, None) => Ok(Self(path.into())),
        }
    }
}

impl TryFrom<String> for HoldFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What names it uses is known when all files are read.
        if !text.trim().is_empty() && !text.contains('@') {
            Filter::parse(&text).map_err(|error| error.to_string())?;
        }
        Ok(Self(text))
    }
}

impl TryFrom<BTreeMap<String, String>> for FilterNames {
    type Error = String;

    fn try_from(filters: BTreeMap<String, String>) -> Result<Self, String> {
        SavedFilters::new(filters).map(Self)
    }
}

impl TryFrom<String> for LogFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match EnvFilter::try_new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("no filter of the log, such as `info` or `tapline::upstream=trace`: {error}")),
        }
    }
}

impl<'de> Deserialize<'de> for ControlKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressOrFalse;
        impl Visitor<'_> for AddressOrFalse {
            type Value = ControlKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as `127.0.0.1:0`, or false")
            }

            fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<ControlKey, E> {
                if on { Err(E::invalid_value(serde::de::Unexpected::Bool(on), &self)) } else { Ok(ControlKey::Off) }
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ControlKey, E> {
                ListenAddress::deserialize(text.into_deserializer()).map(|address| ControlKey::At(address.0))
            }
        }
        deserializer.deserialize_any(AddressOrFalse).map_err(D::Error::custom)
    }
}
