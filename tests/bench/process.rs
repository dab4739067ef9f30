//! The contenders as child processes: started, pinned, weighed, ended.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where processes run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cpus {
    /// All on one, so that only the work in the path counts, and no waking of another CPU.
    One,
    All,
}

/// One contender. It ends when this is dropped, or when our end of its stdin closes, however we die.
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Peer {
    pub(crate) fn start(role: &str, arguments: &[&str], cpus: Cpus) -> Self {
        let mut command = on(cpus, std::env::current_exe().unwrap().to_str().unwrap());
        command.args(["--role", role]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the {role} did not start"));
        Self { child, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Bytes resident, once they change no more; `None` where the system does not tell.
    pub(crate) fn settled_memory(&self) -> Option<f64> {
        let mut last = self.memory()?;
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.memory()?;
            if now.abs_diff(last) < 64 << 10 {
                return Some(now as f64);
            }
            last = now;
        }
    }

    fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().split(' ').next()?.parse::<u64>().ok()? << 10)
    }

    /// CPU time that its threads have used so far; `None` where the system does not tell.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let mut total = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()? {
            let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            total += stat.split(' ').next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(total))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already; there is nothing to save.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command that runs there.
pub(crate) fn on(cpus: Cpus, program: &str) -> Command {
    match cpus {
        Cpus::One if can_pin() => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", "0"]).arg(program);
            pinned
        }
        _ => Command::new(program),
    }
}

/// Whether `taskset` is there and may pin.
pub(crate) fn can_pin() -> bool {
    let tried = Command::new("taskset").args(["-c", "0", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Runs `measure` on a thread of ours that sits where the contenders do.
pub(crate) fn beside<T: Send>(cpus: Cpus, measure: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            if cpus == Cpus::One && can_pin() {
                pin_this_thread();
            }
            measure()
        });
        measuring.join().unwrap()
    })
}

fn pin_this_thread() {
    let thread = std::fs::read_link("/proc/thread-self").unwrap();
    let id = thread.file_name().unwrap();
    let pinned = Command::new("taskset").args(["-p", "-c", "0"]).arg(id).stdout(Stdio::null()).status();
    assert!(pinned.unwrap().success(), "could be pinned a moment ago");
}
