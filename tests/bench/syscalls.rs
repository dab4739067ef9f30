//! System calls of a process while it does something: the measure of its work that no neighbour on the machine disturbs.

use std::process::{Child, Command, Stdio};

/// Counts until it is asked for the sum.
pub(crate) struct Counter(Child);

/// Whether the kernel's counters may be read here.
pub(crate) fn can_count() -> bool {
    let tried = perf().args(["-a", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

impl Counter {
    /// Begins with all threads that the process has now.
    pub(crate) fn start(process: u32) -> Self {
        let child = perf()
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It has begun when its counters are open: they are, as soon as it holds descriptors of the kind.
        let opened = format!("/proc/{}/fd", child.id());
        let is_counting = || {
            let open = std::fs::read_dir(&opened).into_iter().flatten().flatten();
            open.filter_map(|it| std::fs::read_link(it.path()).ok())
                .any(|it| it.to_string_lossy().contains("perf_event"))
        };
        while !is_counting() {
            std::thread::yield_now();
        }
        Self(child)
    }

    /// Calls since the start.
    pub(crate) fn stop(self) -> f64 {
        let signalled = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().unwrap();
        assert!(signalled.success(), "it was counting");
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("sys_enter")).expect("a line with the sum");
        line.split(',').next().unwrap().parse().unwrap()
    }
}

fn perf() -> Command {
    let mut command = Command::new("perf");
    command.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter"]);
    command
}
