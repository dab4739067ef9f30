//! What a key press is called.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

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
        KeyCode::F(1) => "f1",
        _ => return None,
    };
    Some(name.to_owned())
}
