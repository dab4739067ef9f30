//! What waits for a slow reader: a queue into which sending never waits, and the room that its entries take, counted in bytes.
//!
//! Code that holds a lock, or has other things to carry, must not wait to send. The reader of what is to be sent can: it takes
//! [`ByteRoom`] first, the share travels with the entry, and is given back when that is taken out. So a reader that does not read stops
//! the one that feeds it, as a pipe would, and none in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What an entry costs beside its bytes.
const EACH: usize = 512;

/// Bytes that may wait.
#[derive(Clone)]
pub struct ByteRoom {
    free: Arc<Semaphore>,
    limit: usize,
}

/// The part of it that one entry takes, until this is dropped.
#[derive(Debug, Default)]
pub struct RoomShare(Option<OwnedSemaphorePermit>);

impl ByteRoom {
    pub fn new(limit: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(limit)), limit }
    }

    /// Takes room for an entry of so many bytes, where there is any and no other caller waits for it.
    pub fn try_acquire(&self, bytes: usize) -> Option<RoomShare> {
        self.free.clone().try_acquire_many_owned(self.cost(bytes)).ok().map(|share| RoomShare(Some(share)))
    }

    /// Waits for room for an entry of so many bytes; one that is larger than all the room waits for all of it.
    pub async fn acquire(&self, bytes: usize) -> RoomShare {
        // It is never closed.
        RoomShare(self.free.clone().acquire_many_owned(self.cost(bytes)).await.ok())
    }

    fn cost(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.saturating_add(EACH).min(self.limit)).unwrap_or(u32::MAX)
    }
}

impl RoomShare {
    fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

/// The end that puts in. The reader has come to the end when the last of these is dropped.
pub struct Backlog<T>(Arc<Mutex<State<T>>>);

/// A [`Backlog`] that does not keep its reader waiting.
pub struct WeakBacklog<T>(Arc<Mutex<State<T>>>);

/// The end that takes out. When it is dropped, so is what waits, and nothing more is taken in.
pub struct BacklogReader<T>(Arc<Mutex<State<T>>>);

/// What an entry is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryNumber(u64);

/// What was not taken in: the reader is gone.
#[derive(Debug)]
pub struct UnreadEntry<T>(pub T);

struct State<T> {
    entries: VecDeque<BacklogEntry<T>>,
    last: u64,
    /// Room that the entries take.
    bytes: usize,
    /// How many may put in.
    ends: usize,
    /// Nothing more is taken in.
    closed: bool,
    reader: Option<Waker>,
}

struct BacklogEntry<T> {
    number: EntryNumber,
    item: T,
    share: RoomShare,
}

pub fn backlog<T>() -> (Backlog<T>, BacklogReader<T>) {
    let state = State { entries: VecDeque::new(), last: 0, bytes: 0, ends: 1, closed: false, reader: None };
    let state = Arc::new(Mutex::new(state));
    (Backlog(state.clone()), BacklogReader(state))
}

impl<T> Backlog<T> {
    /// Puts in something for which no room was taken.
    ///
    /// # Errors
    /// Where the reader is gone: gives the item back.
    pub fn send(&self, item: T) -> Result<EntryNumber, UnreadEntry<T>> {
        self.send_in(item, RoomShare::default())
    }

    /// Puts in something, and the room that it takes.
    ///
    /// # Errors
    /// Where the reader is gone: gives the item back.
    pub fn send_in(&self, item: T, share: RoomShare) -> Result<EntryNumber, UnreadEntry<T>> {
        let (number, reader) = {
            let mut state = self.0.lock();
            if state.closed {
                return Err(UnreadEntry(item));
            }
            state.last += 1;
            let number = EntryNumber(state.last);
            state.bytes += share.bytes();
            state.entries.push_back(BacklogEntry { number, item, share });
            (number, state.reader.take())
        };
        reader.into_iter().for_each(Waker::wake);
        Ok(number)
    }

    /// Takes an entry back that the reader has not taken out yet.
    pub fn take_back(&self, number: EntryNumber) -> Option<T> {
        let mut state = self.0.lock();
        let at = state.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        state.remove(at)
    }

    /// Ends it before its time: the reader gets `last` in place of all that waits, and nothing more is taken in.
    pub fn cut(&self, last: T) {
        let dropped = {
            let mut state = self.0.lock();
            if state.closed {
                return;
            }
            let dropped = state.close();
            state.entries.push_back(BacklogEntry {
                number: EntryNumber(u64::MAX),
                item: last,
                share: RoomShare::default(),
            });
            (dropped, state.reader.take())
        };
        dropped.1.into_iter().for_each(Waker::wake);
    }

    /// Whether the reader is gone.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// How many entries wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().entries.len()
    }

    /// Room that is taken by what waits.
    pub fn bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Whether both have one reader.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn downgrade(&self) -> WeakBacklog<T> {
        WeakBacklog(self.0.clone())
    }
}

impl<T> Clone for Backlog<T> {
    fn clone(&self) -> Self {
        self.0.lock().ends += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Backlog<T> {
    fn drop(&mut self) {
        let reader = {
            let mut state = self.0.lock();
            state.ends -= 1;
            if state.ends == 0 { state.reader.take() } else { None }
        };
        reader.into_iter().for_each(Waker::wake);
    }
}

impl<T> WeakBacklog<T> {
    /// `None` where all others are gone.
    pub fn upgrade(&self) -> Option<Backlog<T>> {
        let mut state = self.0.lock();
        (state.ends > 0).then(|| {
            state.ends += 1;
            Backlog(self.0.clone())
        })
    }
}

impl<T> BacklogReader<T> {
    /// The next entry; `None` when there is none and all senders are gone.
    pub async fn recv(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(item) = state.remove(0) {
            return Poll::Ready(Some(item));
        }
        if state.ends == 0 || state.closed {
            return Poll::Ready(None);
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(context.waker())) {
            state.reader = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Whether nothing waits now.
    pub fn is_empty(&self) -> bool {
        self.0.lock().entries.is_empty()
    }

    /// Takes nothing more in; returns what waits.
    pub fn close(&mut self) -> Vec<T> {
        let closed = self.0.lock().close();
        closed.into_iter().map(|entry| entry.item).collect()
    }
}

impl<T> Drop for BacklogReader<T> {
    fn drop(&mut self) {
        // What is dropped with the entries may come back to this.
        drop(self.close());
    }
}

impl<T> State<T> {
    fn remove(&mut self, at: usize) -> Option<T> {
        let BacklogEntry { item, share, .. } =
            if at == 0 { self.entries.pop_front()? } else { self.entries.remove(at)? };
        self.bytes -= share.bytes();
        Some(item)
    }

    fn close(&mut self) -> VecDeque<BacklogEntry<T>> {
        self.closed = true;
        self.bytes = 0;
        std::mem::take(&mut self.entries)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn backlog_keeps_order_and_ends_with_its_last_end() {
        let (backlog, mut reader) = backlog();
        assert!(reader.recv().now_or_never().is_none(), "nothing is there");
        let (other, weak) = (backlog.clone(), backlog.downgrade());
        (1..=3).for_each(|number| assert!(backlog.send(number).is_ok()));
        drop(backlog);
        assert!(weak.upgrade().is_some_and(|again| again.is_same(&other)));
        for expected in 1..=3 {
            assert_eq!(reader.recv().now_or_never(), Some(Some(expected)));
        }
        assert!(reader.recv().now_or_never().is_none(), "there is an end yet");
        drop(other);
        assert_eq!(reader.recv().now_or_never(), Some(None));
        assert!(weak.upgrade().is_none());
    }

    #[tokio::test]
    async fn backlog_wakes_its_reader() {
        let (backlog, mut reader) = backlog();
        let reading = tokio::spawn(async move { (reader.recv().await, reader.recv().await) });
        tokio::task::yield_now().await;
        assert!(backlog.send(1).is_ok());
        tokio::task::yield_now().await;
        drop(backlog);
        assert_eq!(reading.await.expect("it does not panic"), (Some(1), None));
    }

    #[test]
    fn byte_room_is_given_back_by_whatever_becomes_of_an_entry() {
        let room = ByteRoom::new(4 * EACH);
        let (backlog, mut reader) = backlog();
        let put = |item| backlog.send_in(item, room.try_acquire(0).expect("there is room"));
        let numbers: Vec<_> = (0..4).map(|item| put(item).expect("it is read")).collect();
        assert_eq!((backlog.bytes(), room.try_acquire(0).is_none()), (4 * EACH, true));
        assert_eq!(reader.recv().now_or_never(), Some(Some(0)));
        assert_eq!((backlog.take_back(numbers[2]), backlog.take_back(numbers[2])), (Some(2), None));
        assert_eq!(backlog.take_back(numbers[0]), None, "it was taken out");
        assert_eq!((backlog.bytes(), room.free.available_permits()), (2 * EACH, 2 * EACH));
        assert_eq!(reader.recv().now_or_never(), Some(Some(1)));
        backlog.cut(9);
        assert!(backlog.is_closed() && backlog.send(10).is_err_and(|UnreadEntry(item)| item == 10));
        assert_eq!((reader.recv().now_or_never(), reader.recv().now_or_never()), (Some(Some(9)), Some(None)));
        assert_eq!((backlog.bytes(), room.free.available_permits()), (0, 4 * EACH));
    }

    #[test]
    fn byte_room_takes_what_is_larger_than_all_of_it() {
        let room = ByteRoom::new(1000);
        let share = room.try_acquire(1 << 30).expect("nobody has any");
        assert!(room.try_acquire(0).is_none());
        let mut waiting = std::pin::pin!(room.acquire(1));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(share);
        assert_eq!(waiting.now_or_never().map(|share| share.bytes()), Some(1 + EACH));
    }

    #[test]
    fn backlog_drops_what_waits_with_its_reader() {
        let ((outer, reader), (inner, kept)) = (backlog(), backlog::<()>());
        assert!(outer.send(kept).is_ok());
        drop(reader);
        assert!(inner.is_closed() && outer.is_closed());
    }
}
