//! How the operator wants the screen.

use jiff::tz::TimeZone;

use crate::event::OnQuit;
use crate::filter::SavedFilters;

/// How the operator wants the screen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// No colour (`NO_COLOR`).
    pub mono: bool,
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mono: false,
            ascii: false,
            on_quit: None,
            zone: TimeZone::system(),
            memory: 256 << 20,
            attached: false,
            filters: SavedFilters::default(),
        }
    }
}

impl Settings {
    /// As the environment asks: `NO_COLOR`, and ASCII where the locale is not UTF-8.
    pub fn from_env() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let utf8 = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
        Self { mono: set("NO_COLOR").is_some(), ascii: cfg!(unix) && !utf8, ..Self::default() }
    }
}
