//! What a process holds and uses, as the system tells it.

use std::fs;
use std::time::Duration;

/// What a process holds at one moment, and has used until then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) resident: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Processes below it.
    pub(crate) children: usize,
    /// How often its threads have been given a CPU.
    pub(crate) wakes: u64,
    pub(crate) cpu: Duration,
}

impl Sample {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = field(&status, "VmRSS:")? << 10;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        let (mut threads, mut wakes) = (0, 0);
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread may have ended meanwhile.
            let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
            threads += 1;
            wakes += field(&status, "voluntary_ctxt_switches:")? + field(&status, "nonvoluntary_ctxt_switches:")?;
        }
        Some(Self { resident, descriptors, threads, children: below(pid).len(), wakes, cpu: cpu(pid)? })
    }
}

/// CPU time of all its threads, those that have ended included. The clock ticks a hundred times a second.
fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, which may have blanks, ends with the last parenthesis.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis((user + system) * 10))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All processes below this one.
pub(crate) fn below(pid: u32) -> Vec<u32> {
    let parent = |entry: fs::DirEntry| {
        let child: u32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        Some((child, u32::try_from(field(&status, "PPid:")?).ok()?))
    };
    let all: Vec<_> = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(parent).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|(_, it)| *it == parent).map(|(child, _)| child));
        at += 1;
    }
    found.split_off(1)
}
