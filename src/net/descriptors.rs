//! Open files: how many there may be, and when they run short.
//!
//! A soft limit of 1,024 is what systems start programs with for the sake of those that still use `select`; we do not, and have the hard
//! one. Children may, and are started with the limit that we were given (Linux: elsewhere they inherit ours).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What we were started with, where we have more now.
static GIVEN: OnceLock<Rlimit> = OnceLock::new();
static LIMIT: OnceLock<u64> = OnceLock::new();
static WARNED: AtomicBool = AtomicBool::new(false);

/// Has as many open files as there may be.
pub fn raise_limit() {
    let given = getrlimit(Resource::Nofile);
    if given.current != given.maximum && setrlimit(Resource::Nofile, Rlimit { current: given.maximum, ..given }).is_ok()
    {
        // It is set here alone.
        let _ = GIVEN.set(given);
    }
}

/// Gives a child that has just been started the limit that it would have had without us.
pub fn restore_limit_of(process: u32) {
    #[cfg(target_os = "linux")]
    if let (Some(given), Some(process)) =
        (GIVEN.get(), i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw))
    {
        // It may be gone already, or have a user of its own.
        let _ = rustix::process::prlimit(Some(process), Resource::Nofile, *given);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = process;
}

/// Looks at a descriptor that was just opened: it is the lowest that was free, so about as many are open. Says, once, when they run
/// short.
pub fn note(opened: impl AsFd) {
    let limit = *LIMIT.get_or_init(|| getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX));
    let number = u64::try_from(opened.as_fd().as_raw_fd()).unwrap_or(0);
    if number >= limit / 5 * 4 && !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "{number} of at most {limit} files are open: soon no client and no command can be served; `ulimit -n` allows more"
        );
    }
}

/// Whether nothing could be opened because too much is open.
pub fn are_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
