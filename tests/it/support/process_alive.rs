//! Whether a process, and whatever it started, still lives: they hold a pipe open, and its end is theirs.

use std::io::Read as _;
use std::process::Command;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::soon;

pub(crate) struct ProcessAlive {
    dir: TempDir,
    end: oneshot::Receiver<String>,
}

impl ProcessAlive {
    /// For processes that begin with [`ProcessAlive::line`].
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("life");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (told, end) = oneshot::channel();
        // A thread that nobody waits for: the test of a process that will not end must end.
        std::thread::spawn(move || {
            let mut said = String::new();
            std::fs::File::open(path).unwrap().read_to_string(&mut said).unwrap();
            drop(told.send(said));
        });
        Self { dir, end }
    }

    /// A line of shell that opens the pipe as descriptor 9, which every further process inherits.
    pub(crate) fn line(&self) -> String {
        format!("exec 9>'{}'\n", self.dir.path().join("life").display())
    }

    /// Waits until nobody lives any more; gives what was written to descriptor 9.
    pub(crate) async fn ended(self) -> String {
        soon("the end of a process", self.end).await.unwrap()
    }
}
