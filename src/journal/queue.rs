//! The way from the wire to the journal's thread: many threads put in, one takes all there is at once.
//!
//! A channel wakes its reader for each message of a quiet moment, and spins and yields before it sleeps. Here no thread is woken but
//! one that said it sleeps, and one that was not woken looks by itself a moment later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

/// The end of those that put in.
pub(super) struct Queue<T> {
    waiting: Arc<QueuedItems<T>>,
    taker: Thread,
}

/// The end of the one thread that takes out.
pub(super) struct QueueReceiver<T>(Arc<QueuedItems<T>>);

struct QueuedItems<T> {
    items: Mutex<Vec<T>>,
    /// The reader sleeps until it is woken.
    sleeps: AtomicBool,
    /// How many may still put in.
    ends: AtomicUsize,
}

/// The queue of a thread that is still to be started with the outlet.
pub(super) struct Unstarted<T>(Arc<QueuedItems<T>>);

pub(super) fn queue<T>() -> (Unstarted<T>, QueueReceiver<T>) {
    let waiting =
        Arc::new(QueuedItems { items: Mutex::default(), sleeps: AtomicBool::new(false), ends: AtomicUsize::new(1) });
    (Unstarted(waiting.clone()), QueueReceiver(waiting))
}

impl<T> Unstarted<T> {
    /// The queue, now that the taker is known.
    pub(super) fn taken_by(self, taker: &Thread) -> Queue<T> {
        Queue { waiting: self.0, taker: taker.clone() }
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        self.waiting.ends.fetch_add(1, Ordering::SeqCst);
        Self { waiting: self.waiting.clone(), taker: self.taker.clone() }
    }
}

impl<T> Queue<T> {
    /// Puts something in. Wakes the taker only where it sleeps: else it looks by itself before its moment is over.
    pub(super) fn put(&self, item: T) {
        self.waiting.items.lock().push(item);
        // The taker says that it sleeps before it looks a last time: either it has seen the item, or this sees that it sleeps.
        if self.waiting.sleeps.load(Ordering::SeqCst) && self.waiting.sleeps.swap(false, Ordering::SeqCst) {
            self.taker.unpark();
        }
    }

    /// Puts in an entry that its caller waits for: the reader looks at once.
    pub(super) fn put_urgent(&self, item: T) {
        self.waiting.items.lock().push(item);
        self.waiting.sleeps.store(false, Ordering::SeqCst);
        self.taker.unpark();
    }
}

/// The last end that is dropped wakes the taker, which would sleep for ever.
impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        if self.waiting.ends.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.taker.unpark();
        }
    }
}

impl<T> QueueReceiver<T> {
    /// Takes all there is, in order, into an empty vector; sleeps until there is something. `false`: all senders are gone.
    pub(super) fn recv_all(&self, into: &mut Vec<T>) -> bool {
        loop {
            let is_left = self.0.ends.load(Ordering::SeqCst) == 0;
            std::mem::swap(&mut *self.0.items.lock(), into);
            if !into.is_empty() {
                return true;
            }
            if is_left {
                return false;
            }
            self.sleep();
        }
    }

    /// Lets what comes gather for a while; what is urgent cuts it short.
    pub(super) fn gather(&self, moment: Duration) {
        std::thread::park_timeout(moment);
    }

    fn sleep(&self) {
        self.0.sleeps.store(true, Ordering::SeqCst);
        if self.0.items.lock().is_empty() && self.0.ends.load(Ordering::SeqCst) > 0 {
            std::thread::park();
        }
        self.0.sleeps.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_keeps_the_order_of_each_thread_and_loses_nothing() {
        let (unstarted, outlet) = queue();
        let taking = std::thread::spawn(move || {
            let (mut all, mut batch) = (Vec::new(), Vec::new());
            while outlet.recv_all(&mut batch) {
                all.append(&mut batch);
            }
            all
        });
        let queue = unstarted.taken_by(taking.thread());
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let queue = queue.clone();
                scope.spawn(move || {
                    for number in 0..10_000_u32 {
                        match number % 100 {
                            0 => queue.put_urgent((thread, number)),
                            _ => queue.put((thread, number)),
                        }
                    }
                });
            }
        });
        drop(queue);
        let all = taking.join().unwrap();
        for thread in 0..4 {
            assert!(all.iter().filter(|(of, _)| *of == thread).map(|(_, number)| *number).eq(0..10_000));
        }
    }
}
