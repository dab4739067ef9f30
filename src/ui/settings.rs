//! How the operator wants the screen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::graphics::Graphics;
use super::host::TapeWriter;
use crate::envelope::Envelope;
use crate::event::{OnQuit, Timestamp};
use crate::filter::SavedFilters;

/// Which colours the screen has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorTheme {
    /// As the terminal's background is, where it says so; else the terminal's own sixteen.
    #[default]
    Auto,
    Dark,
    Light,
    Contrast,
    /// The terminal's own sixteen colours.
    Ansi,
    Mono,
}

impl ColorTheme {
    /// Its name in files and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Contrast => "contrast",
            Self::Ansi => "ansi",
            Self::Mono => "mono",
        }
    }

    /// The next one, as `t t` has them.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Auto | Self::Ansi => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::Contrast,
            Self::Contrast => Self::Mono,
            Self::Mono => Self::Ansi,
        }
    }
}

/// Writes messages of one upstream, each with the time when it came, as an HTTP Archive.
pub type ArchiveWriter = fn(&[(Arc<Envelope>, Timestamp)], &str) -> String;

/// Keys of the operator's own: those of rows of the table of keys, by the number of the row. The others are as they stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChoice(pub(crate) BTreeMap<usize, &'static [&'static str]>);

/// A column of the message list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListColumn {
    Number,
    Time,
    /// The server of its session.
    Session,
    /// Which way it goes, and whether it asks, answers, fails or tells.
    Kind,
    Id,
    /// Method, and the name of the tool, prompt or resource.
    Name,
    /// Arguments, or what a result says.
    Content,
    Size,
    Duration,
}

impl ListColumn {
    /// Every column there is; all but the session's are the usual ones, in this order.
    pub const ALL: [Self; 9] = [
        Self::Number,
        Self::Time,
        Self::Session,
        Self::Kind,
        Self::Id,
        Self::Name,
        Self::Content,
        Self::Size,
        Self::Duration,
    ];

    /// Its name in files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "time",
            Self::Session => "session",
            Self::Kind => "kind",
            Self::Id => "id",
            Self::Name => "name",
            Self::Content => "content",
            Self::Size => "size",
            Self::Duration => "duration",
        }
    }
}

/// How the operator wants the screen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The screen is drawn without colours (`NO_COLOR`).
    pub mono: bool,
    pub theme: ColorTheme,
    /// The terminal said that its background is a light one.
    pub is_light: bool,
    /// No sign beyond ASCII.
    pub ascii: bool,
    /// What happens to held messages on quit; `None` asks.
    pub on_quit: Option<OnQuit>,
    /// Whose time of day is shown.
    pub zone: TimeZone,
    /// Bytes of messages that are kept in the list; the oldest leave it first.
    pub memory: usize,
    /// The core runs on when the screen has ended.
    pub attached: bool,
    /// What `@NAME` means in a filter.
    pub filters: SavedFilters,
    /// Where filters are remembered between runs.
    pub history: Option<PathBuf>,
    /// What was remembered: a filter a line, with `@NAME` before it where it has one.
    pub remembered: Vec<String>,
    /// Writes messages of one upstream as an HTTP Archive.
    pub archive: Option<ArchiveWriter>,
    pub tape_writer: Option<TapeWriter>,
    /// Keys that are not those of the table.
    pub keys: KeyChoice,
    /// Columns of the message list, in their order; empty: the usual ones.
    pub columns: Vec<ListColumn>,
    /// How long clients wait for a reply, by their names, whatever is known of them.
    pub patience: BTreeMap<String, Duration>,
    /// The terminal rings when the client of a held message is about to give up.
    pub bell: bool,
    /// How the terminal shows pictures, where it can.
    pub graphics: Option<Graphics>,
    /// What to paste where, while nothing has passed.
    pub hints: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mono: false,
            theme: ColorTheme::Auto,
            is_light: false,
            ascii: false,
            on_quit: None,
            zone: TimeZone::system(),
            memory: 256 << 20,
            attached: false,
            filters: SavedFilters::default(),
            history: None,
            remembered: Vec::new(),
            archive: None,
            tape_writer: None,
            keys: KeyChoice::default(),
            columns: Vec::new(),
            patience: BTreeMap::new(),
            bell: false,
            graphics: None,
            hints: Vec::new(),
        }
    }
}

impl Settings {
    /// Takes note of what the terminal's background is.
    pub(super) fn stand_on(&mut self, light: bool) {
        self.is_light = light;
        if self.theme == ColorTheme::Auto {
            self.theme = if light { ColorTheme::Light } else { ColorTheme::Dark };
        }
    }

    /// Reads the settings from the environment: no colours with `NO_COLOR`, ASCII where the locale is not UTF-8.
    pub fn from_env() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let utf8 = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
        Self { mono: set("NO_COLOR").is_some(), ascii: cfg!(unix) && !utf8, ..Self::default() }
    }
}
