//! Whether a server was rebuilt: files and directories that are looked at for changes.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Nothing has changed for so long: linkers and editors write in steps.
const SETTLED: Duration = Duration::from_millis(200);

/// Why a path cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch `{}`: {why}", .path.display())]
pub struct WatchError {
    path: PathBuf,
    why: String,
}

/// Paths that are watched until this is dropped.
pub struct Watched {
    _watcher: RecommendedWatcher,
    roots: Vec<Root>,
    changes: mpsc::UnboundedReceiver<PathBuf>,
}

/// A path in the form in which changes are told.
#[derive(Clone, Debug)]
enum Root {
    /// A file, whose directory is watched: programs that rewrite a file often put another in its place.
    File(PathBuf),
    Dir(PathBuf),
}

impl Watched {
    /// # Errors
    /// Where a path is not there, or the system does not let it be watched.
    pub fn new(paths: &[PathBuf]) -> Result<Self, WatchError> {
        let failed = |path: &Path, why: String| WatchError { path: path.to_owned(), why };
        let mut roots = Vec::new();
        for path in paths {
            roots.extend(Root::of(path).map_err(|error| failed(path, error.to_string()))?);
        }
        let (told, changes) = mpsc::unbounded_channel();
        let looked_at = roots.clone();
        let on_event = move |event: notify::Result<notify::Event>| {
            let Ok(event) = event.inspect_err(|error| tracing::warn!(%error, "a change may have been missed")) else {
                return;
            };
            let changed = event.paths.into_iter().filter(|path| looked_at.iter().any(|root| root.covers(path)));
            // The receiver may be gone.
            changed.filter(|_| is_change(event.kind)).for_each(|path| {
                let _ = told.send(path);
            });
        };
        let mut watcher =
            notify::recommended_watcher(on_event).map_err(|error| failed(Path::new("."), error.to_string()))?;
        for root in &roots {
            let (dir, mode) = root.place();
            watcher.watch(dir, mode).map_err(|error| failed(dir, error.to_string()))?;
        }
        Ok(Self { _watcher: watcher, roots, changes })
    }

    /// The next change, once it is complete: what changed last.
    pub async fn next(&mut self) -> Option<PathBuf> {
        loop {
            let mut changed = self.changes.recv().await?;
            while let Ok(Some(path)) = tokio::time::timeout(SETTLED, self.changes.recv()).await {
                changed = path;
            }
            // A file that is gone will be back.
            if self.roots.iter().all(Root::is_there) {
                return Some(changed);
            }
        }
    }
}

impl Root {
    /// A link is followed, too: either end may change.
    fn of(path: &Path) -> std::io::Result<Vec<Self>> {
        let there = path.canonicalize()?;
        if there.is_dir() {
            return Ok(vec![Self::Dir(there)]);
        }
        let absolute = std::path::absolute(path)?;
        let named = match (absolute.parent(), absolute.file_name()) {
            (Some(dir), Some(name)) => dir.canonicalize()?.join(name),
            _ => there.clone(),
        };
        let target = (named != there).then_some(Self::File(there));
        Ok(std::iter::once(Self::File(named)).chain(target).collect())
    }

    fn place(&self) -> (&Path, RecursiveMode) {
        match self {
            Self::File(path) => (path.parent().unwrap_or(path), RecursiveMode::NonRecursive),
            Self::Dir(path) => (path, RecursiveMode::Recursive),
        }
    }

    /// Whether a change of `changed` is one of this path. Files that programs keep for themselves do not count in a directory: a server that caches would be restarted for ever.
    fn covers(&self, changed: &Path) -> bool {
        match self {
            Self::File(path) => path == changed,
            Self::Dir(dir) => changed.strip_prefix(dir).is_ok_and(|inner| !inner.components().any(is_private)),
        }
    }

    fn is_there(&self) -> bool {
        let (Self::File(path) | Self::Dir(path)) = self;
        path.exists()
    }
}

fn is_private(component: Component<'_>) -> bool {
    let name = component.as_os_str().to_string_lossy();
    name.starts_with('.') || name == "__pycache__"
}

/// Whether an event of the file system changes content or names; reading does not.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(_)) || kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn watched_file_has_changed_once_it_is_complete() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = dir.path().join("server");
        fs::write(&server, "1").expect("a file");
        let mut watched = Watched::new(std::slice::from_ref(&server)).expect("it is there");
        fs::write(dir.path().join("other"), "x").expect("another file");
        fs::remove_file(&server).expect("it is there");
        fs::write(dir.path().join("new"), "2").expect("a file");
        fs::rename(dir.path().join("new"), &server).expect("it is replaced");
        let changed = watched.next().await.expect("it changed");
        assert_eq!(
            (changed.file_name(), fs::read_to_string(&changed).ok()),
            (server.file_name(), Some("2".to_owned()))
        );
    }

    #[tokio::test]
    async fn watched_directory_ignores_private_files() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("src/__pycache__")).expect("a directory");
        let mut watched = Watched::new(&[dir.path().to_owned()]).expect("it is there");
        for private in ["src/__pycache__/a.pyc", ".git", "src/.a.py.swp"] {
            fs::write(dir.path().join(private), "x").expect("a file");
        }
        fs::write(dir.path().join("src/a.py"), "x").expect("a file");
        assert!(watched.next().await.expect("it changed").ends_with("src/a.py"));
    }

    #[test]
    fn watched_path_that_is_missing_is_an_error() {
        let error = Watched::new(&["/nonexistent/server".into()]).err().expect("it is not there").to_string();
        assert!(error.starts_with("cannot watch `/nonexistent/server`: No such file"), "{error}");
    }
}
