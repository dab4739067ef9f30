//! Tapes that lie elsewhere: `s3://`, `gs://`, `az://` and `http(s)://`, with the feature `object-store`.
//!
//! All the rest of tapline knows files. A tape that is to be read is fetched into a file of its own before the command begins, in bounded
//! memory; what is recorded is recorded to a file as ever, and sent when that is closed, on a thread of its own: so neither a slow store nor
//! one that fails is in the way of a message, and what could not be sent is still there.

#[cfg(feature = "object-store")]
mod failure;
#[cfg(feature = "object-store")]
mod fetch;
#[cfg(feature = "object-store")]
mod place;
#[cfg(feature = "object-store")]
mod send;
#[cfg(feature = "object-store")]
mod uploads;

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::cli::{CliCommand, SearchArgs, TapeArgs, TapeCommand, TapeRmArgs};
use crate::exit::ExitError;

#[cfg(feature = "object-store")]
pub(super) use self::send::upload;
#[cfg(feature = "object-store")]
use self::{fetch::FetchedTapes, uploads::Uploads};

/// What a tape begins with that lies elsewhere.
const SCHEMES: [&str; 5] = ["s3://", "gs://", "az://", "http://", "https://"];

fn is_remote(path: &Path) -> bool {
    path.to_str().is_some_and(|path| SCHEMES.iter().any(|scheme| path.starts_with(scheme)))
}

/// Which of a command's paths are tapes, by what becomes of them.
#[derive(Default)]
struct TapePaths<'a> {
    /// Read.
    read: Vec<&'a mut PathBuf>,
    /// Lists that may name all tapes below a place.
    lists: Vec<&'a mut Vec<PathBuf>>,
    /// Changed where they lie.
    changed: Vec<&'a Path>,
    /// Where is recorded to.
    recorded: Option<&'a mut Option<PathBuf>>,
    /// Where tapes are looked for by a part of their name.
    shelf: Option<&'a mut Option<PathBuf>>,
}

impl<'a> TapePaths<'a> {
    fn of(command: &'a mut CliCommand) -> Self {
        let none = Self::default();
        match command {
            CliCommand::Run(args) => Self { recorded: Some(&mut args.common.watch.tapes), ..none },
            CliCommand::Stdio(args) => Self { recorded: Some(&mut args.common.watch.tapes), ..none },
            CliCommand::Mock(args) => {
                // What a real server answers is added to the tape.
                if args.record {
                    return Self { changed: args.tape.iter().map(PathBuf::as_path).collect(), ..none };
                }
                Self { lists: vec![&mut args.tape], recorded: Some(&mut args.common.watch.tapes), ..none }
            }
            CliCommand::Replay(args) => {
                // What differs is taken over into the tape.
                if args.update {
                    return Self { changed: args.tapes.iter().map(PathBuf::as_path).collect(), ..none };
                }
                Self { lists: vec![&mut args.tapes], recorded: Some(&mut args.record), ..none }
            }
            CliCommand::Lint(args) => Self { lists: vec![&mut args.tapes], ..none },
            CliCommand::Check(args) => Self { lists: vec![&mut args.on], ..none },
            CliCommand::Search(SearchArgs { paths, tapes, .. }) => {
                Self { lists: vec![paths], shelf: Some(tapes), ..none }
            }
            CliCommand::Tape(TapeArgs { command, tapes }) => Self { shelf: Some(tapes), ..Self::of_tape(command) },
            _ => none,
        }
    }

    fn of_tape(command: &'a mut TapeCommand) -> Self {
        let none = Self::default();
        match command {
            TapeCommand::Ls { paths, .. } => Self { lists: vec![paths], ..none },
            TapeCommand::Show(args) => Self { read: vec![&mut args.tape], ..none },
            TapeCommand::Verify { given, .. } => Self { lists: vec![given], ..none },
            TapeCommand::Diff(args) => Self { read: vec![&mut args.left, &mut args.right], ..none },
            TapeCommand::Baseline(args) => Self { read: vec![&mut args.tape], ..none },
            TapeCommand::Export(args) => Self { read: vec![&mut args.tape], ..none },
            TapeCommand::Minimise(args) => Self::rewritten(&mut args.tape, args.out.as_deref()),
            TapeCommand::Redact(args) => Self::rewritten(&mut args.tape, args.out.as_deref()),
            TapeCommand::Note { tape, .. } | TapeCommand::Rename { tape, .. } => Self { changed: vec![tape], ..none },
            TapeCommand::Sign { given, .. }
            | TapeCommand::Pack { given, .. }
            | TapeCommand::Rm(TapeRmArgs { tape: given, .. }) => {
                Self { changed: given.iter().map(PathBuf::as_path).collect(), ..none }
            }
            TapeCommand::Upload(args) => Self { lists: vec![&mut args.given], ..none },
            TapeCommand::Import(_) | TapeCommand::Format => none,
        }
    }

    /// A tape of which another is made: beside it, where no place is given.
    fn rewritten(tape: &'a mut PathBuf, out: Option<&Path>) -> Self {
        match out {
            Some(_) => Self { read: vec![tape], ..Self::default() },
            None => Self { changed: vec![tape], ..Self::default() },
        }
    }

    /// The first that lies elsewhere.
    fn first_remote(&self) -> Option<PathBuf> {
        let read = self.read.iter().map(|path| path.as_path());
        let listed = self.lists.iter().flat_map(|paths| paths.iter().map(PathBuf::as_path));
        let recorded = self.recorded.iter().filter_map(|path| path.as_deref());
        read.chain(listed)
            .chain(recorded)
            .chain(self.changed.iter().copied())
            .find(|path| is_remote(path))
            .map(Path::to_owned)
    }
}

/// What a command has of tapes that lie elsewhere, until it ends.
#[derive(Default)]
pub(super) struct RemoteTapes {
    #[cfg(feature = "object-store")]
    uploads: Option<Uploads>,
    #[cfg(feature = "object-store")]
    _fetched: Option<FetchedTapes>,
}

impl RemoteTapes {
    /// Has a command find files where it was given tapes that lie elsewhere.
    ///
    /// # Errors
    /// Where one cannot be fetched, or would have to be changed where it lies.
    pub(super) fn bring(command: &mut CliCommand) -> Result<Self, ExitError> {
        let mut paths = TapePaths::of(command);
        if let Some(shelf) = paths.shelf.as_mut().filter(|shelf| shelf.as_deref().is_some_and(is_remote)) {
            **shelf = None;
        }
        if let Some(changed) = paths.changed.iter().find(|path| is_remote(path)) {
            let text = "is changed only as a file: fetch it, and send it by `tapline tape upload`";
            return Err(ExitError::usage(anyhow!("{} {text}", changed.display())));
        }
        match paths.first_remote() {
            Some(first) => Self::fetched(paths, &first),
            None => Ok(Self::default()),
        }
    }

    #[cfg(not(feature = "object-store"))]
    fn fetched(_: TapePaths<'_>, first: &Path) -> Result<Self, ExitError> {
        Err(without_stores(&first.display().to_string()))
    }

    #[cfg(feature = "object-store")]
    fn fetched(paths: TapePaths<'_>, _: &Path) -> Result<Self, ExitError> {
        let fetched = FetchedTapes::new()?;
        // Those that record, and no others, go on until a signal ends them.
        let ends_in_order = paths.recorded.is_some();
        for path in paths.read.into_iter().filter(|path| is_remote(path)) {
            *path = fetched.one(path)?;
        }
        for list in paths.lists {
            for path in std::mem::take(list) {
                if is_remote(&path) { list.extend(fetched.all(&path)?) } else { list.push(path) }
            }
        }
        if ends_in_order {
            fetched.leave_signals();
        }
        let recorded = paths.recorded.filter(|path| path.as_deref().is_some_and(is_remote));
        let uploads = recorded.map(Uploads::instead_of).transpose()?;
        Ok(Self { uploads, _fetched: Some(fetched) })
    }

    /// Waits until what was recorded is sent, and says what was not.
    pub(super) fn finish(self) {
        #[cfg(feature = "object-store")]
        self.uploads.into_iter().for_each(Uploads::finish);
    }
}

/// Runs `tapline tape upload` to its end.
#[cfg(not(feature = "object-store"))]
pub(super) fn upload(args: &crate::cli::TapeUploadArgs, _: &[PathBuf]) -> Result<std::process::ExitCode, ExitError> {
    Err(without_stores(&args.to))
}

#[cfg(not(feature = "object-store"))]
fn without_stores(place: &str) -> ExitError {
    let hint = "build it with `cargo install --path . --features object-store`";
    ExitError::usage(anyhow!("{place} lies in an object store, and this tapline was built without them: {hint}"))
}
