//! Keys of the operator's own: what a file says of them, held against the one table.
//!
//! A command is known by its name after `:`. What it has no name for there is not changed: keys of lines, forms and questions,
//! and `ctrl c`, which leads out whatever else does. A key may mean two things in one place only where it does so in the table.

use std::collections::BTreeMap;

use super::binding::Action;
use super::context::KeyContext;
use super::table::BINDINGS;
use crate::ui::key_press::{KEY_NAMES, key_name};
use crate::ui::settings::KeyChoice;

/// One line of a file: the keys of a command, in one place or in all in which it has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    pub place: Option<String>,
    pub command: String,
    pub keys: Vec<String>,
}

/// What is wrong with a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMistake {
    /// Which of the changes it is.
    pub change: usize,
    pub why: String,
    /// The word that is not known, where that is the mistake, and those that are.
    pub unknown: Option<(String, Vec<&'static str>)>,
}

type ChangedRows = BTreeMap<usize, (usize, &'static [&'static str])>;

/// The table with these changes; else all that is wrong with them.
///
/// # Errors
/// Where a place, a command or a key is not known, or a key would mean two things in one place.
pub fn key_choice(changes: &[KeyChange]) -> Result<KeyChoice, Vec<KeyMistake>> {
    let (mut rows, mut mistakes) = (ChangedRows::new(), Vec::new());
    let (all, one): (Vec<_>, Vec<_>) = changes.iter().enumerate().partition(|(_, change)| change.place.is_none());
    // What is said of one place wins over what is said of all.
    for (at, change) in all.into_iter().chain(one) {
        let wrong_keys = wrong_keys(at, change);
        match rows_of(at, change) {
            Ok(found) if wrong_keys.is_empty() => {
                mistakes.extend(no_way_out(at, change, &found));
                let keys = lasting(&change.keys);
                rows.extend(found.into_iter().map(|row| (row, (at, keys))));
            }
            Ok(_) => {}
            Err(mistake) => mistakes.push(mistake),
        }
        mistakes.extend(wrong_keys);
    }
    mistakes.extend(clashes(&rows));
    mistakes.sort_by_key(|mistake| mistake.change);
    match mistakes.is_empty() {
        true => Ok(KeyChoice(rows.into_iter().map(|(row, (_, keys))| (row, keys)).collect())),
        false => Err(mistakes),
    }
}

/// The table has its words for as long as the program runs; these are read once, and join it.
fn lasting(keys: &[String]) -> &'static [&'static str] {
    Box::leak(keys.iter().filter_map(|key| Some(&*Box::leak(key_name(key)?.into_boxed_str()))).collect())
}

/// The rows of the table that a change is about.
fn rows_of(change: usize, said: &KeyChange) -> Result<Vec<usize>, KeyMistake> {
    let unknown = |why: String, word: &str, known| KeyMistake { change, why, unknown: Some((word.to_owned(), known)) };
    let place = said.place.as_deref();
    let places: Vec<_> = KeyContext::ALL.into_iter().filter_map(KeyContext::name_in_file).collect();
    if let Some(place) = place.filter(|place| !places.contains(place)) {
        return Err(unknown(format!("there are no keys of a place `{place}`"), place, places));
    }
    let is_here = |row: &usize| {
        let name = BINDINGS[*row].on.name_in_file();
        name.is_some() && place.is_none_or(|place| name == Some(place)) && can_change(BINDINGS[*row].action)
    };
    let here: Vec<usize> = (0..BINDINGS.len()).filter(is_here).collect();
    let found: Vec<_> = here.iter().copied().filter(|row| BINDINGS[*row].action.name() == said.command).collect();
    if found.is_empty() {
        let of_place = place.map_or(String::new(), |place| format!(" of `{place}`"));
        let known = here.into_iter().map(|row| BINDINGS[row].action.name()).collect();
        return Err(unknown(format!("there is no command `{}`{of_place}", said.command), &said.command, known));
    }
    Ok(found)
}

/// What leads out of everything, and to the help, keeps a key: a person who does not know the file would be lost.
fn no_way_out(change: usize, said: &KeyChange, rows: &[usize]) -> Option<KeyMistake> {
    let needs_key = |row: &&usize| BINDINGS[**row].on == KeyContext::Everywhere && is_needed(BINDINGS[**row].action);
    let action = BINDINGS[*rows.iter().find(needs_key).filter(|_| said.keys.is_empty())?].action;
    let name = action.name();
    let why = match action {
        Action::Help => format!("`{name}` needs a key: without one there is no list of the others"),
        _ => format!("`{name}` needs a key: without one there is no way out but `ctrl c`"),
    };
    Some(KeyMistake { change, why, unknown: None })
}

fn is_needed(action: Action) -> bool {
    matches!(action, Action::Quit | Action::Back | Action::Help)
}

fn can_change(action: Action) -> bool {
    action != Action::Interrupt && action.name() != Action::Cancel.name()
}

fn wrong_keys(change: usize, said: &KeyChange) -> Vec<KeyMistake> {
    let of = |key: &String| match () {
        () if key == "ctrl c" => {
            Some(KeyMistake { change, why: "`ctrl c` leads out, and means nothing else".to_owned(), unknown: None })
        }
        () if key_name(key).is_some() => None,
        () => Some(KeyMistake {
            change,
            why: format!("no key is called `{key}`: a character, `ctrl x`, `alt x`, `f1`, or a name such as `pgup`"),
            unknown: Some((key.clone(), KEY_NAMES.to_vec())),
        }),
    };
    said.keys.iter().filter_map(of).collect()
}

/// Keys that would mean two things where they mean one in the table.
fn clashes(rows: &ChangedRows) -> Vec<KeyMistake> {
    let keys_of = |row: usize| rows.get(&row).map_or(BINDINGS[row].keys, |(_, keys)| *keys);
    let mut clashes = Vec::new();
    for (row, (change, keys)) in rows {
        let this = &BINDINGS[*row];
        for key in *keys {
            let is_other = |other: &usize| {
                let that = &BINDINGS[*other];
                let is_counted = rows.contains_key(other) && other <= row;
                let is_usual = this.keys.contains(key) && that.keys.contains(key);
                !is_counted && !is_usual && that.action != this.action && this.on.meets(that.on)
            };
            let Some(other) = (0..BINDINGS.len()).filter(is_other).find(|other| keys_of(*other).contains(key)) else {
                continue;
            };
            let that = &BINDINGS[other];
            let (name, place) = (that.action.name(), that.on.title());
            let hint = match that.action {
                action if !can_change(action) => "",
                action if is_needed(action) => "; give that another key",
                _ => "; give that another key, or `[]` for none",
            };
            let mistake =
                KeyMistake { change: *change, why: format!("`{key}` is also `{name}` ({place}){hint}"), unknown: None };
            if !clashes.contains(&mistake) {
                clashes.push(mistake);
            }
        }
    }
    clashes
}
