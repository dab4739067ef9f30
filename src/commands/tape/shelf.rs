//! Which tape is meant: a file, or a part of the name of one that is kept.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::config::options::{chosen_tapes, tapes_are_found, tapes_dir};
use crate::config::{Config, FILE};
use crate::control::registry::Registry;
use crate::exit::ExitError;
use crate::tape::{PACKED, SUFFIX, TapeError, tape_files};

/// Where tapes are looked for that are named and not given as a path.
pub(super) struct TapeShelf {
    dir: Option<PathBuf>,
    /// Why it is not known where that is.
    unread: Option<String>,
    /// Only a file in the working directory names it.
    is_found: bool,
}

impl TapeShelf {
    pub(super) fn of(given: Option<&PathBuf>, config: &Config) -> Self {
        let unread = config.unread_tapes.clone().filter(|_| chosen_tapes(given).is_none());
        let dir = tapes_dir(given, &config.keys).ok().filter(|_| unread.is_none());
        Self { dir, unread, is_found: tapes_are_found(given, &config.keys) }
    }

    /// The directory whose tapes are removed without a name.
    pub(super) fn dir_to_clear(&self) -> Result<&Path, ExitError> {
        let dir = self.dir()?;
        if !self.is_found {
            return Ok(dir);
        }
        let text = "tapes are not removed from where only";
        let dir = dir.display();
        Err(ExitError::usage(anyhow!(
            "{text} {FILE} of this directory says they are, unless named; `--tapes {dir}` says so, too"
        )))
    }

    pub(super) fn dir(&self) -> Result<&Path, ExitError> {
        self.check_read()?;
        self.dir.as_deref().ok_or_else(|| {
            ExitError::usage(anyhow!("no home directory to look for tapes in; give one with `--tapes DIR`"))
        })
    }

    fn check_read(&self) -> Result<(), ExitError> {
        self.unread.as_ref().map_or(Ok(()), |why| Err(ExitError::usage(anyhow!("{why}"))))
    }

    /// The tape that is meant: a file, or one of the directory by a part of its name. No tape is a directory: one of that name does not
    /// hide a tape.
    pub(super) fn find(&self, given: &Path) -> Result<PathBuf, ExitError> {
        // It may be there: in a directory that is not ours to look into.
        given.try_exists().map_err(|error| ExitError::usage(TapeError::unread(given, error)))?;
        self.known(given)?.ok_or_else(|| ExitError::usage(TapeError::Missing { path: given.to_owned() }))
    }

    /// As [`Self::find`], where each of several tapes is read by itself: of what is none, whoever reads it says so.
    pub(super) fn meant(&self, given: &Path) -> Result<PathBuf, ExitError> {
        Ok(self.known(given)?.unwrap_or_else(|| given.to_owned()))
    }

    /// # Errors
    /// Where it may be each of several.
    fn known(&self, given: &Path) -> Result<Option<PathBuf>, ExitError> {
        let is_dir = given.is_dir();
        if given.exists() && !is_dir {
            return Ok(Some(given.to_owned()));
        }
        let part = given.to_str().filter(|part| !part.contains('/') && !matches!(*part, "" | "." | ".."));
        if part.is_some() {
            self.check_read()?;
        }
        let known = self.dir.as_deref().map(tape_files).transpose().map_err(ExitError::usage)?.unwrap_or_default();
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut found: Vec<_> =
            known.into_iter().filter(|path| part.is_some_and(|part| name(path).contains(part))).collect();
        // Whose whole name that is, is not hidden by those whose name begins so.
        let is_whole = |path: &PathBuf| part.is_some_and(|part| part == name(path) || part == short_name(path));
        if found.iter().filter(|path| is_whole(path)).count() == 1 {
            found.retain(is_whole);
        }
        match &found[..] {
            [one] => Ok(Some(one.clone())),
            // Whoever reads it says that it is one.
            [] => Ok(is_dir.then(|| given.to_owned())),
            many => {
                let names: Vec<_> = many.iter().take(5).map(name).collect();
                Err(ExitError::usage(anyhow!(
                    "`{}` may be each of {}; give more of the name",
                    given.display(),
                    names.join(", ")
                )))
            }
        }
    }
}

/// The tapes in a directory, by name.
pub(super) fn tapes_in(dir: &Path) -> Result<Vec<PathBuf>, ExitError> {
    tape_files(dir).map_err(ExitError::usage)
}

/// The name of a tape without what all have.
pub(super) fn short_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.strip_suffix(PACKED).unwrap_or(&name);
    name.strip_suffix(SUFFIX).unwrap_or(name).to_owned()
}

/// Whether a tape may be written to now: it has no end, and a tapline runs.
pub(super) fn may_be_written(end: Option<&str>) -> bool {
    end.is_none() && !Registry::of_user().list().is_empty()
}
