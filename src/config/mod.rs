//! The configuration: what `tapline.toml` and the user's file say, beside the flags and the environment.
//!
//! Flags win over `TAPLINE_*`, which clap reads; both win over the file in the working directory (or the one of `--config`, or of
//! `TAPLINE_CONFIG` for all that have no such flag), and that over the user's own. A key, or a section, is taken whole from the nearest
//! file that has it; only upstreams of different names stand beside each other. [`options`] is where all of it becomes plain values; nothing
//! behind it knows where a value was from.
//!
//! A mistake is found while a file is read: values are types that cannot be wrong, so the parser knows where it stands; the
//! known keys are what serde says when it refuses another. A mistake never quotes what may be a secret. To add a section: a line in `config/keys.rs`, a commented sample in
//! `assets/tapline.toml` (a test holds it against the keys), a row in the table of imports in `tests/it/tidy`.

pub mod keys;
pub mod options;
mod own_columns;
mod own_keys;
pub mod source;
pub mod upstreams;

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use self::keys::{ColumnList, ConfigKeys, KeySection};
pub use self::source::ConfigError;
use self::source::{ConfigSource, nearest};
use self::upstreams::Upstreams;
use crate::filter::{Filter, FilterError};
use crate::limits::{self, LimitError};

/// The file that is looked for in the working directory.
pub const FILE: &str = "tapline.toml";

/// The sections that matter only where clients are served. Limits may be those of a token.
const OF_SERVING: [&str; 4] = ["auth", "limits", "shadow", "otlp"];

/// What all files say together.
#[derive(Debug, Default)]
pub struct Config {
    pub keys: ConfigKeys,
    /// The files that were read, nearest first.
    pub files: Vec<PathBuf>,
    /// What is not wrong, and yet not as it should be.
    pub warnings: Vec<String>,
    /// Why the file of the directory does not say where tapes are, where it is read for nothing else: a mistake where that is asked for.
    pub unread_tapes: Option<String>,
    /// Upstreams that cannot be served, as a variable is not set, each with the mistake that it is where it is asked for.
    pub unset: Vec<(String, String)>,
}

/// Whose choice the directory is that tapline works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// The person who typed the command in it.
    Chosen,
    /// The same; but of its file only that is theirs where tapes are: what is recorded here is found here.
    Searched,
    /// A client that was opened in it, perhaps in a repository that its user has not read yet: a file there must not name commands
    /// that start.
    Found,
}

impl Config {
    /// Reads `file`, or the one in the working directory where there is one; and below it the user's, where there is one.
    ///
    /// # Errors
    /// Where one cannot be read, or says what cannot be.
    pub fn load(file: Option<&Path>, directory: Directory) -> Result<Self, ConfigError> {
        Self::of(&sources(file, directory)?, &[])
    }

    /// Reads the files of the directory and the user for what serves nobody: who may come in, and what is sent on to whom, is nothing to it,
    /// be it a variable that is not set.
    ///
    /// # Errors
    /// Where one cannot be read, or says elsewhere what cannot be.
    pub fn load_without_serving(directory: Directory) -> Result<Self, ConfigError> {
        Self::of(&sources(None, directory)?, &OF_SERVING)
    }

    /// Reads the sources, nearest first: what a nearer one says wins. Of none these sections are read.
    fn of(sources: &[ConfigSource], left_out: &[&str]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let (mut default, mut limits, mut hold) = (None, None, None);
        for source in sources {
            let mut keys: ConfigKeys = match source.parse_where(|key| !left_out.contains(&key)) {
                Err(why) if source.is_for_tapes => {
                    config.unread_tapes = Some(why.to_string());
                    continue;
                }
                read => read?,
            };
            keys.rule.iter_mut().for_each(|rules| rules.files = vec![source.path.clone()]);
            keys.tapes.iter_mut().for_each(|tapes| tapes.file.clone_from(&source.path));
            keys.keys = keys.keys.map(|_| own_keys::read(source).map(KeySection)).transpose()?;
            keys.columns = keys.columns.map(|_| own_columns::read(source).map(ColumnList)).transpose()?;
            config.note_unset(source, &keys);
            keys.check().map_err(|(section, why)| source.fault_in(&[section], &why))?;
            config.warnings.extend(readable_secrets(&source.path, &keys));
            config.warnings.extend(tokens_without_scopes(&source.path, &keys));
            config.files.push(source.path.clone());
            if config.keys.default.is_none()
                && let Some(name) = &keys.default
            {
                default = Some((source, name.span()));
            }
            if config.keys.limits.is_none() && keys.limits.is_some() {
                limits = Some(source);
            }
            if config.keys.hold.is_none() && keys.hold.is_some() {
                hold = Some(source);
            }
            config.keys = config.keys.over(keys);
        }
        if let (Some(source), Err(why)) = (limits, config.check_limits()) {
            return Err(source.fault_in(&["limits"], &why.to_string()));
        }
        if let (Some(source), Err(why)) = (hold, config.check_hold()) {
            return Err(source.fault_in(&["hold"], &why.to_string()));
        }
        match default.zip(config.unknown_default()) {
            Some(((source, span), why)) => Err(source.fault(span, &why)),
            None => Ok(config),
        }
    }

    /// A filter and those that it uses by name may be in different files.
    fn check_hold(&self) -> Result<(), FilterError> {
        let (hold, names) = (self.keys.hold.clone(), self.keys.filters.clone().unwrap_or_default());
        hold.map_or(Ok(()), |hold| Filter::parse_with(&hold.0, &names.0).map(drop))
    }

    /// A variable that is not set matters only where its upstream is used.
    fn note_unset(&mut self, source: &ConfigSource, keys: &ConfigKeys) {
        let nearer: Vec<_> = self.keys.upstreams.iter().flat_map(Upstreams::names).collect();
        for (name, upstream) in keys.upstreams.iter().flat_map(|upstreams| &upstreams.0) {
            let Some(variable) = upstream.unset.as_ref().filter(|_| !nearer.contains(&name.as_str())) else { continue };
            self.unset.push((name.clone(), source.unset(name, variable).to_string()));
            self.warnings
                .push(format!("upstream `{name}` is not served: the environment variable `{variable}` is not set"));
        }
    }

    /// Limits and tokens may be in different files.
    fn check_limits(&self) -> Result<(), LimitError> {
        let has_tokens = self.keys.auth.as_ref().is_some_and(|auth| !auth.is_empty());
        limits::check(self.keys.limits.as_deref().unwrap_or_default(), has_tokens)
    }

    /// Why `default` names no upstream, where it does not.
    fn unknown_default(&self) -> Option<String> {
        let name = self.keys.default.as_ref()?.get_ref();
        let known: Vec<_> = self.keys.upstreams.iter().flat_map(Upstreams::names).collect();
        if known.contains(&name.as_str()) {
            return None;
        }
        Some(match (nearest(name, known.iter().copied()), &known[..]) {
            (Some(near), _) => format!("no upstream is called `{name}`; did you mean `{near}`?"),
            (None, []) => format!("no upstream is called `{name}`: there is no `[upstreams.{name}]`"),
            (None, known) => format!("no upstream is called `{name}`; there are `{}`", known.join("`, `")),
        })
    }
}

/// The files that are there, nearest first.
fn sources(file: Option<&Path>, directory: Directory) -> Result<Vec<ConfigSource>, ConfigError> {
    let named = std::env::var_os("TAPLINE_CONFIG").filter(|it| !it.is_empty()).map(PathBuf::from);
    let near = match (file.or(named.as_deref()), directory) {
        (Some(file), _) => Some(ConfigSource::read(file)?),
        (None, Directory::Chosen) => read_if_there(Path::new(FILE))?,
        (None, Directory::Searched) => ConfigSource::read_for_tapes(Path::new(FILE)),
        (None, Directory::Found) => None,
    };
    let far = user_file().map(|file| read_if_there(&file)).transpose()?.flatten();
    Ok(near.into_iter().chain(far).collect())
}

/// Where the user's own settings are, if there is a home.
pub fn user_file() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("tapline").join("config.toml"))
}

fn read_if_there(file: &Path) -> Result<Option<ConfigSource>, ConfigError> {
    match ConfigSource::read(file) {
        Err(ConfigError::Read { why, .. }) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// A warning where scopes are asked for, and a token has all of them because its section names none.
fn tokens_without_scopes(file: &Path, keys: &ConfigKeys) -> Option<String> {
    let auth = keys.auth.as_ref().filter(|auth| !auth.require.is_empty())?;
    let names = auth.tokens.iter().filter(|token| token.scopes.is_none()).map(|token| format!("`{}`", token.name));
    let names: Vec<_> = names.collect();
    let verb = match names.len() {
        0 => return None,
        1 => "has",
        _ => "have",
    };
    let (file, names) = (file.display(), names.join(", "));
    Some(format!(
        "{file}: {names} of `tokens` {verb} no `scopes`, and so all that `require` asks for; `scopes = []` is none"
    ))
}

/// A warning where others can read what they should not.
fn readable_secrets(file: &Path, keys: &ConfigKeys) -> Option<String> {
    let upstreams = keys.upstreams.iter().flat_map(|upstreams| &upstreams.0);
    let upstreams = upstreams.map(|(name, upstream)| (name.as_str(), upstream.has_inline_secret));
    let shadow = keys.shadow.iter().map(|shadow| ("[shadow]", shadow.headers.has_inline_secret));
    let otlp = keys.otlp.iter().map(|otlp| ("[otlp]", otlp.headers.has_inline_secret));
    let (name, _) = upstreams.chain(shadow).chain(otlp).find(|(_, has_secret)| *has_secret)?;
    let is_open = file.metadata().is_ok_and(|known| known.mode() & 0o077 != 0);
    let file = file.display();
    is_open.then(|| {
        format!("{file} holds a secret of `{name}`, and others can read it: `chmod 600 {file}`, or write `${{NAME}}` for a variable")
    })
}

#[cfg(test)]
mod tests;
