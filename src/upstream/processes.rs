//! The processes of a command, as the system sees them: what they do, and whether they read.

use std::time::Duration;

use tokio::time::sleep;

/// How long is looked at what a process uses.
const MOMENT: Duration = Duration::from_millis(250);
/// Ticks of a second, in which Linux counts the time of a process for programs.
const TICKS: u64 = 100;

/// One process of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupProcess {
    pub id: u32,
    pub name: String,
    /// The letter of `ps`.
    pub state: char,
    /// Of one core, in percent.
    pub load: u64,
    ticks: u64,
}

/// The processes of a group, its leader first, after a moment in which they were looked at; empty where the system does not tell.
pub async fn of_group(group: u32) -> Vec<GroupProcess> {
    let before = read_group(group);
    if before.is_empty() {
        return before;
    }
    sleep(MOMENT).await;
    let mut now = read_group(group);
    for process in &mut now {
        let earlier = before.iter().find(|it| it.id == process.id).map_or(process.ticks, |it| it.ticks);
        let used = process.ticks.saturating_sub(earlier) * 1000 / TICKS;
        process.load = used * 100 / u64::try_from(MOMENT.as_millis()).unwrap_or(u64::MAX);
    }
    now
}

#[cfg(target_os = "linux")]
fn read_group(group: u32) -> Vec<GroupProcess> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let stats = ids.filter_map(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
    let mut found: Vec<_> = stats.filter_map(|stat| process_of(&stat, group)).collect();
    found.sort_by_key(|process| (process.id != group, process.id));
    found
}

#[cfg(not(target_os = "linux"))]
fn read_group(_group: u32) -> Vec<GroupProcess> {
    Vec::new()
}

/// A line of `/proc/ID/stat`; `None` where it is of another group.
#[cfg(any(target_os = "linux", test))]
fn process_of(stat: &str, group: u32) -> Option<GroupProcess> {
    let (id, rest) = stat.split_once(" (")?;
    // The name may have anything in it.
    let (name, rest) = rest.rsplit_once(") ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    let number = |at: usize| words.get(at)?.parse::<u64>().ok();
    let state = words.first()?.chars().next()?;
    let is_of_group = number(2)? == u64::from(group);
    is_of_group.then_some(())?;
    Some(GroupProcess { id: id.parse().ok()?, name: name.to_owned(), state, load: 0, ticks: number(11)? + number(12)? })
}

/// How many bytes lie in the pipe that is a process's stdin; `None` where it is none, or the system does not tell.
#[cfg(target_os = "linux")]
pub fn unread_stdin(process: u32) -> Option<u64> {
    use rustix::fs::{Mode, OFlags};
    let path = format!("/proc/{process}/fd/0");
    let is_pipe = std::fs::read_link(&path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let pipe = is_pipe.then(|| rustix::fs::open(path, flags, Mode::empty()).ok())??;
    rustix::io::ioctl_fionread(&pipe).ok()
}

#[cfg(not(target_os = "linux"))]
pub fn unread_stdin(_process: u32) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_of_reads_a_line_whatever_the_name() {
        let stat = "41 (a) S b (c) T 1 40 40 0 -1 4194560 1 2 3 4 17 5 0 0 20 0 1 0 100 0 0";
        let expected = GroupProcess { id: 41, name: "a) S b (c".to_owned(), state: 'T', load: 0, ticks: 22 };
        assert_eq!(process_of(stat, 40), Some(expected));
        assert_eq!(process_of(stat, 41), None);
        assert_eq!(process_of("garbage", 41), None);
    }
}
