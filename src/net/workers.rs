//! Threads with a runtime of one thread each: what happens on one connection stays on one of them.
//!
//! On the runtime of several threads a call wakes another thread at each step of its way: the server's connection has a task of
//! its own, which runs wherever a thread is idle. A wake is a system call and a task switch, dearer than all that is done
//! with the message. Here the tasks of a call take turns on one thread.
//!
//! A worker that is busy for long keeps its other connections waiting: nothing on a connection's way may block.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// More threads than this are of no use to a proxy.
const MOST: usize = 16;

/// How many workers serve connections: one for each core.
static COUNT: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from).min(MOST));

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The workers of one core. Dropped, they end, and with them whatever still runs on them.
pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    _ends: DropGuard,
}

impl Workers {
    /// # Errors
    /// Where the system has no thread left, or nothing to wait with.
    pub fn start() -> std::io::Result<Self> {
        let end = CancellationToken::new();
        let workers = Self { handles: Vec::new(), next: AtomicUsize::new(0), _ends: end.clone().drop_guard() };
        (0..*COUNT).try_fold(workers, |mut workers, at| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.handles.push(runtime.handle().clone());
            let end = end.clone();
            thread::Builder::new().name(format!("tapline-wire-{at}")).spawn(move || {
                NUMBER.set(at + 1);
                runtime.block_on(end.cancelled());
                // What blocks there must not keep it.
                runtime.shutdown_background();
            })?;
            Ok(workers)
        })
    }

    /// Each in its turn.
    pub fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

/// One value for each worker, made where it is first used, and one for all other threads together.
pub struct PerWorker<T> {
    values: Box<[std::sync::OnceLock<T>]>,
}

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self { values: (0..=*COUNT).map(|_| std::sync::OnceLock::new()).collect() }
    }
}

impl<T> PerWorker<T> {
    /// The value of this thread.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.values[NUMBER.get()].get_or_init(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn workers_take_turns_and_what_they_spawn_stays_with_them() {
        let workers = Workers::start().expect("threads are free");
        let values = std::sync::Arc::new(PerWorker::default());
        let mut seen = Vec::new();
        for _ in 0..*COUNT {
            let values = values.clone();
            let on_worker = workers.next().spawn(async move {
                let spawned = tokio::spawn(async { thread::current().id() }).await.expect("it does not panic");
                assert_eq!(spawned, thread::current().id());
                *values.get_or_init(|| thread::current().id())
            });
            seen.push(on_worker.await.expect("it does not panic"));
        }
        assert_eq!(seen.iter().collect::<std::collections::HashSet<_>>().len(), *COUNT, "{seen:?}");
        assert_eq!(*values.get_or_init(|| thread::current().id()), thread::current().id(), "no worker");
    }

    #[tokio::test]
    async fn workers_take_down_what_runs_on_them() {
        let workers = Workers::start().expect("threads are free");
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        workers.next().spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(workers);
        assert!(dropped.await.is_err(), "nothing was sent");
    }
}
