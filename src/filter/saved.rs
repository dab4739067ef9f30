//! Filters that have a name, for `@NAME`.

use std::collections::BTreeMap;

use super::cursor::FilterError;
use super::expression::Expr;
use super::term::nearest;
use super::{Filter, parse};

/// Named filters, in the order of their names; one may use others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedFilters(BTreeMap<String, String>);

/// Filters inside each other: more is a circle.
pub(super) const MOST_NESTED: usize = 8;

impl SavedFilters {
    /// Takes over filters by name.
    ///
    /// # Errors
    /// The first that is none, or a name that cannot be typed.
    pub fn new(filters: BTreeMap<String, String>) -> Result<Self, String> {
        let filters = Self(filters);
        for (name, text) in &filters.0 {
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("invalid filter name `{name}`: use letters, digits, `-` and `_`"));
            }
            Filter::parse_with(text, &filters).map_err(|error| format!("`{name}`: {error}"))?;
        }
        Ok(filters)
    }

    /// Takes over one more, or another under its name.
    ///
    /// # Errors
    /// Where it is no filter, or the name cannot be typed.
    pub fn put(&mut self, name: &str, text: &str) -> Result<(), String> {
        let mut all = self.0.clone();
        all.insert(name.to_owned(), text.to_owned());
        *self = Self::new(all)?;
        Ok(())
    }

    /// The text under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the names of all saved filters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn read(&self, name: &str, nested: usize) -> Result<Expr, String> {
        let Some(text) = self.get(name) else {
            let near = nearest(name, self.names()).map(|near| format!("; did you mean `@{near}`?"));
            let hint = near
                .unwrap_or_else(|| "; `[filters]` in tapline.toml names them, and quotes look for the text".to_owned());
            return Err(format!("there is no saved filter `@{name}`{hint}"));
        };
        if nested >= MOST_NESTED {
            return Err(format!("`@{name}` leads back to itself"));
        }
        parse::parse_nested(text, self, nested + 1).map_err(|FilterError { why, .. }| format!("in `@{name}`: {why}"))
    }
}

/// What a name is made of.
pub(super) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}
