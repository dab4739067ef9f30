//! `[keys]`: keys of the screen that the operator wants otherwise. What is wrong is told all at once, each where it stands: who
//! writes a keymap writes many lines of it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::{ConfigError, ConfigSource, nearest};
use crate::ui::{KeyChange, KeyChoice, KeyMistake, key_choice};

/// The section of keys.
const SECTION: &str = "keys";

/// What a file says of keys.
pub(super) fn read(source: &ConfigSource) -> Result<KeyChoice, ConfigError> {
    let said = source.table(SECTION, |section| section.map(changes).unwrap_or_default());
    let (changes, spans): (Vec<_>, Vec<_>) = said.changes.into_iter().unzip();
    let chosen = key_choice(&changes);
    if let (Ok(choice), true) = (&chosen, said.faults.is_empty()) {
        return Ok(choice.clone());
    }
    let mistakes = chosen.err().unwrap_or_default().into_iter();
    let mut faults: Vec<(Range<usize>, String)> =
        mistakes.map(|mistake| (spans[mistake.change].of(&mistake), in_words(&mistake))).chain(said.faults).collect();
    faults.sort_by_key(|(span, _)| span.start);
    Err(ConfigError::Several(faults.into_iter().map(|(span, why)| source.fault(span, &why)).collect()))
}

/// Where a change stands.
struct ChangeSpans {
    place: Option<Range<usize>>,
    command: Range<usize>,
    keys: Range<usize>,
}

impl ChangeSpans {
    /// Where of it the mistake is.
    fn of(&self, mistake: &KeyMistake) -> Range<usize> {
        let is_place = mistake.why.starts_with("there are no keys of a place");
        match &self.place {
            Some(place) if is_place => place.clone(),
            _ if mistake.why.starts_with("there is no command") => self.command.clone(),
            _ => self.keys.clone(),
        }
    }
}

#[derive(Default)]
struct SaidOfKeys {
    changes: Vec<(KeyChange, ChangeSpans)>,
    /// What is no key and no list of keys.
    faults: Vec<(Range<usize>, String)>,
}

/// All that the section says: `command = "key"`, or the same in a table of one place.
fn changes(section: &DeTable<'_>) -> SaidOfKeys {
    let mut said = SaidOfKeys::default();
    for (name, value) in section {
        match value.get_ref() {
            DeValue::Table(place) => {
                place.iter().for_each(|(command, value)| said.add(Some(name), command, value));
            }
            _ => said.add(None, name, value),
        }
    }
    said
}

type Named<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl SaidOfKeys {
    fn add(&mut self, place: Option<&Named<'_>>, command: &Named<'_>, value: &Spanned<DeValue<'_>>) {
        let keys = match value.get_ref() {
            DeValue::String(key) => Some(vec![key.to_string()]),
            DeValue::Array(keys) => keys
                .iter()
                .map(|key| match key.get_ref() {
                    DeValue::String(key) => Some(key.to_string()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let Some(keys) = keys else {
            let why = "a key is expected, such as `\"f\"` or `\"ctrl f\"`, or a list of keys";
            self.faults.push((value.span(), why.to_owned()));
            return;
        };
        let spans = ChangeSpans { place: place.map(Spanned::span), command: command.span(), keys: value.span() };
        let place = place.map(|place| place.get_ref().to_string());
        self.changes.push((KeyChange { place, command: command.get_ref().to_string(), keys }, spans));
    }
}

fn in_words(mistake: &KeyMistake) -> String {
    let why = &mistake.why;
    let Some((word, known)) = &mistake.unknown else { return why.clone() };
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("{why}; did you mean `{near}`?"),
        None if why.contains("of a place") => format!("{why}; there are `{}`", known.join("`, `")),
        None if why.starts_with("there is no command") => format!("{why}; `:` on the screen lists them"),
        None => why.clone(),
    }
}
