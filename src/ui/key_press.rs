//! What a key press is called.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Names of keys that type no character, and of the one whose character cannot be seen.
pub(crate) const KEY_NAMES: [&str; 16] = [
    "enter",
    "esc",
    "tab",
    "shift tab",
    "backspace",
    "delete",
    "left",
    "right",
    "up",
    "down",
    "home",
    "end",
    "pgup",
    "pgdn",
    "space",
    "f1",
];

/// The name of a key press as the table has it, which has function keys in lower case; `None` where no key is called so.
pub(crate) fn key_name(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let is_function = lower.rsplit(' ').next().is_some_and(|key| key.len() > 1 && key.starts_with('f'));
    let name = if is_function { &lower } else { name };
    is_key_name(name).then(|| name.to_owned())
}

fn is_key_name(name: &str) -> bool {
    let one = |text: &str| text.chars().count() == 1 && !text.contains(|c: char| c.is_control() || c.is_whitespace());
    let base = name.strip_prefix("ctrl ").or_else(|| name.strip_prefix("alt "));
    let is_function = |text: &str| text.strip_prefix('f').is_some_and(|n| (1..=12).any(|key: u8| n == key.to_string()));
    match base {
        Some(base) => {
            KEY_NAMES.contains(&base) && base != "shift tab"
                || is_function(base)
                || one(base) && base == base.to_lowercase()
        }
        None => KEY_NAMES.contains(&name) || is_function(name) || one(name),
    }
}

/// A key press by the name that the table, the footer and the help use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPress {
    pub(crate) name: String,
    /// The character it types, where it types one.
    pub(crate) typed: Option<char>,
}

impl KeyPress {
    /// The press of a key of this name.
    pub(crate) fn named(name: &str) -> Self {
        let mut chars = name.chars();
        Self { name: name.to_owned(), typed: chars.next().filter(|_| chars.next().is_none()) }
    }

    pub(crate) fn of(event: &KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let typed = match event.code {
            KeyCode::Char(c) if !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => Some(c),
            _ => None,
        };
        let name = match event.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(c) if typed.is_none() => c.to_lowercase().collect(),
            KeyCode::Char(c) => c.to_string(),
            code => named(code)?,
        };
        let prefix = match () {
            () if event.modifiers.contains(KeyModifiers::CONTROL) => "ctrl ",
            () if event.modifiers.contains(KeyModifiers::ALT) => "alt ",
            () => "",
        };
        Some(Self { name: format!("{prefix}{name}"), typed })
    }
}

fn named(code: KeyCode) -> Option<String> {
    let name = match code {
        KeyCode::Enter => "enter",
        KeyCode::Esc => "esc",
        KeyCode::Tab => "tab",
        KeyCode::BackTab => "shift tab",
        KeyCode::Backspace => "backspace",
        KeyCode::Delete => "delete",
        KeyCode::Left => "left",
        KeyCode::Right => "right",
        KeyCode::Up => "up",
        KeyCode::Down => "down",
        KeyCode::Home => "home",
        KeyCode::End => "end",
        KeyCode::PageUp => "pgup",
        KeyCode::PageDown => "pgdn",
        KeyCode::F(number) => return Some(format!("f{number}")),
        _ => return None,
    };
    Some(name.to_owned())
}
