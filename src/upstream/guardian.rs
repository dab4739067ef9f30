//! The guardian: a process that outlives tapline by a moment, to end the children of a tapline that was killed.
//!
//! A parent-death signal would need `unsafe`, follows the thread that spawned instead of the process, spares
//! grandchildren, and exists on Linux only. A guardian needs none of that: it reads from a pipe which process groups are
//! ours, and when the pipe ends, for whatever reason, it ends them.

use std::collections::BTreeSet;
use std::io::{BufRead, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// The hidden subcommand that makes a tapline process a guardian.
pub const SUBCOMMAND: &str = "__guardian";

/// How long the groups have between SIGTERM and SIGKILL.
const PATIENCE: Duration = Duration::from_secs(2);

/// A handle on the guardian process, which is started with the first child.
#[derive(Clone)]
pub struct Guardian {
    program: PathBuf,
    pipe: Arc<Mutex<Option<ChildStdin>>>,
}

/// A process group that dies with us; dropping it says that the group has ended.
pub struct GuardedGroup {
    guardian: Guardian,
    group: u32,
}

impl Guardian {
    /// `program` is a tapline binary: it is run with [`SUBCOMMAND`].
    pub fn new(program: PathBuf) -> Self {
        Self { program, pipe: Arc::default() }
    }

    /// The one of this process, whatever the number of commands.
    ///
    /// # Errors
    /// Where our own program file cannot be found.
    pub fn of_process() -> std::io::Result<Self> {
        static ONE: OnceLock<Guardian> = OnceLock::new();
        if let Some(guardian) = ONE.get() {
            return Ok(guardian.clone());
        }
        let program = std::env::current_exe()?;
        Ok(ONE.get_or_init(|| Self::new(program)).clone())
    }

    pub fn watch(&self, group: u32) -> GuardedGroup {
        self.tell(&format!("+{group}\n"));
        GuardedGroup { guardian: self.clone(), group }
    }

    fn tell(&self, line: &str) {
        let mut pipe = self.pipe.lock();
        if pipe.is_none() {
            *pipe = self.start();
        }
        let written = pipe.as_mut().is_some_and(|pipe| pipe.write_all(line.as_bytes()).is_ok());
        if !written {
            tracing::warn!("no guardian process: children may outlive tapline if it is killed");
            *pipe = None;
        }
    }

    fn start(&self) -> Option<ChildStdin> {
        let mut child = Command::new(&self.program)
            .arg(SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in the terminal's foreground group: ctrl-c is not for it.
            .process_group(0)
            .spawn()
            .ok()?;
        let pipe = child.stdin.take();
        // It ends when we do; nobody is left to wait for it then, and until then there is nothing to wait for.
        drop(child);
        pipe
    }
}

impl Drop for GuardedGroup {
    fn drop(&mut self) {
        self.guardian.tell(&format!("-{}\n", self.group));
    }
}

/// The guardian's whole life: reads until the pipe ends, then ends what is left.
pub fn run(pipe: impl BufRead) {
    let mut groups = BTreeSet::new();
    for line in pipe.lines().map_while(Result::ok) {
        match line.split_at_checked(1).and_then(|(sign, group)| Some((sign, group.parse::<i32>().ok()?))) {
            Some(("+", group)) => drop(groups.insert(group)),
            Some(("-", group)) => drop(groups.remove(&group)),
            _ => {}
        }
    }
    let groups: Vec<Pid> = groups.into_iter().filter_map(Pid::from_raw).collect();
    for group in &groups {
        let _ = kill_process_group(*group, Signal::TERM);
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < deadline && groups.iter().any(|group| test_kill_process_group(*group).is_ok()) {
        std::thread::sleep(Duration::from_millis(20));
    }
    for group in groups {
        let _ = kill_process_group(group, Signal::KILL);
    }
}
