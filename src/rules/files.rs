//! Files of rules, and the ready sets that go by their names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::RuleDocument;
use super::read::{Beside, RuleFault, read, read_among};
use super::set::{RuleDraft, RuleSet};
use crate::files::write_whole;
use crate::filter::SavedFilters;

/// The ready sets: name and text.
const READY: [(&str, &str); 10] = [
    ("auth-expiry", include_str!("../../assets/rules/auth-expiry.toml")),
    ("era-downgrade", include_str!("../../assets/rules/era-downgrade.toml")),
    ("expired-session", include_str!("../../assets/rules/expired-session.toml")),
    ("flaky", include_str!("../../assets/rules/flaky.toml")),
    ("hostile-tools", include_str!("../../assets/rules/hostile-tools.toml")),
    ("list-changes", include_str!("../../assets/rules/list-changes.toml")),
    ("malformed", include_str!("../../assets/rules/malformed.toml")),
    ("rate-limited", include_str!("../../assets/rules/rate-limited.toml")),
    ("read-only", include_str!("../../assets/rules/read-only.toml")),
    ("slow", include_str!("../../assets/rules/slow.toml")),
];

/// Where rules go that were made on a screen, unless it says otherwise.
const MADE_HERE: &str = "rules.toml";

/// Where rules come from, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct RuleFiles {
    /// Files, or names of ready sets.
    pub places: Vec<PathBuf>,
    /// Files of settings that have rules among them.
    pub settings: Vec<PathBuf>,
    /// What `@NAME` in their filters means.
    pub filters: SavedFilters,
}

/// The text of one place.
#[derive(Clone, Debug)]
pub(super) struct RulePage {
    place: PathBuf,
    kind: PageKind,
    text: String,
    /// As it stands in its file.
    saved: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageKind {
    File,
    /// tapline.toml, in which other things stand.
    Settings,
    Ready,
    MadeHere,
}

impl RulePage {
    /// Rules that have no file yet.
    pub(super) fn made_here() -> Self {
        Self { place: PathBuf::new(), kind: PageKind::MadeHere, text: String::new(), saved: String::new() }
    }

    fn read(place: &Path, kind: PageKind) -> Result<Self, String> {
        let ready = place.to_str().filter(|_| !place.exists()).and_then(ready_set);
        let (kind, text) = match ready {
            Some(text) => (PageKind::Ready, text.to_owned()),
            None => (kind, read_file(place)?),
        };
        Ok(Self { place: place.to_owned(), kind, saved: text.clone(), text })
    }

    pub(super) fn reread(&mut self) -> Result<(), String> {
        if let Some(file) = self.file() {
            self.saved = read_file(file)?;
            self.text.clone_from(&self.saved);
        }
        Ok(())
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_unsaved(&self) -> bool {
        self.text != self.saved
    }

    /// Whether another program has changed the file of a text that has changed here.
    pub(super) fn is_overtaken(&self) -> bool {
        let written = self.file().filter(|_| self.is_unsaved()).and_then(|file| read_file(file).ok());
        written.is_some_and(|written| written != self.saved)
    }

    /// Whether a new rule may go there: a ready set stays as it is, and settings are not for what a hand did once.
    pub(super) fn takes_new(&self) -> bool {
        matches!(self.kind, PageKind::File | PageKind::MadeHere)
    }

    /// The file that it is, or is to be once it is saved.
    pub(super) fn file(&self) -> Option<&Path> {
        matches!(self.kind, PageKind::File | PageKind::Settings).then_some(&*self.place)
    }

    pub(super) fn change(
        &mut self,
        change: impl FnOnce(&mut RuleDocument) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut doc = RuleDocument::parse(&self.text)?;
        change(&mut doc)?;
        self.text = doc.text();
        Ok(())
    }

    /// The file that it is to be saved to: its own; for a ready set one of its name, for what was made on a screen `rules.toml`.
    pub(super) fn goal(&self, asked: Option<&Path>) -> PathBuf {
        match (self.file(), self.kind, asked) {
            (Some(own), ..) => own.to_owned(),
            (None, _, Some(asked)) => asked.to_owned(),
            (None, PageKind::Ready, None) => self.place.with_extension("toml"),
            (None, ..) => PathBuf::from(MADE_HERE),
        }
    }

    /// Takes the text that is to stand in the file. What is there already and not in force stays as it is, unless that file was asked for.
    pub(super) fn prepare(&mut self, goal: PathBuf, is_asked: bool) -> Result<(), String> {
        let shown = goal.display();
        if self.file().is_some() {
            if goal.exists() && read_file(&goal)? != self.saved {
                return Err(format!("{shown} was changed by another program: `:original` takes what stands there"));
            }
            return Ok(());
        }
        if goal.exists() && !(is_asked && self.kind == PageKind::MadeHere) {
            return Err(format!(
                "{shown} is there already: `:rules save FILE` names another, `--rules {shown}` adds to it"
            ));
        }
        let before = if goal.exists() { read_file(&goal)? + "\n" } else { String::new() };
        (self.place, self.kind, self.text) = (goal, PageKind::File, before + &self.text);
        Ok(())
    }

    /// Writes it, whole or not at all, behind all links and with the permissions that the file has.
    pub(super) fn write(&mut self) -> Result<(), String> {
        let failed = |why: std::io::Error| format!("{}: {why}", self.place.display());
        let real = if self.place.exists() { self.place.canonicalize().map_err(failed)? } else { self.place.clone() };
        let like = real.metadata().ok();
        write_whole(&real, self.text.as_bytes(), like.as_ref()).map_err(failed)?;
        self.saved.clone_from(&self.text);
        Ok(())
    }

    fn shown(&self) -> String {
        self.place.display().to_string()
    }
}

impl RuleFiles {
    /// Reads all of them.
    ///
    /// # Errors
    /// Everything that is wrong with any, a line each, with file, line and column.
    pub fn read(&self) -> Result<RuleSet, String> {
        self.set_of(&self.pages()?)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.settings.is_empty()
    }

    /// The texts of all places.
    ///
    /// # Errors
    /// Those that cannot be read, a line each.
    pub(super) fn pages(&self) -> Result<Vec<RulePage>, String> {
        let (mut pages, mut faults) = (Vec::new(), Vec::new());
        let files = self.places.iter().map(|place| RulePage::read(place, PageKind::File));
        let settings = self.settings.iter().map(|place| RulePage::read(place, PageKind::Settings));
        for page in files.chain(settings) {
            match page {
                Ok(page) => pages.push(page),
                Err(why) => faults.push(why),
            }
        }
        // What is wrong with those that can be read is said at once, too.
        if let Err(why) = self.set_of(&pages)
            && !faults.is_empty()
        {
            faults.push(why);
        }
        if faults.is_empty() { Ok(pages) } else { Err(faults.join("\n")) }
    }

    /// The rules of these texts.
    ///
    /// # Errors
    /// Everything that is wrong with any, a line each, with file, line and column.
    pub(super) fn set_of(&self, pages: &[RulePage]) -> Result<RuleSet, String> {
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for page in pages {
            let beside = if page.kind == PageKind::Settings { Beside::Settings } else { Beside::Nothing };
            match read_among(&page.text, &self.filters, beside) {
                Ok(draft) => rules.extend(draft.rules.into_iter().map(|mut rule| {
                    (rule.origin.place, rule.origin.is_unsaved) = (page.shown().into(), page.is_unsaved());
                    rule
                })),
                Err(found) => faults.extend(found.iter().map(|fault| in_place(&page.place, &page.text, fault))),
            }
        }
        if faults.is_empty() { Ok(RuleSet::new(rules)) } else { Err(faults.join("\n")) }
    }
}

/// The names of the ready sets, what each is for, and the names of its rules.
pub fn ready_sets() -> Vec<(&'static str, String, Vec<Arc<str>>)> {
    let sets = READY.iter().map(|(name, text)| {
        let RuleDraft { rules, about } = read(text, &SavedFilters::default()).unwrap_or_default();
        (*name, about, rules.into_iter().map(|rule| rule.name).collect())
    });
    sets.collect()
}

/// The text of a ready set.
pub fn ready_set(name: &str) -> Option<&'static str> {
    READY.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn read_file(place: &Path) -> Result<String, String> {
    std::fs::read_to_string(place).map_err(|why| {
        let names: Vec<_> = READY.iter().map(|(name, _)| *name).collect();
        format!("{}: {why}; the ready sets are `{}`", place.display(), names.join("`, `"))
    })
}

/// `rules.toml:3:8: what is wrong`; columns count characters.
fn in_place(place: &Path, text: &str, fault: &RuleFault) -> String {
    let at = (0..=fault.span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let begin = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let (line, column) = (text[..at].matches('\n').count() + 1, text[begin..at].chars().count() + 1);
    let place = if place.as_os_str().is_empty() { "new rules".into() } else { place.display().to_string() };
    format!("{place}:{line}:{column}: {}", fault.why)
}
