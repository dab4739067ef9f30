//! Processes that have left their server: daemons, in a session of their own.
//!
//! On Linux tapline asks to be the parent of all below it that lose their own (`PR_SET_CHILD_SUBREAPER`). Which server such an orphan came
//! from is not known any more, so they are ended when no server is left: for `tapline stdio` with the one there is, else with tapline.
//! A mark in the environment would tell, and would be seen by servers that print theirs: tapline is invisible.
//!
//! A process that we have started ourselves leads a group in our own session, which it can never leave: so nothing is taken for an
//! orphan that another part of tapline waits for.

#[cfg(target_os = "linux")]
pub use self::linux::{adopt, end, reap};

#[cfg(not(target_os = "linux"))]
pub use self::elsewhere::{adopt, end, reap};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    /// There is no such thing here.
    pub fn adopt() {}
    /// There are none that could be known.
    pub fn reap() {}
    /// There are none that could be known.
    pub fn end() {}
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::OnceLock;

    use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

    /// Set where orphans come to us: the children that were there before any server, which no server started.
    static BEFORE: OnceLock<Vec<Pid>> = OnceLock::new();
    /// How often is looked for what the ones that were ended have left behind.
    const ROUNDS: usize = 10;

    /// Has all processes below us that lose their parent become our children.
    pub fn adopt() {
        // The first process of a container has everybody's anyway.
        if getpid().as_raw_pid() != 1 && set_child_subreaper(Some(getpid())).is_ok() {
            let _ = BEFORE.set(orphans_but(&[]).into_iter().map(|orphan| orphan.process).collect());
        }
    }

    /// Lets go of those that have ended.
    pub fn reap() {
        orphans().into_iter().filter(|orphan| orphan.has_ended).for_each(|orphan| {
            // Another thread may have waited for it already.
            let _ = waitpid(Some(orphan.process), WaitOptions::NOHANG);
        });
    }

    /// Ends all that there are.
    pub fn end() {
        for _ in 0..ROUNDS {
            let orphans = orphans();
            if orphans.is_empty() {
                return;
            }
            for orphan in orphans {
                if !orphan.has_ended {
                    let _ = kill_process(orphan.process, Signal::KILL);
                }
                // A killed one is gone in a moment; its children are ours then.
                let _ = waitpid(Some(orphan.process), WaitOptions::empty());
            }
        }
    }

    struct Orphan {
        process: Pid,
        /// It has ended, and its status was not asked for yet.
        has_ended: bool,
    }

    fn orphans() -> Vec<Orphan> {
        BEFORE.get().map_or_else(Vec::new, |before| orphans_but(before))
    }

    fn orphans_but(others: &[Pid]) -> Vec<Orphan> {
        // Not by `getpgrp` and `getsid`: in a container both may be led by a process outside, and be 0, which is no `Pid`.
        let own = std::fs::read_to_string("/proc/self/stat").ok();
        let Some(own) = own.as_deref().and_then(ProcessStat::read) else { return Vec::new() };
        let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
        let own = ProcessStat { parent: getpid().as_raw_pid(), ..own };
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        ids.filter_map(|id| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let process = Pid::from_raw(id).filter(|process| !others.contains(process))?;
            Some(Orphan { process, has_ended: orphaned(&stat, id, &own)? })
        })
        .collect()
    }

    /// Where a process stands among the others; a process outside our container is 0.
    struct ProcessStat {
        has_ended: bool,
        parent: i32,
        group: i32,
        session: i32,
    }

    impl ProcessStat {
        /// By a line of `/proc/ID/stat`.
        fn read(stat: &str) -> Option<Self> {
            // The name before may have anything in it.
            let mut words = stat.rsplit_once(") ")?.1.split(' ');
            let state = words.next()?;
            let mut number = || words.next()?.parse().ok();
            Some(Self { has_ended: state == "Z", parent: number()?, group: number()?, session: number()? })
        }
    }

    /// Whether an orphan of ours has ended; `None` where it is none. `own.parent` is our own number.
    fn orphaned(stat: &str, id: i32, own: &ProcessStat) -> Option<bool> {
        let its = ProcessStat::read(stat)?;
        let is_started_by_us = its.session == own.session && (its.group == id || its.group == own.group);
        (its.parent == own.parent && !is_started_by_us).then_some(its.has_ended)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn orphaned_knows_our_own_children_from_those_that_came_to_us() {
            let of = |stat: &str| orphaned(stat, 7, &own(2, 3));
            assert_eq!(of("7 (a) b) S 1 7 7 0 -1"), Some(false), "a session of its own");
            assert_eq!(of("7 (a) Z 1 6 5 0 -1"), Some(true), "left behind by another");
            assert_eq!(of("7 (a) Z 1 6 3 0 -1"), Some(true), "left behind in the group of a server");
            assert_eq!(of("7 (a) S 1 7 3 0 -1"), None, "a server: it leads a group in our session");
            assert_eq!(of("7 (a) S 1 2 3 0 -1"), None, "an editor: it is in our group");
            assert_eq!(of("7 (a) S 9 7 7 0 -1"), None, "another's child");
            assert_eq!(of("garbage"), None);
        }

        #[test]
        fn orphaned_works_where_our_group_and_session_are_led_from_outside() {
            let of = |stat: &str| orphaned(stat, 7, &own(0, 0));
            assert_eq!(of("7 (daemon) S 1 7 7 0 -1"), Some(false));
            assert_eq!(of("7 (server) S 1 7 0 0 -1"), None);
            assert_eq!(of("7 (editor) S 1 0 0 0 -1"), None);
        }

        fn own(group: i32, session: i32) -> ProcessStat {
            ProcessStat { has_ended: false, parent: 1, group, session }
        }
    }
}
