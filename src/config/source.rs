//! The text of a configuration file, and what is wrong in it: with file, line and column, the line itself, and the nearest
//! word that would have been right.
//!
//! What is known at a place is what serde names when it refuses something else: there is no second list of keys.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::secret::{Label, is_secret};
use crate::text::{sanitize, width};

/// Words beside which a value may be a secret, whatever it is called.
const DELICATE: [&str; 2] = ["env", "header"];

/// The key that says where tapes are.
const TAPES: &str = "tapes";

/// What stands in place of a value that may be a secret.
const MASK: &str = " ...";

/// How near a word must be to another to be taken for a slip of the hand; as clap does with flags.
const NEAR: f64 = 0.7;

/// Why tapline does not start with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {why}", path.display())]
    Read { path: PathBuf, why: io::Error },
    #[error("{0}")]
    Wrong(ConfigFault),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Self>),
}

/// A mistake in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    path: PathBuf,
    /// The line, from 1. The column counts characters.
    line: usize,
    column: usize,
    why: String,
    /// The line as it may be shown, and what of it is marked, in cells.
    excerpt: String,
    marked: Range<usize>,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, why, excerpt, marked } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let (before, caret) = (" ".repeat(marked.start), "^".repeat(marked.len().max(1)));
        writeln!(f, "{}:{line}:{column}: {why}", path.display())?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {excerpt}")?;
        write!(f, "{margin} | {before}{caret}")
    }
}

/// A file that has been read.
#[derive(Debug)]
pub struct ConfigSource {
    pub path: PathBuf,
    text: String,
    /// Nothing else is asked of it than where tapes are.
    pub(super) is_for_tapes: bool,
}

impl ConfigSource {
    /// # Errors
    /// [`ConfigError::Read`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|why| ConfigError::Read { path: path.to_owned(), why })?;
        Ok(Self::of(path, text))
    }

    pub(super) fn of(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text, is_for_tapes: false }
    }

    /// As [`Self::read`], where it is there and can be read, for that alone where tapes are.
    pub(super) fn read_for_tapes(path: &Path) -> Option<Self> {
        Self::read(path).ok().map(|source| Self { is_for_tapes: true, ..source })
    }

    /// What it says.
    ///
    /// # Errors
    /// Where it is no TOML, or does not say what a `T` is made of.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.parse_where(|_| true)
    }

    /// What it says of these keys and sections, whatever is in the others.
    ///
    /// # Errors
    /// As of [`ConfigSource::parse`].
    pub(super) fn parse_where<T: DeserializeOwned>(&self, is_read: impl Fn(&str) -> bool) -> Result<T, ConfigError> {
        let read = DeTable::parse(&self.text).and_then(|mut table| {
            let is_asked = |key: &str| is_read(key) && (!self.is_for_tapes || key == TAPES);
            let names: Vec<_> = table.get_ref().iter().map(|(key, _)| key.get_ref().to_string()).collect();
            let others = names.iter().filter(|key| !is_asked(key));
            others.for_each(|key| drop(table.get_mut().remove(key.as_str())));
            T::deserialize(toml::Deserializer::from(table))
        });
        read.map_err(|error| self.fault(error.span().unwrap_or(0..0), error.message()))
    }

    /// A mistake in the table of that path: at the key that its words name, if they do.
    pub fn fault_in(&self, path: &[&str], why: &str) -> ConfigError {
        let table = DeTable::parse(&self.text).ok();
        self.fault(table.and_then(|table| place(table.get_ref(), path, why)).unwrap_or(0..0), why)
    }

    /// What is read of a section, where it is there.
    pub(super) fn table<T>(&self, name: &str, read: impl FnOnce(Option<&DeTable<'_>>) -> T) -> T {
        self.value(name, |value| {
            read(value.and_then(|section| match section.get_ref() {
                DeValue::Table(section) => Some(section),
                _ => None,
            }))
        })
    }

    /// What is read of a key, where it is there.
    pub(super) fn value<T>(&self, name: &str, read: impl FnOnce(Option<&Spanned<DeValue<'_>>>) -> T) -> T {
        let table = DeTable::parse(&self.text).ok();
        read(table.as_ref().and_then(|table| find(table.get_ref(), name)))
    }

    /// That a variable is not set which this upstream needs: at the value that names it.
    pub fn unset(&self, upstream: &str, variable: &str) -> ConfigError {
        let table = DeTable::parse(&self.text).ok();
        let path = ["upstreams", upstream];
        let begin = table.and_then(|table| place_of(table.get_ref(), &path)).unwrap_or(0);
        let named = self.text[begin..].find(&format!("${{{variable}}}")).map_or(begin, |at| begin + at);
        // The value begins at its quote.
        let start = self.text[..named].rfind(['"', '\'', '\n']).unwrap_or(named);
        let end = self.text[named..].find(['"', '\'', '\n']).map_or(named, |at| named + at + 1);
        self.fault(start..end, &format!("the environment variable `{variable}` is not set"))
    }

    /// A mistake that was found at this place.
    pub fn fault(&self, span: Range<usize>, why: &str) -> ConfigError {
        let start = boundary(&self.text, span.start);
        let begin = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let line = self.text[begin..end].trim_end_matches('\r');
        let before = &self.text[..begin];
        // Where a key or its section is mistaken, its value may be a secret.
        let is_astray = why.starts_with("unknown field") && before.lines().any(|line| line.starts_with('['));
        let is_delicate = is_astray || is_near_secret(before, line);
        let shown = if is_delicate { &line[..key(line)] } else { line };
        let is_masked = shown.len() < line.len();
        let cut = |at: usize| boundary(shown, at.saturating_sub(begin));
        let mut marked = width(&printed(&shown[..cut(start)]))..width(&printed(&shown[..cut(span.end)]));
        let excerpt = if is_masked { printed(shown) + MASK } else { printed(shown) };
        if is_masked && start - begin >= shown.len() {
            // It is what stands in place of the value that is wrong.
            marked = width(&excerpt) - MASK.trim_start().len()..width(&excerpt);
        }
        ConfigError::Wrong(ConfigFault {
            path: self.path.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column: self.text[begin..start].chars().count() + 1,
            why: in_words(why, &self.text[start..], is_masked),
            excerpt,
            marked,
        })
    }
}

/// Where the first key stands that the words name, of the table of that path; else where the table begins.
fn place(table: &DeTable<'_>, path: &[&str], why: &str) -> Option<Range<usize>> {
    let Some((name, rest)) = path.split_first() else {
        let words = why.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        return words.filter_map(|word| find(table, word)).map(Spanned::span).next();
    };
    let value = find(table, name)?;
    match value.get_ref() {
        DeValue::Table(table) => place(table, rest, why).or_else(|| Some(value.span())),
        _ => Some(value.span()),
    }
}

/// Where the table of that path begins.
fn place_of(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (name, rest) = path.split_first()?;
    let value = find(table, name)?;
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => place_of(inner, rest),
        _ => Some(value.span().start),
    }
}

fn find<'a, 'b>(table: &'a DeTable<'b>, name: &str) -> Option<&'a Spanned<DeValue<'b>>> {
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value)
}

/// The nearest place, at or before this one, where a text can be cut.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Whether a line, or what stands before it in its section, may be about a secret. Headers and variables are written in braces,
/// whatever became of the word before.
fn is_near_secret(before: &str, line: &str) -> bool {
    if line.contains('{') {
        return true;
    }
    let section = before.rfind("\n[").unwrap_or(0);
    let near = format!("{}\n{line}", &before[section..]).to_ascii_lowercase();
    let mut words = near.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    DELICATE.iter().any(|word| near.contains(word)) || words.any(is_secret) || Label::of_text(line).as_str() != line
}

/// How much of a line is a header or a key, and no value.
fn key(line: &str) -> usize {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let header = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match (header, line.split_once(" = ")) {
        (Some(name), _) if name.chars().all(is_plain) => line.len(),
        // Without the space it may also be the end of something encoded.
        (None, Some((key, _))) if key.trim_start().chars().all(is_plain) => key.len() + " =".len(),
        _ => 0,
    }
}

/// Fit for a terminal; one cell for what is one character wide.
fn printed(text: &str) -> String {
    sanitize(&text.replace('\t', " ")).into_owned()
}

/// What serde and the parser say, as we do.
fn in_words(why: &str, here: &str, is_masked: bool) -> String {
    let words: Vec<&str> = why.split('`').skip(1).step_by(2).collect();
    let is_key = why.starts_with("unknown field");
    match words[..] {
        [unknown, ref known @ ..] if is_key || why.starts_with("unknown variant") => {
            let what =
                if is_key { format!("unknown key `{unknown}`") } else { format!("`{unknown}` is not known here") };
            format!("{what}{}", instead(unknown, known))
        }
        _ if why == "duplicate key" => {
            let end = here.find(['\n', '=', ']', '.']).unwrap_or(here.len());
            format!("`{}` stands here for the second time", here[..end].trim())
        }
        // The parser took it for a number or the like.
        _ if ["invalid float", "invalid integer", "invalid boolean"].iter().any(|it| why.starts_with(it)) => {
            format!("{}; text stands in quotes", why.split(',').next().unwrap_or(why))
        }
        // A value may stand in it.
        _ if is_masked && why.starts_with("invalid ") => match why.split_once(", expected ") {
            Some((_, expected)) => format!("it must be {}", of_toml(expected)),
            None => why.to_owned(),
        },
        _ => match why.split_once(", expected ") {
            Some((found, expected)) if why.starts_with("invalid type: ") => {
                format!("{}, expected {}", of_toml(found), of_toml(expected))
            }
            _ => why.to_owned(),
        },
    }
}

/// What serde calls by the names of its own model, as TOML has it.
fn of_toml(words: &str) -> String {
    match words {
        "a sequence" => "a list: it stands in `[` and `]`".to_owned(),
        "a map" => "a table: it stands in `{` and `}`".to_owned(),
        _ if words.starts_with("struct ") => "a table: it stands in `{` and `}`".to_owned(),
        _ => words
            .replace("invalid type: sequence", "invalid type: list")
            .replace("invalid type: map", "invalid type: table"),
    }
}

/// What may have been meant.
fn instead(unknown: &str, known: &[&str]) -> String {
    match (nearest(unknown, known.iter().copied()), known) {
        (Some(near), _) => format!("; did you mean `{near}`?"),
        (None, []) => String::new(),
        (None, known) => format!("; known here: `{}`", known.join("`, `")),
    }
}

/// The word that is nearest, where one is near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let with_distance = known.map(|it| (strsim::jaro(&word, &it.replace('-', "_")), it));
    let (likeness, best) = with_distance.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    // Of a short word one letter is much.
    let is_slip = word.len() > 1 && strsim::levenshtein(&word, &best.replace('-', "_")) < 2;
    (likeness > NEAR || is_slip).then_some(best)
}
