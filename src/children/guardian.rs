//! The guardian: a process that outlives tapline by a moment, to end the children of a tapline that was killed.
//!
//! A parent-death signal would need `unsafe`, follows the thread that spawned instead of the process, spares
//! grandchildren, and exists on Linux only. A guardian needs none of that: it reads from a pipe which process groups are
//! ours, and when the pipe ends, for whatever reason, it ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;

/// The hidden subcommand that makes a tapline process a guardian.
pub const SUBCOMMAND: &str = "__guardian";

/// How long the groups have between SIGTERM and SIGKILL.
const PATIENCE: Duration = Duration::from_secs(2);

/// A handle on the guardian process, which is started with the first child. Another is started where it dies before us.
#[derive(Clone)]
pub struct Guardian {
    program: PathBuf,
    watched: Arc<Mutex<WatchedGroup>>,
}

/// What a guardian is told, and would be told again.
#[derive(Default)]
struct WatchedGroup {
    pipe: Option<ChildStdin>,
    groups: BTreeMap<u32, GroupRole>,
    /// How many have been started.
    started: u64,
}

/// What a process group is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRole {
    Server,
    /// A program of the operator: a hook, or a client that is tried.
    Program,
}

/// A process group that dies with us. Dropping it kills what is left of the group: where the leader has ended or been killed, and also
/// where the task that waits for it goes unfinished with its runtime, which by itself would end the leader alone.
pub struct GuardedGroup {
    guardian: Guardian,
    group: u32,
}

impl Guardian {
    /// `program` is a tapline binary: it is run with [`SUBCOMMAND`].
    pub fn new(program: PathBuf) -> Self {
        Self { program, watched: Arc::default() }
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

    /// Starts a command at the head of a process group of its own, which ends with the guard that is returned, or with tapline.
    ///
    /// # Errors
    /// Where the command cannot be run.
    pub fn spawn(
        &self,
        command: &mut tokio::process::Command,
        role: GroupRole,
    ) -> std::io::Result<(Child, GuardedGroup)> {
        self.be_there();
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        // It has one until it is waited for.
        let group = child.id().ok_or_else(|| std::io::Error::other("it has no process"))?;
        Ok((child, self.watch(group, role)))
    }

    /// The same for who has threads in place of a runtime. The process is waited for by its caller.
    ///
    /// # Errors
    /// Where the command cannot be run.
    pub fn spawn_std(
        &self,
        command: &mut Command,
        role: GroupRole,
    ) -> std::io::Result<(std::process::Child, GuardedGroup)> {
        self.be_there();
        let child = command.process_group(0).spawn()?;
        let group = self.watch(child.id(), role);
        Ok((child, group))
    }

    /// Is started before its first child: that takes longer than a child needs to be at work, and tapline may be killed meanwhile.
    fn be_there(&self) {
        let mut watched = self.watched.lock();
        if watched.pipe.is_none() {
            self.start(&mut watched);
        }
    }

    /// Has a process group killed should tapline die; until the returned guard is dropped.
    fn watch(&self, group: u32, role: GroupRole) -> GuardedGroup {
        let mut watched = self.watched.lock();
        watched.groups.insert(group, role);
        if watched.pipe.is_none() {
            self.start(&mut watched);
        } else {
            watched.write(&format!("+{group}\n"));
        }
        GuardedGroup { guardian: self.clone(), group }
    }

    /// Whether a server is left.
    pub fn has_server(&self) -> bool {
        self.watched.lock().groups.values().any(|role| *role == GroupRole::Server)
    }

    /// Starts one, which knows all that there is from its first moment: what is told later may come too late.
    fn start(&self, watched: &mut WatchedGroup) {
        let started = Command::new(&self.program)
            .arg(SUBCOMMAND)
            .arg(std::process::id().to_string())
            .args(watched.groups.keys().map(u32::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in the terminal's foreground group: ctrl-c is not for it.
            .process_group(0)
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                tracing::warn!(%error, "no guardian process: children may outlive tapline if it is killed");
                return;
            }
        };
        watched.pipe = child.stdin.take();
        watched.started += 1;
        let nth = watched.started;
        let guardian = self.clone();
        // As a rule it ends when tapline does, and is never waited for.
        let waiting = std::thread::Builder::new().name("guardian".to_owned()).spawn(move || {
            let ended = child.wait();
            guardian.replace(nth, &ended);
        });
        if let Err(error) = waiting {
            tracing::debug!(%error, "no thread waits for the guardian");
        }
    }

    /// One has died: there is another while there is something to guard. One that cannot live is not started for ever.
    fn replace(&self, nth: u64, ended: &std::io::Result<ExitStatus>) {
        use std::os::unix::process::ExitStatusExt as _;
        let mut watched = self.watched.lock();
        if watched.started != nth {
            // Another was started by the call that found this one dead.
            return;
        }
        watched.pipe = None;
        let was_killed = ended.as_ref().is_ok_and(|status| status.signal().is_some());
        if was_killed && !watched.groups.is_empty() {
            self.start(&mut watched);
        }
    }
}

impl WatchedGroup {
    fn write(&mut self, line: &str) {
        // Where it has died, the next one is sent all groups.
        if self.pipe.as_mut().is_some_and(|pipe| pipe.write_all(line.as_bytes()).is_err()) {
            self.pipe = None;
        }
    }
}

impl GuardedGroup {
    /// Whether anything is left of it.
    pub fn is_there(&self) -> bool {
        let group = i32::try_from(self.group).ok().and_then(Pid::from_raw);
        group.is_some_and(|group| test_kill_process_group(group).is_ok())
    }

    /// Sends a signal to all that is left of it.
    pub fn signal(&self, signal: Signal) {
        signal_group(self.group, signal);
    }
}

impl Drop for GuardedGroup {
    fn drop(&mut self) {
        signal_group(self.group, Signal::KILL);
        let mut watched = self.guardian.watched.lock();
        watched.groups.remove(&self.group);
        watched.write(&format!("-{}\n", self.group));
    }
}

/// Sends a signal to all processes of a group.
pub fn signal_group(group: u32, signal: Signal) {
    if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
        // It may be gone already: that is what was wanted.
        let _ = kill_process_group(group, signal);
    }
}

/// The guardian's whole life: reads until the pipe ends, or the process that started it does, then ends what is left. A pipe may be held
/// open by a process that was being started just then. `groups`: what it guards from the beginning.
pub fn run(pipe: impl AsFd, guarded: Option<u32>, groups: impl IntoIterator<Item = i32>) {
    let mut groups: BTreeSet<i32> = groups.into_iter().collect();
    let mut buffer = BytesMut::new();
    let parent = guarded.and_then(watch_parent);
    while parent.as_ref().is_none_or(|parent| is_readable_first(&pipe, parent)) {
        let mut chunk = [0; 4096];
        match rustix::io::read(&pipe, &mut chunk) {
            Ok(read @ 1..) => buffer.extend_from_slice(&chunk[..read]),
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => break,
        }
        while let Some(end) = memchr::memchr(b'\n', &buffer) {
            let line = buffer.split_to(end + 1);
            note(&String::from_utf8_lossy(&line[..end]), &mut groups);
        }
    }
    end_all(groups);
}

fn note(line: &str, groups: &mut BTreeSet<i32>) {
    match line.split_at_checked(1).and_then(|(sign, group)| Some((sign, group.parse::<i32>().ok()?))) {
        Some(("+", group)) => drop(groups.insert(group)),
        Some(("-", group)) => drop(groups.remove(&group)),
        _ => {}
    }
}

/// The process that started us; where it is gone already, one that is.
#[cfg(target_os = "linux")]
fn watch_parent(guarded: u32) -> Option<OwnedFd> {
    let guarded = Pid::from_raw(i32::try_from(guarded).ok()?)?;
    rustix::process::pidfd_open(guarded, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn watch_parent(_guarded: u32) -> Option<OwnedFd> {
    None
}

/// Waits for either. Returns whether the pipe has something, or has ended; what it has is read before the end of the other is looked at.
fn is_readable_first(pipe: &impl AsFd, parent: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::IN), PollFd::new(parent, PollFlags::IN)];
    match rustix::event::poll(&mut polled, None) {
        Ok(_) => !polled[0].revents().is_empty(),
        Err(Errno::INTR) => is_readable_first(pipe, parent),
        Err(_) => true,
    }
}

fn end_all(groups: BTreeSet<i32>) {
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn guardian_is_there_before_the_first_child_is() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("guardian");
        // Written by another process: while a fork of ours has it open, nobody can run it.
        let script = r#"printf '#!/bin/sh\ncat\n' > "$0" && chmod 700 "$0""#;
        assert!(Command::new("sh").args(["-c", script]).arg(&program).status().unwrap().success());
        // A pattern, which is not in the words of the child that looks by it.
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        let pattern = format!("{}[{}]/guardian", &name[..name.len() - 1], &name[name.len() - 1..]);
        let look = format!("until grep -l '{pattern}' /proc/[0-9]*/cmdline; do :; done");
        let mut child = tokio::process::Command::new("sh");
        child.args(["-c", &look]).stdout(Stdio::piped()).stderr(Stdio::null());
        let (child, _group) = Guardian::new(program).spawn(&mut child, GroupRole::Program).unwrap();
        let process = child.id().unwrap();
        let found = String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap();
        let guardian: u32 = found.split('/').nth(2).unwrap().parse().unwrap();
        // Processes are numbered as they are started.
        assert!(guardian < process, "{guardian} is younger than {process}");
    }
}
